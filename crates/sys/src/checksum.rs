//! The internet checksum (RFC 1071) at memory speed.
//!
//! Receives bytes and hands on the ones' complement sum of their 16-bit big-endian words. AVX2 is
//! chosen at run time where the processor has it. It knows no header: what is summed, and what is
//! compared with what, is the caller's.
#![allow(unsafe_code, reason = "vector instructions chosen at run time")]

/// A ones' complement sum under construction.
///
/// Pieces may be added in any order, each starting at an even offset of the whole.
///
/// Folded only when it is asked for: it would take 2^30 pieces to overflow.
///
/// The words are added as they lie in memory: the sum does not mind the byte order (RFC 1071 section 2 B), only the end
/// result is turned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// Adds a piece that starts at an even offset. An odd piece is padded with a zero byte, as
    /// RFC 1071 says, so only the last piece may be odd.
    #[must_use]
    #[inline]
    pub fn bytes(self, piece: &[u8]) -> Sum {
        Sum(self.0 + sum(piece))
    }

    /// The same for a piece whose length is known when this is compiled, as a header's: nothing is left to choose.
    #[must_use]
    #[inline]
    pub fn array<const N: usize>(self, piece: &[u8; N]) -> Sum {
        let (longs, rest) = piece.as_chunks::<8>();
        let total = longs.iter().fold(0u64, |total, long| {
            let (total, carry) = total.overflowing_add(u64::from_ne_bytes(*long));
            total + u64::from(carry)
        });
        Sum(self.0 + carried(total) + portable(rest))
    }

    /// Adds one 16-bit word, given in host order.
    #[must_use]
    #[inline]
    pub fn word(self, word: u16) -> Sum {
        Sum(self.0 + u64::from(word.to_be()))
    }

    /// The folded sum, not inverted: what a card expects as the seed of a checksum it completes.
    #[must_use]
    #[inline]
    pub fn folded(self) -> u16 {
        u16::from_be(fold(self.0))
    }

    /// The checksum as it stands in a header: the inverted sum.
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// Whether a region that contains its own checksum is intact (RFC 1071: the sum is all ones).
    #[must_use]
    #[inline]
    pub fn is_valid(self) -> bool {
        // All ones is zero in ones' complement; nothing but zeros is no checksum.
        self.0 != 0 && self.0.is_multiple_of(0xffff)
    }
}

/// Below this length the set-up of the vector loop costs more than it saves.
const VECTOR_MIN_LEN: usize = 64;

/// The sum of a piece in native-endian words, less than 2^34.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= VECTOR_MIN_LEN && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY:
        // 1. `avx2::sum` needs the AVX2 feature, which was detected one line above.
        return unsafe { avx2::sum(bytes) };
    }
    apart(bytes)
}

#[inline(never)]
fn apart(bytes: &[u8]) -> u64 {
    portable(bytes)
}

/// Sums 32-bit native-endian words in a 64-bit accumulator: the ones' complement sum does not mind
/// the width (RFC 1071 section 2 C).
#[inline]
fn portable(bytes: &[u8]) -> u64 {
    let mut total = 0u64;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        total += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut last = [0u8; 4];
        last[..rest.len()].copy_from_slice(rest);
        total += u64::from(u32::from_ne_bytes(last));
    }
    carried(total)
}

/// Adds the upper half to the lower one: less than 2^33.
#[inline]
fn carried(total: u64) -> u64 {
    (total & 0xffff_ffff) + (total >> 32)
}

/// Adds the carries back in: 64 bits become 33, 17 and then 16. Only the sum of nothing but zeros is zero.
#[inline]
fn fold(total: u64) -> u16 {
    let words = carried(total);
    let halves = (words & 0xffff) + (words >> 16 & 0xffff) + (words >> 32);
    let once = (halves & 0xffff) + (halves >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi32, _mm256_and_si256,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_set1_epi16, _mm256_setzero_si256, _mm256_xor_si256,
    };

    /// Bytes of a vector.
    const VECTOR_LEN: usize = 32;

    /// Bytes that are summed at once: a lane changes by at most 65 536 for each vector, and all lanes together by eight
    /// times that, so that even their sum fits an `i32`.
    const BLOCK_LEN: usize = 64 << 10;

    /// What is missing from a vector's sum: its 16 words are each biased by -32 768.
    const BIAS: u64 = 16 * 32_768;

    /// From its byte `n` on, this is a vector that keeps the last `n` bytes of another.
    static LAST: [u8; 2 * VECTOR_LEN] = {
        let mut mask = [0; 2 * VECTOR_LEN];
        let mut at = VECTOR_LEN;
        while at < mask.len() {
            mask[at] = 0xff;
            at += 1;
        }
        mask
    };

    /// The native-endian word sum of `bytes`, less than 2^33.
    ///
    /// Three instructions for 32 bytes: `pmaddwd` adds neighbouring *signed* words, so each word is
    /// biased by -32 768 (an XOR of its top bit) and the bias is added back at the end.
    #[target_feature(enable = "avx2")]
    pub(super) fn sum(bytes: &[u8]) -> u64 {
        if bytes.len() <= BLOCK_LEN { block(bytes) } else { blocks(bytes) }
    }

    /// A block's length is even, so all begin at an even offset.
    #[cold]
    #[target_feature(enable = "avx2")]
    fn blocks(bytes: &[u8]) -> u64 {
        let mut total = 0;
        for piece in bytes.chunks(BLOCK_LEN) {
            total += block(piece);
        }
        super::carried(total)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn block(bytes: &[u8]) -> u64 {
        let (vectors, rest) = bytes.as_chunks::<VECTOR_LEN>();
        let (mut a, mut b) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        // Eight at a time, so that the loop costs little.
        let (eights, others) = vectors.as_chunks::<8>();
        for [q, r, s, t, u, v, w, x] in eights {
            a = _mm256_add_epi32(a, pairs(load(q)));
            b = _mm256_add_epi32(b, pairs(load(r)));
            a = _mm256_add_epi32(a, pairs(load(s)));
            b = _mm256_add_epi32(b, pairs(load(t)));
            a = _mm256_add_epi32(a, pairs(load(u)));
            b = _mm256_add_epi32(b, pairs(load(v)));
            a = _mm256_add_epi32(a, pairs(load(w)));
            b = _mm256_add_epi32(b, pairs(load(x)));
        }
        // At most seven are left: four, two and one of them, or not.
        let (fours, others) = others.as_chunks::<4>();
        if let [[q, r, s, t], ..] = fours {
            a = _mm256_add_epi32(a, pairs(load(q)));
            b = _mm256_add_epi32(b, pairs(load(r)));
            a = _mm256_add_epi32(a, pairs(load(s)));
            b = _mm256_add_epi32(b, pairs(load(t)));
        }
        let (twos, others) = others.as_chunks::<2>();
        if let [[q, r], ..] = twos {
            a = _mm256_add_epi32(a, pairs(load(q)));
            b = _mm256_add_epi32(b, pairs(load(r)));
        }
        if let [q, ..] = others {
            a = _mm256_add_epi32(a, pairs(load(q)));
        }
        let (mut count, mut left) = (vectors.len() as u64, 0);
        match bytes.last_chunk::<VECTOR_LEN>() {
            // What is left are the last bytes of the last vector there is, whose words lie as those before.
            Some(last) if rest.len().is_multiple_of(2) => {
                b = _mm256_add_epi32(b, pairs(_mm256_and_si256(load(last), last_bytes(rest.len()))));
                count += 1;
            }
            _ => left = super::apart(rest),
        }
        // The true sum is never negative.
        let biased = i64::from(lanes(_mm256_add_epi32(a, b)));
        (biased + (count * BIAS) as i64) as u64 + left
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(vector: &[u8; VECTOR_LEN]) -> __m256i {
        // SAFETY:
        // 1. The array is one vector long, and the load is the unaligned one.
        unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) }
    }

    /// A mask of the last `count` bytes of a vector, fewer than all.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn last_bytes(count: usize) -> __m256i {
        match LAST[count % VECTOR_LEN..].first_chunk() {
            Some(mask) => load(mask),
            None => _mm256_setzero_si256(),
        }
    }

    /// Neighbouring words of a vector added, each biased.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn pairs(words: __m256i) -> __m256i {
        _mm256_madd_epi16(_mm256_xor_si256(words, _mm256_set1_epi16(i16::MIN)), _mm256_set1_epi16(1))
    }

    /// The sum of the eight lanes, folded in halves.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn lanes(v: __m256i) -> i32 {
        let four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook loop, one word at a time.
    fn reference(bytes: &[u8]) -> u16 {
        let mut total = 0u64;
        for pair in bytes.chunks(2) {
            total += u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        fold(total)
    }

    /// 0x0000 and 0xffff are the same number in ones' complement.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a.is_multiple_of(0xffff) && b.is_multiple_of(0xffff))
    }

    #[test]
    fn the_example_of_rfc_1071_section_3() {
        assert_eq!(Sum::ZERO.bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).folded(), 0xddf2);
    }

    #[test]
    fn every_length_and_alignment_agrees_with_the_textbook() {
        let data: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for offset in 0..33 {
            for len in (0..200).chain([1447, 1448, 1460, 2048, 4000]) {
                let piece = &data[offset..offset + len];
                assert!(same(Sum(sum(piece)).folded(), reference(piece)), "offset {offset} len {len}");
                assert!(same(Sum(portable(piece)).folded(), reference(piece)), "portable {offset} {len}");
                if let Some(header) = piece.first_chunk::<20>() {
                    let sum = Sum::ZERO.array(header).folded();
                    assert!(same(sum, reference(header)), "array {offset} {len}");
                }
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow_the_lanes() {
        for fill in [0x00u8, 0x7f, 0x80, 0xff] {
            let data = vec![fill; 3 << 20];
            for len in [data.len(), (64 << 10) - 1, 64 << 10, (64 << 10) + 31] {
                let piece = &data[..len];
                assert!(same(Sum(sum(piece)).folded(), reference(piece)), "fill {fill:#x} len {len}");
            }
        }
    }

    #[test]
    fn a_region_with_its_checksum_is_valid_and_a_flipped_bit_is_not() {
        let mut packet: Vec<u8> = (0..1460u32).map(|i| i as u8).collect();
        let checksum = Sum::ZERO.bytes(&packet[2..]).checksum();
        packet[..2].copy_from_slice(&checksum.to_be_bytes());
        assert!(Sum::ZERO.bytes(&packet).is_valid());
        packet[700] ^= 1;
        assert!(!Sum::ZERO.bytes(&packet).is_valid());
    }
}
