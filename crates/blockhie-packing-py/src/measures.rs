//! Jain's index, percentiles and senders.

use crate::numbers::Waits;
use blockhie_packing::by_sender;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Jain's fairness index of waits in milliseconds.
#[pyfunction]
pub(crate) fn jain_index(waits: Waits) -> f64 {
    blockhie_packing::jain_index(&waits.0)
}

/// Waits summed up, in milliseconds; the pending ones count with what they have reached.
#[pyclass(frozen, get_all, module = "blockhie_packing")]
pub(crate) struct WaitSummary {
    count: usize,
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
    jain: f64,
}

#[pymethods]
impl WaitSummary {
    fn __repr__(&self) -> String {
        let Self { count, p50, p90, p99, max, jain } = self;
        format!("WaitSummary(count={count}, p50={p50}, p90={p90}, p99={p99}, max={max}, jain={jain:.4})")
    }
}

/// Of waits that have ended, and of the waits so far of what still waits.
#[pyfunction]
#[pyo3(signature = (ended, pending = None))]
pub(crate) fn wait_summary(ended: Waits, pending: Option<Waits>) -> WaitSummary {
    let pending = pending.map_or_else(Vec::new, |waits| waits.0);
    let blockhie_packing::WaitSummary { count, p50, p90, p99, max, jain } =
        blockhie_packing::WaitSummary::with_pending(&ended.0, &pending);
    WaitSummary { count, p50, p90, p99, max, jain }
}

/// Between what a percentile lies once all have ended; `at_most_ms` is `None` where nothing bounds it.
#[pyclass(frozen, get_all, module = "blockhie_packing")]
pub(crate) struct PercentileBounds {
    at_least_ms: u64,
    at_most_ms: Option<u64>,
}

#[pymethods]
impl PercentileBounds {
    fn __repr__(&self) -> String {
        let most = self.at_most_ms.map_or_else(|| "None".to_owned(), |most| most.to_string());
        format!("PercentileBounds(at_least_ms={}, at_most_ms={most})", self.at_least_ms)
    }
}

/// The bounds of a percentile, by nearest rank; `None` for no waits.
#[pyfunction]
pub(crate) fn percentile_bounds(ended: Waits, pending: Waits, percent: i64) -> PyResult<Option<PercentileBounds>> {
    let percent = u32::try_from(percent).ok().filter(|percent| *percent <= 100);
    let Some(percent) = percent else {
        return Err(PyValueError::new_err("percent: expected 0 to 100"));
    };
    let bounds = blockhie_packing::percentile_bounds(&ended.0, &pending.0, percent);
    Ok(bounds.map(|found| PercentileBounds { at_least_ms: found.at_least_ms, at_most_ms: found.at_most_ms }))
}

/// How alike senders were served.
#[pyclass(frozen, get_all, module = "blockhie_packing")]
pub(crate) struct SenderSummary {
    senders: usize,
    jain_wait: f64,
    jain_count: f64,
    p50_ms: u64,
    p90_ms: u64,
    max_ms: u64,
}

#[pymethods]
impl SenderSummary {
    fn __repr__(&self) -> String {
        let Self { senders, jain_wait, jain_count, p50_ms, p90_ms, max_ms } = self;
        format!(
            "SenderSummary(senders={senders}, jain_wait={jain_wait:.4}, jain_count={jain_count:.4}, p50_ms={p50_ms}, \
             p90_ms={p90_ms}, max_ms={max_ms})"
        )
    }
}

/// Of the sender and the wait of each transaction.
#[pyfunction]
pub(crate) fn sender_summary(senders: Vec<String>, waits: Waits) -> PyResult<SenderSummary> {
    if senders.len() != waits.0.len() {
        let (expected, got) = (senders.len(), waits.0.len());
        return Err(PyValueError::new_err(format!("waits: expected {expected}, one for each sender, got {got}")));
    }
    let grouped = by_sender(senders.into_iter().zip(waits.0));
    let blockhie_packing::SenderSummary { senders, jain_wait, jain_count, p50_ms, p90_ms, max_ms } =
        blockhie_packing::SenderSummary::of(grouped.values());
    Ok(SenderSummary { senders, jain_wait, jain_count, p50_ms, p90_ms, max_ms })
}
