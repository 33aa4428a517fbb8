//! Messages of `blockhie.v1.Peer`: one by one, and an answer of several as it comes over a stream.

use crate::same;
use blockhie_core::limits::MAX_BLOCK_BYTES;
use blockhie_core::{Hash32, Header};
use blockhie_transport::convert::{BlockCollector, header_pieces};
use blockhie_transport::limits::{MAX_BLOCK_HASHES, MAX_BODIES_BYTES, MAX_SIBLINGS};
use blockhie_transport::pb::v1;
use blockhie_transport::{BlockList, Locator, SignedHeader};
use prost::Message;

/// The blocks for which the answers of the target ask.
pub const PEER_ASKED: [Hash32; 3] = [Hash32([1; 32]), Hash32([2; 32]), Hash32([3; 32])];

/// The first byte says which: an even one, messages of an answer follow, each after its length in two bytes; an odd one,
/// the rest is one message, whichever.
pub fn peer(bytes: &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) if first % 2 == 0 => answer(rest),
        Some((_, rest)) => messages(rest),
        None => {}
    }
}

/// What is converted comes back as the same from its own bytes.
fn comes_back<M, T>(bytes: &[u8], write: impl Fn(&T) -> M)
where
    M: Message + Default,
    T: TryFrom<M> + PartialEq + std::fmt::Debug,
{
    let Ok(message) = M::decode(bytes) else { return };
    let Ok(value) = T::try_from(message) else { return };
    let again = M::decode(&write(&value).encode_to_vec()[..]).expect("a message that was just encoded");
    let Ok(again) = T::try_from(again) else { panic!("what was taken is refused: {value:?}") };
    same(&again, &value);
}

fn messages(bytes: &[u8]) {
    comes_back(bytes, |locator: &Locator| v1::LocatedHeadersRequest::from(locator));
    comes_back(bytes, |list: &BlockList| v1::BodiesRequest::from(list));
    comes_back(bytes, |header: &SignedHeader| v1::SignedHeader::from(header));
    comes_back(bytes, |header: &SignedHeader| v1::AnnounceRequest { header: Some(header.into()) });
    let headers = v1::LocatedHeadersResponse::decode(bytes).ok();
    if let Some(headers) = headers.and_then(|headers| Vec::<SignedHeader>::try_from(headers).ok()) {
        let pieces = header_pieces(&headers);
        let again: Vec<SignedHeader> = pieces
            .into_iter()
            .flat_map(|piece| Vec::<SignedHeader>::try_from(piece).expect("what was taken"))
            .collect();
        same(&again, &headers);
        for header in &headers {
            let named = Hash32::from_slice(&header.preimage[16..48]).expect("32 bytes");
            if let Ok(read) = Header::from_preimage(&header.preimage, &named) {
                same(&read.preimage(&named)[..], &header.preimage[..]);
            }
        }
    }
}

/// What an answer is put together from is what was asked for, in order, whole, and within its bounds.
fn answer(mut rest: &[u8]) {
    let mut collector = BlockCollector::new(&BlockList(PEER_ASKED.to_vec()));
    while let Some((len, more)) = rest.split_first_chunk::<2>() {
        let Some((message, more)) = more.split_at_checked(usize::from(u16::from_be_bytes(*len))) else { break };
        rest = more;
        let Ok(message) = v1::BodiesResponse::decode(message) else { return };
        if collector.take(message).is_err() {
            // The call ends with the first fault.
            return;
        }
    }
    let Ok(blocks) = collector.finish() else { return };
    assert!((1..=PEER_ASKED.len()).contains(&blocks.len()));
    let mut bytes = 0;
    for ((hash, block), asked) in blocks.iter().zip(&PEER_ASKED) {
        same(hash, asked);
        let Some(block) = block else { continue };
        assert!(block.transactions.len() <= MAX_BLOCK_HASHES && block.siblings.len() <= MAX_SIBLINGS);
        bytes += block.body_bytes();
    }
    assert!(bytes <= MAX_BODIES_BYTES + MAX_BLOCK_BYTES as usize, "{bytes} bytes");
}
