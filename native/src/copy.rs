//! PostgreSQL's binary COPY, as it comes from the socket, into columns.
//!
//! Message formats: PostgreSQL's documentation, "Message Formats" (`CopyOutResponse` to
//! `ReadyForQuery`) and "COPY", "Binary Format". From the server each `CopyData` holds whole rows.
//! Dates and times are moved from the year 2000 to 1970 and wrap round: who reads them wraps back.

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, to_ffi};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Fields, TimeUnit};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = 946_684_800_000_000;
const NULL: u32 = u32::MAX;

/// What came is in no form that the server sends.
#[derive(Debug)]
pub struct Broken(pub &'static str);

type Step<T> = Result<T, Broken>;

#[derive(Clone, Copy)]
enum Form {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    Instant,
    Bool,
    Text,
    Bytes,
}

impl Form {
    fn of(name: &str) -> Step<Self> {
        Ok(match name {
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "instant" => Self::Instant,
            "bool" => Self::Bool,
            "text" => Self::Text,
            "bytes" => Self::Bytes,
            _ => return Err(Broken("a column of an unknown form")),
        })
    }

    fn arrow(self) -> DataType {
        match self {
            Self::Int2 | Self::Int4 | Self::Int8 => DataType::Int64,
            Self::Float4 | Self::Float8 => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
        }
    }
}

enum Values {
    Wide(Vec<i64>),
    Real(Vec<f64>),
    Days(Vec<i32>),
    Flags(BooleanBufferBuilder),
    Run { ends: Vec<i32>, run: Vec<u8> },
}

struct Column {
    form: Form,
    values: Values,
    valid: NullBufferBuilder,
}

impl Column {
    /// With room for so many values, and so many bytes of texts.
    fn new(form: Form, rows: usize, bytes: usize) -> Self {
        let values = match form {
            Form::Float4 | Form::Float8 => Values::Real(Vec::with_capacity(rows)),
            Form::Date => Values::Days(Vec::with_capacity(rows)),
            Form::Bool => Values::Flags(BooleanBufferBuilder::new(rows)),
            Form::Text | Form::Bytes => {
                let mut ends = Vec::with_capacity(rows + 1);
                ends.push(0);
                let run = Vec::with_capacity(bytes);
                Values::Run { ends, run }
            }
            _ => Values::Wide(Vec::with_capacity(rows)),
        };
        Self {
            form,
            values,
            valid: NullBufferBuilder::new(rows),
        }
    }

    fn add_null(&mut self) {
        self.valid.append_null();
        match &mut self.values {
            Values::Wide(values) => values.push(0),
            Values::Real(values) => values.push(0.0),
            Values::Days(values) => values.push(0),
            Values::Flags(values) => values.append(false),
            Values::Run { ends, .. } => ends.push(ends.last().copied().unwrap_or(0)),
        }
    }

    fn add(&mut self, value: &[u8]) -> Step<()> {
        self.valid.append_non_null();
        match (&mut self.values, self.form) {
            (Values::Wide(values), form) => values.push(wide(value, form)?),
            (Values::Real(values), Form::Float4) => {
                values.push(f64::from(f32::from_be_bytes(exactly(value)?)));
            }
            (Values::Real(values), _) => values.push(f64::from_be_bytes(exactly(value)?)),
            (Values::Days(values), _) => {
                values.push(i32::from_be_bytes(exactly(value)?).wrapping_add(EPOCH_DAYS));
            }
            (Values::Flags(values), _) => values.append(exactly::<1>(value)? != [0]),
            (Values::Run { ends, run }, _) => {
                run.extend_from_slice(value);
                let end = i32::try_from(run.len());
                ends.push(end.map_err(|_| Broken("more than 2 GiB in one batch"))?);
            }
        }
        Ok(())
    }

    fn take(&mut self, rows: usize) -> Step<ArrayData> {
        let bytes = match &self.values {
            Values::Run { run, .. } => run.len() + run.len() / 8, // the next batch is much like it
            _ => 0,
        };
        let fresh = Self::new(self.form, rows, bytes);
        let Self {
            form,
            values,
            mut valid,
        } = std::mem::replace(self, fresh);
        let built = ArrayData::builder(form.arrow())
            .len(rows)
            .nulls(valid.finish());
        let built = match values {
            Values::Wide(values) => built.add_buffer(Buffer::from_vec(values)),
            Values::Real(values) => built.add_buffer(Buffer::from_vec(values)),
            Values::Days(values) => built.add_buffer(Buffer::from_vec(values)),
            Values::Flags(mut values) => built.add_buffer(values.finish().into_inner()),
            Values::Run { ends, run } => built
                .add_buffer(Buffer::from_vec(ends))
                .add_buffer(Buffer::from_vec(run)),
        };
        built
            .build()
            .map_err(|_| Broken("a text that is not UTF-8"))
    }
}

fn wide(value: &[u8], form: Form) -> Step<i64> {
    Ok(match form {
        Form::Int2 => i16::from_be_bytes(exactly(value)?).into(),
        Form::Int4 => i32::from_be_bytes(exactly(value)?).into(),
        Form::Timestamp | Form::Instant => {
            i64::from_be_bytes(exactly(value)?).wrapping_add(EPOCH_US)
        }
        _ => i64::from_be_bytes(exactly(value)?),
    })
}

fn exactly<const N: usize>(value: &[u8]) -> Step<[u8; N]> {
    value
        .try_into()
        .map_err(|_| Broken("a value of another size than its type's"))
}

/// Bytes that are taken from the front.
struct Front<'a>(&'a [u8]);

impl<'a> Front<'a> {
    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(Broken("a message that ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Step<u32> {
        Ok(u32::from_be_bytes(exactly(self.take(4)?)?))
    }
}

/// Makes batches of what one COPY sends.
pub struct Decoder {
    columns: Vec<Column>,
    most_rows: usize,
    most_bytes: usize,
    waiting: Vec<u8>,
    begun: bool,
    bytes: usize,
    /// Records of the batch that is open.
    pub rows: usize,
    /// The server waits for the next query.
    pub ready: bool,
    /// Of the error that the server told, its fields.
    pub error: Option<Vec<(u8, String)>>,
}

impl Decoder {
    /// A batch has at most so many rows, and ends with the row by which it has so many bytes.
    pub fn new(forms: &[String], most_rows: usize, most_bytes: usize) -> Step<Self> {
        let columns = forms
            .iter()
            .map(|name| Form::of(name).map(|form| Column::new(form, 0, 0)))
            .collect::<Step<_>>()?;
        Ok(Self {
            columns,
            most_rows: most_rows.max(1),
            most_bytes,
            waiting: Vec::new(),
            begun: false,
            bytes: 0,
            rows: 0,
            ready: false,
            error: None,
        })
    }

    pub fn is_full(&self) -> bool {
        self.rows >= self.most_rows || self.bytes >= self.most_bytes
    }

    /// Takes in what was received, as far as the batch is not full; the rest waits.
    pub fn feed(&mut self, data: &[u8]) -> Step<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.extend_from_slice(data);
        let mut at = 0;
        while !self.ready && !self.is_full() {
            let Some(head) = waiting.get(at..at + 5) else {
                break;
            };
            let size = u32::from_be_bytes(exactly(&head[1..])?) as usize;
            if size < 4 {
                return Err(Broken("a message of no size"));
            }
            let Some(body) = waiting.get(at + 5..at + 1 + size) else {
                break;
            };
            self.message(head[0], body)?;
            at += 1 + size;
        }
        waiting.drain(..at);
        self.waiting = waiting;
        Ok(())
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Step<()> {
        match kind {
            b'd' => self.rows_of(body),
            b'E' => {
                self.error = Some(fields(body));
                Ok(())
            }
            b'Z' => {
                self.ready = true;
                Ok(())
            }
            b'H' | b'c' | b'C' | b'N' | b'S' | b'A' => Ok(()),
            _ => Err(Broken("a message of another kind than a COPY has")),
        }
    }

    fn rows_of(&mut self, body: &[u8]) -> Step<()> {
        let mut front = Front(body);
        if !self.begun {
            if front.take(SIGNATURE.len())? != SIGNATURE || front.u32()? != 0 {
                return Err(Broken("no binary COPY of the known form"));
            }
            let more = front.u32()? as usize;
            front.take(more)?;
            self.begun = true;
        }
        while !front.0.is_empty() {
            let count = i16::from_be_bytes(exactly(front.take(2)?)?);
            if count == -1 {
                break;
            }
            if usize::try_from(count) != Ok(self.columns.len()) {
                return Err(Broken("a row of another number of columns"));
            }
            for column in &mut self.columns {
                match front.u32()? {
                    NULL => column.add_null(),
                    size => column.add(front.take(size as usize)?)?,
                }
            }
            self.rows += 1;
        }
        self.bytes += body.len();
        Ok(())
    }

    /// The batch so far, as a struct of columns named by their places.
    pub fn take(&mut self) -> Step<(FFI_ArrowArray, FFI_ArrowSchema)> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let columns = self
            .columns
            .iter_mut()
            .map(|column| column.take(rows))
            .collect::<Step<Vec<_>>>()?;
        let named: Fields = columns
            .iter()
            .enumerate()
            .map(|(at, data)| Field::new(at.to_string(), data.data_type().clone(), true))
            .collect();
        let whole = ArrayData::builder(DataType::Struct(named))
            .len(rows)
            .child_data(columns)
            .build()
            .map_err(|_| Broken("columns of different lengths"))?;
        to_ffi(&whole).map_err(|_| Broken("a batch that can't be handed over"))
    }
}

fn fields(body: &[u8]) -> Vec<(u8, String)> {
    body.split(|byte| *byte == 0)
        .filter_map(|field| field.split_first())
        .map(|(code, text)| (*code, String::from_utf8_lossy(text).into_owned()))
        .collect()
}
