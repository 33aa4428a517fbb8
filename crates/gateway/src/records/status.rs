//! How far a record has come.

use crate::app::App;
use crate::error::ApiError;
use crate::txview::{Kept, TxView, look};
use blockhie_core::Hash32;
use blockhie_emr::vault::{Entry, RecordState};
use serde::Serialize;

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RecordStatus {
    /// The record's commitment.
    pub(crate) record: Hash32,
    /// Where its transaction stands.
    #[serde(flatten)]
    pub(crate) tx: TxView,
}

/// The record's entry, or "not found".
pub(crate) async fn entry(app: &App, record: Hash32) -> Result<Entry, ApiError> {
    let missing = || ApiError::not_found(format!("record {record}: not in this vault"));
    app.blocking(move |parts| Ok(parts.vault.entry(&record)?)).await?.ok_or_else(missing)
}

/// Where a record stands now.
///
/// # Errors
/// "Not found" for a record that is not here or was erased.
pub(crate) async fn status(app: &App, record: Hash32) -> Result<RecordStatus, ApiError> {
    let entry = entry(app, record).await?;
    of_entry(app, &entry).await
}

/// Where a record of the vault stands now.
pub(crate) async fn of_entry(app: &App, entry: &Entry) -> Result<RecordStatus, ApiError> {
    let (record, txhash) = (entry.record, entry.txhash);
    let settled = entry.state == RecordState::Final;
    let kept = app.blocking(move |parts| {
        let receipt = if settled { parts.vault.receipt(&record)? } else { None };
        Ok(Kept { word: parts.index.accepted(&txhash)?, settled, receipt })
    });
    Ok(RecordStatus { record, tx: look(&app.emr, txhash, &kept.await?).await })
}
