//! The Arrow C data interface: the one place with `unsafe`.
//!
//! A batch comes as two capsules, schema and array. The interface carries no buffer lengths, so
//! what is imported has those that its lengths and offsets imply; the caller has had pyarrow hold
//! them to the buffers (`validate()`). Everything behind this reads slices with their bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow_data::ArrayData;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// Takes over the buffers of a record batch, uncopied.
#[allow(unsafe_code)]
pub fn import(batch: &Bound<'_, PyAny>) -> PyResult<ArrayData> {
    let pair = batch.call_method0(intern!(batch.py(), "__arrow_c_array__"))?;
    let (schema, array): (Bound<'_, PyCapsule>, Bound<'_, PyCapsule>) = pair.extract()?;
    let schema = schema
        .pointer_checked(Some(c"arrow_schema"))?
        .cast::<FFI_ArrowSchema>();
    let array = array
        .pointer_checked(Some(c"arrow_array"))?
        .cast::<FFI_ArrowArray>();
    // SAFETY: capsules of these names hold these structs, alive as long as they are, and `from_raw`
    // leaves a released struct behind, so that nobody frees it twice.
    let imported = catch_unwind(AssertUnwindSafe(|| unsafe {
        from_ffi(FFI_ArrowArray::from_raw(array.as_ptr()), schema.as_ref())
    }));
    match imported {
        Ok(Ok(data)) => Ok(data),
        _ => Err(PyValueError::new_err(
            "no record batch of the Arrow C data interface",
        )),
    }
}
