//! Messages of the wire and consensus bytes.

use crate::same;
use blockhie_core::block::PREIMAGE_LEN;
use blockhie_core::{
    BlockQuery, ChainKind, Genesis, Hash32, Header, PublicKey, SecretKey, Tip, Transaction, TxStatus, UncheckedBlock,
    Unverified,
};
use blockhie_transport::convert::{HeaderRange, WaitsRange};
use blockhie_transport::pb::{self, v1};
use blockhie_transport::{HeaderRow, Hello, PeerInfo};
use prost::Message;
use std::net::SocketAddr;
use std::sync::LazyLock;

/// Reads a message, converts it, and back: the converted value comes back as the same from its own bytes.
fn round_trip<M, T>(bytes: &[u8])
where
    M: Message + Default + for<'a> From<&'a T>,
    T: TryFrom<M> + PartialEq + std::fmt::Debug,
{
    let Ok(message) = M::decode(bytes) else { return };
    let Ok(value) = T::try_from(message) else { return };
    let written = M::from(&value).encode_to_vec();
    let again = M::decode(&written[..]).expect("a message that was just encoded");
    let Ok(again) = T::try_from(again) else { panic!("what was taken is refused: {value:?}") };
    same(&again, &value);
}

/// As [`round_trip`] for values that are copied into their message.
fn copied<M, T>(bytes: &[u8])
where
    M: Message + Default + From<T>,
    T: TryFrom<M> + PartialEq + std::fmt::Debug + Clone,
{
    let Ok(message) = M::decode(bytes) else { return };
    let Ok(value) = T::try_from(message) else { return };
    let written = M::from(value.clone()).encode_to_vec();
    let again = M::decode(&written[..]).expect("a message that was just encoded");
    let Ok(again) = T::try_from(again) else { panic!("what was taken is refused: {value:?}") };
    same(&again, &value);
}

/// A transaction of the frozen contract, its bytes in receipts, and its checks.
pub fn transaction(bytes: &[u8]) {
    round_trip::<pb::Transaction, Transaction<Unverified>>(bytes);
    let chain = Hash32([3; 32]);
    if let Ok(tx) = pb::Transaction::decode(bytes).map_err(drop).and_then(|tx| Transaction::try_from(tx).map_err(drop))
    {
        // Nobody can sign for the keys of the seeds on this chain.
        assert!(tx.clone().verify(&chain, ChainKind::Emr).is_err() || tx.hash() != Hash32::ZERO);
        same(
            &blockhie_core::verify_batch(vec![tx.clone()], &chain, ChainKind::Emr)[0],
            &tx.verify(&chain, ChainKind::Emr),
        );
    }
    if let Ok(tx) = Transaction::<Unverified>::from_bytes(bytes, &chain) {
        same(&tx.to_bytes()[..], bytes);
        let _ = tx.verify(&chain, ChainKind::Phd);
    }
}

/// A block of the frozen contract.
pub fn block(bytes: &[u8]) {
    round_trip::<pb::Block, UncheckedBlock>(bytes);
    let block = pb::Block::decode(bytes).map_err(drop).and_then(|block| UncheckedBlock::try_from(block).map_err(drop));
    if let Some(header) = block.ok().and_then(|block| block.header(Hash32::ZERO).ok()) {
        let chain = Hash32([3; 32]);
        same(&Header::from_preimage(&header.preimage(&chain), &chain).expect("its own preimage"), &header);
    }
}

/// Every other message with a conversion.
pub fn messages(bytes: &[u8]) {
    copied::<pb::Message, Hash32>(bytes);
    copied::<pb::Message, BlockQuery>(bytes);
    copied::<pb::Message, Hello>(bytes);
    if let Ok(hello) = Hello::from_bytes(bytes) {
        same(&hello.to_bytes()[..], bytes);
    }
    if let Some(nodes) = pb::Node::decode(bytes).ok().and_then(|node| Vec::<SocketAddr>::try_from(node).ok()) {
        let again = Vec::<SocketAddr>::try_from(pb::Node::from(&nodes[..])).expect("what was taken");
        same(&again, &nodes);
    }
    copied::<v1::HeadersRequest, HeaderRange>(bytes);
    round_trip::<v1::HeaderRow, HeaderRow>(bytes);
    let _ = v1::HeadersResponse::decode(bytes).map(Vec::<HeaderRow>::try_from);
    copied::<v1::BlockRequest, BlockQuery>(bytes);
    round_trip::<v1::TipResponse, Tip>(bytes);
    copied::<v1::StatusResponse, TxStatus>(bytes);
    copied::<v1::WaitsRequest, WaitsRange>(bytes);
    let _ = v1::WaitsResponse::decode(bytes).map(blockhie_core::query::waits::Waits::try_from);
    round_trip::<v1::PeerRow, PeerInfo>(bytes);
    let _ = v1::PeersResponse::decode(bytes).map(Vec::<PeerInfo>::try_from);
}

/// The 240 bytes of a header.
pub fn header(bytes: &[u8]) {
    // The chain it names, so that more than one in 2^256 gets further.
    let named = bytes.get(16..48).and_then(|chain| Hash32::from_slice(chain).ok()).unwrap_or(Hash32::ZERO);
    if let Ok(header) = Header::from_preimage(bytes, &named) {
        assert_eq!(bytes.len(), PREIMAGE_LEN);
        same(&header.preimage(&named)[..], bytes);
        let other = Hash32([named.0[0] ^ 1; 32]);
        assert!(other == named || Header::from_preimage(bytes, &other).is_err());
        let _ = header.target.work();
    }
}

/// The canonical bytes of a genesis, and from there to its editor form and back.
pub fn genesis(bytes: &[u8]) {
    if let Ok(genesis) = Genesis::from_bytes(bytes) {
        same(&genesis.to_bytes()[..], bytes);
        same(&Genesis::from_toml(&genesis.to_toml()).expect("its own editor form"), &genesis);
    }
}

static SENDER: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([1; 32]));
static ADDRESSEE: LazyLock<PublicKey> = LazyLock::new(|| SecretKey::from_seed([2; 32]).public());

/// A payload: the first byte is the type and, in its top bit, whether there is an addressee.
pub fn payload(bytes: &[u8]) {
    let Some((first, payload)) = bytes.split_first() else { return };
    let chain = Hash32([3; 32]);
    let to = (first & 0x80 != 0).then(|| *ADDRESSEE);
    let tx = Transaction::sign(&chain, &SENDER, 5, i32::from(first & 0x7f), to, payload);
    let _ = blockhie_emr::Payload::read(&tx);
    let _ = blockhie_phd::Payload::read(&tx, &chain);
    let open =
        Genesis::with_defaults(ChainKind::Emr, "open", Hash32::ZERO, 0, blockhie_core::CompactTarget::MOST, Vec::new());
    let _ = blockhie_coupling::Payload::read(&tx, &open);
}
