//! The stateless rules that payloads of every type share, so that each application refuses in the same words.

use crate::crypto::PublicKey;
use crate::tx::{Transaction, TxError, Verified};

/// A payload that breaks a rule of its type.
#[must_use]
pub fn fault(
    tx: &Transaction<Verified>,
    field: &'static str,
    expected: impl Into<String>,
    got: impl ToString,
) -> TxError {
    TxError::Payload { tx_type: tx.tx_type(), field, expected: expected.into(), got: got.to_string() }
}

/// One payload for each meaning: `reencoded` is what the application makes of the decoded payload.
///
/// # Errors
/// [`TxError::Payload`] when a default is written, fields repeat or stand in another order, or unknown ones are there.
pub fn require_canonical(tx: &Transaction<Verified>, reencoded: &[u8]) -> Result<(), TxError> {
    if tx.payload() == reencoded {
        return Ok(());
    }
    let expected = format!("its own re-encoding, {} bytes", reencoded.len());
    Err(fault(tx, "payload", expected, format!("{} other bytes", tx.payload().len())))
}

/// A field of fixed length.
///
/// # Errors
/// [`TxError::Payload`] with both lengths.
pub fn require_len(
    tx: &Transaction<Verified>,
    field: &'static str,
    bytes: &[u8],
    expected: usize,
) -> Result<(), TxError> {
    if bytes.len() == expected {
        return Ok(());
    }
    Err(fault(tx, field, format!("{expected} bytes"), format!("{} bytes", bytes.len())))
}

/// A field that holds a key.
///
/// # Errors
/// [`TxError::Payload`] with the rule of keys that fails.
pub fn require_key(tx: &Transaction<Verified>, field: &'static str, bytes: &[u8]) -> Result<PublicKey, TxError> {
    PublicKey::from_slice(bytes).map_err(|error| fault(tx, field, "a public key", error))
}

/// Types whose addressee stays off the chain.
///
/// # Errors
/// [`TxError::Payload`] when one is there.
pub fn require_no_addressee(tx: &Transaction<Verified>) -> Result<(), TxError> {
    match tx.to() {
        None => Ok(()),
        Some(to) => Err(fault(tx, "txto", "none", to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Hash32;
    use crate::crypto::SecretKey;

    #[test]
    fn each_rule_names_expected_and_got() {
        let secret = SecretKey::from_seed([1; 32]);
        let tx = Transaction::sign(&Hash32([2; 32]), &secret, 5, 1, None, b"payload");
        assert_eq!(require_canonical(&tx, b"payload"), Ok(()));
        let error = require_canonical(&tx, b"pay").unwrap_err().to_string();
        assert_eq!(error, "transaction type 1: payload: expected its own re-encoding, 3 bytes, got 7 other bytes");
        assert_eq!(require_len(&tx, "root", &[0; 32], 32), Ok(()));
        let error = require_len(&tx, "root", &[0; 31], 32).unwrap_err().to_string();
        assert_eq!(error, "transaction type 1: root: expected 32 bytes, got 31 bytes");
        assert!(require_key(&tx, "device_key", &[0; 32]).is_err());
        assert_eq!(require_key(&tx, "device_key", secret.public().as_bytes()), Ok(secret.public()));
        assert_eq!(require_no_addressee(&tx), Ok(()));
        let tx = Transaction::sign(&Hash32([2; 32]), &secret, 5, 1, Some(secret.public()), b"payload");
        assert!(require_no_addressee(&tx).is_err());
    }
}
