//! `blockhie_packing` for Python: see the README of this folder and `python/blockhie_packing/__init__.pyi`.

mod measures;
mod numbers;
mod pool;
mod subsets;

use blockhie_packing::PackingError;
use pyo3::PyErr;
use pyo3::exceptions::PyValueError;

/// The crate's errors are all of values.
fn refused(error: PackingError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The module that maturin puts at `blockhie_packing._native`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::measures::{
        PercentileBounds, SenderSummary, WaitSummary, jain_index, percentile_bounds, sender_summary, wait_summary,
    };
    #[pymodule_export]
    use crate::pool::WaitingPool;
    #[pymodule_export]
    use crate::subsets::{BestSubsets, Selection, best_subsets, kth_subset};

    use pyo3::prelude::*;
    use pyo3::types::PyTuple;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("MAX_K", blockhie_packing::MAX_K)?;
        module.add("MAX_ALPHA", blockhie_packing::MAX_ALPHA)?;
        module.add("POLICY_NAMES", PyTuple::new(module.py(), blockhie_packing::POLICY_NAMES)?)
    }
}
