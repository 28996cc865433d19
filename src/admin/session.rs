//! A command's way to the cluster: name servers first, brokers by the addresses that these tell. Knows the cluster only
//! through `client`, so that it makes no difference whether its servers are ours or Java's.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use super::Failure;
use crate::base::clock::{Clock, Millis};
use crate::base::disk::{Disk, Open, RealDisk};
use crate::base::keys;
use crate::base::local_time::{Civil, Zone};
use crate::client::{self, Client, ClientError, NameServers, Response};
use crate::wire::body::{BodyError, BrokerData, ClusterInfo, TopicRouteData};
use crate::wire::command::Value;

/// How long a request may take, as Java's tools wait.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The surroundings of a command.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
    name_servers: Result<NameServers, String>,
    zone: Zone,
    started: Millis,
    sent: Cell<u16>,
    /// The time.
    pub clock: Clock,
}

impl Session {
    /// For the name servers of a list `a:9876;b:9876`, which was given by `-n` or in the environment.
    pub fn new(name_servers: &str, given_by: &str, clock: Clock, zone: Zone) -> Result<Session, Failure> {
        let client = Client::new();
        let none = || "no name server: give -n HOST:PORT, or set NAMESRV_ADDR".to_owned();
        let name_servers = match keys::servers(name_servers) {
            Err(what) if !name_servers.trim().is_empty() => Err(format!("{given_by} {name_servers}: {what}")),
            _ => NameServers::new(client.clone(), name_servers, TIMEOUT).ok_or_else(none),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let started = clock.now();
        Ok(Session { runtime, client, name_servers, clock, zone, started, sent: Cell::new(0) })
    }

    /// The name servers.
    pub fn name_servers(&self) -> Result<&NameServers, Failure> {
        self.name_servers.as_ref().map_err(|problem| Failure::Usage(problem.clone()))
    }

    /// A time as Java's tools show it: local, with milliseconds.
    pub fn time(&self, millis: i64) -> String {
        let c = self.zone.civil(u64::try_from(millis).unwrap_or(0));
        let (date, time) = ((c.year, c.month, c.day), (c.hour, c.minute, c.second, c.millis));
        format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03}", date.0, date.1, date.2, time.0, time.1, time.2, time.3)
    }

    /// A time in seconds, as Java's tools show it where they show no milliseconds.
    pub fn time_in_seconds(&self, millis: i64) -> String {
        let mut text = self.time(millis);
        text.truncate(text.len() - ",000".len());
        text
    }

    /// Reads a time: milliseconds since the epoch, or local `yyyy-MM-dd#HH:mm:ss:SSS`.
    pub fn parse_time(&self, text: &str) -> Option<i64> {
        if let Ok(millis) = text.parse() {
            return Some(millis);
        }
        let numbers: Option<Vec<u32>> = text.split(['-', '#', ':']).map(|part| part.parse().ok()).collect();
        let &[year, month, day, hour, minute, second, millis] = numbers?.as_slice() else { return None };
        let civil = Civil { year: year.into(), month, day, hour, minute, second, millis };
        i64::try_from(self.zone.millis(civil)?).ok()
    }

    /// An id in the form that Java's clients give their messages: address, process, loader, time of the month, number.
    pub fn unique_id(&self) -> String {
        let now = self.clock.now();
        let today = self.zone.civil(now);
        let month = Civil { day: 1, hour: 0, minute: 0, second: 0, millis: 0, ..today };
        let since = now.saturating_sub(self.zone.millis(month).unwrap_or(now));
        let number = self.sent.get();
        self.sent.set(number.wrapping_add(1));
        // Tools of one machine run one after the other or at once: the process's number and its start tell them apart.
        format!("7F000001{:04X}{:08X}{:08X}{number:04X}", std::process::id() as u16, self.started as u32, since as u32)
    }

    /// Leaves a message's body in a file, where Java's tools leave it, and returns the path.
    pub fn keep_body(&self, folder: &str, id: &str, index: usize, body: &[u8]) -> Result<String, Failure> {
        // The id is the sender's: it must not lead out of the folder.
        let safe: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let suffix = if index > 0 { format!("_{index}") } else { String::new() };
        let path = std::env::temp_dir().join(folder).join(safe + &suffix);
        let failed =
            |error: std::io::Error| Failure::Other(format!("cannot write the body to {}: {error}", path.display()));
        RealDisk.create_dir_all(path.parent().unwrap_or(&path)).map_err(failed)?;
        let file = RealDisk.open(&path, Open::Create).map_err(failed)?;
        file.set_len(0).and_then(|()| file.write_all_at(body, 0)).map_err(failed)?;
        Ok(path.display().to_string())
    }

    /// Writes a report under the working directory, where Java's tools write it.
    pub fn keep_report(&self, path: &str, text: &str) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Other(format!("cannot write the report {path}: {error}"));
        // A client's name is its own: it must not lead out of the folder.
        let path = path.split('/').filter(|part| *part != "..").collect::<Vec<_>>().join("/");
        let path = std::env::current_dir().map_err(failed)?.join(path);
        RealDisk.create_dir_all(path.parent().unwrap_or(&path)).map_err(failed)?;
        let file = RealDisk.open(&path, Open::Create).map_err(failed)?;
        file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0)).map_err(failed)
    }

    /// The failure that an answer with an unexpected code is.
    pub fn refused(&self, addr: &str, code: i32, answer: &Response) -> Failure {
        let remark = answer.remark.clone().unwrap_or_default();
        ClientError::Refused { addr: addr.to_owned(), code, response: answer.code, remark }.into()
    }

    /// The client, for calls that take longer than usual: `wait` for them.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for the end of a call.
    pub fn wait<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
        Ok(self.runtime.block_on(call)?)
    }

    /// A request to an address; an answer other than SUCCESS is a failure.
    pub fn call(&self, addr: &str, code: i32, ext: &[(&str, Value<'_>)], body: &[u8]) -> Result<Response, Failure> {
        self.wait(self.client.call(addr, code, ext, body, TIMEOUT))
    }

    /// Waits, for commands that repeat themselves.
    pub fn pause(&self, time: Duration) {
        // A timer is made inside the runtime.
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// A request to the first name server that answers.
    pub fn ask(&self, code: i32, ext: &[(&str, Value<'_>)], body: &[u8]) -> Result<Response, Failure> {
        Ok(self.wait(self.name_servers()?.ask(code, ext, body))?.1)
    }

    /// A request to every name server.
    pub fn tell_all(
        &self,
        code: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
    ) -> Result<Vec<(&str, Response)>, Failure> {
        self.wait(self.name_servers()?.tell_all(code, ext, body))
    }

    /// A topic's route.
    pub fn route(&self, topic: &str) -> Result<TopicRouteData, Failure> {
        self.wait(self.name_servers()?.route(topic))
    }

    /// A topic's route, `None` when no broker has the topic.
    pub fn find_route(&self, topic: &str) -> Result<Option<TopicRouteData>, Failure> {
        self.wait(self.name_servers()?.find_route(topic))
    }

    /// Clusters and brokers.
    pub fn cluster_info(&self) -> Result<ClusterInfo, Failure> {
        self.wait(self.name_servers()?.cluster_info())
    }

    /// Addresses of a cluster's masters, in the order of broker names.
    pub fn masters(&self, cluster: &str) -> Result<Vec<String>, Failure> {
        let info = self.cluster_info()?;
        let brokers = brokers_of(&info, cluster)?;
        Ok(brokers.into_iter().filter_map(|broker| broker.broker_addrs.get(&0).cloned()).collect())
    }

    /// Addresses of a cluster's masters and slaves, in the order of broker names and ids.
    pub fn members(&self, cluster: &str) -> Result<Vec<String>, Failure> {
        let info = self.cluster_info()?;
        Ok(brokers_of(&info, cluster)?.into_iter().flat_map(|broker| broker.broker_addrs.values().cloned()).collect())
    }

    /// A broker's address: what was given is one, or the name of a broker whose master is meant.
    pub fn broker(&self, given: &str) -> Result<String, Failure> {
        if given.contains(':') {
            return Ok(given.to_owned());
        }
        let info = self.cluster_info()?;
        let known = || info.broker_addr_table.keys().cloned().collect::<Vec<_>>().join(", ");
        let broker = info.broker_addr_table.get(given).and_then(|broker| broker.broker_addrs.get(&0)).cloned();
        broker.ok_or_else(|| Failure::Other(format!("no broker named {given} has a master; known are: {}", known())))
    }

    /// The addresses that `-b` (a broker) or `-c` (a cluster's masters) means.
    pub fn brokers(&self, broker: Option<&str>, cluster: Option<&str>) -> Result<Vec<String>, Failure> {
        match (broker, cluster) {
            (Some(broker), _) => Ok(vec![self.broker(broker)?]),
            (None, Some(cluster)) => self.masters(cluster),
            (None, None) => Err(Failure::Usage("-b or -c is needed".to_owned())),
        }
    }
}

/// The brokers of a cluster, in the order of names.
pub fn brokers_of<'a>(info: &'a ClusterInfo, cluster: &str) -> Result<Vec<&'a BrokerData>, Failure> {
    let known = || info.cluster_addr_table.keys().cloned().collect::<Vec<_>>().join(", ");
    let names: &BTreeSet<String> = info
        .cluster_addr_table
        .get(cluster)
        .ok_or_else(|| Failure::Other(format!("no cluster {cluster} at this name server; known are: {}", known())))?;
    Ok(names.iter().filter_map(|name| info.broker_addr_table.get(name)).collect())
}

/// A broker's address in a route: the master's, or any other if there is none.
pub fn addr_of(broker: &BrokerData) -> Option<&str> {
    broker.broker_addrs.values().next().map(String::as_str)
}

/// An answer's body, or who sent what cannot be read.
pub fn read<T>(body: Result<T, BodyError>, addr: &str, code: i32) -> Result<T, Failure> {
    Ok(client::read(body, addr, code)?)
}
