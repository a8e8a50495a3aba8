//! SHA-256 of payload as it arrives, and the check against the trailer behind it.
//!
//! The experiments hash only when asked, and say so in their report: a hash between the marks would be most of
//! the measured work.

use crate::protocol::DIGEST_LEN;
use core::fmt::Write as _;
use sha2::{Digest as _, Sha256};

/// A SHA-256 value.
pub type Digest = [u8; DIGEST_LEN];

/// A running hash over received payload.
#[derive(Debug, Default, Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hash over nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends payload.
    pub fn update(&mut self, payload: &[u8]) {
        self.0.update(payload);
    }

    /// The hash of everything appended.
    #[must_use]
    pub fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

/// Splits a received stream into its payload, which is hashed, and the trailer behind it.
///
/// Feed it every received byte in order; how they are cut into pieces does not matter.
#[derive(Debug)]
pub struct Verifier {
    hasher: Hasher,
    payload_left: u64,
    trailer: [u8; DIGEST_LEN],
    trailer_len: usize,
}

impl Verifier {
    /// Expects `payload` bytes and then a trailer of 32 bytes.
    #[must_use]
    pub fn new(payload: u64) -> Self {
        Self { hasher: Hasher::new(), payload_left: payload, trailer: [0; DIGEST_LEN], trailer_len: 0 }
    }

    /// Takes the next received bytes; bytes behind the trailer are ignored.
    pub fn update(&mut self, received: &[u8]) {
        let payload = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(received.len());
        let (payload, rest) = received.split_at(payload);
        self.hasher.update(payload);
        self.payload_left -= payload.len() as u64;
        for (slot, byte) in self.trailer.iter_mut().skip(self.trailer_len).zip(rest) {
            *slot = *byte;
            self.trailer_len += 1;
        }
    }

    /// Whether payload and trailer are both complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.payload_left == 0 && self.trailer_len == DIGEST_LEN
    }

    /// Our hash of the payload, and whether the trailer says the same. An incomplete stream is never right.
    #[must_use]
    pub fn finish(self) -> (Digest, bool) {
        let complete = self.is_complete();
        let ours = self.hasher.finish();
        (ours, complete && ours == self.trailer)
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(digest: &Digest) -> String {
    let mut text = String::with_capacity(2 * DIGEST_LEN);
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha256(payload: &[u8]) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(payload);
        hasher.finish()
    }

    #[test]
    fn the_empty_hash_is_the_published_one() {
        // FIPS 180-4 example: SHA-256 of the empty message.
        assert_eq!(
            hex(&Hasher::new().finish()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn a_verifier_does_not_care_how_the_stream_is_cut() {
        let payload = [7u8; 500];
        let mut stream = payload.to_vec();
        stream.extend(sha256(&payload));
        for cut in [1, 3, 499, 500, 501, 531, 532] {
            let mut verifier = Verifier::new(500);
            stream.chunks(cut).for_each(|piece| verifier.update(piece));
            assert!(verifier.is_complete());
            assert!(verifier.finish().1, "cut {cut}");
        }
    }

    #[test]
    fn one_wrong_or_missing_byte_is_seen() {
        let payload = [7u8; 500];
        let mut stream = payload.to_vec();
        stream.extend(sha256(&payload));
        stream[250] ^= 1;
        let mut verifier = Verifier::new(500);
        verifier.update(&stream);
        assert!(!verifier.finish().1);
        stream[250] ^= 1;
        let mut verifier = Verifier::new(500);
        verifier.update(&stream[..531]);
        assert!(!verifier.finish().1);
    }
}
