//! Every bound of a server in one place, each with its reason. Plain numbers: which configuration key sets one is `app`'s
//! business.

use crate::wire::frame::FRAME_LEN_MAX;

/// What `idle_close_ms` may be set to, in seconds. Heartbeats come every 30 s, from brokers at most every 60 s.
pub const IDLE_CLOSE_S: (u64, u64) = (1, 86_400);

/// What `connections_max` may be set to. Descriptors are bounded as well: 65,536 by the systemd unit.
pub const CONNECTIONS: (u64, u64) = (1, 1_000_000);

/// Bounds of one server; `Limits::default()` is what a Java installation's clients expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame in bytes, length field included. Java's default; its clients refuse longer ones as well.
    pub frame_len_max: usize,
    /// Connections at once; one more is closed right after it was accepted. Below the usual limit of 20,000 descriptors.
    pub connections_max: usize,
    /// A connection that neither read nor wrote for so long is closed (Java's `serverChannelMaxIdleTimeSeconds`).
    pub idle_close_ms: u64,
    /// Bytes that one connection may bring per tick, so that one fat sender does not starve the others of its loop.
    pub receive_per_tick: usize,
    /// Bytes of unfinished frames that all connections together may hold. When it is used up, frames above 16 KiB wait.
    pub receive_memory_max: usize,
    /// While receive memory is used up, an unfinished frame that got no byte for so long loses its connection.
    pub stalled_frame_ms: u64,
    /// Unsent bytes of one connection from which on nothing more is read from it.
    pub unsent_per_connection_max: usize,
    /// Unsent bytes of all connections from which on nothing more is read from those that have a part in it.
    pub unsent_total_max: usize,
    /// Bytes of output buffers that all loops together keep for reuse.
    pub spare_buffers_len_max: usize,
}

/// A connection's part in the unsent bytes below which it is not to blame for the total.
pub(super) const UNSENT_SHARE_MIN: usize = 64 * 1024;

impl Limits {
    /// With the settings of a role: as many connections as were asked for and the memory has room for.
    pub fn with_settings(self, connections_max: usize, idle_close_s: u64) -> Limits {
        let room = self.connections_max;
        if connections_max > room && connections_max > Limits::default().connections_max {
            tracing::warn!(
                "connections_max is {connections_max}, but the memory limit has room for {room} connections, which is the \
                 bound now; raise memory_limit, too"
            );
        }
        Limits { connections_max: connections_max.min(room), idle_close_ms: idle_close_s * 1_000, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_len_max: FRAME_LEN_MAX,
            connections_max: 16_384,
            idle_close_ms: 120_000,
            receive_per_tick: 256 * 1024,
            receive_memory_max: 128 * 1024 * 1024,
            stalled_frame_ms: 3_000,
            unsent_per_connection_max: 4 * 1024 * 1024,
            unsent_total_max: 256 * 1024 * 1024,
            spare_buffers_len_max: 32 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_connections_are_taken_as_were_asked_for_and_as_there_is_room_for() {
        let room = |connections_max| Limits { connections_max, ..Limits::default() };
        assert_eq!(room(16_384).with_settings(10, 7), Limits { idle_close_ms: 7_000, ..room(10) });
        assert_eq!(room(65_536).with_settings(50_000, 120), room(50_000));
        assert_eq!(room(2_048).with_settings(50_000, 120), room(2_048));
    }
}
