//! A batch's records, written one after another.

use arrow_data::ArrayData;

use crate::column::Column;
use crate::out::{Out, Stop};

/// What is wrong with a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// A record holds a value without canonical form.
    NoForm(usize),
    /// A record's text exceeds the limit.
    TooLong(usize),
    /// With this record a part's texts exceed the limit.
    TooMuch(usize),
    /// A column has a type or layout that no field has.
    Columns(String),
    /// Offsets or indices of a record point beyond what they point into.
    Broken(usize),
    /// An earlier batch was refused.
    Over,
}

impl Fault {
    pub fn of(stop: Stop, row: usize) -> Self {
        match stop {
            Stop::NoForm => Self::NoForm(row),
            Stop::TooLong => Self::TooLong(row),
            Stop::Broken => Self::Broken(row),
        }
    }
}

/// The columns of a batch.
pub struct Records<'a> {
    columns: Vec<Column<'a>>,
    offset: usize,
    /// How many records there are.
    pub len: usize,
    starts: Vec<usize>,
}

impl<'a> Records<'a> {
    /// Reads the columns of a batch, which is a struct without nulls.
    pub fn new(batch: &'a ArrayData, names: Option<&[String]>) -> Result<Self, Fault> {
        let mut names = names.map(|names| names.iter());
        let columns: Result<Vec<_>, _> = batch
            .child_data()
            .iter()
            .enumerate()
            .map(|(at, data)| {
                if data.len() < batch.offset() + batch.len() {
                    return Err(Fault::Columns(format!("column {at} is too short")));
                }
                Column::new(data, &mut names)
                    .map_err(|why| Fault::Columns(format!("column {at} is {why}")))
            })
            .collect();
        let columns = columns?;
        if columns.is_empty() {
            return Err(Fault::Columns("there is no column".into()));
        }
        Ok(Self {
            starts: vec![0; columns.len()],
            columns,
            offset: batch.offset(),
            len: batch.len(),
        })
    }

    /// Writes a record's text.
    pub fn write(&mut self, out: &mut Out, row: usize) -> Result<(), Stop> {
        out.clear();
        let row = self.offset + row;
        let mut before = b'[';
        for (column, start) in self.columns.iter_mut().zip(&mut self.starts) {
            out.byte(before)?;
            *start = out.text_len();
            column.write(out, row)?;
            before = b',';
        }
        out.byte(b']')
    }

    /// CRC-32 of a key's text, from the record that was written last; None: it has no fields.
    #[inline]
    pub fn key_crc(&self, out: &Out, key: &[usize]) -> Result<Option<u32>, Stop> {
        if key.is_empty() {
            return Ok(None);
        }
        let mut crc = crc32fast::Hasher::new();
        let mut before = b"[";
        for &at in key {
            let start = *self.starts.get(at).ok_or(Stop::Broken)?;
            let end = self.starts.get(at + 1).map_or(out.text_len(), |next| *next) - 1;
            crc.update(before);
            crc.update(out.text().get(start..end).ok_or(Stop::Broken)?);
            before = b",";
        }
        crc.update(b"]");
        Ok(Some(crc.finalize()))
    }
}
