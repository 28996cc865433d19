//! `instance.memory_limit`: one knob for the memory of a process, and ONE table of what it is divided into. Everything that
//! grows with load has a row; what is left over is for the program and the tables of topics, groups and offsets.
//!
//! Reads the limit of the control group that the process runs in, so that the two can be compared. Knows how much; what a
//! share bounds is said where it is kept.

use std::fs;
use std::path::{Path, PathBuf};

use super::keys::Does::Number;
use super::keys::{Key, Table, key};
use super::settings::{Unit, in_unit_of};
use crate::broker::config::LoopMemory;
use crate::net::limits::Limits;
use crate::{broker, namesrv, store};

/// Smallest limit: below, the largest frame (16 MiB) would not fit into its share.
pub const LIMIT_MIN: u64 = 128 << 20;
/// The limit of a process that was told none.
pub const LIMIT: u64 = 1 << 30;

/// Settings of `[instance]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that the process may use.
    pub memory_limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { memory_limit: LIMIT }
    }
}

/// The keys of `[instance]`.
pub const TABLE: Table<Settings> = Table { rows: &[ROWS], unused: &[] };

const ROWS: &[Key<Settings>] =
    &[key("memoryLimit", Number { range: (LIMIT_MIN, 1 << 44), set: |s, bytes| s.memory_limit = bytes })];

/// A part of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// What it bounds.
    pub what: &'static str,
    /// How many 64ths of the limit it takes.
    pub parts: u64,
}

const fn share(what: &'static str, parts: u64) -> Share {
    Share { what, parts }
}

const RECEIVE: Share = share("unfinished frames of all connections", 8);
const UNSENT: Share = share("answers that connections have not taken yet", 16);
const CONNECTIONS: Share = share("open connections", 4);
const SLOW: Share = share("requests that run beside the event loops", 4);
const SPARE: Share = share("output buffers kept for reuse", 2);
const BATCH: Share = share("messages of one tick", 4);
const WAITING: Share = share("sends that wait for their topic to be made", 4);
const HELD: Share = share("held pulls", 4);
const FLUSH: Share = share("sends that wait for the disk", 4);
const UNITS: Share = share("queue entries that are not in their files yet", 4);
const TAIL: Share = share("the log's end, for consumers that follow it", 4);
const ROUTES: Share = share("answers to route requests", 8);

/// The parts of a broker.
pub const BROKER: [Share; 11] = [RECEIVE, UNSENT, CONNECTIONS, SLOW, SPARE, BATCH, WAITING, HELD, FLUSH, UNITS, TAIL];
/// The parts of a name server.
pub const NAMESRV: [Share; 6] = [RECEIVE, UNSENT, CONNECTIONS, SLOW, SPARE, ROUTES];

/// Into how many parts a limit is divided.
const PARTS: u64 = 64;
/// Of a process with both roles, how many parts are the name server's.
const NAMESRV_BESIDE_BROKER: u64 = 8;

/// Bytes that an open connection takes, its task and its small buffers.
const CONNECTION_LEN: u64 = 4096;
/// Bytes that a held pull takes.
const HELD_PULL_LEN: u64 = 640;
/// Bytes that a send takes which waits for the disk.
const FLUSH_WAIT_LEN: u64 = 208;

/// The limit of one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub u64);

impl Memory {
    /// The limits of a name server and a broker in one process; each has the whole of it when the other is not there.
    pub fn of_roles(limit: u64, both: bool) -> (Memory, Memory) {
        let namesrv = if both { limit / PARTS * NAMESRV_BESIDE_BROKER } else { limit };
        (Memory(namesrv), Memory(if both { limit - namesrv } else { limit }))
    }

    fn bytes(self, share: Share) -> u64 {
        self.0 / PARTS * share.parts
    }

    fn len(self, share: Share) -> usize {
        usize::try_from(self.bytes(share)).unwrap_or(usize::MAX)
    }

    /// Bounds of the connections. The default limit gives the defaults.
    pub fn limits(self) -> Limits {
        let defaults = Limits::default();
        Limits {
            receive_memory_max: self.len(RECEIVE),
            frame_len_max: defaults.frame_len_max.min(self.len(RECEIVE)),
            unsent_total_max: self.len(UNSENT),
            unsent_per_connection_max: defaults.unsent_per_connection_max.min(self.len(UNSENT) / 16),
            connections_max: (self.bytes(CONNECTIONS) / CONNECTION_LEN) as usize,
            spare_buffers_len_max: self.len(SPARE),
            ..defaults
        }
    }

    /// Bytes of the requests that run beside the event loops.
    pub fn slow(self) -> usize {
        self.len(SLOW)
    }

    /// Divides a broker's part.
    pub fn bound_broker(self, config: &mut broker::Config, store: &mut store::Config) {
        let defaults = LoopMemory::default();
        let per_loop = |share: Share| self.len(share) / config.loops.max(1);
        config.memory = LoopMemory {
            // Its buffer doubles when it grows.
            batch_len_max: (per_loop(BATCH) / 2).min(store::BATCH_BYTES_MAX),
            waiting_sends_len_max: per_loop(WAITING),
            held_pulls_max: defaults.held_pulls_max.min(per_loop(HELD) / HELD_PULL_LEN as usize),
            flush_waits_max: defaults.flush_waits_max.min(per_loop(FLUSH) / FLUSH_WAIT_LEN as usize),
        };
        store.unwritten_units_len_max = self.bytes(UNITS);
        store.tail_cache_len = self.bytes(TAIL);
    }

    /// Divides a name server's part.
    pub fn bound_namesrv(self, config: &mut namesrv::Config) {
        config.routes_kept_len_max = self.len(ROUTES) / config.loops.max(1);
    }

    /// What does not fit into it.
    pub fn problems(self, config: &broker::Config) -> Option<String> {
        let largest = self.limits().frame_len_max;
        (config.max_message_size > largest && self.0 < LIMIT).then(|| {
            format!(
                "instance.memory_limit leaves {} for one message and maxMessageSize is {}: raise the one or lower the other",
                size(largest as u64),
                size(config.max_message_size as u64)
            )
        })
    }
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    in_unit_of(Unit::Bytes, bytes).trim_matches('"').to_owned()
}

/// The limit of the control group of this process, and the file that says it; `None` without one.
pub fn cgroup_limit() -> Option<(u64, PathBuf)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(&groups, Path::new("/sys/fs/cgroup"))
}

/// The smallest limit on the way up from the process's own group, as every one of them holds. Version 2 has one line,
/// `0::/path`, version 1 one for each controller, `N:memory:/path`.
fn limit_of(groups: &str, root: &Path) -> Option<(u64, PathBuf)> {
    // Version 1 says "no limit" as the largest number of pages.
    const NO_LIMIT: u64 = 1 << 60;
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/').to_owned();
        match controllers {
            "" => Some((root.to_owned(), path, "memory.max")),
            some if some.split(',').any(|one| one == "memory") => {
                Some((root.join("memory"), path, "memory.limit_in_bytes"))
            }
            _ => None,
        }
    };
    let mut smallest: Option<(u64, PathBuf)> = None;
    for (root, path, name) in groups.lines().filter_map(line) {
        for folder in Path::new(&path).ancestors() {
            let file = root.join(folder).join(name);
            let limit = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u64>().ok());
            if let Some(limit) = limit.filter(|limit| *limit < NO_LIMIT)
                && smallest.as_ref().is_none_or(|(least, _)| limit < *least)
            {
                smallest = Some((limit, file));
            }
        }
    }
    smallest
}

/// The limit against what there is, for the start report, and a warning when it is more.
pub fn report(limit: u64, cgroup: Option<&(u64, PathBuf)>, machine: u64) -> (String, Option<String>) {
    let (most, whose) = match cgroup {
        Some((group, file)) if *group <= machine => (*group, format!("the control group allows ({})", file.display())),
        _ => (machine, "the machine has".to_owned()),
    };
    let told = format!("at most {} (instance.memory_limit), of {} that {whose}", size(limit), mebibytes(most));
    let warning = (limit > most).then(|| {
        format!(
            "instance.memory_limit is {}, but {} is all that {whose}: under load the process would be killed; set \
             memory_limit to at most {}",
            size(limit),
            mebibytes(most),
            mebibytes(most / 10 * 9)
        )
    });
    (told, warning)
}

fn mebibytes(bytes: u64) -> String {
    format!("{}MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::control;

    #[test]
    fn the_bounds_together_never_exceed_the_limit() {
        for shares in [&BROKER[..], &NAMESRV] {
            assert!(
                shares.iter().map(|share| share.parts).sum::<u64>() <= PARTS - 4,
                "something is left for the program"
            );
        }
        for limit in [LIMIT_MIN, 200 << 20, 512 << 20, LIMIT, 8 << 30, 1 << 40] {
            for (loops, both) in [(1, false), (4, false), (1, true), (64, true)] {
                let (small, large) = Memory::of_roles(limit, both);
                let (mut config, mut store) = (broker::Config { loops, ..Default::default() }, store::Config::new("s"));
                let mut namesrv = namesrv::Config { loops, ..Default::default() };
                large.bound_broker(&mut config, &mut store);
                small.bound_namesrv(&mut namesrv);
                let net = |limits: &Limits| {
                    (limits.receive_memory_max + limits.unsent_total_max + limits.spare_buffers_len_max) as u64
                        + limits.connections_max as u64 * CONNECTION_LEN
                };
                let memory = &config.memory;
                let of_loop = (2 * memory.batch_len_max + memory.waiting_sends_len_max) as u64
                    + memory.held_pulls_max as u64 * HELD_PULL_LEN
                    + memory.flush_waits_max as u64 * FLUSH_WAIT_LEN;
                let broker = net(&large.limits())
                    + of_loop * loops as u64
                    + large.slow() as u64
                    + store.unwritten_units_len_max
                    + store.tail_cache_len;
                let routes = (namesrv.routes_kept_len_max * loops) as u64;
                let namesrv = net(&small.limits()) + small.slow() as u64 + routes;
                let all = if both { broker + namesrv } else { broker.max(namesrv) };
                assert!(all <= limit, "{limit} {loops} {both}: {all}");
                if limit == LIMIT_MIN {
                    assert!(all > limit / 2, "a limit is there to be used: {all}");
                }
            }
        }
    }

    #[test]
    fn the_default_limit_gives_the_defaults() {
        let (mut config, mut store) = (broker::Config::default(), store::Config::new("s"));
        Memory(LIMIT).bound_broker(&mut config, &mut store);
        assert_eq!((config, store), (broker::Config::default(), store::Config::new("s")));
        assert_eq!(Memory(LIMIT).limits(), Limits::default());
        assert_eq!(Memory(LIMIT).slow(), control::IN_FLIGHT_LEN_MAX);
        let mut namesrv = namesrv::Config::default();
        Memory(LIMIT).bound_namesrv(&mut namesrv);
        assert_eq!(namesrv.routes_kept_len_max, 2 * namesrv::Config::default().routes_kept_len_max);
        assert!(Memory(LIMIT_MIN).limits().frame_len_max == Limits::default().frame_len_max);
    }

    #[test]
    fn a_message_that_does_not_fit_is_told_before_the_start() {
        // The broker of a process with both roles and the smallest limit.
        let memory = Memory::of_roles(LIMIT_MIN, true).1;
        let mut config = broker::Config::default();
        assert_eq!(memory.problems(&config), None);
        config.max_message_size = 15 << 20;
        let told = memory.problems(&config).expect("14 MiB for one message");
        assert!(told.contains("leaves 14MiB") && told.contains("maxMessageSize is 15MiB"), "{told}");
    }

    #[test]
    fn the_limit_of_the_control_group_is_found_in_both_versions() {
        let root = std::env::temp_dir().join(format!("rocketmq-cgroup-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("the temporary folder is writable");
            fs::write(path, text).expect("ours");
        };
        put("a/memory.max", "536870912\n");
        put("a/b/memory.max", "max\n");
        put("a/c/memory.max", "1073741824\n");
        put("memory/d/memory.limit_in_bytes", "268435456\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let limit = |groups: &str| limit_of(groups, &root).map(|(limit, file)| (limit >> 20, file));
        assert_eq!(limit("0::/a/b\n"), Some((512, root.join("a/memory.max"))));
        assert_eq!(limit("0::/a/c\n").expect("a limit").0, 512, "the one above holds too");
        assert_eq!(limit("0::/\n"), None);
        let one = "12:cpu,cpuacct:/x\n4:memory:/d\n0::/\n";
        assert_eq!(limit(one), Some((256, root.join("memory/d/memory.limit_in_bytes"))));
        assert_eq!(limit("4:memory:/nowhere\n"), None);
        assert_eq!(limit("rubbish"), None);
        fs::remove_dir_all(&root).expect("ours");
    }

    #[test]
    fn a_limit_above_what_there_is_is_warned_of_with_the_fix() {
        let group = (512 << 20, PathBuf::from("/sys/fs/cgroup/memory.max"));
        let (told, warning) = report(256 << 20, Some(&group), 8 << 30);
        let expected = "at most 256MiB (instance.memory_limit), of 512MiB that the control group allows (/sys/fs/cgroup/memory.max)";
        assert_eq!((told.as_str(), warning), (expected, None));
        let (_, warning) = report(LIMIT, Some(&group), 8 << 30);
        assert!(warning.expect("too large").ends_with("set memory_limit to at most 460MiB"));
        let (told, warning) = report(LIMIT, None, 8 << 30);
        assert!(told.ends_with("of 8192MiB that the machine has") && warning.is_none(), "{told}");
    }
}
