//! The one buffer into which a record is written, with what stands before its text in the leaf.

/// Why a record can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A value has no canonical form.
    NoForm,
    /// The text exceeds the limit.
    TooLong,
    /// Offsets or indices point beyond what they point into.
    Broken,
}

/// A leaf's data up to the salt: RFC 6962's prefix and the label.
const LABEL: &[u8] = b"\x00zhixin/record/v1\n";
const SALT: usize = LABEL.len();
/// Where the text begins.
pub const TEXT: usize = SALT + 16;

const BLOCK: usize = 64;
const KEPT_BLOCKS: usize = 1 << 16;
/// Scalars ask for the most that they can need, so the exact limit is for who knows the length.
const SLACK: usize = 4096;

/// A buffer in blocks of SHA-256, reused from record to record.
pub struct Out {
    blocks: Vec<[u8; BLOCK]>,
    len: usize,
    limit: usize,
}

impl Out {
    /// A buffer for texts of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        let mut out = Self {
            blocks: vec![[0; BLOCK]; 64],
            len: TEXT,
            limit,
        };
        out.bytes_mut()[..SALT].copy_from_slice(LABEL);
        out
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.blocks.as_flattened_mut()
    }

    /// Begins the next record.
    pub fn clear(&mut self) {
        self.len = TEXT;
        if self.blocks.len() > KEPT_BLOCKS {
            self.blocks.truncate(KEPT_BLOCKS);
            self.blocks.shrink_to_fit();
        }
    }

    /// The bytes of the text so far.
    pub fn text_len(&self) -> usize {
        self.len - TEXT
    }

    /// Takes back what was written after so many bytes of text.
    pub fn back_to(&mut self, text_len: usize) {
        self.len = TEXT + text_len;
    }

    /// The text so far.
    pub fn text(&self) -> &[u8] {
        &self.blocks.as_flattened()[TEXT..self.len]
    }

    /// At least so many bytes behind the text, to be written and then [`Out::advance`]d over.
    #[inline]
    pub fn room(&mut self, more: usize) -> Result<&mut [u8], Stop> {
        if self.len + more > self.blocks.len() * BLOCK {
            self.grow(more)?;
        }
        let len = self.len;
        Ok(&mut self.bytes_mut()[len..])
    }

    #[cold]
    fn grow(&mut self, more: usize) -> Result<(), Stop> {
        if self.text_len() + more > self.limit + SLACK {
            return Err(Stop::TooLong);
        }
        let blocks = (self.len + more).div_ceil(BLOCK).max(self.blocks.len() * 2);
        self.blocks.resize(blocks, [0; BLOCK]);
        Ok(())
    }

    /// Counts bytes that were written into [`Out::room`].
    #[inline]
    pub fn advance(&mut self, written: usize) {
        self.len += written;
    }

    /// Appends bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.room(bytes.len())?[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Appends one byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) -> Result<(), Stop> {
        self.room(1)?[0] = byte;
        self.len += 1;
        Ok(())
    }

    /// The text followed by a newline, for the content's digest.
    pub fn line(&mut self) -> &[u8] {
        let len = self.len;
        self.hold(len + 1);
        self.bytes_mut()[len] = b'\n';
        &self.blocks.as_flattened()[TEXT..=len]
    }

    /// The padded message of the leaf, label and salt before the text, for SHA-256's compression.
    pub fn leaf(&mut self, salt: &[u8; 16]) -> &[[u8; BLOCK]] {
        let len = self.len;
        let blocks = (len + 9).div_ceil(BLOCK);
        let end = blocks * BLOCK;
        self.hold(end);
        let bytes = self.bytes_mut();
        bytes[SALT..TEXT].copy_from_slice(salt);
        bytes[len] = 0x80;
        bytes[len + 1..end - 8].fill(0);
        bytes[end - 8..end].copy_from_slice(&(8 * len as u64).to_be_bytes());
        &self.blocks[..blocks]
    }

    fn hold(&mut self, bytes: usize) {
        if bytes > self.blocks.len() * BLOCK {
            self.blocks.resize(bytes.div_ceil(BLOCK), [0; BLOCK]);
        }
    }
}
