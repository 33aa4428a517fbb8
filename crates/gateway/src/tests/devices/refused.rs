//! Who may, and bad input.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn who_may_see_a_device() {
    let both = Both::connected(&["North"]).await;
    let (pair, other) = (enrolled(&both).await, enrolled(&both).await);
    let rig = &both.rig;
    pair.push_taken(rig, &[blob(&pair.segment(0, 5, Carriage::Blob))]).await;
    let rests = [
        "",
        "/receipt",
        "/readings",
        "/segments/0/receipt",
        "/segments/0/sealed",
        "/segments/0/data",
        "/segments/0/opening",
    ];
    let missing = Pair::new(&both.phd);
    let stranger = SecretKey::generate().unwrap();
    for rest in rests {
        let path = format!("{}{rest}", pair.path());
        for secret in [&pair.owner, &pair.device] {
            let answer = rig.signed(secret, "GET", &path).await;
            assert!(answer.status == StatusCode::OK || rest == "/segments/0/receipt", "{rest}: {}", answer.text());
        }
        assert_ne!(rig.get(&path).await.status, StatusCode::NOT_FOUND, "{rest}");
        // Missing and forbidden are told apart by nobody.
        for secret in [&stranger, &other.owner, &other.device] {
            let forbidden = rig.signed(secret, "GET", &path).await;
            let absent = rig.signed(secret, "GET", &format!("{}{rest}", missing.path())).await;
            forbidden.expect_error(404, "not_found");
            let same = forbidden.text().replace(&pair.key().to_string(), &missing.key().to_string());
            assert_eq!((same.as_str(), &forbidden.headers), (absent.text(), &absent.headers), "{rest}");
        }
        rig.anonymous("GET", &path).await.expect_error(401, "unauthenticated");
        // Signed for another path, another method, or too long ago.
        let header =
            |method: &str, path: &str, ms| blockhie_core::SignedRequest::sign(&pair.owner, method, path, b"", ms);
        for value in [
            header("GET", &pair.path().replace("v1", "v2"), now_ms()),
            header("POST", &path, now_ms()),
            header("GET", &path, now_ms() - 61_000),
        ] {
            let request = axum::http::Request::get(&path).header("authorization", value);
            rig.send(request.body(axum::body::Body::empty()).unwrap()).await.expect_error(401, "unauthenticated");
        }
    }
    let path = pair.segment_path(0, "");
    rig.anonymous("DELETE", &path).await.expect_error(401, "unauthenticated");
    for secret in [&stranger, &other.owner, &other.device] {
        rig.signed(secret, "DELETE", &path).await.expect_error(404, "not_found");
    }
    rig.signed(&pair.owner, "GET", "/api/v1/devices").await.expect_error(401, "unauthenticated");
    // A session changes nothing without the page's token.
    let (cookie, csrf) = rig.log_in().await;
    let delete = async |csrf| rig.with_cookie("DELETE", &path, &cookie, csrf, axum::body::Body::empty()).await;
    delete(None).await.expect_error(403, "forbidden");
    assert_eq!(rig.get(&pair.segment_path(0, "/data")).await.status, StatusCode::OK, "nothing was erased");
    assert_eq!(delete(Some(csrf.as_str())).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_devices_are_refused() {
    let both = Both::connected(&["North"]).await;
    let rig = &both.rig;
    let pair = Pair::new(&both.phd);
    let post = async |text: String| rig.post_json("/api/v1/devices", &json!({ "transaction": text })).await;
    let good = enrol(&pair.chain, &pair.owner, &pair.device, now_ms()).to_bytes();
    let emr = both.emr.node.genesis.chain_id();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let ahead = enrol(&pair.chain, &pair.owner, &pair.device, now_ms() + 120_000).to_bytes();
    let readings = pair.segment(0, 1, Carriage::Inline).transaction.to_bytes();
    let other_chain = enrol(&emr, &pair.owner, &pair.device, now_ms()).to_bytes();
    for bytes in [&good[..good.len() - 1], &flipped, &ahead, &readings, &other_chain, &[], &[0; 200]] {
        post(hex::encode(bytes)).await.expect_error(400, "invalid");
    }
    for text in [hex::encode(&good).to_uppercase(), format!("{}0", hex::encode(&good)), "xyz".into()] {
        post(text).await.expect_error(400, "invalid");
    }
    for body in [json!({}), json!([]), json!({"transaction": 1}), json!({"transaction": "", "more": 1})] {
        rig.post_json("/api/v1/devices", &body).await.expect_error(400, "invalid");
    }
    post("0".repeat(10_000)).await.expect_error(413, "too_large");
    rig.call("POST", "/api/v1/devices", &[], "not json").await.expect_error(400, "invalid");
    assert_eq!((both.phd.node.pending(), rig.get("/api/v1/devices").await.json()), (0, json!({"devices": []})));
    for key in ["x", &"A".repeat(64), &"0".repeat(64), &"0".repeat(63)] {
        for rest in ["", "/status", "/receipt", "/readings", "/segments/0/data", "/segments/0/status"] {
            rig.get(&format!("/api/v1/devices/{key}{rest}")).await.expect_error(400, "invalid");
        }
        let path = format!("/api/v1/devices/{key}/readings");
        rig.post_json(&path, &json!({"segments": []})).await.expect_error(400, "invalid");
    }
    for query in ["?limit=0", "?limit=1000000", "?from_seq=x", "?other=1"] {
        rig.get(&format!("{}{query}", pair.path())).await.expect_error(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_readings_are_refused() {
    let both = Both::connected(&["North"]).await;
    let (pair, other) = (enrolled(&both).await, enrolled(&both).await);
    let rig = &both.rig;
    let segment = pair.segment(0, 4, Carriage::Blob);
    let change = |field: &str, value: Value| {
        let mut sent = blob(&segment);
        sent[field] = value;
        sent
    };
    let mut longer = segment.sealed.clone();
    longer.push(0);
    let mut flipped = segment.sealed.clone();
    flipped[30] ^= 1;
    let inline = pair.segment(0, 4, Carriage::Inline);
    let foreign =
        Pair { chain: both.emr.node.genesis.chain_id(), owner: pair.owner.clone(), device: pair.device.clone() };
    let cases = [
        change("sealed", json!(null)),
        change("sealed", json!(hex::encode(&longer))),
        change("sealed", json!(hex::encode(&flipped))),
        json!({"sealed": hex::encode(&flipped), "key": null, "transaction": blob(&segment)["transaction"]}),
        change("sealed", json!("0g")),
        change("key", json!(hex::encode(other.segment(0, 4, Carriage::Blob).key.as_bytes()))),
        change("key", json!("00")),
        change("key", json!(hex::encode(pair.segment(4, 4, Carriage::Blob).key.as_bytes()))),
        change("transaction", json!(hex::encode(enrol(&pair.chain, &pair.owner, &pair.device, now_ms()).to_bytes()))),
        change("transaction", json!("")),
        change("more", json!(1)),
        blob(&other.segment(0, 4, Carriage::Blob)),
        blob(&foreign.segment(0, 4, Carriage::Blob)),
        sent(&inline, Carriage::Blob, true),
        json!({}),
    ];
    for bad in cases {
        pair.push(rig, &[blob(&pair.segment(10, 4, Carriage::Blob)), bad]).await.expect_error(400, "invalid");
    }
    pair.push(rig, &[]).await.expect_error(400, "invalid");
    let many = vec![blob(&segment); MAX_SEGMENTS + 1];
    pair.push(rig, &many).await.expect_error(400, "invalid");
    let text = "0".repeat(2 * MAX_SEALED_BYTES + 2);
    pair.push(rig, &[change("sealed", json!(text))]).await.expect_error(400, "invalid");
    let text = "0".repeat(crate::limits::MAX_READINGS_BYTES);
    pair.push(rig, &[change("sealed", json!(text))]).await.expect_error(413, "too_large");
    // A key that opens what is not readings, or not as many as are said.
    let stranger = Pair::new(&both.phd);
    stranger.push(rig, &[blob(&stranger.segment(0, 4, Carriage::Blob))]).await.expect_error(404, "not_found");
    assert_eq!(both.phd.node.pending(), 0, "nothing of all that was taken");
    assert_eq!(rig.get(&pair.path()).await.json()["segments"], json!([]));
    for seq in ["x", "-1", "01", "99999999999999999999"] {
        rig.get(&format!("{}/segments/{seq}/data", pair.path())).await.expect_error(400, "invalid");
    }
    for rest in ["/status", "/receipt", "/sealed", "/data", "/opening"] {
        rig.get(&pair.segment_path(7, rest)).await.expect_error(404, "not_found");
    }
    rig.call("DELETE", &pair.segment_path(7, ""), &[], "").await.expect_error(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_phd_chain_there_are_no_devices() {
    let (rig, _node, _serving) = crate::tests::connected(&["North"]).await;
    let key = SecretKey::generate().unwrap().public();
    for path in
        ["/api/v1/devices".to_owned(), format!("/api/v1/devices/{key}"), format!("/api/v1/devices/{key}/readings")]
    {
        let error = rig.get(&path).await.expect_error(503, "unavailable");
        assert!(error["error"]["message"].as_str().unwrap().contains("--phd URL"), "{error}");
    }
    rig.post_json("/api/v1/devices", &json!({"transaction": ""})).await.expect_error(503, "unavailable");
}
