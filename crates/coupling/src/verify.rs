//! What a link's opening adds to four verified receipts.

use crate::link::{LinkTerms, link_commitment};
use crate::opening::LinkOpening;
use crate::payload::{LINK, read_link};
use blockhie_core::receipt::{Step, Verdict, Verification};
use blockhie_core::{ChainId, Hash32, PublicKey, Transaction, Verified};
use blockhie_emr::{commitment, find_commitment};
use blockhie_phd::Payload as PhdPayload;

type Check<T> = Result<T, Step>;

fn fail(name: &'static str, detail: impl Into<String>) -> Step {
    Step { name, holds: Some(false), detail: detail.into() }
}

/// The answers of [`verify_receipt`](blockhie_core::verify_receipt) on the four receipts of a link.
#[derive(Debug, Clone, Copy)]
pub struct LinkReceipts<'a> {
    /// Of the RECORD or RECORDS.
    pub record: &'a Verification,
    /// Of the DEVICE.
    pub device: &'a Verification,
    /// Of the LINK on the EMR-Chain.
    pub link_emr: &'a Verification,
    /// Of the LINK on the PHD-Chain.
    pub link_phd: &'a Verification,
}

impl<'a> LinkReceipts<'a> {
    /// The four with the names of their steps and files, in the order of the protocol page.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &'a Verification); 4] {
        let Self { record, device, link_emr, link_phd } = *self;
        [("record", record), ("device", device), ("link-emr", link_emr), ("link-phd", link_phd)]
    }
}

/// Checks a link's opening against the transactions that four receipts proved.
///
/// `audience` is the key of who asks, `now_ms` the verifier's clock (ms since the epoch). The steps, in order: `chains`,
/// `expiry`, `audience`, `record`, `device`, `link-emr`, `link-phd`, `owner signature`, `holder signature`; after a
/// failed one nothing further is checked. Without a key `audience` is undecided, and that alone does not refute. Whether
/// the four are final is in their own verdicts; a refuted one fails `chains`.
///
/// All holding, the device's owner and the record's holder (its addressee, or its issuer if it has none) say to that
/// audience that the two belong to one person, and both chains hold their word. Not shown: that they are right, that the
/// device is still enrolled, that the record is not amended or retracted.
#[must_use]
pub fn check_link(
    opening: &LinkOpening,
    receipts: &LinkReceipts<'_>,
    audience: Option<&PublicKey>,
    now_ms: u64,
) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Err(step) = run_checks(&mut steps, opening, receipts, audience, now_ms) {
        steps.push(step);
    }
    steps
}

fn run_checks(
    steps: &mut Vec<Step>,
    opening: &LinkOpening,
    receipts: &LinkReceipts<'_>,
    audience: Option<&PublicKey>,
    now_ms: u64,
) -> Check<()> {
    let mut note = |name, holds, detail| steps.push(Step { name, holds, detail });
    let [record_tx, device_tx, emr_tx, phd_tx] = check_chains(opening, receipts)?;
    note("chains", Some(true), format!("record on {}, device on {}", opening.emr, opening.phd));
    if now_ms > opening.expiry_ms {
        return Err(fail("expiry", format!("expected at most {} ms, got {now_ms}", opening.expiry_ms)));
    }
    note("expiry", Some(true), format!("holds until {} ms since the epoch, now {now_ms}", opening.expiry_ms));
    let told = key("audience", opening.audience)?;
    match audience {
        None => note("audience", None, format!("told {told}; no key given to compare")),
        Some(own) if *own == told => note("audience", Some(true), format!("told {told}")),
        Some(own) => return Err(fail("audience", format!("expected {own}, got {told}"))),
    }
    let issuer = key("record", opening.issuer)?;
    let addressee = opening.addressee.map(|bytes| key("record", bytes)).transpose()?;
    let record = commitment(&opening.emr, &issuer, addressee.as_ref(), &opening.content);
    if issuer != *record_tx.from() {
        return Err(fail("record", format!("issuer: expected the sender {}, got {issuer}", record_tx.from())));
    }
    let place = find_commitment(&record, opening.batch.as_ref(), record_tx).map_err(|why| fail("record", why))?;
    note("record", Some(true), format!("{record}{place}, issued by {issuer}"));
    let (device, owner) = check_device(opening, device_tx)?;
    note("device", Some(true), format!("{device} was enrolled by {owner}"));

    let (emr, phd) = (opening.emr, opening.phd);
    let audience = told;
    let (seed, expiry_ms) = (opening.seed.clone(), opening.expiry_ms);
    let terms = LinkTerms { emr, phd, seed, record, device, audience, expiry_ms };
    note("link-emr", Some(true), check_half("link-emr", &emr, &terms, emr_tx)?);
    note("link-phd", Some(true), check_half("link-phd", &phd, &terms, phd_tx)?);
    if !terms.is_signed_by(&owner, &opening.owner_signature) {
        return Err(fail("owner signature", format!("expected one of {owner}, got one that does not verify")));
    }
    note("owner signature", Some(true), format!("of the device's owner {owner}"));
    let (holder, who) = addressee.map_or((issuer, "issuer"), |addressee| (addressee, "addressee"));
    if !terms.is_signed_by(&holder, &opening.holder_signature) {
        return Err(fail("holder signature", format!("expected one of {holder}, got one that does not verify")));
    }
    note("holder signature", Some(true), format!("of the record's {who} {holder}"));
    Ok(())
}

fn key(step: &'static str, bytes: Hash32) -> Check<PublicKey> {
    PublicKey::new(bytes.0).map_err(|error| fail(step, error.to_string()))
}

/// The four transactions, in the order of [`LinkReceipts::named`], each of the chain it has to be of.
fn check_chains<'a>(opening: &LinkOpening, receipts: &LinkReceipts<'a>) -> Check<[&'a Transaction<Verified>; 4]> {
    if opening.emr == opening.phd {
        return Err(fail("chains", format!("expected two chains, got {} twice", opening.emr)));
    }
    let [record, device, link_emr, link_phd] = receipts.named();
    let of_chain = |(name, verification): (&str, &'a Verification), chain: &ChainId| {
        if verification.verdict == Verdict::Refuted {
            return Err(fail("chains", format!("{name}: expected a receipt that holds, got a refuted one")));
        }
        if verification.chain_id != *chain {
            return Err(fail("chains", format!("{name}: expected chain {chain}, got {}", verification.chain_id)));
        }
        let missing = || fail("chains", format!("{name}: expected a transaction, got a receipt that shows none"));
        verification.transaction.as_ref().ok_or_else(missing)
    };
    let (emr, phd) = (&opening.emr, &opening.phd);
    Ok([of_chain(record, emr)?, of_chain(device, phd)?, of_chain(link_emr, emr)?, of_chain(link_phd, phd)?])
}

/// The device and its owner.
fn check_device(opening: &LinkOpening, tx: &Transaction<Verified>) -> Check<(PublicKey, PublicKey)> {
    match PhdPayload::read(tx, &opening.phd).map_err(|error| fail("device", error.to_string()))? {
        PhdPayload::Device(payload) if payload.device_key == opening.device.0 => {
            Ok((key("device", opening.device)?, *tx.from()))
        }
        PhdPayload::Device(payload) => {
            let got = hex::encode(payload.device_key);
            Err(fail("device", format!("expected a DEVICE of {}, got one of {got}", opening.device)))
        }
        _ => Err(fail("device", format!("transaction type: expected 16, got {}", tx.tx_type()))),
    }
}

/// Recomputes the value of one chain.
fn check_half(step: &'static str, chain: &ChainId, terms: &LinkTerms, tx: &Transaction<Verified>) -> Check<String> {
    if tx.tx_type() != LINK {
        return Err(fail(step, format!("transaction type: expected {LINK}, got {}", tx.tx_type())));
    }
    let link = read_link(tx).map_err(|error| fail(step, error.to_string()))?;
    let expected = link_commitment(chain, &terms.seed, &terms.record, &terms.device);
    if link.commitment != expected.0 {
        return Err(fail(step, format!("expected {expected}, got {}", hex::encode(link.commitment))));
    }
    Ok(format!("{expected} was sent by {}", tx.from()))
}
