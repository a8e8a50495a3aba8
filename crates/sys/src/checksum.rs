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
/// Folded only when it is asked for: it would take 2^47 pieces to overflow.
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
        Sum(self.0 + u64::from(sum_be(piece)))
    }

    /// Adds one 16-bit word, given in host order.
    #[must_use]
    #[inline]
    pub fn word(self, word: u16) -> Sum {
        Sum(self.0 + u64::from(word))
    }

    /// The folded sum, not inverted: what a card expects as the seed of a checksum it completes.
    #[must_use]
    #[inline]
    pub fn folded(self) -> u16 {
        fold(self.0)
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
        self.folded() == 0xffff
    }
}

/// Below this length the set-up of the vector loop costs more than it saves.
const VECTOR_MIN_LEN: usize = 64;

fn sum_be(bytes: &[u8]) -> u16 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= VECTOR_MIN_LEN && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY:
        // 1. `avx2::sum_le` needs the AVX2 feature, which was detected one line above.
        return unsafe { avx2::sum_le(bytes) }.swap_bytes();
    }
    fold(portable(bytes)).to_be()
}

/// Sums 32-bit native-endian words in a 64-bit accumulator: the ones' complement sum does not mind
/// the width (RFC 1071 section 2 C) or the byte order (2 B), only the end result is swapped.
fn portable(bytes: &[u8]) -> u64 {
    let mut total = 0u64;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        total += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0u8; 4];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_ne_bytes(last))
}

/// Adds the carries back in: 64 bits become 33, 17 and then 16. Only the sum of nothing but zeros is zero.
#[inline]
fn fold(total: u64) -> u16 {
    let words = (total & 0xffff_ffff) + (total >> 32);
    let halves = (words & 0xffff) + (words >> 16 & 0xffff) + (words >> 32);
    let once = (halves & 0xffff) + (halves >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use core::arch::x86_64::{
        __m256i, _mm_add_epi64, _mm_cvtsi128_si64, _mm_extract_epi64, _mm256_add_epi32, _mm256_add_epi64,
        _mm256_castsi256_si128, _mm256_cvtepi32_epi64, _mm256_extracti128_si256, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_xor_si256,
    };

    /// Bytes of a vector.
    const VECTOR_LEN: usize = 32;

    /// Vectors per accumulator flush: a lane gains at most 65 536 in magnitude for each, so an
    /// `i32` lane holds more than this many.
    const FLUSH_VECTORS: usize = 16 * 1024;

    /// The little-endian word sum of `bytes`, folded to 16 bits.
    ///
    /// Three instructions for 32 bytes: `pmaddwd` adds neighbouring *signed* words, so each word is
    /// biased by -32 768 (an XOR of its top bit) and the bias is added back at the end.
    #[target_feature(enable = "avx2")]
    pub(super) fn sum_le(bytes: &[u8]) -> u16 {
        let mut total = 0i64;
        let mut vectors = 0u64;
        let whole = bytes.len() / VECTOR_LEN * VECTOR_LEN;
        for block in bytes[..whole].chunks(FLUSH_VECTORS * VECTOR_LEN) {
            total += sum_block(block);
            vectors += (block.len() / VECTOR_LEN) as u64;
        }
        // 16 words a vector, each short by 32 768. The true sum is never negative.
        let biased_back = (total + (vectors * 16 * 32_768) as i64) as u64;
        super::fold(biased_back + super::portable(&bytes[whole..]))
    }

    #[target_feature(enable = "avx2")]
    fn sum_block(block: &[u8]) -> i64 {
        let mut a = _mm256_setzero_si256();
        let mut b = _mm256_setzero_si256();
        let (vectors, _) = block.as_chunks::<VECTOR_LEN>();
        // Eight at a time, so that the loop costs little.
        let (eights, rest) = vectors.as_chunks::<8>();
        for [q, r, s, t, u, v, w, x] in eights {
            a = _mm256_add_epi32(a, pairs(q));
            b = _mm256_add_epi32(b, pairs(r));
            a = _mm256_add_epi32(a, pairs(s));
            b = _mm256_add_epi32(b, pairs(t));
            a = _mm256_add_epi32(a, pairs(u));
            b = _mm256_add_epi32(b, pairs(v));
            a = _mm256_add_epi32(a, pairs(w));
            b = _mm256_add_epi32(b, pairs(x));
        }
        let (twos, last) = rest.as_chunks::<2>();
        for [q, r] in twos {
            a = _mm256_add_epi32(a, pairs(q));
            b = _mm256_add_epi32(b, pairs(r));
        }
        for q in last {
            a = _mm256_add_epi32(a, pairs(q));
        }
        // Together they have seen no more vectors than one lane holds.
        lanes(_mm256_add_epi32(a, b))
    }

    /// Neighbouring words of a vector added, each biased.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn pairs(vector: &[u8; VECTOR_LEN]) -> __m256i {
        // SAFETY:
        // 1. The array is one vector long, and the load is the unaligned one.
        let words = unsafe { _mm256_loadu_si256(vector.as_ptr().cast()) };
        _mm256_madd_epi16(_mm256_xor_si256(words, _mm256_set1_epi16(i16::MIN)), _mm256_set1_epi16(1))
    }

    /// The sum of the eight lanes: widened, folded in halves.
    #[target_feature(enable = "avx2")]
    fn lanes(v: __m256i) -> i64 {
        let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(v));
        let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(v));
        let four = _mm256_add_epi64(low, high);
        let two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256::<1>(four));
        _mm_cvtsi128_si64(two) + _mm_extract_epi64::<1>(two)
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
                assert!(same(sum_be(piece), reference(piece)), "offset {offset} len {len}");
                assert!(same(fold(portable(piece)).to_be(), reference(piece)), "portable {offset} {len}");
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow_the_lanes() {
        for fill in [0x00u8, 0x7f, 0x80, 0xff] {
            let data = vec![fill; 3 << 20];
            assert!(same(sum_be(&data), reference(&data)), "fill {fill:#x}");
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
