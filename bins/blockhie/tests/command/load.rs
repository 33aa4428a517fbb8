//! `load` against nodes that forget, refuse and commit.

use crate::node::{Habits, Nodes, WAIT_MS};
use blockhie_core::ChainKind;

const LOAD: [&str; 8] = ["load", "--node", "NODE", "--tps", "50", "--seconds", "1", "--json"];

#[test]
fn what_is_acknowledged_and_what_is_lost_is_counted() {
    let nodes = Nodes::start(Habits::of(ChainKind::Emr), &[7]);
    let folder = tempfile::tempdir().unwrap();
    let acks = folder.path().join("acks");
    let acks = acks.to_str().unwrap();
    let json = nodes.ask(&[&LOAD[..], &["--senders", "3", "--acks", acks]].concat()).expect(0).json();
    assert_eq!((json["sent"].as_u64(), json["acknowledged"].as_u64()), (Some(50), Some(50)));
    assert_eq!((json["lost"].as_u64(), json["pending"].as_u64()), (Some(0), Some(50)));
    assert!(json["p50_ms"].as_f64().unwrap() > 0.0 && json["p99_ms"].as_f64() >= json["p50_ms"].as_f64());
    assert!(json["wait"]["p50_ms"].is_null());
    assert_eq!(std::fs::read_to_string(acks).unwrap().lines().count(), 50);
    let checked = nodes.ask(&["chain", "tx", "--file", acks, "--node", "NODE", "--json"]).expect(0).json();
    assert_eq!((checked["checked"].as_u64(), checked["pending"].as_u64()), (Some(50), Some(50)));
    let text = nodes.ask(&["load", "--node", "NODE", "--tps", "10", "--seconds", "1"]).expect(0).stdout;
    assert!(text.contains("acknowledged  10") && text.contains("lost          0") && text.contains("p99"));

    let forgetful = Nodes::start(Habits { forgets: 10, ..Habits::of(ChainKind::Emr) }, &[7]);
    let json = forgetful.ask(&LOAD).expect(1).json();
    assert_eq!((json["acknowledged"].as_u64(), json["lost"].as_u64()), (Some(50), Some(5)));

    let full = Nodes::start(Habits { refuses: 10, ..Habits::of(ChainKind::Emr) }, &[7]);
    let json = full.ask(&LOAD).expect(0).json();
    assert_eq!((json["acknowledged"].as_u64(), json["failed"]["refused (exhausted)"].as_u64()), (Some(45), Some(5)));
}

#[test]
fn settling_waits_until_all_is_committed_and_says_how_long_each_waited() {
    let nodes = Nodes::start(Habits { commits_after: 60, ..Habits::of(ChainKind::Emr) }, &[7]);
    let json = nodes.ask(&[&LOAD[..], &["--settle", "20"]].concat()).expect(0).json();
    assert_eq!((json["committed"].as_u64(), json["pending"].as_u64()), (Some(50), Some(0)));
    let wait = &json["wait"];
    assert_eq!((wait["p50_ms"].as_u64(), wait["max_ms"].as_u64()), (Some(WAIT_MS), Some(WAIT_MS)));
    assert_eq!(wait["jain"].as_f64(), Some(1.0));
    let text = nodes.ask(&["load", "--node", "NODE", "--tps", "10", "--seconds", "1"]).expect(0).stdout;
    assert!(text.contains("committed after     p50 100 ms") && text.contains("fairness      1.0000"), "{text}");

    let never = Nodes::start(Habits::of(ChainKind::Emr), &[7]);
    let json = never.ask(&[&LOAD[..], &["--settle", "1"]].concat()).expect(2).json();
    assert_eq!(json["pending"].as_u64(), Some(50));
}

#[test]
fn nodes_of_one_chain_take_turns() {
    let nodes = Nodes::start(Habits { commits_after: 0, ..Habits::of(ChainKind::Emr) }, &[7, 7]);
    let json = nodes.ask(&[&LOAD[..], &["--node", "NODE2"]].concat()).expect(0).json();
    assert_eq!((json["nodes"].as_u64(), json["committed"].as_u64()), (Some(2), Some(50)));
    assert_eq!(nodes.taken(), [25, 25]);
    let strangers = Nodes::start(Habits::of(ChainKind::Emr), &[7, 8]);
    let done = strangers.ask(&[&LOAD[..], &["--node", "NODE2"]].concat()).expect(64);
    assert!(done.stderr.contains("expected chain") && strangers.taken() == [0, 0], "{done:?}");
}

#[test]
fn a_phd_chain_gets_devices_and_their_readings() {
    for carriage in [&[][..], &["--inline"]] {
        let nodes = Nodes::start(Habits { commits_after: 5, ..Habits::of(ChainKind::Phd) }, &[7, 7]);
        let more = [&["--node", "NODE2", "--senders", "3"], carriage].concat();
        let json = nodes.ask(&[&LOAD[..], &more].concat()).expect(0).json();
        assert_eq!((json["chain"].as_str(), json["acknowledged"].as_u64()), (Some("phd"), Some(50)));
        assert_eq!((json["committed"].as_u64(), json["void"].as_u64()), (Some(50), Some(0)));
        assert_eq!(nodes.taken().iter().sum::<usize>(), 53, "and three enrolments");
    }
    let nodes = Nodes::start(Habits { commits_after: 0, voids: 10, ..Habits::of(ChainKind::Phd) }, &[7]);
    let json = nodes.ask(&LOAD).expect(1).json();
    assert_eq!((json["committed"].as_u64(), json["void"].as_u64()), (Some(45), Some(5)));
    let nodes = Nodes::start(Habits { commits_after: 0, voids: 1, ..Habits::of(ChainKind::Phd) }, &[7]);
    assert!(nodes.ask(&LOAD).expect(1).stderr.contains("is void: it meets another"));
    assert_eq!(nodes.taken(), [1], "no readings of a device that is not enrolled");
}

#[test]
fn a_key_it_can_read_a_list_it_can_write_and_flags_of_the_chain_are_wanted() {
    let nodes = Nodes::start(Habits::of(ChainKind::Emr), &[7]);
    assert!(nodes.ask(&[&LOAD[..], &["--key", "/nonexistent"]].concat()).expect(3).stderr.contains("key file"));
    assert!(nodes.ask(&[&LOAD[..], &["--acks", "/nonexistent/a"]].concat()).expect(1).stderr.contains("acks"));
    assert!(nodes.ask(&[&LOAD[..], &["--inline"]].concat()).expect(64).stderr.contains("got an emr-chain"));
}
