//! What a run needs before it starts: where the topic is, and the topic itself if it is missing. Speaks through `client`.

use std::time::{Duration, Instant};

use super::BenchError;
use crate::base::position::QueueId;
use crate::client::{Client, ClientError, NewTopic};
use crate::wire::codes::{request, response};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait until a new topic is in the name server.
const ROUTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at the route of a new topic.
const ROUTE_PAUSE: Duration = Duration::from_millis(100);

/// A broker that has the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub addr: String,
    /// Number of its queues for writing.
    pub write_queues: u32,
    /// Number of its queues for reading.
    pub read_queues: u32,
}

/// First and last offset of a queue: the last is the next message's.
pub type Ends = (u64, u64);

/// The calls, run to their end one after the other.
pub struct Setup {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Setup {
    /// A client with a runtime of its own.
    pub fn new() -> Result<Setup, BenchError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| BenchError::System { what: "start the client", source })?;
        Ok(Setup { client: Client::new(), runtime })
    }

    /// The brokers that have `topic`; made with `queues` queues where it is missing.
    pub fn targets(
        &self,
        namesrv: &[String],
        broker: Option<&str>,
        topic: &str,
        queues: u32,
    ) -> Result<Vec<Target>, BenchError> {
        self.runtime.block_on(async {
            match broker {
                Some(addr) => {
                    self.create(addr, topic, queues).await?;
                    Ok(vec![Target { addr: addr.to_owned(), write_queues: queues, read_queues: queues }])
                }
                None => self.by_route(namesrv, topic, queues).await,
            }
        })
    }

    async fn create(&self, addr: &str, topic: &str, queues: u32) -> Result<(), ClientError> {
        let topic = NewTopic { name: topic, read_queues: queues, write_queues: queues, perm: 6 };
        self.client.create_topic(addr, &topic, TIMEOUT).await
    }

    async fn by_route(&self, namesrv: &[String], topic: &str, queues: u32) -> Result<Vec<Target>, BenchError> {
        let mut made = false;
        let deadline = Instant::now() + ROUTE_TIMEOUT;
        loop {
            let found = self.route(namesrv, topic).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            if !made {
                made = true;
                for addr in self.masters(namesrv).await? {
                    self.create(&addr, topic, queues).await?;
                }
            }
            if Instant::now() > deadline {
                return Err(BenchError::NoRoute { topic: topic.into(), namesrv: namesrv.join(";") });
            }
            tokio::time::sleep(ROUTE_PAUSE).await;
        }
    }

    /// Asks one name server after the other.
    async fn route(&self, namesrv: &[String], topic: &str) -> Result<Vec<Target>, BenchError> {
        let mut failed = None;
        for addr in namesrv {
            match self.client.route(addr, topic, TIMEOUT).await {
                Ok(route) => {
                    let targets = route.queue_datas.iter().filter_map(|queues| {
                        let broker =
                            route.broker_datas.iter().find(|broker| broker.broker_name == queues.broker_name)?;
                        Some(Target {
                            addr: broker.broker_addrs.get(&0)?.clone(),
                            write_queues: u32::try_from(queues.write_queue_nums).ok()?,
                            read_queues: u32::try_from(queues.read_queue_nums).ok()?,
                        })
                    });
                    return Ok(targets.filter(|target| target.write_queues > 0).collect());
                }
                Err(error) if error.response() == Some(response::TOPIC_NOT_EXIST) => return Ok(Vec::new()),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or(BenchError::NoServer, BenchError::Client))
    }

    async fn masters(&self, namesrv: &[String]) -> Result<Vec<String>, BenchError> {
        let mut failed = None;
        for addr in namesrv {
            match self.client.cluster_info(addr, TIMEOUT).await {
                Ok(cluster) => {
                    let masters = cluster.broker_addr_table.values();
                    return Ok(masters.filter_map(|broker| broker.broker_addrs.get(&0).cloned()).collect());
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or(BenchError::NoServer, BenchError::Client))
    }

    /// The delay of a level at a broker, milliseconds, by its `messageDelayLevel`.
    pub fn delay_ms(&self, target: &Target, level: u32) -> Result<u64, BenchError> {
        let config =
            self.runtime.block_on(self.client.call(&target.addr, request::GET_BROKER_CONFIG, &[], b"", TIMEOUT))?;
        let text = String::from_utf8_lossy(&config.body);
        let levels = text.lines().find_map(|line| line.strip_prefix("messageDelayLevel=")).unwrap_or_default();
        delay_of(levels, level).ok_or_else(|| {
            let broker = &target.addr;
            BenchError::Usage(format!("--level {level}: the broker {broker} has the delay levels \"{levels}\""))
        })
    }

    /// The ends of every readable queue of a target, by queue number.
    pub fn ends(&self, target: &Target, topic: &str) -> Result<Vec<Ends>, BenchError> {
        self.runtime.block_on(async {
            let mut ends = Vec::new();
            for queue in 0..target.read_queues {
                let min = self.client.min_offset(&target.addr, topic, QueueId(queue), TIMEOUT).await?;
                let max = self.client.max_offset(&target.addr, topic, QueueId(queue), TIMEOUT).await?;
                ends.push((min.0, max.0));
            }
            Ok(ends)
        })
    }
}

/// The delay of a level, milliseconds, in the form of `messageDelayLevel`: `1s 5s 10s … 2h`.
fn delay_of(levels: &str, level: u32) -> Option<u64> {
    let word = levels.split_whitespace().nth((level as usize).checked_sub(1)?)?;
    let unit = word.chars().next_back()?;
    let seconds = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)].into_iter().find(|(name, _)| *name == unit)?.1;
    word[..word.len() - unit.len_utf8()].parse::<u64>().ok()?.checked_mul(seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_of_the_brokers_list() {
        let levels = "1s 5s 10s 2m 1h 1d";
        let delays: Vec<_> = (0..=7).map(|level| delay_of(levels, level)).collect();
        let minute = 60_000;
        assert_eq!(delays[..4], [None, Some(1000), Some(5000), Some(10_000)]);
        assert_eq!(delays[4..], [Some(2 * minute), Some(60 * minute), Some(1440 * minute), None]);
        assert_eq!((delay_of("1x", 1), delay_of("", 1), delay_of("99999999999999999999s", 1)), (None, None, None));
    }
}
