//! What the outbox keeps of a link, and through what it reaches store and nodes.

use blockhie_core::canonical::below_2_53;
use blockhie_core::receipt::HexBytes;
use blockhie_core::{
    ChainId, ChainKind, ErrorClass, Hash32, Receipt, StoreError, Transaction, TxHash, TxStatus, Unverified,
};
use serde::{Deserialize, Serialize};

/// How far a leg has come, as far as the outbox has to remember it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// No node is known to have it. It may have one all the same: the answer can have been lost.
    Waiting,
    /// A node acknowledged it.
    Submitted,
    /// Settled; the receipt is here.
    Final {
        /// Text of its `receipt.json`.
        receipt: String,
    },
}

impl LegState {
    /// As the API writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Submitted => "submitted",
            Self::Final { .. } => "final",
        }
    }
}

/// One chain's half of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leg {
    /// The chain.
    pub chain_id: ChainId,
    /// The LINK as receipts carry it, signed under a key that exists no more.
    pub transaction: HexBytes,
    /// Its hash.
    pub txhash: TxHash,
    /// Not handed out before this moment, ms since the epoch.
    #[serde(with = "below_2_53")]
    pub not_before_ms: u64,
    /// How often it was put off because it was late (see `docs/adr/0018-the-outbox.md`).
    pub postponed: u8,
    /// How far it has come.
    pub state: LegState,
}

impl Leg {
    /// Whether its receipt is here.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.state, LegState::Final { .. })
    }

    /// Text of its receipt, once it is final.
    #[must_use]
    pub fn receipt(&self) -> Option<&str> {
        match &self.state {
            LegState::Final { receipt } => Some(receipt),
            _ => None,
        }
    }

    /// The transaction, its hash recomputed.
    ///
    /// # Errors
    /// A text that says what is wrong with the stored bytes.
    pub fn read_transaction(&self) -> Result<Transaction<Unverified>, String> {
        let tx = Transaction::<Unverified>::from_bytes(&self.transaction.0, &self.chain_id)?;
        if tx.hash() == self.txhash {
            return Ok(tx);
        }
        Err(format!("txhash: expected {}, got {}", self.txhash, tx.hash()))
    }
}

/// A link in the outbox. It holds neither seed nor key, but it joins the two chains: store it as confidential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutboxEntry {
    /// [`Seed::link_id`](crate::Seed::link_id).
    pub id: Hash32,
    /// The half on the EMR-Chain.
    pub emr: Leg,
    /// The half on the PHD-Chain.
    pub phd: Leg,
}

impl OutboxEntry {
    /// Both halves.
    #[must_use]
    pub fn legs(&self) -> [(ChainKind, &Leg); 2] {
        [(ChainKind::Emr, &self.emr), (ChainKind::Phd, &self.phd)]
    }

    /// The half on this kind of chain.
    #[must_use]
    pub fn leg(&self, chain: ChainKind) -> &Leg {
        match chain {
            ChainKind::Emr => &self.emr,
            ChainKind::Phd => &self.phd,
        }
    }

    pub(super) fn leg_mut(&mut self, chain: ChainKind) -> &mut Leg {
        match chain {
            ChainKind::Emr => &mut self.emr,
            ChainKind::Phd => &mut self.phd,
        }
    }

    /// Whether both receipts are here.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.emr.is_final() && self.phd.is_final()
    }
}

/// Where entries are kept, by id.
pub trait OutboxStore: Send + Sync {
    /// One entry.
    ///
    /// # Errors
    /// The store's.
    fn get(&self, id: &Hash32) -> Result<Option<OutboxEntry>, StoreError>;

    /// Every entry that is not final, in any order.
    ///
    /// # Errors
    /// The store's.
    fn unsettled(&self) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Keeps an entry, over an older one of its id. Durable before it returns.
    ///
    /// # Errors
    /// The store's; the entry may or may not be kept then.
    fn put(&self, entry: &OutboxEntry) -> Result<(), StoreError>;

    /// Forgets an entry; none of that id is fine. Durable before it returns.
    ///
    /// # Errors
    /// The store's.
    fn remove(&self, id: &Hash32) -> Result<(), StoreError>;
}

/// A node did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClientFault {
    /// What it means. The outbox tries again whatever it is.
    pub class: ErrorClass,
    /// What happened, for a person.
    pub message: String,
}

/// The nodes of both chains. Calls may block.
pub trait ChainClient: Send + Sync {
    /// Hands a transaction to a node. `Ok` only once it is durable there; `Ok` too for one that it has already.
    ///
    /// # Errors
    /// [`ClientFault`]; the node may have it all the same.
    fn submit(&self, chain: ChainKind, tx: &Transaction<Unverified>) -> Result<(), ClientFault>;

    /// Where it stands.
    ///
    /// # Errors
    /// [`ClientFault`].
    fn status(&self, chain: ChainKind, txhash: &TxHash) -> Result<TxStatus, ClientFault>;

    /// The receipt of a settled transaction, checked (`verify_receipt`) against what this client trusts.
    ///
    /// # Errors
    /// [`ClientFault`], also when the receipt does not prove it yet.
    fn receipt(&self, chain: ChainKind, txhash: &TxHash) -> Result<Receipt, ClientFault>;

    /// Whether a transaction with this status is settled, so that its receipt is worth keeping. On an open chain nothing
    /// becomes final; a client of one says here what it is content with.
    fn is_settled(&self, chain: ChainKind, status: &TxStatus) -> bool {
        let _ = chain;
        matches!(status, TxStatus::Committed { is_final: true, void: None, .. })
    }
}
