//! Single messages for administrators and tools (INTEROP 06 §9).

use crate::base::position::PhyOffset;
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;
use crate::broker::request::OwnedRequest;
use crate::broker::send_back::{self, GivenBack, VERSION_3_4_9};
use std::sync::Arc;

/// VIEW_MESSAGE_BY_ID: the record at a position of the log, if one starts there.
pub(super) async fn view(handles: &Handles, request: &OwnedRequest) -> Answered {
    let offset = super::number(&request.ext, "offset")?;
    let missing = || Refusal::system(format!("can not find message by the offset, {offset}"));
    let position = PhyOffset(u64::try_from(offset).map_err(|_| missing())?);
    let store = handles.store.clone();
    let record = super::blocking(move || store.record_at(position)).await?.map_err(Refusal::system)?;
    record.map(Answer::body).ok_or_else(missing)
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
