//! Real nodes of which one has a wall clock that is off.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;

use common::{builder, client, config, genesis, now_ms, start, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A value of the metrics page.
fn metric(node: &blockhie_node::Node, name: &str) -> f64 {
    let text = node.metrics();
    let line = text.lines().find(|line| line.starts_with(name) && line.as_bytes().get(name.len()) == Some(&b' '));
    line.map_or(0.0, |line| line[name.len() + 1..].parse().unwrap())
}

/// (C5) A node whose clock steps away from the others' stops mining, says so everywhere, follows, and mines again when
/// its clock is right.
#[tokio::test(flavor = "multi_thread")]
async fn c5_a_node_whose_clock_is_off_stops_mining_and_says_so() {
    let mut genesis = genesis(4);
    genesis.spacing = 0;
    let first = start(&genesis, 1, config(&[])).await;
    let mut others = vec![start(&genesis, 2, config(&[&first])).await];
    others.push(start(&genesis, 3, config(&[&first, &others[0]])).await);
    others.push(first);
    let skew_ms = Arc::new(AtomicI64::new(0));
    let clock = {
        let skew_ms = skew_ms.clone();
        move || now_ms().saturating_add_signed(skew_ms.load(Ordering::Relaxed))
    };
    let peers: Vec<_> = others.iter().collect();
    let node = builder(&genesis, 4, config(&peers)).start_with_clock(clock).await.unwrap();
    until("it mines", async || metric(&node, "blockhie_mined_total") > 1.0).await;
    until("it heard the others", async || metric(&node, "blockhie_clock_offset_seconds") != 0.0).await;
    assert_eq!((metric(&node, "blockhie_clock_off"), node.sync().reason == "clock"), (0.0, false));
    skew_ms.store(20_000, Ordering::Relaxed);
    until("it is off", async || node.sync().reason == "clock").await;
    assert!(node.sync().text.contains("ahead of those of 3 other members, expected at most 5000; not mining"));
    assert_eq!(client(&node).await.sync().await.unwrap().reason, "clock", "which `status` shows");
    until("the metric", async || metric(&node, "blockhie_clock_off") == 1.0).await;
    assert!((-21.0..-19.0).contains(&metric(&node, "blockhie_clock_offset_seconds")));
    let (mined, height) = (metric(&node, "blockhie_mined_total"), node.tip().height);
    until("it follows", async || node.tip().height > height + 5).await;
    assert!(metric(&node, "blockhie_mined_total") <= mined + 1.0, "but for one that was on its way");
    skew_ms.store(0, Ordering::Relaxed);
    until("it agrees", async || node.sync().reason != "clock").await;
    until("it mines again", async || metric(&node, "blockhie_mined_total") > mined + 2.0).await;
    node.stop().await.unwrap();
    for other in others {
        other.stop().await.unwrap();
    }
}
