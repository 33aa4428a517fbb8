//! Records in and out.

use super::{FakeNode, Rig, alone, connected, hash, multipart};
use axum::http::StatusCode;
use blockhie_core::{Receipt, SecretKey, Trust, Verdict, verify_receipt};
use blockhie_emr::{Opening, check_record};
use serde_json::Value;

/// The precision of `1.50` and the white space are what a canonical form would lose.
const OBSERVATION: &str = "{ \"resourceType\" : \"Observation\",\r\n \"valueDecimal\": 1.50 }\n";
const FHIR: &str = "application/fhir+json";

fn expect_proved(node: &FakeNode, bytes: &[u8], opening: &str, receipt: &str) {
    let receipt = Receipt::parse(receipt.as_bytes()).unwrap();
    let opening = Opening::parse(opening.as_bytes()).unwrap();
    let trust = Trust { genesis: Some(&node.genesis), ..Trust::default() };
    let checked = verify_receipt(&receipt, &trust).unwrap();
    assert_eq!(checked.verdict, Verdict::Proved, "{:?}", checked.steps);
    let steps = check_record(Some(bytes), &opening, &checked, Some(&node.genesis));
    assert!(steps.iter().all(|step| step.holds == Some(true)), "{steps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_goes_its_way_and_comes_back_byte_for_byte() {
    let (rig, node, serving) = connected(&["North", "South"]).await;
    let taken = rig.publish(FHIR, OBSERVATION).await;
    let record = taken["record"].as_str().unwrap();
    let path = format!("/api/v1/records/{record}");
    assert_eq!(taken["status_url"], format!("{path}/status"));
    assert_eq!(node.pending(), 1, "answered only after the node has it");
    assert_eq!(rig.wait_for(record, "submitted").await["txhash"], taken["txhash"]);
    let early = rig.get(&format!("{path}/receipt")).await;
    assert_eq!(early.expect_error(409, "not_yet")["error"]["status"]["state"], "submitted");

    let block = node.mine(0);
    let status = rig.wait_for(record, "in_block").await;
    assert_eq!((&status["height"], &status["members"], &status["quorum"]), (&1.into(), &1.into(), &2.into()));
    assert_eq!(hash(&status["block"]), block);
    assert_eq!(rig.get(&format!("{path}/receipt")).await.status, StatusCode::OK);
    node.mine(1);
    rig.wait_for(record, "final").await;

    let bytes = rig.get(&path).await;
    assert_eq!(bytes.body, OBSERVATION.as_bytes());
    assert_eq!((bytes.header("content-type"), bytes.header("x-content-type-options")), (FHIR, "nosniff"));
    assert!(bytes.header("content-disposition").starts_with("attachment"));
    assert!(bytes.header("content-security-policy").contains("sandbox"));
    let opening = rig.get(&format!("{path}/opening")).await;
    let receipt = rig.get(&format!("{path}/receipt")).await;
    expect_proved(&node, OBSERVATION.as_bytes(), opening.text(), receipt.text());
    // The opening in the answer is the same document.
    let answered: Opening = serde_json::from_value(taken["opening"].clone()).unwrap();
    assert_eq!(answered.to_json(), opening.text());

    // Kept receipts and states are here without the node.
    let kept = async || rig.gateway.receipt_is_kept(&hash(&taken["record"])).await;
    for _ in 0..400 {
        if kept().await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(kept().await);
    serving.stop().await;
    let status = rig.wait_for(record, "final").await;
    assert_eq!((&status["height"], &status["members"]), (&1.into(), &2.into()));
    assert_eq!(rig.get(&format!("{path}/receipt")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_one_file_is_answered_like_raw_bytes() {
    let (rig, _node, _serving) = connected(&["North"]).await;
    let (media_type, body) = multipart(&[("file", Some("a.json"), Some(FHIR), b"{\"a\":1}")]);
    let answer = rig.call("POST", "/api/v1/records", &[("content-type", media_type.as_str())], body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let taken = answer.json();
    for field in ["record", "txhash", "status_url", "opening"] {
        assert!(!taken[field].is_null(), "{field} in {taken}");
        assert_eq!(taken[field], taken["records"][0][field]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_files_share_one_transaction() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let addressee = SecretKey::generate().unwrap().public().to_string();
    let files: [&[u8]; 3] = [b"{\"a\":1}", b"\x00\xff binary", b"third"];
    let (media_type, body) = multipart(&[
        ("file", Some("a.json"), Some(FHIR), files[0]),
        ("file", Some("b.bin"), None, files[1]),
        ("file", Some("c.txt"), Some("text/plain"), files[2]),
    ]);
    let headers = [("content-type", media_type.as_str()), ("x-blockhie-addressee", addressee.as_str())];
    let answer = rig.call("POST", "/api/v1/records", &headers, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    let taken = answer.json();
    let records = taken["records"].as_array().unwrap();
    assert_eq!((records.len(), node.pending()), (3, 1));
    node.mine(0);
    for (place, (record, bytes)) in records.iter().zip(files).enumerate() {
        let id = record["record"].as_str().unwrap();
        assert_eq!(record["txhash"], taken["txhash"]);
        assert_eq!(
            (&record["opening"]["batch"]["index"], &record["opening"]["addressee"]),
            (&place.into(), &addressee.as_str().into())
        );
        rig.wait_for(id, "final").await;
        let path = format!("/api/v1/records/{id}");
        assert_eq!(rig.get(&path).await.body, bytes);
        let (opening, receipt) = (rig.get(&format!("{path}/opening")).await, rig.get(&format!("{path}/receipt")).await);
        expect_proved(&node, bytes, opening.text(), receipt.text());
    }
    assert_eq!(
        rig.get(&format!("/api/v1/records/{}", records[1]["record"].as_str().unwrap())).await.header("content-type"),
        "application/octet-stream"
    );
}

async fn with_key(rig: &Rig, key: &str, bytes: &'static str) -> super::Answer {
    rig.call("POST", "/api/v1/records", &[("idempotency-key", key), ("content-type", "text/plain")], bytes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_publishes_once() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let (first, second) = tokio::join!(with_key(&rig, "k 1", "same"), with_key(&rig, "k 1", "same"));
    assert_eq!((first.status, second.status), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_eq!(first.json(), second.json());
    assert_eq!(node.pending(), 1);
    with_key(&rig, "k 1", "other").await.expect_error(409, "conflict");
    let other_type = [("idempotency-key", "k 1"), ("content-type", "text/html")];
    rig.call("POST", "/api/v1/records", &other_type, "same").await.expect_error(409, "conflict");
    assert_ne!(with_key(&rig, "k 2", "same").await.json()["record"], first.json()["record"]);

    // After an erasure the key does not bring the record back.
    let record = first.json()["record"].as_str().unwrap().to_owned();
    assert_eq!(rig.call("DELETE", &format!("/api/v1/records/{record}"), &[], "").await.status, StatusCode::OK);
    with_key(&rig, "k 1", "same").await.expect_error(409, "conflict");
    assert_eq!(node.pending(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_taken_without_the_node_and_submitted_when_it_is_back() {
    let node = FakeNode::new(&["North"]);
    let serving = node.serve(0).await;
    let (port, url) = (serving.address.port(), format!("http://{}", serving.address));
    let rig = Rig::open(&url);
    rig.gateway.start().await;
    serving.stop().await;

    let taken = with_key(&rig, "later", "waits").await;
    assert_eq!(taken.status, StatusCode::ACCEPTED, "{}", taken.text());
    let taken = taken.json();
    let record = taken["record"].as_str().unwrap();
    let status = rig.get(taken["status_url"].as_str().unwrap()).await.json();
    assert_eq!(status["state"], "queued");
    let early = rig.get(&format!("/api/v1/records/{record}/receipt")).await;
    assert_eq!(early.expect_error(409, "not_yet")["error"]["status"]["state"], "queued");
    assert_eq!(rig.get(&format!("/api/v1/records/{record}")).await.body, b"waits");

    // Killed while it is queued: it is all in the index.
    let rig = rig.reopen(&url).await;
    assert_eq!(with_key(&rig, "later", "waits").await.json(), taken, "the same answer after a restart");
    assert_eq!(rig.get(taken["status_url"].as_str().unwrap()).await.json()["state"], "queued");
    assert!(!node.knows(&hash(&taken["txhash"])));

    let _serving = node.serve(port).await;
    rig.wait_for(record, "submitted").await;
    node.mine(0);
    rig.wait_for(record, "final").await;
    assert_eq!(node.pending(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_lost_is_submitted_again() {
    let (rig, node, serving) = connected(&["North"]).await;
    let taken = rig.publish("text/plain", "kept here").await;
    let port = serving.address.port();
    serving.stop().await;
    // The same chain, from before the transaction.
    let older = node.emptied();
    let _serving = older.serve(port).await;
    let begun = std::time::Instant::now();
    while !older.knows(&hash(&taken["txhash"])) {
        assert!(begun.elapsed() < super::PATIENCE);
        older.mine(0);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_is_gone_and_certified() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let taken = rig.publish("text/plain", "to be forgotten").await;
    node.mine(0);
    let record = taken["record"].as_str().unwrap();
    rig.wait_for(record, "final").await;
    let path = format!("/api/v1/records/{record}");
    let certificate = rig.call("DELETE", &path, &[], "").await;
    assert_eq!(certificate.status, StatusCode::OK);
    let parsed = blockhie_emr::vault::ErasureCertificate::parse(&certificate.body).unwrap();
    assert!(parsed.is_signed() && parsed.record == hash(&taken["record"]));
    for rest in ["", "/opening", "/receipt", "/status"] {
        rig.get(&format!("{path}{rest}")).await.expect_error(404, "not_found");
    }
    assert_eq!(rig.call("DELETE", &path, &[], "").await.text(), certificate.text(), "erasing again says the same");
    assert!(rig.get("/publish").await.text().find(record).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_behind_the_address_is_refused() {
    let (rig, node, serving) = connected(&["North"]).await;
    rig.publish("text/plain", "on the first chain").await;
    let port = serving.address.port();
    serving.stop().await;
    let other = FakeNode::new(&["North"]);
    let _serving = other.serve(port).await;
    let begun = std::time::Instant::now();
    loop {
        let ready = rig.get("/readyz").await;
        let json = ready.expect_error(503, "unavailable");
        if json["error"]["message"].as_str().unwrap().contains("belongs to another chain") {
            break;
        }
        assert!(begun.elapsed() < super::PATIENCE, "{json}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let taken: Value = rig.publish("text/plain", "waits for its own chain").await;
    assert_eq!(taken["opening"]["chain_id"], node.genesis.chain_id().to_string());
    assert_eq!(other.pending(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_contact_there_is_no_chain_to_commit_to() {
    let rig = alone();
    let answer = rig.call("POST", "/api/v1/records", &[], "early").await;
    answer.expect_error(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "2");
    rig.get("/readyz").await.expect_error(503, "unavailable");
    assert_eq!(rig.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_chain_never_says_final() {
    let (rig, node, _serving) = connected(&[]).await;
    let taken = rig.publish("text/plain", "development").await;
    for _ in 0..4 {
        node.mine(0);
    }
    let status = rig.wait_for(taken["record"].as_str().unwrap(), "in_block").await;
    assert_eq!(status["quorum"], 0);
}
