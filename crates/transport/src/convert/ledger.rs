//! The messages of `blockhie.v1.Ledger`.

use super::{ConversionError, fixed, hash_bytes, hashes, key, present, wire};
use crate::limits::{MAX_HEADERS, MAX_HEADERS_BYTES};
use crate::pb::v1;
use crate::service::HeaderRow;
use blockhie_core::{BlockQuery, Hash32, Signature, Tip, TxStatus, U256};
use prost::Message;

macro_rules! txhash_message {
    ($message:ty, $field:literal) => {
        impl TryFrom<$message> for Hash32 {
            type Error = ConversionError;
            fn try_from(message: $message) -> Result<Self, ConversionError> {
                fixed($field, &message.txhash).map(Self)
            }
        }

        impl From<Hash32> for $message {
            fn from(hash: Hash32) -> Self {
                Self { txhash: wire(&hash.0) }
            }
        }
    };
}
txhash_message!(v1::SubmitResponse, "submit.txhash");
txhash_message!(v1::StatusRequest, "status.txhash");
txhash_message!(v1::TransactionRequest, "transaction.txhash");
txhash_message!(v1::ReceiptRequest, "receipt.txhash");

/// A range of heights of the best chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRange {
    /// The first.
    pub from_height: u64,
    /// How many at most: 1 to [`MAX_HEADERS`].
    pub limit: u32,
}

impl TryFrom<v1::HeadersRequest> for HeaderRange {
    type Error = ConversionError;
    fn try_from(request: v1::HeadersRequest) -> Result<Self, ConversionError> {
        let v1::HeadersRequest { from_height, limit } = request;
        if !(1..=MAX_HEADERS).contains(&limit) {
            return Err(ConversionError::new("headers.limit", format!("1 to {MAX_HEADERS}"), limit.to_string()));
        }
        Ok(Self { from_height, limit })
    }
}

impl From<HeaderRange> for v1::HeadersRequest {
    fn from(range: HeaderRange) -> Self {
        Self { from_height: range.from_height, limit: range.limit }
    }
}

impl TryFrom<v1::HeaderRow> for HeaderRow {
    type Error = ConversionError;
    fn try_from(row: v1::HeaderRow) -> Result<Self, ConversionError> {
        let signature = match &row.signature {
            Some(bytes) => Some(Signature(fixed("header.signature", bytes)?)),
            None => None,
        };
        Ok(Self {
            hash: Hash32(fixed("header.hash", &row.hash)?),
            preimage: fixed("header.preimage", &row.preimage)?,
            signature,
            txhashes: hashes("header.txhash", &row.txhash)?,
        })
    }
}

impl From<&HeaderRow> for v1::HeaderRow {
    fn from(row: &HeaderRow) -> Self {
        Self {
            hash: wire(&row.hash.0),
            preimage: wire(&row.preimage),
            signature: row.signature.map(|signature| wire(&signature.0)),
            txhash: hash_bytes(&row.txhashes),
        }
    }
}

impl TryFrom<v1::HeadersResponse> for Vec<HeaderRow> {
    type Error = ConversionError;
    fn try_from(response: v1::HeadersResponse) -> Result<Self, ConversionError> {
        response.rows.into_iter().map(HeaderRow::try_from).collect()
    }
}

/// The rows that one answer holds: at most `limit`, and at most [`MAX_HEADERS_BYTES`].
#[must_use]
pub fn headers_within(rows: &[HeaderRow], limit: u32) -> v1::HeadersResponse {
    let mut left = MAX_HEADERS_BYTES;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let fitting = rows.iter().take(most).map(v1::HeaderRow::from).take_while(|row| {
        // Tag and length take at most 4 bytes.
        let size = row.encoded_len() + 4;
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    });
    v1::HeadersResponse { rows: fitting.collect() }
}

impl TryFrom<v1::BlockRequest> for BlockQuery {
    type Error = ConversionError;
    fn try_from(request: v1::BlockRequest) -> Result<Self, ConversionError> {
        Ok(match present("block.which", request.which)? {
            v1::block_request::Which::Tip(_) => Self::Tip,
            v1::block_request::Which::Height(height) => Self::Height(height),
            v1::block_request::Which::Hash(hash) => Self::Hash(Hash32(fixed("block.hash", &hash)?)),
        })
    }
}

impl From<BlockQuery> for v1::BlockRequest {
    fn from(query: BlockQuery) -> Self {
        let which = match query {
            BlockQuery::Tip => v1::block_request::Which::Tip(v1::block_request::Tip {}),
            BlockQuery::Height(height) => v1::block_request::Which::Height(height),
            BlockQuery::Hash(hash) => v1::block_request::Which::Hash(wire(&hash.0)),
        };
        Self { which: Some(which) }
    }
}

impl TryFrom<v1::TipResponse> for Tip {
    type Error = ConversionError;
    fn try_from(tip: v1::TipResponse) -> Result<Self, ConversionError> {
        let seen = |row: &v1::LastSeen| Ok((key("tip.member", fixed("tip.member", &row.member)?)?, row.height));
        Ok(Self {
            height: tip.height,
            hash: Hash32(fixed("tip.hash", &tip.hash)?),
            time_ms: tip.time_ms,
            work: U256::from_big_endian(&fixed::<32>("tip.work", &tip.work)?),
            last_seen: tip.last_seen.iter().map(seen).collect::<Result<_, ConversionError>>()?,
            final_height: tip.final_height,
            pending: usize::try_from(tip.pending)
                .map_err(|_| ConversionError::new("tip.pending", "a count of this machine", tip.pending.to_string()))?,
            alarm: tip.alarm,
            pruned_below: tip.pruned_below,
        })
    }
}

impl From<&Tip> for v1::TipResponse {
    fn from(tip: &Tip) -> Self {
        let seen = |(member, height): &(blockhie_core::PublicKey, u64)| v1::LastSeen {
            member: wire(member.as_bytes()),
            height: *height,
        };
        Self {
            height: tip.height,
            hash: wire(&tip.hash.0),
            time_ms: tip.time_ms,
            work: wire(&tip.work.to_big_endian()),
            last_seen: tip.last_seen.iter().map(seen).collect(),
            final_height: tip.final_height,
            pending: u64::try_from(tip.pending).unwrap_or(u64::MAX),
            alarm: tip.alarm,
            pruned_below: tip.pruned_below,
        }
    }
}

impl TryFrom<v1::StatusResponse> for TxStatus {
    type Error = ConversionError;
    fn try_from(response: v1::StatusResponse) -> Result<Self, ConversionError> {
        Ok(match present("status.state", response.state)? {
            v1::status_response::State::Unknown(_) => Self::Unknown,
            v1::status_response::State::Pending(pending) => Self::Pending { first_seen_ms: pending.first_seen_ms },
            v1::status_response::State::Committed(committed) => {
                let sibling = committed.via_sibling.map(|bytes| fixed("status.via_sibling", &bytes));
                Self::Committed {
                    height: committed.height,
                    block: Hash32(fixed("status.block", &committed.block)?),
                    time_ms: committed.time_ms,
                    index: committed.index,
                    void: committed.void,
                    members: committed.members,
                    quorum: committed.quorum,
                    is_final: committed.is_final,
                    via_sibling: sibling.transpose()?.map(Hash32),
                }
            }
        })
    }
}

impl From<TxStatus> for v1::StatusResponse {
    fn from(status: TxStatus) -> Self {
        let state = match status {
            TxStatus::Unknown => v1::status_response::State::Unknown(v1::status_response::Unknown {}),
            TxStatus::Pending { first_seen_ms } => {
                v1::status_response::State::Pending(v1::status_response::Pending { first_seen_ms })
            }
            TxStatus::Committed { height, block, time_ms, index, void, members, quorum, is_final, via_sibling } => {
                let (block, via_sibling) = (wire(&block.0), via_sibling.map(|sibling| wire(&sibling.0)));
                v1::status_response::State::Committed(v1::status_response::Committed {
                    height,
                    block,
                    time_ms,
                    index,
                    void,
                    members,
                    quorum,
                    is_final,
                    via_sibling,
                })
            }
        };
        Self { state: Some(state) }
    }
}

#[cfg(test)]
mod tests;
