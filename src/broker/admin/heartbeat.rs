//! Reads the body of a heartbeat (INTEROP 04 §4, HeartbeatData) with the tolerance that its writers need: Java sends
//! names of enums, C++ their numbers; Java sends numbers as numbers, C++ and Go some of them as strings.

use serde_json::Value;

use crate::broker::clients::{ConsumeType, ConsumerBeat, Heartbeat};
use crate::broker::filter::Subscription;

/// Names of ConsumeFromWhere, by ordinal.
const CONSUME_FROM_WHERE: [&str; 6] = [
    "CONSUME_FROM_LAST_OFFSET",
    "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
    "CONSUME_FROM_MIN_OFFSET",
    "CONSUME_FROM_MAX_OFFSET",
    "CONSUME_FROM_FIRST_OFFSET",
    "CONSUME_FROM_TIMESTAMP",
];

/// Reads a heartbeat; the error says what was found.
pub fn parse(body: &[u8]) -> Result<Heartbeat, String> {
    let json: Value =
        serde_json::from_slice(body).map_err(|error| format!("the heartbeat's body is not JSON: {error}"))?;
    let client_id = text(&json, "clientID").unwrap_or_default();
    if client_id.is_empty() {
        return Err("the heartbeat names no client (clientID)".into());
    }
    Ok(Heartbeat {
        client_id: client_id.to_owned(),
        producers: items(&json, "producerDataSet").filter_map(group_name).collect(),
        consumers: items(&json, "consumerDataSet").filter_map(consumer).collect(),
        fingerprint: number(&json, "heartbeatFingerprint"),
        without_subscriptions: flag(&json, "withoutSub"),
    })
}

fn consumer(json: &Value) -> Option<ConsumerBeat> {
    Some(ConsumerBeat {
        group: group_name(json)?,
        consume_type: match choice(json, "consumeType", &["CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"]) {
            Some(0) => ConsumeType::Actively,
            Some(2) => ConsumeType::Pop,
            _ => ConsumeType::Passively,
        },
        broadcasting: choice(json, "messageModel", &["BROADCASTING", "CLUSTERING"]) == Some(0),
        consume_from_where: choice(json, "consumeFromWhere", &CONSUME_FROM_WHERE)
            .and_then(|ordinal| CONSUME_FROM_WHERE.get(ordinal))
            .map_or_else(String::new, |name| (*name).to_owned()),
        subscriptions: items(json, "subscriptionDataSet").filter_map(subscription).collect(),
        unit_mode: flag(json, "unitMode"),
    })
}

/// A subscription that does not parse is left out: the pull that needs it says so.
fn subscription(json: &Value) -> Option<Subscription> {
    let topic = text(json, "topic").filter(|topic| !topic.is_empty())?;
    Subscription::parse(topic, text(json, "subString"), text(json, "expressionType"), number(json, "subVersion")).ok()
}

fn group_name(json: &Value) -> Option<String> {
    text(json, "groupName").filter(|name| !name.is_empty()).map(str::to_owned)
}

fn items<'a>(json: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    json.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(json: &'a Value, name: &str) -> Option<&'a str> {
    json.get(name)?.as_str()
}

fn number(json: &Value, name: &str) -> i64 {
    match json.get(name) {
        Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

fn flag(json: &Value, name: &str) -> bool {
    match json.get(name) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    }
}

/// The ordinal of an enum that came as a name in any case, or as the ordinal itself.
fn choice(json: &Value, name: &str, names: &[&str]) -> Option<usize> {
    match json.get(name)? {
        Value::String(text) => names.iter().position(|name| name.eq_ignore_ascii_case(text)),
        Value::Number(number) => number.as_u64().and_then(|ordinal| usize::try_from(ordinal).ok()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(consumer.consume_from_where, "CONSUME_FROM_FIRST_OFFSET");
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
        assert_eq!(consumer.consume_from_where, "CONSUME_FROM_LAST_OFFSET");
        assert_eq!(consumer.subscriptions[0].version, 12);
    }

    #[test]
    fn nonsense_is_refused_with_what_was_found() {
        assert!(parse(b"{").unwrap_err().contains("not JSON"));
        assert!(parse(b"{}").unwrap_err().contains("clientID"));
        assert!(parse(b"{\"clientID\":5,\"consumerDataSet\":7}").is_err());
    }
}
