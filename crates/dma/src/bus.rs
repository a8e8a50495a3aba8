//! The card's side of the memory: what a card made of software reads and writes by IOVA.
//!
//! Every access is bounded by what the domain shows at that moment and made of atomics, as a real
//! card's transfers race with the program without tearing a word. It hands on a [`BusFault`] where
//! an IOMMU would.
#![allow(unsafe_code, reason = "atomics laid over memory that the program owns")]

use crate::domain::{Access, Place, Shared};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A card touched what it was not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DMA to {iova:#x}, {len} bytes, is outside of what the card may see, or misaligned")]
pub struct BusFault {
    /// Where.
    pub iova: u64,
    /// How long.
    pub len: usize,
}

/// The card's access to a domain; clones are the same.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

impl Bus {
    pub(crate) fn new(shared: Arc<Shared>) -> Bus {
        Bus { shared }
    }

    /// Reads `into.len()` bytes at `iova`. Not one atomic access: the program may write meanwhile. A window of a file
    /// is read by a system call; what the file does not have any more, or cannot give, reads as zeros and is counted
    /// ([`Domain::file_faults`](crate::Domain::file_faults)).
    ///
    /// # Errors
    /// A range that one mapping does not cover; nothing is read then.
    pub fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), BusFault> {
        let len = into.len();
        let read = self.shared.with_range(iova, len, Access::Read, |place| match place {
            Place::Memory(start) => {
                for (n, byte) in into.iter_mut().enumerate() {
                    // SAFETY:
                    // 1. `with_range` gave `len` bytes at `start` and keeps them mapped during the call.
                    // 2. AtomicU8 has no alignment; the other side of a race is HW-1's affair.
                    *byte = unsafe { atomic_u8(start, n) }.load(Ordering::Relaxed);
                }
                None
            }
            // Read below, where nobody waits for a lock of ours.
            Place::File(file, offset) => Some((file.clone(), offset)),
        });
        if let Some((file, offset)) = read.ok_or(BusFault { iova, len })? {
            let got = read_file(&file, into, offset);
            if got < len {
                into[got..].fill(0);
                self.shared.count_file_fault();
            }
        }
        Ok(())
    }

    /// Writes `from` at `iova`. Not one atomic access. A later [`store`](Bus::store) publishes it.
    ///
    /// # Errors
    /// A range that one mapping does not cover, or that the card may only read; nothing is written then.
    pub fn write(&self, iova: u64, from: &[u8]) -> Result<(), BusFault> {
        let len = from.len();
        let written = self.shared.with_range(iova, len, Access::ReadWrite, |place| {
            let Place::Memory(start) = place else { return false };
            for (n, byte) in from.iter().enumerate() {
                // SAFETY:
                // 1. and 2. as in `read`.
                unsafe { atomic_u8(start, n) }.store(*byte, Ordering::Relaxed);
            }
            true
        });
        if written == Some(true) { Ok(()) } else { Err(BusFault { iova, len }) }
    }

    /// Loads one aligned quadword (little-endian), Acquire: what the program wrote before it rang
    /// the doorbell is visible afterwards.
    ///
    /// # Errors
    /// Outside of every mapping, in a window of a file, or not a multiple of 8.
    pub fn load(&self, iova: u64) -> Result<u64, BusFault> {
        self.quadword(iova, Access::Read, |word| u64::from_le(word.load(Ordering::Acquire)))
    }

    /// Stores one aligned quadword (little-endian), Release: what the card wrote before is visible
    /// to whoever sees this word.
    ///
    /// # Errors
    /// Outside of every mapping, in memory that the card may only read, or not a multiple of 8.
    pub fn store(&self, iova: u64, value: u64) -> Result<(), BusFault> {
        self.quadword(iova, Access::ReadWrite, |word| word.store(value.to_le(), Ordering::Release))
    }

    fn quadword<R>(
        &self,
        iova: u64,
        access: Access,
        use_it: impl FnOnce(&AtomicU64) -> R,
    ) -> Result<R, BusFault> {
        let fault = BusFault { iova, len: 8 };
        if !iova.is_multiple_of(8) {
            return Err(fault);
        }
        let done = self.shared.with_range(iova, 8, access, |place| {
            // There is no ring in a file.
            let Place::Memory(start) = place else { return None };
            // SAFETY:
            // 1. Eight bytes at `start` are mapped during the call.
            // 2. Mappings and their IOVAs are page-aligned and `iova` is a multiple of 8, so `start`
            //    is aligned.
            // 3. Races are with atomics (DescArray) or excluded by HW-1.
            Some(use_it(unsafe { start.cast::<AtomicU64>().as_ref() }))
        });
        done.flatten().ok_or(fault)
    }
}

/// Reads until `into` is full, the file ends or fails; how many bytes that were.
fn read_file(file: &File, into: &mut [u8], offset: u64) -> usize {
    let mut got = 0;
    while got < into.len() {
        match file.read_at(&mut into[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(bytes) => got += bytes,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    got
}

/// # Safety
/// Byte `n` after `start` is mapped for the life of the returned reference.
unsafe fn atomic_u8<'a>(start: NonNull<u8>, n: usize) -> &'a AtomicU8 {
    // SAFETY:
    // 1. The caller's promise; AtomicU8 is one byte without alignment.
    unsafe { start.add(n).cast::<AtomicU8>().as_ref() }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Buffer, DescArray, Domain};

    #[test]
    fn accesses_across_the_end_of_a_mapping_fault() {
        let domain = Domain::new();
        let ring = DescArray::new(&domain, 256).expect("memory");
        let at = ring.iova().as_u64();
        let bus = domain.bus();
        assert!(bus.write(at + 4090, &[0; 6]).is_ok());
        assert!(bus.write(at + 4091, &[0; 6]).is_err());
        assert!(bus.load(at + 4).is_err(), "misaligned");
        assert!(bus.load(u64::MAX - 7).is_err());
        assert!(bus.read(0, &mut [0; 1]).is_err());
    }

    #[test]
    fn a_card_cannot_write_what_is_only_sent_from() {
        let domain = Domain::new();
        let buffer = Buffer::allocate(&domain, 1, 4096).expect("memory").pop().expect("one");
        let at = buffer.slice(0..4096).expect("inside").iova().as_u64();
        let bus = domain.bus();
        assert!(bus.write(at, b"x").is_err());
        assert!(bus.store(at, 1).is_err());
        assert!(bus.read(at, &mut [0; 8]).is_ok() && bus.load(at).is_ok());
        assert!(buffer.iter().all(|&byte| byte == 0), "nothing was written");
    }
}
