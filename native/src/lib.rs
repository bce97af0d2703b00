//! `zhixin_kernel`: record batch in, part roots and contents out, in one pass and without the GIL.
//!
//! Sections 2.1 and 2.2 of the formats. It does what `zhixin_gateway.datasets` does in pure Python,
//! to the byte; who calls it, and how a refusal reads, stands in `datasets/hashing.py`.

#![allow(clippy::needless_pass_by_value)] // what Python gives is owned

mod boundary;
mod column;
mod copy;
mod out;
mod part;
mod records;
mod scalars;
mod strings;
mod tree;
mod views;

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_data::ArrayData;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule};

use out::Out;
use part::{Part, Rule};
use records::{Fault, Records};

pyo3::create_exception!(zhixin_kernel, Refused, PyValueError, "(what, row or None)");

/// Raised by number with every change of what is below: who calls compares it with its own.
const PROTOCOL: u32 = 1;

enum Failure {
    Fault(Fault),
    Python(PyErr),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        let (what, row) = match failure {
            Failure::Python(error) => return error,
            Failure::Fault(Fault::NoForm(row)) => ("no form".into(), Some(row)),
            Failure::Fault(Fault::TooLong(row)) => ("too long".into(), Some(row)),
            Failure::Fault(Fault::TooMuch(row)) => ("too much".into(), Some(row)),
            Failure::Fault(Fault::Broken(row)) => ("broken".into(), Some(row)),
            Failure::Fault(Fault::Columns(why)) => (why, None),
            Failure::Fault(Fault::Over) => ("an earlier batch was refused".into(), None),
        };
        Refused::new_err((what, row))
    }
}

/// Runs without the GIL; a panic, which would be an error of ours, is an exception like any other.
fn unlocked<T: Send, E: Into<Failure> + Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(done) => done.map_err(|error| error.into().into()),
        Err(_) => Err(PyRuntimeError::new_err("the kernel failed on this batch")),
    }
}

type Ended<'py> = (
    u64,
    u64,
    Bound<'py, PyBytes>,
    Option<Bound<'py, PyBytes>>,
    Option<Bound<'py, PyBytes>>,
);

/// (records, bytes of texts, content, root, salt key)
fn told<'py>(py: Python<'py>, part: &Part) -> Ended<'py> {
    let bytes = |hash: [u8; 32]| PyBytes::new(py, &hash);
    let content = bytes(part.content());
    (
        part.records,
        part.text_bytes,
        content,
        part.root().map(bytes),
        part.salt_key().map(bytes),
    )
}

/// Cuts records into parts, and hashes each.
#[pyclass]
struct Cutter {
    cutter: part::Cutter,
    new_salt_key: Option<Py<PyAny>>,
}

#[pymethods]
impl Cutter {
    /// `key`: positions of the key's columns; `new_salt_key`: called with 32; None: contents alone.
    #[new]
    #[pyo3(signature = (key, new_salt_key, *, cut_bits, cut_records, max_records, cut_bytes, max_text))]
    fn new(
        key: Vec<usize>,
        new_salt_key: Option<Py<PyAny>>,
        cut_bits: u32,
        cut_records: u64,
        max_records: u64,
        cut_bytes: u64,
        max_text: usize,
    ) -> Self {
        let rule = Rule {
            mask: 1_u32.checked_shl(cut_bits).map_or(u32::MAX, |bit| bit - 1),
            least_records: cut_records,
            most_records: max_records,
            most_bytes: cut_bytes,
        };
        Self {
            cutter: part::Cutter::new(rule, key, max_text),
            new_salt_key,
        }
    }

    /// For each part that ended within the batch: the row after its last record, and the part.
    #[pyo3(signature = (batch, names=None))]
    fn feed<'py>(
        &mut self,
        py: Python<'py>,
        batch: &Bound<'py, PyAny>,
        names: Option<Vec<String>>,
    ) -> PyResult<Vec<(usize, Ended<'py>)>> {
        let data = boundary::import(batch)?;
        let Self {
            cutter,
            new_salt_key,
        } = self;
        let begin = || -> Result<Part, Failure> {
            let key = new_salt_key
                .as_ref()
                .map(salt_key_of)
                .transpose()
                .map_err(Failure::Python)?;
            Ok(Part::new(key, false))
        };
        let ended = unlocked(py, || cutter.feed(&data, names.as_deref(), begin))?;
        Ok(ended
            .iter()
            .map(|(row, part)| (*row, told(py, part)))
            .collect())
    }

    /// Ends the part that is open; None: none is.
    fn end<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Ended<'py>>> {
        let ended = self
            .cutter
            .end()
            .map_err(|fault| PyErr::from(Failure::from(fault)))?;
        Ok(ended.map(|part| told(py, &part)))
    }
}

fn salt_key_of(make: &Py<PyAny>) -> PyResult<[u8; 32]> {
    Python::attach(|py| {
        let key: Vec<u8> = make.bind(py).call1((32,))?.extract()?;
        <[u8; 32]>::try_from(key).map_err(|_| PyValueError::new_err("a salt key is 32 bytes long"))
    })
}

/// Hashes one part.
#[pyclass]
struct Digest {
    digest: part::Digest,
}

#[pymethods]
impl Digest {
    /// `max_bytes`: of the texts with their newlines.
    #[new]
    #[pyo3(signature = (salt_key, *, keep_leaves, max_bytes))]
    fn new(salt_key: [u8; 32], keep_leaves: bool, max_bytes: u64) -> Self {
        Self {
            digest: part::Digest::new(Part::new(Some(salt_key), keep_leaves), max_bytes),
        }
    }

    #[pyo3(signature = (batch, names=None))]
    fn append(
        &mut self,
        py: Python<'_>,
        batch: &Bound<'_, PyAny>,
        names: Option<Vec<String>>,
    ) -> PyResult<()> {
        let data = boundary::import(batch)?;
        let digest = &mut self.digest;
        unlocked(py, || {
            digest
                .append(&data, names.as_deref())
                .map_err(Failure::from)
        })
    }

    #[getter]
    fn records(&self) -> u64 {
        self.digest.part.records
    }

    #[getter]
    fn text_bytes(&self) -> u64 {
        self.digest.part.text_bytes
    }

    #[getter]
    fn leaves<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.digest
            .part
            .leaves()
            .iter()
            .map(|leaf| PyBytes::new(py, leaf))
            .collect()
    }

    fn root<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.digest.part.root().map(|root| PyBytes::new(py, &root))
    }

    fn content<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.digest.part.content())
    }
}

/// Makes record batches of what a server of `PostgreSQL` sends for one binary COPY.
#[pyclass]
struct CopyDecoder {
    decoder: copy::Decoder,
}

fn broken(fault: copy::Broken) -> PyErr {
    PyValueError::new_err(fault.0)
}

#[pymethods]
impl CopyDecoder {
    /// `forms`: of each column, such as `int4` or `text`.
    #[new]
    #[pyo3(signature = (forms, *, most_rows, most_bytes))]
    fn new(forms: Vec<String>, most_rows: usize, most_bytes: usize) -> PyResult<Self> {
        let decoder = copy::Decoder::new(&forms, most_rows, most_bytes).map_err(broken)?;
        Ok(Self { decoder })
    }

    /// Takes in what was received; whether a batch is full, and must be taken first.
    fn feed(&mut self, py: Python<'_>, data: &[u8]) -> PyResult<bool> {
        let decoder = &mut self.decoder;
        match py.detach(|| catch_unwind(AssertUnwindSafe(|| decoder.feed(data)))) {
            Ok(fed) => fed.map_err(broken)?,
            Err(_) => return Err(PyRuntimeError::new_err("the kernel failed on a message")),
        }
        Ok(self.decoder.is_full())
    }

    /// The batch so far, by the Arrow C data interface: schema and array.
    fn take<'py>(
        &mut self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let decoder = &mut self.decoder;
        let (array, schema) = py.detach(|| decoder.take()).map_err(broken)?;
        Ok((
            PyCapsule::new_with_value(py, schema, c"arrow_schema")?,
            PyCapsule::new_with_value(py, array, c"arrow_array")?,
        ))
    }

    /// Records of the batch that is open.
    #[getter]
    fn rows(&self) -> usize {
        self.decoder.rows
    }

    /// Whether the server waits for the next query.
    #[getter]
    fn ready(&self) -> bool {
        self.decoder.ready
    }

    /// Fields of the error that the server told, by their one-letter codes; None: it told none.
    #[getter]
    fn error(&self) -> Option<Vec<(char, String)>> {
        let fields = self.decoder.error.as_ref()?;
        Some(
            fields
                .iter()
                .map(|(code, text)| (char::from(*code), text.clone()))
                .collect(),
        )
    }
}

/// The texts of a batch in one run, and 64-bit offsets as Arrow has them.
#[pyfunction]
#[pyo3(signature = (batch, names=None))]
fn texts<'py>(
    py: Python<'py>,
    batch: &Bound<'py, PyAny>,
    names: Option<Vec<String>>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let data = boundary::import(batch)?;
    let (run, edges) = unlocked(py, || written(&data, names.as_deref()))?;
    Ok((PyBytes::new(py, &run), PyBytes::new(py, &edges)))
}

fn written(batch: &ArrayData, names: Option<&[String]>) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let mut records = Records::new(batch, names)?;
    let mut out = Out::new(usize::MAX >> 2);
    let mut run = Vec::new();
    let mut edges = Vec::with_capacity(8 * (records.len + 1));
    edges.extend(0_u64.to_le_bytes());
    for row in 0..records.len {
        records
            .write(&mut out, row)
            .map_err(|stop| Fault::of(stop, row))?;
        run.extend_from_slice(out.text());
        edges.extend((run.len() as u64).to_le_bytes());
    }
    Ok((run, edges))
}

/// The native kernel of Zhixin's datasets.
#[pymodule(gil_used = false)]
fn zhixin_kernel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("PROTOCOL", PROTOCOL)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Refused", module.py().get_type::<Refused>())?;
    module.add_class::<Cutter>()?;
    module.add_class::<Digest>()?;
    module.add_class::<CopyDecoder>()?;
    module.add_function(wrap_pyfunction!(texts, module)?)
}
