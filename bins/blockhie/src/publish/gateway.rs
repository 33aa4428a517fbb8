//! The gateway's HTTP interface, spoken. Redirects are not followed: a record goes where it was sent, or nowhere.

use crate::failure::Failure;
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{BlockHash, Hash32, PublicKey, TxHash};
use blockhie_emr::Opening;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

/// Longest answer read, bytes: openings of a large batch.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Longest status answer read, bytes.
const MAX_STATUS_BYTES: u64 = 64 << 10;
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a record may take to go up: 64 MiB at 1 Mbit/s.
const SEND_TIME: Duration = Duration::from_secs(600);
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Characters of a foreign error text that are told.
const MAX_TOLD_CHARS: usize = 500;

/// Why the gateway did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// No answer.
    #[error("gateway {url}: no answer: {reason}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// An HTTP error.
    #[error("gateway {url}: {status}: {message}")]
    Status {
        /// Who was asked.
        url: String,
        /// The status.
        status: StatusCode,
        /// What it said.
        message: String,
    },
    /// An answer that is not of the interface.
    #[error("gateway {url}: answer breaks the interface: {reason}")]
    BadAnswer {
        /// Who was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl GatewayError {
    /// Whether the same question may have an answer later.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 425 | 429),
            Self::BadAnswer { .. } => false,
        }
    }

    /// Whether the gateway does not know what it was asked for.
    pub(crate) fn not_found(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether what was asked contradicts what the gateway knows of the same key.
    pub(crate) fn conflict(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::CONFLICT)
    }

    /// For a person.
    pub(crate) fn failure(&self) -> Failure {
        let hint = match self {
            Self::Unreachable { .. } => {
                "is the gateway running, and is that its `listen=` address? Nothing is lost: run the same command again"
            }
            Self::Status { status, .. } => match status.as_u16() {
                401 => "the gateway wants a token: give the file it is in with --token-file",
                403 => "this token may not publish here: ask whoever runs the gateway",
                404 => "is that the gateway's address, and is it the gateway that the file was published with?",
                413 => "the gateway takes smaller records only, or fewer in a batch: ask whoever runs it",
                409 => "",
                300..=399 => "redirects are not followed: give the address it points to, if you trust it",
                _ if self.passes() => "nothing is lost: run the same command again",
                _ => "",
            },
            Self::BadAnswer { .. } => "is that a gateway of this release? Nothing is lost: run the same command again",
        };
        Failure::failed(self).hint(hint)
    }
}

/// A record as acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    /// Its commitment.
    pub(crate) record: Hash32,
    /// Its opening, if the answer carries it.
    pub(crate) opening: Option<Opening>,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// At the gateway.
    Queued,
    /// At a node.
    Submitted,
    /// In a block.
    InBlock,
    /// A quorum of members has built on it.
    Final,
    /// Committed without effect.
    Void,
    /// The node does not know it (yet).
    Unknown,
}

/// A record's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    pub(crate) txhash: Option<TxHash>,
    pub(crate) state: State,
    pub(crate) height: Option<u64>,
    pub(crate) block: Option<BlockHash>,
    pub(crate) members: Option<u32>,
    pub(crate) quorum: Option<u32>,
    pub(crate) reason: Option<String>,
}

/// A gateway.
pub(crate) struct Gateway {
    base: String,
    token: Option<Zeroizing<String>>,
    agent: Agent,
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
    /// `base` is `http://host:port` or `https://host`, with or without a path.
    pub(crate) fn new(base: &str, token: Option<Zeroizing<String>>) -> Result<Self, Failure> {
        let bad = |reason: &str| {
            Failure::usage(format!("--gateway: expected http://HOST:PORT or https://HOST, got {base:?}: {reason}"))
                .hint("for example --gateway http://127.0.0.1:8080")
        };
        let uri: Uri = base.parse().map_err(|error| bad(&format!("{error}")))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("no host"))?.to_owned();
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("no http:// or https:// before the host"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Failure::usage("--gateway: expected no user or password in the address")
                .hint("put the token into a file and give it with --token-file"));
        }
        if uri.query().is_some() {
            return Err(bad("it has a query"));
        }
        let here = is_loopback(&host);
        if !here && uri.scheme_str() == Some("http") {
            crate::output::note("warning: http:// to another machine: records and token can be read on the way");
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_TIME))
            .timeout_send_body(Some(SEND_TIME))
            .timeout_recv_response(Some(ANSWER_TIME))
            .timeout_recv_body(Some(ANSWER_TIME));
        if here {
            // A proxy for the outer world must not see what stays on this machine.
            config = config.proxy(None);
        }
        Ok(Self { base: base.trim_end_matches('/').to_owned(), token, agent: config.build().into() })
    }

    /// Publishes; the same key gives the same answer, however often it is asked.
    pub(crate) fn publish(&self, upload: &Upload<'_>) -> Result<Vec<Acknowledged>, GatewayError> {
        let mut request = self
            .agent
            .post(format!("{}/api/v1/records", self.base))
            .header("Content-Type", upload.content_type)
            .header("Accept", "application/json")
            .header("Idempotency-Key", upload.key);
        if let Some(key) = upload.addressee {
            request = request.header("X-Blockhie-Addressee", key.to_string());
        }
        if let Some(token) = self.bearer() {
            request = request.header("Authorization", token.as_str());
        }
        let text = self.text(request.send(upload.body), MAX_ANSWER_BYTES)?;
        parse_acknowledged(&text).map_err(|reason| self.bad_answer(reason))
    }

    /// Where a record stands.
    pub(crate) fn status(&self, record: &Hash32) -> Result<Status, GatewayError> {
        let text = self.get(record, "status", MAX_STATUS_BYTES)?;
        serde_json::from_str(&text).map_err(|error| self.bad_answer(format!("status: {error}")))
    }

    /// A record's opening.
    pub(crate) fn opening(&self, record: &Hash32) -> Result<Opening, GatewayError> {
        let text = self.get(record, "opening", MAX_RECEIPT_BYTES as u64)?;
        Opening::parse(text.as_bytes()).map_err(|error| self.bad_answer(error.to_string()))
    }

    /// The text of a record's receipt.
    pub(crate) fn receipt(&self, record: &Hash32) -> Result<String, GatewayError> {
        self.get(record, "receipt", MAX_RECEIPT_BYTES as u64)
    }

    fn get(&self, record: &Hash32, what: &str, limit: u64) -> Result<String, GatewayError> {
        let mut request = self.agent.get(format!("{}/api/v1/records/{record}/{what}", self.base));
        if let Some(token) = self.bearer() {
            request = request.header("Authorization", token.as_str());
        }
        self.text(request.call(), limit)
    }

    fn bearer(&self) -> Option<Zeroizing<String>> {
        self.token.as_ref().map(|token| Zeroizing::new(format!("Bearer {}", token.as_str())))
    }

    fn text(&self, answer: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<String, GatewayError> {
        let unreachable =
            |error: ureq::Error| GatewayError::Unreachable { url: self.base.clone(), reason: told(&error) };
        let mut response = answer.map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        if status.is_success() {
            let bytes = body.map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(limit) => self.bad_answer(format!("expected at most {limit} bytes")),
                other => unreachable(other),
            })?;
            return String::from_utf8(bytes).map_err(|error| self.bad_answer(error.to_string()));
        }
        let message = error_text(&body.unwrap_or_default());
        Err(GatewayError::Status { url: self.base.clone(), status, message })
    }

    fn bad_answer(&self, reason: String) -> GatewayError {
        GatewayError::BadAnswer { url: self.base.clone(), reason }
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn told(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// `{"error":{"class","message"}}`, or whatever else stands there, cut and made printable.
fn error_text(bytes: &[u8]) -> String {
    let text = serde_json::from_slice::<Value>(bytes)
        .ok()
        .and_then(|value| value["error"]["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(bytes).trim().to_owned());
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(MAX_TOLD_CHARS).map(printable).collect();
    if text.is_empty() { "no reason given".into() } else { text }
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
    use crate::failure::EXIT_USAGE;

    #[test]
    fn addresses_that_are_none_are_usage_errors_and_no_secret_is_repeated() {
        for bad in ["", "host", "127.0.0.1:80", "ftp://host", "http://", "http://h/?q", "http://a b"] {
            let failure = Gateway::new(bad, None).err().unwrap();
            assert_eq!(failure.code, EXIT_USAGE, "{bad}");
        }
        let failure = Gateway::new("http://user:hunter2@host", None).err().unwrap();
        assert!(failure.code == EXIT_USAGE && !failure.to_string().contains("hunter2"));
        for good in ["http://127.0.0.1:1", "http://[::1]:1/", "https://host/prefix/", "http://localhost"] {
            assert!(!Gateway::new(good, None).ok().unwrap().base.ends_with('/'));
        }
    }

    #[test]
    fn errors_are_told_as_the_gateway_said_them() {
        assert_eq!(error_text(br#"{"error":{"class":"invalid","message":"too long"}}"#), "too long");
        assert_eq!(error_text(b"<html>\x1b[31m"), "<html> [31m");
        assert_eq!(error_text(b""), "no reason given");
        assert_eq!(error_text(&[b'a'; 10_000]).len(), MAX_TOLD_CHARS);
    }

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
