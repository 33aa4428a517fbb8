//! Payloads of types 32 and 33 and their stateless rules (protocol page, "Transaction" and "Coupling").

use blockhie_core::app::rules::{fault, require_canonical, require_len, require_no_addressee};
use blockhie_core::{Genesis, Transaction, TxError, Verified};
use prost::Message;

/// Type number of [`Link`].
pub const LINK: i32 = 32;
/// Type number of [`Anchor`].
pub const ANCHOR: i32 = 33;

/// One half of a link between a record and a device.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Link {
    /// The link's value on this chain, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub commitment: Vec<u8>,
}

/// A member's dated statement that it saw this tip of another chain.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Anchor {
    /// The other chain, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub chain_id: Vec<u8>,
    /// Height of the tip seen.
    #[prost(uint64, tag = "2")]
    pub height: u64,
    /// Hash of the tip seen, 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub blockhash: Vec<u8>,
    /// Work of the chain up to it, 32 bytes big-endian.
    #[prost(bytes = "vec", tag = "4")]
    pub work: Vec<u8>,
}

/// A payload whose stateless rules hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Type 32.
    Link(Link),
    /// Type 33.
    Anchor(Anchor),
}

impl Payload {
    /// Reads the payload of a transaction on the chain of `genesis` and checks every stateless rule of its type.
    ///
    /// # Errors
    /// [`TxError::Payload`] with the rule, [`TxError::Type`] for other types.
    pub fn read(tx: &Transaction<Verified>, genesis: &Genesis) -> Result<Self, TxError> {
        match tx.tx_type() {
            LINK => read_link(tx).map(Self::Link),
            ANCHOR => {
                let anchor: Anchor = decode(tx)?;
                require_len(tx, "chain_id", &anchor.chain_id, 32)?;
                require_len(tx, "blockhash", &anchor.blockhash, 32)?;
                require_len(tx, "work", &anchor.work, 32)?;
                if !genesis.is_open() && genesis.member_index(tx.from()).is_none() {
                    return Err(fault(tx, "txfrom", "a member of this chain", tx.from()));
                }
                Ok(Self::Anchor(anchor))
            }
            got => Err(TxError::Type { chain: genesis.kind.name(), got }),
        }
    }
}

/// The rules of a LINK; the caller has looked at the type.
pub(crate) fn read_link(tx: &Transaction<Verified>) -> Result<Link, TxError> {
    require_no_addressee(tx)?;
    let link: Link = decode(tx)?;
    require_len(tx, "commitment", &link.commitment, 32)?;
    Ok(link)
}

fn decode<M: Message + Default>(tx: &Transaction<Verified>) -> Result<M, TxError> {
    let message = M::decode(tx.payload()).map_err(|error| fault(tx, "payload", "a message of its type", error))?;
    require_canonical(tx, &message.encode_to_vec())?;
    Ok(message)
}
