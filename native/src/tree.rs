//! SHA-256 by whole messages, salts, and RFC 6962's tree as its right edge.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sha2::block_api::compress256;

/// A digest.
pub type Hash = [u8; 32];

const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// SHA-256 of a message that is padded already.
#[inline]
pub fn hash_padded(blocks: &[[u8; 64]]) -> Hash {
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    let mut hash = [0; 32];
    for (bytes, word) in hash.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

/// The subtrees of a growing tree, the largest first.
#[derive(Default)]
pub struct CompactRange {
    size: u64,
    edge: Vec<Hash>,
}

impl CompactRange {
    pub fn append(&mut self, leaf: Hash) {
        let (mut top, mut bits) = (leaf, self.size);
        while bits & 1 == 1 {
            if let Some(left) = self.edge.pop() {
                top = node(&left, &top);
            }
            bits >>= 1;
        }
        self.edge.push(top);
        self.size += 1;
    }

    /// MTH over the leaves; of none SHA-256 of nothing.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.edge.iter().rev();
        let Some(&last) = subtrees.next() else {
            let mut padding = [[0; 64]];
            padding[0][0] = 0x80;
            return hash_padded(&padding);
        };
        subtrees.fold(last, |right, left| node(left, &right))
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    const BITS: u16 = 8 * 65;
    let mut blocks = [[0; 64]; 2];
    let message = blocks.as_flattened_mut();
    message[0] = 1;
    message[1..33].copy_from_slice(left);
    message[33..65].copy_from_slice(right);
    message[65] = 0x80;
    message[126..].copy_from_slice(&BITS.to_be_bytes());
    hash_padded(&blocks)
}

const AHEAD: usize = 64;

/// Salts in the order of their records: AES-256 of each position, many at once.
pub struct Salts {
    cipher: Aes256,
    next: u64,
    ahead: [aes::Block; AHEAD],
}

impl Salts {
    pub fn new(key: &[u8; 32]) -> Self {
        let cipher = Aes256::new(&(*key).into());
        Self {
            cipher,
            next: 0,
            ahead: [aes::Block::default(); AHEAD],
        }
    }

    #[allow(clippy::cast_possible_truncation)]
    pub fn next(&mut self) -> [u8; 16] {
        let at = self.next as usize % AHEAD;
        if at == 0 {
            for (position, block) in (self.next..).zip(&mut self.ahead) {
                *block = u128::from(position).to_be_bytes().into();
            }
            self.cipher.encrypt_blocks(&mut self.ahead);
        }
        self.next += 1;
        self.ahead[at].into()
    }
}
