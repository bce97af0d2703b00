//! JSON strings as JCS writes them.

use crate::out::{Out, Stop};

/// Bytes that JSON escapes.
#[inline]
fn escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether all bytes stand for themselves in JSON, and are ASCII.
pub fn is_plain(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|chunk| {
        !chunk
            .iter()
            .fold(false, |odd, &byte| odd | escaped(byte) | !byte.is_ascii())
    })
}

/// Appends a string of plain bytes in its quotes.
#[inline]
pub fn put_plain(out: &mut Out, bytes: &[u8]) -> Result<(), Stop> {
    let end = bytes.len() + 1;
    let room = out.room(end + 1)?;
    room[0] = b'"';
    room[1..end].copy_from_slice(bytes);
    room[end] = b'"';
    out.advance(end + 1);
    Ok(())
}

/// Appends a string in its quotes.
pub fn put(out: &mut Out, bytes: &[u8]) -> Result<(), Stop> {
    let (mut escapes, mut wide) = (false, false);
    for &byte in bytes {
        escapes |= escaped(byte);
        wide |= !byte.is_ascii();
    }
    if wide && std::str::from_utf8(bytes).is_err() {
        return Err(Stop::NoForm);
    }
    if !escapes {
        return put_plain(out, bytes);
    }
    out.byte(b'"')?;
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| escaped(byte)) {
        out.put(&rest[..at])?;
        put_escape(out, rest[at])?;
        rest = &rest[at + 1..];
    }
    out.put(rest)?;
    out.byte(b'"')
}

fn put_escape(out: &mut Out, byte: u8) -> Result<(), Stop> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.put(&[b'\\', byte]),
        0x08 => out.put(b"\\b"),
        0x09 => out.put(b"\\t"),
        0x0a => out.put(b"\\n"),
        0x0c => out.put(b"\\f"),
        0x0d => out.put(b"\\r"),
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.put(&[b'\\', b'u', b'0', b'0', high, low])
        }
    }
}
