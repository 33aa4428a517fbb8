//! What a receipt proves to somebody who trusts a genesis or a checkpoint: offline, from its bytes alone.

use super::Receipt;
use crate::block::{Header, block_sign_bytes};
use crate::bytes::{BlockHash, ChainId, Hash32, Signature};
use crate::crypto::PublicKey;
use crate::genesis::{ChainKind, Genesis};
use crate::merkle;
use crate::tx::{Transaction, Verified};
use serde::Serialize;
use std::collections::BTreeMap;

/// Whom the verifier trusts. Both given: both must hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust<'a> {
    /// Members from a genesis; the chain id is recomputed from it.
    pub genesis: Option<&'a Genesis>,
    /// Members asked for instead of the genesis's quorum.
    pub quorum: Option<u32>,
    /// Hash of a header of the run, from someone trusted.
    pub checkpoint: Option<BlockHash>,
}

/// What was asked cannot be asked (exit code 64).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Nothing to trust.
    #[error("verify: expected a genesis or a checkpoint to trust, got neither")]
    Nothing,
    /// An open chain has no members.
    #[error("verify: this genesis is open (no members), so only a checkpoint from someone trusted proves anything")]
    Open,
    /// A quorum that cannot be.
    #[error("verify: quorum: expected 1 to {members}, got {got}")]
    Quorum {
        /// Members of the genesis.
        members: usize,
        /// Asked for.
        got: u32,
    },
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Exit code 0.
    Proved,
    /// A check failed. Exit code 1.
    Refuted,
    /// All holds, but too few members, or the checkpoint is not reached. Exit code 2.
    NotFinal,
}

impl Verdict {
    /// The exit code of `verify`.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Proved => 0,
            Self::Refuted => 1,
            Self::NotFinal => 2,
        }
    }
}

/// One step of a verification, in order; after a failed one nothing further is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Short name: `chain`, `transaction`, `inclusion`, `block signature`, `history`, `run`, `quorum`, `checkpoint`.
    pub name: &'static str,
    /// `Some(true)` holds, `Some(false)` refuted, `None` not decided yet.
    pub holds: Option<bool>,
    /// What was compared, for a person.
    pub detail: String,
}

/// Everything a verification found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The answer.
    pub verdict: Verdict,
    /// How it was reached.
    pub steps: Vec<Step>,
    /// The transaction; `None` when refuted before it was checked.
    pub transaction: Option<Transaction<Verified>>,
    /// The chain.
    pub chain_id: ChainId,
    /// Height of the committing block.
    pub height: u64,
    /// Time of the committing block, ms.
    pub block_time_ms: u64,
    /// The chain contained it not later than this: the q-th smallest of the members' first times, ms.
    pub proved_time_ms: Option<u64>,
    /// Members who built on it, in the order of their first header.
    pub members: Vec<String>,
}

type Check<T> = Result<T, Step>;

fn fail(name: &'static str, detail: impl Into<String>) -> Step {
    Step { name, holds: Some(false), detail: detail.into() }
}

/// Checks a receipt against what the verifier trusts. Needs no network, no clock and no store.
///
/// # Errors
/// [`TrustError`] when what is trusted cannot prove anything (exit code 64).
pub fn verify_receipt(receipt: &Receipt, trust: &Trust<'_>) -> Result<Verification, TrustError> {
    match (trust.genesis, trust.checkpoint) {
        (None, None) => return Err(TrustError::Nothing),
        (Some(genesis), None) if genesis.is_open() => return Err(TrustError::Open),
        _ => {}
    }
    if let (Some(genesis), Some(got)) = (trust.genesis, trust.quorum) {
        let members = genesis.members.len();
        if got == 0 || usize::try_from(got).is_ok_and(|got| got > members) {
            return Err(TrustError::Quorum { members, got });
        }
    }
    let claimed = Hash32(receipt.block.header.0[16..48].try_into().expect("32 bytes"));
    let mut verification = Verification {
        verdict: Verdict::Refuted,
        steps: Vec::new(),
        transaction: None,
        chain_id: trust.genesis.map_or(claimed, Genesis::chain_id),
        height: 0,
        block_time_ms: 0,
        proved_time_ms: None,
        members: Vec::new(),
    };
    match verification.run_checks(receipt, trust) {
        Ok(verdict) => verification.verdict = verdict,
        Err(step) => verification.steps.push(step),
    }
    Ok(verification)
}

impl Verification {
    fn note(&mut self, name: &'static str, detail: impl Into<String>) {
        self.steps.push(Step { name, holds: Some(true), detail: detail.into() });
    }

    fn run_checks(&mut self, receipt: &Receipt, trust: &Trust<'_>) -> Check<Verdict> {
        let chain = self.chain_id;
        let block = self.check_block(receipt, trust.genesis)?;
        self.check_transaction(receipt, trust.genesis.map(|genesis| genesis.kind))?;
        self.check_inclusion(receipt, &block)?;
        let run = self.check_run(receipt, &block, trust.genesis)?;
        let mut verdict = Verdict::Proved;
        if let Some(genesis) = trust.genesis.filter(|genesis| !genesis.is_open()) {
            let quorum = trust.quorum.unwrap_or(u32::from(genesis.quorum));
            if !self.count_members(&run, genesis, quorum) {
                verdict = Verdict::NotFinal;
            }
        }
        if let Some(checkpoint) = trust.checkpoint {
            let reached = run.iter().any(|header| header.hash(&chain) == checkpoint);
            let detail = if reached { "is a header of the run" } else { "is not a header of the run" };
            let holds = reached.then_some(true);
            self.steps.push(Step { name: "checkpoint", holds, detail: format!("{checkpoint} {detail}") });
            if !reached {
                verdict = Verdict::NotFinal;
            }
        }
        Ok(verdict)
    }

    /// The committing block: of this chain, signed by its miner, a member.
    fn check_block(&mut self, receipt: &Receipt, genesis: Option<&Genesis>) -> Check<Header> {
        let chain = self.chain_id;
        let header =
            Header::from_preimage(&receipt.block.header.0, &chain).map_err(|error| fail("chain", error.to_string()))?;
        self.note("chain", format!("block {} is of chain {chain}", header.height));
        let signed = is_signed(receipt, genesis);
        check_signature("block signature", &header, receipt.block.signature.as_ref(), signed, &chain, genesis)?;
        self.height = header.height;
        self.block_time_ms = header.time_ms;
        self.note("block signature", format!("block {} is signed by {}", header.height, name_of(&header, genesis)));
        Ok(header)
    }

    fn check_transaction(&mut self, receipt: &Receipt, kind: Option<ChainKind>) -> Check<()> {
        let tx = Transaction::from_bytes(&receipt.transaction.0, &self.chain_id)
            .map_err(|error| fail("transaction", error))?;
        // Without a genesis the kind is read off the type: each type but 32 and 33 belongs to one kind.
        let kind = kind.unwrap_or(if ChainKind::Emr.admits(tx.tx_type()) { ChainKind::Emr } else { ChainKind::Phd });
        let tx = tx.verify(&self.chain_id, kind).map_err(|error| fail("transaction", error.to_string()))?;
        self.note("transaction", format!("{} of type {} is signed by {}", tx.hash(), tx.tx_type(), tx.from()));
        self.transaction = Some(tx);
        Ok(())
    }

    fn check_inclusion(&mut self, receipt: &Receipt, block: &Header) -> Check<()> {
        let chain = self.chain_id;
        let tx = self.transaction.as_ref().expect("checked before").hash();
        let carrier = match &receipt.sibling {
            None => block.clone(),
            Some(proof) => {
                let sibling = Header::from_preimage(&proof.header.0, &chain)
                    .map_err(|error| fail("sibling", error.to_string()))?;
                let got = merkle::head_from_path(&sibling.hash(&chain), proof.index, proof.size, &proof.path);
                if got != Some(block.siblings_root) {
                    return Err(fail("sibling", differs("siblings_root", &block.siblings_root, got.as_ref())));
                }
                self.note("sibling", format!("block {} lists sibling {}", block.height, sibling.hash(&chain)));
                sibling
            }
        };
        let got = merkle::head_from_path(&tx, receipt.index, u64::from(carrier.tx_count), &receipt.path);
        if got != Some(carrier.tx_root) {
            return Err(fail("inclusion", differs("tx_root", &carrier.tx_root, got.as_ref())));
        }
        self.note("inclusion", format!("transaction {} of {} in its block", receipt.index + 1, carrier.tx_count));
        Ok(())
    }

    /// The headers that count: the block itself and what follows, or the anchored run.
    fn check_run(&mut self, receipt: &Receipt, block: &Header, genesis: Option<&Genesis>) -> Check<Vec<Header>> {
        let chain = self.chain_id;
        let mut headers = Vec::with_capacity(receipt.run.len() + 1);
        if receipt.history.is_empty() {
            headers.push(block.clone());
        }
        for signed in &receipt.run {
            let header =
                Header::from_preimage(&signed.header.0, &chain).map_err(|error| fail("run", error.to_string()))?;
            check_signature("run", &header, signed.signature.as_ref(), is_signed(receipt, genesis), &chain, genesis)?;
            headers.push(header);
        }
        if !receipt.history.is_empty() {
            self.check_anchor(receipt, block, headers.first())?;
        }
        for pair in headers.windows(2) {
            let (parent, child) = (&pair[0], &pair[1]);
            let linked = child.previous == parent.hash(&chain)
                && Some(child.height) == parent.height.checked_add(1)
                && child.time_ms > parent.time_ms;
            if !linked {
                return Err(fail("run", format!("header {} does not follow header {}", child.height, parent.height)));
            }
        }
        let (first, last) = (headers.first().map_or(0, |h| h.height), headers.last().map_or(0, |h| h.height));
        self.note("run", format!("headers {first} to {last}, each the signed child of the one before"));
        Ok(headers)
    }

    fn check_anchor(&mut self, receipt: &Receipt, block: &Header, anchor: Option<&Header>) -> Check<()> {
        let anchor = anchor.ok_or_else(|| fail("history", "expected a run behind a history path, got none"))?;
        let hash = block.hash(&self.chain_id);
        let got = merkle::head_from_path(&hash, block.height, anchor.height, &receipt.history);
        if got != Some(anchor.history_root) {
            return Err(fail("history", differs("history_root", &anchor.history_root, got.as_ref())));
        }
        self.note("history", format!("block {} is in the history of block {}", block.height, anchor.height));
        Ok(())
    }

    /// For each member its first header in the run; proved is the q-th smallest of their times.
    fn count_members(&mut self, run: &[Header], genesis: &Genesis, quorum: u32) -> bool {
        let mut first: BTreeMap<usize, u64> = BTreeMap::new();
        for header in run {
            let member = PublicKey::new(header.miner.0).ok().and_then(|key| genesis.member_index(&key));
            if let Some(member) = member
                && !first.contains_key(&member)
            {
                first.insert(member, header.time_ms);
                self.members.push(genesis.members[member].name.clone());
            }
        }
        let mut times: Vec<u64> = first.into_values().collect();
        times.sort_unstable();
        let needed = usize::try_from(quorum).unwrap_or(usize::MAX);
        self.proved_time_ms = times.get(needed.saturating_sub(1)).copied();
        let reached = times.len() >= needed;
        let detail = format!("{} of {quorum} members extended it: {}", times.len(), self.members.join(", "));
        self.steps.push(Step { name: "quorum", holds: reached.then_some(true), detail });
        reached
    }
}

/// Whether the headers of this chain are signed.
fn is_signed(receipt: &Receipt, genesis: Option<&Genesis>) -> bool {
    genesis.map_or(receipt.block.signature.is_some(), |genesis| !genesis.is_open())
}

fn differs(what: &str, expected: &Hash32, got: Option<&Hash32>) -> String {
    match got {
        Some(got) => format!("{what}: expected {expected}, got {got}"),
        None => format!("{what}: expected {expected}, got a path that does not fit index and size"),
    }
}

fn name_of(header: &Header, genesis: Option<&Genesis>) -> String {
    let member = PublicKey::new(header.miner.0)
        .ok()
        .and_then(|key| genesis.and_then(|genesis| genesis.member_index(&key).map(|at| &genesis.members[at].name)));
    member.map_or_else(|| header.miner.to_string(), |name| format!("member {name:?}"))
}

/// With members the miner signs; on an open chain there is no signature. Without a roster (a checkpoint alone) the
/// committing block shows which it is, and every header of the run has to be like it.
fn check_signature(
    step: &'static str,
    header: &Header,
    signature: Option<&Signature>,
    signed: bool,
    chain: &ChainId,
    genesis: Option<&Genesis>,
) -> Check<()> {
    let height = header.height;
    let signature = match (signature, signed) {
        (Some(signature), true) => signature,
        (None, false) => return Ok(()),
        (None, true) => return Err(fail(step, format!("block {height}: expected a signature of its miner, got none"))),
        (Some(_), false) => {
            return Err(fail(step, format!("block {height}: expected no signature on an open chain, got one")));
        }
    };
    let miner = PublicKey::new(header.miner.0).map_err(|error| fail(step, format!("block {height}: {error}")))?;
    if genesis.is_some_and(|genesis| genesis.member_index(&miner).is_none()) {
        return Err(fail(step, format!("block {height}: expected a member as miner, got {miner}")));
    }
    if !miner.verify(&block_sign_bytes(chain, &header.hash(chain)), signature) {
        return Err(fail(step, format!("block {height}: signature of {miner} does not verify")));
    }
    Ok(())
}
