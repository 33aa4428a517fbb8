//! What an opening and the bytes add to a verified receipt: that this record is the committed one, and whose it is.

use crate::commitment::{commitment, content_digest};
use crate::opening::{BatchPath, Opening, issuer_sign_bytes};
use crate::payload::Payload;
use blockhie_core::merkle::head_from_path;
use blockhie_core::receipt::{Step, Verification};
use blockhie_core::{Genesis, Hash32, PublicKey, Transaction, Verified};

type Check<T> = Result<T, Step>;

fn fail(name: &'static str, detail: impl Into<String>) -> Step {
    Step { name, holds: Some(false), detail: detail.into() }
}

/// Checks an opening, and the record's bytes if given, against the transaction that a receipt proved.
///
/// `verification` is the answer of [`verify_receipt`](blockhie_core::verify_receipt); `genesis` names the members (one
/// of another chain is not looked at). The steps, in order: `opening`, `issuer`, `record`, `authenticity`; after a
/// failed one nothing further is checked. Without the bytes `record` is undecided: nothing then shows that the opening
/// belongs to the transaction.
#[must_use]
pub fn check_record(
    record: Option<&[u8]>,
    opening: &Opening,
    verification: &Verification,
    genesis: Option<&Genesis>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Err(step) = run_checks(&mut steps, record, opening, verification, genesis) {
        steps.push(step);
    }
    steps
}

fn run_checks(
    steps: &mut Vec<Step>,
    record: Option<&[u8]>,
    opening: &Opening,
    verification: &Verification,
    genesis: Option<&Genesis>,
) -> Check<()> {
    let Some(tx) = &verification.transaction else {
        return Err(fail("opening", "expected a transaction to compare with, got a receipt that shows none"));
    };
    let mut note = |name, holds, detail| steps.push(Step { name, holds, detail });
    if opening.chain_id != verification.chain_id {
        let detail = format!("chain_id: expected {}, got {}", verification.chain_id, opening.chain_id);
        return Err(fail("opening", detail));
    }
    note("opening", Some(true), format!("is of chain {}", opening.chain_id));
    let issuer = check_issuer(opening, tx)?;
    note("issuer", Some(true), format!("{issuer} sent the transaction"));
    match record {
        Some(record) => note("record", Some(true), check_bytes(record, opening, &issuer, tx)?),
        None => note("record", None, "no bytes given: not compared with the commitment".into()),
    }
    let genesis = genesis.filter(|genesis| genesis.chain_id() == verification.chain_id);
    note("authenticity", Some(true), check_authenticity(opening, &issuer, verification.block_time_ms, genesis)?);
    Ok(())
}

fn check_issuer(opening: &Opening, tx: &Transaction<Verified>) -> Check<PublicKey> {
    if opening.issuer == Hash32::from(*tx.from()) {
        return Ok(*tx.from());
    }
    Err(fail("issuer", format!("expected the sender {}, got {}", tx.from(), opening.issuer)))
}

/// Recomputes the commitment from the bytes and finds it in the transaction.
fn check_bytes(record: &[u8], opening: &Opening, issuer: &PublicKey, tx: &Transaction<Verified>) -> Check<String> {
    if u64::try_from(record.len()) != Ok(opening.length) {
        return Err(fail("record", format!("length: expected {} bytes, got {}", opening.length, record.len())));
    }
    let addressee = match opening.addressee {
        None => None,
        Some(key) => Some(PublicKey::new(key.0).map_err(|error| fail("record", format!("addressee: {error}")))?),
    };
    let content = content_digest(&opening.salt, &opening.media_type, record);
    let got = commitment(&opening.chain_id, issuer, addressee.as_ref(), &content);
    let place = find_commitment(&got, opening.batch.as_ref(), tx).map_err(|detail| fail("record", detail))?;
    Ok(format!("{} bytes are those of record {got}{place}", record.len()))
}

/// Looks for a record's commitment in a RECORD, or by its path in a RECORDS. The text says where it stands in its batch
/// and is empty for a RECORD. Who sent the transaction is not compared.
///
/// # Errors
/// A text with what was expected and what stands there.
pub fn find_commitment(
    commitment: &Hash32,
    batch: Option<&BatchPath>,
    tx: &Transaction<Verified>,
) -> Result<String, String> {
    let committed = |expected: &[u8], got: &Hash32| {
        if expected == got.0 {
            return Ok(());
        }
        Err(format!("commitment: expected {}, got {got}", hex::encode(expected)))
    };
    match (Payload::read(tx).map_err(|error| error.to_string())?, batch) {
        (Payload::Record(payload), None) => committed(&payload.commitment, commitment).map(|()| String::new()),
        (Payload::Records(payload), Some(batch)) => {
            let root = head_from_path(commitment, batch.index, payload.count, &batch.path)
                .ok_or_else(|| format!("batch path: does not fit record {} of {}", batch.index, payload.count))?;
            committed(&payload.root, &root)?;
            Ok(format!(", {} of {} in its batch", batch.index.saturating_add(1), payload.count))
        }
        (Payload::Record(_), Some(_)) => Err("batch: expected none with a RECORD, got a path".into()),
        (Payload::Records(_), None) => Err("batch: expected a path with a RECORDS, got none".into()),
        _ => Err(format!("transaction type: expected 1 or 7, got {}", tx.tx_type())),
    }
}

/// Whose key the issuer's is. A certificate that is there must hold, also where it is not needed.
fn check_authenticity(
    opening: &Opening,
    issuer: &PublicKey,
    block_time_ms: u64,
    genesis: Option<&Genesis>,
) -> Check<String> {
    let name_of = |key: &PublicKey| {
        genesis.and_then(|genesis| genesis.member_index(key).map(|at| genesis.members[at].name.as_str()))
    };
    let certifier = match &opening.certificate {
        None => None,
        Some(certificate) => {
            let member = PublicKey::new(certificate.member.0)
                .map_err(|error| fail("authenticity", format!("certificate: {error}")))?;
            let (from, to) = (certificate.from_ms, certificate.to_ms);
            let message = issuer_sign_bytes(&opening.chain_id, issuer, from, to);
            if !member.verify(&message, &certificate.signature) {
                let detail = format!("certificate: expected a signature of {member}, got one that does not verify");
                return Err(fail("authenticity", detail));
            }
            if !(from..=to).contains(&block_time_ms) {
                let detail = format!("certificate: expected a block time of {from} to {to} ms, got {block_time_ms}");
                return Err(fail("authenticity", detail));
            }
            Some(member)
        }
    };
    Ok(match (name_of(issuer), certifier) {
        (Some(name), _) => format!("member {name}"),
        (None, Some(member)) => match name_of(&member) {
            Some(name) => format!("certified by member {name}"),
            None => format!("unknown key (certified by {member}, not a known member)"),
        },
        (None, None) => "unknown key".into(),
    })
}
