//! The address book: where other nodes may be found, by the word of others, and which of them answered. Bounded by
//! source and by network, so that nobody fills it alone; who answered long ago comes first, so that nobody who came
//! lately replaces all the others.

use blockhie_core::store::PeerRow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Addresses known by the word of others, at most.
const MAX_TOLD: usize = 1_024;
/// Of these, from one source network: what one exchange carries.
const MAX_TOLD_BY_SOURCE: usize = 64;
/// Of these, in one network.
const MAX_TOLD_IN_GROUP: usize = 128;
/// Addresses that answered, at most: these are stored.
pub(super) const MAX_KNOWN: usize = 256;
/// Of these, in one network: a whole group of hospitals fits.
const MAX_KNOWN_IN_GROUP: usize = 64;
/// Places for addresses that answered, the longest known first. From the threat page: at least four to different ones.
pub(super) const ANCHORS: usize = 4;
/// An address that failed is not tried again before this, doubled with each failure in succession.
const RETRY_MS: u64 = 5_000;
/// That time doubles at most so often: 85 minutes.
const MAX_DOUBLINGS: u32 = 10;
/// Failures after which an address that never answered is forgotten, and one that did gives up its place to others.
const MAX_FAILURES: u32 = 5;
/// A stored row is written anew when it is older than this.
const RESTORE_MS: u64 = 3_600_000;

/// The network of an address, as far as one owner is likely to have all of it: /16 of IPv4, /32 of IPv6. On loopback
/// each address counts for itself: there is no network in development.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group(bool, [u8; 4]);

impl Group {
    pub(super) fn of(address: &SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) if ip.is_loopback() => Self(false, ip.octets()),
            IpAddr::V4(ip) => Self(false, [ip.octets()[0], ip.octets()[1], 0, 0]),
            IpAddr::V6(ip) => Self(true, [ip.octets()[0], ip.octets()[1], ip.octets()[2], ip.octets()[3]]),
        }
    }
}

#[derive(Debug, Clone)]
struct Row {
    source: Group,
    /// When it was first told of or answered.
    told_ms: u64,
    /// When it first answered; `None`: never.
    since_ms: Option<u64>,
    seen_ms: u64,
    stored_ms: u64,
    failures: u32,
    not_before_ms: u64,
}

/// A change to be stored; `None` forgets the address.
pub(super) type Change = (SocketAddr, Option<PeerRow>);

/// See the module. Times are ms since the epoch.
#[derive(Debug)]
pub(super) struct AddressBook {
    rows: BTreeMap<SocketAddr, Row>,
    /// How many of those that never answered each source told of, and how many stand in each network. Kept, and not
    /// counted anew for each address of a flood.
    by_source: BTreeMap<Group, usize>,
    by_group: BTreeMap<Group, usize>,
    told: usize,
    random: u64,
}

impl AddressBook {
    /// With what was stored; `seed` decides who is tried among equals.
    pub(super) fn load(stored: Vec<PeerRow>, seed: u64) -> Self {
        let (rows, by_source, by_group) = Default::default();
        let mut book = Self { rows, by_source, by_group, told: 0, random: seed };
        let mut stored = stored;
        stored.sort_by_key(|row| row.since_ms);
        for PeerRow { address, since_ms, last_seen_ms } in stored.into_iter().take(MAX_KNOWN) {
            let Ok(address) = address.parse::<SocketAddr>() else { continue };
            let row = Row {
                source: Group::of(&address),
                told_ms: since_ms,
                since_ms: Some(since_ms),
                seen_ms: last_seen_ms,
                stored_ms: last_seen_ms,
                failures: 0,
                not_before_ms: 0,
            };
            book.rows.insert(address, row);
        }
        book
    }

    fn random(&mut self, below: usize) -> usize {
        // SplitMix64 (Steele, Lea and Flood).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (below.max(1) as u64)).unwrap_or(0)
    }

    fn told_rows(&self) -> impl Iterator<Item = (&SocketAddr, &Row)> {
        self.rows.iter().filter(|(_, row)| row.since_ms.is_none())
    }

    /// `source` says that somebody listens at `address`. What goes beyond the share of a source or a network is not
    /// taken: it comes again when some of the others were tried and forgotten.
    pub(super) fn told(&mut self, address: SocketAddr, source: &SocketAddr, now_ms: u64) {
        if self.rows.contains_key(&address) {
            return;
        }
        let (source, group) = (Group::of(source), Group::of(&address));
        let count = |of: &BTreeMap<Group, usize>, key: &Group| of.get(key).copied().unwrap_or(0);
        let of_source = count(&self.by_source, &source);
        if of_source >= MAX_TOLD_BY_SOURCE || count(&self.by_group, &group) >= MAX_TOLD_IN_GROUP {
            return;
        }
        if self.told >= MAX_TOLD {
            // Whoever told of most makes room for whoever told of fewer.
            let greediest =
                self.by_source.iter().max_by_key(|(_, count)| **count).map(|(source, count)| (*source, *count));
            let Some((greedy, _)) = greediest.filter(|(_, most)| *most > of_source + 1) else { return };
            if let Some(oldest) = self.oldest_told(|row| row.source == greedy) {
                self.forget(&oldest);
            }
        }
        let row =
            Row { source, told_ms: now_ms, since_ms: None, seen_ms: 0, stored_ms: 0, failures: 0, not_before_ms: 0 };
        self.rows.insert(address, row);
        *self.by_source.entry(source).or_default() += 1;
        *self.by_group.entry(group).or_default() += 1;
        self.told += 1;
    }

    fn oldest_told(&self, may: impl Fn(&Row) -> bool) -> Option<SocketAddr> {
        let candidates = self.told_rows().filter(|(_, row)| may(row));
        candidates.min_by_key(|(_, row)| row.told_ms).map(|(address, _)| *address)
    }

    /// One less of those that never answered.
    fn uncount(&mut self, address: &SocketAddr, source: Group) {
        for (counts, key) in [(&mut self.by_source, source), (&mut self.by_group, Group::of(address))] {
            if let Some(count) = counts.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&key);
                }
            }
        }
        self.told -= 1;
    }

    fn forget(&mut self, address: &SocketAddr) {
        if let Some(row) = self.rows.remove(address)
            && row.since_ms.is_none()
        {
            self.uncount(address, row.source);
        }
    }

    /// A Hello went well there. What has to be stored of it.
    pub(super) fn answered(&mut self, address: SocketAddr, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let row = self.rows.get(&address);
        if row.is_none_or(|row| row.since_ms.is_none()) {
            let told_by = row.map(|row| row.source);
            if !self.make_room(&address, &mut changes) {
                return changes;
            }
            if let Some(source) = told_by {
                self.uncount(&address, source);
            }
        }
        let source = Group::of(&address);
        let row = self.rows.entry(address).or_insert(Row {
            source,
            told_ms: now_ms,
            since_ms: None,
            seen_ms: 0,
            stored_ms: 0,
            failures: 0,
            not_before_ms: 0,
        });
        let is_new = row.since_ms.is_none();
        let since_ms = *row.since_ms.get_or_insert(now_ms);
        (row.seen_ms, row.failures, row.not_before_ms) = (now_ms, 0, 0);
        if is_new || now_ms.saturating_sub(row.stored_ms) >= RESTORE_MS {
            row.stored_ms = now_ms;
            changes.push((address, Some(PeerRow { address: address.to_string(), since_ms, last_seen_ms: now_ms })));
        }
        changes
    }

    /// Whether one more may be known. Only one that does not answer any more gives up its place.
    fn make_room(&mut self, newcomer: &SocketAddr, changes: &mut Vec<Change>) -> bool {
        let group = Group::of(newcomer);
        let known = || self.rows.iter().filter(|(_, row)| row.since_ms.is_some());
        let in_group = known().filter(|(address, _)| Group::of(address) == group).count();
        let crowded = in_group >= MAX_KNOWN_IN_GROUP;
        if known().count() < MAX_KNOWN && !crowded {
            return true;
        }
        let dead = |(address, row): &(&SocketAddr, &Row)| {
            row.failures >= MAX_FAILURES && (!crowded || Group::of(address) == group)
        };
        let Some(gone) = known().filter(dead).min_by_key(|(_, row)| row.seen_ms).map(|(address, _)| *address) else {
            return false;
        };
        self.forget(&gone);
        changes.push((gone, None));
        true
    }

    /// Nobody answered there, or somebody of another chain.
    pub(super) fn failed(&mut self, address: &SocketAddr, now_ms: u64) {
        let Some(row) = self.rows.get_mut(address) else { return };
        row.not_before_ms = now_ms.saturating_add(RETRY_MS << row.failures.min(MAX_DOUBLINGS));
        row.failures = row.failures.saturating_add(1);
        if row.since_ms.is_none() && row.failures >= MAX_FAILURES {
            self.forget(address);
        }
    }

    /// Whom to connect to next, beside those in `taken`: for the first [`ANCHORS`] places who answered longest ago, for
    /// the others anybody; of a network of which nobody is taken, if there is one.
    pub(super) fn pick(&mut self, taken: &BTreeSet<SocketAddr>, now_ms: u64) -> Option<SocketAddr> {
        let groups: BTreeSet<Group> = taken.iter().map(Group::of).collect();
        let is_known = |address: &SocketAddr| self.rows.get(address).is_some_and(|row| row.since_ms.is_some());
        let anchors = taken.iter().filter(|address| is_known(address)).count();
        let free: Vec<(SocketAddr, Option<u64>)> = self
            .rows
            .iter()
            .filter(|(address, row)| !taken.contains(address) && row.not_before_ms <= now_ms)
            .map(|(address, row)| (*address, row.since_ms))
            .collect();
        let elsewhere = |address: &SocketAddr| !groups.contains(&Group::of(address));
        if anchors < ANCHORS {
            let known = || free.iter().filter_map(|(address, since_ms)| Some((*since_ms.as_ref()?, *address)));
            let first = known().filter(|(_, address)| elsewhere(address)).min().or_else(|| known().min());
            if let Some((_, address)) = first {
                return Some(address);
            }
        }
        let mut choice: Vec<SocketAddr> =
            free.iter().map(|(address, _)| *address).filter(|address| elsewhere(address)).collect();
        if choice.is_empty() {
            choice = free.into_iter().map(|(address, _)| address).collect();
        }
        if choice.is_empty() {
            return None;
        }
        let at = self.random(choice.len());
        Some(choice[at])
    }
}

#[cfg(test)]
mod tests;
