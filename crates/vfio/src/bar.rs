//! The register window: BAR0, mapped, read and written one 32-bit word at a time.
//!
//! Hands on words. The window stays mapped as long as anybody holds a doorbell to it; the mapping
//! keeps the VFIO device file open, so an access can never hit a window that was taken away.
#![allow(unsafe_code, reason = "memory-mapped registers")]

use naio_device::Doorbell;
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use volatile::VolatilePtr;

/// What a read outside of the window answers: the same as a card that is gone.
const ALL_ONES: u32 = u32::MAX;

/// A mapped register window.
#[derive(Debug)]
pub(crate) struct Bar {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY:
// 1. The window is device memory: every access is a volatile load or store of one aligned word,
//    which any thread may do; the card orders them.
unsafe impl Send for Bar {}
// SAFETY:
// 1. As above; there are no references into the window.
unsafe impl Sync for Bar {}

impl Bar {
    /// Maps `len` bytes at `offset` of a VFIO device file.
    pub(crate) fn map(device: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Bar> {
        // SAFETY:
        // 1. The kernel chooses the address: nothing mapped is replaced.
        // 2. The memory is reached through volatile pointers only, never through references.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                device,
                offset,
            )
        }?;
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        Ok(Bar { start, len })
    }

    /// Whether a register lies at `offset`.
    pub(crate) fn has(&self, offset: u32) -> bool {
        offset.is_multiple_of(4) && (offset as usize) < self.len
    }

    #[inline]
    pub(crate) fn read(&self, offset: u32) -> u32 {
        self.word(offset).map_or(ALL_ONES, |word| u32::from_le(word.read()))
    }

    #[inline]
    pub(crate) fn write(&self, offset: u32, value: u32) {
        if let Some(word) = self.word(offset) {
            word.write(value.to_le());
        }
    }

    #[inline]
    fn word(&self, offset: u32) -> Option<VolatilePtr<'_, u32>> {
        if !self.has(offset) {
            return None;
        }
        // SAFETY:
        // 1. `offset` is inside the mapping (its length is a multiple of the page size, so the word
        //    that begins inside also ends inside) and aligned to 4, the mapping to a page.
        // 2. The mapping lives as long as `self`, which the pointer borrows.
        // 3. Volatile access to device memory by several owners is what the window is for.
        Some(unsafe { VolatilePtr::new(self.start.add(offset as usize).cast()) })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // SAFETY:
        // 1. The range was mapped by `map` and is unmapped once, here.
        // 2. Every pointer into it borrowed `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

/// A tail register in a register window.
#[derive(Clone, Debug)]
pub struct BarDoorbell {
    bar: Arc<Bar>,
    offset: u32,
}

impl BarDoorbell {
    pub(crate) fn new(bar: Arc<Bar>, offset: u32) -> Option<BarDoorbell> {
        bar.has(offset).then_some(BarDoorbell { bar, offset })
    }
}

impl Doorbell for BarDoorbell {
    #[inline]
    fn ring(&self, value: u32) {
        // Descriptors and pages before the tail. On x86 a store to uncached memory stays behind
        // earlier stores, so a compiler barrier is enough; elsewhere the full fence also orders
        // memory against the device.
        #[cfg(target_arch = "x86_64")]
        fence(Ordering::Release);
        #[cfg(not(target_arch = "x86_64"))]
        fence(Ordering::SeqCst);
        self.bar.write(self.offset, value);
    }
}
