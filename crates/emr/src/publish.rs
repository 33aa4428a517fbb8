//! From the bytes of records to signed transactions and the openings that go with them.

use crate::commitment::{MediaType, Salt, commitment, content_digest};
use crate::opening::{BatchPath, Certificate, OPENING_FORMAT, Opening};
use crate::payload::{MAX_BATCH, RECORD, RECORDS, Record, Records};
use blockhie_core::merkle::{self, Peaks};
use blockhie_core::{ChainId, ErrorClass, Hash32, PublicKey, SecretKey, Transaction, Verified};
use prost::Message;
use std::convert::Infallible;

/// Longest record in bytes: the vault seals a record in memory, so without it one upload takes what it likes.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// Why nothing was prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A record is too long.
    #[error("record {index}: expected at most {MAX_RECORD_BYTES} bytes, got {got}")]
    TooLong {
        /// 0-based place among the drafts.
        index: usize,
        /// Its length.
        got: usize,
    },
    /// Too few or too many records for one transaction.
    #[error("batch: expected 1 to {MAX_BATCH} records, got {got}")]
    BatchSize {
        /// How many.
        got: usize,
    },
    /// The operating system gave no salt.
    #[error("no randomness from the operating system: {0}")]
    Random(#[from] getrandom::Error),
}

impl PublishError {
    /// What it means to whoever asked.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::TooLong { .. } | Self::BatchSize { .. } => ErrorClass::Invalid,
            Self::Random(_) => ErrorClass::Unavailable,
        }
    }
}

/// Who publishes, and where.
#[derive(Debug, Clone)]
pub struct Issuer<'a> {
    /// The EMR-Chain.
    pub chain: ChainId,
    /// Key that signs the transactions.
    pub secret: &'a SecretKey,
    /// A member's word for that key; goes into each opening.
    pub certificate: Option<Certificate>,
}

/// One record to publish.
#[derive(Clone)]
pub struct Draft<'a> {
    /// Media type of the bytes.
    pub media_type: MediaType,
    /// The record: exactly these bytes are committed and given back.
    pub bytes: &'a [u8],
    /// Whom it is for. Stays in the opening; the chain does not show it.
    pub addressee: Option<PublicKey>,
}

/// A record ready to be stored and submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The record's identity.
    pub commitment: Hash32,
    /// Its opening.
    pub opening: Opening,
    /// The RECORD, or the RECORDS that it shares with its batch.
    pub transaction: Transaction<Verified>,
}

/// Prepares one RECORD. `now_ms` is the time claimed, ms since the epoch.
///
/// # Errors
/// [`PublishError`].
pub fn prepare(issuer: &Issuer<'_>, draft: &Draft<'_>, now_ms: u64) -> Result<Prepared, PublishError> {
    let (commitment, opening) = open(issuer, 0, draft)?;
    let payload = Record { commitment: commitment.0.to_vec() };
    let transaction = sign(issuer, RECORD, &payload, now_ms);
    Ok(Prepared { commitment, opening, transaction })
}

/// Prepares one RECORDS over all drafts, in order; each opening holds its own path. So the cost of a transaction is
/// shared by up to [`MAX_BATCH`] records.
///
/// # Errors
/// [`PublishError`].
pub fn prepare_batch(issuer: &Issuer<'_>, drafts: &[Draft<'_>], now_ms: u64) -> Result<Vec<Prepared>, PublishError> {
    let count = u64::try_from(drafts.len()).unwrap_or(u64::MAX);
    if !(1..=MAX_BATCH).contains(&count) {
        return Err(PublishError::BatchSize { got: drafts.len() });
    }
    let opened =
        drafts.iter().enumerate().map(|(index, draft)| open(issuer, index, draft)).collect::<Result<Vec<_>, _>>()?;
    let log = Log::new(opened.iter().map(|(commitment, _)| commitment));
    let payload = Records { root: log.peaks.head().0.to_vec(), count };
    let transaction = sign(issuer, RECORDS, &payload, now_ms);
    let prepared = (0u64..).zip(opened).map(|(index, (commitment, mut opening))| {
        opening.batch = Some(BatchPath { index, path: log.path(index) });
        Prepared { commitment, opening, transaction: transaction.clone() }
    });
    Ok(prepared.collect())
}

fn open(issuer: &Issuer<'_>, index: usize, draft: &Draft<'_>) -> Result<(Hash32, Opening), PublishError> {
    let got = draft.bytes.len();
    if got > MAX_RECORD_BYTES {
        return Err(PublishError::TooLong { index, got });
    }
    let key = issuer.secret.public();
    let salt = Salt::generate()?;
    let content = content_digest(&salt, &draft.media_type, draft.bytes);
    let opening = Opening {
        format: OPENING_FORMAT.to_owned(),
        chain_id: issuer.chain,
        issuer: key.into(),
        addressee: draft.addressee.map(Hash32::from),
        salt,
        media_type: draft.media_type.clone(),
        length: u64::try_from(got).expect("at most MAX_RECORD_BYTES"),
        batch: None,
        certificate: issuer.certificate.clone(),
    };
    Ok((commitment(&issuer.chain, &key, draft.addressee.as_ref(), &content), opening))
}

fn sign(issuer: &Issuer<'_>, tx_type: i32, payload: &impl Message, now_ms: u64) -> Transaction<Verified> {
    Transaction::sign(&issuer.chain, issuer.secret, now_ms, tx_type, None, &payload.encode_to_vec())
}

/// All whole subtrees over the commitments, so that every path costs log² n and not n.
struct Log {
    peaks: Peaks,
    levels: Vec<Vec<Hash32>>,
}

impl Log {
    fn new<'a>(commitments: impl Iterator<Item = &'a Hash32>) -> Self {
        let mut log = Self { peaks: Peaks::default(), levels: vec![vec![]] };
        for commitment in commitments {
            log.levels[0].push(merkle::leaf(commitment));
            // Nodes of a level become whole from left to right, so each stands at its index.
            for (level, _, hash) in log.peaks.push(commitment) {
                let level = usize::from(level);
                if log.levels.len() == level {
                    log.levels.push(vec![]);
                }
                log.levels[level].push(hash);
            }
        }
        log
    }

    fn path(&self, index: u64) -> Vec<Hash32> {
        let mut at = |level: u8, index: u64| -> Result<Option<Hash32>, Infallible> {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            Ok(self.levels.get(usize::from(level)).and_then(|nodes| nodes.get(index)).copied())
        };
        let Ok(path) = merkle::log_path(index, self.peaks.size(), &mut at);
        path.expect("the index is below the size and every whole subtree is kept")
    }
}
