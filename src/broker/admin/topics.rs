//! Topics on behalf of administrators (INTEROP 06 §1, 02 notes).

use crate::broker::answer::{Answer, Answered, Refusal};
use crate::broker::handles::Handles;
use crate::broker::topics::{TopicConfig, TopicError, TopicFilterType};
use crate::net::request::OwnedRequest;
use crate::wire::body::DataVersion;
use crate::wire::codes::response;
use crate::wire::fastjson;

/// UPDATE_AND_CREATE_TOPIC: on disk and known to the reachable name servers when it is answered.
pub(super) async fn update(handles: &Handles, request: &OwnedRequest) -> Answered {
    let ext = &request.ext;
    let name = super::text(ext, "topic")?.to_owned();
    let topic = TopicConfig {
        read_queue_nums: unsigned(&name, "readQueueNums", super::number(ext, "readQueueNums")?)?,
        write_queue_nums: unsigned(&name, "writeQueueNums", super::number(ext, "writeQueueNums")?)?,
        perm: unsigned(&name, "perm", super::number(ext, "perm")?)?,
        topic_filter_type: filter_type(ext.get("topicFilterType"))?,
        sys_flag: ext.i32("topicSysFlag").unwrap_or(0),
        order: ext.bool("order").unwrap_or(false),
        topic_name: name.clone(),
        ..TopicConfig::default()
    };
    let attributes = ext.get("attributes").unwrap_or_default().to_owned();
    let topics = handles.topics.clone();
    super::blocking(move || topics.update(topic, &attributes)).await?.map_err(refuse)?;
    handles.appender.rules_changed();
    handles.registration.topic_changed(&name).await;
    Ok(Answer::empty())
}

/// UPDATE_AND_CREATE_TOPIC_LIST: all or, at the first that is refused, those before it.
pub(super) async fn update_list(handles: &Handles, request: &OwnedRequest) -> Answered {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct List {
        topic_config_list: Vec<TopicConfig>,
    }
    let list: List = fastjson::from_slice(&request.body)
        .map_err(|error| Refusal::system(format!("the body is no CreateTopicListRequestBody: {error}")))?;
    let topics = handles.topics.clone();
    let (last, updated) = super::blocking(move || {
        let mut last = None;
        let updated = list.topic_config_list.into_iter().try_for_each(|mut topic| {
            let attributes: Vec<String> = std::mem::take(&mut topic.attributes)
                .into_iter()
                .map(|(key, value)| if key.starts_with('-') { key } else { format!("{key}={value}") })
                .collect();
            let name = topic.topic_name.clone();
            topics.update(topic, &attributes.join(",")).map(|_| last = Some(name))
        });
        (last, updated)
    })
    .await?;
    handles.appender.rules_changed();
    if let Some(name) = last {
        handles.registration.topic_changed(&name).await;
    }
    updated.map_err(refuse)?;
    Ok(Answer::empty())
}

/// CLEAN_UNUSED_TOPIC: removes queues that no topic owns. Topics of the system keep theirs.
pub(super) async fn clean_unused(handles: &Handles) -> Answered {
    let (topics, store) = (handles.topics.clone(), handles.store.clone());
    super::blocking(move || {
        let table = topics.table();
        let unused = |topic: &&std::sync::Arc<str>| table.get(topic).is_none() && !topics.settings().is_system(topic);
        for topic in store.topics().iter().filter(unused) {
            store.delete_topic(topic).map_err(Refusal::system)?;
            tracing::info!("removed the queues of topic {topic}, which is not configured");
        }
        Ok(Answer::empty())
    })
    .await?
}

/// DELETE_TOPIC_IN_BROKER: the entry, the queues and the groups' offsets; unknown topics are as well as gone.
pub(super) async fn delete(handles: &Handles, request: &OwnedRequest) -> Answered {
    let name = super::text(&request.ext, "topic")?.to_owned();
    let (topics, offsets, store) = (handles.topics.clone(), handles.offsets.clone(), handles.store.clone());
    let stats = handles.stats.clone();
    super::blocking(move || {
        topics.delete(&name).map_err(refuse)?;
        store.delete_topic(&name).map_err(Refusal::system)?;
        offsets.delete_topic(&name);
        stats.forget_topic(&name);
        offsets.save_if_dirty().map_err(Refusal::system)
    })
    .await??;
    handles.appender.rules_changed();
    Ok(Answer::empty())
}

/// GET_ALL_TOPIC_CONFIG.
pub(super) fn all(handles: &Handles) -> Answered {
    let table = handles.topics.table();
    let topics: std::collections::BTreeMap<_, _> =
        table.iter().map(|topic| (topic.topic_name.as_str(), &**topic)).collect();
    super::json(&serde_json::json!({
        "dataVersion": table.version,
        "mappingDataVersion": DataVersion::default(),
        "topicConfigTable": topics,
        "topicQueueMappingDetailMap": {},
        "topicQueueMappingInfoMap": {},
    }))
}

fn unsigned(topic: &str, field: &'static str, found: i64) -> Result<u32, Refusal> {
    u32::try_from(found).map_err(|_| {
        Refusal::new(
            response::INVALID_PARAMETER,
            format!("the topic {topic} cannot be created with {field} = {found}: it has to be 0 or more"),
        )
    })
}

fn filter_type(text: Option<&str>) -> Result<TopicFilterType, Refusal> {
    match text {
        None | Some("SINGLE_TAG") => Ok(TopicFilterType::SingleTag),
        Some("MULTI_TAG") => Ok(TopicFilterType::MultiTag),
        Some(found) => Err(Refusal::system(format!(
            "topicFilterType = [{found}] value invalid: SINGLE_TAG and MULTI_TAG are possible"
        ))),
    }
}

/// Java's code for each reason.
pub(super) fn refuse(error: TopicError) -> Refusal {
    let code = match &error {
        TopicError::Name(_) | TopicError::System(_) | TopicError::Value { .. } => response::INVALID_PARAMETER,
        TopicError::NotExist(_) => response::TOPIC_NOT_EXIST,
        TopicError::File { .. } => response::SYSTEM_ERROR,
    };
    Refusal::new(code, error.to_string())
}
