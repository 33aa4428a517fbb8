//! Payloads of types 16 to 18 and their stateless rules (protocol page, "Transaction" and "PHD-Chain").

use blockhie_core::app::rules::{fault, require_canonical, require_key, require_len};
use blockhie_core::{ChainId, PublicKey, Signature, Transaction, TxError, Verified};
use prost::Message;

/// Type number of [`Device`].
pub const DEVICE: i32 = 16;
/// Type number of [`Readings`].
pub const READINGS: i32 = 17;
/// Type number of [`Retire`].
pub const RETIRE: i32 = 18;
/// Shortest inline seal: nonce (24), salt (32) and tag (16) around no data.
pub const MIN_SEALED_BYTES: usize = 72;

/// Enrols a device; the sender is its owner.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Device {
    /// The device's key, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_key: Vec<u8>,
    /// The device's signature over [`device_sign_bytes`], 64 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub device_signature: Vec<u8>,
}

/// A sealed segment of readings; the sender is the device.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Readings {
    /// Sequence number of the first reading.
    #[prost(uint64, tag = "1")]
    pub first_seq: u64,
    /// Readings in the segment, at least 1.
    #[prost(uint32, tag = "2")]
    pub count: u32,
    /// Digest of the segment, 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub content: Vec<u8>,
    /// The sealed bytes inline, at least [`MIN_SEALED_BYTES`]; exactly one of `sealed` and `blob` is not empty.
    #[prost(bytes = "vec", tag = "4")]
    pub sealed: Vec<u8>,
    /// BLAKE3 of the sealed bytes, 32 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub blob: Vec<u8>,
    /// Length of the sealed bytes in the blob store; with `blob` only, then at least 1.
    #[prost(uint64, tag = "6")]
    pub sealed_len: u64,
}

/// Ends a device's enrolment; the sender is its owner.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Retire {
    /// The device's key, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_key: Vec<u8>,
}

/// What a device signs to be enrolled by `owner` on `chain`.
#[must_use]
pub fn device_sign_bytes(chain: &ChainId, owner: &PublicKey, device: &PublicKey) -> Vec<u8> {
    [b"blockhie/device/v1\0", chain.as_bytes().as_slice(), owner.as_bytes(), device.as_bytes()].concat()
}

/// A payload whose stateless rules hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Type 16.
    Device(Device),
    /// Type 17.
    Readings(Readings),
    /// Type 18.
    Retire(Retire),
}

impl Payload {
    /// Reads the payload of a transaction on `chain` and checks every stateless rule of its type.
    ///
    /// # Errors
    /// [`TxError::Payload`] with the rule, [`TxError::Type`] for types that are not of this chain.
    pub fn read(tx: &Transaction<Verified>, chain: &ChainId) -> Result<Self, TxError> {
        match tx.tx_type() {
            DEVICE => read_device(tx, chain).map(Self::Device),
            READINGS => read_readings(tx).map(Self::Readings),
            RETIRE => {
                let retire: Retire = decode(tx)?;
                require_key(tx, "device_key", &retire.device_key)?;
                Ok(Self::Retire(retire))
            }
            got => Err(TxError::Type { chain: "phd", got }),
        }
    }
}

fn decode<M: Message + Default>(tx: &Transaction<Verified>) -> Result<M, TxError> {
    let message = M::decode(tx.payload()).map_err(|error| fault(tx, "payload", "a message of its type", error))?;
    require_canonical(tx, &message.encode_to_vec())?;
    Ok(message)
}

fn read_device(tx: &Transaction<Verified>, chain: &ChainId) -> Result<Device, TxError> {
    let device: Device = decode(tx)?;
    let key = require_key(tx, "device_key", &device.device_key)?;
    require_len(tx, "device_signature", &device.device_signature, Signature::LEN)?;
    let signature = Signature::from_slice(&device.device_signature).expect("the length was checked");
    if !key.verify(&device_sign_bytes(chain, tx.from(), &key), &signature) {
        let expected = "the device's signature for this owner and chain";
        return Err(fault(tx, "device_signature", expected, "one that does not verify"));
    }
    Ok(device)
}

fn read_readings(tx: &Transaction<Verified>) -> Result<Readings, TxError> {
    let readings: Readings = decode(tx)?;
    if readings.count == 0 {
        return Err(fault(tx, "count", "at least 1", 0));
    }
    if readings.first_seq.checked_add(u64::from(readings.count)).is_none() {
        let got = format!("{} + {}", readings.first_seq, readings.count);
        return Err(fault(tx, "first_seq + count", "at most 2^64-1", got));
    }
    require_len(tx, "content", &readings.content, 32)?;
    match (readings.sealed.len(), readings.blob.len()) {
        (0, 0) => Err(fault(tx, "sealed, blob", "exactly one of them", "neither")),
        (0, _) => {
            require_len(tx, "blob", &readings.blob, 32)?;
            if readings.sealed_len == 0 {
                return Err(fault(tx, "sealed_len", "at least 1 with blob", 0));
            }
            Ok(readings)
        }
        (sealed, 0) => {
            if sealed < MIN_SEALED_BYTES {
                return Err(fault(tx, "sealed", format!("at least {MIN_SEALED_BYTES} bytes"), sealed));
            }
            if readings.sealed_len != 0 {
                return Err(fault(tx, "sealed_len", "none with sealed", readings.sealed_len));
            }
            Ok(readings)
        }
        _ => Err(fault(tx, "sealed, blob", "exactly one of them", "both")),
    }
}
