//! `/`, `/emr/blocks/{hash}` and `/emr/tx/{hash}`.

use super::{Frame, PageError, Visitor, short, show};
use crate::api::read_hash;
use crate::app::App;
use crate::chain::{ChainView, Known};
use crate::clock::{iso, utc};
use crate::error::ApiError;
use crate::limits::{PAGE_BLOCKS, PAGE_TRANSACTIONS};
use crate::view::{BlockRow, TipView, member_name};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use blockhie_core::{BlockQuery, Hash32, Transaction, TxStatus, Unverified};
use blockhie_emr::Payload;
use serde::Deserialize;

/// A line of the table of blocks.
pub(crate) struct Line {
    row: BlockRow,
    time: String,
    time_iso: String,
    miner: String,
    is_final: bool,
}

/// A chain on the explorer: its state, and a page of its blocks.
pub(crate) struct Panel {
    slug: &'static str,
    title: &'static str,
    tip: Option<TipView>,
    away: Option<String>,
    lines: Vec<Line>,
    /// Height to go on from, if there are older ones.
    older: Option<u64>,
    /// Whether these are the newest: only those are live.
    live: bool,
}

#[derive(Template)]
#[template(path = "explorer.html")]
struct ExplorerPage {
    frame: Frame,
    panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Paging {
    /// Blocks up to this height.
    to: Option<u64>,
}

/// `GET /`.
pub(crate) async fn blocks(
    State(app): State<App>,
    visitor: Visitor,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Result<Response, PageError> {
    let Query(Paging { to }) = paging.map_err(|error| ApiError::invalid(error.body_text()))?;
    let mut frame = Frame::new("explorer", &visitor);
    frame.refresh = to.is_none().then_some(5);
    let panels = vec![panel(&app.emr, "EMR-Chain", to).await?];
    Ok(show(&ExplorerPage { frame, panels }))
}

async fn panel(chain: &ChainView, title: &'static str, to: Option<u64>) -> Result<Panel, PageError> {
    let feed = chain.feed().borrow().clone();
    let mut panel =
        Panel { slug: chain.slug(), title, tip: None, away: feed.away, lines: vec![], older: None, live: to.is_none() };
    let (Ok(known), Some(tip)) = (chain.known(), &feed.tip) else { return Ok(panel) };
    let count = u64::try_from(PAGE_BLOCKS).unwrap_or(u64::MAX);
    let rows = match to.filter(|to| *to < tip.height) {
        None => feed.rows.iter().take(PAGE_BLOCKS).cloned().collect(),
        Some(to) => {
            let from = to.saturating_sub(count - 1);
            let wanted = u32::try_from(to - from + 1).unwrap_or(u32::MAX);
            let mut rows = chain.rows(from, wanted).await?;
            rows.reverse();
            rows
        }
    };
    panel.older = rows.last().map(|row| row.height).filter(|lowest| *lowest > 0).map(|lowest| lowest - 1);
    panel.lines = rows.into_iter().map(|row| Line::new(row, tip.final_height)).collect();
    panel.tip = Some(TipView::new(chain.slug(), &known, tip));
    Ok(panel)
}

impl Line {
    fn new(row: BlockRow, final_height: Option<u64>) -> Self {
        let miner = miner_label(&row.miner, row.miner_name.as_deref());
        let is_final = final_height.is_some_and(|height| row.height <= height);
        Self { time: utc(row.time_ms), time_iso: iso(row.time_ms), miner, is_final, row }
    }
}

/// A name, the ends of a key, or what the genesis block has instead.
fn miner_label(miner: &Hash32, name: Option<&str>) -> String {
    match name {
        Some(name) => name.to_owned(),
        None if *miner == Hash32::ZERO => "genesis".into(),
        None => short(miner),
    }
}

#[derive(Template)]
#[template(path = "block.html")]
struct BlockPage {
    frame: Frame,
    slug: &'static str,
    chain: String,
    hash: Hash32,
    height: u64,
    time: String,
    time_iso: String,
    previous: Option<Hash32>,
    next: Option<Hash32>,
    miner: String,
    miner_key: Hash32,
    target: String,
    nonce: u64,
    signature: Option<String>,
    on_best_chain: bool,
    is_final: bool,
    transactions: Vec<Hash32>,
    left_out: usize,
}

/// `GET /emr/blocks/{hash}`.
pub(crate) async fn block(
    State(app): State<App>,
    visitor: Visitor,
    Path(hash): Path<String>,
) -> Result<Response, PageError> {
    let hash = read_hash("block", &hash)?;
    let missing = || ApiError::not_found(format!("block {hash}: the node has none with this hash"));
    let block = app.emr.block(BlockQuery::Hash(hash)).await?.ok_or_else(missing)?;
    let known = app.known()?;
    // Two rows tell whether the best chain has it, and what follows.
    let around = app.emr.rows(block.height, 2).await?;
    let on_best_chain = around.first().is_some_and(|row| row.hash == hash);
    let next = around.get(1).filter(|_| on_best_chain).map(|row| row.hash);
    let final_height = app.emr.feed().borrow().tip.as_ref().and_then(|tip| tip.final_height);
    let left_out = block.txhashes.len().saturating_sub(PAGE_TRANSACTIONS);
    let mut transactions = block.txhashes;
    transactions.truncate(PAGE_TRANSACTIONS);
    Ok(show(&BlockPage {
        frame: Frame::new("explorer", &visitor),
        slug: app.emr.slug(),
        chain: known.genesis.name.clone(),
        hash,
        height: block.height,
        time: utc(block.time_ms),
        time_iso: iso(block.time_ms),
        previous: (block.height > 0).then_some(block.previous),
        next,
        miner: miner_label(&block.miner, member_name(&known.genesis, &block.miner).as_deref()),
        miner_key: block.miner,
        target: format!("0x{:08x}", block.target),
        nonce: block.nonce,
        signature: block.signature.map(|signature| signature.to_string()),
        on_best_chain,
        is_final: on_best_chain && final_height.is_some_and(|height| block.height <= height),
        transactions,
        left_out,
    }))
}

#[derive(Template)]
#[template(path = "transaction.html")]
struct TransactionPage {
    frame: Frame,
    slug: &'static str,
    chain: String,
    hash: Hash32,
    kind: &'static str,
    sender: String,
    sender_key: String,
    time: String,
    time_iso: String,
    body_bytes: usize,
    facts: Vec<(&'static str, String)>,
    status: TxStatus,
    block_time: Option<String>,
}

/// `GET /emr/tx/{hash}`.
pub(crate) async fn transaction(
    State(app): State<App>,
    visitor: Visitor,
    Path(hash): Path<String>,
) -> Result<Response, PageError> {
    let hash = read_hash("transaction", &hash)?;
    let missing = || ApiError::not_found(format!("transaction {hash}: the node has none with this hash"));
    let tx = app.emr.transaction(hash).await?.ok_or_else(missing)?;
    let status = app.emr.status(hash).await?;
    let known = app.known()?;
    let block_time = match &status {
        TxStatus::Committed { time_ms, .. } => Some(utc(*time_ms)),
        _ => None,
    };
    let sender_key = Hash32::from(*tx.from());
    Ok(show(&TransactionPage {
        frame: Frame::new("explorer", &visitor),
        slug: app.emr.slug(),
        chain: known.genesis.name.clone(),
        hash,
        kind: kind(tx.tx_type()),
        sender: member_name(&known.genesis, &sender_key).unwrap_or_else(|| short(&sender_key)),
        sender_key: sender_key.to_string(),
        time: utc(tx.time_ms()),
        time_iso: iso(tx.time_ms()),
        body_bytes: tx.body().len(),
        facts: facts(tx, &known),
        status,
        block_time,
    }))
}

fn kind(tx_type: i32) -> &'static str {
    match tx_type {
        1 => "RECORD",
        2 => "AMEND",
        3 => "RETRACT",
        4 => "GRANT",
        5 => "REVOKE",
        6 => "ACCESS",
        7 => "RECORDS",
        32 => "LINK",
        33 => "ANCHOR",
        _ => "of a type this release does not know",
    }
}

/// What its payload says: commitments, which tell nothing of what they commit to.
fn facts(tx: Transaction<Unverified>, known: &Known) -> Vec<(&'static str, String)> {
    let Ok(tx) = tx.verify(&known.chain_id, known.genesis.kind) else { return vec![] };
    match Payload::read(&tx) {
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
