//! Filling a block of bounded count and bytes.

use std::hash::Hash;

use crate::policy::MAX_FILL_SCAN;
use crate::pool::Entries;
use crate::{PackingContext, PoolEntry, WaitingPool};

/// What is left of both limits.
struct Room {
    places: usize,
    bytes: usize,
}

impl Room {
    fn of(ctx: &PackingContext) -> Self {
        Self { places: ctx.capacity, bytes: ctx.bytes }
    }

    /// Takes a place of this size, or nothing and `false`.
    fn take(&mut self, bytes: u32) -> bool {
        let left = usize::try_from(bytes).ok().and_then(|bytes| self.bytes.checked_sub(bytes));
        match left {
            Some(left) if self.places > 0 => {
                self.places -= 1;
                self.bytes = left;
                true
            }
            _ => false,
        }
    }

    fn is_full(&self) -> bool {
        self.places == 0 || self.bytes == 0
    }
}

/// How far past `capacity` anything is looked at.
pub(crate) fn reach(ctx: &PackingContext) -> usize {
    ctx.capacity.saturating_add(MAX_FILL_SCAN)
}

/// The oldest items of a pool, read as far as they are needed.
pub(crate) struct Oldest<'a, Id> {
    seen: Vec<PoolEntry<'a, Id>>,
    rest: Entries<'a, Id>,
}

impl<'a, Id> Oldest<'a, Id> {
    /// The first `count`, or all that there are.
    pub(crate) fn first(&mut self, count: usize) -> &[PoolEntry<'a, Id>] {
        if count > self.seen.len() {
            self.seen.extend(self.rest.by_ref().take(count - self.seen.len()));
        }
        &self.seen[..count.min(self.seen.len())]
    }

    /// The item of this rank, 0 being the oldest.
    pub(crate) fn get(&mut self, rank: usize) -> Option<&PoolEntry<'a, Id>> {
        self.first(rank.saturating_add(1)).get(rank)
    }
}

/// The steps written at [`PackingPolicy::pick`](crate::PackingPolicy::pick). `choose` gets m ≥ 1 and answers the ranks
/// of its set, ascending.
pub(crate) fn pick_set<Id: Ord + Clone + Hash>(
    pool: &WaitingPool<Id>,
    ctx: &PackingContext,
    choose: impl FnOnce(&mut Oldest<'_, Id>, usize) -> Vec<usize>,
) -> Vec<Id> {
    if ctx.capacity == 0 {
        return Vec::new();
    }
    let mut oldest = Oldest { seen: Vec::new(), rest: pool.entries() };
    let m = fitting_run(&mut oldest, ctx).max(1);
    let ranks = choose(&mut oldest, m);

    let mut room = Room::of(ctx);
    let mut picked: Vec<usize> = Vec::with_capacity(ranks.len());
    picked.extend(ranks.iter().copied().filter(|&rank| room.take(oldest.seen[rank].bytes)));
    if !room.is_full() {
        fill(&mut oldest, &ranks, reach(ctx), &mut room, &mut picked);
    }
    picked.into_iter().map(|rank| oldest.seen[rank].id.clone()).collect()
}

/// How many of the oldest items fit both limits together.
fn fitting_run<Id>(oldest: &mut Oldest<'_, Id>, ctx: &PackingContext) -> usize {
    let mut room = Room::of(ctx);
    // Not one by one: what is read here is needed in any case.
    let likely = ctx.capacity.min(MAX_FILL_SCAN);
    let run = oldest.first(likely).iter().take_while(|entry| room.take(entry.bytes)).count();
    if run < likely || oldest.seen.len() < likely {
        return run;
    }
    (run..).take_while(|&rank| oldest.get(rank).is_some_and(|entry| room.take(entry.bytes))).count() + run
}

/// Step 3: the items outside the set, oldest first.
fn fill<Id>(oldest: &mut Oldest<'_, Id>, ranks: &[usize], scan: usize, room: &mut Room, picked: &mut Vec<usize>) {
    let before = picked.len();
    let mut chosen = ranks.iter().copied().peekable();
    for rank in 0..scan {
        if room.is_full() {
            break;
        }
        let Some(entry) = oldest.get(rank) else { break };
        if chosen.next_if_eq(&rank).is_none() && room.take(entry.bytes) {
            picked.push(rank);
        }
    }
    if picked.len() > before {
        picked.sort_unstable();
    }
}

/// Takes what fits in this order of preference, and answers it oldest first.
pub(crate) fn pick_in_order<'a, Id: Ord + Clone + 'a>(
    ctx: &PackingContext,
    preferred: impl Iterator<Item = PoolEntry<'a, Id>>,
) -> Vec<Id> {
    let mut room = Room::of(ctx);
    let mut picked: Vec<(u64, &Id)> = Vec::new();
    for entry in preferred.take(reach(ctx)) {
        if room.is_full() {
            break;
        }
        if room.take(entry.bytes) {
            picked.push((entry.since_ms, entry.id));
        }
    }
    picked.sort_unstable();
    picked.into_iter().map(|(_, id)| id.clone()).collect()
}
