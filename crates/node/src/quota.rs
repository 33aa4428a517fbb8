//! Who may hand in how much: transactions by relaying peer, before a signature is looked at, and by sender, after it holds;
//! blocks of strangers, before the engine is asked. Nobody can use up another's, but for what strangers have together
//! above [`RESERVED_RATE`]. Hosts are told apart by their whole address.

use blockhie_core::PublicKey;
use blockhie_engine::PeerId;
use blockhie_transport::{Bucket, Rate};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// New transactions of one relaying peer. A peer that comes up offers what waits, at most 20,000, and then what comes:
/// no chain carries more than some thousand a second.
pub(crate) const PEER_RATE: Rate = Rate { burst: 20_000, per_second: 5_000 };
/// The same of a peer that came by itself. There are at most 24 of these.
pub(crate) const COMER_RATE: Rate = Rate { burst: 5_000, per_second: 500 };
/// New transactions of all hosts together behind which no node is known: somebody who speaks the frozen contract, or an
/// attacker. With more they fill every block, and all others wait for the work that makes.
pub(crate) const STRANGERS_RATE: Rate = Rate { burst: 500, per_second: 100 };
/// Of these, of one host.
pub(crate) const STRANGER_RATE: Rate = Rate { burst: 250, per_second: 50 };
/// Blocks of all these strangers together. A chain makes a block or a few a second, and whoever brings a longer past
/// greets, so that it is asked for it. The engine takes a tenth of a millisecond to refuse one, and meanwhile whoever
/// waits for it waits.
pub(crate) const STRANGERS_BLOCK_RATE: Rate = Rate { burst: 1_024, per_second: 64 };
/// Of these, of one host.
pub(crate) const STRANGER_BLOCK_RATE: Rate = Rate { burst: 256, per_second: 16 };
/// What a host may hand in of either kind whatever others do: the block or two a second of a contract-only node or of a
/// member that cannot be called back must not wait behind an attacker's.
pub(crate) const RESERVED_RATE: Rate = Rate { burst: 8, per_second: 1 };
/// Greetings of one host. A node greets when it connects and every few seconds after that; dozens may share an address.
pub(crate) const GREETING_RATE: Rate = Rate { burst: 256, per_second: 32 };
/// Seconds of its rate that a sender may hand in at once.
pub(crate) const SENDER_BURST_S: u32 = 10;
/// Buckets kept of each kind. Beyond, full ones are forgotten, which changes nothing.
const MAX_BUCKETS: usize = 65_536;

/// Buckets of many.
struct Buckets<K> {
    rate: Rate,
    of: Mutex<BTreeMap<K, Bucket>>,
}

impl<K: Ord> Buckets<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, of: Mutex::default() }
    }

    fn take(&self, key: K, now: Instant) -> bool {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if of.len() >= MAX_BUCKETS && !of.contains_key(&key) {
            of.retain(|_, bucket| !bucket.is_full(self.rate, now));
            // As many at once, none of them full: whoever comes now waits, and those who were here go on.
            if of.len() >= MAX_BUCKETS {
                return false;
            }
        }
        of.entry(key).or_insert_with(|| Bucket::full(self.rate, now)).take(1, self.rate, now)
    }

    /// Whether at least half of this one is left.
    fn has_half(&self, key: &K, now: Instant) -> bool {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.get_mut(key).is_none_or(|bucket| bucket.holds(self.rate.burst / 2, self.rate, now))
    }

    /// Whether nothing is left of this one. Takes nothing, and remembers nobody.
    fn is_used_up(&self, key: &K, now: Instant) -> bool {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.get_mut(key).is_some_and(|bucket| bucket.is_empty(self.rate, now))
    }
}

/// What strangers may hand in of one kind: each host what is reserved for it, and then its share of what all have
/// together.
struct Strangers {
    reserved: Buckets<IpAddr>,
    hosts: Buckets<IpAddr>,
    all: Buckets<()>,
    what: &'static str,
}

impl Strangers {
    fn new(what: &'static str, one: Rate, all: Rate) -> Self {
        Self { reserved: Buckets::new(RESERVED_RATE), hosts: Buckets::new(one), all: Buckets::new(all), what }
    }

    fn take(&self, host: IpAddr, now: Instant) -> Result<(), String> {
        let host = host.to_canonical();
        if self.reserved.take(host, now) || self.hosts.take(host, now) && self.all.take((), now) {
            return Ok(());
        }
        let (what, one, all) = (self.what, self.hosts.rate.per_second, self.all.rate.per_second);
        Err(format!("{what} of strangers: expected at most {one} a second of one host and {all} of all"))
    }
}

/// See the module.
pub(crate) struct Quotas {
    peers: Buckets<PeerId>,
    comers: Buckets<PeerId>,
    transactions: Strangers,
    blocks: Strangers,
    greetings: Buckets<IpAddr>,
    senders: Buckets<PublicKey>,
}

impl Quotas {
    /// With this many transactions a second of one sender.
    pub(crate) fn new(sender_rate: u32) -> Self {
        let burst = sender_rate.saturating_mul(SENDER_BURST_S);
        Self {
            peers: Buckets::new(PEER_RATE),
            comers: Buckets::new(COMER_RATE),
            transactions: Strangers::new("transactions", STRANGER_RATE, STRANGERS_RATE),
            blocks: Strangers::new("blocks", STRANGER_BLOCK_RATE, STRANGERS_BLOCK_RATE),
            greetings: Buckets::new(GREETING_RATE),
            senders: Buckets::new(Rate { burst, per_second: sender_rate }),
        }
    }

    /// Before anything is done for a transaction of this peer; `chosen`: it was named, or this node chose it.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn relayed(&self, peer: PeerId, chosen: bool, now: Instant) -> Result<(), String> {
        let buckets = if chosen { &self.peers } else { &self.comers };
        let per_second = buckets.rate.per_second;
        let text = || format!("transactions of one peer: expected at most {per_second} a second; try again");
        buckets.take(peer, now).then_some(()).ok_or_else(text)
    }

    /// The same of a host behind which no node is known.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn pushed(&self, host: IpAddr, now: Instant) -> Result<(), String> {
        self.transactions.take(host, now)
    }

    /// Whether less than half is left of what such hosts together may hand in: then what they bring need not be fast.
    pub(crate) fn are_strangers_busy(&self, now: Instant) -> bool {
        !self.transactions.all.has_half(&(), now)
    }

    /// Before the engine is asked about a block of such a host.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn pushed_block(&self, host: IpAddr, now: Instant) -> Result<(), String> {
        self.blocks.take(host, now)
    }

    /// Before a host's greeting is answered.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn greeted(&self, host: IpAddr, now: Instant) -> Result<(), String> {
        let rate = GREETING_RATE.per_second;
        let text = || format!("greetings of one host: expected at most {rate} a second; try again");
        self.greetings.take(host.to_canonical(), now).then_some(()).ok_or_else(text)
    }

    /// Before a signature of this sender is looked at. Only signatures that hold take from a sender's bucket, so that
    /// nobody else can use it up; but when it is used up, the next one is not worth the look.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn may_send(&self, sender: &PublicKey, now: Instant) -> Result<(), String> {
        if self.senders.is_used_up(sender, now) { Err(self.too_many_sent()) } else { Ok(()) }
    }

    /// When the signature of this sender held.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn sent(&self, sender: PublicKey, now: Instant) -> Result<(), String> {
        self.senders.take(sender, now).then_some(()).ok_or_else(|| self.too_many_sent())
    }

    /// Whether less than half is left of what this sender may hand in at once: then what it brings need not be fast.
    pub(crate) fn is_busy(&self, sender: &PublicKey, now: Instant) -> bool {
        !self.senders.has_half(sender, now)
    }

    fn too_many_sent(&self) -> String {
        format!("transactions of one sender: expected at most {} a second; try again", self.senders.rate.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::SecretKey;
    use std::time::Duration;

    #[test]
    fn one_sender_or_peer_uses_up_its_own_and_nobody_elses() {
        let (quotas, now) = (Quotas::new(3), Instant::now());
        let [a, b] = [1, 2].map(|seed| SecretKey::from_seed([seed; 32]).public());
        let sent = (0..1_000).filter(|_| quotas.sent(a, now).is_ok()).count();
        assert_eq!(sent, 30);
        assert!(quotas.sent(b, now).is_ok() && quotas.sent(a, now).unwrap_err().contains("at most 3 a second"));
        assert!(quotas.may_send(&b, now).is_ok() && quotas.may_send(&a, now).is_err());
        assert!(
            quotas.is_busy(&a, now) && !quotas.is_busy(&b, now) && !quotas.is_busy(&a, now + Duration::from_secs(5))
        );
        let later = now + Duration::from_secs(1);
        assert!((0..1_000).all(|_| quotas.may_send(&a, later).is_ok()), "looking takes nothing");
        assert!(quotas.sent(a, later).is_ok());
        let [p, q] = [1, 2].map(|port| PeerId::from(([192, 0, 2, 1], port)));
        let relayed = |peer, chosen| (0..30_000).filter(|_| quotas.relayed(peer, chosen, now).is_ok()).count();
        assert_eq!((relayed(p, true), relayed(p, false)), (20_000, 5_000));
        assert_eq!((relayed(q, true), relayed(q, false)), (20_000, 5_000));
        let host = |n: u8| IpAddr::from([192, 0, 2, n]);
        assert!(!quotas.are_strangers_busy(now));
        let pushed = |n| (0..1_000).filter(|_| quotas.pushed(host(n), now).is_ok()).count();
        assert_eq!([1, 2, 3].map(pushed), [258, 258, 8], "a host has its share, and all together theirs");
        assert!(quotas.are_strangers_busy(now) && !quotas.are_strangers_busy(now + Duration::from_secs(3)));
        let blocks = |n| (0..1_000).filter(|_| quotas.pushed_block(host(n), now).is_ok()).count();
        assert_eq!([1, 2, 3, 4, 5].map(blocks), [264, 264, 264, 264, 8], "something is left for a host that is late");
        let greeted = |n| (0..1_000).filter(|_| quotas.greeted(host(n), now).is_ok()).count();
        assert_eq!([1, 2].map(greeted), [256, 256]);
        let told = quotas.pushed_block(host(5), now).unwrap_err();
        assert_eq!(told, "blocks of strangers: expected at most 16 a second of one host and 64 of all");
    }

    #[test]
    fn there_are_not_too_many_buckets() {
        let (buckets, now) = (Buckets::new(Rate { burst: 2, per_second: 1 }), Instant::now());
        assert!((0..MAX_BUCKETS).all(|key| buckets.take(key, now)));
        assert!(!buckets.take(MAX_BUCKETS, now) && buckets.take(0, now));
        let later = now + Duration::from_secs(3);
        assert!(buckets.take(MAX_BUCKETS, later));
        assert_eq!(buckets.of.lock().unwrap().len(), 1);
    }
}
