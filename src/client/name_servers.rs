//! A list of name servers, asked one after the other until one answers, told all: they do not talk to one another. What a
//! refusal means is up to the caller.

use std::time::Duration;

use super::calls::read;
use super::{Client, ClientError, Response};
use crate::wire::body::{ClusterInfo, TopicRouteData};
use crate::wire::codes::{request, response};
use crate::wire::command::Value;

/// The name servers of a cluster, at least one.
#[derive(Clone, Debug)]
pub struct NameServers {
    client: Client,
    first: String,
    others: Vec<String>,
    timeout: Duration,
}

impl NameServers {
    /// Those of a list `a:9876;b:9876`; `None` when it names nobody. Every call may take `timeout` per server.
    pub fn new(client: Client, list: &str, timeout: Duration) -> Option<NameServers> {
        let mut addrs = list.split([';', ',']).map(str::trim).filter(|addr| !addr.is_empty()).map(str::to_owned);
        Some(NameServers { client, first: addrs.next()?, others: addrs.collect(), timeout })
    }

    /// Their addresses, in the order of the list.
    pub fn addrs(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.first.as_str()).chain(self.others.iter().map(String::as_str))
    }

    /// The answer of the first that answers at all; a refusal is an answer. With it, who gave it.
    pub async fn ask(
        &self,
        code: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
    ) -> Result<(&str, Response), ClientError> {
        let mut answer = self.client.call(&self.first, code, ext, body, self.timeout).await;
        let mut asked = self.first.as_str();
        for addr in &self.others {
            match &answer {
                Err(error) if error.response().is_none() => {
                    asked = addr;
                    answer = self.client.call(addr, code, ext, body, self.timeout).await;
                }
                _ => break,
            }
        }
        answer.map(|answer| (asked, answer))
    }

    /// Tells every one; ends at the first that fails.
    pub async fn tell_all(
        &self,
        code: i32,
        ext: &[(&str, Value<'_>)],
        body: &[u8],
    ) -> Result<Vec<(&str, Response)>, ClientError> {
        let mut answers = Vec::new();
        for addr in self.addrs() {
            answers.push((addr, self.client.call(addr, code, ext, body, self.timeout).await?));
        }
        Ok(answers)
    }

    /// A topic's route, `None` when no broker has the topic.
    pub async fn find_route(&self, topic: &str) -> Result<Option<TopicRouteData>, ClientError> {
        match self.route(topic).await {
            Err(error) if error.response() == Some(response::TOPIC_NOT_EXIST) => Ok(None),
            other => other.map(Some),
        }
    }

    /// A topic's route.
    pub async fn route(&self, topic: &str) -> Result<TopicRouteData, ClientError> {
        let code = request::GET_ROUTEINFO_BY_TOPIC;
        let (addr, answer) = self.ask(code, &[("topic", Value::Str(topic))], b"").await?;
        read(TopicRouteData::parse(&answer.body), addr, code)
    }

    /// Clusters and brokers.
    pub async fn cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        let code = request::GET_BROKER_CLUSTER_INFO;
        let (addr, answer) = self.ask(code, &[], b"").await?;
        read(ClusterInfo::parse(&answer.body), addr, code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Option<Vec<String>> {
        let servers = NameServers::new(Client::new(), list, Duration::from_secs(1))?;
        Some(servers.addrs().map(str::to_owned).collect())
    }

    #[test]
    fn a_list_is_read_as_java_and_people_write_it() {
        assert_eq!(of("a:1"), Some(vec!["a:1".to_owned()]));
        assert_eq!(of(" a:1; b:2,c:3 ;"), Some(["a:1", "b:2", "c:3"].map(str::to_owned).to_vec()));
        assert_eq!((of(""), of(" ; ")), (None, None));
    }

    #[tokio::test]
    async fn the_next_is_asked_when_one_cannot_be_reached_and_the_last_failure_is_told() {
        // Nobody listens on a port that was just given back.
        let closed = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("its address").to_string()
        };
        let (one, two) = (closed(), closed());
        let list = format!("{one};{two}");
        let servers = NameServers::new(Client::new(), &list, Duration::from_secs(5)).expect("two servers");
        let failed = servers.cluster_info().await.expect_err("nobody is there").to_string();
        assert!(failed.contains(&two) && failed.contains("cannot connect"), "{failed}");
    }
}
