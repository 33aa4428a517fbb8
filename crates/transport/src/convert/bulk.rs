//! The messages of `blockhie.v1.Peer`.

use super::{ConversionError, fixed, hash_bytes, hashes, present, wire};
use crate::bulk::{BlockList, Blocks, Locator, SignedHeader, WholeBlock};
use crate::limits::{
    MAX_BLOCK_HASHES, MAX_BODIES_BLOCKS, MAX_BODIES_BYTES, MAX_HEADERS_PIECE, MAX_LOCATED_HEADERS, MAX_LOCATOR,
    MAX_PIECE_BYTES, MAX_PIECE_TRANSACTIONS, MAX_SIBLINGS,
};
use crate::pb;
use crate::pb::v1;
use crate::pb::v1::bodies_response::{Piece, Start, Transactions};
use blockhie_core::limits::MAX_BLOCK_BYTES;
use blockhie_core::{BlockHash, Hash32, Signature, Transaction, Unverified, Verified};
use std::vec;

fn between(field: &'static str, least: usize, most: usize, got: usize) -> Result<(), ConversionError> {
    if (least..=most).contains(&got) {
        return Ok(());
    }
    Err(ConversionError::new(field, format!("{least} to {most}"), got.to_string()))
}

impl TryFrom<v1::SignedHeader> for SignedHeader {
    type Error = ConversionError;
    fn try_from(header: v1::SignedHeader) -> Result<Self, ConversionError> {
        let signature = match &header.signature {
            Some(bytes) => Some(Signature(fixed("header.signature", bytes)?)),
            None => None,
        };
        Ok(Self { preimage: fixed("header.preimage", &header.preimage)?, signature })
    }
}

impl From<&SignedHeader> for v1::SignedHeader {
    fn from(header: &SignedHeader) -> Self {
        Self { preimage: wire(&header.preimage), signature: header.signature.map(|signature| wire(&signature.0)) }
    }
}

impl TryFrom<v1::AnnounceRequest> for SignedHeader {
    type Error = ConversionError;
    fn try_from(request: v1::AnnounceRequest) -> Result<Self, ConversionError> {
        present("announce.header", request.header)?.try_into()
    }
}

impl TryFrom<v1::LocatedHeadersRequest> for Locator {
    type Error = ConversionError;
    fn try_from(request: v1::LocatedHeadersRequest) -> Result<Self, ConversionError> {
        let v1::LocatedHeadersRequest { locator, limit } = request;
        between("headers.locator", 1, MAX_LOCATOR, locator.len())?;
        if !(1..=MAX_LOCATED_HEADERS).contains(&limit) {
            let expected = format!("1 to {MAX_LOCATED_HEADERS}");
            return Err(ConversionError::new("headers.limit", expected, limit.to_string()));
        }
        Ok(Self { hashes: hashes("headers.locator", &locator)?, limit })
    }
}

impl From<&Locator> for v1::LocatedHeadersRequest {
    fn from(locator: &Locator) -> Self {
        Self { locator: hash_bytes(&locator.hashes), limit: locator.limit }
    }
}

impl TryFrom<v1::LocatedHeadersResponse> for Vec<SignedHeader> {
    type Error = ConversionError;
    fn try_from(response: v1::LocatedHeadersResponse) -> Result<Self, ConversionError> {
        between("headers.headers", 1, MAX_HEADERS_PIECE, response.headers.len())?;
        response.headers.into_iter().map(SignedHeader::try_from).collect()
    }
}

/// Headers in as many messages as they need.
#[must_use]
pub fn header_pieces(headers: &[SignedHeader]) -> Vec<v1::LocatedHeadersResponse> {
    let piece = |part: &[SignedHeader]| v1::LocatedHeadersResponse {
        headers: part.iter().map(v1::SignedHeader::from).collect(),
    };
    headers.chunks(MAX_HEADERS_PIECE).map(piece).collect()
}

impl TryFrom<v1::BodiesRequest> for BlockList {
    type Error = ConversionError;
    fn try_from(request: v1::BodiesRequest) -> Result<Self, ConversionError> {
        between("bodies.block", 1, MAX_BODIES_BLOCKS, request.block.len())?;
        hashes("bodies.block", &request.block).map(Self)
    }
}

impl From<&BlockList> for v1::BodiesRequest {
    fn from(list: &BlockList) -> Self {
        Self { block: hash_bytes(&list.0) }
    }
}

fn message(piece: Piece) -> v1::BodiesResponse {
    v1::BodiesResponse { piece: Some(piece) }
}

/// A block in as many messages as it needs.
#[must_use]
pub fn block_pieces(hash: BlockHash, block: Option<&WholeBlock<Verified>>) -> Vec<v1::BodiesResponse> {
    let Some(block) = block else {
        return vec![message(Piece::Start(Start { block: wire(&hash.0), ..Start::default() }))];
    };
    let mut pieces = vec![message(Piece::Start(Start {
        block: wire(&hash.0),
        header: Some((&block.header).into()),
        transactions: u32::try_from(block.transactions.len()).unwrap_or(u32::MAX),
        siblinghash: hash_bytes(&block.siblings),
    }))];
    let (mut transaction, mut bytes) = (Vec::new(), 0);
    for tx in &block.transactions {
        transaction.push(pb::Transaction::from(tx));
        bytes += tx.body().len();
        if bytes >= MAX_PIECE_BYTES || transaction.len() >= MAX_PIECE_TRANSACTIONS {
            bytes = 0;
            pieces.push(message(Piece::Transactions(Transactions { transaction: std::mem::take(&mut transaction) })));
        }
    }
    if !transaction.is_empty() {
        pieces.push(message(Piece::Transactions(Transactions { transaction })));
    }
    pieces
}

/// Puts an answer to a call for blocks together, and holds it to what was asked for.
#[derive(Debug)]
pub struct BlockCollector {
    asked: vec::IntoIter<BlockHash>,
    done: Blocks,
    /// The block under way, and how many of its transactions are still to come.
    open: Option<(BlockHash, WholeBlock<Unverified>, usize)>,
    bytes: usize,
}

impl BlockCollector {
    /// For these blocks.
    #[must_use]
    pub fn new(asked: &BlockList) -> Self {
        Self { asked: asked.0.clone().into_iter(), done: Vec::new(), open: None, bytes: 0 }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// [`ConversionError`] when it is not what has to come next.
    pub fn take(&mut self, response: v1::BodiesResponse) -> Result<(), ConversionError> {
        match present("bodies.piece", response.piece)? {
            Piece::Start(start) => self.start(start),
            Piece::Transactions(piece) => self.transactions(piece),
        }
    }

    fn start(&mut self, start: Start) -> Result<(), ConversionError> {
        if let Some((_, _, left)) = &self.open {
            return Err(ConversionError::new("bodies.piece", format!("{left} more transactions"), "the next block"));
        }
        let hash = Hash32(fixed("bodies.start.block", &start.block)?);
        let Some(expected) = self.asked.next() else {
            return Err(ConversionError::new("bodies.start.block", "no more blocks than asked for", hash.to_string()));
        };
        if hash != expected {
            return Err(ConversionError::new("bodies.start.block", expected.to_string(), hash.to_string()));
        }
        let count = usize::try_from(start.transactions).unwrap_or(usize::MAX);
        let Some(header) = start.header else {
            if count > 0 || !start.siblinghash.is_empty() {
                return Err(ConversionError::new("bodies.start.header", "a header", "none (field absent)"));
            }
            self.done.push((hash, None));
            return Ok(());
        };
        between("bodies.start.transactions", 0, MAX_BLOCK_HASHES, count)?;
        between("bodies.start.siblinghash", 0, MAX_SIBLINGS, start.siblinghash.len())?;
        let siblings = hashes("bodies.start.siblinghash", &start.siblinghash)?;
        let block = WholeBlock { header: header.try_into()?, siblings, transactions: Vec::new() };
        self.open = Some((hash, block, count));
        self.close_if_complete();
        Ok(())
    }

    fn transactions(&mut self, piece: Transactions) -> Result<(), ConversionError> {
        let Some((_, block, left)) = &mut self.open else {
            return Err(ConversionError::new("bodies.piece", "a block", "transactions"));
        };
        between("bodies.transaction", 1, MAX_PIECE_TRANSACTIONS.min(*left), piece.transaction.len())?;
        for tx in piece.transaction {
            let tx = Transaction::try_from(tx)?;
            self.bytes += tx.body().len();
            block.transactions.push(tx);
            *left -= 1;
        }
        let most = MAX_BODIES_BYTES + MAX_BLOCK_BYTES as usize;
        if self.bytes > most {
            let expected = format!("at most {most} bytes of bodies");
            return Err(ConversionError::new("bodies.transaction", expected, self.bytes.to_string()));
        }
        self.close_if_complete();
        Ok(())
    }

    fn close_if_complete(&mut self) {
        if let Some((hash, block, 0)) = self.open.take_if(|(_, _, left)| *left == 0) {
            self.done.push((hash, Some(block)));
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`ConversionError`] when it ended within a block, or before the first.
    pub fn finish(self) -> Result<Blocks, ConversionError> {
        if let Some((hash, _, left)) = &self.open {
            let expected = format!("{left} more transactions of {hash}");
            return Err(ConversionError::new("bodies.piece", expected, "the end"));
        }
        if self.done.is_empty() {
            return Err(ConversionError::new("bodies.piece", "at least one block", "the end"));
        }
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests;
