//! The whole gateway in this process, against a node in this process.

mod access;
mod both;
mod bounds;
mod canary;
mod chains;
mod devices;
mod input;
mod links;
mod network;
mod node;
mod pages;
mod records;

use crate::access::{COOKIE, CSRF_HEADER};
use crate::clock::now_ms;
use crate::gateway::{Config, Gateway};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use blockhie_core::{Hash32, SecretKey, SignedRequest, keyfile};
use node::{FakeNode, Serving};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, read whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// That it is a typed error of this status and class.
    fn expect_error(&self, status: u16, class: &str) -> Value {
        let json = self.json();
        assert_eq!((self.status.as_u16(), json["error"]["class"].as_str()), (status, Some(class)), "{json}");
        assert!(!json["error"]["message"].as_str().unwrap().is_empty());
        json
    }
}

/// A gateway in a folder of its own.
struct Rig {
    gateway: Gateway,
    router: Router,
    token: String,
    folder: Arc<tempfile::TempDir>,
}

impl Rig {
    /// Opens it in a new folder; `url` is its node.
    fn open(url: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        keyfile::generate(&folder.path().join("key")).unwrap();
        Self::open_in(folder, url, None)
    }

    fn open_in(folder: Arc<tempfile::TempDir>, url: &str, phd: Option<&str>) -> Self {
        Self::open_with(folder, url, phd, Duration::ZERO)
    }

    fn open_with(folder: Arc<tempfile::TempDir>, url: &str, phd: Option<&str>, link_window: Duration) -> Self {
        let at = |name: &str| folder.path().join(name);
        let config = Config {
            data_dir: at("data"),
            key: at("key"),
            emr: url.to_owned(),
            phd: phd.map(str::to_owned),
            link_window,
            vault: at("vault"),
        };
        let gateway = Gateway::open(&config).unwrap();
        let token = read_token(gateway.token().0);
        Self { router: gateway.router(), gateway, token, folder }
    }

    /// Closes it and opens it again on what it left, as after a crash: no step of a clean stop is taken.
    async fn reopen(self, url: &str) -> Self {
        self.reopen_with(url, None).await
    }

    async fn reopen_with(self, url: &str, phd: Option<&str>) -> Self {
        let folder = self.kill().await;
        let rig = Self::open_in(folder, url, phd);
        rig.gateway.start().await;
        rig
    }

    /// Ends it without a step of a clean stop; what it left.
    async fn kill(self) -> Arc<tempfile::TempDir> {
        let Self { gateway, router, token: _, folder } = self;
        drop(router);
        gateway.abandon();
        drop(gateway);
        // Tasks end at their next turn; then the locks are free.
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if blockhie_store::KeyValue::open(&folder.path().join("data/index")).is_ok() {
                break;
            }
        }
        folder
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A request with the operator's token.
    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], Body::empty()).await
    }

    /// A request of somebody unknown.
    async fn anonymous(&self, method: &str, path: &str) -> Answer {
        self.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
    }

    /// A request signed with a key.
    async fn signed(&self, secret: &SecretKey, method: &str, path: &str) -> Answer {
        let header = SignedRequest::sign(secret, method, path, b"", now_ms());
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, header);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A request of somebody unknown, with a JSON body.
    async fn post_json(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    /// Asks for a transaction's state until it is this one.
    async fn wait_at(&self, status_url: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.anonymous("GET", status_url).await.json();
            if answer["state"] == state {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "expected {state}, got {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn publish(&self, media_type: &str, bytes: impl Into<Body>) -> Value {
        let answer = self.call("POST", "/api/v1/records", &[("content-type", media_type)], bytes).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json()
    }

    /// Asks for a record's state until it is this one.
    async fn wait_for(&self, record: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.get(&format!("/api/v1/records/{record}/status")).await.json();
            if answer["state"] == state {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "expected {state}, got {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Logs in: the cookie's pair and the page token.
    async fn log_in(&self) -> (String, String) {
        let form = format!("token={}", self.token);
        let request = Request::post("/login").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(request.body(form.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        assert!(cookie.starts_with(COOKIE));
        let page = self.with_cookie("GET", "/publish", &cookie, None, Body::empty()).await;
        let csrf = page.text().split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        (cookie, csrf)
    }

    async fn with_cookie(&self, method: &str, path: &str, cookie: &str, csrf: Option<&str>, body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::COOKIE, cookie);
        if let Some(csrf) = csrf {
            request = request.header(CSRF_HEADER, csrf);
        }
        self.send(request.body(body).unwrap()).await
    }
}

fn read_token(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

/// A gateway connected to a node of these members.
async fn connected(names: &[&str]) -> (Rig, Arc<FakeNode>, Serving) {
    let node = FakeNode::new(names);
    let serving = node.serve(0).await;
    let rig = Rig::open(&format!("http://{}", serving.address));
    rig.gateway.start().await;
    assert_eq!(rig.gateway.away(), None);
    (rig, node, serving)
}

/// The node of a chain and its serving, for [`Both`].
struct Chain {
    node: Arc<FakeNode>,
    serving: Serving,
}

impl Chain {
    async fn start(node: Arc<FakeNode>) -> Self {
        let serving = node.serve(0).await;
        Self { node, serving }
    }

    fn url(&self) -> String {
        format!("http://{}", self.serving.address)
    }
}

/// A gateway connected to a node of each chain.
struct Both {
    rig: Rig,
    emr: Chain,
    phd: Chain,
}

impl Both {
    /// With members of these names on both chains.
    async fn connected(names: &[&str]) -> Self {
        let (emr, phd) = (Chain::start(FakeNode::new(names)).await, Chain::start(FakeNode::phd(names)).await);
        let folder = Arc::new(tempfile::tempdir().unwrap());
        keyfile::generate(&folder.path().join("key")).unwrap();
        let rig = Rig::open_in(folder, &emr.url(), Some(&phd.url()));
        rig.gateway.start().await;
        assert_eq!(rig.gateway.away(), None);
        Self { rig, emr, phd }
    }
}

/// A gateway that never saw a node.
fn alone() -> Rig {
    Rig::open("http://127.0.0.1:1")
}

/// A part of a form: field, file name, media type, bytes; without a file name it is text.
type Part<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a [u8]);

fn multipart(parts: &[Part<'_>]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (field, file, media_type, bytes) in parts {
        let file = file.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
        let media = media_type.map(|text| format!("Content-Type: {text}\r\n")).unwrap_or_default();
        let head = format!("--XyZ\r\nContent-Disposition: form-data; name=\"{field}\"{file}\r\n{media}\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    ("multipart/form-data; boundary=XyZ".into(), body)
}

fn hash(value: &Value) -> Hash32 {
    value.as_str().unwrap().parse().unwrap()
}
