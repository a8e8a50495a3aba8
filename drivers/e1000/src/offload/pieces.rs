//! Buffers that descriptors can name: receives a stretch of card memory and hands on the pieces that the card's
//! length limit and its errata allow. It never looks at the bytes.

use naio_dma::DmaSlice;

/// Longest buffer of one descriptor (8254x SDM; fact sheet 1.3).
pub(crate) const LEN_MAX: u32 = 16_288;
/// Most bytes of a packet's first buffer in PCI-X mode (errata 10; fact sheet 5.4). Longer ones are rare
/// enough to be cut everywhere.
pub(crate) const FIRST_LEN_MAX: u32 = 2_015;
/// No buffer crosses a multiple of this (errata 23; fact sheet 5.1 and 5.4: simplest for all parts).
pub(crate) const BLOCK: u64 = 0x1_0000;
/// The dword of its quadword that a buffer's last byte lies in: this bit of the address.
const ODD_DWORD: u64 = 4;

/// Address and length of one data descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) address: u64,
    pub(crate) len: u32,
}

impl Piece {
    #[inline]
    pub(crate) fn of(slice: DmaSlice) -> Piece {
        Piece { address: slice.iova().as_u64(), len: slice.len() }
    }

    /// The second quadword: length and command.
    #[inline]
    pub(crate) fn word(self, command: u64) -> u64 {
        u64::from(self.len) | command
    }

    /// Bytes up to the next multiple of 64 KB.
    #[inline]
    pub(crate) fn to_block(self) -> u32 {
        // At most 64 KB, so it fits.
        (BLOCK - self.address % BLOCK) as u32
    }

    /// Whether one descriptor will do for a buffer that needs no odd end.
    #[inline]
    pub(crate) fn is_whole(self, len_max: u32) -> bool {
        self.len <= len_max && self.len <= self.to_block()
    }
}

/// Whether `len` bytes at `address` end in the even dword of a quadword, which the 82544 corrupts in PCI-X mode
/// if there are more than four (fact sheet 5.4).
pub(crate) fn ends_evenly(address: u64, len: u32) -> bool {
    len > 4 && (address + u64::from(len) - 1) & ODD_DWORD == 0
}

/// The pieces of a buffer, in order; none for an empty one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    rest: Piece,
    len_max: u32,
    odd_ends: bool,
}

impl Pieces {
    /// `len_max` is at least 4. With `odd_ends` no piece [ends evenly](ends_evenly).
    pub(crate) fn new(whole: Piece, len_max: u32, odd_ends: bool) -> Pieces {
        Pieces { rest: whole, len_max, odd_ends }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let Piece { address, len } = self.rest;
        if len == 0 {
            return None;
        }
        let mut take = len.min(self.len_max).min(self.rest.to_block());
        if self.odd_ends && ends_evenly(address, take) {
            take -= 4;
        }
        self.rest = Piece { address: address + u64::from(take), len: len - take };
        Some(Piece { address, len: take })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_buffer_and_keep_every_rule() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..20_000 {
            let address = random.u64(0x10_0000..0x20_0000);
            let whole = Piece { address, len: random.u32(1..70_000) };
            let len_max = [4, 5, 8, 100, 4_096, LEN_MAX][random.usize(..6)];
            let odd_ends = random.bool();
            let mut at = address;
            let mut count = 0;
            for piece in Pieces::new(whole, len_max, odd_ends) {
                assert_eq!(piece.address, at, "round {round}: nothing is left out");
                assert!(piece.len > 0 && piece.is_whole(len_max), "round {round}: {piece:?}");
                assert!(!odd_ends || !ends_evenly(piece.address, piece.len), "round {round}: {piece:?}");
                at += u64::from(piece.len);
                count += 1;
            }
            assert_eq!(at, address + u64::from(whole.len), "round {round}");
            assert_eq!(count == 1, whole.is_whole(len_max) && !(odd_ends && ends_evenly(address, whole.len)));
        }
        assert_eq!(Pieces::new(Piece { address: 0x10_0000, len: 0 }, 4_096, true).count(), 0);
    }
}
