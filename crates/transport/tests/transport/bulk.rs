//! `blockhie.v1.Peer`, there and back, and its bounds.

use crate::fake::{Fake, Node, transaction};
use blockhie_core::{BlockHash, ErrorClass, Hash32, SecretKey, Signature, Transaction, Verified};
use blockhie_transport::limits::{MAX_BODIES_BYTES, MAX_BODIES_STREAMS, MAX_MESSAGE_BYTES};
use blockhie_transport::pb::v1;
use blockhie_transport::pb::v1::peer_client::PeerClient as RawClient;
use blockhie_transport::{
    Answer, BlockList, BlockStream, BulkService, ClientError, Limits, Locator, PeerClient, ServiceError, SignedHeader,
    WholeBlock,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::ready;
use prost::Message;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use tonic::Code;

fn header(height: u8) -> SignedHeader {
    SignedHeader { preimage: [height; 240], signature: (height > 0).then_some(Signature([height; 64])) }
}

/// 80 of 60 KB are 4.8 MB: more than one answer holds.
fn bodies(hash: BlockHash) -> Vec<Transaction<Verified>> {
    let (count, len) = match hash.0[0] {
        0..50 => (3, 100),
        50..60 => (3, 60_000),
        _ => (80, 60_000),
    };
    let sign =
        |n| Transaction::sign(&crate::fake::CHAIN, &SecretKey::from_seed([1; 32]), n, 1, None, &vec![hash.0[0]; len]);
    (0..count).map(sign).collect()
}

impl BulkService for Fake {
    fn headers_after(&self, _: SocketAddr, locator: Locator) -> Answer<'_, Option<Vec<SignedHeader>>> {
        let known = locator.hashes.iter().find(|hash| hash.0[0] < 200).map(|hash| hash.0[0]);
        // More than the limit: the door cuts.
        self.answer(known.map(|known| (0..2_500u32).map(|_| header(known)).collect()))
    }
    fn whole_blocks(&self, _: SocketAddr, blocks: BlockList) -> Answer<'_, BlockStream> {
        let error = self.error.lock().unwrap().clone();
        let block = move |hash: BlockHash| match &error {
            Some(error) => Err(error.clone()),
            None => Ok((hash.0[0] < 200).then(|| WholeBlock {
                header: header(hash.0[0]),
                siblings: vec![Hash32([4; 32])],
                transactions: bodies(hash),
            })),
        };
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready(Ok(futures::stream::iter(blocks.0.into_iter().map(block)).boxed())))
    }
    fn announced(&self, _: SocketAddr, header: SignedHeader) -> Answer<'_, ()> {
        assert_eq!(header.preimage, [9; 240]);
        self.answer(())
    }
}

fn list(bytes: &[u8]) -> BlockList {
    BlockList(bytes.iter().map(|byte| Hash32([*byte; 32])).collect())
}

#[tokio::test]
async fn every_method_of_bulk() {
    let node = Node::start(Limits::default()).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    assert!(client.speaks_bulk(Hash32([1; 32])).await.unwrap());
    let ask = |hashes: &[u8], limit| Locator { hashes: list(hashes).0, limit };
    let headers = client.headers_after(&ask(&[250, 3], 2_048)).await.unwrap().unwrap();
    assert_eq!((headers.len(), &headers[2_047]), (2_048, &header(3)));
    assert_eq!(client.headers_after(&ask(&[0], 1)).await.unwrap().unwrap(), [header(0)]);
    assert_eq!(client.headers_after(&ask(&[250, 251], 1)).await.unwrap(), None);

    let blocks = client.whole_blocks(&list(&[7, 201, 8])).await.unwrap();
    assert_eq!(blocks.iter().map(|(hash, _)| hash.0[0]).collect::<Vec<_>>(), [7, 201, 8]);
    assert!(blocks[1].1.is_none());
    let got = blocks[2].1.as_ref().unwrap();
    let expected: Vec<_> = bodies(Hash32([8; 32])).into_iter().map(Transaction::into_unverified).collect();
    assert_eq!((&got.header, &got.siblings, &got.transactions), (&header(8), &list(&[4]).0, &expected));

    client.announce(&header(9)).await.unwrap();
    assert_eq!(node.fake.refused.lock().unwrap().len(), 0);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_answer_ends_after_a_block_and_the_rest_is_asked_for_again() {
    let node = Node::start(Limits::default()).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    let blocks = client.whole_blocks(&list(&[1, 60, 61, 62])).await.unwrap();
    assert_eq!(blocks.len(), 2, "the second passes the limit, the third is not begun");
    let bytes: usize = blocks.iter().map(|(_, block)| block.as_ref().unwrap().body_bytes()).sum();
    assert!(bytes > MAX_BODIES_BYTES);
    assert_eq!(client.whole_blocks(&list(&[61, 62])).await.unwrap().len(), 1);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_of_the_frozen_contract_alone_is_told_apart() {
    let node = Node::start_frozen(Limits::default()).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    assert!(!client.speaks_bulk(Hash32([1; 32])).await.unwrap());
    assert!(client.transaction_to(&transaction(1)).await.is_ok());
    assert!(client.whole_blocks(&list(&[1])).await.is_err());
    let address = node.address;
    node.stop().await.unwrap();
    drop(client);
    assert!(PeerClient::connect(address).await.is_err());
}

#[tokio::test]
async fn errors_within_a_stream_keep_their_class() {
    let node = Node::start(Limits::default()).await;
    let client = PeerClient::connect(node.address).await.unwrap();
    let message = "disk: expected blocks, got noise";
    *node.fake.error.lock().unwrap() = Some(ServiceError::new(ErrorClass::Internal, message));
    let address = node.address.to_string();
    let expected = ClientError::Status { address, class: ErrorClass::Internal, message: message.into() };
    assert_eq!(client.whole_blocks(&list(&[1])).await.unwrap_err(), expected);
    assert_eq!(client.announce(&header(9)).await.unwrap_err(), expected);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn requests_out_of_bounds_are_refused_and_told_of() {
    let node = Node::start(Limits::default()).await;
    let mut raw = RawClient::new(node.channel().await).max_encoding_message_size(4 << 20);
    let hash = || Bytes::from(vec![1; 32]);
    for (count, limit) in [(0, 1), (65, 1), (1, 0), (1, 2_049)] {
        let request = v1::LocatedHeadersRequest { locator: vec![hash(); count], limit };
        assert_eq!(raw.headers(request).await.unwrap_err().code(), Code::InvalidArgument, "{count} {limit}");
    }
    for block in [vec![], vec![hash(); 65], vec![Bytes::from(vec![1; 31])]] {
        assert_eq!(raw.bodies(v1::BodiesRequest { block }).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let status = raw.announce(v1::AnnounceRequest::default()).await.unwrap_err();
    assert_eq!(status.message(), "announce.header: expected a value, got none (field absent)");
    assert_eq!((node.fake.calls(), node.fake.refused.lock().unwrap().len()), (0, 8));

    let long = v1::AnnounceRequest {
        header: Some(v1::SignedHeader { preimage: vec![1; MAX_MESSAGE_BYTES].into(), signature: None }),
    };
    assert!(long.encoded_len() > MAX_MESSAGE_BYTES);
    assert_eq!(raw.announce(long).await.unwrap_err().code(), Code::OutOfRange);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn readers_that_do_not_read_give_their_places_back() {
    let request_time = std::time::Duration::from_secs(1);
    let node = Node::start(Limits { request_time, ..Limits::default() }).await;
    let block = || vec![Bytes::from(vec![55; 32]); 20];
    let mut held = Vec::new();
    for _ in 0..2 {
        let channel = node.channel().await;
        for _ in 0..MAX_BODIES_STREAMS / 2 {
            let mut raw = RawClient::new(channel.clone());
            held.push(raw.bodies(v1::BodiesRequest { block: block() }).await.unwrap().into_inner());
        }
    }
    let client = PeerClient::connect(node.address).await.unwrap();
    let error = client.whole_blocks(&list(&[1])).await.unwrap_err();
    assert_eq!((error.class(), error.misbehaviour()), (ErrorClass::Exhausted, false), "{error}");
    tokio::time::sleep(request_time + request_time / 2).await;
    assert_eq!(client.whole_blocks(&list(&[1])).await.unwrap().len(), 1);
    // An answer that was cut is no misbehaviour of the node.
    let first = held.swap_remove(0);
    drop(held);
    let left = tokio::time::timeout(request_time, first.map(|piece| piece.is_ok()).collect::<Vec<_>>()).await.unwrap();
    assert!(left.len() < 40 && left.iter().all(|ok| *ok), "{}: it ended early", left.len());
    node.stop().await.unwrap();
}
