//! Links that are refused, and who sees none.

use super::super::devices::{Pair, wait_until};
use super::super::{Both, connected};
use super::{PATHS, Parties, body, path, post, settle, taken};
use crate::clock::now_ms;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use blockhie_core::{Hash32, SecretKey};
use blockhie_coupling::{LinkTerms, Seed};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn who_may_link_and_who_may_see() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let rig = &both.rig;
    let terms = parties.terms(&both);
    let stranger = SecretKey::generate().unwrap();
    let (owner, holder) = (terms.sign(&parties.pair.owner), terms.sign(&parties.holder));
    let missing_record = LinkTerms { record: Hash32([7; 32]), ..terms.clone() };
    let missing_device = LinkTerms { device: stranger.public(), ..terms.clone() };
    let swapped = LinkTerms { emr: terms.phd, phd: terms.emr, ..terms.clone() };
    // What is not here and what is not theirs look alike.
    let refused = [
        body(&terms, terms.sign(&stranger), Some(holder)),
        body(&terms, owner, Some(terms.sign(&stranger))),
        body(&terms, holder, Some(owner)),
        body(&terms, swapped.sign(&parties.pair.owner), Some(swapped.sign(&parties.holder))),
        body(&missing_record, missing_record.sign(&parties.pair.owner), Some(missing_record.sign(&parties.holder))),
        body(&missing_device, missing_device.sign(&parties.pair.owner), Some(missing_device.sign(&parties.holder))),
    ];
    let mut texts = Vec::new();
    for body in refused {
        let answer = post(rig, &body).await;
        answer.expect_error(404, "not_found");
        texts.push(answer.body);
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(both.emr.node.pending() + both.phd.node.pending(), 0);

    taken(rig, &parties.body(&terms)).await;
    settle(&both, &terms).await;
    let absent = LinkTerms { seed: Seed::generate().unwrap(), ..terms.clone() };
    for rest in PATHS {
        let here = path(&terms, rest);
        for secret in [&parties.pair.owner, &parties.holder, &parties.audience] {
            assert_eq!(rig.signed(secret, "GET", &here).await.status, StatusCode::OK, "{rest}");
        }
        assert_eq!(rig.get(&here).await.status, StatusCode::OK, "{rest}");
        for secret in [&stranger, &parties.pair.device] {
            let (forbidden, none) =
                (rig.signed(secret, "GET", &here).await, rig.signed(secret, "GET", &path(&absent, rest)).await);
            forbidden.expect_error(404, "not_found");
            let same = forbidden.text().replace(&terms.seed.link_id().to_string(), &absent.seed.link_id().to_string());
            assert_eq!((same.as_str(), &forbidden.headers), (none.text(), &none.headers), "{rest}");
        }
        rig.anonymous("GET", &here).await.expect_error(401, "unauthenticated");
        rig.get(&path(&absent, rest)).await.expect_error(404, "not_found");
        for id in ["x", &"A".repeat(64), &"0".repeat(63)] {
            rig.get(&format!("/api/v1/links/{id}{rest}")).await.expect_error(400, "invalid");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_links_are_refused() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let terms = parties.terms(&both);
    let good = parties.body(&terms);
    let zero = "0".repeat(64);
    for (field, value) in [
        ("seed", json!(zero[1..])),
        ("seed", json!("A".repeat(64))),
        ("seed", json!(7)),
        ("record", json!("x")),
        ("device", json!(zero)),
        ("audience", json!(zero)),
        ("expiry_ms", json!(now_ms() - 1)),
        ("expiry_ms", json!(1u64 << 53)),
        ("expiry_ms", json!("soon")),
        ("owner_signature", json!("00")),
        ("owner_signature", json!(null)),
        ("holder_signature", json!(1)),
        ("more", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let error = post(&both.rig, &bad).await.expect_error(400, "invalid");
        assert!(!error.to_string().contains(&hex::encode(terms.seed.as_bytes())), "the seed is not repeated");
    }
    for text in ["", "[]", "{}", "not json"] {
        let request = Request::post("/api/v1/links").body(Body::from(text)).unwrap();
        both.rig.send(request).await.expect_error(400, "invalid");
    }
    let mut long = good.clone();
    long["seed"] = json!("0".repeat(10_000));
    post(&both.rig, &long).await.expect_error(413, "too_large");
    // Not final yet.
    let late = Pair::new(&both.phd);
    late.register(&both.rig).await;
    let early = LinkTerms { device: late.key(), ..terms.clone() };
    let early = body(&early, early.sign(&late.owner), Some(early.sign(&parties.holder)));
    let answer = post(&both.rig, &early).await.expect_error(409, "not_yet");
    assert_eq!(answer["error"]["status"]["state"], "submitted");
    both.phd.node.mine(0);
    wait_until(async || post(&both.rig, &early).await.status == StatusCode::ACCEPTED).await;

    let (rig, _node, _serving) = connected(&["North"]).await;
    post(&rig, &good).await.expect_error(503, "unavailable");
    rig.get(&path(&terms, "")).await.expect_error(503, "unavailable");
}
