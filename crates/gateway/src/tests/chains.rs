//! Two chains beside each other.

use super::{Both, Chain, FakeNode, Rig};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use std::time::{Duration, Instant};
use tower::ServiceExt;

#[tokio::test(flavor = "multi_thread")]
async fn each_chain_has_its_own_tip_blocks_and_metrics() {
    let Both { rig, emr, phd } = Both::connected(&["North"]).await;
    emr.node.mine(0);
    let hashes: Vec<_> = (0..3).map(|_| phd.node.mine(0)).collect();
    let last = hashes[2];
    let tip = async |chain: &str| rig.anonymous("GET", &format!("/api/v1/chains/{chain}/tip")).await.json();
    let (one, other) = (tip("emr").await, tip("phd").await);
    assert_eq!((&one["chain"], &one["height"]), (&"emr".into(), &1.into()));
    assert_eq!((&other["chain"], &other["height"]), (&"phd".into(), &3.into()));
    assert_eq!(other["hash"], last.to_string());
    assert_eq!(other["chain_id"], phd.node.genesis.chain_id().to_string());
    let blocks = rig.get("/api/v1/chains/phd/blocks?from=3").await.json();
    assert_eq!(blocks["blocks"][0]["hash"], last.to_string());

    let begun = Instant::now();
    let heights =
        |ready: &super::Answer| (ready.json()["emr"]["height"].clone(), ready.json()["phd"]["height"].clone());
    loop {
        let ready = rig.get("/readyz").await;
        if heights(&ready) == (1.into(), 3.into()) {
            break;
        }
        assert!(begun.elapsed() < super::PATIENCE, "{}", ready.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = rig.get("/metrics").await;
    for line in ["node_connected{chain=\"emr\"} 1", "node_connected{chain=\"phd\"} 1", "height{chain=\"phd\"} 3"] {
        assert!(metrics.text().contains(line), "{line} in {}", metrics.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_chain_away_is_said_and_the_other_goes_on() {
    let Both { rig, emr: _emr, phd } = Both::connected(&["North"]).await;
    phd.serving.stop().await;
    let begun = Instant::now();
    loop {
        let ready = rig.get("/readyz").await;
        if ready.status == StatusCode::SERVICE_UNAVAILABLE {
            let error = ready.expect_error(503, "unavailable");
            assert!(error["error"]["message"].as_str().unwrap().starts_with("phd: "), "{error}");
            break;
        }
        assert!(begun.elapsed() < super::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rig.get("/api/v1/chains/emr/tip").await.status, StatusCode::OK);
    rig.get("/api/v1/chains/phd/tip").await.expect_error(503, "unavailable");
    rig.publish("text/plain", "goes on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_name_their_chain() {
    let Both { rig, emr, phd } = Both::connected(&["North"]).await;
    let request = Request::get("/api/v1/events").body(Body::empty()).unwrap();
    let mut chunks = rig.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    emr.node.mine(0);
    phd.node.mine(0);
    phd.node.mine(0);
    let mut seen = String::new();
    let is_there = |seen: &str, chain: &str, height: u64| {
        let head = format!("{{\"chain\":\"{chain}\",\"connected\":true,\"height\":{height},");
        seen.contains(&head)
    };
    while !is_there(&seen, "emr", 1) || !is_there(&seen, "phd", 2) {
        let chunk = tokio::time::timeout(super::PATIENCE, chunks.next()).await.unwrap().unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_from_before_the_second_chain_goes_on_and_each_chain_stays_the_same() {
    // As an earlier release left it: the genesis of the EMR-Chain under its old name.
    let emr = Chain::start(FakeNode::new(&["North"])).await;
    let rig = Rig::open(&emr.url());
    let index = rig.folder.path().join("data/index");
    rig.gateway.start().await;
    rig.publish("text/plain", "before").await;
    let phd = Chain::start(FakeNode::phd(&["North"])).await;
    let (emr_url, phd_url) = (emr.url(), phd.url());
    let Rig { gateway, router, folder, .. } = rig;
    drop((router, gateway.abandon(), gateway));
    let kept = loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Ok(index) = blockhie_store::KeyValue::open(&index) {
            break index.get(b"gateway/genesis").unwrap();
        }
    };
    assert_eq!(kept, Some(emr.node.genesis.to_bytes()));
    let rig = Rig::open_in(folder, &emr_url, Some(&phd_url));
    rig.gateway.start().await;
    assert_eq!(rig.gateway.away(), None);
    // Nodes that change places are not taken for each other.
    let rig = rig.reopen_with(&phd_url, Some(&emr_url)).await;
    let away = rig.gateway.away().unwrap();
    assert!(away.contains("expected the emr chain, got the phd chain"), "{away}");
    // Another PHD-Chain is refused as another EMR-Chain is.
    let other = Chain::start(FakeNode::phd(&["North"])).await;
    let rig = rig.reopen_with(&emr_url, Some(&other.url())).await;
    let away = rig.gateway.away().unwrap();
    assert!(away.starts_with("phd: ") && away.contains("belongs to another chain"), "{away}");
}
