//! Waits and peers as JSON.

use super::Both;
use axum::http::StatusCode;

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_summed_up_for_each_chain() {
    let Both { rig, emr, phd } = Both::connected(&["North"]).await;
    for text in ["one", "two", "three"] {
        rig.publish("text/plain", text).await;
    }
    emr.node.mine(0);
    rig.publish("text/plain", "waits").await;
    phd.node.mine(0);
    let waits = rig.anonymous("GET", "/api/v1/chains/emr/waits?blocks=1").await;
    assert_eq!(waits.status, StatusCode::OK, "{}", waits.text());
    let waits = waits.json();
    assert_eq!((&waits["chain"], &waits["from_height"], &waits["to_height"]), (&"emr".into(), &1.into(), &1.into()));
    assert_eq!((&waits["measured"]["count"], &waits["claimed"]["count"]), (&3.into(), &0.into()));
    let bins = waits["measured"]["histogram"].as_array().unwrap();
    assert_eq!(bins.len(), waits["bounds_ms"].as_array().unwrap().len() + 1);
    assert_eq!(bins.iter().map(|bin| bin.as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(
        (&waits["pending"]["count"], &waits["pending"]["with_measured_at_least"]["count"]),
        (&1.into(), &4.into())
    );
    assert_eq!(waits["blocks"][0]["measured_ms"].as_array().unwrap().len(), 3);
    assert_eq!(waits["groups"][0]["measured"]["count"], 3);
    let other = rig.anonymous("GET", "/api/v1/chains/phd/waits").await.json();
    assert_eq!((&other["measured"]["count"], &other["to_height"]), (&0.into(), &1.into()));
    for query in ["blocks=0", "blocks=513", "blocks=x", "blocks=-1", "other=1"] {
        rig.get(&format!("/api/v1/chains/emr/waits?{query}")).await.expect_error(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_told_with_what_the_node_thinks_of_them() {
    let Both { rig, emr: _emr, phd } = Both::connected(&["North"]).await;
    let peers = rig.anonymous("GET", "/api/v1/chains/phd/peers").await.json();
    assert_eq!(peers["chain"], "phd");
    let [known, banned] = [&peers["peers"][0], &peers["peers"][1]];
    assert_eq!((&known["address"], &known["direction"]), (&"192.0.2.1:7001".into(), &"both".into()));
    assert_eq!((&known["height"], &known["work"], &known["score"]), (&7.into(), &"19".into(), &40.into()));
    assert_eq!(
        (&banned["banned"], &banned["left_alone_ms"], &banned["height"]),
        (&true.into(), &60_000.into(), &().into())
    );
    phd.serving.stop().await;
    for rest in ["peers", "waits"] {
        rig.get(&format!("/api/v1/chains/xxx/{rest}")).await.expect_error(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_node_they_are_unavailable() {
    let rig = super::alone();
    for path in ["emr/peers", "emr/waits", "phd/peers", "phd/waits"] {
        rig.get(&format!("/api/v1/chains/{path}")).await.expect_error(503, "unavailable");
    }
}
