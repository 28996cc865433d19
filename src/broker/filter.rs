//! Subscriptions as the pull path needs them: a topic, a version and a test on tag hashes. Parsing follows Java's
//! rules for TAG expressions (INTEROP 06 §4, 03 §5); SQL92 texts are kept but never evaluated here.

use smallvec::SmallVec;

use crate::wire::message::java_hash;

/// Expression type of tag subscriptions, also meant when a request names none.
pub const TAG: &str = "TAG";

/// Which tag hashes a subscription lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TagFilter {
    /// Every message.
    #[default]
    All,
    /// Messages whose tag has one of these hashes (Java `String.hashCode`), sorted.
    Codes(SmallVec<[i32; 4]>),
}

impl TagFilter {
    /// Whether a consume-queue entry with this tag hash passes; only the low 32 bits of the stored hash count.
    pub fn matches(&self, tags_code: i64) -> bool {
        match self {
            TagFilter::All => true,
            TagFilter::Codes(codes) => codes.contains(&(tags_code as i32)),
        }
    }
}

/// One group's subscription to one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Topic.
    pub topic: String,
    /// The expression as the client wrote it.
    pub text: String,
    /// `TAG`, `SQL92`, or whatever else was sent.
    pub expression_type: String,
    /// Version that the client gave it: milliseconds, from Go clients nanoseconds.
    pub version: i64,
    /// The test on tag hashes; `All` for anything but TAG.
    pub tags: TagFilter,
}

/// The expression cannot be parsed: it consists of separators alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription has no tag between its || separators")]
pub struct SubscriptionError;

impl Subscription {
    /// Reads an expression by Java's rules: absent, empty or `*` is everything, otherwise tags separated by `||`.
    pub fn parse(
        topic: &str,
        text: Option<&str>,
        expression_type: Option<&str>,
        version: i64,
    ) -> Result<Self, SubscriptionError> {
        let expression_type = expression_type.filter(|kind| !kind.is_empty()).unwrap_or(TAG);
        let text = text.unwrap_or_default();
        let tags = if expression_type == TAG { tags(text)? } else { TagFilter::All };
        if expression_type != TAG && text.is_empty() {
            return Err(SubscriptionError);
        }
        Ok(Subscription {
            topic: topic.to_owned(),
            text: text.to_owned(),
            expression_type: expression_type.to_owned(),
            version,
            tags,
        })
    }

    /// Whether it is a tag subscription.
    pub fn is_tag(&self) -> bool {
        self.expression_type == TAG
    }
}

fn tags(text: &str) -> Result<TagFilter, SubscriptionError> {
    if text.is_empty() || text == "*" {
        return Ok(TagFilter::All);
    }
    // Java splits first and refuses only when nothing at all comes out, as for "||"; blank parts are skipped.
    if text.split("||").all(str::is_empty) {
        return Err(SubscriptionError);
    }
    let mut codes: SmallVec<[i32; 4]> =
        text.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(java_hash).collect();
    codes.sort_unstable();
    codes.dedup();
    Ok(TagFilter::Codes(codes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_read_as_java_reads_them() {
        let parse = |text| Subscription::parse("T", text, None, 0).map(|subscription| subscription.tags);
        assert_eq!(parse(None), Ok(TagFilter::All));
        assert_eq!(parse(Some("")), Ok(TagFilter::All));
        assert_eq!(parse(Some("*")), Ok(TagFilter::All));
        assert_eq!(parse(Some("||")), Err(SubscriptionError));
        let two = parse(Some("TagA || TagC")).unwrap();
        assert!(two.matches(i64::from(java_hash("TagA"))) && two.matches(i64::from(java_hash("TagC"))));
        assert!(!two.matches(i64::from(java_hash("TagB"))));
        assert!(two.matches(2_598_919));
        assert!(Subscription::parse("T", Some(""), Some("SQL92"), 0).is_err());
        assert!(!Subscription::parse("T", Some("a > 1"), Some("SQL92"), 0).unwrap().is_tag());
    }
}
