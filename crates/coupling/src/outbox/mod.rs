//! The durable outbox: both halves of a link get onto their chains, whatever crashes in between, and nobody sees that
//! they belong together. See `docs/adr/0017-links-under-one-time-keys.md` and `docs/adr/0018-the-outbox.md`.
//!
//! No clock and no threads: the caller gives the time and calls [`Outbox::step`] again and again.

mod entry;

pub use entry::{ChainClient, ClientFault, Leg, LegState, OutboxEntry, OutboxStore};

use crate::link::{LinkTerms, link_commitment, link_transaction};
use crate::payload::Link;
use blockhie_core::limits::{BODY_PREFIX_BYTES, JSON_INTEGER_END};
use blockhie_core::receipt::HexBytes;
use blockhie_core::{ChainId, ChainKind, Hash32, SecretKey, StoreError, TxStatus};
use prost::Message;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest window in ms: 30 days. Without a bound a mistyped option puts links off for years.
pub const MAX_WINDOW_MS: u64 = 30 * 24 * 3_600_000;
/// A leg handed out this much later than it was due, ms, is put off: after an outage both halves would otherwise go out
/// in one moment, which joins them.
pub const LATE_MS: u64 = 60_000;
/// How often a leg is put off at most, so that one is sent in the end even if steps are rare.
pub const MAX_POSTPONED: u8 = 4;

/// Why a link was not taken, or a step not finished. Everything stored stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(#[from] getrandom::Error),
    /// The same seed for another record, device or chain.
    #[error("link {id}: expected the record, device and chains that its seed was used for before, got others")]
    OtherLink {
        /// The link.
        id: Hash32,
    },
}

/// A leg that did not get further, and why. The next step tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The link. Do not log it beside the chain's txhash: together they join the chains.
    pub id: Hash32,
    /// The chain.
    pub chain: ChainKind,
    /// What happened.
    pub reason: String,
}

/// What a step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepReport {
    /// Legs handed out for the first time, as far as the outbox knows.
    pub submitted: u32,
    /// Legs handed out again because the node did not know them any more.
    pub resubmitted: u32,
    /// Late legs put off into the next window.
    pub postponed: u32,
    /// Legs whose receipt was kept.
    pub settled: u32,
    /// Legs that are not final.
    pub open: u32,
    /// When the next waiting leg is due, ms since the epoch. Submitted ones are asked for at every step.
    pub next_ms: Option<u64>,
    /// What did not work.
    pub troubles: Vec<Trouble>,
}

/// A number below the one given, each as likely.
pub type Draw = dyn Fn(u64) -> Result<u64, getrandom::Error> + Send + Sync;

/// The outbox. One for a store at a time.
pub struct Outbox {
    store: Arc<dyn OutboxStore>,
    client: Arc<dyn ChainClient>,
    window_ms: u64,
    draw: Box<Draw>,
    /// Held while an entry is looked for and made: two callers with one seed must not make two.
    adding: Mutex<()>,
    /// Held for a step: two at once would write over each other's progress.
    stepping: Mutex<()>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("window_ms", &self.window_ms).finish_non_exhaustive()
    }
}

impl Outbox {
    /// An outbox over what the store holds. `window_ms` (at most [`MAX_WINDOW_MS`]; more counts as that) is the length of
    /// the windows into which legs are put; 0 hands them out at once and hides nothing.
    #[must_use]
    pub fn new(store: Arc<dyn OutboxStore>, client: Arc<dyn ChainClient>, window_ms: u64) -> Self {
        Self::with_draw(store, client, window_ms, Box::new(draw_below))
    }

    /// The same with the caller's randomness for the jitter, for tests and simulations. Keys still come from the
    /// operating system.
    #[must_use]
    pub fn with_draw(
        store: Arc<dyn OutboxStore>,
        client: Arc<dyn ChainClient>,
        window_ms: u64,
        draw: Box<Draw>,
    ) -> Self {
        let (adding, stepping) = (Mutex::default(), Mutex::default());
        Self { store, client, window_ms: window_ms.min(MAX_WINDOW_MS), draw, adding, stepping }
    }

    /// Takes a link: signs both halves under fresh keys, forgets the keys, draws a moment for each, and keeps it all.
    /// When this returns the link is on its way. Taking the same one again gives the entry that is there already.
    ///
    /// The caller has checked that both parties signed the terms, and that RECORD and DEVICE are final.
    ///
    /// # Errors
    /// [`OutboxError`]; after one of the store's call it again.
    pub fn add(&self, terms: &LinkTerms, now_ms: u64) -> Result<OutboxEntry, OutboxError> {
        let _guard = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let id = terms.seed.link_id();
        if let Some(entry) = self.store.get(&id)? {
            let same = |(chain, leg): (ChainId, &Leg)| leg.chain_id == chain && commits(leg, terms);
            let is_same = [(terms.emr, &entry.emr), (terms.phd, &entry.phd)].into_iter().all(same);
            return if is_same { Ok(entry) } else { Err(OutboxError::OtherLink { id }) };
        }
        let entry =
            OutboxEntry { id, emr: self.leg(terms.emr, terms, now_ms)?, phd: self.leg(terms.phd, terms, now_ms)? };
        self.store.put(&entry)?;
        Ok(entry)
    }

    /// The entry of a link.
    ///
    /// # Errors
    /// The store's.
    pub fn get(&self, id: &Hash32) -> Result<Option<OutboxEntry>, StoreError> {
        self.store.get(id)
    }

    /// Does what is due at `now_ms` (ms since the epoch): hands out legs, asks how far they are, keeps receipts. Call it
    /// every second or so. What is wrong with one leg is in the report and stops no other.
    ///
    /// # Errors
    /// [`OutboxError::Store`]. Whatever was done before stays done, and calling it again goes on from there.
    pub fn step(&self, now_ms: u64) -> Result<StepReport, OutboxError> {
        let _guard = self.stepping.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = StepReport::default();
        for mut entry in self.store.unsettled()? {
            for chain in [ChainKind::Emr, ChainKind::Phd] {
                self.advance(&mut entry, chain, now_ms, &mut report)?;
            }
        }
        Ok(report)
    }

    /// One leg, as far as it gets now.
    fn advance(
        &self,
        entry: &mut OutboxEntry,
        chain: ChainKind,
        now_ms: u64,
        report: &mut StepReport,
    ) -> Result<(), OutboxError> {
        let id = entry.id;
        let leg = entry.leg_mut(chain);
        let changed = match leg.state {
            LegState::Final { .. } => return Ok(()),
            LegState::Waiting => self.hand_out(leg, chain, now_ms, report),
            LegState::Submitted => self.follow(leg, chain, report),
        };
        match changed {
            Ok(false) => {}
            Ok(true) => self.store.put(entry)?,
            Err(reason) => report.troubles.push(Trouble { id, chain, reason }),
        }
        let leg = entry.leg(chain);
        if !leg.is_final() {
            report.open += 1;
        }
        if leg.state == LegState::Waiting {
            let due = leg.not_before_ms;
            report.next_ms = Some(report.next_ms.map_or(due, |next| next.min(due)));
        }
        Ok(())
    }

    /// A leg that no node is known to have. Answers whether it changed.
    fn hand_out(&self, leg: &mut Leg, chain: ChainKind, now_ms: u64, report: &mut StepReport) -> Result<bool, String> {
        if now_ms < leg.not_before_ms {
            return Ok(false);
        }
        let late_ms = now_ms - leg.not_before_ms;
        if self.window_ms > 0 && late_ms > LATE_MS && leg.postponed < MAX_POSTPONED {
            leg.not_before_ms = self.moment(now_ms).map_err(|error| format!("no randomness: {error}"))?;
            leg.postponed += 1;
            report.postponed += 1;
            return Ok(true);
        }
        self.send(leg, chain)?;
        leg.state = LegState::Submitted;
        report.submitted += 1;
        Ok(true)
    }

    /// A leg that a node had. Answers whether it changed.
    fn follow(&self, leg: &mut Leg, chain: ChainKind, report: &mut StepReport) -> Result<bool, String> {
        let status = self.client.status(chain, &leg.txhash).map_err(|fault| fault.message)?;
        if status == TxStatus::Unknown {
            // The node lost it, or it is another node: it gets the same bytes again.
            self.send(leg, chain)?;
            report.resubmitted += 1;
            return Ok(false);
        }
        if !self.client.is_settled(chain, &status) {
            return Ok(false);
        }
        let receipt = self.client.receipt(chain, &leg.txhash).map_err(|fault| fault.message)?;
        if receipt.transaction != leg.transaction {
            return Err("receipt: expected one of this transaction, got one of another".into());
        }
        leg.state = LegState::Final { receipt: receipt.to_json() };
        report.settled += 1;
        Ok(true)
    }

    fn send(&self, leg: &Leg, chain: ChainKind) -> Result<(), String> {
        let tx = leg.read_transaction().map_err(|reason| format!("stored transaction: {reason}"))?;
        self.client.submit(chain, &tx).map_err(|fault| fault.message)
    }

    fn leg(&self, chain_id: ChainId, terms: &LinkTerms, now_ms: u64) -> Result<Leg, getrandom::Error> {
        let not_before_ms = self.moment(now_ms)?;
        let one_time = SecretKey::generate()?;
        // The time claimed is public: it is the leg's own moment, never the one at which both were signed.
        let tx = link_transaction(&chain_id, &one_time, &terms.seed, &terms.record, &terms.device, not_before_ms);
        let (transaction, txhash) = (HexBytes(tx.to_bytes()), tx.hash());
        Ok(Leg { chain_id, transaction, txhash, not_before_ms, postponed: 0, state: LegState::Waiting })
    }

    /// A moment in the next whole window. Windows start at multiples of their length, so everything that came in during
    /// one is spread evenly over the next, and when within it a leg goes out says nothing.
    fn moment(&self, now_ms: u64) -> Result<u64, getrandom::Error> {
        if self.window_ms == 0 {
            return Ok(now_ms);
        }
        let start = now_ms.saturating_sub(now_ms % self.window_ms).saturating_add(self.window_ms);
        Ok(start.saturating_add((self.draw)(self.window_ms)?).min(JSON_INTEGER_END - 1))
    }
}

/// Whether a stored leg is the one that these terms would make, whatever its key and time.
fn commits(leg: &Leg, terms: &LinkTerms) -> bool {
    let value = link_commitment(&leg.chain_id, &terms.seed, &terms.record, &terms.device);
    let payload = Link { commitment: value.0.to_vec() }.encode_to_vec();
    leg.read_transaction().is_ok_and(|tx| tx.body().get(BODY_PREFIX_BYTES..) == Some(payload.as_slice()))
}

/// From the operating system. `bound` is at most [`MAX_WINDOW_MS`], so what the remainder prefers is below 2^-32.
fn draw_below(bound: u64) -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes).checked_rem(bound).unwrap_or(0))
}
