//! What clients send in a run: drawn and signed before it, the same for every policy.

use super::config::PaperConfig;
use crate::app::MARK;
use crate::rng::{Rng, scale};
use crate::setup::START_MS;
use blockhie_core::{ChainId, ChainKind, Hash32, SecretKey, Transaction, TxHash, Verified, sha256};
use std::collections::BTreeMap;

/// Senders at each node. The first of them sends half of what comes there: what is fair between transactions need not
/// be between senders.
pub const SENDERS: usize = 10;
/// Bytes of payload: about those of a small record, and nothing depends on them.
const PAYLOAD: usize = 64;

/// One transaction.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Virtual ms at which it comes.
    pub at_ms: u64,
    /// Its sender among all.
    pub sender: usize,
    /// Signed.
    pub tx: Transaction<Verified>,
}

/// All transactions of a run.
#[derive(Debug)]
pub struct Script {
    /// By node, ascending by time.
    pub by_node: Vec<Vec<Arrival>>,
    /// A digest of when what comes where, and of whom.
    pub digest: Hash32,
}

impl Script {
    /// Draws and signs them. Times, nodes and senders follow from the seed alone; hashes also from the chain.
    pub(crate) fn draw(config: &PaperConfig, seed: u64, chain: &ChainId) -> Self {
        // The type that is never void: kept as a row by the simulator's application.
        let tx_type = match config.chain {
            ChainKind::Emr => 1,
            ChainKind::Phd => 16,
        };
        // In microseconds: a mean of whole milliseconds would be 0.6 % off at seven a second.
        let mean_us = micros(1_000_000.0 / config.rate);
        let end_ms = config.seconds * 1_000 + config.tail_ms();
        let mut digest = Hash32::ZERO;
        let mut by_node = Vec::with_capacity(config.nodes);
        for node in 0..config.nodes {
            let mut rng = Rng::stream(seed, &format!("paper arrivals {node}"));
            let secrets: Vec<SecretKey> = (0..SENDERS).map(|_| SecretKey::from_seed(rng.bytes())).collect();
            let (mut at_us, mut arrivals) = (0u64, Vec::new());
            loop {
                at_us = at_us.saturating_add(scale(rng.exponential(), mean_us));
                let at_ms = at_us / 1_000;
                if at_ms >= end_ms {
                    break;
                }
                let of_node = if rng.chance(500_000) { 0 } else { 1 + rng.index(SENDERS - 1) };
                let mut payload = [0; PAYLOAD];
                payload[0] = MARK;
                payload[1..9].copy_from_slice(&rng.bits().to_be_bytes());
                let tx = Transaction::sign(chain, &secrets[of_node], START_MS + at_ms, tx_type, None, &payload);
                digest = sha256(&[digest.as_bytes(), &at_ms.to_be_bytes(), &payload, &[small(of_node), small(node)]]);
                arrivals.push(Arrival { at_ms, sender: node * SENDERS + of_node, tx });
            }
            by_node.push(arrivals);
        }
        Self { by_node, digest }
    }

    /// When each came, and of whom.
    #[must_use]
    pub fn by_hash(&self) -> BTreeMap<TxHash, (u64, usize)> {
        let all = self.by_node.iter().flatten();
        all.map(|arrival| (arrival.tx.hash(), (arrival.at_ms, arrival.sender))).collect()
    }
}

fn small(number: usize) -> u8 {
    u8::try_from(number).expect("below MAX_NODES and SENDERS")
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate was checked to be 0.001 to 10,000")]
fn micros(value: f64) -> u64 {
    value.round() as u64
}
