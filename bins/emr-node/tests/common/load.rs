//! Submitting under way, and what became of it.

use super::PATIENCE;
use blockhie_core::{ChainId, SecretKey, Transaction, TxHash, TxStatus, Verified, sha256};
use blockhie_transport::LedgerClient;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()).expect("64 bits")
}

/// The key of a sender.
pub fn sender(sender: u64) -> SecretKey {
    SecretKey::from_seed(sha256(&[b"sender", &sender.to_be_bytes()]).0)
}

/// A record of this time that nobody else has.
pub fn record(chain: &ChainId, from: u64, serial: u64, time_ms: u64) -> Transaction<Verified> {
    let commitment = sha256(&[&from.to_be_bytes(), &serial.to_be_bytes(), &time_ms.to_be_bytes()]);
    let payload = [&[0x0a, 0x20], commitment.as_bytes().as_slice()].concat();
    Transaction::sign(chain, &sender(from), time_ms, 1, None, &payload)
}

/// What the submitters of one test were told.
#[derive(Default)]
pub struct Load {
    pub acknowledged: Mutex<Vec<TxHash>>,
    pub refused: AtomicU64,
}

impl Load {
    /// As many submitters as there are `senders`, each with a pause between two; they end when the node is gone.
    pub fn begin(
        self: &Arc<Self>,
        address: &str,
        chain: ChainId,
        senders: std::ops::Range<u64>,
        pause: Duration,
    ) -> Vec<JoinHandle<()>> {
        let start = |sender| tokio::spawn(submit(self.clone(), address.to_owned(), chain, sender, pause));
        senders.map(start).collect()
    }

    /// Notes one acknowledgement.
    pub fn note(&self, hash: TxHash) {
        self.acknowledged.lock().expect("no submitter panics").push(hash);
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().expect("no submitter panics").len()
    }

    /// What was acknowledged after the first `before`.
    pub fn since(&self, before: usize) -> Vec<TxHash> {
        self.between(before, self.count())
    }

    /// What was acknowledged after the first `from`, up to the first `to`.
    pub fn between(&self, from: usize, to: usize) -> Vec<TxHash> {
        self.acknowledged.lock().expect("no submitter panics")[from..to].to_vec()
    }

    /// Waits until this many are acknowledged.
    pub async fn reaches(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.count() < count {
            assert!(tokio::time::Instant::now() < deadline, "the load does not get through");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn submit(load: Arc<Load>, address: String, chain: ChainId, sender: u64, pause: Duration) {
    let Ok(client) = LedgerClient::connect(&address).await else { return };
    for serial in 0.. {
        let tx = record(&chain, sender, serial, now_ms()).into_unverified();
        match client.submit(&tx).await {
            Ok(hash) => load.acknowledged.lock().expect("no submitter panics").push(hash),
            Err(_) => {
                load.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// The txhash once it is acknowledged, or what the node said.
pub async fn submit_once(client: &LedgerClient, chain: &ChainId, sender: u64, serial: u64) -> Result<TxHash, String> {
    client.submit(&record(chain, sender, serial, now_ms()).into_unverified()).await.map_err(|error| error.to_string())
}

/// How many of these a node does not know.
pub async fn missing(address: &str, hashes: &[TxHash]) -> usize {
    let client = LedgerClient::connect(address).await.expect("connected");
    let mut missing = 0;
    for hash in hashes {
        missing += usize::from(client.status(*hash).await.expect("a status") == TxStatus::Unknown);
    }
    missing
}

/// The chain that a node serves.
pub async fn chain_of(address: &str) -> ChainId {
    let genesis = LedgerClient::connect(address).await.expect("connected").genesis().await.expect("a genesis");
    blockhie_core::Genesis::from_bytes(&genesis).expect("canonical").chain_id()
}

/// Repeatable choices (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// One of 0 to `below` - 1.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// The value below which `percent` of these lie, by nearest rank.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}
