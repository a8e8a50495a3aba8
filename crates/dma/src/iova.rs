//! Addresses on the card's side of the IOMMU, and who may use which.
//!
//! Hands out ranges below 4 GiB: the 8254x is known to hang on 64-bit addresses outside PCI-X, and
//! its other rules (8254x fact sheet 8.4) cost nothing to keep for every card.

use naio_sys::mapping::{HUGE_PAGE_LEN, PAGE_LEN};
use std::collections::BTreeMap;

/// Lowest address handed out. Zero is never: a null descriptor address means "no data" to an 8254x.
const FIRST: u64 = 0x0010_0000;
/// End of the range: the x86 MSI window begins here, and VFIO refuses to map it.
const END: u64 = 0xfee0_0000;

/// An address as a card sees it. Always below 4 GiB and never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Iova(u32);

impl Iova {
    pub(crate) fn new(address: u32) -> Iova {
        Iova(address)
    }

    /// The address as a descriptor or a base register holds it.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0 as u64
    }

    /// Lower half for a `*BAL` register; the upper half is always zero.
    #[must_use]
    pub const fn low(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) fn offset(self, bytes: usize) -> Iova {
        // Callers stay inside a region, and regions end below 4 GiB.
        Iova(self.0 + bytes as u32)
    }
}

/// A stretch of card-visible memory, by address: what a transmit descriptor needs to know.
///
/// It is made by the owner of the memory, which has checked its bounds. It does not keep the memory
/// alive and does not stop its owner from changing it: whoever hands it to a card keeps the owner
/// until the card is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaSlice {
    iova: Iova,
    len: u32,
}

impl DmaSlice {
    pub(crate) fn new(iova: Iova, len: u32) -> DmaSlice {
        DmaSlice { iova, len }
    }

    /// Address of the first byte.
    #[must_use]
    pub const fn iova(self) -> Iova {
        self.iova
    }

    /// Length in bytes; may be zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "descriptors ask for the length only")]
    pub const fn len(self) -> u32 {
        self.len
    }

    /// This slice and `next` as one, `None` unless `next` begins where this one ends.
    #[must_use]
    pub fn join(self, next: DmaSlice) -> Option<DmaSlice> {
        let adjacent = self.iova.as_u64() + u64::from(self.len) == next.iova.as_u64();
        let len = self.len.checked_add(next.len).filter(|_| adjacent)?;
        Some(DmaSlice::new(self.iova, len))
    }

    /// `len` bytes from `start` on, `None` if the slice is shorter.
    #[must_use]
    pub fn part(self, start: u32, len: u32) -> Option<DmaSlice> {
        let end = start.checked_add(len)?;
        (end <= self.len).then(|| DmaSlice::new(self.iova.offset(start as usize), len))
    }

    /// The first `at` bytes and the rest, `None` if the slice is shorter.
    #[must_use]
    pub fn split_at(self, at: u32) -> Option<(DmaSlice, DmaSlice)> {
        let rest = self.len.checked_sub(at)?;
        Some((DmaSlice::new(self.iova, at), DmaSlice::new(self.iova.offset(at as usize), rest)))
    }
}

/// The address space has no hole of the wanted size left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {len} contiguous bytes are left in the card's 32-bit address space; free some memory first")]
pub struct IovaExhausted {
    /// Bytes asked for.
    pub len: u64,
}

/// The allocator: next-fit over the free ranges, so that an address freed just now is the last to
/// be used again, and a card that still uses it faults instead of hitting a stranger.
#[derive(Debug)]
pub(crate) struct IovaAllocator {
    /// Start to end of every free range; neighbours are always merged.
    free: BTreeMap<u64, u64>,
    cursor: u64,
}

impl IovaAllocator {
    pub(crate) fn new() -> IovaAllocator {
        IovaAllocator { free: BTreeMap::from([(FIRST, END)]), cursor: FIRST }
    }

    /// Alignment of an allocation: its size rounded up to a power of two, at most 2 MB. So no ring
    /// and no buffer crosses 64 KB unless it is larger itself (82545/82546 errata 23).
    fn alignment(len: u64) -> u64 {
        len.next_power_of_two().clamp(PAGE_LEN as u64, HUGE_PAGE_LEN as u64)
    }

    /// Takes `len` bytes (a multiple of the page size).
    pub(crate) fn take(&mut self, len: u64) -> Result<Iova, IovaExhausted> {
        let align = IovaAllocator::alignment(len);
        let cursor = self.cursor;
        let fits = |(&start, &end): (&u64, &u64), from: u64| {
            let at = start.max(from).next_multiple_of(align);
            (at.checked_add(len)? <= end).then_some((start, end, at))
        };
        let found = self
            .free
            .iter()
            .find_map(|range| fits(range, cursor))
            .or_else(|| self.free.iter().find_map(|range| fits(range, 0)));
        let (start, end, at) = found.ok_or(IovaExhausted { len })?;
        self.free.remove(&start);
        if start < at {
            self.free.insert(start, at);
        }
        if at + len < end {
            self.free.insert(at + len, end);
        }
        self.cursor = at + len;
        // `END` is below 4 GiB, so the address fits.
        Ok(Iova::new(at as u32))
    }

    /// Gives a range back; it must have come from `take`.
    pub(crate) fn give(&mut self, at: Iova, len: u64) {
        let (mut start, mut end) = (at.as_u64(), at.as_u64() + len);
        if let Some((&before, &before_end)) = self.free.range(..start).next_back()
            && before_end == start
        {
            self.free.remove(&before);
            start = before;
        }
        if let Some(after_end) = self.free.remove(&end) {
            end = after_end;
        }
        self.free.insert(start, end);
    }
}

#[cfg(test)]
impl IovaAllocator {
    pub(crate) fn is_free(&self, at: u64) -> bool {
        self.free.range(..=at).next_back().is_some_and(|(_, &end)| at < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_aligned_disjoint_and_never_zero() {
        let mut a = IovaAllocator::new();
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for len in [4096u64, 12 * 1024, 64 * 1024, 4096, 3 << 20, 1 << 20] {
            let at = a.take(len).expect("plenty is free").as_u64();
            assert!(at >= FIRST && at + len <= END);
            assert_eq!(at % IovaAllocator::alignment(len), 0);
            if len <= 64 * 1024 {
                assert_eq!(at >> 16, (at + len - 1) >> 16, "crosses a 64 KB boundary");
            }
            assert!(taken.iter().all(|&(s, l)| at + len <= s || s + l <= at), "overlap");
            taken.push((at, len));
        }
    }

    #[test]
    fn what_is_given_back_merges_into_one_hole() {
        let mut a = IovaAllocator::new();
        let all: Vec<Iova> = (0..64).map(|_| a.take(1 << 20).expect("free")).collect();
        for at in all.iter().step_by(2).chain(all.iter().skip(1).step_by(2)) {
            a.give(*at, 1 << 20);
        }
        assert_eq!(a.free, BTreeMap::from([(FIRST, END)]));
    }

    #[test]
    fn a_freed_address_is_not_used_at_once_again() {
        let mut a = IovaAllocator::new();
        let first = a.take(4096).expect("free");
        a.give(first, 4096);
        assert_ne!(a.take(4096).expect("free"), first);
    }

    #[test]
    fn exhaustion_is_an_error_and_not_for_ever() {
        let mut a = IovaAllocator::new();
        let len = 1u64 << 31;
        let first = a.take(len).expect("half of the space");
        assert_eq!(a.take(len), Err(IovaExhausted { len }));
        a.give(first, len);
        assert!(a.take(len).is_ok());
    }
}
