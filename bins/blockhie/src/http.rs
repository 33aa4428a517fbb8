//! HTTP to a gateway. Redirects are not followed: what is sent goes where it was sent, or nowhere.

use crate::clock::now_ms;
use crate::failure::{EXIT_FORM, Failure};
use blockhie_core::SecretKey;
use blockhie_core::request::SignedRequest;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::time::Duration;
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

/// Longest answer about a state read, bytes.
pub(crate) const MAX_STATUS_BYTES: u64 = 64 << 10;
/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a body may take to go up: 64 MiB at 1 Mbit/s.
const SEND_TIME: Duration = Duration::from_secs(600);
/// How long an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Characters of a foreign error text that are told.
const MAX_TOLD_CHARS: usize = 500;
/// Longest token, bytes: HTTP servers take headers of about 8 KiB.
const MAX_TOKEN_BYTES: usize = 4_096;

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

    /// Whether the gateway asks for patience.
    pub(crate) fn busy(&self) -> bool {
        matches!(self, Self::Status { status, .. } if matches!(status.as_u16(), 425 | 429 | 503))
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

/// By what right something is asked.
#[derive(Clone, Copy)]
pub(crate) enum Access<'a> {
    /// Anybody's.
    Public,
    /// The operator's.
    Token(&'a Zeroizing<String>),
    /// That of this key: the request is signed with it.
    Key(&'a SecretKey),
}

impl Access<'_> {
    fn header(&self, method: &str, path: &str, body: &[u8]) -> Option<Zeroizing<String>> {
        match self {
            Self::Public => None,
            Self::Token(token) => Some(Zeroizing::new(format!("Bearer {}", token.as_str()))),
            Self::Key(secret) => Some(Zeroizing::new(SignedRequest::sign(secret, method, path, body, now_ms()))),
        }
    }
}

/// A gateway.
pub(crate) struct Client {
    base: String,
    agent: Agent,
}

impl Client {
    /// `base` is `http://host:port` or `https://host`, with or without a path.
    pub(crate) fn new(base: &str) -> Result<Self, Failure> {
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
            crate::output::note(
                "warning: http:// to another machine: records, readings and token can be read on the way",
            );
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
        Ok(Self { base: base.trim_end_matches('/').to_owned(), agent: config.build().into() })
    }

    /// Asks for `path`, which begins with `/api/` and may have a query; at most `limit` bytes are read.
    pub(crate) fn get(&self, path: &str, access: Access<'_>, limit: u64) -> Result<Vec<u8>, GatewayError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(value) = access.header("GET", path, &[]) {
            request = request.header("Authorization", value.as_str());
        }
        self.bytes(request.call(), limit)
    }

    /// As [`Client::get`], for a text.
    pub(crate) fn text(&self, path: &str, access: Access<'_>, limit: u64) -> Result<String, GatewayError> {
        String::from_utf8(self.get(path, access, limit)?).map_err(|error| self.bad_answer(error.to_string()))
    }

    /// As [`Client::get`], for JSON.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        access: Access<'_>,
        limit: u64,
    ) -> Result<T, GatewayError> {
        let bytes = self.get(path, access, limit)?;
        serde_json::from_slice(&bytes).map_err(|error| self.bad_answer(format!("{path}: {error}")))
    }

    /// Sends `body` to `path`.
    pub(crate) fn post(
        &self,
        path: &str,
        access: Access<'_>,
        headers: &[(&str, &str)],
        body: &[u8],
        limit: u64,
    ) -> Result<Vec<u8>, GatewayError> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("Accept", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = access.header("POST", path, body) {
            request = request.header("Authorization", value.as_str());
        }
        self.bytes(request.send(body), limit)
    }

    /// Sends JSON and reads JSON.
    pub(crate) fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        access: Access<'_>,
        body: &[u8],
        limit: u64,
    ) -> Result<T, GatewayError> {
        let bytes = self.post(path, access, &[("Content-Type", "application/json")], body, limit)?;
        serde_json::from_slice(&bytes).map_err(|error| self.bad_answer(format!("{path}: {error}")))
    }

    fn bytes(&self, answer: Result<Response<Body>, ureq::Error>, limit: u64) -> Result<Vec<u8>, GatewayError> {
        let unreachable =
            |error: ureq::Error| GatewayError::Unreachable { url: self.base.clone(), reason: told(&error) };
        let mut response = answer.map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        if status.is_success() {
            return body.map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(limit) => self.bad_answer(format!("expected at most {limit} bytes")),
                other => unreachable(other),
            });
        }
        let message = error_text(&body.unwrap_or_default());
        Err(GatewayError::Status { url: self.base.clone(), status, message })
    }

    /// An answer that breaks the interface.
    pub(crate) fn bad_answer(&self, reason: String) -> GatewayError {
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

/// The token in a file (`-`: on standard input), without white space around it. What stands there is never repeated.
pub(crate) fn read_token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let stdin = path == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let bytes = if stdin {
        let mut bytes = Vec::new();
        let read = std::io::stdin().take(MAX_TOKEN_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure::form(format!("token from {name}: {error}")))?;
        bytes
    } else {
        crate::files::read(path, MAX_TOKEN_BYTES, "token file")?
    };
    let bytes = Zeroizing::new(bytes);
    let token = std::str::from_utf8(&bytes).unwrap_or("").trim();
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let wanted =
            format!("token from {name}: expected one line of printable ASCII, at most {MAX_TOKEN_BYTES} bytes");
        return Err(Failure { code: EXIT_FORM, ..Failure::failed(wanted) });
    }
    Ok(Zeroizing::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::EXIT_USAGE;

    #[test]
    fn addresses_that_are_none_are_usage_errors_and_no_secret_is_repeated() {
        for bad in ["", "host", "127.0.0.1:80", "ftp://host", "http://", "http://h/?q", "http://a b"] {
            let failure = Client::new(bad).err().unwrap();
            assert_eq!(failure.code, EXIT_USAGE, "{bad}");
        }
        let failure = Client::new("http://user:hunter2@host").err().unwrap();
        assert!(failure.code == EXIT_USAGE && !failure.to_string().contains("hunter2"));
        for good in ["http://127.0.0.1:1", "http://[::1]:1/", "https://host/prefix/", "http://localhost"] {
            assert!(!Client::new(good).ok().unwrap().base.ends_with('/'));
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
    fn a_request_is_signed_by_the_key_that_asks() {
        let secret = SecretKey::from_seed([1; 32]);
        let header = Access::Key(&secret).header("POST", "/api/v1/x?a=1", b"body").unwrap();
        let signer = SignedRequest::check(&header, "POST", "/api/v1/x?a=1", b"body", now_ms());
        assert_eq!(signer, Ok(secret.public()));
        assert!(Access::Public.header("GET", "/", b"").is_none());
    }
}
