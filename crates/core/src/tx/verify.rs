//! What makes a transaction of a stranger a verified one, alone or in a batch.

use super::{Transaction, TxError, Unverified, Verified};
use crate::bytes::{ChainId, Signature};
use crate::crypto::{SignatureCheck, verify_signatures};
use crate::genesis::ChainKind;
use crate::limits::{BODY_PREFIX_BYTES, MAX_BODY_BYTES};
use crate::signatures::Signatures;

impl Transaction<Unverified> {
    /// Everything but the signature, for a caller that saw this very hash verified before: the hash covers all bytes, the
    /// signature's included, so it would be found good again.
    ///
    /// # Errors
    /// [`TxError`]; a transaction that only claims the hash is one of them.
    pub fn verify_again(self, chain: &ChainId, kind: ChainKind) -> Result<Transaction<Verified>, TxError> {
        self.check_form(chain, kind)?;
        Ok(self.restage())
    }

    /// Everything but the signature, which is handed out to be checked, alone or in a batch.
    fn check_form(&self, chain: &ChainId, kind: ChainKind) -> Result<SignatureCheck, TxError> {
        if !(BODY_PREFIX_BYTES..=MAX_BODY_BYTES).contains(&self.body.len()) {
            return Err(TxError::BodyLength { got: self.body.len() });
        }
        if self.body[0] != 1 {
            return Err(TxError::Version { got: self.body[0] });
        }
        if !kind.admits(self.tx_type) {
            return Err(TxError::Type { chain: kind.name(), got: self.tx_type });
        }
        let expected = self.compute_hash(chain);
        if expected != self.hash {
            return Err(TxError::Hash { expected, got: self.hash });
        }
        let signature = Signature::from_slice(&self.body[1..BODY_PREFIX_BYTES]).expect("64 bytes");
        let message = self.signed_bytes(chain, &self.body[BODY_PREFIX_BYTES..]);
        Ok(SignatureCheck { key: self.from, message, signature })
    }

    /// Checks length, version, listed type, hash and signature.
    ///
    /// # Errors
    /// The first that fails.
    pub fn verify(self, chain: &ChainId, kind: ChainKind) -> Result<Transaction<Verified>, TxError> {
        let check = self.check_form(chain, kind)?;
        if !check.key.verify(&check.message, &check.signature) {
            return Err(TxError::Signature { txhash: self.hash, from: self.from });
        }
        Ok(self.restage())
    }
}

/// [`Transaction::verify`] for many at once, signatures in one batch; one answer for each, in order.
#[must_use]
pub fn verify_batch(
    transactions: Vec<Transaction<Unverified>>,
    chain: &ChainId,
    kind: ChainKind,
) -> Vec<Result<Transaction<Verified>, TxError>> {
    judge_batch(transactions, chain, kind, |checks| verify_signatures(&checks))
}

/// The same, without those signatures that were found good before.
#[must_use]
pub fn verify_batch_by(
    transactions: Vec<Transaction<Unverified>>,
    chain: &ChainId,
    kind: ChainKind,
    signatures: &Signatures,
) -> Vec<Result<Transaction<Verified>, TxError>> {
    judge_batch(transactions, chain, kind, |checks| signatures.verify_all(checks))
}

fn judge_batch(
    transactions: Vec<Transaction<Unverified>>,
    chain: &ChainId,
    kind: ChainKind,
    verify: impl FnOnce(Vec<SignatureCheck>) -> Vec<bool>,
) -> Vec<Result<Transaction<Verified>, TxError>> {
    let mut checks = Vec::with_capacity(transactions.len());
    let forms: Vec<Result<(), TxError>> = transactions
        .iter()
        .map(|tx| {
            checks.push(tx.check_form(chain, kind)?);
            Ok(())
        })
        .collect();
    let mut verdicts = verify(checks).into_iter();
    let judge = |(tx, form): (Transaction<Unverified>, Result<(), TxError>)| {
        form?;
        if verdicts.next() == Some(true) {
            Ok(tx.restage())
        } else {
            Err(TxError::Signature { txhash: tx.hash, from: tx.from })
        }
    };
    transactions.into_iter().zip(forms).map(judge).collect()
}
