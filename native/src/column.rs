//! Columns of a batch, ready to write the element of any row.

use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::out::{Out, Stop};
use crate::scalars::{self, Day};
use crate::strings;
use crate::views::{Bytes, Edges, Fixed, Indices, booleans, bytes, edges, fixed};

/// Lists, structs and dictionaries around a scalar, with room beyond the formats' 8.
const MAX_DEPTH: usize = 24;

/// The names of structs' members, from the outside in, where the interface can't carry them.
pub type Names<'n> = Option<std::slice::Iter<'n, String>>;

/// One column: its nulls and its values.
pub struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(BooleanBuffer),
    Integer(Fixed<'a, 8>),
    Unsigned(Fixed<'a, 8>),
    Float(Fixed<'a, 8>),
    Decimal {
        values: Fixed<'a, 16>,
        most: u128,
        scale: usize,
    },
    String {
        values: Bytes<'a>,
        plain: bool,
    },
    Binary(Bytes<'a>),
    Date(Fixed<'a, 4>, Day),
    Time(Fixed<'a, 8>),
    Timestamp {
        values: Fixed<'a, 8>,
        zoned: bool,
        day: Day,
    },
    List {
        edges: Edges<'a>,
        items: Box<Column<'a>>,
    },
    Struct {
        offset: usize,
        members: Vec<(Vec<u8>, Column<'a>)>,
    },
    Dictionary {
        indices: Indices<'a>,
        values: Box<Column<'a>>,
        written: Option<Written>,
    },
}

/// The elements of a dictionary, written once each.
struct Written {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    invalid: Vec<bool>,
}

impl Written {
    /// Beyond this a dictionary is not written ahead: its values may never be asked for.
    const MAX_BYTES: usize = 1 << 22;

    fn new(values: &mut Column<'_>, len: usize) -> Option<Self> {
        let mut out = Out::new(Self::MAX_BYTES);
        let mut ends = Vec::with_capacity(len);
        let mut invalid = Vec::with_capacity(len);
        for row in 0..len {
            let before = out.text_len();
            let stopped = values.write(&mut out, row);
            match stopped {
                Ok(()) => invalid.push(false),
                Err(Stop::NoForm) => {
                    out.back_to(before);
                    invalid.push(true);
                }
                Err(_) => return None,
            }
            ends.push(out.text_len());
        }
        Some(Self {
            bytes: out.text().to_vec(),
            ends,
            invalid,
        })
    }

    #[inline]
    fn put(&self, out: &mut Out, index: usize) -> Result<(), Stop> {
        if *self.invalid.get(index).ok_or(Stop::Broken)? {
            return Err(Stop::NoForm);
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        out.put(&self.bytes[start..self.ends[index]])
    }
}

impl<'a> Column<'a> {
    /// Reads an array; Err: what its type or layout is, where no field can have it.
    ///
    /// The names of structs' members are C strings in the interface, which end at U+0000. `names`
    /// has them whole, in the order of the types, where a name holds one.
    pub fn new(data: &'a ArrayData, names: &mut Names<'_>) -> Result<Self, String> {
        Self::nested(data, 0, names)
    }

    fn nested(data: &'a ArrayData, depth: usize, names: &mut Names<'_>) -> Result<Self, String> {
        if depth > MAX_DEPTH {
            return Err("too deeply nested".into());
        }
        let values = match data.data_type() {
            DataType::Boolean => Values::Boolean(booleans(data)?),
            DataType::Int64 => Values::Integer(fixed(data, 0)?),
            DataType::UInt64 => Values::Unsigned(fixed(data, 0)?),
            DataType::Float64 => Values::Float(fixed(data, 0)?),
            DataType::Date32 => Values::Date(fixed(data, 0)?, Day::new()),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(fixed(data, 0)?),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Values::Timestamp {
                values: fixed(data, 0)?,
                zoned: zone.is_some(),
                day: Day::new(),
            },
            &DataType::Decimal128(precision, scale) => decimals(data, precision, scale)?,
            DataType::Utf8 | DataType::LargeUtf8 => {
                let values = bytes(data)?;
                let plain = strings::is_plain(values.all());
                Values::String { values, plain }
            }
            DataType::Binary | DataType::LargeBinary => Values::Binary(bytes(data)?),
            DataType::List(_) => {
                let items = Box::new(Self::nested(child(data, 0)?, depth + 1, names)?);
                Values::List {
                    edges: edges(data, false)?,
                    items,
                }
            }
            DataType::Struct(_) => members(data, depth, names)?,
            DataType::Dictionary(keys, _) => coded(data, keys, depth, names)?,
            other => return Err(format!("of type {other}")),
        };
        Ok(Self {
            nulls: data.nulls(),
            values,
        })
    }

    /// Appends the element of a row.
    pub fn write(&mut self, out: &mut Out, row: usize) -> Result<(), Stop> {
        if let Some(nulls) = self.nulls {
            if row >= nulls.len() {
                return Err(Stop::Broken);
            }
            if nulls.is_null(row) {
                return out.put(b"null");
            }
        }
        match &mut self.values {
            Values::Boolean(values) => {
                if row >= values.len() {
                    return Err(Stop::Broken);
                }
                out.put(if values.value(row) {
                    b"\"true\""
                } else {
                    b"\"false\""
                })
            }
            Values::Integer(values) => {
                let value = i64::from_le_bytes(values.at(row)?);
                quoted(out, |room| Some(scalars::integer(room, value)))
            }
            Values::Unsigned(values) => {
                let value = u64::from_le_bytes(values.at(row)?);
                quoted(out, |room| Some(scalars::integer(room, value)))
            }
            Values::Float(values) => {
                let value = f64::from_le_bytes(values.at(row)?);
                quoted(out, |room| scalars::float(room, value))
            }
            Values::Decimal {
                values,
                most,
                scale,
            } => {
                let value = i128::from_le_bytes(values.at(row)?);
                quoted(out, |room| scalars::decimal(room, value, *most, *scale))
            }
            Values::String {
                values,
                plain: true,
            } => strings::put_plain(out, values.at(row)?),
            Values::String {
                values,
                plain: false,
            } => strings::put(out, values.at(row)?),
            Values::Binary(values) => put_base64(out, values.at(row)?),
            Values::Date(values, day) => {
                let value = i64::from(i32::from_le_bytes(values.at(row)?));
                quoted(out, |room| day.write(room, value))
            }
            Values::Time(values) => {
                let value = i64::from_le_bytes(values.at(row)?);
                quoted(out, |room| scalars::time(room, value))
            }
            Values::Timestamp { values, zoned, day } => {
                let value = i64::from_le_bytes(values.at(row)?);
                quoted(out, |room| day.instant(room, value, *zoned))
            }
            Values::List { edges, items } => {
                put_list(out, edges.at(row)?..edges.at(row + 1)?, items)
            }
            Values::Struct { offset, members } => {
                for (label, member) in members {
                    out.put(label)?;
                    member.write(out, *offset + row)?;
                }
                out.byte(b'}')
            }
            Values::Dictionary {
                indices,
                values,
                written,
            } => match written {
                Some(written) => written.put(out, indices.at(row)?),
                None => values.write(out, indices.at(row)?),
            },
        }
    }
}

#[inline]
fn quoted(out: &mut Out, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Stop> {
    let room = out.room(scalars::MOST + 2)?;
    room[0] = b'"';
    let written = write(&mut room[1..]).ok_or(Stop::NoForm)?;
    room[written + 1] = b'"';
    out.advance(written + 2);
    Ok(())
}

fn put_base64(out: &mut Out, bytes: &[u8]) -> Result<(), Stop> {
    let room = out.room(bytes.len().div_ceil(3) * 4 + 2)?;
    room[0] = b'"';
    let written = STANDARD
        .encode_slice(bytes, &mut room[1..])
        .map_err(|_| Stop::Broken)?;
    room[written + 1] = b'"';
    out.advance(written + 2);
    Ok(())
}

fn put_list(
    out: &mut Out,
    rows: std::ops::Range<usize>,
    items: &mut Column<'_>,
) -> Result<(), Stop> {
    if rows.start > rows.end {
        return Err(Stop::Broken);
    }
    out.byte(b'[')?;
    let first = rows.start;
    for row in rows {
        if row > first {
            out.byte(b',')?;
        }
        items.write(out, row)?;
    }
    out.byte(b']')
}

fn child(data: &ArrayData, at: usize) -> Result<&ArrayData, String> {
    data.child_data()
        .get(at)
        .ok_or_else(|| "without its child".into())
}

fn decimals(data: &ArrayData, precision: u8, scale: i8) -> Result<Values<'_>, String> {
    let most = 10_u128.pow(u32::from(precision.min(38))) - 1;
    let scale = usize::try_from(scale).map_err(|_| "with a negative scale")?;
    if scale > 38 {
        return Err("with a scale beyond 38".into());
    }
    Ok(Values::Decimal {
        values: fixed(data, 0)?,
        most,
        scale,
    })
}

/// A struct's members in the order of their names' UTF-16, each with what stands before it.
fn members<'a>(
    data: &'a ArrayData,
    depth: usize,
    names: &mut Names<'_>,
) -> Result<Values<'a>, String> {
    let DataType::Struct(fields) = data.data_type() else {
        return Err("without members".into());
    };
    let mut found = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        let name = match names {
            Some(names) => names.next().ok_or("with members that have no name")?,
            None => field.name(),
        };
        found.push((
            name.clone(),
            Column::nested(child(data, at)?, depth + 1, names)?,
        ));
    }
    found.sort_by_cached_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
    let mut members = Vec::with_capacity(found.len());
    for (name, member) in found {
        let before = if members.is_empty() { b'{' } else { b',' };
        members.push((
            label(before, &name).map_err(|_| "with a name that is too long")?,
            member,
        ));
    }
    if members.is_empty() {
        return Err("without members".into());
    }
    Ok(Values::Struct {
        offset: data.offset(),
        members,
    })
}

fn label(before: u8, name: &str) -> Result<Vec<u8>, Stop> {
    let mut out = Out::new(1 << 20);
    out.byte(before)?;
    strings::put(&mut out, name.as_bytes())?;
    out.byte(b':')?;
    Ok(out.text().to_vec())
}

fn coded<'a>(
    data: &'a ArrayData,
    keys: &DataType,
    depth: usize,
    names: &mut Names<'_>,
) -> Result<Values<'a>, String> {
    let indices = match keys {
        DataType::Int8 => Indices::I8(fixed(data, 0)?),
        DataType::Int16 => Indices::I16(fixed(data, 0)?),
        DataType::Int32 => Indices::I32(fixed(data, 0)?),
        DataType::Int64 => Indices::I64(fixed(data, 0)?),
        other => return Err(format!("with dictionary indices of type {other}")),
    };
    let dictionary = child(data, 0)?;
    let mut values = Box::new(Column::nested(dictionary, depth + 1, names)?);
    let repeated = dictionary.len() * 2 <= data.len();
    let written = if repeated {
        Written::new(&mut values, dictionary.len())
    } else {
        None
    };
    Ok(Values::Dictionary {
        indices,
        values,
        written,
    })
}
