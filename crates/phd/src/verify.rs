//! What an opening and the data add to a verified receipt: that these readings are the committed ones.

use crate::opening::SegmentOpening;
use crate::payload::{Payload, Readings};
use crate::place::{Place, segment_digest};
use crate::samples::Samples;
use blockhie_core::receipt::{Step, Verification};
use blockhie_core::{PublicKey, Transaction, Verified};

type Check<T> = Result<T, Step>;

/// Checks an opening, and the segment's data if given, against the transaction that a receipt proved.
///
/// `verification` is the answer of [`verify_receipt`](blockhie_core::verify_receipt). The steps, in order: `opening`,
/// `device`, `segment`, `samples`; after a failed one nothing further is checked, and its text names device and first
/// sequence number. Without the data `segment` is undecided. `samples` is undecided for data that a version of ours
/// cannot read: the bytes are then proved, their meaning is not.
#[must_use]
pub fn check_segment(data: Option<&[u8]>, opening: &SegmentOpening, verification: &Verification) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Err(step) = run_checks(&mut steps, data, opening, verification) {
        steps.push(step);
    }
    steps
}

fn run_checks(
    steps: &mut Vec<Step>,
    data: Option<&[u8]>,
    opening: &SegmentOpening,
    verification: &Verification,
) -> Check<()> {
    let fail =
        |name, detail: String| Step { name, holds: Some(false), detail: format!("{}: {detail}", name_of(opening)) };
    let Some(tx) = &verification.transaction else {
        return Err(fail("opening", "expected a transaction to compare with, got a receipt that shows none".into()));
    };
    let mut note = |name, holds, detail| steps.push(Step { name, holds, detail });
    if opening.chain_id != verification.chain_id {
        let detail = format!("chain_id: expected {}, got {}", verification.chain_id, opening.chain_id);
        return Err(fail("opening", detail));
    }
    note("opening", Some(true), format!("is of chain {}", opening.chain_id));
    let (device, readings) = check_device(opening, tx, &verification.chain_id).map_err(|why| fail("device", why))?;
    note("device", Some(true), format!("{device} sent the transaction"));
    let Some(data) = data else {
        note("segment", None, "no data given: not compared with the content".into());
        return Ok(());
    };
    let last = readings.first_seq.saturating_add(u64::from(readings.count)).saturating_sub(1);
    let range = format!("readings {} to {last}", readings.first_seq);
    check_data(data, opening, device, &readings).map_err(|why| fail("segment", why))?;
    note("segment", Some(true), format!("{} bytes are those of {range}", data.len()));
    match Samples::decode(data) {
        Err(error) => note("samples", None, format!("{range}: proved bytes, but of another encoding ({error})")),
        Ok(samples) if u32::try_from(samples.len()) == Ok(readings.count) => {
            note("samples", Some(true), format!("{} samples of code {}", samples.len(), samples.code));
        }
        Ok(samples) => {
            let detail = format!("count: expected {} samples, got {}", readings.count, samples.len());
            return Err(fail("samples", detail));
        }
    }
    Ok(())
}

fn name_of(opening: &SegmentOpening) -> String {
    format!("segment {} of device {}", opening.first_seq, opening.device)
}

/// Sender, type and range.
fn check_device(
    opening: &SegmentOpening,
    tx: &Transaction<Verified>,
    chain: &blockhie_core::ChainId,
) -> Result<(PublicKey, Readings), String> {
    if opening.device.as_bytes() != tx.from().as_bytes() {
        return Err(format!("expected the sender {}, got {}", tx.from(), opening.device));
    }
    let readings = match Payload::read(tx, chain) {
        Ok(Payload::Readings(readings)) => readings,
        Ok(_) => return Err(format!("transaction type: expected 17, got {}", tx.tx_type())),
        Err(error) => return Err(error.to_string()),
    };
    if (opening.first_seq, opening.count) != (readings.first_seq, readings.count) {
        let (expected, got) = ((readings.first_seq, readings.count), (opening.first_seq, opening.count));
        return Err(format!(
            "range: expected {} readings from {} on, got {} from {} on",
            expected.1, expected.0, got.1, got.0
        ));
    }
    Ok((*tx.from(), readings))
}

fn check_data(data: &[u8], opening: &SegmentOpening, device: PublicKey, readings: &Readings) -> Result<(), String> {
    if u64::try_from(data.len()) != Ok(opening.length) {
        return Err(format!("length: expected {} bytes, got {}", opening.length, data.len()));
    }
    let (first_seq, count) = (readings.first_seq, readings.count);
    let place = Place { chain: opening.chain_id, device, first_seq, count };
    let got = segment_digest(&place, &opening.salt, data);
    if readings.content != got.0 {
        return Err(format!("content: expected {}, got {got}", hex::encode(&readings.content)));
    }
    Ok(())
}
