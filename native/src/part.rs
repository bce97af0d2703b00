//! A part while its records pass by, and where parts end.

use arrow_data::ArrayData;
use sha2::{Digest as _, Sha256};

use crate::out::{Out, Stop};
use crate::records::{Fault, Records};
use crate::tree::{CompactRange, Hash, Salts, hash_padded};

/// What is hashed of one part.
pub struct Part {
    salted: Option<Salted>,
    content: Sha256,
    /// Records so far.
    pub records: u64,
    /// Bytes of their texts.
    pub text_bytes: u64,
}

struct Salted {
    key: [u8; 32],
    salts: Salts,
    tree: CompactRange,
    leaves: Option<Vec<Hash>>,
}

impl Part {
    /// Begins a part; without a salt key its content alone is hashed.
    pub fn new(salt_key: Option<[u8; 32]>, keep_leaves: bool) -> Self {
        let salted = salt_key.map(|key| Salted {
            key,
            salts: Salts::new(&key),
            tree: CompactRange::default(),
            leaves: keep_leaves.then(Vec::new),
        });
        Self {
            salted,
            content: Sha256::new(),
            records: 0,
            text_bytes: 0,
        }
    }

    /// Takes in the record that was written last.
    fn add(&mut self, out: &mut Out) {
        self.content.update(out.line());
        if let Some(salted) = &mut self.salted {
            let leaf = hash_padded(out.leaf(&salted.salts.next()));
            salted.tree.append(leaf);
            if let Some(leaves) = &mut salted.leaves {
                leaves.push(leaf);
            }
        }
        self.records += 1;
        self.text_bytes += out.text_len() as u64;
    }

    pub fn content(&self) -> Hash {
        self.content.clone().finalize().into()
    }

    pub fn root(&self) -> Option<Hash> {
        self.salted.as_ref().map(|salted| salted.tree.root())
    }

    pub fn salt_key(&self) -> Option<[u8; 32]> {
        self.salted.as_ref().map(|salted| salted.key)
    }

    pub fn leaves(&self) -> &[Hash] {
        self.salted
            .as_ref()
            .and_then(|salted| salted.leaves.as_deref())
            .unwrap_or(&[])
    }
}

/// Where a part ends: section 2.1 of the formats.
pub struct Rule {
    /// The bits of a key's CRC-32 that are zero.
    pub mask: u32,
    /// Records that a part has before its content may end it.
    pub least_records: u64,
    /// Records after which it ends.
    pub most_records: u64,
    /// Bytes of texts at which it ends.
    pub most_bytes: u64,
}

impl Rule {
    /// Whether its content may end a part that has so much.
    fn by_content(&self, part: &Part) -> bool {
        part.records >= self.least_records
    }

    /// Whether a part ends here; `crc` is of the last record's key, where there is one that counts.
    fn ends(&self, part: &Part, crc: Option<u32>) -> bool {
        part.records >= self.most_records
            || part.text_bytes >= self.most_bytes
            || crc.is_some_and(|crc| crc & self.mask == 0)
    }
}

/// Cuts records into parts, and hashes each.
pub struct Cutter {
    rule: Rule,
    key: Vec<usize>,
    part: Option<Part>,
    most_text: usize,
    out: Out,
    over: bool,
}

impl Cutter {
    /// Begins without records; `key` holds the positions of the key's columns.
    pub fn new(rule: Rule, key: Vec<usize>, most_text: usize) -> Self {
        Self {
            rule,
            key,
            part: None,
            most_text,
            out: Out::new(most_text),
            over: false,
        }
    }

    /// Takes in a batch: for each part that ended the row after its last record, and the part.
    pub fn feed<E: From<Fault>>(
        &mut self,
        batch: &ArrayData,
        names: Option<&[String]>,
        begin: impl FnMut() -> Result<Part, E>,
    ) -> Result<Vec<(usize, Part)>, E> {
        if std::mem::replace(&mut self.over, true) {
            return Err(Fault::Over.into());
        }
        let ended = self.feed_all(batch, names, begin)?;
        self.over = false;
        Ok(ended)
    }

    fn feed_all<E: From<Fault>>(
        &mut self,
        batch: &ArrayData,
        names: Option<&[String]>,
        mut begin: impl FnMut() -> Result<Part, E>,
    ) -> Result<Vec<(usize, Part)>, E> {
        let mut records = Records::new(batch, names)?;
        let mut ended = Vec::new();
        for row in 0..records.len {
            records
                .write(&mut self.out, row)
                .map_err(|stop| Fault::of(stop, row))?;
            if self.out.text_len() > self.most_text {
                return Err(Fault::TooLong(row).into());
            }
            let part = match &mut self.part {
                Some(part) => part,
                none => none.insert(begin()?),
            };
            part.add(&mut self.out);
            let key = if self.rule.by_content(part) {
                &self.key[..]
            } else {
                &[]
            };
            let crc = records
                .key_crc(&self.out, key)
                .map_err(|stop| Fault::of(stop, row))?;
            if self.rule.ends(part, crc) {
                ended.extend(self.part.take().map(|part| (row + 1, part)));
            }
        }
        Ok(ended)
    }

    /// Ends the part that is open.
    pub fn end(&mut self) -> Result<Option<Part>, Fault> {
        if self.over {
            Err(Fault::Over)
        } else {
            Ok(self.part.take())
        }
    }
}

/// Hashes one part, whose texts with their newlines have at most so many bytes.
pub struct Digest {
    pub part: Part,
    most_bytes: u64,
    out: Out,
    over: bool,
}

impl Digest {
    pub fn new(part: Part, most_bytes: u64) -> Self {
        let limit = usize::try_from(most_bytes).unwrap_or(usize::MAX >> 1);
        Self {
            part,
            most_bytes,
            out: Out::new(limit),
            over: false,
        }
    }

    pub fn append(&mut self, batch: &ArrayData, names: Option<&[String]>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.over, true) {
            return Err(Fault::Over);
        }
        let mut records = Records::new(batch, names)?;
        for row in 0..records.len {
            records
                .write(&mut self.out, row)
                .map_err(|stop| match stop {
                    Stop::TooLong => Fault::TooMuch(row),
                    other => Fault::of(other, row),
                })?;
            let more = self.out.text_len() as u64 + 1;
            if self.part.text_bytes + self.part.records + more > self.most_bytes {
                return Err(Fault::TooMuch(row));
            }
            self.part.add(&mut self.out);
        }
        self.over = false;
        Ok(())
    }
}
