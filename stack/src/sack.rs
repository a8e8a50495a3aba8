//! What selective acknowledgments say (RFC 2018), as far as it can be believed.
//!
//! Receives the TCP header of a segment, well formed as far as its lengths go, and what we sent that is not
//! acknowledged; hands on how much of that the peer has already. A block that reaches outside is as if absent, what
//! several blocks say counts once, and no header holds more blocks than four: the work is bounded.

use crate::peer::options;

/// The option (RFC 2018 3).
const SACK: u8 = 5;
/// Bytes of a block: two sequence numbers.
const BLOCK_LEN: usize = 8;
/// The most that 40 bytes of options hold, however they are divided.
const BLOCKS_MAX: usize = 4;

/// What the peer has beyond its acknowledgment number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sacked {
    /// Bytes.
    pub(crate) bytes: u32,
    /// Stretches, each with something missing before it.
    pub(crate) stretches: u32,
}

impl Sacked {
    /// Reads the options of `segment`, which begins with its TCP header; only what lies between SND.UNA and the end
    /// of all we sent is believed.
    pub(crate) fn read(segment: &[u8], una: u32, end: u32) -> Sacked {
        let flight = end.wrapping_sub(una);
        let mut blocks = [(0, 0); BLOCKS_MAX];
        let mut count = 0;
        let values = options(segment).filter(|(kind, _)| *kind == SACK).map(|(_, value)| value);
        for block in values.flat_map(|value| value.as_chunks::<BLOCK_LEN>().0).take(BLOCKS_MAX) {
            let [a, b, c, d, e, f, g, h] = *block;
            // As distances from SND.UNA. A duplicate SACK (RFC 2883) lies before it: a large distance.
            let left = u32::from_be_bytes([a, b, c, d]).wrapping_sub(una);
            let right = u32::from_be_bytes([e, f, g, h]).wrapping_sub(una);
            // The byte at SND.UNA is missing, or SND.UNA would be another.
            if left > 0 && left < right && right <= flight {
                blocks[count] = (left, right);
                count += 1;
            }
        }
        let blocks = &mut blocks[..count];
        blocks.sort_unstable();
        let mut sacked = Sacked::default();
        let mut covered = 0;
        for &(left, right) in &*blocks {
            sacked.stretches += u32::from(left > covered);
            sacked.bytes += right.saturating_sub(left.max(covered));
            covered = covered.max(right);
        }
        sacked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv4::TCP_HEADER_LEN;
    use naio_testkit::seeds;

    /// A header with these blocks, in options of `split` blocks each.
    fn header(blocks: &[(u32, u32)], split: usize) -> Vec<u8> {
        let mut header = vec![0; TCP_HEADER_LEN];
        for blocks in blocks.chunks(split) {
            header.extend([SACK, (2 + blocks.len() * BLOCK_LEN) as u8]);
            for (left, right) in blocks {
                header.extend(left.to_be_bytes().into_iter().chain(right.to_be_bytes()));
            }
        }
        header.resize(header.len().next_multiple_of(4), 0);
        header[12] = (header.len() as u8 / 4) << 4;
        header
    }

    fn read(blocks: &[(u32, u32)]) -> (u32, u32) {
        // Across the end of the sequence numbers.
        let una = u32::MAX - 99;
        let blocks: Vec<_> =
            blocks.iter().map(|&(l, r)| (una.wrapping_add(l), una.wrapping_add(r))).collect();
        let sacked = Sacked::read(&header(&blocks, 4), una, una.wrapping_add(10_000));
        (sacked.bytes, sacked.stretches)
    }

    #[test]
    fn what_several_blocks_say_counts_once() {
        assert_eq!(read(&[]), (0, 0));
        assert_eq!(read(&[(100, 200)]), (100, 1));
        assert_eq!(read(&[(300, 400), (100, 200)]), (200, 2));
        assert_eq!(read(&[(100, 200), (100, 200), (150, 300), (120, 130)]), (200, 1));
        assert_eq!(read(&[(100, 200), (200, 300)]), (200, 1), "they touch");
    }

    #[test]
    fn a_block_outside_of_what_we_sent_is_as_if_absent() {
        assert_eq!(read(&[(9_000, 10_001)]), (0, 0), "never sent");
        assert_eq!(read(&[(0, 100)]), (0, 0), "it would have been acknowledged");
        assert_eq!(read(&[(u32::MAX - 10, 100)]), (0, 0), "begins before SND.UNA");
        assert_eq!(read(&[(u32::MAX - 500, u32::MAX - 400)]), (0, 0), "a duplicate SACK");
        assert_eq!(read(&[(200, 100), (5, 5)]), (0, 0), "backwards, and empty");
        assert_eq!(read(&[(1 << 31, (1 << 31) + 5), (1, 10_000)]), (9_999, 1));
    }

    #[test]
    fn blocks_in_several_options_count_like_blocks_in_one() {
        let blocks = [(10, 20), (30, 40), (50, 60), (70, 80)];
        let one = Sacked::read(&header(&blocks, 4), 0, 100);
        assert_eq!(one, Sacked { bytes: 40, stretches: 4 });
        assert_eq!(Sacked::read(&header(&blocks, 1), 0, 100), one);
    }

    #[test]
    fn no_blocks_say_more_than_was_sent() {
        for seed in seeds(1, 2_000) {
            let mut random = fastrand::Rng::with_seed(seed);
            let (una, flight) = (random.u32(..), random.u32(..1 << 23));
            let near =
                |random: &mut fastrand::Rng| una.wrapping_add(random.u32(..1 << 24)).wrapping_sub(1 << 22);
            let blocks: Vec<_> =
                (0..random.usize(..5)).map(|_| (near(&mut random), near(&mut random))).collect();
            let sacked = Sacked::read(&header(&blocks, random.usize(1..5)), una, una.wrapping_add(flight));
            assert!(sacked.bytes < flight.max(1) && sacked.stretches <= 4, "seed {seed}: {sacked:?}");
        }
    }
}
