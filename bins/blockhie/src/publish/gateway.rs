//! The records of the gateway's HTTP interface, spoken.

use crate::failure::Failure;
use crate::http::{Access, Client, GatewayError, MAX_STATUS_BYTES};
use crate::status::Status;
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{Hash32, PublicKey};
use blockhie_emr::Opening;
use serde_json::Value;
use zeroize::Zeroizing;

/// Longest answer read, bytes: openings of a large batch.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// A record as acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    /// Its commitment.
    pub(crate) record: Hash32,
    /// Its opening, if the answer carries it.
    pub(crate) opening: Option<Opening>,
}

/// A gateway.
pub(crate) struct Gateway {
    client: Client,
    token: Option<Zeroizing<String>>,
}

/// What one request carries.
pub(crate) struct Upload<'a> {
    /// Content type of the whole body.
    pub(crate) content_type: &'a str,
    /// The body.
    pub(crate) body: &'a [u8],
    /// The idempotency key.
    pub(crate) key: &'a str,
    /// Whom the records are for.
    pub(crate) addressee: Option<&'a PublicKey>,
}

impl Gateway {
    /// See [`Client::new`].
    pub(crate) fn new(base: &str, token: Option<Zeroizing<String>>) -> Result<Self, Failure> {
        Ok(Self { client: Client::new(base)?, token })
    }

    fn access(&self) -> Access<'_> {
        self.token.as_ref().map_or(Access::Public, Access::Token)
    }

    /// Publishes; the same key gives the same answer, however often it is asked.
    pub(crate) fn publish(&self, upload: &Upload<'_>) -> Result<Vec<Acknowledged>, GatewayError> {
        let addressee = upload.addressee.map(ToString::to_string);
        let mut headers = vec![("Content-Type", upload.content_type), ("Idempotency-Key", upload.key)];
        headers.extend(addressee.as_deref().map(|key| ("X-Blockhie-Addressee", key)));
        let answer = self.client.post("/api/v1/records", self.access(), &headers, upload.body, MAX_ANSWER_BYTES)?;
        let bad = |reason| self.client.bad_answer(reason);
        let text = String::from_utf8(answer).map_err(|error| bad(error.to_string()))?;
        parse_acknowledged(&text).map_err(bad)
    }

    /// Where a record stands.
    pub(crate) fn status(&self, record: &Hash32) -> Result<Status, GatewayError> {
        self.client.json(&path(record, "status"), self.access(), MAX_STATUS_BYTES)
    }

    /// A record's opening.
    pub(crate) fn opening(&self, record: &Hash32) -> Result<Opening, GatewayError> {
        let text = self.client.get(&path(record, "opening"), self.access(), MAX_RECEIPT_BYTES as u64)?;
        Opening::parse(&text).map_err(|error| self.client.bad_answer(error.to_string()))
    }

    /// The text of a record's receipt.
    pub(crate) fn receipt(&self, record: &Hash32) -> Result<String, GatewayError> {
        self.client.text(&path(record, "receipt"), self.access(), MAX_RECEIPT_BYTES as u64)
    }
}

fn path(record: &Hash32, what: &str) -> String {
    format!("/api/v1/records/{record}/{what}")
}

fn parse_acknowledged(text: &str) -> Result<Vec<Acknowledged>, String> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let rows = match value.get_mut("records") {
        Some(rows) => match rows.take() {
            Value::Array(rows) => rows,
            other => return Err(format!("records: expected a list, got {other}")),
        },
        None => vec![value],
    };
    rows.into_iter().map(parse_row).collect()
}

fn parse_row(mut row: Value) -> Result<Acknowledged, String> {
    let record = row["record"].as_str().ok_or("record: expected 64 hex digits, got none")?;
    let record = record.parse().map_err(|error| format!("record: {error}"))?;
    // The opening comes as an object or as its text; a gateway that names only an address is asked for it.
    let opening = match row["opening"].take() {
        Value::Object(object) => Some(Value::Object(object)),
        Value::String(text) if text.starts_with('{') => serde_json::from_str(&text).ok(),
        _ => None,
    };
    let opening = opening.map(serde_json::from_value::<Opening>).transpose();
    let opening = opening.map_err(|error| format!("opening: {error}"))?;
    // The text that is kept has to be one that `verify` reads.
    if let Some(opening) = &opening {
        Opening::parse(opening.to_json().as_bytes()).map_err(|error| error.to_string())?;
    }
    Ok(Acknowledged { record, opening })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_single_or_in_lists() {
        let hash = "ab".repeat(32);
        let row = format!(r#"{{"record":"{hash}","txhash":"{hash}","status_url":"/x","opening":"/y"}}"#);
        assert_eq!(parse_acknowledged(&row).unwrap().len(), 1);
        let list = format!(r#"{{"records":[{row},{row}]}}"#);
        let parsed = parse_acknowledged(&list).unwrap();
        assert!(parsed.len() == 2 && parsed[1].record.to_string() == hash && parsed[1].opening.is_none());
        for wrong in ["", "[]", "{}", r#"{"record":"x"}"#, r#"{"records":1}"#, r#"{"records":[1]}"#] {
            assert!(parse_acknowledged(wrong).is_err(), "{wrong}");
        }
        let spoiled = format!(r#"{{"record":"{hash}","opening":{{"format":"x"}}}}"#);
        assert!(parse_acknowledged(&spoiled).is_err());
    }
}
