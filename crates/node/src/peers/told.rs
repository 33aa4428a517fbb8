//! What operators are told of the peers.

use super::{Entry, Peers, Role, lock};
use blockhie_engine::PeerId;
use blockhie_transport::PeerInfo;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl Peers {
    /// What the engine thinks of the peers.
    pub(super) fn score(&self, scores: &[(PeerId, u32)]) {
        for (peer, entry) in lock(&self.table).iter_mut() {
            entry.score = scores.iter().find(|(scored, _)| scored == peer).map_or(0, |(_, score)| *score);
        }
    }

    /// For operators: the peers, and after them, if asked for, those that are left alone and hold no place.
    pub(crate) fn list(&self, strangers: bool) -> Vec<PeerInfo> {
        let now = Instant::now();
        let incoming = lock(&self.inbound).peers(now);
        let shunned: BTreeMap<PeerId, (Duration, bool)> = lock(&self.shunned).all(now).collect();
        let info = |peer: &PeerId, entry: Option<&Entry>| PeerInfo {
            address: *peer,
            height: entry.map_or(0, |entry| entry.height),
            work: entry.and_then(|entry| entry.work),
            connected: entry.is_some_and(|entry| entry.connected),
            incoming: incoming.contains(peer),
            named: entry.is_some_and(|entry| entry.role == Role::Named),
            score: entry.map_or(0, |entry| entry.score),
            left_alone: shunned.get(peer).map(|(left, _)| *left),
            banned: shunned.get(peer).is_some_and(|(_, banned)| *banned),
        };
        let table = lock(&self.table);
        let others = shunned.keys().filter(|peer| strangers && !table.contains_key(peer));
        table.iter().map(|(peer, entry)| info(peer, Some(entry))).chain(others.map(|peer| info(peer, None))).collect()
    }
}
