//! The checks of `blockhie verify`, for those who have nothing but a browser. Who needs to trust nobody runs that.

use crate::app::App;
use crate::error::ApiError;
use crate::form::Form;
use blockhie_core::receipt::Step;
use blockhie_core::{BlockHash, Hash32, Receipt, Trust, TxHash, Verdict, verify_receipt};
use blockhie_emr::{Opening, check_record, payload};
use serde::Serialize;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    /// What `blockhie verify` would exit with: 0 proved, 1 refuted, 2 not final yet.
    pub(crate) exit_code: u8,
    pub(crate) chain_id: Hash32,
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

/// Verifies the documents of a form: `receipt`, both of `record` and `opening` or none, and `checkpoint`.
pub(crate) fn verify(app: &App, form: &Form) -> Result<Report, ApiError> {
    form.expect_fields(&["receipt", "record", "opening", "checkpoint"])?;
    let receipt = form.file("receipt")?.ok_or_else(|| ApiError::invalid("verify: expected a receipt, got none"))?;
    let receipt = Receipt::parse(&receipt.bytes).map_err(|error| ApiError::unreadable(&error))?;
    let opened = match (form.file("record")?, form.file("opening")?) {
        (None, None) => None,
        (Some(record), Some(opening)) => {
            let opening = Opening::parse(&opening.bytes).map_err(|error| ApiError::unreadable(&error))?;
            Some((record, opening))
        }
        _ => return Err(ApiError::invalid("verify: expected the record together with its opening, got one of them")),
    };
    let known = app.known()?;
    let checkpoint: Option<BlockHash> = match form.text("checkpoint") {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| ApiError::invalid(format!("checkpoint: {error}")))?),
    };
    let trust = Trust { genesis: Some(&known.genesis), quorum: None, checkpoint };
    let checked = verify_receipt(&receipt, &trust).map_err(|error| ApiError::invalid(error.to_string()))?;
    let (mut verdict, mut steps) = (checked.verdict, checked.steps.clone());
    if verdict != Verdict::Refuted
        && let Some((record, opening)) = &opened
    {
        steps.extend(check_record(Some(&record.bytes), opening, &checked, Some(&known.genesis)));
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
