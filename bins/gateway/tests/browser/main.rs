//! A person with a browser: real nodes of both chains, the gateway's program, and a headless Chromium that walks every
//! page. What a page says is looked at, and any error of a script or refusal of the content security policy fails.
//!
//! `cargo xtask test` finds or installs the browser and names it in `BLOCKHIE_CHROMIUM` and `BLOCKHIE_CHROMEDRIVER`.
//! Pictures of the pages are left in `target/screens`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod driver;
mod town;

use blockhie_core::SecretKey;
use blockhie_coupling::{LinkTerms, Seed};
use blockhie_phd::{Carriage, Samples, Segment, Timing, enrol, prepare_segment};
use driver::{Browser, Programs};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use town::{Town, hex_of, now_ms, order};

const SCREENS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../screens");

/// What is published; the digits of its value matter.
const RECORD: &str =
    r#"{"resourceType":"Observation","status":"final","valueQuantity":{"value":1.50,"unit":"mmol/L"}}"#;

#[test]
fn a_person_walks_every_page() {
    let Some(programs) = Programs::named() else {
        // The list of skipped checks of `cargo xtask test` says it again.
        #[allow(clippy::print_stderr, reason = "whoever reads the output shall see it")]
        {
            eprintln!("SKIPPED: browser: BLOCKHIE_CHROMIUM and BLOCKHIE_CHROMEDRIVER are not set");
        }
        return;
    };
    let town = Town::start();
    let browser = Browser::start(&programs, &town.base, Path::new(SCREENS));
    explorer(&browser);
    empty_pages(&browser);
    log_in(&browser, &town);
    let record = publish(&browser, &town);
    verify(&browser, &town, &record);
    let device = devices(&browser, &town);
    let link = links(&browser, &town, &record, &device);
    search(&browser, &record, &device);
    network(&browser);
    fairness(&browser, &town);
    phone(&browser, &device, &link);
    log_out(&browser);
}

fn explorer(browser: &Browser) {
    browser.go("/");
    browser.expect(&["EMR-Chain", "PHD-Chain", "county health", "Previous hash", "North Hospital", "Lakeside Clinic"]);
    browser.until("blocks of both chains", || {
        ["emr", "phd"].iter().all(|chain| browser.count(&format!("[data-chain={chain}] tr[data-height]")) > 4)
    });
    // The page lives without being loaded anew.
    browser.run("window.stays = true");
    let height =
        || browser.run("return Number(document.querySelector('[data-chain=phd] [data-stat=height]').textContent)");
    let before = height().as_u64().unwrap();
    browser.until("the next blocks", || height().as_u64().unwrap() > before + 1);
    browser.until("final blocks", || browser.count("[data-chain=emr] tr.final") > 0);
    assert_eq!(browser.run("return window.stays === true"), json!(true));
    let side_by_side = "const [one, other] = document.querySelectorAll('.chain'); \
                        return one.getBoundingClientRect().top === other.getBoundingClientRect().top";
    assert_eq!(browser.run(side_by_side), json!(true), "at 1280");
    browser.picture("explorer");
    browser.click("[data-chain=phd] tbody tr:nth-child(3) .hash a");
    browser.expect(&["PHD-Chain", "Previous hash", "Miner", "None: an empty block"]);
    browser.picture("block");
    browser.click(".steps-nav a");
    browser.expect(&["Block"]);
    browser.quiet();
}

fn empty_pages(browser: &Browser) {
    browser.go("/devices");
    browser.expect(&["Look up one device", "operator of this gateway"]);
    browser.go("/fairness");
    browser.expect(&["No transaction was committed in these blocks"]);
    browser.quiet();
}

fn log_in(browser: &Browser, town: &Town) {
    browser.go("/publish");
    assert_eq!(browser.path(), "/login", "publishing is for the operator");
    browser.fill("#token", "not the token");
    browser.click("form.stack-form button");
    browser.expect(&["That is not the token"]);
    browser.was_refused(401);
    browser.go("/login");
    browser.picture("login");
    browser.fill("#token", &town.token);
    browser.click("form.stack-form button");
    browser.expect(&["Publish records", "Log out"]);
    browser.go("/devices");
    browser.expect(&["No device yet", "blockhie device register"]);
    browser.picture("devices-empty");
}

/// Publishes a file; its commitment.
fn publish(browser: &Browser, town: &Town) -> String {
    let file = town.file("glucose.json", RECORD.as_bytes());
    browser.go("/publish");
    browser.fill("#files", file.to_str().unwrap());
    browser.click("#publish button");
    browser.expect(&["On its way", "glucose.json"]);
    browser.until("final", || browser.count("#way [data-step=final].done") == 1);
    browser.expect(&["in block", "2 of 2 members", "Receipt", "Opening"]);
    browser.picture("publish");
    browser.click("#way .kept a:last-child");
    browser.expect(&["Commitment", "Receipt", "application/json"]);
    browser.picture("record");
    let record = browser.path().rsplit('/').next().unwrap().to_owned();
    browser.click(".facts a[href^='/emr/tx/']");
    browser.expect(&["RECORD", "Record (commitment)", &record, "2 of 2 needed", "North Hospital"]);
    browser.picture("transaction");
    record
}

fn verify(browser: &Browser, town: &Town, record: &str) {
    let of = |rest: &str| town.get(&format!("/api/v1/records/{record}{rest}")).1;
    let receipt = town.file("glucose.receipt.json", &of("/receipt"));
    let opening = town.file("glucose.opening.json", &of("/opening"));
    assert_eq!(of(""), RECORD.as_bytes());
    let check = |record: &Path| {
        browser.go("/verify");
        for (field, path) in [("receipt", receipt.as_path()), ("opening", &opening), ("record", record)] {
            browser.fill(&format!("#{field}"), path.to_str().unwrap());
        }
        browser.click("form.stack-form button");
    };
    check(&town.file("same.json", RECORD.as_bytes()));
    browser.expect(&["Proved", "not later than", "member North Hospital", "EMR-Chain"]);
    assert_eq!(browser.count(".checks li.bad"), 0);
    assert!(browser.count(".checks li.good") >= 6);
    browser.picture("verify-proved");
    // One digit that a rewrite of the JSON would drop.
    check(&town.file("changed.json", RECORD.replace("1.50", "1.5").as_bytes()));
    browser.expect(&["Refuted", "length: expected"]);
    assert_eq!(browser.count(".checks li.bad"), 1);
    browser.picture("verify-refuted");
}

/// Half an hour of heart rate at one a second from this sequence number on.
fn heart_rate(town: &Town, device: &SecretKey, first: u64, count: u64) -> Segment {
    let value = |seq: u64| {
        let wave = 72.0 + 9.0 * (seq as f64 / 140.0).sin() + 3.0 * (seq as f64 / 17.0).sin();
        let sprint = if (1_000..1_060).contains(&seq) { 60.0 } else { 0.0 };
        format!("{:.1}", wave + sprint).parse().unwrap()
    };
    let values = (first..first + count).map(value).collect();
    let rate = Timing::Rate("1".parse().unwrap());
    let mut samples = Samples::new("8867-4", "/min", now_ms() - 7_200_000, rate, values);
    samples.skipped = first;
    prepare_segment(&town.phd.chain_id(), device, first, &samples, Carriage::Blob, now_ms()).unwrap()
}

/// Enrols a device and sends readings with a gap; its key.
fn devices(browser: &Browser, town: &Town) -> String {
    let [owner, device] = [11, 12].map(|seed| SecretKey::from_seed([seed; 32]));
    let key = device.public().to_string();
    let taken = town.post("/api/v1/devices", &order(&enrol(&town.phd.chain_id(), &owner, &device, now_ms())));
    browser.go(&format!("/devices/{key}"));
    browser.expect(&["No segment yet", "blockhie device push"]);
    town.wait_for(taken["status_url"].as_str().unwrap(), "final");
    let part = |first: u64, count: u64, with_key: bool| {
        let segment = heart_rate(town, &device, first, count);
        let key = with_key.then(|| hex::encode(segment.key.as_bytes()));
        json!({"transaction": hex_of(&segment.transaction), "sealed": hex::encode(&segment.sealed), "key": key})
    };
    let segments = [part(0, 1_200, true), part(1_500, 1_800, true), part(3_300, 300, false)];
    town.post(&format!("/api/v1/devices/{key}/readings"), &json!({"segments": segments}));
    town.wait_for(&format!("/api/v1/devices/{key}/segments/3300/status"), "final");
    browser.go("/devices");
    browser.expect(&["enrolled", "3300"]);
    browser.picture("devices");
    browser.click("table a");
    browser.expect(&["8867-4", "in /min", "3000 readings", "1 gap", "1200 to 1499", "sealed", "FHIR"]);
    assert_eq!(browser.count("svg .gap"), 1);
    let drawn = browser.run("return document.querySelector('svg .range').getTotalLength()").as_f64().unwrap();
    assert!(drawn > 400.0, "{drawn}");
    browser.until("all final", || browser.count("td .tag.good") == 3);
    browser.picture("device");
    // The segment is proved as a record is, from what can be downloaded here.
    let of = |rest: &str| town.get(&format!("/api/v1/devices/{key}/segments/1500/{rest}")).1;
    browser.go("/verify");
    for (field, rest) in [("receipt", "receipt"), ("opening", "opening"), ("record", "data")] {
        let file = town.file(&format!("segment.{rest}"), &of(rest));
        browser.fill(&format!("#{field}"), file.to_str().unwrap());
    }
    browser.click("form.stack-form button");
    browser.expect(&["Proved", "PHD-Chain", "1800 samples of code 8867-4"]);
    browser.picture("verify-segment");
    key
}

/// Links the record and the device; the link's name.
fn links(browser: &Browser, town: &Town, record: &str, device: &str) -> String {
    browser.go("/links");
    browser.expect(&["No link yet", "blockhie link create"]);
    let terms = LinkTerms {
        emr: town.emr.chain_id(),
        phd: town.phd.chain_id(),
        seed: Seed::generate().unwrap(),
        record: record.parse().unwrap(),
        device: device.parse().unwrap(),
        audience: SecretKey::from_seed([13; 32]).public(),
        expiry_ms: now_ms() + 30 * 86_400_000,
    };
    // The record has no addressee: the institution signs for it, as its operator asks.
    let owner = SecretKey::from_seed([11; 32]);
    let LinkTerms { seed, audience, expiry_ms, .. } = &terms;
    let body = json!({
        "seed": seed, "record": record, "device": device, "audience": audience, "expiry_ms": expiry_ms,
        "owner_signature": terms.sign(&owner), "holder_signature": null,
    });
    let taken = town.post("/api/v1/links", &body);
    let link = taken["link"].as_str().unwrap().to_owned();
    browser.go("/links");
    browser.expect(&["until 20"]);
    browser.click("table tbody th a");
    browser.until("the link", || browser.path() == format!("/links/{link}"));
    browser.until("final", || browser.count("#link-state h1 .tag.good") == 2);
    browser.expect(&["EMR-Chain", "PHD-Chain", "For the audience", record, device, "Told to"]);
    assert_eq!(browser.count(".steps li.done"), 8);
    browser.picture("link");
    browser.go("/links");
    browser.picture("links");
    browser.go(&format!("/links/{link}"));
    browser.click("section.phd a[href^='/phd/tx/']");
    browser.expect(&["LINK", "Value of this half", "By itself it says nothing"]);
    assert!(!browser.text().contains(record) && !browser.text().contains(device));
    browser.picture("transaction-link");
    link
}

fn search(browser: &Browser, record: &str, device: &str) {
    let find = |text: &str| {
        browser.go("/");
        browser.fill(".find input", text);
        browser.click(".find button");
    };
    find(record);
    browser.until("the record", || browser.path() == format!("/publish/records/{record}"));
    find(device);
    browser.until("the device", || browser.path() == format!("/devices/{device}"));
    find("1");
    browser.expect(&["Block 1 of the EMR-Chain", "Block 1 of the PHD-Chain"]);
    browser.picture("search");
}

fn network(browser: &Browser) {
    browser.go("/network");
    browser.expect(&["county health", "North Hospital", "Blocks ago", "both ways", "127.0.0.1:", "Final up to", "up"]);
    assert_eq!(browser.count("[data-part] table"), 4, "members and peers of both chains");
    let tip = || browser.run("return document.querySelector('#network-emr .facts a').textContent");
    let before = tip();
    browser.until("a new tip without loading anew", || tip() != before);
    browser.picture("network");
}

fn fairness(browser: &Browser, town: &Town) {
    // Some more, so that there is something to compare.
    for at in 0..60 {
        town.publish(&format!("reading {at}"));
        if at % 20 == 19 {
            std::thread::sleep(Duration::from_millis(900));
        }
    }
    browser.go("/fairness?blocks=512");
    browser.expect(&["Jain", "p50", "p90", "p99", "Longest", "How to read this", "measured"]);
    assert_eq!(browser.count(".chart .bar.measured"), 26, "a histogram for each chain");
    browser.click("#fairness-phd details summary");
    browser.expect(&["Newest group first"]);
    browser.picture("fairness");
}

/// The same at the width of a phone.
fn phone(browser: &Browser, device: &str, link: &str) {
    browser.size(400, 800);
    for (path, name) in [
        ("/", "phone-explorer"),
        (&*format!("/devices/{device}"), "phone-device"),
        (&*format!("/links/{link}"), "phone-link"),
        ("/fairness?blocks=512", "phone-fairness"),
        ("/network", "phone-network"),
        ("/publish", "phone-publish"),
        ("/verify", "phone-verify"),
    ] {
        browser.go(path);
        browser.picture(name);
    }
    browser.size(1280, 800);
}

fn log_out(browser: &Browser) {
    browser.go("/publish");
    browser.click(".leave button");
    browser.until("out", || browser.path() == "/");
    browser.go("/devices");
    browser.expect(&["Look up one device"]);
    browser.quiet();
}
