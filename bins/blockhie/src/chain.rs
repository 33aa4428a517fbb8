//! `blockhie chain`: questions to a node over `blockhie.v1`.

use crate::failure::{EXIT_FAILED, Failure};
use crate::files;
use crate::output::{Output, utc};
use blockhie_core::{BlockQuery, ErrorClass, Hash32, Tip, Transaction, TxHash, TxStatus, UncheckedBlock, Unverified};
use blockhie_transport::{ClientError, LedgerClient};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Longest list of txhashes read, bytes: a million lines.
const MAX_LIST_BYTES: usize = 65 * 1_000_000;

const EXAMPLES: &str = "Examples:
  blockhie chain tip --node http://127.0.0.1:7001
  blockhie chain block 17 --node 127.0.0.1:7001           by height, by hash, or `tip`
  blockhie chain tx TXHASH --node 127.0.0.1:7001 --json
  blockhie chain tx --file acks.txt --node 127.0.0.1:7001  exit 1 if the node does not know one of them";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// The end of the best chain
    #[command(after_help = EXAMPLES)]
    Tip {
        #[command(flatten)]
        node: Node,
    },
    /// A block
    #[command(after_help = EXAMPLES)]
    Block {
        /// A height, a block's hash, or `tip`
        #[arg(value_name = "HEIGHT|HASH", value_parser = block_query)]
        block: BlockQuery,
        #[command(flatten)]
        node: Node,
    },
    /// Where transactions stand
    #[command(after_help = EXAMPLES)]
    Tx {
        /// Their hashes
        #[arg(value_name = "TXHASH", required_unless_present = "file")]
        hashes: Vec<TxHash>,
        /// A file with one hash a line (as `blockhie load --acks` writes); only totals and unknown ones are printed
        #[arg(long, value_name = "FILE", conflicts_with = "hashes")]
        file: Option<PathBuf>,
        #[command(flatten)]
        node: Node,
    },
}

#[derive(Debug, clap::Args)]
struct Node {
    /// The node: http://HOST:PORT or HOST:PORT
    #[arg(long = "node", value_name = "URL")]
    url: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn block_query(text: &str) -> Result<BlockQuery, String> {
    if text == "tip" {
        return Ok(BlockQuery::Tip);
    }
    if let Ok(hash) = text.parse::<Hash32>() {
        return Ok(BlockQuery::Hash(hash));
    }
    let height = text.parse().map_err(|_| "expected a height, a hash of 64 lowercase hex digits, or `tip`")?;
    Ok(BlockQuery::Height(height))
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let work = async {
        match &args.question {
            Question::Tip { node } => tip(node, out).await,
            Question::Block { block, node } => show_block(*block, node, out).await,
            Question::Tx { hashes, file: None, node } => show_transactions(hashes, node, out).await,
            Question::Tx { file: Some(file), node, .. } => check_list(file, node, out).await,
        }
    };
    runtime()?.block_on(work)
}

/// The runtime of the commands that speak gRPC.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))
}

/// Connects, or says what helps.
pub(crate) async fn connect(url: &str) -> Result<LedgerClient, Failure> {
    LedgerClient::connect(url).await.map_err(|error| refused(&error))
}

/// What a node's refusal means to a person.
pub(crate) fn refused(error: &ClientError) -> Failure {
    match error {
        ClientError::Address { .. } => Failure::usage(error).hint("for example --node http://127.0.0.1:7001"),
        ClientError::Unreachable { .. } => {
            Failure::failed(error).hint("is the node running, and is that its `listen=` address?")
        }
        ClientError::BadAnswer { .. } => Failure::failed(error).hint("is that a node of this release?"),
        ClientError::Status { class: ErrorClass::Exhausted | ErrorClass::Unavailable, .. } => {
            Failure::failed(error).hint("the node is busy: try again in a moment")
        }
        ClientError::Status { .. } => Failure::failed(error),
    }
}

async fn tip(node: &Node, out: &mut Output) -> Result<u8, Failure> {
    let client = connect(&node.url).await?;
    let tip = client.tip().await.map_err(|error| refused(&error))?;
    if node.json {
        out.json(&tip_json(&tip))?;
        return Ok(0);
    }
    out.line(&format!("height   {}", tip.height));
    out.line(&format!("hash     {}", tip.hash));
    out.line(&format!("time     {}", utc(tip.time_ms)));
    out.line(&format!("work     {:#x}", tip.work));
    out.line(&format!("final    {}", tip.final_height.map_or("no block yet".into(), |height| height.to_string())));
    out.line(&format!("pending  {}", tip.pending));
    if tip.pruned_below > 0 {
        out.line(&format!("pruned   bodies below height {}", tip.pruned_below));
    }
    for (member, height) in &tip.last_seen {
        out.line(&format!("miner    {member} last at height {height}"));
    }
    if let Some(height) = tip.alarm {
        out.line(&format!("ALARM    the final block at height {height} was abandoned; an operator must act"));
    }
    Ok(0)
}

fn tip_json(tip: &Tip) -> Value {
    let miners: Vec<_> =
        tip.last_seen.iter().map(|(member, height)| json!({ "miner": member, "height": height })).collect();
    json!({
        "height": tip.height, "hash": tip.hash, "time_ms": tip.time_ms, "work": format!("{:064x}", tip.work),
        "final_height": tip.final_height, "pending": tip.pending, "last_seen": miners, "alarm": tip.alarm,
        "pruned_below": tip.pruned_below,
    })
}

async fn show_block(query: BlockQuery, node: &Node, out: &mut Output) -> Result<u8, Failure> {
    let client = connect(&node.url).await?;
    let Some(block) = client.block(query).await.map_err(|error| refused(&error))? else {
        return Err(Failure::failed(format!("{}: no such block", node.url))
            .hint("`blockhie chain tip` says how far the chain has come"));
    };
    if node.json {
        out.json(&block_json(&block))?;
        return Ok(0);
    }
    out.line(&format!("height        {}", block.height));
    out.line(&format!("hash          {}", block.claimed_hash));
    out.line(&format!("previous      {}", block.previous));
    out.line(&format!("time          {}", utc(block.time_ms)));
    out.line(&format!("miner         {}", block.miner));
    out.line(&format!("target        {:08x}", block.target));
    out.line(&format!("nonce         {}", block.nonce));
    out.line(&format!("transactions  {}", block.txhashes.len()));
    for hash in &block.txhashes {
        out.line(&format!("  {hash}"));
    }
    for hash in &block.siblings {
        out.line(&format!("sibling       {hash}"));
    }
    Ok(0)
}

fn block_json(block: &UncheckedBlock) -> Value {
    json!({
        "height": block.height, "hash": block.claimed_hash, "previous": block.previous, "time_ms": block.time_ms,
        "miner": block.miner, "target": format!("{:08x}", block.target), "nonce": format!("{:016x}", block.nonce),
        "transactions": block.txhashes, "siblings": block.siblings, "signature": block.signature,
        "history_root": block.history_root,
    })
}

async fn show_transactions(hashes: &[TxHash], node: &Node, out: &mut Output) -> Result<u8, Failure> {
    let client = connect(&node.url).await?;
    let mut code = 0;
    for hash in hashes {
        let status = client.status(*hash).await.map_err(|error| refused(&error))?;
        let tx = client.transaction(*hash).await.map_err(|error| refused(&error))?;
        if status == TxStatus::Unknown {
            code = EXIT_FAILED;
        }
        if node.json {
            out.json(&tx_json(hash, &status, tx.as_ref()))?;
            continue;
        }
        out.line(&format!("{hash}  {}", told(&status)));
        if let Some(tx) = &tx {
            let to = tx.to().map_or_else(String::new, |to| format!(" to {to}"));
            let claimed = utc(tx.time_ms());
            out.line(&format!("  type {} from {}{to}, claimed time {claimed}", tx.tx_type(), tx.from()));
        } else if is_pruned(&status, tx.as_ref()) {
            out.line(
                "  this node has pruned what it says: its place and its proof stay, another node may have the rest",
            );
        }
    }
    Ok(code)
}

/// Committed for good, and no longer here.
fn is_pruned(status: &TxStatus, tx: Option<&Transaction<Unverified>>) -> bool {
    tx.is_none() && matches!(status, TxStatus::Committed { .. })
}

fn told(status: &TxStatus) -> String {
    match status {
        TxStatus::Unknown => "unknown here".into(),
        TxStatus::Pending { first_seen_ms } => format!("submitted, first seen {}", utc(*first_seen_ms)),
        TxStatus::Committed { height, void: Some(reason), .. } => format!("void in block {height}: {reason}"),
        TxStatus::Committed { height, is_final: true, .. } => format!("final, in block {height}"),
        TxStatus::Committed { height, members, quorum, .. } => {
            format!("in block {height}, {members} of {quorum} members")
        }
    }
}

fn tx_json(hash: &TxHash, status: &TxStatus, tx: Option<&Transaction<Unverified>>) -> Value {
    let mut value = match status {
        TxStatus::Unknown => json!({ "state": "unknown" }),
        TxStatus::Pending { first_seen_ms } => json!({ "state": "submitted", "first_seen_ms": first_seen_ms }),
        TxStatus::Committed { height, block, time_ms, index, void, members, quorum, is_final, via_sibling } => json!({
            "state": if void.is_some() { "void" } else if *is_final { "final" } else { "in_block" },
            "height": height, "block": block, "time_ms": time_ms, "index": index, "void": void,
            "members": members, "quorum": quorum, "via_sibling": via_sibling,
        }),
    };
    value["txhash"] = json!(hash);
    if is_pruned(status, tx) {
        value["pruned"] = json!(true);
    }
    if let Some(tx) = tx {
        value["transaction"] = json!({
            "time_ms": tx.time_ms(), "type": tx.tx_type(), "from": tx.from(), "to": tx.to(),
            "body": hex::encode(tx.body()),
        });
    }
    value
}

async fn check_list(path: &Path, node: &Node, out: &mut Output) -> Result<u8, Failure> {
    let hashes = parse_list(&files::read(path, MAX_LIST_BYTES, "list")?)
        .map_err(|reason| Failure::form(format!("list {}: {reason}", path.display())).hint("one txhash a line"))?;
    let client = connect(&node.url).await?;
    let (mut pending, mut committed, mut void, mut unknown) = (0u64, 0u64, 0u64, Vec::new());
    for hash in &hashes {
        match client.status(*hash).await.map_err(|error| refused(&error))? {
            TxStatus::Unknown => unknown.push(hash),
            TxStatus::Pending { .. } => pending += 1,
            TxStatus::Committed { void: Some(_), .. } => void += 1,
            TxStatus::Committed { .. } => committed += 1,
        }
    }
    if node.json {
        out.json(&json!({
            "checked": hashes.len(), "committed": committed, "void": void, "pending": pending, "unknown": unknown,
        }))?;
    } else {
        for hash in &unknown {
            out.line(&format!("{hash}  unknown here"));
        }
        let (checked, missing) = (hashes.len(), unknown.len());
        out.line(&format!(
            "{checked} checked: {committed} committed, {void} void, {pending} submitted, {missing} unknown"
        ));
    }
    Ok(if unknown.is_empty() { 0 } else { EXIT_FAILED })
}

/// One hash a line. A last line without its newline was being written when its writer was killed: what it stands for
/// was not yet told to anybody, so it is left out.
fn parse_list(bytes: &[u8]) -> Result<Vec<TxHash>, String> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = std::str::from_utf8(&bytes[..whole]).map_err(|error| error.to_string())?;
    let parse = |(at, line): (usize, &str)| line.parse().map_err(|error| format!("line {}: {error}", at + 1));
    text.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_named_by_height_hash_or_tip() {
        let hash = "ab".repeat(32);
        assert_eq!(block_query("17"), Ok(BlockQuery::Height(17)));
        assert_eq!(block_query("tip"), Ok(BlockQuery::Tip));
        assert_eq!(block_query(&hash), Ok(BlockQuery::Hash(Hash32([0xab; 32]))));
        for wrong in ["", "-1", "x", &hash[1..], &hash.to_uppercase(), "18446744073709551616"] {
            assert!(block_query(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_read_line_by_line_and_a_torn_end_is_left_out() {
        let line = "ab".repeat(32) + "\n";
        assert_eq!(parse_list(line.repeat(3).as_bytes()).unwrap().len(), 3);
        assert_eq!(parse_list((line.repeat(2) + "abab").as_bytes()).unwrap().len(), 2);
        assert_eq!(parse_list(b"").unwrap().len(), 0);
        assert!(parse_list(b"zz\n").unwrap_err().starts_with("line 1"));
        assert!(parse_list(b"\xff\n").is_err());
    }
}
