//! `blockhie.v1.Peer` between the nodes of the network in memory.

use super::{Message, Net, Node, Serves, address};
use blockhie_core::query::headers::{blocks_after, whole_block};
use blockhie_core::{Block, BlockHash, Hash32, Store, Transaction, UncheckedBlock, UncheckedHeader, Verified, query};
use blockhie_engine::{Event, Fetch, FetchId, Fetched, WholeBlock};

fn header(block: &UncheckedBlock) -> UncheckedHeader {
    let header = block.header(block.history_root.unwrap_or(Hash32::ZERO)).unwrap();
    UncheckedHeader { header, signature: block.signature }
}

impl Node {
    fn headers(&self, locator: &[BlockHash], limit: u32) -> Option<Vec<UncheckedHeader>> {
        if let Some(fake) = &self.fake {
            let known = |hash: &BlockHash| fake.iter().position(|block| block.claimed_hash == *hash);
            let at = locator.iter().find_map(known)?;
            return Some(fake[at + 1..].iter().take(limit as usize).map(header).collect());
        }
        let blocks = blocks_after(&*self.store.snapshot(), locator, limit).unwrap()?;
        let of = |block: &Block| UncheckedHeader { header: block.header.clone(), signature: block.signature };
        Some(blocks.iter().map(of).collect())
    }

    fn whole(&self, hash: &BlockHash) -> Option<WholeBlock> {
        if self.serves == Serves::KeepsNone {
            return None;
        }
        let view = self.store.snapshot();
        if let Some(fake) = &self.fake {
            let block = fake.iter().find(|block| block.claimed_hash == *hash)?.clone();
            let body = |hash| query::transaction(&*view, hash).unwrap();
            return Some(WholeBlock { transactions: block.txhashes.iter().filter_map(body).collect(), block });
        }
        let (block, transactions): (Block, Vec<Transaction<Verified>>) = whole_block(&*view, hash).unwrap()?;
        Some(WholeBlock { block: block.to_unchecked(), transactions })
    }
}

impl Net {
    /// All nodes of now answer `blockhie.v1.Peer`.
    pub fn all_speak(&mut self) {
        for node in &mut self.nodes {
            node.speaks = true;
        }
    }

    pub(super) fn serve_fetch(&mut self, node: usize, asker: usize, id: FetchId, fetch: &Fetch) {
        let state = &self.nodes[node];
        let extra_ms = match (state.serves, fetch) {
            (Serves::Nothing | Serves::TipOnly, _) | (Serves::NoBlocks, Fetch::Blocks(_)) => return,
            (Serves::Slowly(ms), _) => ms,
            _ => 0,
        };
        let answer = match fetch {
            Fetch::Headers { locator, limit } => {
                assert!((1..=64).contains(&locator.len()) && (1..=2_048).contains(limit));
                Fetched::Headers(state.headers(locator, *limit))
            }
            Fetch::Blocks(hashes) => {
                assert!((1..=64).contains(&hashes.len()));
                Fetched::Blocks(hashes.iter().map(|hash| (*hash, state.whole(hash))).collect())
            }
        };
        let event = Event::Fetched { peer: address(node), id, result: Ok(answer) };
        self.send(node, asker, extra_ms, Message::Event(Box::new(event)));
    }
}
