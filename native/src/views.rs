//! What an array's buffers show, read with their bounds: nothing here trusts an offset or an index.

use arrow_buffer::BooleanBuffer;
use arrow_data::ArrayData;
use arrow_schema::DataType;

use crate::out::Stop;

/// Values of `N` bytes each.
pub struct Fixed<'a, const N: usize>(&'a [u8]);

impl<const N: usize> Fixed<'_, N> {
    /// The bytes of a row's value.
    #[inline]
    pub fn at(&self, row: usize) -> Result<[u8; N], Stop> {
        let found = self
            .0
            .get(row * N..row * N + N)
            .and_then(|bytes| bytes.try_into().ok());
        found.ok_or(Stop::Broken)
    }
}

/// Where the values of a list, string or binary begin and end.
pub enum Edges<'a> {
    Narrow(Fixed<'a, 4>),
    Wide(Fixed<'a, 8>),
}

impl Edges<'_> {
    /// Where a row's value begins, and the one before it ends.
    #[inline]
    pub fn at(&self, row: usize) -> Result<usize, Stop> {
        let edge = match self {
            Self::Narrow(edges) => i64::from(i32::from_le_bytes(edges.at(row)?)),
            Self::Wide(edges) => i64::from_le_bytes(edges.at(row)?),
        };
        usize::try_from(edge).map_err(|_| Stop::Broken)
    }
}

/// Strings or binaries.
pub struct Bytes<'a> {
    edges: Edges<'a>,
    first: usize,
    shown: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// All of them, one behind the other.
    pub fn all(&self) -> &'a [u8] {
        self.shown
    }

    /// One of them.
    #[inline]
    pub fn at(&self, row: usize) -> Result<&'a [u8], Stop> {
        let start = self
            .edges
            .at(row)?
            .checked_sub(self.first)
            .ok_or(Stop::Broken)?;
        let end = self
            .edges
            .at(row + 1)?
            .checked_sub(self.first)
            .ok_or(Stop::Broken)?;
        self.shown.get(start..end).ok_or(Stop::Broken)
    }
}

/// Which element of a dictionary each row has.
pub enum Indices<'a> {
    I8(Fixed<'a, 1>),
    I16(Fixed<'a, 2>),
    I32(Fixed<'a, 4>),
    I64(Fixed<'a, 8>),
}

impl Indices<'_> {
    /// The element of a row.
    #[inline]
    pub fn at(&self, row: usize) -> Result<usize, Stop> {
        let index = match self {
            Self::I8(values) => i64::from(i8::from_le_bytes(values.at(row)?)),
            Self::I16(values) => i64::from(i16::from_le_bytes(values.at(row)?)),
            Self::I32(values) => i64::from(i32::from_le_bytes(values.at(row)?)),
            Self::I64(values) => i64::from_le_bytes(values.at(row)?),
        };
        usize::try_from(index).map_err(|_| Stop::Broken)
    }
}

/// The part of a buffer that the array shows, as values of `N` bytes each and `more` behind.
pub fn fixed<const N: usize>(data: &ArrayData, more: usize) -> Result<Fixed<'_, N>, String> {
    if data.is_empty() {
        return Ok(Fixed(&[])); // such an array may have no buffer
    }
    let buffer = data.buffers().first().ok_or("without its buffer")?;
    let found = buffer.get(data.offset() * N..(data.offset() + data.len() + more) * N);
    found
        .map(Fixed)
        .ok_or_else(|| "with a buffer that is too short".into())
}

/// One more than the array has rows.
pub fn edges(data: &ArrayData, wide: bool) -> Result<Edges<'_>, String> {
    Ok(if wide {
        Edges::Wide(fixed(data, 1)?)
    } else {
        Edges::Narrow(fixed(data, 1)?)
    })
}

/// The strings or binaries of an array.
pub fn bytes(data: &ArrayData) -> Result<Bytes<'_>, String> {
    let wide = matches!(
        data.data_type(),
        DataType::LargeUtf8 | DataType::LargeBinary
    );
    let edges = edges(data, wide)?;
    if data.is_empty() {
        return Ok(Bytes {
            edges,
            first: 0,
            shown: &[],
        });
    }
    let broken = |_| "with offsets beyond its bytes".to_string();
    let (first, last) = (
        edges.at(0).map_err(broken)?,
        edges.at(data.len()).map_err(broken)?,
    );
    let all = data
        .buffers()
        .get(1)
        .map_or(&[][..], |buffer| buffer.as_slice());
    let shown = all
        .get(first..last)
        .ok_or("with offsets beyond its bytes")?;
    Ok(Bytes {
        edges,
        first,
        shown,
    })
}

/// The bits of an array.
pub fn booleans(data: &ArrayData) -> Result<BooleanBuffer, String> {
    let buffer = data.buffers().first().ok_or("without its buffer")?;
    if buffer.len() * 8 < data.offset() + data.len() {
        return Err("with a buffer that is too short".into());
    }
    Ok(BooleanBuffer::new(
        buffer.clone(),
        data.offset(),
        data.len(),
    ))
}
