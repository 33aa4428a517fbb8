use super::*;
use blockhie_core::SecretKey;
use proptest::prelude::*;
use prost::Message;

const CHAIN: Hash32 = Hash32([3; 32]);

fn header(byte: u8) -> SignedHeader {
    SignedHeader { preimage: [byte; 240], signature: Some(Signature([byte; 64])) }
}

fn tx(n: u64, len: usize) -> Transaction<Verified> {
    Transaction::sign(&CHAIN, &SecretKey::from_seed([1; 32]), n, 1, None, &vec![7; len])
}

fn block(count: u64, len: usize) -> WholeBlock<Verified> {
    let transactions = (0..count).map(|n| tx(n, len)).collect();
    WholeBlock { header: header(1), siblings: vec![Hash32([9; 32])], transactions }
}

fn hash(byte: u8) -> Hash32 {
    Hash32([byte; 32])
}

fn asked(count: u8) -> BlockList {
    BlockList((0..count).map(hash).collect())
}

/// What comes out of these messages, over the bytes of the wire.
fn collect(asked: &BlockList, pieces: Vec<v1::BodiesResponse>) -> Result<Blocks, ConversionError> {
    let mut collector = BlockCollector::new(asked);
    for piece in pieces {
        collector.take(v1::BodiesResponse::decode(&piece.encode_to_vec()[..]).unwrap())?;
    }
    collector.finish()
}

fn start(change: impl Fn(&mut Start)) -> v1::BodiesResponse {
    let mut start = Start { block: wire(&hash(0).0), header: Some((&header(1)).into()), ..Start::default() };
    change(&mut start);
    message(Piece::Start(start))
}

fn piece(count: u64) -> v1::BodiesResponse {
    let transaction = (0..count).map(|n| pb::Transaction::from(&tx(n, 1))).collect();
    message(Piece::Transactions(Transactions { transaction }))
}

fn error(asked: &BlockList, pieces: Vec<v1::BodiesResponse>) -> String {
    collect(asked, pieces).unwrap_err().to_string()
}

#[test]
fn blocks_come_back_in_pieces_within_the_message_limit() {
    let large = block(20, 60_000);
    let many = block(2_500, 1);
    let empty = WholeBlock { siblings: Vec::new(), ..block(0, 0) };
    let sent = [Some(large), None, Some(many), Some(empty)];
    let mut pieces = Vec::new();
    for (n, block) in (0..).zip(&sent) {
        pieces.extend(block_pieces(hash(n), block.as_ref()));
    }
    assert!(pieces.iter().all(|piece| piece.encoded_len() < crate::limits::MAX_MESSAGE_BYTES));
    assert!(pieces.len() > 4 + 4 + 2, "the large ones are cut");
    // A last block may be left out.
    let got = collect(&asked(5), pieces).unwrap();
    assert_eq!(got.len(), 4);
    for ((n, sent), (hash_got, got)) in (0..).zip(sent).zip(got) {
        assert_eq!(hash_got, hash(n));
        assert_eq!(got.is_some(), sent.is_some());
        if let (Some(sent), Some(got)) = (sent, got) {
            assert_eq!((sent.header, sent.siblings), (got.header, got.siblings));
            let sent: Vec<_> = sent.transactions.into_iter().map(Transaction::into_unverified).collect();
            assert_eq!(sent, got.transactions);
        }
    }
}

#[test]
fn an_answer_is_held_to_what_was_asked() {
    let one = asked(1);
    assert_eq!(error(&one, vec![]), "bodies.piece: expected at least one block, got the end");
    assert!(error(&one, vec![v1::BodiesResponse::default()]).starts_with("bodies.piece: expected a value"));
    assert_eq!(error(&one, vec![piece(1)]), "bodies.piece: expected a block, got transactions");
    let other = start(|start| start.block = wire(&hash(5).0));
    assert!(error(&one, vec![other]).starts_with(&format!("bodies.start.block: expected {}", hash(0))));
    let again = vec![start(|_| ()), start(|_| ())];
    assert!(error(&one, again).starts_with("bodies.start.block: expected no more blocks than asked for"));
    let two = || start(|start| start.transactions = 2);
    assert!(error(&one, vec![two()]).starts_with("bodies.piece: expected 2 more transactions of"));
    assert!(error(&one, vec![two(), two()]).starts_with("bodies.piece: expected 2 more transactions, got the next"));
    assert_eq!(error(&one, vec![two(), piece(3)]), "bodies.transaction: expected 1 to 2, got 3");
    assert_eq!(error(&one, vec![two(), piece(0)]), "bodies.transaction: expected 1 to 2, got 0");
    assert_eq!(error(&one, vec![two(), piece(2), piece(1)]), "bodies.piece: expected a block, got transactions");
    assert_eq!(collect(&one, vec![two(), piece(1), piece(1)]).unwrap().len(), 1);
    let absent = start(|start| (start.header, start.transactions) = (None, 1));
    assert!(error(&one, vec![absent]).starts_with("bodies.start.header: expected a header, got none"));
    let absent = start(|start| (start.header, start.siblinghash) = (None, vec![wire(&[1; 32])]));
    assert!(error(&one, vec![absent]).starts_with("bodies.start.header: expected a header, got none"));
}

#[test]
fn counts_and_lengths_are_bounded() {
    let one = asked(1);
    let text = error(&one, vec![start(|start| start.transactions = 4_001)]);
    assert_eq!(text, "bodies.start.transactions: expected 0 to 4000, got 4001");
    let text = error(&one, vec![start(|start| start.siblinghash = vec![wire(&[1; 32]); 256])]);
    assert_eq!(text, "bodies.start.siblinghash: expected 0 to 255, got 256");
    assert!(error(&one, vec![start(|start| start.siblinghash = vec![wire(&[1; 31])])]).contains("expected 32 bytes"));
    assert!(error(&one, vec![start(|start| start.block = wire(&[1; 33]))]).contains("expected 32 bytes"));
    for (preimage, signature) in [(239, Some(64)), (241, None), (240, Some(63)), (240, Some(0))] {
        let signature = signature.map(|len| vec![1; len].into());
        let header = v1::SignedHeader { preimage: vec![1; preimage].into(), signature };
        assert!(SignedHeader::try_from(header.clone()).is_err(), "{preimage} {:?}", header.signature);
    }
    assert!(SignedHeader::try_from(v1::AnnounceRequest::default()).is_err());

    let locator = |hashes: usize, limit: u32| {
        let locator = vec![wire(&[1; 32]); hashes];
        Locator::try_from(v1::LocatedHeadersRequest { locator, limit })
    };
    assert!(locator(1, 1).is_ok() && locator(64, 2_048).is_ok());
    for (hashes, limit) in [(0, 1), (65, 1), (1, 0), (1, 2_049)] {
        assert!(locator(hashes, limit).is_err(), "{hashes} {limit}");
    }
    for count in [0, 65] {
        assert!(BlockList::try_from(v1::BodiesRequest { block: vec![wire(&[1; 32]); count] }).is_err(), "{count}");
    }
    for count in [0, 513] {
        let headers = vec![(&header(1)).into(); count];
        assert!(Vec::<SignedHeader>::try_from(v1::LocatedHeadersResponse { headers }).is_err(), "{count}");
    }
    assert_eq!(header_pieces(&vec![header(2); 1_025]).len(), 3);
    assert!(header_pieces(&[]).is_empty());
}

#[test]
fn an_answer_does_not_grow_without_end() {
    // 4,000 bodies of 64 KiB, as one block may claim.
    let mut collector = BlockCollector::new(&asked(1));
    collector.take(start(|start| start.transactions = 4_000)).unwrap();
    let transaction = vec![pb::Transaction::from(&tx(1, 65_000)); 8];
    let taken = (0..).take_while(|_| {
        let transaction = transaction.clone();
        collector.take(message(Piece::Transactions(Transactions { transaction }))).is_ok()
    });
    assert!(taken.count() < 26, "12 MiB and no more");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn headers_and_locators_come_back(
        byte: u8, signed: bool, hashes in proptest::collection::vec(any::<[u8; 32]>(), 1..64), limit in 1u32..2_048,
    ) {
        let header = SignedHeader { signature: signed.then_some(Signature([byte; 64])), ..header(byte) };
        prop_assert_eq!(&SignedHeader::try_from(v1::SignedHeader::from(&header)).unwrap(), &header);
        let list = BlockList(hashes.into_iter().map(Hash32).collect());
        prop_assert_eq!(&BlockList::try_from(v1::BodiesRequest::from(&list)).unwrap(), &list);
        let locator = Locator { hashes: list.0, limit };
        prop_assert_eq!(&Locator::try_from(v1::LocatedHeadersRequest::from(&locator)).unwrap(), &locator);
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = v1::LocatedHeadersRequest::decode(&bytes[..]) {
            let _ = Locator::try_from(message);
        }
        if let Ok(message) = v1::LocatedHeadersResponse::decode(&bytes[..]) {
            let _ = Vec::<SignedHeader>::try_from(message);
        }
        if let Ok(message) = v1::BodiesRequest::decode(&bytes[..]) {
            let _ = BlockList::try_from(message);
        }
        if let Ok(message) = v1::AnnounceRequest::decode(&bytes[..]) {
            let _ = SignedHeader::try_from(message);
        }
        if let Ok(message) = v1::BodiesResponse::decode(&bytes[..]) {
            let mut collector = BlockCollector::new(&asked(3));
            let _ = collector.take(message);
            let _ = collector.finish();
        }
    }

    #[test]
    fn any_damage_is_answered(at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index, drop: prop::sample::Index) {
        let mut pieces = block_pieces(hash(0), Some(&block(3, 9)));
        pieces.extend(block_pieces(hash(1), None));
        pieces.remove(drop.index(pieces.len()));
        let mut collector = BlockCollector::new(&asked(2));
        for piece in pieces {
            let mut bytes = piece.encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(piece) = v1::BodiesResponse::decode(&bytes[..]) {
                let _ = collector.take(piece);
            }
        }
        let _ = collector.finish();
    }
}
