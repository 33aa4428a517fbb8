//! Links between records and devices.

mod refused;

use super::devices::{Pair, enrolled, wait_until};
use super::{Answer, Both, Chain, PATIENCE, Rig, hash};
use crate::clock::now_ms;
use axum::body::Body;
use axum::http::StatusCode;
use blockhie_core::{Hash32, Receipt, SecretKey, Signature, Trust, Verdict, Verification, verify_receipt};
use blockhie_coupling::{LinkOpening, LinkReceipts, LinkTerms, Seed, check_link};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATHS: [&str; 6] = ["", "/opening", "/record", "/device", "/link-emr", "/link-phd"];

/// A record that is final, its holder, a device that is enrolled, and an audience.
struct Parties {
    holder: SecretKey,
    audience: SecretKey,
    pair: Pair,
    record: Hash32,
}

impl Parties {
    async fn meet(both: &Both) -> Self {
        let (holder, audience) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let pair = enrolled(both).await;
        let record = publish(both, Some(&holder)).await;
        Self { holder, audience, pair, record }
    }

    fn terms(&self, both: &Both) -> LinkTerms {
        LinkTerms {
            emr: both.emr.node.genesis.chain_id(),
            phd: both.phd.node.genesis.chain_id(),
            seed: Seed::generate().unwrap(),
            record: self.record,
            device: self.pair.key(),
            audience: self.audience.public(),
            expiry_ms: now_ms() + 86_400_000,
        }
    }

    fn body(&self, terms: &LinkTerms) -> Value {
        body(terms, terms.sign(&self.pair.owner), Some(terms.sign(&self.holder)))
    }
}

fn body(terms: &LinkTerms, owner: Signature, holder: Option<Signature>) -> Value {
    let LinkTerms { seed, record, device, audience, expiry_ms, .. } = terms;
    json!({
        "seed": seed, "record": record, "device": device, "audience": audience, "expiry_ms": expiry_ms,
        "owner_signature": owner, "holder_signature": holder,
    })
}

async fn publish(both: &Both, addressee: Option<&SecretKey>) -> Hash32 {
    let addressee = addressee.map(|secret| secret.public().to_string());
    let mut headers = vec![("content-type", "text/plain")];
    headers.extend(addressee.as_ref().map(|key| ("x-blockhie-addressee", key.as_str())));
    let taken = both.rig.call("POST", "/api/v1/records", &headers, "a record").await.json();
    both.emr.node.mine(0);
    both.rig.wait_for(taken["record"].as_str().unwrap(), "final").await;
    hash(&taken["record"])
}

async fn post(rig: &Rig, body: &Value) -> Answer {
    rig.post_json("/api/v1/links", body).await
}

async fn taken(rig: &Rig, body: &Value) -> Value {
    let answer = post(rig, body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
    answer.json()
}

fn path(terms: &LinkTerms, rest: &str) -> String {
    format!("/api/v1/links/{}{rest}", terms.seed.link_id())
}

/// Mines on both chains until both halves are final.
async fn settle(both: &Both, terms: &LinkTerms) -> Value {
    let begun = Instant::now();
    loop {
        let view = both.rig.get(&path(terms, "")).await.json();
        if view["state"] == "final" {
            return view;
        }
        assert!(begun.elapsed() < PATIENCE, "{view}");
        if both.emr.node.pending() > 0 {
            both.emr.node.mine(0);
        }
        if both.phd.node.pending() > 0 {
            both.phd.node.mine(0);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks the five documents as their audience does, offline.
async fn expect_proved(both: &Both, parties: &Parties, terms: &LinkTerms) {
    let get = async |rest: &str| {
        let answer = both.rig.signed(&parties.audience, "GET", &path(terms, rest)).await;
        assert_eq!(answer.status, StatusCode::OK, "{rest}: {}", answer.text());
        answer.body
    };
    let opening = LinkOpening::parse(&get("/opening").await).unwrap();
    let mut checked: Vec<Verification> = vec![];
    for (rest, chain) in
        [("/record", &both.emr), ("/device", &both.phd), ("/link-emr", &both.emr), ("/link-phd", &both.phd)]
    {
        let receipt = Receipt::parse(&get(rest).await).unwrap();
        let trust = Trust { genesis: Some(&chain.node.genesis), ..Trust::default() };
        checked.push(verify_receipt(&receipt, &trust).unwrap());
        assert_eq!(checked.last().unwrap().verdict, Verdict::Proved, "{rest}");
    }
    let [record, device, link_emr, link_phd] = &checked[..] else { unreachable!() };
    let receipts = LinkReceipts { record, device, link_emr, link_phd };
    let steps = check_link(&opening, &receipts, Some(&parties.audience.public()), now_ms());
    assert!(steps.len() == 9 && steps.iter().all(|step| step.holds == Some(true)), "{steps:?}");
}

/// That there is no room for one more link.
pub(super) async fn expect_full(both: &Both) {
    let parties = Parties::meet(both).await;
    let terms = parties.terms(both);
    post(&both.rig, &parties.body(&terms)).await.expect_error(429, "exhausted");
    both.rig.get(&path(&terms, "")).await.expect_error(404, "not_found");
}

/// Readings and a link, made, seen and refused: what must stay inside, and names (link, record, both halves).
pub(super) async fn made_one_of_each(both: &Both) -> (Vec<String>, Vec<String>) {
    let parties = Parties::meet(both).await;
    let segment = parties.pair.push_one(&both.rig).await;
    let terms = parties.terms(both);
    taken(&both.rig, &parties.body(&terms)).await;
    let later = LinkTerms { expiry_ms: terms.expiry_ms + 1, ..terms.clone() };
    post(&both.rig, &parties.body(&later)).await.expect_error(409, "conflict");
    let view = settle(both, &terms).await;
    expect_proved(both, &parties, &terms).await;
    let half = |at: usize| view["legs"][at]["txhash"].as_str().unwrap().to_owned();
    let names = vec![terms.seed.link_id().to_string(), terms.record.to_string(), half(0), half(1)];
    let signature = terms.sign(&parties.holder).to_string();
    let secrets = [&segment.key.as_bytes()[..], segment.opening.salt.as_bytes(), terms.seed.as_bytes()];
    let secrets = secrets.into_iter().map(hex::encode).chain([signature, both.rig.token.clone()]);
    (secrets.collect(), names)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_goes_its_way_and_its_audience_is_convinced() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let terms = parties.terms(&both);
    let answer = taken(&both.rig, &parties.body(&terms)).await;
    assert_eq!((&answer["link"], &answer["fresh"]), (&terms.seed.link_id().to_string().into(), &true.into()));
    assert_eq!(answer["status_url"], path(&terms, ""));
    let view = both.rig.signed(&parties.holder, "GET", &path(&terms, "")).await.json();
    assert_eq!((&view["legs"][0]["chain"], &view["legs"][1]["chain"]), (&"emr".into(), &"phd".into()));
    assert_eq!(
        (&view["record"], &view["device"]),
        (&terms.record.to_string().into(), &terms.device.to_string().into())
    );
    let early = both.rig.get(&path(&terms, "/link-emr")).await;
    early.expect_error(409, "not_yet");
    let view = settle(&both, &terms).await;
    for leg in view["legs"].as_array().unwrap() {
        assert_eq!((&leg["state"], &leg["members"]), (&"final".into(), &1.into()), "{view}");
    }
    expect_proved(&both, &parties, &terms).await;
    // Handed in again it is the same link; the seed serves no other.
    let again = taken(&both.rig, &parties.body(&terms)).await;
    assert_eq!(again["fresh"], false);
    assert_eq!(both.emr.node.pending() + both.phd.node.pending(), 0);
    let later = LinkTerms { expiry_ms: terms.expiry_ms + 1, ..terms.clone() };
    post(&both.rig, &parties.body(&later)).await.expect_error(409, "conflict");
    let other = LinkTerms { record: publish(&both, Some(&parties.holder)).await, ..terms.clone() };
    post(&both.rig, &parties.body(&other)).await.expect_error(409, "conflict");
    // Neither log line nor file tells seed, record or device of it in plain.
    let folder = both.rig.folder.path().join("data");
    assert!(!super::devices::holds(&folder, terms.seed.as_bytes()));
    assert!(!super::devices::holds(&folder, &terms.sign(&parties.holder).0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_institution_signs_for_a_record_of_nobody_and_only_the_operator_asks() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let terms = LinkTerms { record: publish(&both, None).await, ..parties.terms(&both) };
    let alone = body(&terms, terms.sign(&parties.pair.owner), None);
    post(&both.rig, &alone).await.expect_error(401, "unauthenticated");
    let (cookie, csrf) = both.rig.log_in().await;
    let session = async |csrf: Option<&str>| {
        both.rig.with_cookie("POST", "/api/v1/links", &cookie, csrf, Body::from(alone.to_string())).await
    };
    session(None).await.expect_error(401, "unauthenticated");
    assert_eq!(session(Some(&csrf)).await.status, StatusCode::ACCEPTED);
    let token = both.rig.call("POST", "/api/v1/links", &[], alone.to_string()).await;
    assert_eq!(token.json()["fresh"], false);
    settle(&both, &terms).await;
    expect_proved(&both, &parties, &terms).await;
    // Not for a record that has an addressee.
    let terms = parties.terms(&both);
    let alone = body(&terms, terms.sign(&parties.pair.owner), None);
    both.rig.call("POST", "/api/v1/links", &[], alone.to_string()).await.expect_error(400, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_survives_crashes_and_a_node_that_is_away() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let terms = parties.terms(&both);
    let Both { rig, emr, phd } = both;
    let (urls, port, node) = ((emr.url(), phd.url()), phd.serving.address.port(), phd.node.clone());
    phd.serving.stop().await;
    taken(&rig, &parties.body(&terms)).await;
    wait_until(async || emr.node.pending() == 1).await;
    emr.node.mine(0);
    wait_until(async || rig.get(&path(&terms, "")).await.json()["state"] == "half").await;

    // Killed with one half final; then with what a crash between the two changes of taking it leaves.
    let folder = rig.reopen_with(&urls.0, Some(&urls.1)).await.kill().await;
    {
        let index = blockhie_store::KeyValue::open(&folder.path().join("data/index")).unwrap();
        let key = |prefix: &[u8]| [prefix, &terms.seed.link_id().0].concat();
        let places = [key(b"link/outbox/"), key(b"link/open/")];
        assert!(places.iter().all(|place| index.get(place).unwrap().is_some()));
        index.put_all(places.iter().map(|place| (place.clone(), None)).collect()).unwrap();
    }
    let rig = Rig::open_in(folder, &urls.0, Some(&urls.1));
    rig.gateway.start().await;
    let serving = node.serve(port).await;
    let both = Both { rig, emr, phd: Chain { node, serving } };
    settle(&both, &terms).await;
    expect_proved(&both, &parties, &terms).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_window_each_half_waits_for_its_own_moment() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let terms = parties.terms(&both);
    let Both { rig, emr, phd } = both;
    let rig = Rig::open_with(rig.kill().await, &emr.url(), Some(&phd.url()), Duration::from_secs(3_600));
    rig.gateway.start().await;
    let before = now_ms();
    taken(&rig, &parties.body(&terms)).await;
    let view = rig.get(&path(&terms, "")).await.json();
    let moment = |at: usize| view["legs"][at]["not_before_ms"].as_u64().unwrap();
    let next = before - before % 3_600_000 + 3_600_000;
    for at in [0, 1] {
        assert!((next..next + 2 * 3_600_000).contains(&moment(at)), "{view}");
        assert_eq!(view["legs"][at]["state"], "queued");
    }
    assert_ne!(moment(0), moment(1), "by chance once in 3.6 million");
    assert_eq!(view["state"], "waiting");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(emr.node.pending() + phd.node.pending(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_that_a_node_lost_is_sent_again_as_it_was() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let terms = parties.terms(&both);
    taken(&both.rig, &parties.body(&terms)).await;
    wait_until(async || both.phd.node.pending() == 1).await;
    let leg = both.rig.get(&path(&terms, "")).await.json()["legs"][1]["txhash"].clone();
    let Both { rig, emr: _emr, phd: Chain { node, serving } } = both;
    let port = serving.address.port();
    serving.stop().await;
    // The same chain, from before all of it.
    let older = node.emptied();
    let _serving = older.serve(port).await;
    wait_until(async || older.knows(&hash(&leg))).await;
    drop(rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_has_a_page_for_the_operator_alone() {
    let both = Both::connected(&["North"]).await;
    let parties = Parties::meet(&both).await;
    let rig = &both.rig;
    assert!(rig.get("/links").await.text().contains("No link yet"));
    let terms = parties.terms(&both);
    let link = terms.seed.link_id().to_string();
    taken(rig, &parties.body(&terms)).await;
    let page = format!("/links/{link}");
    assert!(rig.get(&page).await.text().contains("on its way"));
    settle(&both, &terms).await;
    let shown = rig.get(&page).await;
    let (record, device) = (parties.record.to_string(), parties.pair.key().to_string());
    let hrefs = PATHS.iter().skip(1).map(|rest| format!("href=\"/api/v1/links/{link}{rest}\""));
    for text in hrefs.chain([record.clone(), device.clone(), parties.audience.public().to_string()]) {
        assert!(shown.text().contains(&text), "{text} in {}", shown.text());
    }
    assert!(!shown.text().contains(&hex::encode(terms.seed.as_bytes())), "the seed stays in the opening");
    let list = rig.get("/links").await;
    assert!(list.text().contains(&format!("href=\"{page}\"")) && list.text().contains("until 20"));
    assert_eq!(rig.get(&format!("/search?q={link}")).await.header("location"), page);
    assert_eq!(rig.anonymous("GET", &page).await.header("location"), "/login");
    assert!(!rig.anonymous("GET", "/links").await.text().contains(&link[..8]));
    assert!(rig.anonymous("GET", &format!("/search?q={link}")).await.text().contains("Nothing with that"));
    assert_eq!(rig.get(&format!("/links/{}", Hash32::ZERO)).await.status, StatusCode::NOT_FOUND);
}
