//! One record on its way: acknowledged, in a block, final, its receipt kept.

use super::gateway::{Acknowledged, Gateway};
use super::kept::{Outputs, check_opening, check_receipt, miners};
use super::source::Source;
use crate::failure::Failure;
use crate::files;
use crate::http::GatewayError;
use crate::status::{State, Status};
use blockhie_core::{Hash32, PublicKey, Receipt, TxHash, Verification};
use blockhie_emr::Opening;
use blockhie_emr::copy::Recipient;
use serde_json::{Value, json};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Acknowledged by the gateway: durable there, not final.
    Waiting,
    /// Its receipt is kept.
    Done,
    /// It cannot become final.
    Failed(String),
}

/// A record.
pub(crate) struct Job {
    pub(crate) source: Source,
    pub(crate) outputs: Outputs,
    pub(crate) stage: Stage,
    record: Hash32,
    opening: Opening,
    txhash: Option<TxHash>,
    height: Option<u64>,
    state: State,
    copied: bool,
}

impl Job {
    /// Takes what the gateway acknowledged, keeps the opening, and finds out whether all is done already.
    pub(crate) fn begin(
        source: Source,
        outputs: Outputs,
        acknowledged: Acknowledged,
        gateway: &Gateway,
        addressee: Option<&PublicKey>,
        patient: Option<&Recipient>,
    ) -> Result<Self, PollError> {
        let bytes = source.read()?;
        let record = acknowledged.record;
        let fits = |opening: &Opening| check_opening(&bytes, addressee, opening, &record);
        let kept = outputs.kept_opening()?.filter(|opening| fits(opening).is_ok());
        let opening = match (kept, acknowledged.opening) {
            (Some(kept), _) => kept,
            (None, given) => {
                let opening = given.map_or_else(|| gateway.opening(&record), Ok)?;
                fits(&opening).map_err(|reason| disagrees(&source, &reason))?;
                outputs.keep_opening(&opening)?;
                opening
            }
        };
        let state = State::Queued;
        let (txhash, height) = (None, None);
        let mut job =
            Self { source, outputs, stage: Stage::Waiting, record, opening, txhash, height, state, copied: false };
        if let Some(text) = job.outputs.kept_receipt()?
            && let Ok((receipt, verification)) = check_receipt(&text, &bytes, &job.opening)
        {
            job.finish(&receipt, &bytes, &verification, patient)?;
        }
        Ok(job)
    }

    /// Asks once and answers what to tell. Errors that pass are the caller's to wait out.
    pub(crate) fn poll(&mut self, gateway: &Gateway, patient: Option<&Recipient>) -> Result<String, PollError> {
        let status = gateway.status(&self.record)?;
        self.txhash = status.txhash;
        self.height = status.height;
        self.state = status.state;
        match status.state {
            State::Void => {
                let reason = status.reason.clone().unwrap_or_else(|| "no reason given".into());
                self.stage = Stage::Failed(format!("committed without effect (void): {reason}"));
            }
            State::Final => self.fetch(gateway, &status, patient)?,
            // An open chain has no quorum: this is as far as it goes.
            State::InBlock if status.quorum == Some(0) => self.fetch(gateway, &status, patient)?,
            State::Queued | State::Submitted | State::InBlock | State::Unknown => {}
        }
        Ok(status.told())
    }

    fn fetch(&mut self, gateway: &Gateway, status: &Status, patient: Option<&Recipient>) -> Result<(), PollError> {
        let text = gateway.receipt(&self.record)?;
        let bytes = self.source.read()?;
        let checked = check_receipt(&text, &bytes, &self.opening);
        let (receipt, verification) = checked.map_err(|reason| disagrees(&self.source, &reason))?;
        if enough(&receipt, &self.opening, status) {
            self.finish(&receipt, &bytes, &verification, patient)?;
        }
        Ok(())
    }

    /// The patient's copy first: a receipt that is kept says that all is done.
    fn finish(
        &mut self,
        receipt: &Receipt,
        record: &[u8],
        verification: &Verification,
        patient: Option<&Recipient>,
    ) -> Result<(), Failure> {
        let text = receipt.to_json();
        if let Some(recipient) = patient {
            self.outputs.keep_copy(recipient, record, &self.opening, &text, verification.block_time_ms)?;
            self.copied = true;
        }
        files::write(&self.outputs.receipt(), text.as_bytes())?;
        self.txhash = verification.transaction.as_ref().map(|tx| tx.hash());
        self.height = Some(verification.height);
        // Only on an open chain are blocks unsigned, and only there is a receipt kept that nothing makes final.
        self.state = if receipt.block.signature.is_some() { State::Final } else { State::InBlock };
        self.stage = Stage::Done;
        Ok(())
    }

    /// For a script.
    pub(crate) fn json(&self) -> Value {
        let path = |path: std::path::PathBuf, there: bool| there.then(|| path.display().to_string());
        let done = self.stage == Stage::Done;
        json!({
            "file": self.source.path.display().to_string(), "record": self.record, "txhash": self.txhash,
            "state": self.state.name(), "height": self.height,
            "opening": path(self.outputs.opening(), true), "receipt": path(self.outputs.receipt(), done),
            "age": path(self.outputs.age(), self.copied),
        })
    }

    /// For a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let state = match (&self.stage, self.height) {
            (Stage::Done, Some(height)) if self.state == State::InBlock => {
                format!("in block {height} of an open chain, where nothing is ever final")
            }
            (Stage::Done, Some(height)) => format!("final, in block {height}"),
            (Stage::Failed(reason), _) => reason.clone(),
            _ => "with the gateway, not final yet".into(),
        };
        let mut lines = vec![format!("{}: {state}", self.source.name), format!("  record   {}", self.record)];
        lines.push(format!("  opening  {}", self.outputs.opening().display()));
        if self.stage == Stage::Done {
            lines.push(format!("  receipt  {}", self.outputs.receipt().display()));
        }
        if self.copied {
            lines.push(format!("  age      {}", self.outputs.age().display()));
        }
        lines
    }
}

/// Why asking once brought nothing.
pub(crate) enum PollError {
    /// The gateway; it may pass.
    Gateway(GatewayError),
    /// Anything else.
    Failure(Failure),
}

impl From<GatewayError> for PollError {
    fn from(error: GatewayError) -> Self {
        Self::Gateway(error)
    }
}

impl From<Failure> for PollError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn disagrees(source: &Source, reason: &str) -> Failure {
    Failure::failed(format!("{}: the gateway's answer does not fit the file: {reason}", source.name))
        .hint("nothing of it was kept; tell whoever runs the gateway")
}

/// A receipt made a moment too early shows fewer members than the status told of.
fn enough(receipt: &Receipt, opening: &Opening, status: &Status) -> bool {
    let quorum = usize::try_from(status.quorum.unwrap_or(0)).unwrap_or(usize::MAX);
    miners(receipt, opening) >= quorum
}
