//! Whom to connect to besides those that the operator named: what others tell, what is remembered, and how many.

use super::addresses::Change;
use super::{Entry, Peers, QUEUE, Role, lock};
use crate::driver::{Command, wall_ms};
use blockhie_engine::PeerId;
use blockhie_transport::{Bucket, Rate};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Connections to peers that this node chose itself. Strangers who come by themselves take none of these.
pub(super) const OUTBOUND: usize = 8;
/// Connections back to peers that came by themselves and were not named, at most: without a bound they fill the table.
pub(super) const MAX_REVERSE: usize = 24;
/// Addresses told and taken in one exchange (protocol page).
const MAX_TOLD: usize = 64;
/// How often it is seen to that there are enough connections.
const FILL_EVERY: Duration = Duration::from_secs(1);
/// Exchanges of addresses with one host: one is made for each connection.
const EXCHANGES: Rate = Rate { burst: 16, per_second: 1 };
/// Hosts whose exchanges are counted, at most.
const MAX_EXCHANGERS: usize = 4_096;
/// Ports below are other services' (SSH, mail, databases' consoles): a stranger's word does not make us knock there.
const FIRST_PORT: u16 = 1_024;

/// Whether an address that a stranger tells may be called: not one that leads into this machine, to the host's own
/// services (link-local metadata), or nowhere. Loopback only where this node itself listens on it: development.
pub(super) fn may_dial(address: &SocketAddr, development: bool) -> bool {
    // An IPv4 address written as IPv6 is what it is.
    let reachable = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() => development,
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            let nowhere = a == 0 || a >= 224 || ip.is_documentation();
            // 169.254.169.254 and its kind, and the two that clouds put elsewhere.
            let metadata = ip.is_link_local() || [a, b, c] == [192, 0, 0] || [a, b, c, d] == [100, 100, 100, 200];
            !nowhere && !metadata
        }
        IpAddr::V6(ip) if ip.is_loopback() => development,
        IpAddr::V6(ip) => !(ip.is_multicast() || ip.is_unspecified() || ip.is_unicast_link_local() || is_embedded(ip)),
    };
    reachable && address.port() >= FIRST_PORT
}

/// IPv6 that is another way to write an IPv4 address (NAT64, 6to4, Teredo, the old compatible form), by which the rules
/// for that could be gone round; and the address at which a cloud serves metadata over IPv6.
fn is_embedded(ip: Ipv6Addr) -> bool {
    matches!(
        ip.segments(),
        [0x64, 0xff9b, ..]
            | [0x2002, ..]
            | [0x2001, 0, ..]
            | [0, 0, 0, 0, 0, 0, ..]
            | [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
    )
}

/// Exchanges of each host.
#[derive(Default)]
pub(super) struct Exchanges(BTreeMap<IpAddr, Bucket>);

impl Exchanges {
    pub(super) fn may(&mut self, remote: SocketAddr, now: Instant) -> bool {
        let host = remote.ip().to_canonical();
        if self.0.len() >= MAX_EXCHANGERS && !self.0.contains_key(&host) {
            self.0.retain(|_, bucket| !bucket.is_full(EXCHANGES, now));
            if self.0.len() >= MAX_EXCHANGERS {
                return false;
            }
        }
        self.0.entry(host).or_insert_with(|| Bucket::full(EXCHANGES, now)).take(1, EXCHANGES, now)
    }
}

impl Peers {
    /// Addresses to tell others.
    pub(crate) fn known(&self) -> Vec<SocketAddr> {
        let table = lock(&self.table);
        table.iter().filter(|(_, entry)| entry.connected).map(|(peer, _)| *peer).take(MAX_TOLD).collect()
    }

    /// Whether this host may exchange addresses now.
    pub(crate) fn may_exchange(&self, remote: SocketAddr) -> bool {
        lock(&self.exchanges).may(remote, Instant::now())
    }

    /// Whether this is a peer that the operator named or this node chose, or at least a node that was called back and
    /// answered; `None`: neither.
    pub(crate) fn is_chosen(&self, peer: PeerId) -> Option<bool> {
        let table = lock(&self.table);
        let entry = table.get(&peer)?;
        (entry.connected || entry.role != Role::Reverse).then_some(entry.role != Role::Reverse)
    }

    /// Takes addresses that `source` tells into the book. They are called when there is a place, and used after a Hello.
    pub(crate) fn learn(&self, addresses: &[SocketAddr], source: SocketAddr) {
        let (development, now_ms) = (self.listen.ip().is_loopback(), wall_ms());
        let mut book = lock(&self.book);
        for address in addresses.iter().take(MAX_TOLD) {
            if *address != self.listen && may_dial(address, development) && self.shunned(*address).is_none() {
                book.told(*address, &source, now_ms);
            }
        }
        drop(book);
        self.wanted.notify_one();
    }

    /// That a Hello went well, or that nobody was there who is of use.
    pub(super) fn met(&self, peer: PeerId, well: bool) {
        let role = lock(&self.table).get(&peer).map(|entry| entry.role);
        if role != Some(Role::Outbound) {
            return;
        }
        let mut book = lock(&self.book);
        if well {
            let changes = book.answered(peer, wall_ms());
            drop(book);
            self.remember(changes);
        } else {
            book.failed(&peer, wall_ms());
        }
    }

    /// To be stored with the next turn. What finds no room is stored another time.
    fn remember(&self, changes: Vec<Change>) {
        for (address, row) in changes {
            drop(self.engine.commands.try_send(Command::Remember(address.to_string(), row)));
        }
    }

    /// Keeps [`OUTBOUND`] connections to peers of the book, as far as there are such.
    pub(crate) async fn fill(self: Arc<Self>) {
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            self.fill_once();
            tokio::select! {
                () = tokio::time::sleep(FILL_EVERY) => {}
                () = self.wanted.notified() => {}
                _ = stop.changed() => {}
            }
        }
    }

    fn fill_once(self: &Arc<Self>) {
        for _ in 0..OUTBOUND {
            let mut table = lock(&self.table);
            let outbound = table.values().filter(|entry| entry.role == Role::Outbound).count();
            if outbound >= OUTBOUND {
                return;
            }
            let taken: BTreeSet<PeerId> =
                table.iter().filter(|(_, entry)| entry.role != Role::Reverse).map(|(peer, _)| *peer).collect();
            let Some(peer) = lock(&self.book).pick(&taken, wall_ms()) else { return };
            if self.shunned(peer).is_some() {
                lock(&self.book).failed(&peer, wall_ms());
                continue;
            }
            if let Some(entry) = table.get_mut(&peer) {
                // It came by itself, and now it is also one of ours.
                entry.role = Role::Outbound;
                let connected = entry.connected;
                drop(table);
                if connected {
                    self.met(peer, true);
                }
                continue;
            }
            let (commands, receiver) = mpsc::channel(QUEUE);
            table.insert(peer, Entry::new(commands, Role::Outbound));
            drop(table);
            tokio::spawn(self.clone().keep(peer, receiver));
        }
    }

    /// Connections up to peers that this node chose.
    #[cfg(test)]
    pub(super) fn outbound(&self) -> BTreeSet<PeerId> {
        let table = lock(&self.table);
        table.iter().filter(|(_, entry)| entry.role == Role::Outbound).map(|(peer, _)| *peer).collect()
    }
}
