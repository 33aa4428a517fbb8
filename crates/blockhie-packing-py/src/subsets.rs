//! Selections from waits.

use crate::numbers::{Count, Waits};
use crate::refused;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A subset of the waits given.
#[pyclass(frozen, eq, module = "blockhie_packing")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Positions, longest wait first; equal waits by smaller position.
    #[pyo3(get)]
    indices: Vec<usize>,
    /// Sum of the waits selected, in milliseconds: exact, however large.
    #[pyo3(get)]
    sum: u128,
    /// The rank reached.
    #[pyo3(get)]
    rank: usize,
    /// There are fewer than k subsets, and this is the last.
    #[pyo3(get)]
    exhausted: bool,
}

#[pymethods]
impl Selection {
    fn __repr__(&self) -> String {
        let Self { indices, sum, rank, exhausted } = self;
        let exhausted = if *exhausted { "True" } else { "False" };
        format!("Selection(indices={indices:?}, sum={sum}, rank={rank}, exhausted={exhausted})")
    }
}

impl From<blockhie_packing::Selection> for Selection {
    fn from(found: blockhie_packing::Selection) -> Self {
        let blockhie_packing::Selection { indices, sum, rank, exhausted } = found;
        Self { indices, sum, rank, exhausted }
    }
}

/// The m-subset with the k-th largest sum, exactly or by APP-Kth-SUM (`method="app"`).
#[pyfunction]
#[pyo3(signature = (waits, m, k = Count(1), method = "exact"))]
pub(crate) fn kth_subset(py: Python<'_>, waits: Waits, m: Count, k: Count, method: &str) -> PyResult<Selection> {
    let select = match method {
        "exact" => blockhie_packing::kth_subset_exact,
        "app" => blockhie_packing::kth_subset_app,
        other => return Err(PyValueError::new_err(format!("method: expected exact or app, got {other:?}"))),
    };
    py.detach(|| select(&waits.0, m.0, k.0)).map(Selection::from).map_err(refused)
}

/// The m-subsets one after the other, the largest sum first.
#[pyfunction]
pub(crate) fn best_subsets(waits: Waits, m: Count) -> PyResult<BestSubsets> {
    blockhie_packing::best_subsets(&waits.0, m.0).map(BestSubsets).map_err(refused)
}

/// Made by `best_subsets`.
#[pyclass(module = "blockhie_packing")]
pub(crate) struct BestSubsets(blockhie_packing::BestSubsets);

#[pymethods]
impl BestSubsets {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&mut self) -> Option<Selection> {
        self.0.next().map(Selection::from)
    }
}
