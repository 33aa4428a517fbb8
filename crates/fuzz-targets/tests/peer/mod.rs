//! Seeds of the target `peer`: messages of `blockhie.v1.Peer`, and whole answers of several, each after its length.

use super::{block, bytes, hash, list};
use blockhie_core::{ChainKind, Genesis, Hash32, SecretKey, Transaction};
use blockhie_fuzz_targets::PEER_ASKED;
use blockhie_transport::convert::{block_pieces, header_pieces};
use blockhie_transport::pb::v1;
use blockhie_transport::{BlockList, Locator, SignedHeader, WholeBlock};
use prost::Message;
use serde_json::Value;

/// 0 and then the messages, each after its length in two bytes.
fn stream(pieces: &[v1::BodiesResponse]) -> Vec<u8> {
    let framed = pieces.iter().map(|piece| {
        let bytes = piece.encode_to_vec();
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
    });
    [vec![0], framed.collect::<Vec<_>>().concat()].concat()
}

fn single(message: &impl Message) -> Vec<u8> {
    [vec![1], message.encode_to_vec()].concat()
}

pub(crate) fn seeds(vectors: &Value, add: &mut dyn FnMut(&'static str, &str, Vec<u8>)) {
    let rows = list(&vectors["chain"]["blocks"]);
    let headers: Vec<SignedHeader> = rows
        .iter()
        .map(|row| SignedHeader {
            preimage: bytes(&row["preimage"]).try_into().unwrap(),
            signature: block(row).signature,
        })
        .collect();
    let hashes: Vec<Hash32> = rows.iter().map(|row| hash(&row["blockhash"])).collect();
    for (i, header) in headers.iter().enumerate() {
        add("peer", &format!("announce-{i}"), single(&v1::AnnounceRequest { header: Some(header.into()) }));
    }
    for (i, piece) in header_pieces(&headers).iter().enumerate() {
        add("peer", &format!("headers-{i}"), single(piece));
    }
    let locator = Locator { hashes: hashes.clone(), limit: 512 };
    add("peer", "locator", single(&v1::LocatedHeadersRequest::from(&locator)));
    add("peer", "bodies", single(&v1::BodiesRequest::from(&BlockList(hashes))));
    let chain = Genesis::from_bytes(&bytes(&vectors["chain"]["genesis"])).unwrap().chain_id();
    let secret = SecretKey::from_seed([1; 32]);
    let transactions: Vec<_> = (0..3)
        .map(|n| Transaction::sign(&chain, &secret, n, 1, None, &[7; 20]).into_unverified())
        .map(|tx| tx.verify(&chain, ChainKind::Emr).unwrap())
        .collect();
    let whole = WholeBlock { header: headers[1].clone(), siblings: vec![Hash32([9; 32])], transactions };
    let empty = WholeBlock { siblings: vec![], transactions: vec![], ..whole.clone() };
    let [a, b, c] = PEER_ASKED;
    let answer = [block_pieces(a, Some(&whole)), block_pieces(b, None), block_pieces(c, Some(&empty))].concat();
    add("peer", "answer", stream(&answer));
    add("peer", "answer-short", stream(&answer[..2]));
    add("peer", "answer-cut", stream(&answer[..1]));
    add("peer", "answer-wrong-order", stream(&[block_pieces(b, None), block_pieces(a, None)].concat()));
}
