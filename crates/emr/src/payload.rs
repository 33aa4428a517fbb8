//! Payloads of types 1 to 7 and their stateless rules (protocol page, "Transaction").

use blockhie_core::app::rules::{fault, require_canonical, require_len, require_no_addressee};
use blockhie_core::{Transaction, TxError, Verified};
use prost::Message;

/// Type number of [`Record`].
pub const RECORD: i32 = 1;
/// Type number of [`Amend`].
pub const AMEND: i32 = 2;
/// Type number of [`Retract`].
pub const RETRACT: i32 = 3;
/// Type number of [`Grant`].
pub const GRANT: i32 = 4;
/// Type number of [`Revoke`].
pub const REVOKE: i32 = 5;
/// Type number of [`Access`].
pub const ACCESS: i32 = 6;
/// Type number of [`Records`].
pub const RECORDS: i32 = 7;

/// Most records that one RECORDS commits (protocol page): paths stay at 20 hashes.
pub const MAX_BATCH: u64 = 1 << 20;

/// Commits one record of the sender.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Record {
    /// The record's commitment, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub commitment: Vec<u8>,
}

/// Commits many records of the sender at once.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Records {
    /// RFC 9162 head over their commitments, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub root: Vec<u8>,
    /// How many, 1 to [`MAX_BATCH`].
    #[prost(uint64, tag = "2")]
    pub count: u64,
}

/// Says that one record of the sender follows another.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Amend {
    /// The successor's commitment, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub commitment: Vec<u8>,
    /// The predecessor's commitment, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub previous: Vec<u8>,
}

/// Takes a record of the sender back.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Retract {
    /// The record's commitment, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub record: Vec<u8>,
    /// A [`RetractReason`], 1 to 4.
    #[prost(enumeration = "RetractReason", tag = "2")]
    pub reason: i32,
}

/// Why a record is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum RetractReason {
    /// Not a reason; never valid.
    Unspecified = 0,
    /// It should not have been written.
    EnteredInError = 1,
    /// It is of another patient.
    WrongPatient = 2,
    /// Another record stands in its place.
    Superseded = 3,
    /// A law or a court asks for it.
    Legal = 4,
}

/// Commits a consent.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Grant {
    /// Salted commitment of the consent document, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub consent: Vec<u8>,
    /// When it ends, ms since the epoch; 0: not by itself.
    #[prost(uint64, tag = "2")]
    pub expires_ms: u64,
}

/// Takes a GRANT of the same sender back.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Revoke {
    /// The GRANT's txhash, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub grant: Vec<u8>,
}

/// Commits a list of disclosures.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Access {
    /// Head over the list, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub root: Vec<u8>,
    /// Entries in the list.
    #[prost(uint64, tag = "2")]
    pub count: u64,
    /// Time of the first, ms since the epoch.
    #[prost(uint64, tag = "3")]
    pub from_ms: u64,
    /// Time of the last, ms since the epoch.
    #[prost(uint64, tag = "4")]
    pub to_ms: u64,
}

/// A payload whose stateless rules hold: every 32-byte field has 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Type 1.
    Record(Record),
    /// Type 2.
    Amend(Amend),
    /// Type 3.
    Retract(Retract),
    /// Type 4.
    Grant(Grant),
    /// Type 5.
    Revoke(Revoke),
    /// Type 6.
    Access(Access),
    /// Type 7.
    Records(Records),
}

impl Payload {
    /// Reads the payload of a transaction and checks every stateless rule of its type.
    ///
    /// # Errors
    /// [`TxError::Payload`] with the rule, [`TxError::Type`] for types that are not of this chain.
    pub fn read(tx: &Transaction<Verified>) -> Result<Self, TxError> {
        let hash = |field, bytes: &[u8]| require_len(tx, field, bytes, 32);
        match tx.tx_type() {
            RECORD => {
                require_no_addressee(tx)?;
                let record: Record = decode(tx)?;
                hash("commitment", &record.commitment)?;
                Ok(Self::Record(record))
            }
            AMEND => {
                require_no_addressee(tx)?;
                let amend: Amend = decode(tx)?;
                hash("commitment", &amend.commitment)?;
                hash("previous", &amend.previous)?;
                Ok(Self::Amend(amend))
            }
            RETRACT => {
                require_no_addressee(tx)?;
                let retract: Retract = decode(tx)?;
                hash("record", &retract.record)?;
                if !(1..=4).contains(&retract.reason) {
                    return Err(fault(tx, "reason", "1 to 4", retract.reason));
                }
                Ok(Self::Retract(retract))
            }
            GRANT => {
                let grant: Grant = decode(tx)?;
                hash("consent", &grant.consent)?;
                Ok(Self::Grant(grant))
            }
            REVOKE => {
                let revoke: Revoke = decode(tx)?;
                hash("grant", &revoke.grant)?;
                Ok(Self::Revoke(revoke))
            }
            ACCESS => {
                let access: Access = decode(tx)?;
                hash("root", &access.root)?;
                Ok(Self::Access(access))
            }
            RECORDS => {
                require_no_addressee(tx)?;
                let records: Records = decode(tx)?;
                hash("root", &records.root)?;
                if !(1..=MAX_BATCH).contains(&records.count) {
                    return Err(fault(tx, "count", format!("1 to {MAX_BATCH}"), records.count));
                }
                Ok(Self::Records(records))
            }
            got => Err(TxError::Type { chain: "emr", got }),
        }
    }
}

fn decode<M: Message + Default>(tx: &Transaction<Verified>) -> Result<M, TxError> {
    let message = M::decode(tx.payload()).map_err(|error| fault(tx, "payload", "a message of its type", error))?;
    require_canonical(tx, &message.encode_to_vec())?;
    Ok(message)
}
