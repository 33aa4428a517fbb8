//! The waiting pool, with strings for ids.

use crate::numbers::Count;
use crate::refused;
use blockhie_packing::{PackingContext, PackingPolicy, WaitSampling, require_policy};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Items that wait, ordered by (start of waiting, id).
#[pyclass(module = "blockhie_packing")]
pub(crate) struct WaitingPool(blockhie_packing::WaitingPool<String>);

#[pymethods]
impl WaitingPool {
    #[new]
    fn new() -> Self {
        Self(blockhie_packing::WaitingPool::new())
    }

    /// Adds an item; `False` if the id is there already.
    #[pyo3(signature = (id, since_ms, bytes = Count(1)))]
    fn insert(&mut self, id: String, since_ms: Count, bytes: Count) -> PyResult<bool> {
        let size = u32::try_from(bytes.0)
            .map_err(|_| PyValueError::new_err(format!("bytes: expected 0 to 2^32 - 1, got {}", bytes.0)))?;
        Ok(self.0.insert(id, since_ms.0 as u64, size))
    }

    /// Takes an item out; `False` if it was not there.
    fn remove(&mut self, id: String) -> bool {
        self.0.remove(&id)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __contains__(&self, id: String) -> bool {
        self.0.contains(&id)
    }

    /// `(id, since_ms, bytes)` of all, oldest first.
    fn items(&self) -> Vec<(String, u64, u32)> {
        self.0.iter().map(|entry| (entry.id.clone(), entry.since_ms, entry.bytes)).collect()
    }

    /// The ids, oldest first, and the sum of waits of the m items with the k-th largest sum.
    #[pyo3(signature = (now_ms, m, k = Count(1)))]
    fn kth(&self, now_ms: Count, m: Count, k: Count) -> PyResult<(Vec<String>, u128)> {
        let found = self.0.kth(now_ms.0 as u64, m.0, k.0).map_err(refused)?;
        Ok((found.ids, found.sum))
    }

    /// What a policy picks, oldest first.
    #[pyo3(signature = (policy, capacity, now_ms, *, bytes = None, node_index = 1, node_count = 1, parent = None, seed = 0, alpha = None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn pick(
        &self,
        py: Python<'_>,
        policy: &str,
        capacity: Count,
        now_ms: Count,
        bytes: Option<Count>,
        node_index: u32,
        node_count: u32,
        parent: Option<Vec<u8>>,
        seed: u64,
        alpha: Option<u32>,
    ) -> PyResult<Vec<String>> {
        let chosen: Box<dyn PackingPolicy<String>> = match (policy, alpha) {
            (_, None) => require_policy(policy).map_err(refused)?,
            ("wait-sampling", Some(alpha)) => Box::new(WaitSampling::new(alpha).map_err(refused)?),
            (other, Some(_)) => {
                return Err(PyValueError::new_err(format!("alpha: expected wait-sampling with it, got {other:?}")));
            }
        };
        let parent = parent.unwrap_or_else(|| vec![0; 32]);
        let parent = <[u8; 32]>::try_from(parent)
            .map_err(|got| PyValueError::new_err(format!("parent: expected 32 bytes, got {}", got.len())))?;
        let ctx = PackingContext {
            capacity: capacity.0,
            bytes: bytes.map_or(usize::MAX, |bytes| bytes.0),
            node_index,
            node_count,
            parent,
            now_ms: now_ms.0 as u64,
            seed,
        };
        Ok(py.detach(|| chosen.pick(&self.0, &ctx)))
    }
}
