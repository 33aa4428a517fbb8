//! Pages: what they show, and what they let nobody slip in.

use super::{connected, multipart};
use crate::limits::PAGE_BLOCKS;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures::StreamExt;
use tower::ServiceExt;

/// Texts that become markup wherever one of them is not escaped.
const CORPUS: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "</title><svg onload=alert(1)>",
    "{{7*7}}<b>",
    "javascript:alert(1)//<",
    "<!--<script>",
    "\u{202e}<i>\u{feff}",
];

fn expect_escaped(page: &str, what: &str) {
    for text in CORPUS.iter().filter(|text| text.contains('<')) {
        assert!(!page.contains(text), "{what}: {text}");
    }
    for markup in ["<script>", "<img src=x", "<svg onload", "<i>", "<b>", "<!--"] {
        assert!(!page.contains(markup), "{what}: {markup}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_text_on_every_page() {
    let (rig, node, _serving) = connected(&CORPUS).await;
    let taken = rig.publish("text/<script>alert(1)</script>", "x").await;
    let mut last = node.mine(0);
    for at in 1..CORPUS.len() * 5 {
        if let Some(hash) = node.try_mine(at) {
            last = hash;
        }
    }
    let record = taken["record"].as_str().unwrap();
    rig.wait_for(record, "final").await;
    let (cookie, csrf) = rig.log_in().await;
    let tx = taken["txhash"].as_str().unwrap();
    let pages = [
        "/".into(),
        format!("/emr/blocks/{last}"),
        format!("/emr/tx/{tx}"),
        "/publish".into(),
        format!("/publish/records/{record}"),
        "/network".into(),
        "/fairness".into(),
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E".into(),
    ];
    let mut seen = String::new();
    for path in pages {
        let page = rig.with_cookie("GET", &path, &cookie, None, Body::empty()).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text());
        expect_escaped(page.text(), &path);
        seen.push_str(page.text());
    }
    assert!(seen.contains("&#60;script&#62;alert(1)"), "the names do stand there");
    // names of files, and whatever else a form says
    for text in CORPUS {
        let name = text.replace('"', "%22");
        let fields = [
            ("files", Some(name.as_str()), None, b"x".as_slice()),
            ("csrf", None, None, csrf.as_bytes()),
            (name.as_str(), None, None, b"y"),
        ];
        let (media_type, body) = multipart(&fields);
        let request =
            Request::post("/publish").header(header::COOKIE, &cookie).header(header::CONTENT_TYPE, media_type);
        let page = rig.send(request.body(body.into()).unwrap()).await;
        expect_escaped(page.text(), text);
    }
    let (media_type, body) = multipart(&[
        ("receipt", Some("r"), None, CORPUS[0].as_bytes()),
        ("checkpoint", None, None, CORPUS[1].as_bytes()),
    ]);
    expect_escaped(rig.call("POST", "/verify", &[("content-type", &media_type)], body).await.text(), "verify");
    let receipt = rig.get(&format!("/api/v1/records/{record}/receipt")).await.body;
    let (media_type, body) = multipart(&[("receipt", Some("r"), None, &receipt)]);
    let drawn = rig.call("POST", "/verify", &[("content-type", &media_type)], body).await;
    assert!(drawn.text().contains("Proved"), "{}", drawn.text());
    expect_escaped(drawn.text(), "verify drawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_inline_for_the_policy_to_stop() {
    let (rig, _node, _serving) = connected(&["North"]).await;
    for path in ["/", "/publish", "/verify", "/login", "/nothing", "/search?q=1", "/network", "/fairness"] {
        let page = rig.get(path).await;
        let text = page.text();
        for inline in [" style=", "<style", " onclick", " onload", "javascript:"] {
            assert!(!text.contains(inline), "{path}: {inline}");
        }
        assert_eq!(text.matches("<script").count(), text.matches("<script src=\"/assets/").count(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_explorer_pages_through_the_chain() {
    let (rig, node, _serving) = connected(&["North"]).await;
    for _ in 0..PAGE_BLOCKS + 3 {
        node.mine(0);
    }
    let height = u64::try_from(PAGE_BLOCKS + 3).unwrap();
    let begun = std::time::Instant::now();
    let page = loop {
        let page = rig.anonymous("GET", "/").await;
        if page.text().contains(&format!("data-height=\"{height}\"")) {
            break page;
        }
        assert!(begun.elapsed() < super::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(page.text().matches("data-height=").count(), PAGE_BLOCKS);
    assert!(page.text().contains("http-equiv=\"refresh\"") && page.text().contains("href=\"/?emr=3\""));
    let older = rig.anonymous("GET", "/?emr=3").await;
    assert_eq!(older.text().matches("data-height=").count(), 4);
    assert_eq!(older.text().matches("data-live").count(), 1, "the other chain goes on");
    assert!(older.text().contains("genesis"));
    let hash = rig.get("/api/v1/chains/emr/blocks?from=2&limit=1").await.json()["blocks"][0]["hash"].clone();
    let block = rig.anonymous("GET", &format!("/emr/blocks/{}", hash.as_str().unwrap())).await;
    assert!(block.text().contains("Block 2") && block.text().contains("final"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_and_the_block_that_merges_it_name_each_other() {
    let (rig, node, _serving) = connected(&["North", "South"]).await;
    let first = node.seal(0).unwrap();
    let record = rig.publish("text/plain", "only in the sibling").await;
    let sibling = node.seal(1).unwrap();
    let [first, sibling] = [first, sibling].map(|block| node.import(block));
    let page = async |hash: blockhie_core::Hash32| rig.anonymous("GET", &format!("/emr/blocks/{hash}")).await;
    let beside = page(sibling).await;
    assert!(beside.text().contains("not on the best chain") && !beside.text().contains("Merged by"));
    assert!(!page(first).await.text().contains("not on the best chain"));
    let merging = node.mine(0);
    let (beside, merging_page) = (page(sibling).await, page(merging).await);
    assert!(beside.text().contains("merged as a sibling"), "{}", beside.text());
    assert!(beside.text().contains(&format!("<a href=\"/emr/blocks/{merging}\">Block 2</a>")), "{}", beside.text());
    assert!(!beside.text().contains("not on the best chain"));
    assert!(merging_page.text().contains("Siblings <span class=\"dim\">1</span>"), "{}", merging_page.text());
    assert!(merging_page.text().contains(&format!("href=\"/emr/blocks/{sibling}\"")));
    let txhash = super::hash(&record["txhash"]);
    let transaction = rig.anonymous("GET", &format!("/emr/tx/{txhash}")).await;
    assert!(transaction.text().contains("Through sibling"), "{}", transaction.text());
    assert!(transaction.text().contains(&format!("href=\"/emr/blocks/{merging}\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_has_pruned_is_shown_as_that_and_its_receipt_stays() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let taken = rig.publish("text/plain", "long ago").await;
    node.mine(0);
    let record = taken["record"].as_str().unwrap();
    rig.wait_for(record, "final").await;
    while !rig.gateway.receipt_is_kept(&super::hash(&taken["record"])).await {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let receipt = rig.get(&format!("/api/v1/records/{record}/receipt")).await.text().to_owned();
    let path = format!("/emr/tx/{}", taken["txhash"].as_str().unwrap());
    assert!(rig.anonymous("GET", &path).await.text().contains("Sender"));
    node.prune(super::hash(&taken["txhash"]), 2);
    let page = rig.anonymous("GET", &path).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    for shown in ["no longer keeps what it says", "pruned: this node keeps", "final", ">1</a>"] {
        assert!(page.text().contains(shown), "{shown}: {}", page.text());
    }
    assert!(!page.text().contains("Sender"));
    let found = rig.anonymous("GET", &format!("/search?q={}", taken["txhash"].as_str().unwrap())).await;
    assert_eq!(found.header("location"), path);
    let again = rig.get(&format!("/api/v1/records/{record}/receipt")).await;
    assert_eq!((again.status, again.text()), (StatusCode::OK, receipt.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_each_new_tip() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let request = Request::get("/api/v1/events").body(Body::empty()).unwrap();
    let response = rig.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut chunks = response.into_body().into_data_stream();
    let mut seen = String::new();
    for height in 0..4 {
        let wanted = format!("\"height\":{height},\"hash\"");
        while !seen.contains(&wanted) {
            let chunk = tokio::time::timeout(super::PATIENCE, chunks.next()).await.unwrap().unwrap().unwrap();
            seen.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        node.mine(0);
    }
    assert!(seen.contains("event: tip") && seen.contains("\"miner_name\":\"North\""));
    rig.gateway.abandon();
    let ended = tokio::time::timeout(super::PATIENCE, async { while chunks.next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "a stop ends event streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_works_without_a_script() {
    let (rig, node, _serving) = connected(&["North"]).await;
    let (cookie, csrf) = rig.log_in().await;
    let send = async |files: &[(&str, &[u8])]| {
        let mut parts: Vec<super::Part<'_>> = vec![
            ("csrf", None, None, csrf.as_bytes()),
            ("addressee", None, None, b""),
            ("idempotency_key", None, None, b"form-1"),
        ];
        parts.extend(files.iter().map(|(name, bytes)| ("files", Some(*name), Some("text/plain"), *bytes)));
        let (media_type, body) = multipart(&parts);
        let request =
            Request::post("/publish").header(header::COOKIE, &cookie).header(header::CONTENT_TYPE, media_type);
        rig.send(request.body(body.into()).unwrap()).await
    };
    let answer = send(&[("a.txt", b"one")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let place = answer.header("location").to_owned();
    assert_eq!(send(&[("a.txt", b"one")]).await.header("location"), place, "sent twice is published once");
    assert_eq!(node.pending(), 1);
    let page = rig.with_cookie("GET", &place, &cookie, None, Body::empty()).await;
    assert!(page.text().contains("submitted") && page.text().contains("http-equiv=\"refresh\""));
    node.mine(0);
    rig.wait_for(place.rsplit('/').next().unwrap(), "final").await;
    let page = rig.with_cookie("GET", &place, &cookie, None, Body::empty()).await;
    assert!(page.text().contains("in block 1") && page.text().contains("1 of 1 members"));
    assert!(!page.text().contains("http-equiv=\"refresh\""));
    assert_eq!(send(&[]).await.status, StatusCode::BAD_REQUEST);
}
