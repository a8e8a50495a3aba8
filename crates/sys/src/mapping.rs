//! Anonymous memory from the kernel, in 2 MB pages where the system has them.
//!
//! Hands on a [`Mapping`]: address and length, unmapped on drop. It never looks at the contents.
#![allow(unsafe_code, reason = "mmap and munmap are unsafe by nature; this is their only place")]

use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ptr::NonNull;

/// The small page of x86-64, the unit in which memory is mapped and pinned.
pub const PAGE_LEN: usize = 4096;
/// The 2 MB page of x86-64: one entry of the card's address translation cache instead of 512.
pub const HUGE_PAGE_LEN: usize = 2 << 20;

/// The kernel gave no memory.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused to map {len} bytes of memory")]
pub struct MappingError {
    /// What was asked for, in bytes, rounded up to whole pages.
    pub len: usize,
    /// The kernel's reason.
    #[source]
    pub source: std::io::Error,
}

/// Zeroed private memory, owned; unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    huge: bool,
}

// SAFETY:
// 1. `Mapping` owns its address range alone and offers no access to the bytes, only the address.
// 2. munmap may be called from any thread.
unsafe impl Send for Mapping {}
// SAFETY:
// 1. Every method that takes `&self` reads plain fields that never change after construction.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes (rounded up to whole pages; 2 MB pages if `len` is at least one and the
    /// system has any reserved, otherwise small ones with a hint to the kernel).
    ///
    /// # Errors
    /// The kernel's refusal. `len == 0` is refused as well.
    pub fn anonymous(len: usize) -> Result<Mapping, MappingError> {
        if let Some(rounded) = len.checked_next_multiple_of(HUGE_PAGE_LEN)
            && len >= HUGE_PAGE_LEN
            && let Ok(start) = map(rounded, MapFlags::HUGETLB)
        {
            return Ok(Mapping { start, len: rounded, huge: true });
        }
        // What cannot be rounded up is no multiple of a page: the kernel refuses it.
        let rounded = len.checked_next_multiple_of(PAGE_LEN).unwrap_or(len);
        let start =
            map(rounded, MapFlags::empty()).map_err(|e| MappingError { len: rounded, source: e.into() })?;
        let mapping = Mapping { start, len: rounded, huge: false };
        mapping.advise_huge();
        Ok(mapping)
    }

    fn advise_huge(&self) {
        if self.len < HUGE_PAGE_LEN {
            return;
        }
        // SAFETY:
        // 1. The range is exactly the mapping that `self` owns.
        // 2. The advice changes how the kernel backs the range, not what is in it.
        let advised =
            unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.len, Advice::LinuxHugepage) };
        // A kernel without transparent huge pages refuses; small pages work as well, only slower.
        let _ = advised;
    }

    /// First byte of the range; page-aligned.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes: what was asked for, rounded up to whole pages.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether reserved 2 MB pages back the range.
    #[must_use]
    pub fn is_huge(&self) -> bool {
        self.huge
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY:
        // 1. The range was mapped by `anonymous` and is unmapped once, here.
        // 2. Whoever used the address kept the `Mapping` alive meanwhile; that is their contract.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        // Only a wrong range can be refused, and the range is the one we were given.
        debug_assert!(unmapped.is_ok());
    }
}

fn map(len: usize, extra: MapFlags) -> rustix::io::Result<NonNull<u8>> {
    // SAFETY:
    // 1. The kernel chooses the address (null hint, no MAP_FIXED): nothing mapped is replaced.
    // 2. `len` is not zero after rounding, or the kernel answers EINVAL.
    let start = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | extra,
        )
    }?;
    NonNull::new(start.cast()).ok_or(rustix::io::Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_to_whole_pages() {
        let m = Mapping::anonymous(1).expect("one page of memory");
        assert_eq!(m.len(), PAGE_LEN);
        assert_eq!(m.start().as_ptr() as usize % PAGE_LEN, 0);
    }

    #[test]
    fn an_empty_or_impossible_mapping_is_an_error() {
        assert!(Mapping::anonymous(0).is_err());
        let refused = Mapping::anonymous(1 << 60).expect_err("an exbibyte is not to be had");
        assert_eq!(refused.len, 1 << 60);
        assert!(Mapping::anonymous(usize::MAX).is_err());
    }
}
