//! Pages that show two chains, what they know of both, and what there is to check.

use super::{Answer, Both, alone, multipart};
use crate::clock::now_ms;
use axum::body::Body;
use axum::http::StatusCode;
use blockhie_core::{SecretKey, Transaction, TxHash, Verified};
use blockhie_phd::{Carriage, Decimal, Samples, Segment, Timing, enrol, prepare_segment};
use blockhie_transport::LedgerService;
use std::time::Instant;

impl Both {
    /// Sends a transaction to the node of the PHD-Chain, which mines it.
    async fn commit(&self, tx: Transaction<Verified>) -> TxHash {
        let hash = self.phd.node.submit(tx.into_unverified()).await.unwrap();
        self.phd.node.mine(0);
        hash
    }

    /// A device with one segment on the chain.
    async fn readings(&self) -> (SecretKey, Segment, TxHash) {
        let [owner, device] = [1, 2].map(|seed| SecretKey::from_seed([seed; 32]));
        let chain = self.phd.node.genesis.chain_id();
        self.commit(enrol(&chain, &owner, &device, now_ms())).await;
        let values: Vec<Decimal> = ["515", "8.50", "-0.25"].map(|text| text.parse().unwrap()).to_vec();
        let timing = Timing::Rate("1".parse().unwrap());
        let samples = Samples::new("8867-4", "/min", 1_700_000_000_000, timing, values);
        let segment = prepare_segment(&chain, &device, 1, &samples, Carriage::Blob, now_ms()).unwrap();
        let hash = self.commit(segment.transaction.clone()).await;
        (device, segment, hash)
    }

    /// Until the gateway shows this height of the PHD-Chain.
    async fn caught_up(&self, height: u64) {
        let begun = Instant::now();
        while self.rig.get("/readyz").await.json()["phd"]["height"] != height {
            assert!(begun.elapsed() < super::PATIENCE);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn page(&self, path: &str) -> Answer {
        self.rig.anonymous("GET", path).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_explorer_shows_both_chains() {
    let both = Both::connected(&["North"]).await;
    let (device, segment, hash) = both.readings().await;
    both.caught_up(2).await;
    let page = both.page("/").await;
    let (emr, phd) = page.text().split_once("data-chain=\"phd\"").unwrap();
    assert!(emr.contains("EMR-Chain") && emr.contains("data-height=\"0\"") && !emr.contains("data-height=\"2\""));
    assert!(phd.contains("PHD-Chain") && phd.contains("data-height=\"2\"") && phd.contains("href=\"/phd/blocks/"));
    assert_eq!(page.text().matches("<caption>").count(), 2);
    let shown = both.page(&format!("/phd/tx/{hash}")).await;
    let key = device.public().to_string();
    for text in
        ["READINGS", &format!("href=\"/devices/{key}\""), "1 to 3 (3)", "erasable", &segment.content.to_string()]
    {
        assert!(shown.text().contains(text), "{text} in {}", shown.text());
    }
    let block = shown.text().split("/phd/blocks/").nth(1).unwrap().get(..64).unwrap().to_owned();
    let block = both.page(&format!("/phd/blocks/{block}")).await;
    assert!(block.text().contains("Block 2") && block.text().contains(&format!("/phd/tx/{hash}")));
    for path in [format!("/emr/tx/{hash}"), format!("/xxx/tx/{hash}"), format!("/phd/blocks/{hash}")] {
        assert_eq!(both.page(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_what_there_is_and_shows_no_record_to_strangers() {
    let both = Both::connected(&["North"]).await;
    let (_, _, hash) = both.readings().await;
    let taken = both.rig.publish("text/plain", "a record").await;
    let record = taken["record"].as_str().unwrap();
    both.caught_up(2).await;
    let place = async |query: &str| {
        let answer = both.page(&format!("/search?q={query}")).await;
        (answer.status, answer.header("location").to_owned(), answer.text().to_owned())
    };
    assert_eq!(place(&hash.to_string()).await.1, format!("/phd/tx/{hash}"));
    assert_eq!(place(&format!("+0x{}+", hash.to_string().to_uppercase())).await.1, format!("/phd/tx/{hash}"));
    assert!(place("2").await.1.starts_with("/phd/blocks/"), "one chain alone is so high");
    let (status, _, text) = place("0").await;
    assert!(
        status == StatusCode::OK
            && text.contains("Block 0 of the EMR-Chain")
            && text.contains("Block 0 of the PHD-Chain")
    );
    let (status, _, text) = place(record).await;
    assert!(status == StatusCode::OK && text.contains("Nothing with that"), "{text}");
    let found = both.rig.get(&format!("/search?q={record}")).await;
    assert_eq!(found.header("location"), format!("/publish/records/{record}"));
    for query in ["%3Cscript%3E", "-1", "abc"] {
        assert!(place(query).await.2.contains("Expected a height, or 64"), "{query}");
    }
    assert!(place("").await.2.contains("key of a device"));
    both.phd.serving.stop().await;
    let answer = both.rig.anonymous("GET", "/search?q=0").await;
    assert!(
        answer.status == StatusCode::OK && answer.text().contains("Block 0 of the EMR-Chain"),
        "not gone to: half is unknown"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fairness_and_network_draw_both_chains() {
    let both = Both::connected(&["North"]).await;
    let hollow = both.page("/fairness").await;
    assert_eq!(hollow.text().matches("No transaction was committed").count(), 2);
    both.readings().await;
    both.rig.publish("text/plain", "waits").await;
    both.caught_up(2).await;
    tokio::time::sleep(crate::limits::WAITS_AGE).await;
    let page = both.page("/fairness?blocks=32").await;
    let (emr, phd) = page.text().split_once("id=\"fairness-phd\"").unwrap();
    assert!(emr.contains("1 transaction waits now") && emr.contains("still waiting, at least"));
    assert_eq!(phd.matches("class=\"bar measured\"").count(), blockhie_core::packing::WAIT_BINS);
    for text in ["Jain", "p50", "p90", "p99", "Longest", "aria-current=\"true\">32", "class=\"line median\""] {
        assert!(phd.contains(text) || emr.contains(text), "{text}");
    }
    assert!(!page.text().contains("proves nothing: read"), "all was measured");
    let network = both.page("/network").await;
    for text in
        ["North", "192.0.2.1:7001", "both ways", "banned for 60.0 s", "7, 5 ahead", "has not said", "Final up to"]
    {
        assert!(network.text().contains(text), "{text} in {}", network.text());
    }
}

#[tokio::test]
async fn without_nodes_the_pages_say_so() {
    let rig = alone();
    for path in ["/", "/network", "/fairness", "/search?q=1", "/verify"] {
        let page = rig.anonymous("GET", path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(path == "/verify" || page.text().contains("not connected yet"), "{path}: {}", page.text());
        assert!(["/verify", "/search?q=1"].contains(&path) || page.text().contains("--phd URL"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_verified_as_a_record_is() {
    let both = Both::connected(&["North"]).await;
    let (_, segment, hash) = both.readings().await;
    both.caught_up(2).await;
    let receipt = both.phd.node.receipt(hash).await.unwrap();
    let opening = segment.opening.to_json();
    let check = async |field: &str, data: &[u8]| {
        let parts = [
            ("receipt", Some("r"), None, receipt.as_bytes()),
            ("opening", Some("o"), None, opening.as_bytes()),
            (field, Some("d"), None, data),
        ];
        let (media_type, body) = multipart(&parts);
        let json = both.rig.call("POST", "/api/v1/verify", &[("content-type", &media_type)], body.clone()).await;
        let page = both.rig.call("POST", "/verify", &[("content-type", &media_type)], body).await;
        (json, page)
    };
    for field in ["segment", "record"] {
        let (json, page) = check(field, &segment.data).await;
        let report = json.json();
        assert_eq!((&report["verdict"], &report["chain"]), (&"proved".into(), &"phd".into()), "{report}");
        let names: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
        assert!(names.contains(&"segment".into()) && names.contains(&"samples".into()), "{names:?}");
        assert!(page.text().contains("Proved") && page.text().contains(&format!("/phd/tx/{hash}")));
    }
    let mut changed = segment.data.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let (json, page) = check("segment", &changed).await;
    assert_eq!(json.json()["verdict"], "refuted");
    assert!(page.text().contains("Refuted") && page.text().contains("class=\"bad\""));
    // Only half of what belongs together, or both kinds at once.
    for parts in [
        vec![("receipt", receipt.as_bytes()), ("segment", segment.data.as_slice())],
        vec![("receipt", receipt.as_bytes()), ("opening", opening.as_bytes())],
        vec![("receipt", receipt.as_bytes()), ("opening", opening.as_bytes()), ("segment", b"x"), ("record", b"x")],
    ] {
        let parts: Vec<super::Part<'_>> =
            parts.into_iter().map(|(field, bytes)| (field, Some("f"), None, bytes)).collect();
        let (media_type, body) = multipart(&parts);
        let answer = both.rig.call("POST", "/api/v1/verify", &[("content-type", &media_type)], Body::from(body)).await;
        answer.expect_error(400, "invalid");
    }
}

/// What a device's page is asked with.
fn sent(segment: &Segment, with_key: bool) -> serde_json::Value {
    serde_json::json!({
        "transaction": hex::encode(segment.transaction.to_bytes()),
        "sealed": hex::encode(&segment.sealed),
        "key": with_key.then(|| hex::encode(segment.key.as_bytes())),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_shows_its_readings_to_the_operator_alone() {
    let both = Both::connected(&["North"]).await;
    let rig = &both.rig;
    assert!(rig.get("/devices").await.text().contains("blockhie device register"));
    let [owner, device] = [3, 4].map(|seed| SecretKey::from_seed([seed; 32]));
    let chain = both.phd.node.genesis.chain_id();
    let key = device.public().to_string();
    assert_eq!(both.page(&format!("/devices/{key}")).await.status, StatusCode::NOT_FOUND);
    let enrolled = serde_json::json!({"transaction": hex::encode(enrol(&chain, &owner, &device, now_ms()).to_bytes())});
    assert_eq!(rig.post_json("/api/v1/devices", &enrolled).await.status, StatusCode::ACCEPTED);
    let page = rig.get(&format!("/devices/{key}")).await;
    assert!(page.text().contains("on its way") && page.text().contains("blockhie device push"), "{}", page.text());
    both.phd.node.mine(0);

    // 1 to 100 and 151 to 250 with their keys, 251 to 260 without.
    let part = |first: u64, count: u64| {
        let values = (first..first + count).map(|seq| format!("{}.5", 60 + seq % 7).parse().unwrap()).collect();
        let mut samples = Samples::new("8867-4", "/min", 1_700_000_000_000, Timing::Rate("1".parse().unwrap()), values);
        samples.skipped = first;
        prepare_segment(&chain, &device, first, &samples, Carriage::Blob, now_ms()).unwrap()
    };
    let segments = [sent(&part(1, 100), true), sent(&part(151, 100), true), sent(&part(251, 10), false)];
    let pushed =
        rig.post_json(&format!("/api/v1/devices/{key}/readings"), &serde_json::json!({"segments": segments})).await;
    assert_eq!(pushed.status, StatusCode::ACCEPTED, "{}", pushed.text());
    both.phd.node.mine(0);
    both.caught_up(2).await;
    let page = rig.get(&format!("/devices/{key}")).await;
    for text in [
        "8867-4",
        "200 readings",
        "1 gap",
        "no readings 101 to 150 here (50)",
        "101 to 150",
        "in /min",
        "sealed",
        &owner.public().to_string(),
    ] {
        assert!(page.text().contains(text), "{text} in {}", page.text());
    }
    assert_eq!(page.text().matches("class=\"line range\"").count(), 1);
    let hour = page.text().split(&format!("/devices/{key}?from=")).nth(2).unwrap().split('"').next().unwrap();
    assert_eq!(hour, (1_700_000_250_000u64 - 3_600_000).to_string());
    let late = rig.get(&format!("/devices/{key}?from=1700000201000&to=1700000211000")).await;
    assert!(
        late.text().contains("10 readings") && late.text().contains("&#38;from=1700000201000&#38;to="),
        "{}",
        late.text()
    );
    assert!(rig.get(&format!("/devices/{key}?from=1")).await.text().contains("200 readings"));
    assert!(rig.get(&format!("/devices/{key}?to=1")).await.text().contains("No reading in this span"));
    let next = rig.get(&format!("/devices/{key}?from_seq=200")).await;
    assert!(!next.text().contains(">1 to 100<") && next.text().contains(">151 to 250<"));
    rig.get(&format!("/devices/{key}?until=1")).await;
    assert!(rig.get("/devices").await.text().contains(&format!("/devices/{key}")));

    // What a device says is text: its code may hold markup.
    let timing = Timing::Rate("1".parse().unwrap());
    let samples = Samples::new("<i>x</i>", "<b>&amp;", 1_700_000_000_000, timing, vec!["1".parse().unwrap(); 5]);
    let odd = prepare_segment(&chain, &device, 301, &samples, Carriage::Blob, now_ms()).unwrap();
    let path = format!("/api/v1/devices/{key}/readings");
    let pushed = rig.post_json(&path, &serde_json::json!({"segments": [sent(&odd, true)]})).await;
    assert_eq!(pushed.status, StatusCode::ACCEPTED, "{}", pushed.text());
    let page = rig.get(&format!("/devices/{key}")).await;
    assert!(page.text().contains("&#60;i&#62;x") && page.text().contains("&#60;b&#62;&#38;amp;"));
    assert!(!page.text().contains("<i>") && !page.text().contains("<b>"));

    let outside = both.page(&format!("/devices/{key}")).await;
    assert_eq!(outside.status, StatusCode::OK);
    for secret in ["8867-4", "<svg class=\"chart\"", "151 to 250", "Segments", &owner.public().to_string()] {
        assert!(!outside.text().contains(secret), "{secret}");
    }
    assert!(!both.page("/devices").await.text().contains(&key[..8]));
    assert_eq!(both.page(&format!("/search?q={key}")).await.header("location"), format!("/devices/{key}"));
}
