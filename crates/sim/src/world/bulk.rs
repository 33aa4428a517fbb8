//! `blockhie.v1.Peer` between the nodes: what the node's client reads and its server answers, without sockets.

use super::World;
use super::network::Message;
use super::node::{Command, address};
use blockhie_core::query::headers::{blocks_after, whole_block};
use blockhie_core::{
    BlockHash, BlockQuery, ChainId, ErrorClass, Store, StoreError, Transaction, UncheckedBlock, UncheckedHeader,
    Unverified,
};
use blockhie_engine::{AskError, Event, Fetch, FetchId, Fetched, Request, WholeBlock};
use std::sync::Arc;

/// Blocks in one answer at most; the server's limit too.
const MOST_BLOCKS: usize = 64;
/// Bytes of bodies after which an answer begins no further block; the server's limit too.
const MOST_BYTES: usize = 4 << 20;
/// An answer that ends early, in a million: as if the blocks were long. No simulated block is.
const SHORT_PPM: u32 = 200_000;
/// A question whether a peer speaks that gets no answer in time, in a million.
const NO_PROBE_PPM: u32 = 50_000;

/// A block as it travels: its list of transactions is what their hashes make.
#[derive(Debug, Clone)]
pub(super) struct Travelling {
    pub(super) header: UncheckedHeader,
    pub(super) siblings: Vec<BlockHash>,
    pub(super) transactions: Vec<Transaction<Unverified>>,
}

/// What comes back.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Headers(Option<Vec<UncheckedHeader>>),
    Blocks(Vec<(BlockHash, Option<Travelling>)>),
    Failed(AskError),
}

impl World {
    /// Whether a node finds, when it connects, that the other speaks.
    pub(super) fn probes(&mut self, from: usize, to: usize) -> bool {
        let both = self.setup.nodes[from].speaks && self.setup.nodes[to].speaks;
        both && !self.streams.network.chance(NO_PROBE_PPM)
    }

    pub(super) fn fetch(&mut self, node: usize, to: usize, id: FetchId, fetch: Fetch) {
        if !self.setup.nodes[node].byzantine {
            self.tally.fetches += 1;
            self.watch_fetch(node, &fetch);
        }
        if !self.is_up(node, to) {
            return;
        }
        if let Some(running) = &mut self.nodes[node].running {
            running.fetches.insert(id, fetch.clone());
        }
        self.send(node, to, Message::Fetch { id, fetch });
    }

    pub(super) fn announce(&mut self, node: usize, to: usize, header: Arc<UncheckedHeader>) {
        if self.is_up(node, to) {
            self.tally.announcements += 1;
            self.send(node, to, Message::Announce(header));
        }
    }

    /// I9: no block is fetched whose header, or one below it, breaks a rule that headers show.
    fn watch_fetch(&mut self, node: usize, fetch: &Fetch) {
        let Fetch::Blocks(hashes) = fetch else { return };
        if let Some(hash) = hashes.iter().find(|hash| self.bad_headers.contains(*hash)) {
            let what = format!("it fetches block {hash}, whose header breaks a rule");
            self.violated("I9", Some(node), what);
        }
    }

    /// I9: nor is one asked for that was only announced, by such a header.
    pub(super) fn watch_ask(&mut self, node: usize, request: &Request) {
        let Request::Block(BlockQuery::Hash(hash)) = request else { return };
        if self.bad_announced.contains(hash) && !self.setup.nodes[node].byzantine {
            let what = format!("it asks for block {hash}, which was announced by a header that breaks a rule");
            self.violated("I9", Some(node), what);
        }
    }

    /// What a node answers, from what is durable.
    pub(super) fn answer_fetch(&mut self, node: usize, fetch: &Fetch) -> Option<Answer> {
        if self.setup.nodes[node].byzantine && !self.quiet {
            return self.answer_fetch_badly(node, fetch);
        }
        let mut answer = self.answer_fetch_honestly(node, fetch);
        if let Answer::Blocks(blocks) = &mut answer
            && self.streams.network.chance(SHORT_PPM)
        {
            blocks.truncate(1 + self.streams.network.index(blocks.len().max(1)));
        }
        Some(answer)
    }

    pub(super) fn answer_fetch_honestly(&self, node: usize, fetch: &Fetch) -> Answer {
        let view = self.nodes[node].store.snapshot();
        let signed = |block: blockhie_core::Block| UncheckedHeader { header: block.header, signature: block.signature };
        match fetch {
            Fetch::Headers { locator, limit } => match blocks_after(view.as_ref(), locator, *limit) {
                Ok(blocks) => Answer::Headers(blocks.map(|blocks| blocks.into_iter().map(signed).collect())),
                Err(error) => failed(&error),
            },
            Fetch::Blocks(hashes) => {
                let (mut blocks, mut bytes) = (Vec::new(), 0);
                for hash in hashes.iter().take(MOST_BLOCKS) {
                    if bytes >= MOST_BYTES {
                        break;
                    }
                    let whole = match whole_block(view.as_ref(), hash) {
                        Ok(whole) => whole,
                        Err(error) => return failed(&error),
                    };
                    let travelling = whole.map(|(block, transactions)| {
                        bytes += transactions.iter().map(|tx| tx.body().len()).sum::<usize>();
                        let transactions = transactions.into_iter().map(Transaction::into_unverified).collect();
                        Travelling { siblings: block.siblings.clone(), header: signed(block), transactions }
                    });
                    blocks.push((*hash, travelling));
                }
                Answer::Blocks(blocks)
            }
        }
    }

    /// An answer arrives: read and verified before the engine sees it.
    pub(super) fn fetched(&mut self, node: usize, from: usize, id: FetchId, answer: Answer) {
        let Some(running) = &mut self.nodes[node].running else { return };
        // A call has one answer, and one that a crash forgot has none.
        let Some(fetch) = running.fetches.remove(&id) else { return };
        let result = self.read_answer(fetch, answer);
        if result.is_ok() && !self.setup.nodes[node].byzantine {
            self.tally.fetched += 1;
        }
        self.command(node, Command::Event(Event::Fetched { peer: address(from), id, result }));
    }

    fn read_answer(&mut self, fetch: Fetch, answer: Answer) -> Result<Fetched, AskError> {
        let malformed = |expected: &str, got: &str| AskError::Malformed(format!("expected {expected}, got {got}"));
        match (fetch, answer) {
            (_, Answer::Failed(error)) => Err(error),
            (Fetch::Headers { limit, .. }, Answer::Headers(headers)) => {
                if headers.as_ref().is_some_and(|headers| headers.len() > limit as usize) {
                    return Err(malformed(&format!("at most {limit} headers"), "more"));
                }
                Ok(Fetched::Headers(headers))
            }
            (Fetch::Blocks(asked), Answer::Blocks(blocks)) => {
                if blocks.is_empty() {
                    return Err(AskError::Unreachable("simulated: the answer ended before a block".into()));
                }
                if blocks.len() > asked.len() {
                    return Err(malformed("no more blocks than asked for", "one more"));
                }
                let mut read = Vec::with_capacity(blocks.len());
                for ((hash, travelling), expected) in blocks.into_iter().zip(asked) {
                    if hash != expected {
                        return Err(malformed(&expected.to_string(), &hash.to_string()));
                    }
                    read.push((hash, travelling.map(|block| self.read_block(block)).transpose()?));
                }
                Ok(Fetched::Blocks(read))
            }
            _ => Err(malformed("an answer to the question", "another")),
        }
    }

    fn read_block(&mut self, travelling: Travelling) -> Result<WholeBlock, AskError> {
        let block = as_block(&travelling, &self.setup.genesis.chain_id());
        let transactions = travelling.transactions.into_iter().map(|tx| self.verify(tx));
        let transactions = transactions.collect::<Result<_, String>>().map_err(AskError::Malformed)?;
        Ok(WholeBlock { block, transactions })
    }
}

fn as_block(travelling: &Travelling, chain: &ChainId) -> UncheckedBlock {
    let UncheckedHeader { header, signature } = &travelling.header;
    UncheckedBlock {
        height: header.height,
        time_ms: header.time_ms,
        previous: header.previous,
        claimed_hash: header.hash(chain),
        target: header.target.get(),
        nonce: header.nonce,
        txhashes: travelling.transactions.iter().map(Transaction::hash).collect(),
        miner: header.miner,
        siblings: travelling.siblings.clone(),
        signature: *signature,
        history_root: Some(header.history_root),
    }
}

fn failed(error: &StoreError) -> Answer {
    Answer::Failed(match error.class() {
        ErrorClass::Unavailable => AskError::Unreachable(error.to_string()),
        _ => AskError::Unreachable(format!("simulated: {error}")),
    })
}
