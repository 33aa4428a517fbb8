//! What is remembered of connections and of peers that are left alone.

use blockhie_engine::PeerId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections whose Hello is remembered, at most. Beyond, the one that was silent for longest is forgotten.
const MAX_INBOUND: usize = 4_096;
/// A connection that was silent for so long is forgotten: its port may be another program's by now.
const INBOUND_IDLE: Duration = Duration::from_secs(600);
/// Peers that are left alone, at most. Beyond, the one whose time ends first is not any more.
const MAX_SHUNNED: usize = 1_024;
/// Which peer is behind which connection, by what its Hello said, and when it was last heard.
#[derive(Default)]
pub(super) struct Inbound(BTreeMap<SocketAddr, (PeerId, Instant)>);

impl Inbound {
    pub(super) fn insert(&mut self, remote: SocketAddr, peer: PeerId, now: Instant) {
        self.0.retain(|_, (_, heard)| now.saturating_duration_since(*heard) < INBOUND_IDLE);
        if self.0.len() >= MAX_INBOUND
            && !self.0.contains_key(&remote)
            && let Some(oldest) = self.0.iter().min_by_key(|(_, (_, heard))| *heard).map(|(remote, _)| *remote)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(remote, (peer, now));
    }

    /// The peer behind a connection, which is heard just now.
    pub(super) fn get(&mut self, remote: SocketAddr, now: Instant) -> Option<PeerId> {
        let (peer, heard) = self.0.get_mut(&remote)?;
        if now.saturating_duration_since(*heard) >= INBOUND_IDLE {
            self.0.remove(&remote);
            return None;
        }
        *heard = now;
        Some(*peer)
    }

    /// The peers behind all connections that were heard lately.
    pub(super) fn peers(&self, now: Instant) -> BTreeSet<PeerId> {
        let lately = self.0.values().filter(|(_, heard)| now.saturating_duration_since(*heard) < INBOUND_IDLE);
        lately.map(|(peer, _)| *peer).collect()
    }

    /// This connection says that nobody listens behind it.
    pub(super) fn remove(&mut self, remote: SocketAddr) {
        self.0.remove(&remote);
    }
}

/// Peers that are not connected to for a while: until when, and whether for misbehaviour, so that nothing is taken from
/// them either. Others are on another chain. They hold no place among the peers unless the operator named them.
#[derive(Default)]
pub(super) struct Shunned(BTreeMap<PeerId, (Instant, bool)>);

impl Shunned {
    pub(super) fn insert(&mut self, peer: PeerId, time: Duration, banned: bool, now: Instant) {
        self.0.retain(|_, (until, _)| *until > now);
        if self.0.len() >= MAX_SHUNNED
            && !self.0.contains_key(&peer)
            && let Some(first) = self.0.iter().min_by_key(|(_, (until, _))| *until).map(|(peer, _)| *peer)
        {
            self.0.remove(&first);
        }
        self.0.insert(peer, (now + time, banned));
    }

    /// All that are still left alone: for how long, and whether they are banned.
    pub(super) fn all(&self, now: Instant) -> impl Iterator<Item = (PeerId, (Duration, bool))> {
        self.0.keys().filter_map(move |peer| Some((*peer, self.get(*peer, now)?)))
    }

    /// How long a peer is still left alone, and whether it is banned.
    pub(super) fn get(&self, peer: PeerId, now: Instant) -> Option<(Duration, bool)> {
        let (until, banned) = self.0.get(&peer)?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some((left, *banned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], u16::try_from(n).unwrap()))
    }

    #[test]
    fn connections_are_forgotten_when_silent_and_bounded_when_many() {
        let (start, mut book) = (Instant::now(), Inbound::default());
        let at = |ms: u64| start + Duration::from_millis(ms);
        book.insert(address(1), address(7_401), at(0));
        assert_eq!(book.get(address(1), at(1)), Some(address(7_401)));
        assert_eq!(book.peers(at(1)), BTreeSet::from([address(7_401)]));
        let idle = u64::try_from(INBOUND_IDLE.as_millis()).unwrap();
        assert_eq!(book.get(address(1), at(idle)), Some(address(7_401)), "heard since");
        // its port is another program's by now
        assert_eq!(book.get(address(1), at(2 * idle)), None);
        for n in 1..=MAX_INBOUND {
            book.insert(address(n), address(7_401), at(n as u64));
        }
        assert!(book.get(address(1), at(5_000)).is_some());
        book.insert(address(MAX_INBOUND + 1), address(7_401), at(5_001));
        assert_eq!(book.0.len(), MAX_INBOUND);
        assert!(book.get(address(1), at(5_002)).is_some() && book.get(address(2), at(5_002)).is_none());
        book.insert(address(1), address(7_401), at(5_002 + idle));
        assert_eq!(book.0.len(), 1, "silent ones make room");
        book.remove(address(1));
        assert_eq!(book.get(address(1), at(5_002 + idle)), None);
    }

    #[test]
    fn who_is_left_alone_is_so_for_its_time_and_there_are_not_too_many() {
        let (now, mut book) = (Instant::now(), Shunned::default());
        let second = Duration::from_secs(1);
        book.insert(address(1), second, true, now);
        assert_eq!(book.get(address(1), now), Some((second, true)));
        assert_eq!(book.get(address(1), now + second), None);
        assert_eq!(book.all(now).collect::<Vec<_>>(), [(address(1), (second, true))]);
        assert_eq!(book.all(now + second).count(), 0);
        for n in 0..2 * MAX_SHUNNED {
            book.insert(address(n), second * u32::try_from(n + 2).unwrap(), false, now);
        }
        assert_eq!(book.0.len(), MAX_SHUNNED);
        assert!(book.get(address(0), now).is_none() && book.get(address(2 * MAX_SHUNNED - 1), now).is_some());
    }
}
