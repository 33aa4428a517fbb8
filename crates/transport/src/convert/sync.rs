//! What a node waits for.

use super::ConversionError;
use crate::limits::MAX_STATUS_CHARS;
use crate::pb::v1;
use crate::service::SyncInfo;
use std::time::Duration;

/// Characters of the one word.
const MAX_REASON_CHARS: usize = 32;

fn text(field: &'static str, text: String, most: usize) -> Result<String, ConversionError> {
    let count = text.chars().count();
    if (1..=most).contains(&count) {
        return Ok(text);
    }
    Err(ConversionError::new(field, format!("1 to {most} characters"), count.to_string()))
}

impl TryFrom<v1::SyncResponse> for SyncInfo {
    type Error = ConversionError;
    fn try_from(response: v1::SyncResponse) -> Result<Self, ConversionError> {
        Ok(Self {
            reason: text("sync.reason", response.reason, MAX_REASON_CHARS)?,
            text: text("sync.text", response.text, MAX_STATUS_CHARS + 1)?,
            lasting: Duration::from_millis(response.lasting_ms),
        })
    }
}

impl From<SyncInfo> for v1::SyncResponse {
    fn from(info: SyncInfo) -> Self {
        Self {
            reason: info.reason,
            text: crate::error::cut(info.text),
            lasting_ms: u64::try_from(info.lasting.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_there_and_bounded() {
        let info =
            |reason: &str, text: String| SyncInfo { reason: reason.into(), text, lasting: Duration::from_secs(3) };
        let good = info("synced", "synced".into());
        assert_eq!(SyncInfo::try_from(v1::SyncResponse::from(good.clone())).unwrap(), good);
        let long = v1::SyncResponse::from(info("refused", "é".repeat(5_000)));
        assert_eq!(SyncInfo::try_from(long).unwrap().text.chars().count(), MAX_STATUS_CHARS + 1);
        for (reason, text) in [("", "a"), ("a", ""), ("a word of more than thirty-two characters", "a")] {
            let (reason, text) = (reason.to_owned(), text.to_owned());
            assert!(SyncInfo::try_from(v1::SyncResponse { reason, text, lasting_ms: 0 }).is_err());
        }
        let text = "x".repeat(MAX_STATUS_CHARS + 2);
        assert!(SyncInfo::try_from(v1::SyncResponse { reason: "a".into(), text, lasting_ms: 0 }).is_err());
    }
}
