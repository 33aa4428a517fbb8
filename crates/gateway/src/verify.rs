//! The checks of `blockhie verify`, for those who have nothing but a browser. Who needs to trust nobody runs that.

use crate::app::App;
use crate::chain::Known;
use crate::error::ApiError;
use crate::form::Form;
use crate::form::FormFile;
use blockhie_core::receipt::{Step, Verification};
use blockhie_core::{BlockHash, Hash32, Receipt, Trust, TxHash, Verdict, verify_receipt};
use blockhie_emr::{Opening, check_record, payload};
use blockhie_phd::opening::SEGMENT_OPENING_FORMAT;
use blockhie_phd::{SegmentOpening, check_segment};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    /// What `blockhie verify` would exit with: 0 proved, 1 refuted, 2 not final yet.
    pub(crate) exit_code: u8,
    pub(crate) chain_id: Hash32,
    /// `emr` or `phd`: the chain of this gateway that the receipt was checked against.
    pub(crate) chain: &'static str,
    pub(crate) txhash: Option<TxHash>,
    pub(crate) height: u64,
    pub(crate) block_time_ms: u64,
    /// The chain contained it not later than this.
    pub(crate) proved_time_ms: Option<u64>,
    pub(crate) members: Vec<String>,
    /// Whose key the issuer's is, where an opening was given: a member, certified by one, or unknown.
    pub(crate) issuer: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) note: Option<&'static str>,
}

const NOTE: &str = "included; the effect of a transaction of this type depends on the chain's state";

/// An opening of either chain.
enum Opened<'a> {
    Record(Opening, &'a FormFile),
    Segment(SegmentOpening, &'a FormFile),
}

/// Opening and what it opens: both or neither. The opening says which of the two it is for.
fn read_opened(form: &Form) -> Result<Option<Opened<'_>>, ApiError> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
    }
    let opens = |expected| ApiError::invalid(format!("verify: the opening opens a {expected}, got the other"));
    let (record, segment) = (form.file("record")?, form.file("segment")?);
    let (file, opening) = match (record.or(segment), form.file("opening")?) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) if record.is_some() && segment.is_some() => {
            return Err(ApiError::invalid("verify: expected a record or a segment, got both"));
        }
        (Some(file), Some(opening)) => (file, opening),
        _ => {
            let expected = "the record or segment together with its opening";
            return Err(ApiError::invalid(format!("verify: expected {expected}, got one of them")));
        }
    };
    let format = serde_json::from_slice(&opening.bytes).map(|Format { format }| format);
    if format.is_ok_and(|format| format == SEGMENT_OPENING_FORMAT) {
        let opening = SegmentOpening::parse(&opening.bytes).map_err(|error| ApiError::unreadable(&error))?;
        return Ok(Some(Opened::Segment(opening, file)));
    }
    let opening = Opening::parse(&opening.bytes).map_err(|error| ApiError::unreadable(&error))?;
    if segment.is_some() {
        return Err(opens("record"));
    }
    Ok(Some(Opened::Record(opening, file)))
}

/// The chain that a receipt says it is of, where this gateway has it; else the EMR-Chain, whose check then names both.
fn chain_of(app: &App, receipt: &Receipt) -> Result<(&'static str, Arc<Known>), ApiError> {
    // The 16 bytes before it are the same on every chain (protocol page, "Block").
    let claimed = &receipt.block.header.0[16..48];
    let named = app.chains().find_map(|chain| {
        let known = chain.known().ok()?;
        (known.chain_id.as_bytes().as_slice() == claimed).then(|| (chain.slug(), known))
    });
    named.map_or_else(|| Ok((app.emr.slug(), app.known()?)), Ok)
}

fn check_opened(opened: &Opened<'_>, checked: &Verification, known: &Known) -> Vec<Step> {
    match opened {
        Opened::Record(opening, file) => check_record(Some(&file.bytes), opening, checked, Some(&known.genesis)),
        Opened::Segment(opening, file) => check_segment(Some(&file.bytes), opening, checked),
    }
}

/// Verifies the documents of a form: `receipt`; `opening` together with `record` or `segment`, or none of them; and
/// `checkpoint`.
pub(crate) fn verify(app: &App, form: &Form) -> Result<Report, ApiError> {
    form.expect_fields(&["receipt", "record", "segment", "opening", "checkpoint"])?;
    let receipt = form.file("receipt")?.ok_or_else(|| ApiError::invalid("verify: expected a receipt, got none"))?;
    let receipt = Receipt::parse(&receipt.bytes).map_err(|error| ApiError::unreadable(&error))?;
    let opened = read_opened(form)?;
    let (chain, known) = chain_of(app, &receipt)?;
    let checkpoint: Option<BlockHash> = match form.text("checkpoint") {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| ApiError::invalid(format!("checkpoint: {error}")))?),
    };
    let trust = Trust { genesis: Some(&known.genesis), quorum: None, checkpoint };
    let checked = verify_receipt(&receipt, &trust).map_err(|error| ApiError::invalid(error.to_string()))?;
    let (mut verdict, mut steps) = (checked.verdict, checked.steps.clone());
    if verdict != Verdict::Refuted
        && let Some(opened) = &opened
    {
        steps.extend(check_opened(opened, &checked, &known));
    }
    if steps.iter().any(|step| step.holds == Some(false)) {
        verdict = Verdict::Refuted;
    }
    let issuer = steps.iter().find(|step| step.name == "authenticity" && step.holds == Some(true));
    let issuer = issuer.map(|step| step.detail.clone());
    let tx_type = checked.transaction.as_ref().map(|tx| tx.tx_type());
    let by_itself = matches!(tx_type, None | Some(payload::RECORD | payload::RECORDS));
    Ok(Report {
        verdict,
        exit_code: verdict.exit_code(),
        chain_id: checked.chain_id,
        chain,
        txhash: checked.transaction.as_ref().map(|tx| tx.hash()),
        height: checked.height,
        block_time_ms: checked.block_time_ms,
        proved_time_ms: checked.proved_time_ms,
        members: checked.members,
        issuer,
        steps,
        note: (!by_itself).then_some(NOTE),
    })
}
