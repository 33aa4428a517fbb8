use super::*;
use blockhie_core::SecretKey;
use bytes::Bytes;
use proptest::prelude::*;

fn row(transactions: usize) -> HeaderRow {
    HeaderRow {
        hash: Hash32([1; 32]),
        preimage: [2; 240],
        signature: Some(Signature([3; 64])),
        txhashes: vec![Hash32([4; 32]); transactions],
    }
}

fn tip() -> Tip {
    Tip {
        height: 9,
        hash: Hash32([1; 32]),
        time_ms: 2,
        work: U256::MAX - 5,
        last_seen: vec![(SecretKey::from_seed([1; 32]).public(), 7), (SecretKey::from_seed([2; 32]).public(), 9)],
        final_height: Some(0),
        pending: 3,
        alarm: None,
        pruned_below: 7,
    }
}

#[test]
fn header_ranges_are_bounded() {
    for limit in [0, MAX_HEADERS + 1, u32::MAX] {
        let error = HeaderRange::try_from(v1::HeadersRequest { from_height: 1, limit }).unwrap_err();
        assert_eq!(error.to_string(), format!("headers.limit: expected 1 to 128, got {limit}"));
    }
    let range = HeaderRange { from_height: 5, limit: MAX_HEADERS };
    assert_eq!(HeaderRange::try_from(v1::HeadersRequest::from(range)).unwrap(), range);
}

#[test]
fn header_rows_fill_an_answer_and_no_more() {
    let rows = vec![row(4_000); 128];
    let answer = headers_within(&rows, 128);
    assert_eq!(answer.rows.len(), 3, "136 KB each");
    assert!(answer.encoded_len() <= MAX_HEADERS_BYTES);
    assert_eq!(headers_within(&rows, 2).rows.len(), 2);
    assert_eq!(headers_within(&vec![row(60); 128], 128).rows.len(), 128);
    assert_eq!(headers_within(&[], 128).rows.len(), 0);
}

#[test]
fn every_length_of_a_header_row_is_exact() {
    let good = v1::HeaderRow::from(&row(2));
    assert_eq!(HeaderRow::try_from(good.clone()).unwrap(), row(2));
    let short = || Bytes::from_static(b"short");
    assert!(HeaderRow::try_from(v1::HeaderRow { hash: short(), ..good.clone() }).is_err());
    assert!(HeaderRow::try_from(v1::HeaderRow { preimage: short(), ..good.clone() }).is_err());
    assert!(HeaderRow::try_from(v1::HeaderRow { signature: Some(short()), ..good.clone() }).is_err());
    assert!(HeaderRow::try_from(v1::HeaderRow { txhash: vec![short()], ..good.clone() }).is_err());
    assert_eq!(HeaderRow::try_from(v1::HeaderRow { signature: None, ..good }).unwrap().signature, None);
}

#[test]
fn tips_come_back_and_their_lengths_are_exact() {
    let good = v1::TipResponse::from(&tip());
    assert_eq!(Tip::try_from(good.clone()).unwrap(), tip());
    for len in [0, 31, 33] {
        let bytes = Bytes::from(vec![0; len]);
        assert!(Tip::try_from(v1::TipResponse { hash: bytes.clone(), ..good.clone() }).is_err());
        assert!(Tip::try_from(v1::TipResponse { work: bytes.clone(), ..good.clone() }).is_err());
        let last_seen = vec![v1::LastSeen { member: bytes, height: 1 }];
        assert!(Tip::try_from(v1::TipResponse { last_seen, ..good.clone() }).is_err());
    }
    let no_key = vec![v1::LastSeen { member: Bytes::from(vec![0; 32]), height: 1 }];
    assert!(Tip::try_from(v1::TipResponse { last_seen: no_key, ..good }).is_err());
}

#[test]
fn states_come_back() {
    let committed = TxStatus::Committed {
        height: 1,
        block: Hash32([2; 32]),
        time_ms: 3,
        index: 4,
        void: Some("commitment: known".into()),
        members: 5,
        quorum: 6,
        is_final: true,
        via_sibling: Some(Hash32([7; 32])),
    };
    let own = TxStatus::Committed {
        height: 1,
        block: Hash32([2; 32]),
        time_ms: 3,
        index: 4,
        void: None,
        members: 5,
        quorum: 6,
        is_final: false,
        via_sibling: None,
    };
    for status in [TxStatus::Unknown, TxStatus::Pending { first_seen_ms: 8 }, committed, own] {
        let bytes = v1::StatusResponse::from(status.clone()).encode_to_vec();
        assert_eq!(TxStatus::try_from(v1::StatusResponse::decode(&bytes[..]).unwrap()).unwrap(), status);
    }
    assert!(TxStatus::try_from(v1::StatusResponse::default()).is_err());
    let no_block = v1::status_response::State::Committed(v1::status_response::Committed::default());
    assert!(TxStatus::try_from(v1::StatusResponse { state: Some(no_block) }).is_err());
}

#[test]
fn queries_come_back() {
    for query in [BlockQuery::Tip, BlockQuery::Height(0), BlockQuery::Height(7), BlockQuery::Hash(Hash32([1; 32]))] {
        let bytes = v1::BlockRequest::from(query).encode_to_vec();
        assert_eq!(BlockQuery::try_from(v1::BlockRequest::decode(&bytes[..]).unwrap()).unwrap(), query);
    }
    assert!(BlockQuery::try_from(v1::BlockRequest::default()).is_err());
}

#[test]
fn hashes_are_32_bytes() {
    let hash = Hash32([5; 32]);
    assert_eq!(Hash32::try_from(v1::StatusRequest::from(hash)).unwrap(), hash);
    for len in [0, 31, 33] {
        let txhash = Bytes::from(vec![0; len]);
        assert!(Hash32::try_from(v1::SubmitResponse { txhash: txhash.clone() }).is_err());
        assert!(Hash32::try_from(v1::StatusRequest { txhash: txhash.clone() }).is_err());
        assert!(Hash32::try_from(v1::TransactionRequest { txhash: txhash.clone() }).is_err());
        assert!(Hash32::try_from(v1::ReceiptRequest { txhash }).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = v1::TipResponse::decode(&bytes[..]).map(Tip::try_from);
        let _ = v1::StatusResponse::decode(&bytes[..]).map(TxStatus::try_from);
        let _ = v1::HeadersResponse::decode(&bytes[..]).map(Vec::<HeaderRow>::try_from);
        let _ = v1::HeadersRequest::decode(&bytes[..]).map(HeaderRange::try_from);
        let _ = v1::BlockRequest::decode(&bytes[..]).map(BlockQuery::try_from);
        let _ = v1::StatusRequest::decode(&bytes[..]).map(Hash32::try_from);
    }

    #[test]
    fn any_damage_is_answered(at: prop::sample::Index, bit in 0u8..8) {
        let mut bytes = v1::TipResponse::from(&tip()).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = v1::TipResponse::decode(&bytes[..]).map(Tip::try_from);
    }
}
