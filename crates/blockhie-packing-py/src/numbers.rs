//! Waits from Python: whole milliseconds from 0 to 2^64 - 1, from any sequence or one-dimensional buffer.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// 2^64, the first float that is too large.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;

/// Waits in milliseconds.
pub(crate) struct Waits(pub(crate) Vec<u64>);

impl<'a, 'py> FromPyObject<'a, 'py> for Waits {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let object: &Bound<'py, PyAny> = &object;
        if let Some(waits) = from_buffer(object)? {
            return Ok(Self(waits));
        }
        let mut waits = Vec::with_capacity(object.len().unwrap_or(0));
        for (at, item) in object.try_iter()?.enumerate() {
            waits.push(one(&item?, at)?);
        }
        Ok(Self(waits))
    }
}

/// A count, a size or a time: an integer from 0 to 2^64 - 1.
#[derive(Clone, Copy)]
pub(crate) struct Count(pub(crate) usize);

impl<'a, 'py> FromPyObject<'a, 'py> for Count {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let object: &Bound<'py, PyAny> = &object;
        if !object.hasattr("__index__")? {
            return Err(PyTypeError::new_err(format!("expected an integer, got {}", object.get_type())));
        }
        // Out of range is a matter of the value here, as any other limit is.
        let refused = |_| PyValueError::new_err(format!("expected an integer from 0 to 2^64 - 1, got {object}"));
        object.extract().map(Self).map_err(refused)
    }
}

/// From numpy and the like; `None` if it is no buffer of numbers, and its items then come one by one.
fn from_buffer(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u64>>> {
    if let Some(buffer) = buffer_of::<u64>(object)? {
        return buffer.to_vec(object.py()).map(Some);
    }
    macro_rules! convert {
        ($($kind:ty => $convert:expr),*) => {$(
            if let Some(buffer) = buffer_of::<$kind>(object)? {
                let items = buffer.to_vec(object.py())?.into_iter().enumerate();
                return items.map(|(at, item)| $convert(item, at)).collect::<PyResult<Vec<u64>>>().map(Some);
            }
        )*};
    }
    convert!(
        i64 => |item, at| u64::try_from(item).map_err(|_| refuse(at, &item)),
        f64 => whole,
        u32 => |item, _| Ok(u64::from(item)),
        i32 => |item, at| u64::try_from(item).map_err(|_| refuse(at, &item)),
        f32 => |item, at| whole(f64::from(item), at)
    );
    Ok(None)
}

/// The object as a buffer of this kind of one dimension.
fn buffer_of<T: Element>(object: &Bound<'_, PyAny>) -> PyResult<Option<PyBuffer<T>>> {
    let Ok(buffer) = PyBuffer::<T>::get(object) else { return Ok(None) };
    if buffer.dimensions() != 1 {
        let got = buffer.dimensions();
        return Err(PyValueError::new_err(format!("waits: expected one dimension, got {got}")));
    }
    Ok(Some(buffer))
}

/// One number of a sequence.
fn one(item: &Bound<'_, PyAny>, at: usize) -> PyResult<u64> {
    // An integer first, also numpy's: a float would lose digits above 2^53.
    if item.hasattr("__index__")? {
        return item.extract::<u64>().map_err(|_| refuse(at, item));
    }
    match item.extract::<f64>() {
        Ok(value) => whole(value, at),
        Err(_) => {
            let kind = item.get_type();
            Err(PyTypeError::new_err(format!("waits[{at}]: expected a number of milliseconds, got {kind}")))
        }
    }
}

fn whole(value: f64, at: usize) -> PyResult<u64> {
    // NaN is in no range.
    if !(0.0..TOO_LARGE).contains(&value) || value.fract() != 0.0 {
        return Err(refuse(at, &value));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(value as u64)
}

fn refuse(at: usize, got: &impl std::fmt::Display) -> PyErr {
    let expected = "whole milliseconds from 0 to 2^64 - 1";
    PyValueError::new_err(format!("waits[{at}]: expected {expected}, got {got}"))
}
