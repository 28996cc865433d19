//! Turns the body of a heartbeat (INTEROP 04 §4, HeartbeatData) into what `clients` takes.

use crate::broker::clients::{ConsumerBeat, Heartbeat};
use crate::broker::filter::Subscription;
use crate::wire::body::{ConsumerData, HeartbeatData, MessageModel, SubscriptionData};

/// Reads a heartbeat; the error says what was found.
pub fn parse(body: &[u8]) -> Result<Heartbeat, String> {
    let data = HeartbeatData::parse(body).map_err(|error| error.to_string())?;
    if data.client_id.is_empty() {
        return Err("the heartbeat names no client (clientID)".into());
    }
    Ok(Heartbeat {
        client_id: data.client_id,
        producers: data
            .producer_data_set
            .into_iter()
            .map(|one| one.group_name)
            .filter(|name| !name.is_empty())
            .collect(),
        consumers: data.consumer_data_set.into_iter().filter(|one| !one.group_name.is_empty()).map(consumer).collect(),
        fingerprint: data.heartbeat_fingerprint,
        without_subscriptions: data.without_sub,
    })
}

fn consumer(data: ConsumerData) -> ConsumerBeat {
    ConsumerBeat {
        group: data.group_name,
        consume_type: data.consume_type,
        broadcasting: data.message_model == MessageModel::Broadcasting,
        consume_from_where: data.consume_from_where,
        subscriptions: data.subscription_data_set.iter().filter_map(subscription).collect(),
        unit_mode: data.unit_mode,
    }
}

/// A subscription that does not parse is left out: the pull that needs it says so.
fn subscription(data: &SubscriptionData) -> Option<Subscription> {
    let topic = Some(&data.topic).filter(|topic| !topic.is_empty())?;
    Subscription::parse(topic, Some(&data.sub_string), Some(&data.expression_type), data.sub_version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::body::{ConsumeFromWhere, ConsumeType};

    #[test]
    fn a_java_heartbeat_is_read() {
        let beat = parse(
            br#"{"clientID":"cid","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_ACTIVELY","groupName":"G","messageModel":"BROADCASTING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA","subVersion":1795221980044,"tagsSet":["TagA"],"topic":"T"}],"unitMode":false}],"heartbeatFingerprint":7,"producerDataSet":[{"groupName":"PG"}],"withoutSub":true}"#,
        )
        .unwrap();
        assert_eq!((beat.client_id.as_str(), beat.producers.as_slice()), ("cid", ["PG".to_owned()].as_slice()));
        assert_eq!((beat.fingerprint, beat.without_subscriptions), (7, true));
        let consumer = &beat.consumers[0];
        assert!(consumer.broadcasting && consumer.consume_type == ConsumeType::Actively);
        assert_eq!(consumer.consume_from_where, ConsumeFromWhere::FirstOffset);
        assert_eq!(consumer.subscriptions[0].version, 1_795_221_980_044);
        assert!(consumer.subscriptions[0].tags.matches(2_598_919));
    }

    #[test]
    fn a_cpp_heartbeat_with_ordinals_and_text_numbers_is_read() {
        let beat = parse(
            b"{\"clientID\":\"c\",\"consumerDataSet\":[{\"consumeFromWhere\":0,\"consumeType\":1,\"groupName\":\"G\",\"messageModel\":1,\"subscriptionDataSet\":[{\"subString\":\"*\",\"subVersion\":\"12\",\"topic\":\"T\"}]}]}\n",
        )
        .unwrap();
        let consumer = &beat.consumers[0];
        assert!(!consumer.broadcasting && consumer.consume_type == ConsumeType::Passively);
        assert_eq!(consumer.consume_from_where, ConsumeFromWhere::LastOffset);
        assert_eq!(consumer.subscriptions[0].version, 12);
    }

    #[test]
    fn nonsense_is_refused_with_what_was_found() {
        assert!(parse(b"{").unwrap_err().contains("HeartbeatData"));
        assert!(parse(b"{}").unwrap_err().contains("clientID"));
        assert!(parse(b"{\"clientID\":5,\"consumerDataSet\":7}").is_err());
    }
}
