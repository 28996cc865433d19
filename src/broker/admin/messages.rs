//! Single messages for administrators and tools (INTEROP 06 §9).

use std::sync::Arc;

use crate::base::position::PhyOffset;
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;
use crate::broker::send_back::{self, GivenBack, VERSION_3_4_9};
use crate::net::request::OwnedRequest;
use crate::store::ReadError;
use crate::wire::codes::response;
use crate::wire::message::RecordView;
use crate::wire::message::properties::{self, KEYS, UNIQ_KEY};

/// `defaultQueryMaxNum`: what a query by unique key takes.
const QUERY_NUM: usize = 32;
/// `maxMsgsNumBatch`: the most that any query takes.
const QUERY_NUM_MAX: usize = 64;
/// Records with the same hash and another key that are looked at beside the wanted ones.
const COLLISIONS_MAX: usize = 64;
/// Bytes of one answer, well within a frame; the first record is given whatever its size.
const QUERY_BYTES_MAX: usize = 8 << 20;

/// VIEW_MESSAGE_BY_ID: the record at a position of the log, if one starts there.
pub(super) async fn view(handles: &Handles, request: &OwnedRequest) -> Answered {
    let offset = super::number(&request.ext, "offset")?;
    let missing = || Refusal::system(format!("can not find message by the offset, {offset}"));
    let position = PhyOffset(u64::try_from(offset).map_err(|_| missing())?);
    let store = handles.store.clone();
    let record = super::blocking(move || store.record_at(position)).await?.map_err(Refusal::system)?;
    record.map(Answer::body).ok_or_else(missing)
}

/// QUERY_MESSAGE: by key or unique key, newest first until `maxNum`, given in the order of the log. Records that only share
/// the key's hash are left out.
pub(super) async fn query(handles: &Handles, request: &OwnedRequest) -> Answered {
    let ext = &request.ext;
    let (topic, key) = (super::text(ext, "topic")?.to_owned(), super::text(ext, "key")?.to_owned());
    let unique = ext.bool("_UNIQUE_KEY_QUERY").unwrap_or(false);
    let asked = if unique { QUERY_NUM } else { usize::try_from(super::number(ext, "maxNum")?).unwrap_or(0) };
    let wanted = asked.min(QUERY_NUM_MAX);
    let (begin, end) = (super::number(ext, "beginTimestamp")?, super::number(ext, "endTimestamp")?);
    let store = handles.store.clone();
    let found = super::blocking(move || {
        let positions = store.query(&topic, &key, wanted.saturating_add(COLLISIONS_MAX), begin, end)?;
        let mut records = Vec::new();
        let mut bytes = 0;
        for position in positions {
            let Some(record) = store.record_at(position)? else { continue };
            if !has_key(&record, &topic, &key) {
                continue;
            }
            bytes += record.len();
            if records.len() == wanted || (bytes > QUERY_BYTES_MAX && !records.is_empty()) {
                break;
            }
            records.push((position, record));
        }
        records.sort_by_key(|(position, _)| *position);
        Ok::<_, ReadError>(records.into_iter().flat_map(|(_, record)| record).collect::<Vec<u8>>())
    })
    .await?
    .map_err(Refusal::system)?;
    let (time, position) = if found.is_empty() { (0, 0) } else { handles.store.index_last_update() };
    let answer = if found.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        Answer { code: response::QUERY_NOT_FOUND, remark: Some(remark.into()), ..Answer::default() }
    } else {
        Answer::body(found)
    };
    Ok(answer.and("indexLastUpdateTimestamp", time).and("indexLastUpdatePhyoffset", position))
}

fn has_key(record: &[u8], topic: &str, key: &str) -> bool {
    let Ok(record) = RecordView::parse(record) else { return false };
    let text = record.properties();
    record.topic() == topic
        && (properties::get(text, UNIQ_KEY) == Some(key)
            || properties::get(text, KEYS).is_some_and(|keys| keys.split(' ').any(|one| one == key)))
}

/// CONSUMER_SEND_MSG_BACK: a consumer gives a message back to have it again later.
pub(super) async fn send_back(handles: &Arc<Handles>, request: &OwnedRequest) -> Answered {
    let ext = &request.ext;
    let given = GivenBack {
        group: super::text(ext, "group")?.to_owned(),
        offset: super::number(ext, "offset")?,
        delay_level: super::number(ext, "delayLevel")?.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32,
        max_reconsume_times: ext.i32("maxReconsumeTimes").filter(|_| request.version >= VERSION_3_4_9),
        unit_mode: ext.bool("unitMode").unwrap_or(false),
    };
    let shared = handles.clone();
    let made = super::blocking(move || send_back::take_back(&shared, &given)).await??;
    for topic in made {
        handles.registration.topic_changed(&topic.topic_name).await;
    }
    Ok(Answer::empty())
}
