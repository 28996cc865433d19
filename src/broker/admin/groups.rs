//! Consumer groups' settings on behalf of administrators (INTEROP 06 §1).

use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::groups::GroupError;
use crate::broker::handles::Handles;
use crate::net::request::OwnedRequest;
use crate::wire::body::{SubscriptionGroupConfig, SubscriptionGroupList};
use crate::wire::codes::response;
use crate::wire::fastjson;

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: on disk when it is answered.
pub(super) async fn update(handles: &Handles, request: &OwnedRequest) -> Answered {
    let group: SubscriptionGroupConfig = fastjson::from_slice(&request.body).map_err(|error| {
        Refusal::system(format!("the body is not the settings of a group (SubscriptionGroupConfig): {error}"))
    })?;
    let groups = handles.groups.clone();
    super::blocking(move || groups.update(group)).await?.map_err(refuse)?;
    handles.appender.rules_changed();
    Ok(Answer::empty())
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: all or, at the first that is refused, those before it.
pub(super) async fn update_list(handles: &Handles, request: &OwnedRequest) -> Answered {
    let list: SubscriptionGroupList = fastjson::from_slice(&request.body)
        .map_err(|error| Refusal::system(format!("the body is no SubscriptionGroupList: {error}")))?;
    let groups = handles.groups.clone();
    let updated =
        super::blocking(move || list.group_config_list.into_iter().try_for_each(|group| groups.update(group))).await?;
    handles.appender.rules_changed();
    updated.map_err(refuse)?;
    Ok(Answer::empty())
}

/// DELETE_SUBSCRIPTIONGROUP: the settings, and with `cleanOffset` (4.x: `removeOffset`) the offsets.
pub(super) async fn delete(handles: &Handles, request: &OwnedRequest) -> Answered {
    let name = super::text(&request.ext, "groupName")?.to_owned();
    let clean = ["cleanOffset", "removeOffset"].into_iter().any(|flag| request.ext.bool(flag).unwrap_or(false));
    let (groups, offsets, stats) = (handles.groups.clone(), handles.offsets.clone(), handles.stats.clone());
    super::blocking(move || {
        groups.delete(&name).map_err(refuse)?;
        stats.forget_group(&name);
        if clean {
            offsets.delete_group(&name);
        }
        offsets.save_if_dirty().map_err(Refusal::system)
    })
    .await??;
    handles.appender.rules_changed();
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
