//! Printing what is in queues: over a span of time, of one queue, from an offset on.

use super::arguments::Arguments;
use super::output::Output;
use super::session::Session;
use super::source::{Pulled, Source, time};
use super::{Failure, Message, json_of};
use crate::wire::codes::response;

/// Messages of one pull.
const PULL_COUNT: i64 = 32;

pub(in crate::admin) fn print(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let expression = given.get("subExpression").unwrap_or("*");
    let with_body = given.bool("printBody")?.unwrap_or(true);
    let (from, to) = (time(session, given, "beginTimestamp")?, time(session, given, "endTimestamp")?);
    charset(given)?;
    let topic = given.need("topic")?;
    for source in Source::all(session, topic, given.get("lmqParentTopic").unwrap_or(topic))? {
        let (min, max) = (source.begin(session, from)?, source.end(session, to)?);
        out.line(format_args!("minOffset={min}, maxOffset={max}, {}", source.text()))?;
        let mut offset = min;
        while offset < max {
            let pulled = source.pull(session, offset, PULL_COUNT, expression)?;
            offset = pulled.next.max(offset + i64::from(!pulled.ends()));
            match pulled.code {
                response::SUCCESS => print_all(&pulled.messages, with_body, out)?,
                response::PULL_RETRY_IMMEDIATELY => no_match(&source, &pulled, out)?,
                _ => {
                    finished(&source, &pulled, out)?;
                    break;
                }
            }
        }
        out.line("-".repeat(56))?;
    }
    Ok(())
}

pub(in crate::admin) fn print_queue(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    let queue_id = given.number("queueId")?.unwrap_or(0);
    let source = Source::one(session, given.need("topic")?, given.need("brokerName")?, queue_id)?;
    let expression = given.get("subExpression").unwrap_or("*");
    let (prints, counts) = (given.bool("print")?.unwrap_or(false), given.bool("calculate")?.unwrap_or(false));
    let with_body = given.bool("printBody")?.unwrap_or(false);
    charset(given)?;
    let min = source.begin(session, time(session, given, "beginTimestamp")?)?;
    let max = source.end(session, time(session, given, "endTimestamp")?)?;
    let mut tags: Vec<(String, u64)> = Vec::new();
    let mut offset = min;
    while offset < max {
        let pulled = source.pull(session, offset, PULL_COUNT, expression)?;
        if pulled.ends() {
            break;
        }
        offset = pulled.next.max(offset + 1);
        if prints {
            print_all(&pulled.messages, with_body, out)?;
        }
        for tag in pulled.messages.iter().filter_map(|message| message.property("TAGS")) {
            match tags.iter_mut().find(|(known, _)| known == tag) {
                Some((_, count)) => *count += 1,
                None => tags.push((tag.to_owned(), 1)),
            }
        }
    }
    if counts {
        tags.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (tag, count) in tags {
            out.row("Tag: %-30s Count: %s", &[("tag", tag.into()), ("count", count.into())])?;
        }
    }
    Ok(())
}

/// Bodies are shown as UTF-8; nobody writes anything else any more.
fn charset(given: &Arguments) -> Result<(), Failure> {
    match given.get("charsetName") {
        Some(name) if !["utf-8", "utf8", "us-ascii", "ascii"].contains(&name.to_lowercase().as_str()) => {
            Err(Failure::Usage(format!("--charsetName {name}: bodies can be shown as UTF-8 only")))
        }
        _ => Ok(()),
    }
}

fn print_all(messages: &[Message], with_body: bool, out: &mut Output<'_>) -> Result<(), Failure> {
    for message in messages {
        if out.is_json() {
            out.record(json_of(message, with_body))?;
            continue;
        }
        let body = if with_body { message.body_text() } else { "NOT PRINT BODY".to_owned() };
        out.line(format_args!("MSGID: {} {} BODY: {body}", message.id(), message.text()))?;
    }
    Ok(())
}

fn no_match(source: &Source, pulled: &Pulled, out: &mut Output<'_>) -> Result<(), Failure> {
    out.line(format_args!("{} no matched msg. status={}, offset={}", source.text(), pulled.status(), pulled.next))
}

fn finished(source: &Source, pulled: &Pulled, out: &mut Output<'_>) -> Result<(), Failure> {
    out.line(format_args!("{} print msg finished. status={}, offset={}", source.text(), pulled.status(), pulled.next))
}

pub(in crate::admin) fn consume(session: &Session, given: &Arguments, out: &mut Output<'_>) -> Result<(), Failure> {
    const COUNT: i64 = 128;
    let topic = given.need("topic")?;
    let count: i64 = given.number("MessageNumber")?.unwrap_or(COUNT);
    let (from, to) = (time(session, given, "beginTimestamp")?, time(session, given, "endTimestamp")?);
    if count < 1 {
        return Err(Failure::Usage(format!("-c {count}: at least one message is needed")));
    }
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Failure::Usage("the begin has to be before the end".to_owned()));
    }
    match (given.get("brokerName"), given.number("queueId")?) {
        (None, None) if !given.has("offset") => {
            let mut left = count;
            for source in Source::all(session, topic, topic)? {
                if left <= 0 {
                    break;
                }
                let (min, mut max) = (source.begin(session, from)?, source.end(session, to)?);
                if max - min > left {
                    out.line(format_args!(
                        "The older {left} message of the {} queue will be provided",
                        source.queue.queue_id
                    ))?;
                    max = min + left - 1;
                    left = 0;
                } else {
                    left -= max - min;
                }
                consume_from(session, &source, min, max, out)?;
            }
            Ok(())
        }
        (Some(broker), Some(queue_id)) => {
            let source = Source::one(session, topic, broker, queue_id)?;
            let (min, mut max) = (source.begin(session, from)?, source.end(session, to)?);
            let wanted: i64 = given.number("offset")?.unwrap_or(min);
            if wanted > max {
                return out.line(format_args!("{} no matched msg, offset={wanted}", source.text()));
            }
            let min = min.max(wanted);
            if max - min > count {
                out.line(format_args!("The oldler {count} message will be provided"))?;
                max = min + count - 1;
            }
            consume_from(session, &source, min, max, out)
        }
        _ => Err(Failure::Usage("a queue is named by -b and -i together, and -o needs both".to_owned())),
    }
}

/// Prints what lies from `offset` to `last`, both included.
fn consume_from(
    session: &Session,
    source: &Source,
    mut offset: i64,
    last: i64,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    while offset <= last {
        let pulled = source.pull(session, offset, (last - offset + 1).min(PULL_COUNT), "*")?;
        if pulled.ends() {
            return finished(source, &pulled, out);
        }
        offset = pulled.next.max(offset + 1);
        if pulled.code == response::SUCCESS {
            out.line("Consume ok")?;
            print_all(&pulled.messages, true, out)?;
        } else {
            no_match(source, &pulled, out)?;
        }
    }
    Ok(())
}
