//! `/{emr|phd}/blocks/{hash}` and `/{emr|phd}/tx/{hash}`.

use super::explorer::titles;
use super::{Frame, PageError, Visitor, show};
use crate::api::{read_chain, read_hash};
use crate::app::App;
use crate::chain::{ChainView, Known};
use crate::clock::{iso, utc};
use crate::error::ApiError;
use crate::limits::PAGE_TRANSACTIONS;
use crate::view::member_name;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use blockhie_core::{BlockQuery, ChainKind, Hash32, Transaction, TxStatus, Unverified, Verified};

#[derive(Template)]
#[template(path = "block.html")]
struct BlockPage {
    frame: Frame,
    slug: &'static str,
    title: &'static str,
    chain: String,
    hash: Hash32,
    height: u64,
    time: String,
    time_iso: String,
    previous: Option<Hash32>,
    next: Option<Hash32>,
    /// Its name, where the genesis names it.
    miner: Option<String>,
    miner_key: Hash32,
    target: String,
    nonce: u64,
    signature: Option<String>,
    on_best_chain: bool,
    is_final: bool,
    /// Height and hash of the block of the best chain that lists this one as a sibling, if that shows.
    merged_by: Option<(u64, Hash32)>,
    siblings: Vec<Hash32>,
    transactions: Vec<Hash32>,
    left_out: usize,
}

/// `GET /{chain}/blocks/{hash}`.
pub(crate) async fn block(
    State(app): State<App>,
    visitor: Visitor,
    Path((chain, hash)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (kind, hash) = (read_chain(&chain)?, read_hash("block", &hash)?);
    let chain = app.chain(kind)?;
    let missing = || ApiError::not_found(format!("block {hash}: the node has none with this hash"));
    let block = chain.block(BlockQuery::Hash(hash)).await?.ok_or_else(missing)?;
    let known = chain.known()?;
    // Two rows tell whether the best chain has it, and what follows.
    let around = chain.rows(block.height, 2).await?;
    let on_best_chain = around.first().is_some_and(|row| row.hash == hash);
    let next = around.get(1).filter(|_| on_best_chain).map(|row| row.hash);
    let final_height = chain.feed().borrow().tip.as_ref().and_then(|tip| tip.final_height);
    let merged_by = if on_best_chain { None } else { merged_by(chain, hash, block.height).await? };
    let left_out = block.txhashes.len().saturating_sub(PAGE_TRANSACTIONS);
    let mut transactions = block.txhashes;
    transactions.truncate(PAGE_TRANSACTIONS);
    Ok(show(&BlockPage {
        frame: Frame::new("explorer", &visitor),
        slug: chain.slug(),
        title: titles(kind).0,
        chain: known.genesis.name.clone(),
        hash,
        height: block.height,
        time: utc(block.time_ms),
        time_iso: iso(block.time_ms),
        previous: (block.height > 0).then_some(block.previous),
        next,
        miner: member_name(&known.genesis, &block.miner),
        miner_key: block.miner,
        target: format!("0x{:08x}", block.target),
        nonce: block.nonce,
        signature: block.signature.map(|signature| signature.to_string()),
        on_best_chain,
        is_final: on_best_chain && final_height.is_some_and(|height| block.height <= height),
        merged_by,
        siblings: block.siblings,
        transactions,
        left_out,
    }))
}

/// Height and hash of the block of the best chain that lists this one as a sibling. The window bounds where it can be:
/// a branch leaves the chain at most W below the block that merges it.
async fn merged_by(chain: &ChainView, sibling: Hash32, height: u64) -> Result<Option<(u64, Hash32)>, ApiError> {
    let window = chain.known()?.genesis.sibling_window;
    for row in chain.rows(height, window.into()).await?.iter().filter(|row| row.merges) {
        let block = chain.block(BlockQuery::Hash(row.hash)).await?;
        if block.is_some_and(|block| block.siblings.contains(&sibling)) {
            return Ok(Some((row.height, row.hash)));
        }
    }
    Ok(None)
}

/// A line of what a payload says.
struct Fact {
    name: &'static str,
    value: String,
    /// The page about it.
    path: Option<String>,
}

#[derive(Template)]
#[template(path = "transaction.html")]
struct TransactionPage {
    frame: Frame,
    slug: &'static str,
    title: &'static str,
    chain: String,
    hash: Hash32,
    kind: &'static str,
    meaning: &'static str,
    /// What it says; `None` where the node has pruned that.
    said: Option<Said>,
    status: TxStatus,
    block_time: Option<String>,
}

/// What only the body of a transaction tells.
struct Said {
    /// The sender's name, where the genesis names it.
    sender: Option<String>,
    sender_key: String,
    time: String,
    time_iso: String,
    body_bytes: usize,
    facts: Vec<Fact>,
}

impl Said {
    fn new(tx: Transaction<Unverified>, known: &Known) -> Self {
        let sender_key = Hash32::from(*tx.from());
        Self {
            sender: member_name(&known.genesis, &sender_key),
            sender_key: sender_key.to_string(),
            time: utc(tx.time_ms()),
            time_iso: iso(tx.time_ms()),
            body_bytes: tx.body().len(),
            facts: facts(tx, known),
        }
    }
}

/// `GET /{chain}/tx/{hash}`.
pub(crate) async fn transaction(
    State(app): State<App>,
    visitor: Visitor,
    Path((chain, hash)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (kind, hash) = (read_chain(&chain)?, read_hash("transaction", &hash)?);
    let chain = app.chain(kind)?;
    let missing = || ApiError::not_found(format!("transaction {hash}: the node has none with this hash"));
    let tx = chain.transaction(hash).await?;
    let status = chain.status(hash).await?;
    if tx.is_none() && !matches!(status, TxStatus::Committed { .. }) {
        return Err(missing().into());
    }
    let known = chain.known()?;
    let block_time = match &status {
        TxStatus::Committed { time_ms, .. } => Some(utc(*time_ms)),
        _ => None,
    };
    let pruned = (
        "Transaction",
        "It is committed, and the node of this gateway no longer keeps what it says: a receipt that was handed out proves it all the same.",
    );
    let (name, meaning) = tx.as_ref().map_or(pruned, |tx| describe(tx.tx_type()));
    Ok(show(&TransactionPage {
        frame: Frame::new("explorer", &visitor),
        slug: chain.slug(),
        title: titles(kind).0,
        chain: known.genesis.name.clone(),
        hash,
        kind: name,
        meaning,
        said: tx.map(|tx| Said::new(tx, &known)),
        status,
        block_time,
    }))
}

/// Name of a type, and what such a transaction shows.
fn describe(tx_type: i32) -> (&'static str, &'static str) {
    match tx_type {
        1 => (
            "RECORD",
            "A commitment to one record: it shows that the record existed and who signed for it, not what it says or whom it is about.",
        ),
        2 => ("AMEND", "A commitment to a record that takes the place of an earlier one."),
        3 => ("RETRACT", "The issuer takes back a record. What was proved stays proved."),
        4 => ("GRANT", "A commitment to a consent, under a key made for it alone."),
        5 => ("REVOKE", "A consent is taken back."),
        6 => ("ACCESS", "A commitment to a list of disclosures: the list cannot be changed any more."),
        7 => ("RECORDS", "One commitment to many records; each has its path in its opening."),
        16 => ("DEVICE", "An owner enrols a device, and the device's own key signs for it."),
        17 => (
            "READINGS",
            "A sealed segment of readings. The chain shows which device sent how many and when, not what they are.",
        ),
        18 => ("RETIRE", "An owner ends the enrolment of a device."),
        32 => (
            "LINK",
            "One half of a link between a record and a device. By itself it says nothing: the halves on the two chains differ, and only the people concerned can open them.",
        ),
        33 => ("ANCHOR", "A member states which tip of the other chain it saw."),
        _ => ("Transaction", "Of a type that this release does not know."),
    }
}

/// What its payload says: commitments, which tell nothing of what they commit to.
fn facts(tx: Transaction<Unverified>, known: &Known) -> Vec<Fact> {
    let Ok(tx) = tx.verify(&known.chain_id, known.genesis.kind) else { return vec![] };
    let fact = |name, value: String, path| Fact { name, value, path };
    if matches!(tx.tx_type(), 32 | 33) {
        return coupling_facts(&tx, known);
    }
    let pairs: Vec<(&'static str, String)> = match known.genesis.kind {
        ChainKind::Emr => emr_facts(&tx),
        ChainKind::Phd => return phd_facts(&tx, known),
    };
    pairs.into_iter().map(|(name, value)| fact(name, value, None)).collect()
}

fn emr_facts(tx: &Transaction<Verified>) -> Vec<(&'static str, String)> {
    use blockhie_emr::Payload;
    match Payload::read(tx) {
        Ok(Payload::Record(record)) => vec![("Record (commitment)", hex::encode(record.commitment))],
        Ok(Payload::Records(records)) => {
            vec![("Records", records.count.to_string()), ("Root over their commitments", hex::encode(records.root))]
        }
        Ok(Payload::Amend(amend)) => {
            vec![("Record", hex::encode(amend.commitment)), ("Follows record", hex::encode(amend.previous))]
        }
        Ok(Payload::Retract(retract)) => vec![("Takes back record", hex::encode(retract.record))],
        Ok(Payload::Grant(grant)) => vec![("Consent (commitment)", hex::encode(grant.consent))],
        Ok(Payload::Revoke(revoke)) => vec![("Takes back grant", hex::encode(revoke.grant))],
        Ok(Payload::Access(access)) => {
            vec![("Disclosures", access.count.to_string()), ("Root over their list", hex::encode(access.root))]
        }
        Err(_) => vec![],
    }
}

fn phd_facts(tx: &Transaction<Verified>, known: &Known) -> Vec<Fact> {
    use blockhie_phd::Payload;
    let fact = |name, value: String| Fact { name, value, path: None };
    let device = |key: &[u8]| {
        let key = hex::encode(key);
        Fact { name: "Device", path: Some(format!("/devices/{key}")), value: key }
    };
    match Payload::read(tx, &known.chain_id) {
        Ok(Payload::Device(enrolled)) => vec![device(&enrolled.device_key)],
        Ok(Payload::Retire(retired)) => vec![device(&retired.device_key)],
        Ok(Payload::Readings(readings)) => {
            let last = readings.first_seq.saturating_add(u64::from(readings.count)).saturating_sub(1);
            let mut facts = vec![
                device(tx.from().as_bytes()),
                fact("Readings", format!("{} to {last} ({})", readings.first_seq, readings.count)),
                fact("Content (digest)", hex::encode(readings.content)),
            ];
            if readings.blob.is_empty() {
                facts.push(fact("Sealed bytes", format!("{} on the chain, for ever", readings.sealed.len())));
            } else {
                facts.push(fact("Sealed bytes", format!("{} in a blob store, erasable", readings.sealed_len)));
                facts.push(fact("Blob (BLAKE3)", hex::encode(readings.blob)));
            }
            facts
        }
        Err(_) => vec![],
    }
}

fn coupling_facts(tx: &Transaction<Verified>, known: &Known) -> Vec<Fact> {
    use blockhie_coupling::payload::Payload;
    let fact = |name, value: String| Fact { name, value, path: None };
    match Payload::read(tx, &known.genesis) {
        Ok(Payload::Link(link)) => vec![fact("Value of this half", hex::encode(link.commitment))],
        Ok(Payload::Anchor(anchor)) => {
            let other = match known.genesis.kind {
                ChainKind::Emr => "phd",
                ChainKind::Phd => "emr",
            };
            let hash = hex::encode(anchor.blockhash);
            vec![
                fact("Other chain", hex::encode(anchor.chain_id)),
                fact("Its height", anchor.height.to_string()),
                Fact { name: "Its block", path: Some(format!("/{other}/blocks/{hash}")), value: hash },
            ]
        }
        Err(_) => vec![],
    }
}
