//! What comes in goes its way and comes out again.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_its_readings_and_their_proofs() {
    let both = Both::connected(&["North"]).await;
    let rig = &both.rig;
    let pair = Pair::new(&both.phd);
    let taken = pair.register(rig).await;
    assert_eq!((&taken["device"], &taken["fresh"]), (&pair.key().to_string().into(), &true.into()));
    assert_eq!(both.phd.node.pending(), 1, "answered only after the node has it");
    let status_url = taken["status_url"].as_str().unwrap();
    assert_eq!(status_url, format!("{}/status", pair.path()));
    assert_eq!(rig.wait_at(status_url, "submitted").await["txhash"], taken["txhash"]);
    let view = rig.signed(&pair.owner, "GET", &pair.path()).await.json();
    assert_eq!((&view["state"], &view["state_of_tx"]), (&"pending".into(), &"submitted".into()), "{view}");
    let receipt = format!("{}/receipt", pair.path());
    let early = rig.signed(&pair.device, "GET", &receipt).await;
    assert_eq!(early.expect_error(409, "not_yet")["error"]["status"]["state"], "submitted");
    both.phd.node.mine(0);
    rig.wait_at(status_url, "final").await;

    let (first, inline, foreign) = (
        pair.segment(0, 10, Carriage::Blob),
        pair.segment(10, 5, Carriage::Inline),
        pair.segment(20, 5, Carriage::Blob),
    );
    let all = [blob(&first), sent(&inline, Carriage::Inline, true), sent(&foreign, Carriage::Blob, false)];
    let taken = pair.push_taken(rig, &all).await;
    for (segment, answer) in [&first, &inline, &foreign].iter().zip(taken.as_array().unwrap()) {
        assert_eq!(answer["txhash"], segment.transaction.hash().to_string());
        assert_eq!((&answer["first_seq"], &answer["fresh"]), (&segment.place.first_seq.into(), &true.into()));
    }
    assert_eq!(both.phd.node.pending(), 3);
    both.phd.node.mine(0);
    for first_seq in [0, 10, 20] {
        rig.wait_at(&pair.segment_path(first_seq, "/status"), "final").await;
    }
    wait_until(async || rig.get(&pair.path()).await.json()["state"] == "enrolled").await;
    let view = rig.signed(&pair.device, "GET", &pair.path()).await.json();
    assert_eq!((&view["owner"], &view["txhash"]), (&pair.owner.public().to_string().into(), &view["txhash"]));
    let fields = |name: &str| view["segments"].as_array().unwrap().iter().map(|s| s[name].clone()).collect::<Vec<_>>();
    assert_eq!(fields("state"), ["final"; 3]);
    assert_eq!(
        (fields("inline"), fields("held")),
        (vec![false.into(), true.into(), false.into()], vec![true.into(), true.into(), false.into()])
    );
    assert_eq!(fields("start_ms"), [json!(START_MS), json!(START_MS + 10_000), json!(null)]);
    assert_eq!(fields("end_ms"), [json!(START_MS + 9_000), json!(START_MS + 14_000), json!(null)]);
    assert_eq!(view["gaps"], json!([{"first_seq": 15, "count": 5}]));
    let list = rig.get("/api/v1/devices").await.json();
    let line = &list["devices"][0];
    assert_eq!((&line["state"], &line["segments"], &line["readings"]), (&"enrolled".into(), &3.into(), &20.into()));
    let page = rig.get(&format!("{}?from_seq=10&limit=1", pair.path())).await.json();
    assert_eq!((&page["segments"][0]["first_seq"], &page["next_seq"]), (&10.into(), &20.into()), "{page}");

    expect_segment_proved(&both, &pair, &first).await;
    expect_segment_proved(&both, &pair, &inline).await;
    for segment in [&inline, &foreign] {
        let first_seq = segment.place.first_seq;
        let sealed = rig.signed(&pair.owner, "GET", &pair.segment_path(first_seq, "/sealed")).await.body;
        assert_eq!(sealed, segment.sealed);
        assert!(unseal(&segment.key, &segment.place, &sealed, &segment.content).is_ok());
    }
    for rest in ["/data", "/opening"] {
        rig.get(&pair.segment_path(20, rest)).await.expect_error(404, "not_found");
    }
    let device = Receipt::parse(&rig.signed(&pair.owner, "GET", &receipt).await.body).unwrap();
    let trust = Trust { genesis: Some(&both.phd.node.genesis), ..Trust::default() };
    assert_eq!(verify_receipt(&device, &trust).unwrap().verdict, Verdict::Proved);
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_come_out_by_time_and_format() {
    let both = Both::connected(&["North"]).await;
    let pair = enrolled(&both).await;
    let rig = &both.rig;
    // Out of order, with a gap; nothing has to be final for it.
    let later = pair.segment(30, 10, Carriage::Blob);
    pair.push_taken(rig, &[blob(&later), blob(&pair.segment(0, 20, Carriage::Blob))]).await;
    let path = format!("{}/readings", pair.path());
    let lines = |range: std::ops::Range<u64>| range.map(|seq| format!("{seq}.50\n")).collect::<String>();
    let csv = rig.signed(&pair.owner, "GET", &path).await;
    assert_eq!(csv.text(), format!("{}{}", lines(0..20), lines(30..40)));
    assert!(csv.header("content-type").starts_with("text/csv") && csv.header("content-disposition").contains("csv"));
    let between = async |from: u64, to: u64| {
        let query = format!("{path}?from={}&to={}", START_MS + from * 1_000, START_MS + to * 1_000);
        rig.signed(&pair.device, "GET", &query).await.text().to_owned()
    };
    assert_eq!(between(5, 32).await, format!("{}{}", lines(5..20), lines(30..32)));
    assert_eq!(between(19, 20).await, lines(19..20));
    assert_eq!(between(19, 30).await, lines(19..20), "to is not in it");
    assert_eq!(between(20, 30).await, "", "nothing was measured");
    assert_eq!(between(39, 1_000).await, lines(39..40));
    let jsonl = rig.get(&format!("{path}?format=jsonl&from={}", START_MS + 38_000)).await;
    let line: Value = serde_json::from_str(jsonl.text().lines().next().unwrap()).unwrap();
    assert_eq!((&line["seq"], jsonl.text().lines().count()), (&38.into(), 2));
    assert!(jsonl.text().contains("38.50"), "digits stay: {}", jsonl.text());
    let fhir = rig.get(&format!("{path}?format=fhir")).await;
    assert_eq!(fhir.header("content-type"), "application/fhir+json");
    assert_eq!(fhir.json()["entry"].as_array().unwrap().len(), 2);
    for query in ["format=xml", "from=x", "from=-1", "until=1", "to=1.5"] {
        rig.get(&format!("{path}?{query}")).await.expect_error(400, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_is_answered_as_before_and_another_is_refused() {
    let both = Both::connected(&["North"]).await;
    let pair = enrolled(&both).await;
    let rig = &both.rig;
    let first = pair.segment(100, 10, Carriage::Blob);
    pair.push_taken(rig, &[sent(&first, Carriage::Blob, false)]).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    // Made anew it has another time and so another hash; range and content are the same.
    let again = pair.segment(100, 10, Carriage::Blob);
    assert_ne!(again.transaction.hash(), first.transaction.hash());
    let answer = pair.push_taken(rig, &[blob(&again), blob(&pair.segment(200, 1, Carriage::Blob))]).await;
    assert_eq!(
        (&answer[0]["txhash"], &answer[0]["fresh"]),
        (&first.transaction.hash().to_string().into(), &false.into())
    );
    assert_eq!(answer[1]["fresh"], true);
    assert_eq!(both.phd.node.pending(), 2);
    // The key that came with it is kept.
    assert_eq!(rig.get(&pair.segment_path(100, "/data")).await.body, *first.data);

    for (first_seq, count) in [(95, 6), (109, 1), (100, 9), (101, 9), (90, 200), (100, 11)] {
        let other = pair.segment(first_seq, count, Carriage::Blob);
        let answer = pair.push(rig, &[blob(&pair.segment(300, 5, Carriage::Blob)), blob(&other)]).await;
        let error = answer.expect_error(409, "conflict");
        assert!(error["error"]["message"].as_str().unwrap().contains("100 to 109"), "{error}");
    }
    let values = vec!["1".parse().unwrap(); 10];
    let samples = Samples::new("8867-4", "", START_MS, Timing::Rate("1".parse().unwrap()), values);
    let other = prepare_segment(&pair.chain, &pair.device, 100, &samples, Carriage::Blob, now_ms()).unwrap();
    pair.push(rig, &[blob(&other)]).await.expect_error(409, "conflict");
    // Segments of one request are held against each other, too.
    let (left, right) = (pair.segment(400, 5, Carriage::Blob), pair.segment(404, 5, Carriage::Blob));
    pair.push(rig, &[blob(&left), blob(&right)]).await.expect_error(409, "conflict");
    let twice = pair.push_taken(rig, &[blob(&left), blob(&left)]).await;
    assert_eq!((&twice[0]["fresh"], &twice[1]["fresh"]), (&true.into(), &false.into()));
    assert_eq!(both.phd.node.pending(), 3, "all of a request or nothing of it");

    // The device, too, is enrolled once.
    let taken = pair.register(rig).await;
    assert_eq!(taken["fresh"], false);
    let thief = SecretKey::generate().unwrap();
    let tx = enrol(&pair.chain, &thief, &pair.device, now_ms());
    rig.post_json("/api/v1/devices", &transaction(&tx)).await.expect_error(409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn readings_wait_for_their_device_and_survive_a_crash() {
    let both = Both::connected(&["North"]).await;
    let Both { rig, emr, phd } = both;
    let (emr_url, phd_url, port) = (emr.url(), phd.url(), phd.serving.address.port());
    let node = phd.node.clone();
    let pair = Pair::new(&phd);
    phd.serving.stop().await;
    let device = pair.register(&rig).await;
    let segments = [pair.segment(0, 3, Carriage::Blob), pair.segment(3, 3, Carriage::Inline)];
    pair.push_taken(&rig, &[blob(&segments[0]), sent(&segments[1], Carriage::Inline, true)]).await;
    assert_eq!(rig.anonymous("GET", device["status_url"].as_str().unwrap()).await.json()["state"], "queued");

    let rig = rig.reopen_with(&emr_url, Some(&phd_url)).await;
    assert_eq!(rig.get(&pair.path()).await.json()["segments"][1]["state"], "queued");
    let serving = node.serve(port).await;
    rig.wait_at(device["status_url"].as_str().unwrap(), "submitted").await;
    assert_eq!(node.pending(), 1, "the node takes no readings of a device that is not enrolled");
    node.mine(0);
    for first_seq in [0, 3] {
        rig.wait_at(&pair.segment_path(first_seq, "/status"), "submitted").await;
    }
    // Killed between the block and the receipt.
    let rig = rig.reopen_with(&emr_url, Some(&phd_url)).await;
    node.mine(0);
    let both = Both { rig, emr, phd: Chain { node, serving } };
    for segment in &segments {
        both.rig.wait_at(&pair.segment_path(segment.place.first_seq, "/status"), "final").await;
        expect_segment_proved(&both, &pair, segment).await;
    }
    assert_eq!(both.phd.node.pending(), 0);
    assert_eq!(pair.push_taken(&both.rig, &[blob(&segments[0])]).await[0]["fresh"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_device_sends_no_more() {
    let both = Both::connected(&["North"]).await;
    let pair = enrolled(&both).await;
    let rig = &both.rig;
    let thief = SecretKey::generate().unwrap();
    let post = async |secret: &SecretKey| {
        rig.post_json("/api/v1/devices", &transaction(&retire(&pair.chain, secret, &pair.key(), now_ms()))).await
    };
    post(&thief).await.expect_error(404, "not_found");
    rig.anonymous("GET", &format!("{}/status?of=retire", pair.path())).await.expect_error(404, "not_found");
    let taken = post(&pair.owner).await.json();
    let status_url = taken["status_url"].as_str().unwrap();
    assert_eq!(status_url, format!("{}/status?of=retire", pair.path()));
    pair.push(rig, &[blob(&pair.segment(0, 3, Carriage::Blob))]).await.expect_error(409, "conflict");
    both.phd.node.mine(0);
    rig.wait_at(status_url, "final").await;
    wait_until(async || rig.get(&pair.path()).await.json()["state"] == "retired").await;
    assert_eq!(post(&pair.owner).await.json()["fresh"], false);
    let receipt = rig.signed(&pair.owner, "GET", &format!("{}/receipt?of=retire", pair.path())).await;
    assert!(Receipt::parse(&receipt.body).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_readings_are_gone_and_what_stays_is_said() {
    let both = Both::connected(&["North"]).await;
    let pair = enrolled(&both).await;
    let rig = &both.rig;
    let (gone, inline, stays) =
        (pair.segment(0, 5, Carriage::Blob), pair.segment(5, 5, Carriage::Inline), pair.segment(10, 5, Carriage::Blob));
    let all = [blob(&gone), sent(&inline, Carriage::Inline, true), blob(&stays)];
    pair.push_taken(rig, &all).await;
    both.phd.node.mine(0);
    rig.wait_at(&pair.segment_path(0, "/status"), "final").await;
    let row = [b"device/key/".as_slice(), pair.key().as_bytes(), &4u64.to_be_bytes()].concat();
    let wrapped = rig.gateway.index_value(&row).unwrap();
    assert!(holds(rig.folder.path(), &wrapped));
    let erase = async |first_seq| rig.signed(&pair.owner, "DELETE", &pair.segment_path(first_seq, "")).await;
    let answer = erase(0).await.json();
    assert_eq!(answer["destroyed"], json!(["segment key", "sealed bytes"]));
    assert!(!answer["not_reached"].to_string().contains("for ever"));
    assert_eq!(erase(0).await.json(), answer, "erasing again says the same");
    let other = erase(5).await.json();
    assert!(other["not_reached"][0].as_str().unwrap().contains("on the chain, for ever"), "{other}");
    for rest in ["/data", "/opening", "/sealed"] {
        rig.get(&pair.segment_path(0, rest)).await.expect_error(404, "not_found");
        assert_eq!(rig.get(&pair.segment_path(10, rest)).await.status, StatusCode::OK);
    }
    rig.get(&pair.segment_path(5, "/data")).await.expect_error(404, "not_found");
    assert_eq!(rig.get(&pair.segment_path(5, "/sealed")).await.body, inline.sealed);
    assert_eq!(rig.get(&format!("{}/readings", pair.path())).await.text().lines().count(), 5);
    let view = rig.get(&pair.path()).await.json();
    assert_eq!((&view["segments"][0]["held"], &view["gaps"]), (&false.into(), &json!([])), "{view}");
    pair.push(rig, &[blob(&gone)]).await.expect_error(409, "conflict");
    // Neither key nor bytes are left in any file of the gateway.
    let folder = rig.folder.path().to_owned();
    let sealed = gone.sealed.clone();
    assert!(!holds(&folder, &sealed[24..56]) && holds(&folder, &stays.sealed[24..56]));
    assert!(!holds(&folder, &wrapped), "not even wrapped");
    assert!(!holds(&folder, gone.key.as_bytes()) && !holds(&folder, stays.key.as_bytes()), "keys are wrapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_offline_loses_no_reading() {
    const HOUR: u64 = 3_600;
    let both = Both::connected(&["North"]).await;
    let pair = enrolled(&both).await;
    let (rig, node) = (&both.rig, &both.phd.node);
    // 86,400 readings, pushed in the evening: out of order, and every hour twice.
    let hours: Vec<_> = (0..24).map(|hour| pair.segment(hour * HOUR, HOUR, Carriage::Blob)).collect();
    let (even, odd): (Vec<_>, Vec<_>) = hours.iter().map(blob).enumerate().partition(|(at, _)| at % 2 == 0);
    for part in [&odd, &even, &odd] {
        let part: Vec<_> = part.iter().rev().map(|(_, segment)| segment.clone()).collect();
        pair.push_taken(rig, &part).await;
    }
    assert_eq!(node.pending(), 24);
    node.mine(0);
    for hour in 0..24 {
        rig.wait_at(&pair.segment_path(hour * HOUR, "/status"), "final").await;
    }
    let view = rig.get(&pair.path()).await.json();
    assert_eq!((&view["gaps"], view["segments"].as_array().unwrap().len()), (&json!([]), 24));
    let csv = rig.get(&format!("{}/readings", pair.path())).await;
    let expected = (0..24 * HOUR).map(|seq| format!("{seq}.50\n")).collect::<String>();
    assert!(csv.text() == expected, "every reading once, in order");
}
