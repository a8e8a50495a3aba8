//! Registered memory of the user: mapped for the cards once, then owned by whoever holds it.
//!
//! Hands out [`Buffer`]s, which move into an operation and come back in its completion. A card only
//! ever *reads* a buffer (sending by reference); received bytes are copied in by us.
#![allow(unsafe_code, reason = "slices over memory that a device reads")]

use crate::domain::Domain;
use crate::iova::DmaSlice;
use crate::region::{Region, RegionError};
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// Buffers start at multiples of this, so that no two share a cache line.
const BUFFER_ALIGN: usize = 64;

/// Registered memory, owned: reads and writes like a byte slice.
///
/// The registration ends when the last buffer that was made with it is dropped.
pub struct Buffer {
    region: Arc<Region>,
    offset: usize,
    len: usize,
}

impl Buffer {
    /// Registers memory for `count` buffers of `len` bytes each, zeroed.
    ///
    /// # Errors
    /// As for any card memory: size, kernel, address space, IOMMU (RLIMIT_MEMLOCK).
    pub fn allocate(domain: &Domain, count: usize, len: usize) -> Result<Vec<Buffer>, RegionError> {
        let stride = len.checked_next_multiple_of(BUFFER_ALIGN).ok_or(RegionError::Size { count, len })?;
        let region = Arc::new(Region::new(domain, count, stride)?);
        Ok((0..count).map(|n| Buffer { region: region.clone(), offset: n * stride, len }).collect())
    }

    /// A part of the buffer as a transmit descriptor names it, `None` if `range` is not inside or
    /// is longer than a descriptor can say.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Option<DmaSlice> {
        let len = u32::try_from(range.end.checked_sub(range.start)?).ok()?;
        if range.end > self.len || range.start == self.len {
            return None;
        }
        Some(DmaSlice::new(self.region.iova(self.offset + range.start), len))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY:
        // 1. The range was cut from the region for this buffer alone and is initialised; the region
        //    lives as long as the `Arc` in `self`.
        // 2. No card writes it: no receive descriptor ever names a buffer (the driver's half of
        //    HW-1).
        unsafe { std::slice::from_raw_parts(self.region.at(self.offset).as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY:
        // 1. as in `deref`; ranges of different buffers do not overlap and `Buffer` is not Clone, so
        //    the exclusive borrow makes the slice exclusive.
        // 2. as in `deref`.
        unsafe { std::slice::from_raw_parts_mut(self.region.at(self.offset).as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_may_go_to_another_thread() {
        fn may_go<T: Send + Sync>() {}
        may_go::<Buffer>();
    }

    #[test]
    fn buffers_do_not_overlap_and_outlive_each_other() {
        let domain = Domain::new();
        let mut all = Buffer::allocate(&domain, 3, 100).expect("memory");
        for (n, b) in all.iter_mut().enumerate() {
            b.fill(n as u8 + 1);
        }
        let last = all.pop().expect("three");
        drop(all);
        assert_eq!(last.len(), 100);
        assert!(last.iter().all(|&b| b == 3));
    }

    #[test]
    fn a_slice_names_the_bytes_that_the_card_reads() {
        let domain = Domain::new();
        let mut all = Buffer::allocate(&domain, 2, 4096).expect("memory");
        all[1][10..14].copy_from_slice(b"naio");
        let part = all[1].slice(10..14).expect("inside");
        let mut seen = [0; 4];
        domain.bus().read(part.iova().as_u64(), &mut seen).expect("visible");
        assert_eq!(&seen, b"naio");
        assert!(all[1].slice(4090..4097).is_none());
    }

    #[test]
    fn the_registration_ends_with_the_last_buffer() {
        let domain = Domain::new();
        let buffer = Buffer::allocate(&domain, 1, 64).expect("memory").pop().expect("one");
        let at = buffer.slice(0..64).expect("inside").iova().as_u64();
        assert!(domain.bus().load(at).is_ok());
        drop(buffer);
        assert!(domain.bus().load(at).is_err(), "a card must not reach freed memory");
    }
}
