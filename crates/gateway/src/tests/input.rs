//! Bad input of every route gets a typed answer; and the description of the API is whole.

use super::{alone, connected, multipart};
use crate::api::OPENAPI;
use crate::limits::{MAX_RECORD_BYTES, MAX_UPLOAD_FILES};
use crate::routes::table;
use axum::http::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn the_description_has_every_route_and_no_other() {
    let api: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(api["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string() && operation["responses"].is_object(), "{method} {path}");
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            described.insert((method.to_uppercase(), path.clone(), open));
        }
    }
    let page = |path: &str| {
        !path.starts_with("/api/") && !["/healthz", "/readyz", "/metrics", "/openapi.json"].contains(&path)
    };
    let routes = table();
    let served = routes.iter().filter(|route| !page(route.path));
    let public = |route: &crate::routes::Route| route.access == crate::access::Access::Public;
    let served: BTreeSet<_> =
        served.map(|route| (route.method.to_owned(), route.path.to_owned(), public(route))).collect();
    assert_eq!(described, served);
}

#[tokio::test(flavor = "multi_thread")]
async fn records() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let post = async |headers: &[(&str, &str)], body: Vec<u8>| rig.call("POST", "/api/v1/records", headers, body).await;
    post(&[], vec![]).await.expect_error(400, "invalid");
    post(&[], vec![7; MAX_RECORD_BYTES + 1]).await.expect_error(413, "too_large");
    post(&[], vec![7; 2 * MAX_RECORD_BYTES]).await.expect_error(413, "too_large");
    post(&[("content-type", "text/plain; charset=\"utf-8\"")], b"x".to_vec()).await.expect_error(400, "invalid");
    post(&[("content-type", "a".repeat(256).as_str())], b"x".to_vec()).await.expect_error(400, "invalid");
    for key in ["", "a".repeat(129).as_str(), "tab\there"] {
        post(&[("idempotency-key", key)], b"x".to_vec()).await.expect_error(400, "invalid");
    }
    let zero = "0".repeat(64);
    for addressee in ["", "ab", "zz", zero.as_str(), &"F".repeat(64)] {
        post(&[("x-blockhie-addressee", addressee)], b"x".to_vec()).await.expect_error(400, "invalid");
    }
    let form = |parts: &[super::Part<'_>]| multipart(parts);
    let many: Vec<super::Part<'_>> = vec![("file", Some("a"), None, b"x".as_slice()); MAX_UPLOAD_FILES + 1];
    let long = vec![1u8; MAX_RECORD_BYTES + 1];
    let half = vec![1u8; MAX_RECORD_BYTES];
    let cases: Vec<(Vec<super::Part<'_>>, u16)> = vec![
        (vec![], 400),
        (vec![("file", Some("a"), None, b"")], 400),
        (vec![("file", Some(""), None, b"")], 400),
        (vec![("file", Some("a"), Some("no \\ type"), b"x")], 400),
        (vec![("unknown", None, None, b"x"), ("file", Some("a"), None, b"x")], 400),
        (vec![("addressee", None, None, b"short"), ("file", Some("a"), None, b"x")], 400),
        (vec![("file", Some("a"), None, &long)], 413),
        (
            vec![("file", Some("a"), None, &half), ("file", Some("b"), None, &half), ("file", Some("c"), None, b"x")],
            413,
        ),
        (many, 400),
    ];
    for (parts, status) in cases {
        let (media_type, body) = form(&parts);
        let class = if status == 413 { "too_large" } else { "invalid" };
        post(&[("content-type", &media_type)], body).await.expect_error(status, class);
    }
    let (media_type, body) = form(&[("file", Some("a"), None, b"cut off")]);
    post(&[("content-type", &media_type)], body[..body.len() - 12].to_vec()).await.expect_error(400, "invalid");
    post(&[("content-type", "multipart/form-data")], b"x".to_vec()).await.expect_error(400, "invalid");
    assert_eq!(node.pending(), 0, "nothing of all that was taken");

    for id in ["x", "..%2f..%2fetc%2fpasswd", &"A".repeat(64), &"0".repeat(63), &"0".repeat(65), "%00"] {
        for rest in ["", "/opening", "/receipt", "/status"] {
            rig.get(&format!("/api/v1/records/{id}{rest}")).await.expect_error(400, "invalid");
        }
        rig.call("DELETE", &format!("/api/v1/records/{id}"), &[], "").await.expect_error(400, "invalid");
    }
    for rest in ["", "/opening", "/receipt", "/status"] {
        rig.get(&format!("/api/v1/records/{zero}{rest}")).await.expect_error(404, "not_found");
    }
    rig.call("DELETE", &format!("/api/v1/records/{zero}"), &[], "").await.expect_error(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_and_unknown_routes() {
    let (rig, node, _serving) = connected(&["North"]).await;
    node.mine(0);
    let blocks = "/api/v1/chains/emr/blocks";
    for query in ["?limit=0", "?limit=129", "?limit=x", "?from=-1", "?from=99999999999999999999", "?other=1"] {
        rig.get(&format!("{blocks}{query}")).await.expect_error(400, "invalid");
    }
    assert_eq!(rig.get(&format!("{blocks}?from=18446744073709551615")).await.json()["blocks"], Value::Array(vec![]));
    let all = rig.get(blocks).await.json();
    assert_eq!((&all["blocks"][0]["height"], &all["blocks"][1]["miner_name"]), (&0.into(), &"North".into()));
    assert_eq!(all["blocks"][1]["previous"], all["blocks"][0]["hash"]);
    let tip = rig.anonymous("GET", "/api/v1/chains/emr/tip").await.json();
    assert_eq!((&tip["height"], &tip["hash"], &tip["quorum"]), (&1.into(), &all["blocks"][1]["hash"], &1.into()));
    assert_eq!(tip["members"][0]["height"], 1);

    rig.get("/api/v1/nothing").await.expect_error(404, "not_found");
    for rest in ["tip", "blocks"] {
        let hint = rig.get(&format!("/api/v1/chains/phd/{rest}")).await.expect_error(503, "unavailable");
        assert!(hint["error"]["message"].as_str().unwrap().contains("--phd URL"), "{hint}");
        rig.get(&format!("/api/v1/chains/EMR/{rest}")).await.expect_error(404, "not_found");
    }
    rig.get("/assets/..%2fCargo.toml").await.expect_error(404, "not_found");
    rig.call("PUT", "/api/v1/records", &[], "x").await.expect_error(405, "method_not_allowed");
    rig.call("BREW", "/healthz", &[], "").await.expect_error(405, "method_not_allowed");
    for path in ["/emr/blocks/x", "/emr/tx/x", "/?emr=x"] {
        assert_eq!(rig.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    for path in [format!("/emr/blocks/{}", "0".repeat(64)), format!("/emr/tx/{}", "0".repeat(64)), "/nothing".into()] {
        let answer = rig.get(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.text().starts_with("<!doctype html>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify() {
    let (rig, node, _serving) = connected(&["North", "South"]).await;
    let taken = rig.publish("text/plain", "checked").await;
    let record = taken["record"].as_str().unwrap();
    node.mine(0);
    rig.wait_for(record, "in_block").await;
    let text = async |rest: &str| rig.get(&format!("/api/v1/records/{record}/{rest}")).await.body;
    let (early, opening) = (text("receipt").await, text("opening").await);
    node.mine(1);
    rig.wait_for(record, "final").await;
    let receipt = text("receipt").await;
    let check = async |parts: &[super::Part<'_>]| {
        let (media_type, body) = multipart(parts);
        rig.call("POST", "/api/v1/verify", &[("content-type", &media_type)], body).await
    };
    let three = |record: &'static [u8]| {
        [
            ("receipt", Some("r"), None, receipt.clone()),
            ("record", Some("f"), None, record.to_vec()),
            ("opening", Some("o"), None, opening.clone()),
        ]
    };
    let parts = three(b"checked");
    let parts: Vec<super::Part<'_>> = parts.iter().map(|(a, b, c, d)| (*a, *b, *c, d.as_slice())).collect();
    let good = check(&parts).await.json();
    assert_eq!((&good["verdict"], &good["exit_code"]), (&"proved".into(), &0.into()), "{good}");
    assert!(good["steps"].as_array().unwrap().iter().all(|step| step["holds"] == true));
    assert_eq!((&good["txhash"], &good["issuer"]), (&taken["txhash"], &"unknown key".into()));
    let parts = three(b"Checked");
    let parts: Vec<super::Part<'_>> = parts.iter().map(|(a, b, c, d)| (*a, *b, *c, d.as_slice())).collect();
    let bad = check(&parts).await.json();
    assert_eq!((&bad["verdict"], &bad["exit_code"]), (&"refuted".into(), &1.into()), "{bad}");
    let unfinished = check(&[("receipt", Some("r"), None, &early)]).await.json();
    assert_eq!((&unfinished["verdict"], &unfinished["exit_code"]), (&"not_final".into(), &2.into()));

    check(&[]).await.expect_error(400, "invalid");
    check(&[("receipt", Some("r"), None, b"{}")]).await.expect_error(422, "unreadable");
    check(&[("receipt", Some("r"), None, &receipt), ("record", Some("f"), None, b"x")])
        .await
        .expect_error(400, "invalid");
    check(&[("receipt", Some("r"), None, &receipt), ("receipt", Some("r"), None, &receipt)])
        .await
        .expect_error(400, "invalid");
    check(&[("receipt", Some("r"), None, &receipt), ("checkpoint", None, None, b"x")])
        .await
        .expect_error(400, "invalid");
    check(&[("other", Some("r"), None, &receipt)]).await.expect_error(400, "invalid");
    rig.call("POST", "/api/v1/verify", &[], "{}").await.expect_error(415, "unsupported_media_type");
    // Every flipped byte of a receipt is refuted or unreadable, never proved.
    for at in (0..receipt.len()).step_by(97) {
        let mut other = receipt.clone();
        other[at] ^= 1;
        let answer = check(&[("receipt", Some("r"), None, &other)]).await;
        assert!(answer.status == StatusCode::UNPROCESSABLE_ENTITY || answer.json()["verdict"] == "refuted", "{at}");
    }
}

#[tokio::test]
async fn login_reads_small_forms_only() {
    let rig = alone();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let wrong = rig.call("POST", "/login", &form, "token=wrong").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.header("set-cookie").is_empty());
    for body in ["", "other=1", &format!("token={}", "a".repeat(100_000))] {
        assert_eq!(rig.call("POST", "/login", &form, body.to_owned()).await.status, StatusCode::BAD_REQUEST);
    }
}
