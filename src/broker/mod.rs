//! L3: what a broker means. Topics, groups and offsets with their state files; sends, pulls and held pulls; clients
//! and their heartbeats; admin requests. Knows the store and the loops, never a command line or a configuration file.
//!
//! The hot path (`service`, `send`, `pull`, `hold`, `flush_wait`) runs on the loops and never waits; the rest
//! (`topics`, `groups`, `offsets`, `clients`, `admin`, `registration`) is reached through the narrow handles in
//! `Handles`. Requests that the table of codes calls slow become an `OwnedRequest` and run on the control runtime.
//!
//! What the hot path asks of the rest:
//!
//! ```text
//! topics.get(name) -> Option<Arc<TopicConfig>>                       one load of a snapshot, no lock that waits
//!     TopicConfig { read_queue_nums, write_queue_nums, perm: u32, sys_flag: i32, order: bool, .. }
//! topics.create_in_send(name, default_topic, default_queue_nums, unit_mode, peer) -> Result<Arc<TopicConfig>, CreateError>
//!     INTEROP 06 §2 points 1-3; writes topics.json; blocking, called beside the loops; idempotent
//! registration.topic_changed(name) -> impl Future                     done when every reachable name server was told
//! groups.get_or_create(name) -> Option<Arc<GroupConfig>>              never waits; the file is written behind it
//!     GroupConfig { consume_enable, consume_broadcast_enable, broker_id, which_broker_when_consume_slowly, group_sys_flag, .. }
//! offsets.commit(group, topic, QueueId, i64) / offsets.query(..) -> Option<i64>
//! offsets.take_reset(group, topic, QueueId) -> Option<i64>            a pending server-side reset, erased (06 §8.4)
//! clients.group(name) -> Option<Arc<GroupClients>>                    None: no client of the group is connected
//!     GroupClients { broadcasting: bool, .. }.subscription(topic) -> Option<Arc<filter::Subscription>>
//! clients.opened(Conn) / clients.closed(Conn)
//! admin::answer_now(&Handles, &mut RequestCx, &Command) -> Outcome    codes that the table calls fast: 14 15 29 30 31 34 35 38
//! admin::answer_later(Arc<Handles>, OwnedRequest) -> impl Future<Output = BytesMut> + Send      codes that it calls slow
//! admin::response(&Handles, Conn, &Command)                           answers to our own requests (relays)
//! ```

pub mod admin;
pub mod answer;
pub mod clients;
pub mod config;
pub mod filter;
#[cfg(test)]
pub(crate) mod fixture;
pub mod groups;
pub mod handles;
pub mod locks;
pub mod offsets;
pub mod open;
pub mod registration;
pub mod request;
pub mod saver;
pub mod state_file;
pub mod topics;

pub use config::Config;
