//! `Transaction` of the frozen contract.

use super::{ConversionError, fixed, key, present, required, wire};
use crate::pb;
use blockhie_core::limits::MAX_BODY_BYTES;
use blockhie_core::{Hash32, Transaction, Unverified, Verified};
use bytes::Bytes;

impl TryFrom<pb::Transaction> for Transaction<Unverified> {
    type Error = ConversionError;
    fn try_from(tx: pb::Transaction) -> Result<Self, ConversionError> {
        let time_ms = u64::from_be_bytes(required("transaction.unixtime", tx.unixtime.as_ref())?);
        let body = present("transaction.body", tx.body)?;
        if body.len() > MAX_BODY_BYTES {
            let expected = format!("at most {MAX_BODY_BYTES} bytes");
            return Err(ConversionError::new("transaction.body", expected, format!("{} bytes", body.len())));
        }
        let hash = Hash32(required("transaction.txhash", tx.txhash.as_ref())?);
        let tx_type = present("transaction.type", tx.r#type)?;
        let from = key("transaction.txfrom", required("transaction.txfrom", tx.txfrom.as_ref())?)?;
        let to = match &tx.txto {
            Some(to) => Some(key("transaction.txto", fixed("transaction.txto", to)?)?),
            None => None,
        };
        // A copy: the slice would keep the whole message alive, and a sender may pad that to 1 MiB.
        Ok(Self::new(time_ms, tx_type, from, to, Bytes::copy_from_slice(&body), hash))
    }
}

impl From<&Transaction<Unverified>> for pb::Transaction {
    fn from(tx: &Transaction<Unverified>) -> Self {
        to_wire(tx)
    }
}

impl From<&Transaction<Verified>> for pb::Transaction {
    fn from(tx: &Transaction<Verified>) -> Self {
        to_wire(tx)
    }
}

fn to_wire<S>(tx: &Transaction<S>) -> pb::Transaction {
    pb::Transaction {
        unixtime: Some(wire(&tx.time_ms().to_be_bytes())),
        body: Some(tx.body().clone()),
        txhash: Some(wire(&tx.hash().0)),
        r#type: Some(tx.tx_type()),
        txfrom: Some(wire(tx.from().as_bytes())),
        txto: tx.to().map(|to| wire(to.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::SecretKey;
    use proptest::prelude::*;
    use prost::Message;

    fn sample() -> pb::Transaction {
        let chain = Hash32([3; 32]);
        let to = Some(SecretKey::from_seed([2; 32]).public());
        (&Transaction::<Verified>::sign(&chain, &SecretKey::from_seed([1; 32]), 5, 4, to, b"payload")).into()
    }

    fn error(change: impl Fn(&mut pb::Transaction)) -> String {
        let mut tx = sample();
        change(&mut tx);
        Transaction::try_from(tx).unwrap_err().to_string()
    }

    fn long(len: usize) -> Option<Bytes> {
        Some(Bytes::from(vec![1; len]))
    }

    #[test]
    fn every_required_field_has_to_be_there() {
        assert!(Transaction::try_from(sample()).is_ok());
        assert!(Transaction::try_from(pb::Transaction::default()).is_err());
        assert!(error(|tx| tx.unixtime = None).starts_with("transaction.unixtime: expected 8 bytes, got none"));
        assert!(error(|tx| tx.body = None).starts_with("transaction.body: expected a value, got none"));
        assert!(error(|tx| tx.txhash = None).starts_with("transaction.txhash: expected 32 bytes, got none"));
        assert!(error(|tx| tx.r#type = None).starts_with("transaction.type: expected a value, got none"));
        assert!(error(|tx| tx.txfrom = None).starts_with("transaction.txfrom: expected 32 bytes, got none"));
        let mut tx = sample();
        tx.txto = None;
        assert_eq!(Transaction::try_from(tx).unwrap().to(), None);
    }

    #[test]
    fn every_length_is_exact() {
        for len in [0, 7, 9] {
            let text = format!("transaction.unixtime: expected 8 bytes, got {len} bytes");
            assert_eq!(error(|tx| tx.unixtime = long(len)), text);
        }
        for len in [0, 31, 33] {
            assert!(error(|tx| tx.txhash = long(len)).starts_with("transaction.txhash: expected 32 bytes, got"));
            assert!(error(|tx| tx.txfrom = long(len)).starts_with("transaction.txfrom: expected 32 bytes, got"));
            assert!(error(|tx| tx.txto = long(len)).starts_with("transaction.txto: expected 32 bytes, got"));
        }
        let text = "transaction.body: expected at most 65536 bytes, got 65537 bytes";
        assert_eq!(error(|tx| tx.body = long(65_537)), text);
        let mut tx = sample();
        tx.body = long(65_536);
        assert!(Transaction::try_from(tx).is_ok());
    }

    #[test]
    fn keys_follow_the_three_rules() {
        let mut identity = [0; 32];
        identity[0] = 1;
        for bad in [identity, [0xff; 32], [0; 32]] {
            assert!(error(|tx| tx.txfrom = Some(wire(&bad))).starts_with("transaction.txfrom: expected "));
            assert!(error(|tx| tx.txto = Some(wire(&bad))).starts_with("transaction.txto: expected "));
        }
    }

    #[test]
    fn a_body_does_not_keep_its_message_alive() {
        let padded = [sample().encode_to_vec(), [0x7a, 0x80, 0x80, 0x20].to_vec(), vec![0; 0x08_0000]].concat();
        let message = Bytes::from(padded);
        let start = message.as_ptr_range();
        let tx = Transaction::try_from(pb::Transaction::decode(message).unwrap()).unwrap();
        assert!(!start.contains(&tx.body().as_ptr()));
    }

    proptest! {
        #[test]
        fn transactions_come_back(
            time: u64, tx_type: i32, to: bool, payload in proptest::collection::vec(any::<u8>(), 0..90)
        ) {
            let to = to.then(|| SecretKey::from_seed([2; 32]).public());
            let secret = SecretKey::from_seed([1; 32]);
            let tx = Transaction::<Verified>::sign(&Hash32([9; 32]), &secret, time, tx_type, to, &payload);
            let bytes = pb::Transaction::from(&tx).encode_to_vec();
            let back = Transaction::try_from(pb::Transaction::decode(&bytes[..]).unwrap()).unwrap();
            prop_assert_eq!(&back, &tx.into_unverified());
            prop_assert_eq!(pb::Transaction::from(&back).encode_to_vec(), bytes);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tx) = pb::Transaction::decode(&bytes[..]) {
                let _ = Transaction::try_from(tx);
            }
        }

        #[test]
        fn any_damage_is_answered(at: prop::sample::Index, bit in 0u8..8, cut: prop::sample::Index) {
            let mut bytes = sample().encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(tx) = pb::Transaction::decode(&bytes[..]) {
                let _ = Transaction::try_from(tx);
            }
        }
    }
}
