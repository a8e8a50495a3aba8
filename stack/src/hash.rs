//! SipHash: one keyed function for everything that a stranger must not be able to predict.
//!
//! Receives whole words and hands on 64 bits. The connection table uses the 1-3 variant (what `std`
//! uses for its own maps); initial sequence numbers and ports use 2-4, as a pseudo-random function
//! (RFC 6528 3, RFC 6056 3.3.4). It is written here because `std`'s keyed maps take their key from
//! the operating system only, while a stack's behaviour follows from the secret it is given.

use std::hash::{BuildHasher, Hasher};

/// The key: 16 bytes that nobody else knows.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    k0: u64,
    k1: u64,
}

impl Key {
    pub(crate) fn new(secret: [u8; 16]) -> Key {
        let whole = u128::from_le_bytes(secret);
        Key { k0: whole as u64, k1: (whole >> 64) as u64 }
    }

    /// SipHash-2-4 of `words`, each as eight little-endian bytes.
    pub(crate) fn prf(self, words: &[u64]) -> u64 {
        let mut state = State::new(self);
        for word in words {
            state.absorb::<2>(*word);
        }
        state.finish::<4>(words.len() as u64 * 8)
    }
}

#[derive(Clone, Copy)]
struct State([u64; 4]);

impl State {
    fn new(key: Key) -> State {
        State([
            key.k0 ^ 0x736f_6d65_7073_6575,
            key.k1 ^ 0x646f_7261_6e64_6f6d,
            key.k0 ^ 0x6c79_6765_6e65_7261,
            key.k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline]
    fn absorb<const ROUNDS: usize>(&mut self, word: u64) {
        self.0[3] ^= word;
        self.rounds::<ROUNDS>();
        self.0[0] ^= word;
    }

    #[inline]
    fn finish<const ROUNDS: usize>(mut self, len: u64) -> u64 {
        // The last block of a message of whole words holds only its length.
        let last = len << 56;
        self.0[3] ^= last;
        if ROUNDS == 4 {
            self.rounds::<2>();
        } else {
            self.rounds::<1>();
        }
        self.0[0] ^= last;
        self.0[2] ^= 0xff;
        self.rounds::<ROUNDS>();
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    #[inline]
    fn rounds<const ROUNDS: usize>(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        for _ in 0..ROUNDS {
            a = a.wrapping_add(b);
            b = b.rotate_left(13) ^ a;
            a = a.rotate_left(32);
            c = c.wrapping_add(d);
            d = d.rotate_left(16) ^ c;
            a = a.wrapping_add(d);
            d = d.rotate_left(21) ^ a;
            c = c.wrapping_add(b);
            b = b.rotate_left(17) ^ c;
            c = c.rotate_left(32);
        }
        self.0 = [a, b, c, d];
    }
}

impl BuildHasher for Key {
    type Hasher = TableHasher;

    #[inline]
    fn build_hasher(&self) -> TableHasher {
        TableHasher { state: State::new(*self), len: 0 }
    }
}

/// SipHash-1-3 over words; what the tables of this crate hash with.
pub(crate) struct TableHasher {
    state: State,
    len: u64,
}

impl Hasher for TableHasher {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.state.absorb::<1>(word);
        self.len += 8;
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    #[inline]
    fn write_u128(&mut self, word: u128) {
        self.write_u64((word >> 64) as u64);
        self.write_u64(word as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        // The keys of our tables hash as words; this is here because the trait asks for it.
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.state.finish::<3>(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(deprecated, reason = "std's SipHash-2-4 takes a key; it is the second opinion")]
    fn agrees_with_the_standard_library() {
        let secret = std::array::from_fn(|i| i as u8);
        let key = Key::new(secret);
        for words in [&[][..], &[0x0706_0504_0302_0100], &[1, u64::MAX, 7]] {
            let mut other = std::hash::SipHasher::new_with_keys(key.k0, key.k1);
            for word in words {
                other.write(&word.to_le_bytes());
            }
            assert_eq!(key.prf(words), other.finish());
        }
        // Appendix A of the paper's test vectors, 8 bytes 00..07.
        assert_eq!(key.prf(&[0x0706_0504_0302_0100]), 0x93f5_f579_9a93_2462);
    }

    #[test]
    fn the_table_hash_depends_on_key_and_words() {
        let hash = |secret: u8, word: u64| {
            let mut h = Key::new([secret; 16]).build_hasher();
            h.write_u64(word);
            h.finish()
        };
        assert_ne!(hash(1, 1), hash(1, 2));
        assert_ne!(hash(1, 1), hash(2, 1));
    }
}
