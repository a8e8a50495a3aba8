//! Descriptor arrays: the rings that a card and its driver share word by word.
//!
//! Receives what the driver writes and hands on what the card wrote. Every word is an atomic; the
//! status word is read once, with Acquire ordering. What the bits mean is the driver's knowledge.
//! Nothing written here is ever read back as truth: a driver keeps addresses and indices itself.
#![allow(unsafe_code, reason = "atomics laid over memory that a device writes")]

use crate::domain::{Access, Domain};
use crate::iova::Iova;
use crate::region::{Region, RegionError};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one descriptor (8254x SDM 3.2.3, 3.3.3).
const DESC_LEN: usize = 16;
const _: () = assert!(DESC_LEN == size_of::<[AtomicU64; 2]>(), "a descriptor is its two quadwords");

/// A card's word that a descriptor is done, with what it wrote in that word.
///
/// Only [`DescArray::done`] makes one, after an Acquire load: whoever holds it sees everything the
/// card wrote before.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    word: u64,
}

impl Done {
    /// The second quadword of the descriptor, as loaded once. The card may lie in every bit of it.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.word
    }
}

/// An array of 16-byte descriptors, visible to every card of the domain, zeroed at first.
pub struct DescArray {
    region: Region,
    count: u32,
}

impl DescArray {
    /// Space for `count` descriptors, aligned to at least 4 KiB.
    ///
    /// # Errors
    /// As for any card memory: size, kernel, address space, IOMMU.
    pub fn new(domain: &Domain, count: u32) -> Result<DescArray, RegionError> {
        let region = Region::new(domain, count as usize, DESC_LEN, Access::ReadWrite)?;
        Ok(DescArray { region, count })
    }

    /// Number of descriptors.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a descriptor array is never empty")]
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Length in bytes, as a `*LEN` register wants it.
    #[must_use]
    pub fn byte_len(&self) -> u32 {
        self.count * DESC_LEN as u32
    }

    /// Where the card finds descriptor 0.
    #[must_use]
    pub fn iova(&self) -> Iova {
        self.region.iova(0)
    }

    /// Writes both quadwords of descriptor `index` (modulo the length).
    ///
    /// Relaxed: the card does not look before a doorbell, and the doorbell holds the barrier.
    #[inline]
    pub fn store(&self, index: u32, low: u64, high: u64) {
        let [l, h] = self.words(index);
        l.store(low.to_le(), Ordering::Relaxed);
        h.store(high.to_le(), Ordering::Relaxed);
    }

    /// Reads the second quadword of descriptor `index` (modulo the length) once; `Some` if any bit
    /// of `mask` is set in it.
    #[inline]
    #[must_use]
    pub fn done(&self, index: u32, mask: u64) -> Option<Done> {
        let word = u64::from_le(self.words(index)[1].load(Ordering::Acquire));
        (word & mask != 0).then_some(Done { word })
    }

    #[inline]
    fn words(&self, index: u32) -> &[AtomicU64; 2] {
        // Drivers count within the ring; dividing each time is dear, and there are several times for each frame.
        let index = if index < self.count { index } else { index % self.count };
        let first = self.region.start().cast::<[AtomicU64; 2]>();
        // SAFETY:
        // 1. `index` is below `count`, either way, and the region was made for `count` descriptors of 16 bytes: what
        //    is named lies inside it, and in the one allocation that it is.
        // 2. The region is page-aligned and offsets are multiples of 16: aligned for AtomicU64.
        // 3. The memory lives as long as `self`, and everybody on this side accesses it through
        //    these atomics only; the card's own accesses are what HW-1 is about.
        unsafe { first.add(index as usize).as_ref() }
    }
}

impl std::fmt::Debug for DescArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DescArray").field("iova", &self.iova()).field("len", &self.count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_sees_what_is_stored_and_we_see_what_the_card_marks() {
        let domain = Domain::new();
        let ring = DescArray::new(&domain, 8).expect("memory");
        let bus = domain.bus();
        ring.store(3, 0x1122_3344_5566_7788, 0x40);
        let at = ring.iova().as_u64() + 3 * 16;
        assert_eq!(bus.load(at), Ok(0x1122_3344_5566_7788));
        assert!(ring.done(3, 1 << 32).is_none());
        bus.store(at + 8, 1 << 32 | 60).expect("inside");
        assert_eq!(ring.done(3, 1 << 32).map(Done::word), Some(1 << 32 | 60));
        assert_eq!(ring.done(11, 1 << 32).map(Done::word), Some(1 << 32 | 60), "indices wrap");
    }

    #[test]
    fn no_index_names_memory_beyond_the_array() {
        let domain = Domain::new();
        // No power of two: the remainder is no mask.
        let ring = DescArray::new(&domain, 24).expect("memory");
        let bus = domain.bus();
        for index in [0, 1, 23, 24, 25, 47, 48, 1 << 31, u32::MAX - 1, u32::MAX] {
            ring.store(index, u64::from(index) | 1 << 40, 0);
            let at = ring.iova().as_u64() + u64::from(index % 24) * 16;
            assert_eq!(bus.load(at), Ok(u64::from(index) | 1 << 40), "{index}");
        }
    }
}
