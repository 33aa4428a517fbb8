//! What a byzantine node answers over `blockhie.v1.Peer`, how it gets itself asked, and what it announces.

use super::super::World;
use super::super::bulk::{Answer, Travelling};
use super::super::network::Message;
use super::forge::{Draft, Parent};
use crate::setup::Work;
use blockhie_core::{Hash32, Transaction, UncheckedBlock, UncheckedHeader, Unverified};
use blockhie_engine::{AskError, Fetch};
use std::sync::Arc;

/// Blocks of a chain that is only headers: more than are connected by asking for ancestors by hash.
const PHANTOM: u64 = 12;
/// Announcements in one go.
const FLOOD: u64 = 12;

/// How it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Bulk {
    #[default]
    Honestly,
    Nothing,
    /// One header of the middle is left out.
    Unlinked,
    /// The headers of a chain that has no blocks.
    Phantom,
    /// More headers than were asked for, or of blocks the same.
    TooMuch,
    /// Headers, and not one block.
    NoBlocks,
    /// Another transaction in each block.
    WrongBodies,
    /// A signature that does not hold.
    FalseBodies,
    /// Blocks that nobody asked for.
    OtherBlocks,
    /// Another block under the name of the one asked for.
    Misnamed,
}

impl Bulk {
    pub(super) const ALL: [Self; 10] = [
        Self::Honestly,
        Self::Nothing,
        Self::Unlinked,
        Self::Phantom,
        Self::TooMuch,
        Self::NoBlocks,
        Self::WrongBodies,
        Self::FalseBodies,
        Self::OtherBlocks,
        Self::Misnamed,
    ];
}

impl World {
    /// A chain of headers without blocks, whose end it shows as a block that nobody can connect: who believes it asks
    /// for the headers. Without work where that counts, or with signatures that do not hold, or, at its best, good ones.
    pub(super) fn lure(&mut self, node: usize) {
        let Some(mut parent) = self.parent(node, 0) else { return };
        let good = self.streams.evil.chance(400_000);
        let with_work = good || self.setup.work == Work::None;
        let mut headers: Vec<UncheckedHeader> = Vec::new();
        for at in 0..PHANTOM {
            let may = self.may_mine(node, &parent) && (at == 0 || self.setup.genesis.spacing == 0);
            // A hash of its own for each phantom.
            let draft = Draft { without_work: !with_work && at + 1 < PHANTOM, ..Draft::default() };
            let Some(block) = self.forge(node, &parent, draft) else { return };
            let Some(header) = header_of(&block) else { return };
            let signature = block.signature.filter(|_| good || !with_work).or_else(|| {
                let mut signature = block.signature?;
                signature.0[7] ^= 1;
                Some(signature)
            });
            let is_open = self.setup.genesis.is_open();
            if !may || !good && (!with_work || !is_open) || headers.iter().any(|below| self.is_bad(below)) {
                self.bad_headers.insert(block.claimed_hash);
            }
            headers.push(UncheckedHeader { header: header.header, signature });
            let Some(next) = self.child(&parent, &block) else { return };
            parent = next;
            if at + 1 == PHANTOM {
                self.throw(node, block);
            }
        }
        let private = &mut self.nodes[node].private;
        (private.phantom, private.bulk) = (headers, Bulk::Phantom);
    }

    fn is_bad(&self, header: &UncheckedHeader) -> bool {
        self.bad_headers.contains(&header.header.hash(&self.setup.genesis.chain_id()))
    }

    /// Headers of blocks that are not there, on its tip or on nothing: with work and good signature, or without.
    pub(super) fn announces_nothing(&mut self, node: usize) {
        let Some(tip) = self.parent(node, 0) else { return };
        for _ in 0..FLOOD {
            let nowhere = Parent { hash: Hash32(self.streams.evil.bytes()), row: tip.row.clone() };
            let on = if self.streams.evil.chance(500_000) { &tip } else { &nowhere };
            let without_work = self.setup.work == Work::Proof && self.streams.evil.chance(500_000);
            let time_ms = Some(self.true_wall_ms().max(on.row.time_ms + 1) + self.streams.evil.below(50));
            let draft = Draft { without_work, time_ms, ..Draft::default() };
            let Some(block) = self.forge(node, on, draft) else { continue };
            let Some(mut header) = header_of(&block) else { continue };
            let spoiled = self.streams.evil.chance(300_000);
            if let Some(signature) = header.signature.as_mut().filter(|_| spoiled) {
                signature.0[9] ^= 1;
            }
            let broken = spoiled && header.signature.is_some() || without_work;
            if broken {
                self.bad_announced.insert(block.claimed_hash);
            }
            let header = Arc::new(header);
            for to in self.some(node) {
                self.send(node, to, Message::Announce(header.clone()));
            }
        }
    }

    pub(in crate::world) fn answer_fetch_badly(&mut self, node: usize, fetch: &Fetch) -> Option<Answer> {
        let bulk = self.nodes[node].private.bulk;
        let honest = self.answer_fetch_honestly(node, fetch);
        match (bulk, honest) {
            (Bulk::Nothing, _) => None,
            (Bulk::Phantom, Answer::Headers(headers)) => {
                let phantom = self.nodes[node].private.phantom.clone();
                Some(Answer::Headers(if phantom.is_empty() { headers } else { Some(phantom) }))
            }
            (Bulk::Unlinked, Answer::Headers(Some(mut headers))) => {
                if headers.len() > 2 {
                    headers.remove(headers.len() / 2);
                }
                Some(Answer::Headers(Some(headers)))
            }
            (Bulk::TooMuch, Answer::Headers(Some(headers))) => {
                let many = blockhie_engine::limits::HEADERS_PER_FETCH as usize + 1;
                let all = headers.iter().cycle().take(many).cloned().collect();
                Some(Answer::Headers(Some(all)))
            }
            (Bulk::NoBlocks | Bulk::Phantom, Answer::Blocks(blocks)) => {
                Some(Answer::Blocks(blocks.into_iter().map(|(hash, _)| (hash, None)).collect()))
            }
            (_, Answer::Blocks(blocks)) => self.blocks_badly(bulk, blocks),
            (_, honest) => Some(honest),
        }
    }

    fn blocks_badly(&mut self, bulk: Bulk, mut blocks: Vec<(Hash32, Option<Travelling>)>) -> Option<Answer> {
        match bulk {
            Bulk::TooMuch => blocks.extend(blocks.clone()),
            Bulk::WrongBodies => {
                let other = self.any_transaction();
                for block in blocks.iter_mut().filter_map(|(_, block)| block.as_mut()) {
                    match block.transactions.first_mut() {
                        Some(first) => first.clone_from(other.as_ref()?),
                        None => block.transactions.extend(other.clone()),
                    }
                    // As many as the header says, or it would be seen by that.
                    block.transactions.truncate(block.header.header.tx_count as usize);
                }
            }
            Bulk::FalseBodies => {
                let chain = self.setup.genesis.chain_id();
                for tx in blocks.iter_mut().filter_map(|(_, block)| block.as_mut()).flat_map(|b| &mut b.transactions) {
                    let mut bytes = tx.to_bytes();
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                    *tx = Transaction::<Unverified>::from_bytes(&bytes, &chain).ok()?;
                }
            }
            Bulk::OtherBlocks => {
                for (hash, _) in &mut blocks {
                    *hash = Hash32(self.streams.evil.bytes());
                }
            }
            Bulk::Misnamed => {
                let first = blocks.first()?.1.clone();
                blocks.iter_mut().for_each(|(_, block)| block.clone_from(&first));
            }
            _ => {}
        }
        if blocks.is_empty() {
            return Some(Answer::Failed(AskError::Unreachable("simulated: nothing".into())));
        }
        Some(Answer::Blocks(blocks))
    }

    fn any_transaction(&mut self) -> Option<Transaction<Unverified>> {
        let at = self.streams.evil.index(self.verified.len().max(1));
        self.verified.values().nth(at).map(|(tx, _)| tx.clone())
    }
}

fn header_of(block: &UncheckedBlock) -> Option<UncheckedHeader> {
    let header = block.header(block.history_root?).ok()?;
    Some(UncheckedHeader { header, signature: block.signature })
}
