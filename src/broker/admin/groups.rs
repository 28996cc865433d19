//! Consumer groups' settings on behalf of administrators (INTEROP 06 §1).

use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::groups::{GroupConfig, GroupError};
use crate::broker::handles::Handles;
use crate::broker::request::OwnedRequest;
use crate::wire::codes::response;
use crate::wire::fastjson;

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: on disk when it is answered.
pub(super) async fn update(handles: &Handles, request: &OwnedRequest) -> Answered {
    let group: GroupConfig = fastjson::from_slice(&request.body).map_err(|error| {
        Refusal::system(format!("the body is not the settings of a group (SubscriptionGroupConfig): {error}"))
    })?;
    let groups = handles.groups.clone();
    super::blocking(move || groups.update(group)).await?.map_err(refuse)?;
    Ok(Answer::empty())
}

/// DELETE_SUBSCRIPTIONGROUP: the settings, and with `cleanOffset` (4.x: `removeOffset`) the offsets.
pub(super) async fn delete(handles: &Handles, request: &OwnedRequest) -> Answered {
    let name = super::text(&request.ext, "groupName")?.to_owned();
    let clean = ["cleanOffset", "removeOffset"].into_iter().any(|flag| request.ext.bool(flag).unwrap_or(false));
    let (groups, offsets) = (handles.groups.clone(), handles.offsets.clone());
    super::blocking(move || {
        groups.delete(&name).map_err(refuse)?;
        if clean {
            offsets.delete_group(&name);
        }
        offsets.save_if_dirty().map_err(Refusal::system)
    })
    .await??;
    Ok(Answer::empty())
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
pub(super) fn all(handles: &Handles) -> Answered {
    super::json(&handles.groups.document())
}

fn refuse(error: GroupError) -> Refusal {
    let code = match &error {
        GroupError::Name { .. } | GroupError::Value { .. } => response::INVALID_PARAMETER,
        GroupError::File { .. } => response::SYSTEM_ERROR,
    };
    Refusal::new(code, error.to_string())
}
