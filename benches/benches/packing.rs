//! The exact k-th largest m-subset sum from a slice, and the pool that stays sorted: its selections, its policies' blocks
//! and its updates.
//!
//! Ceilings: of the slice a copy of the same (wait, index) pairs with a bare quickselect of the m longest, and a full sort
//! of such a copy; of the pool reading the m oldest entries; of an update the same on two standard maps.

use blockhie_benches::{Comparison, criterion, timed};
use blockhie_packing::{PackingContext, PackingPolicy, WaitingPool, kth_subset_exact, require_policy};
use criterion::Criterion;
use sha2::{Digest, Sha256};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

type Id = [u8; 32];

const NOW_MS: u64 = 10_000_000;
const SIZES: [(usize, &str); 4] = [(1_000, "1e3"), (10_000, "1e4"), (100_000, "1e5"), (1_000_000, "1e6")];
const PLACES: [usize; 3] = [100, 2_000, 4_000];
const RANKS: [usize; 4] = [1, 8, 64, 1_000];
/// Items of the pool, and how many more there are to come and go.
const POOL: usize = 1_000_000;
const SPARE: usize = 1 << 16;

fn main() {
    let mut criterion = criterion(Duration::from_millis(160));
    slice(&mut criterion);
    let pool = updates(&mut criterion);
    selections(&mut criterion, &pool);
    blocks(&mut criterion, &pool);
    criterion.final_summary();
}

/// A selection from a slice.
fn slice(criterion: &mut Criterion) {
    let mut slice = Comparison::new(criterion, "packing_slice");
    for (n, size) in SIZES {
        let waits: Vec<u64> = (0..n).map(|i| NOW_MS - since_ms(&id(i))).collect();
        for m in PLACES.into_iter().filter(|m| *m < n) {
            for k in RANKS {
                let case = format!("n={size} m={m} k={k}");
                select_beside_ceilings(&mut slice, &case, &waits, m, k);
            }
        }
    }
    // The worst order for one pass: each longer than all before it.
    let ascending: Vec<u64> = (0..POOL as u64).collect();
    select_beside_ceilings(&mut slice, "n=1e6 ascending m=2000 k=8", &ascending, 2_000, 8);
    slice.finish();
}

fn select_beside_ceilings(slice: &mut Comparison<'_>, case: &str, waits: &[u64], m: usize, k: usize) {
    let pairs: Vec<(Reverse<u64>, usize)> = waits.iter().enumerate().map(|(at, wait)| (Reverse(*wait), at)).collect();
    let ours = slice.ours(case, "selections", 1, timed(|| kth_subset_exact(waits, m, k)));
    let quickselect = || {
        let mut copy = pairs.clone();
        let (first, last, _) = copy.select_nth_unstable(m - 1);
        first.iter().map(|pair| u128::from(pair.0.0)).sum::<u128>() + u128::from(last.0.0)
    };
    slice.ceiling(&ours, "copy, quickselect", timed(quickselect));
    if (m, k) == (2_000, 8) {
        let sort = || {
            let mut copy = pairs.clone();
            copy.sort_unstable();
            copy
        };
        slice.ceiling(&ours, "copy, full sort", timed(sort));
    }
}

/// One item out, another in, of a pool of a million; answers a pool that has gone through many of them.
fn updates(criterion: &mut Criterion) -> WaitingPool<Id> {
    let ids: Vec<Id> = (0..POOL + SPARE).map(id).collect();
    let mut updates = Comparison::new(criterion, "packing_pool_update");
    let (mut in_turn, mut bare) = (WaitingPool::new(), Bare::default());
    for (at, id) in ids[..POOL].iter().enumerate() {
        in_turn.insert(*id, at as u64, 99);
        bare.insert(*id, at as u64);
    }
    let (mut ours_at, mut bare_at) = (0, 0);
    let ours = updates.ours("n=1e6, oldest out, newest in", "updates", 1, |rounds| {
        churn(&ids, &mut ours_at, rounds, |out, new, at| in_turn.remove(out) && in_turn.insert(*new, at as u64, 99))
    });
    let ceiling =
        |rounds| churn(&ids, &mut bare_at, rounds, |out, new, at| bare.remove(out) && bare.insert(*new, at as u64));
    updates.ceiling(&ours, "two standard maps", ceiling);
    drop((in_turn, bare));

    let (mut anywhere, mut bare) = (WaitingPool::new(), Bare::default());
    for id in &ids[..POOL] {
        anywhere.insert(*id, since_ms(id), 99);
        bare.insert(*id, since_ms(id));
    }
    let (mut ours_at, mut bare_at) = (0, 0);
    let ours = updates.ours("n=1e6, any out, any in", "updates", 1, |rounds| {
        churn(&ids, &mut ours_at, rounds, |out, new, _| {
            anywhere.remove(out) && anywhere.insert(*new, since_ms(new), 99)
        })
    });
    let ceiling =
        |rounds| churn(&ids, &mut bare_at, rounds, |out, new, _| bare.remove(out) && bare.insert(*new, since_ms(new)));
    updates.ceiling(&ours, "two standard maps", ceiling);
    updates.finish();
    // Where updates were left out by a filter the rest is still of a pool in use.
    churn(&ids, &mut ours_at, POOL as u64, |out, new, _| {
        anywhere.remove(out) && anywhere.insert(*new, since_ms(new), 99)
    });
    anywhere
}

/// The items `at..at + POOL` of the ring are in; one goes, and the next one comes.
fn churn(ids: &[Id], at: &mut usize, rounds: u64, mut update: impl FnMut(&Id, &Id, usize) -> bool) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
        assert!(update(&ids[*at % ids.len()], &ids[(*at + POOL) % ids.len()], *at + POOL));
        *at += 1;
    }
    start.elapsed()
}

/// The least that finds an item by its id and keeps an order: no sizes, no arrivals.
#[derive(Default)]
struct Bare {
    order: BTreeMap<(u64, Id), ()>,
    starts: std::collections::HashMap<Id, u64>,
}

impl Bare {
    fn insert(&mut self, id: Id, since_ms: u64) -> bool {
        self.starts.insert(id, since_ms);
        self.order.insert((since_ms, id), ()).is_none()
    }

    fn remove(&mut self, id: &Id) -> bool {
        let since_ms = self.starts.remove(id);
        since_ms.is_some_and(|since_ms| self.order.remove(&(since_ms, *id)).is_some())
    }
}

/// A selection from the pool.
fn selections(criterion: &mut Criterion, pool: &WaitingPool<Id>) {
    let mut sorted = Comparison::new(criterion, "packing_pool");
    for m in PLACES {
        for k in RANKS {
            let case = format!("n=1e6 m={m} k={k}");
            let ours = sorted.ours(&case, "selections", 1, timed(|| pool.kth(NOW_MS, m, k)));
            sorted.ceiling(&ours, "read of the oldest m", timed(|| oldest(pool, m)));
        }
    }
    sorted.finish();
}

/// A block of 2,000 by each policy for node 8 of 8, as a ledger asks for it.
fn blocks(criterion: &mut Criterion, pool: &WaitingPool<Id>) {
    let mut blocks = Comparison::new(criterion, "packing_block");
    let ctx = PackingContext {
        capacity: 2_000,
        bytes: 1 << 20,
        node_index: 8,
        node_count: 8,
        parent: id(0),
        now_ms: NOW_MS,
        seed: 7,
    };
    for name in blockhie_packing::POLICY_NAMES {
        let policy: Box<dyn PackingPolicy<Id>> = require_policy(name).expect("a name of the list");
        let case = format!("n=1e6 m=2000 {name}");
        let ours = blocks.ours(&case, "blocks", 1, timed(|| policy.pick(pool, &ctx)));
        blocks.ceiling(&ours, "read of the oldest m", timed(|| oldest(pool, 2_000)));
    }
    blocks.finish();
}

fn id(index: usize) -> Id {
    Sha256::digest(index.to_be_bytes()).into()
}

/// Starts in no order of insertion, spread over 10,000 s.
fn since_ms(id: &Id) -> u64 {
    u64::from_be_bytes(*id.first_chunk().expect("a hash has 32 bytes")) % NOW_MS
}

fn oldest(pool: &WaitingPool<Id>, m: usize) -> (Vec<Id>, u128) {
    let (mut ids, mut sum) = (Vec::with_capacity(m), 0);
    for entry in pool.iter().take(m) {
        ids.push(*entry.id);
        sum += u128::from(NOW_MS - entry.since_ms);
    }
    black_box((ids, sum))
}
