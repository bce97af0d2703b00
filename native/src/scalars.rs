//! Canonical forms of scalars, written into a given slice; each says how many bytes it wrote.

/// The most bytes that any of these writes.
pub const MOST: usize = 64;

const DAY_US: i64 = 86_400_000_000;
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

#[allow(clippy::cast_possible_truncation)]
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

#[inline]
fn copy(room: &mut [u8], bytes: &[u8]) -> usize {
    room[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

#[inline]
fn pair(room: &mut [u8], at: usize, value: u32) {
    room[at..at + 2].copy_from_slice(&PAIRS[value as usize % 100]);
}

/// Decimal digits.
#[inline]
pub fn integer(room: &mut [u8], value: impl itoa::Integer) -> usize {
    copy(room, itoa::Buffer::new().format(value).as_bytes())
}

/// `Number::toString`, but -0 for negative zero; None: not finite.
#[inline]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp
)]
pub fn float(room: &mut [u8], value: f64) -> Option<usize> {
    const EXACT: u64 = 1 << 53;
    if !value.is_finite() {
        return None;
    }
    let whole = value as i64;
    if whole as f64 == value && whole.unsigned_abs() < EXACT {
        if whole == 0 && value.is_sign_negative() {
            return Some(copy(room, b"-0"));
        }
        return Some(integer(room, whole));
    }
    Some(copy(
        room,
        ryu_js::Buffer::new().format_finite(value).as_bytes(),
    ))
}

/// A decimal of so many digits after its point; None: it has more digits than `most`.
#[inline]
pub fn decimal(room: &mut [u8], value: i128, most: u128, scale: usize) -> Option<usize> {
    let size = value.unsigned_abs();
    if size > most {
        return None;
    }
    let mut buffer = itoa::Buffer::new();
    let digits = match u64::try_from(size) {
        Ok(small) => buffer.format(small).as_bytes(),
        Err(_) => buffer.format(size).as_bytes(),
    };
    let mut at = 0;
    if value < 0 {
        room[0] = b'-';
        at = 1;
    }
    if scale == 0 {
        return Some(at + copy(&mut room[at..], digits));
    }
    let whole = digits.len().saturating_sub(scale);
    at += if whole == 0 {
        copy(&mut room[at..], b"0")
    } else {
        copy(&mut room[at..], &digits[..whole])
    };
    room[at] = b'.';
    at += 1;
    let zeros = scale - (digits.len() - whole);
    room[at..at + zeros].fill(b'0');
    at += zeros;
    Some(at + copy(&mut room[at..], &digits[whole..]))
}

/// The last day that was written: neighbours in a column are often of one day.
pub struct Day {
    day: i64,
    text: [u8; 10],
}

impl Day {
    pub fn new() -> Self {
        Self {
            day: i64::MIN,
            text: [0; 10],
        }
    }

    /// `YYYY-MM-DD`; None: outside of the years 0001 to 9999.
    #[inline]
    pub fn write(&mut self, room: &mut [u8], day: i64) -> Option<usize> {
        if day != self.day {
            if !(FIRST_DAY..=LAST_DAY).contains(&day) {
                return None;
            }
            self.text = date(day);
            self.day = day;
        }
        Some(copy(room, &self.text))
    }

    /// `YYYY-MM-DDTHH:MM:SS.ffffff`, and `Z` where the type has a zone; None: as for a day.
    #[inline]
    pub fn instant(&mut self, room: &mut [u8], us: i64, zoned: bool) -> Option<usize> {
        let at = self.write(room, us.div_euclid(DAY_US))?;
        room[at] = b'T';
        let at = at + 1 + time(&mut room[at + 1..], us.rem_euclid(DAY_US))?;
        if zoned {
            room[at] = b'Z';
        }
        Some(at + usize::from(zoned))
    }
}

/// Days since 1970 in the proleptic Gregorian calendar, by eras of 400 years from March on.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn date(day: i64) -> [u8; 10] {
    let day = (day + 719_468) as u32; // since 0000-03-01; not negative in the years that we take
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u32::from(month <= 2);
    let mut text = *b"0000-00-00";
    pair(&mut text, 0, year / 100);
    pair(&mut text, 2, year);
    pair(&mut text, 5, month);
    pair(&mut text, 8, day);
    text
}

/// `HH:MM:SS.ffffff`; None: not below 24:00.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn time(room: &mut [u8], us: i64) -> Option<usize> {
    if !(0..DAY_US).contains(&us) {
        return None;
    }
    let (seconds, micros) = ((us / 1_000_000) as u32, (us % 1_000_000) as u32);
    let text = &mut room[..15];
    text.copy_from_slice(b"00:00:00.000000");
    pair(text, 0, seconds / 3600);
    pair(text, 3, seconds / 60 % 60);
    pair(text, 6, seconds % 60);
    pair(text, 9, micros / 10_000);
    pair(text, 11, micros / 100);
    pair(text, 13, micros);
    Some(15)
}
