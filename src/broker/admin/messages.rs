//! Single messages for administrators and tools (INTEROP 06 §9).

use crate::base::position::PhyOffset;
use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;
use crate::broker::request::OwnedRequest;

/// VIEW_MESSAGE_BY_ID: the record at a position of the log, if one starts there.
pub(super) async fn view(handles: &Handles, request: &OwnedRequest) -> Answered {
    let offset = super::number(&request.ext, "offset")?;
    let missing = || Refusal::system(format!("can not find message by the offset, {offset}"));
    let position = PhyOffset(u64::try_from(offset).map_err(|_| missing())?);
    let store = handles.store.clone();
    let record = super::blocking(move || store.record_at(position)).await?.map_err(Refusal::system)?;
    record.map(Answer::body).ok_or_else(missing)
}
