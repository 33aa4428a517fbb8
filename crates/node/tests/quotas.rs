//! A real node and those who bring too much. Each test names the row of the threat page.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod common;
mod evil;

use blockhie_core::{ErrorClass, Genesis, Hash32, Transaction, UncheckedBlock, Unverified};
use blockhie_node::{Config, Node};
use blockhie_transport::limits::EXHAUSTED_PAUSE;
use common::{client, config, genesis, record_of, secret, start};
use evil::forge::Forge;
use evil::{Evil, host};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

fn quiet(sender_rate: u32) -> Config {
    Config { mine: false, sender_rate, ..config(&[]) }
}

/// A number of the metrics page; 0 when it was never counted.
fn number(node: &Node, name: &str) -> u64 {
    let text = node.metrics();
    let line = text.lines().find(|line| line.starts_with(name) && line.as_bytes().get(name.len()) == Some(&b' '));
    line.map_or(0, |line| line[name.len() + 1..].parse().unwrap())
}

fn is_exhausted<T>(answer: &Result<T, Status>) -> bool {
    answer.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted)
}

/// Blocks whose parents nobody has.
fn orphans(genesis: &Genesis, count: u8) -> Vec<UncheckedBlock> {
    let good = Forge::new(genesis, secret(2)).block(Vec::new(), 10);
    (0..count).map(|n| UncheckedBlock { previous: Hash32([n; 32]), history_root: None, ..good.clone() }).collect()
}

/// (P4, P12) What strangers push beyond their rate never reaches the engine; others' blocks do.
#[tokio::test(flavor = "multi_thread")]
async fn p4_the_engine_sees_no_more_blocks_of_a_stranger_than_its_share() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(100)).await;
    let evil = Evil::connect(host(1), node.address()).await.unwrap();
    let before = number(&node, "blockhie_events_total");
    let (blocks, begin) = (orphans(&genesis, 100), Instant::now());
    let mut refused = 0;
    for _ in 0..5 {
        let answers = futures::future::join_all(blocks.iter().map(|block| evil.push(block))).await;
        refused += answers.iter().filter(|answer| is_exhausted(answer)).count();
    }
    let back = usize::try_from(begin.elapsed().as_secs()).unwrap() * 17 + 17;
    let most = 500usize - 256 - 8;
    assert!((most.saturating_sub(back)..=most).contains(&refused), "{refused} of 500 were refused");
    let events = number(&node, "blockhie_events_total") - before;
    assert!(events <= u64::try_from(500 - refused).unwrap() + 64, "{events} events");
    // Another host's block is taken at once.
    let other = Evil::connect(host(2), node.address()).await.unwrap();
    other.push(&Forge::new(&genesis, secret(2)).block(Vec::new(), 10)).await.unwrap();
    assert_eq!(node.tip().height, 1);
    node.stop().await.unwrap();
}

/// (P10) A sender far above its rate has its transactions written in lots, so that others wait for few syncs of its own,
/// and one that keeps its rate is answered at once.
#[tokio::test(flavor = "multi_thread")]
async fn p10_who_is_above_its_rate_costs_few_batches() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(30)).await;
    let ledger = client(&node).await;
    let of = |sender: u8, name: &str, count: u32| -> Vec<Transaction<Unverified>> {
        (0..count).map(|i| record_of(&genesis, sender, &format!("{name} {i}")).into_unverified()).collect()
    };
    let batches = || number(&node, "blockhie_commit_seconds_count");
    // Much more than half of what it may hand in at once: it takes seconds until half is back.
    futures::future::join_all(of(9, "burst", 240).iter().map(|tx| ledger.submit(tx))).await;
    // Five milliseconds apart these would be a batch each.
    let (before, rest) = (batches(), of(9, "rest", 40));
    let above = futures::future::join_all(rest.iter().enumerate().map(async |(n, tx)| {
        tokio::time::sleep(Duration::from_millis(5) * u32::try_from(n).unwrap()).await;
        let asked = Instant::now();
        // Twice at once: the copy goes with it.
        let (first, copy) = tokio::join!(ledger.submit(tx), ledger.submit(tx));
        assert_eq!(first.unwrap(), copy.unwrap());
        asked.elapsed()
    }));
    let honest = async {
        let mut times = Vec::new();
        for tx in of(10, "honest", 10) {
            let asked = Instant::now();
            ledger.submit(&tx).await.unwrap();
            times.push(asked.elapsed());
        }
        times
    };
    let (above, honest) = tokio::join!(above, honest);
    let written = batches() - before;
    assert!(written <= 10 + 8, "{written} batches for ten honest ones and forty above the rate");
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (honest, above) = (median(honest), median(above));
    assert!(honest < above, "{honest:?} against {above:?}");
    node.stop().await.unwrap();
}

/// (P10) Who has used up its rate is told so late, and to ask again is no way in.
#[tokio::test(flavor = "multi_thread")]
async fn p10_who_has_used_up_its_rate_is_told_late() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(1)).await;
    let clients = futures::future::join_all((0..8).map(|_| client(&node))).await;
    let all: Vec<_> = (0..240).map(|i| record_of(&genesis, 9, &format!("flood {i}")).into_unverified()).collect();
    let begin = Instant::now();
    // Ten may come; more are under way at once, and their signatures hold.
    let send = || {
        futures::future::join_all(all.iter().enumerate().map(async |(i, tx)| {
            let asked = Instant::now();
            (clients[i % 8].submit(tx).await, asked.elapsed())
        }))
    };
    for round in 1..=2 {
        let mut taken = 0;
        for (answer, took) in send().await {
            match answer {
                Ok(_) => taken += 1,
                Err(error) => {
                    assert_eq!(error.class(), ErrorClass::Exhausted, "{error}");
                    assert!(took >= EXHAUSTED_PAUSE, "{took:?}");
                }
            }
        }
        let most = 10 + begin.elapsed().as_secs() + 1;
        assert!((10..=most).contains(&taken), "{taken} of 240 in round {round}, expected {most} at most");
    }
    node.stop().await.unwrap();
}

/// (P3) Greetings are answered as fast as nodes need them and no faster.
#[tokio::test(flavor = "multi_thread")]
async fn p3_a_flood_of_greetings_is_answered_in_part() {
    let genesis = genesis(2);
    let node = start(&genesis, 1, quiet(100)).await;
    let (evil, begin) = (Evil::connect(host(1), node.address()).await.unwrap(), Instant::now());
    let answers = futures::future::join_all((0..600).map(|nonce| evil.hello(&genesis, 0, nonce + 1_000))).await;
    let refused = answers.iter().filter(|answer| is_exhausted(answer)).count();
    let back = usize::try_from(begin.elapsed().as_secs() + 1).unwrap() * 32;
    assert!(((600usize - 256).saturating_sub(back)..=600 - 256).contains(&refused), "{refused} of 600 were refused");
    let other = Evil::connect(host(2), node.address()).await.unwrap();
    other.hello(&genesis, 0, 7).await.unwrap();
    node.stop().await.unwrap();
}
