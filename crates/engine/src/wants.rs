//! What blocks wait for, and who is asked for it. Bodies are wanted by transaction hash, siblings by block hash; the
//! keeping is the same.

use crate::engine::Engine;
use crate::event::{PeerId, Request, Ticket};
use crate::limits::{MAX_WANT_SCAN, SOURCE_MS};
use crate::peers::Peer;
use blockhie_core::{BlockHash, Hash32, UncheckedBlock};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A block that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) block: UncheckedBlock,
    pub(crate) from: Option<PeerId>,
    pub(crate) tickets: Vec<Ticket>,
    /// How often it was found incomplete before.
    pub(crate) rounds: u32,
    /// What was missing, in the block's order, and of this what still is.
    named: Vec<Hash32>,
    missing: BTreeSet<Hash32>,
    since_ms: u64,
}

impl Waiting {
    /// What is still missing, in the block's order.
    pub(crate) fn missing(&self) -> Vec<Hash32> {
        self.named.iter().filter(|key| self.missing.contains(*key)).copied().collect()
    }
}

/// Something that is asked for.
#[derive(Debug, Default)]
pub(crate) struct Want {
    /// The blocks that wait for it; none: it is asked for ahead.
    blocks: BTreeSet<BlockHash>,
    /// Who sent the first of these: asked first.
    source: Option<PeerId>,
    /// Who does not have it or did not answer.
    tried: BTreeSet<PeerId>,
    asked: Option<PeerId>,
    since_ms: u64,
}

/// Who can be asked for something.
enum Whom {
    Peer(PeerId),
    /// Nobody now, somebody later.
    Later,
    Nobody,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wants {
    /// The question for one.
    request: fn(Hash32) -> Request,
    waiting: BTreeMap<BlockHash, Waiting>,
    wants: BTreeMap<Hash32, Want>,
    /// Wants that nobody is asked for at present, in order. May name some that are gone.
    todo: VecDeque<Hash32>,
}

impl Wants {
    /// Wants nothing; what it will want is asked for by this question.
    pub(crate) fn new(request: fn(Hash32) -> Request) -> Self {
        Self { request, waiting: BTreeMap::new(), wants: BTreeMap::new(), todo: VecDeque::new() }
    }

    /// Whether it is asked for.
    pub(crate) fn wants(&self, key: &Hash32) -> bool {
        self.wants.contains_key(key)
    }

    /// Whether it is asked for before a block waits for it.
    pub(crate) fn is_ahead(&self, key: &Hash32) -> bool {
        self.wants.get(key).is_some_and(|want| want.blocks.is_empty())
    }

    /// Whether this block waits.
    pub(crate) fn holds(&self, block: &BlockHash) -> bool {
        self.waiting.contains_key(block)
    }

    /// Blocks that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether this block waits already; then those who wait for it as well are noted.
    pub(crate) fn join(&mut self, block: &BlockHash, tickets: &[Ticket]) -> bool {
        let waiting = self.waiting.get_mut(block);
        waiting.map(|waiting| waiting.tickets.extend(tickets)).is_some()
    }

    /// Holds a block that does not wait yet.
    pub(crate) fn hold(
        &mut self,
        block: UncheckedBlock,
        from: Option<PeerId>,
        tickets: Vec<Ticket>,
        rounds: u32,
        named: Vec<Hash32>,
        now_ms: u64,
    ) {
        let hash = block.claimed_hash;
        for key in &named {
            self.want(*key, Some(hash), from, now_ms);
        }
        let missing = named.iter().copied().collect();
        let waiting = Waiting { block, from, tickets, rounds, named, missing, since_ms: now_ms };
        self.waiting.insert(hash, waiting);
    }

    /// Asks for something before a block waits for it.
    pub(crate) fn ahead(&mut self, key: Hash32, source: PeerId, now_ms: u64) {
        self.want(key, None, Some(source), now_ms);
    }

    fn want(&mut self, key: Hash32, block: Option<BlockHash>, source: Option<PeerId>, now_ms: u64) {
        let todo = &mut self.todo;
        let want = self.wants.entry(key).or_insert_with(|| {
            todo.push_back(key);
            Want { since_ms: now_ms, ..Want::default() }
        });
        want.source = want.source.or(source);
        want.blocks.extend(block);
    }

    /// It came, or nobody has it: it is not asked for any more. Who waits for it, if it was asked for.
    pub(crate) fn stop_wanting(&mut self, key: &Hash32) -> Option<BTreeSet<BlockHash>> {
        self.wants.remove(key).map(|want| want.blocks)
    }

    /// It came. The blocks that are complete with it, which wait no more; `None`: it was not asked for.
    pub(crate) fn came(&mut self, key: &Hash32) -> Option<Vec<Waiting>> {
        let mut complete = Vec::new();
        for block in self.stop_wanting(key)? {
            let Some(waiting) = self.waiting.get_mut(&block) else { continue };
            waiting.missing.remove(key);
            if waiting.missing.is_empty() {
                complete.extend(self.waiting.remove(&block));
            }
        }
        Some(complete)
    }

    /// A block waits no more, and what only it waited for is not asked for any more.
    pub(crate) fn stop_waiting(&mut self, block: &BlockHash) -> Option<Waiting> {
        let waiting = self.waiting.remove(block)?;
        for key in &waiting.missing {
            if let Some(want) = self.wants.get_mut(key) {
                want.blocks.remove(block);
                if want.blocks.is_empty() {
                    self.wants.remove(key);
                }
            }
        }
        Some(waiting)
    }

    /// This peer does not serve it.
    pub(crate) fn unanswered(&mut self, peer: PeerId, key: &Hash32) {
        let Some(want) = self.wants.get_mut(key) else { return };
        want.tried.insert(peer);
        if want.asked == Some(peer) {
            want.asked = None;
            self.todo.push_back(*key);
        }
    }

    /// What is asked for at present, and of whom.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (Hash32, PeerId)> {
        self.wants.iter().filter_map(|(key, want)| Some((*key, want.asked?)))
    }

    /// Blocks that have waited for so long.
    pub(crate) fn late(&self, for_ms: u64, now_ms: u64) -> Vec<BlockHash> {
        let late = |waiting: &Waiting| waiting.since_ms.saturating_add(for_ms) <= now_ms;
        self.waiting.iter().filter(|(_, waiting)| late(waiting)).map(|(hash, _)| *hash).collect()
    }
}

impl Engine {
    /// Asks for what is wanted, of the block's sender first, then of whoever is least busy. Returns what nobody serves.
    pub(crate) fn pump(&mut self, of: fn(&mut Self) -> &mut Wants) -> Vec<Hash32> {
        let mut exhausted = Vec::new();
        for _ in 0..of(self).todo.len().min(MAX_WANT_SCAN) {
            let Some(key) = of(self).todo.pop_front() else { break };
            let Some(want) = of(self).wants.remove(&key) else { continue };
            if want.asked.is_some() {
                of(self).wants.insert(key, want);
                continue;
            }
            let request = (of(self).request)(key);
            let whom = self.whom_to_ask(&want, &request);
            let asked = match whom {
                Whom::Peer(peer) if self.ask(peer, request) => Some(peer),
                _ => None,
            };
            let all = of(self);
            all.wants.insert(key, Want { asked, ..want });
            match whom {
                Whom::Nobody => exhausted.push(key),
                _ if asked.is_none() => all.todo.push_back(key),
                _ => {}
            }
        }
        exhausted
    }

    fn whom_to_ask(&self, want: &Want, request: &Request) -> Whom {
        let now_ms = self.now.mono_ms;
        let untried = |id: &PeerId| !want.tried.contains(id);
        let good = self.least_loaded(|id, peer| untried(id) && !peer.is_avoided(now_ms)).is_some();
        let may = |id: &PeerId, peer: &Peer| {
            untried(id) && peer.has_room(request) && !peer.is_asked(request) && !(good && peer.is_avoided(now_ms))
        };
        let source = want.source.and_then(|source| self.least_loaded(|id, peer| *id == source && may(id, peer)));
        if let Some(peer) = source.or_else(|| self.least_loaded(may)) {
            return Whom::Peer(peer);
        }
        let anybody = self.least_loaded(|id, _| untried(id)).is_some();
        // The sender may be away for a moment only.
        let may_come = want.since_ms.saturating_add(SOURCE_MS) > now_ms
            && want.source.is_some_and(|source| untried(&source) && !self.peers.contains_key(&source));
        if anybody || may_come { Whom::Later } else { Whom::Nobody }
    }
}
