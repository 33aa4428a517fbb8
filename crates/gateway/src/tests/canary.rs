//! Nothing of a record, a segment or a link, and no token, in the log, the metrics or an error.

use super::{connected, multipart};
use axum::body::Body;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Held(Arc<Mutex<Vec<u8>>>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Held {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One thread, so that everything the gateway does runs under this test's log at its most talkative.
#[tokio::test(flavor = "current_thread")]
async fn canaries_stay_inside() {
    const CANARY: &str = "CANARY-Jane-Doe-1970-01-01";
    let held = Held::default();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(held.clone()).finish();
    // Threads for blocking work log too: they take the global one.
    let _ = tracing::subscriber::set_global_default(log);
    let (rig, node, _serving) = connected(&["North"]).await;
    let media_type = format!("text/{CANARY}");
    let mut errors = String::new();
    let plain = rig.publish(&media_type, CANARY).await;
    let salt = plain["opening"]["salt"].as_str().unwrap().to_owned();
    for (file, field) in [("file", "file"), ("file", CANARY)] {
        let name = format!("{CANARY}.json");
        let parts = [
            (file, Some(name.as_str()), Some(media_type.as_str()), CANARY.as_bytes()),
            (field, Some(CANARY), None, b"x".as_slice()),
        ];
        let (form, body) = multipart(&parts);
        let headers = [("content-type", form.as_str()), ("idempotency-key", CANARY)];
        let answer = rig.call("POST", "/api/v1/records", &headers, body).await;
        if answer.status.as_u16() != 202 {
            errors.push_str(answer.text());
        }
    }
    let bad = [("content-type", format!("text/{CANARY}\"")), ("x-blockhie-addressee", CANARY.to_owned())];
    for (name, value) in &bad {
        let answer = rig.call("POST", "/api/v1/records", &[(name, value)], CANARY).await;
        assert_eq!(answer.status.as_u16(), 400);
        errors.push_str(answer.text());
    }
    let record = plain["record"].as_str().unwrap().to_owned();
    node.mine(0);
    rig.wait_for(&record, "final").await;
    for path in ["", "/opening", "/receipt", "/status"] {
        rig.get(&format!("/api/v1/records/{record}{path}")).await;
    }
    rig.get(&format!("/api/v1/records/{CANARY}")).await;
    rig.anonymous("GET", &format!("/{CANARY}?q={CANARY}")).await;
    let (cookie, csrf) = rig.log_in().await;
    rig.with_cookie("POST", "/api/v1/records", &cookie, Some(&csrf), Body::from(CANARY)).await;
    rig.call("DELETE", &format!("/api/v1/records/{record}"), &[], "").await;
    let metrics = rig.anonymous("GET", "/metrics").await.text().to_owned();

    let log = String::from_utf8(held.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("stored") && log.contains("/api/v1/records/{record}"), "the log was caught: {log}");
    assert!(
        metrics.contains("blockhie_gateway_records_total") && metrics.contains("route=\"/api/v1/records/{record}\"")
    );
    let session = cookie.split('=').nth(1).unwrap();
    let opening_hex = hex::encode(CANARY);
    let secrets = [CANARY, &salt, &rig.token, session, &csrf, &opening_hex];
    let ours = log.lines().filter(|line| !is_wire(line)).collect::<Vec<_>>().join("\n");
    for secret in secrets {
        assert!(!ours.contains(secret), "log: {}", ours.lines().find(|line| line.contains(secret)).unwrap_or_default());
        assert!(!metrics.contains(secret), "metrics");
    }
    assert!(!metrics.contains(&record), "no identifier is a label");
    assert!(!errors.contains(CANARY), "{errors}");
}

/// The same of readings and links. A test of its own process (nextest) has the log to itself.
#[tokio::test(flavor = "current_thread")]
async fn keys_of_segments_and_seeds_of_links_stay_inside() {
    let held = Held::default();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(held.clone()).finish();
    let ours = tracing::subscriber::set_global_default(log).is_ok();
    let both = super::Both::connected(&["North"]).await;
    let (secrets, names) = super::links::made_one_of_each(&both).await;
    let metrics = both.rig.anonymous("GET", "/metrics").await.text().to_owned();
    let log = String::from_utf8(held.0.lock().unwrap().clone()).unwrap();
    // Under `cargo test` another test may have the log: then only metrics are looked at here.
    assert!(!ours || log.contains("stored"), "the log was caught");
    let log = log.lines().filter(|line| !is_wire(line)).collect::<Vec<_>>().join("\n");
    for secret in &secrets {
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none() && !metrics.contains(secret), "{line:?}");
    }
    assert!(names.iter().all(|name| !metrics.contains(name)), "no identifier is a label");
    // The two halves of a link, or a link and its record, are in no line together.
    let [link, record, emr, phd] = &names[..] else { unreachable!() };
    for line in log.lines() {
        let named = [link, record, emr, phd].iter().filter(|name| line.contains(name.as_str())).count();
        assert!(named < 2 && !line.contains(link.as_str()), "{line}");
    }
}

/// Frames that the HTTP/2 library shows at TRACE, below any level that a release turns on: ciphertext never, but hashes.
fn is_wire(line: &str) -> bool {
    line.contains(" h2::") || line.contains(" hyper") || line.contains(" tonic")
}
