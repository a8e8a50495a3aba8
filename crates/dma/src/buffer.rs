//! Registered memory of the user: mapped for the cards once, then owned by whoever holds it.
//!
//! Hands out [`Buffer`]s, which move into an operation and come back in its completion: memory of ours, or memory that
//! the user brings along. A card can only *read* a buffer (sending by reference); received bytes are copied in by us.
#![allow(unsafe_code, reason = "slices over memory that a device reads")]

use crate::domain::{Access, Domain};
use crate::iova::DmaSlice;
use crate::region::{REGION_LEN_MAX, Region, RegionError};
use naio_sys::mapping::{HUGE_PAGE_LEN, Mapping, PAGE_LEN};
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;

/// Buffers start at multiples of this, so that no two share a cache line.
const BUFFER_ALIGN: usize = 64;

/// One page of a program's own memory, on the boundary that an IOMMU asks for: `vec![AlignedPage::ZERO; 16]` is memory
/// that [`Buffer::from_pages`] takes.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct AlignedPage(pub [u8; PAGE_LEN]);

impl AlignedPage {
    /// A page of zeros.
    pub const ZERO: AlignedPage = AlignedPage([0; PAGE_LEN]);
}

/// Registered memory, owned: reads and writes like a byte slice.
///
/// The registration ends when the last buffer that was made with it is dropped. Dropping a buffer while a card still
/// reads it is sound, but the card then faults: whoever hands out a [`DmaSlice`] keeps the buffer until it is done.
pub struct Buffer {
    region: Arc<Region>,
    offset: usize,
    len: usize,
    /// Where the buffer that this one is a part of began: buffers that were handed out as two stay two, even where one
    /// ends where the next begins.
    origin: usize,
}

impl Buffer {
    /// Registers memory for `count` buffers of `len` bytes each, zeroed.
    ///
    /// # Errors
    /// As for any card memory: size, kernel, address space, IOMMU (RLIMIT_MEMLOCK).
    pub fn allocate(domain: &Domain, count: usize, len: usize) -> Result<Vec<Buffer>, RegionError> {
        let stride = stride(count, len)?;
        let region = Region::new(domain, count, stride, Access::Read)?;
        Ok(Buffer::cut(region, count, stride, len))
    }

    /// The same in 2 MB pages that the system has reserved, and nothing else: one entry in the card's address
    /// translation for each 2 MB. ([`allocate`](Buffer::allocate) takes them where it can and asks for 2 MB or more.)
    ///
    /// # Errors
    /// As for `allocate`; the kernel's ENOMEM where too few are reserved (`vm.nr_hugepages`).
    pub fn allocate_huge(domain: &Domain, count: usize, len: usize) -> Result<Vec<Buffer>, RegionError> {
        let stride = stride(count, len)?;
        let mapping = Mapping::huge(whole(count, stride, HUGE_PAGE_LEN)?)?;
        let region = Region::of_mapping(domain, mapping, Access::Read)?;
        Ok(Buffer::cut(region, count, stride, len))
    }

    /// The same in a memfd, which comes along for other processes: they may map and read it, but neither write nor cut
    /// it, so that the buffers are still this program's alone to write. Buffer `n` begins at byte `n` × `len` rounded
    /// up to a multiple of 64.
    ///
    /// # Errors
    /// As for `allocate`; a kernel before 5.1 has no such memfd.
    pub fn allocate_memfd(
        domain: &Domain,
        count: usize,
        len: usize,
    ) -> Result<(Vec<Buffer>, OwnedFd), RegionError> {
        let stride = stride(count, len)?;
        let (mapping, fd) = Mapping::memfd(whole(count, stride, PAGE_LEN)?)?;
        let region = Region::of_mapping(domain, mapping, Access::Read)?;
        Ok((Buffer::cut(region, count, stride, len), fd))
    }

    /// Registers memory that the program has already, as one buffer over all of it with its contents.
    ///
    /// # Errors
    /// As for any card memory; no pages at all is [`RegionError::Size`]. The pages are dropped then.
    pub fn from_pages(domain: &Domain, pages: Box<[AlignedPage]>) -> Result<Buffer, RegionError> {
        let len = size_of_val(&*pages);
        let owner = OwnedPages(NonNull::from(Box::leak(pages)));
        let start = owner.0.cast::<u8>();
        // SAFETY: `register` asks for
        // 1. memory that is valid, initialised and writable until the owner is dropped: the owner frees the box;
        // 2. nobody else who accesses it: the box was ours, and `OwnedPages` keeps nothing but the address;
        // 3. memory that nobody can cut: it is the allocator's.
        unsafe { Buffer::register(domain, start, len, Box::new(owner)) }
    }

    /// Registers any memory, as one buffer over all of it with its contents: a mapping of the program's own (anonymous,
    /// of reserved huge pages, of a memfd), say. `owner` is dropped when no card can reach the memory any more and no
    /// part of the buffer is left; it may unmap the memory then.
    ///
    /// # Safety
    /// 1. `start..start + len` is initialised memory, mapped for reading and writing, until `owner` is dropped.
    /// 2. Nobody accesses it meanwhile but through the buffer: no thread of this process, no other process that shares
    ///    the mapping, no device.
    /// 3. Nobody can take it away: a file behind it (a memfd too) is sealed against shrinking.
    ///
    /// # Errors
    /// [`RegionError::Alignment`] if address or length is no multiple of the page size, [`RegionError::Size`] for no
    /// bytes or more than 2 GiB, else as for any card memory. `owner` is dropped then, unless a card may still see the
    /// memory.
    pub unsafe fn register(
        domain: &Domain,
        start: NonNull<u8>,
        len: usize,
        owner: Box<dyn Send + Sync>,
    ) -> Result<Buffer, RegionError> {
        // SAFETY:
        // 1. to 3. are the caller's promises, word for word.
        let region = unsafe { Region::of_foreign(domain, start, len, owner) }?;
        Ok(Buffer { region: Arc::new(region), offset: 0, len, origin: 0 })
    }

    fn cut(region: Region, count: usize, stride: usize, len: usize) -> Vec<Buffer> {
        let region = Arc::new(region);
        let buffer = |offset| Buffer { region: region.clone(), offset, len, origin: offset };
        (0..count).map(|n| buffer(n * stride)).collect()
    }

    /// Two buffers out of one: its first `at` bytes and the rest. Each goes its own way from there, and
    /// [`unsplit`](Buffer::unsplit) makes one of them again.
    ///
    /// # Errors
    /// The buffer itself, if one part would be empty.
    pub fn split_at(mut self, at: usize) -> Result<(Buffer, Buffer), Buffer> {
        match self.split_to(at) {
            Some(front) => Ok((front, self)),
            None => Err(self),
        }
    }

    /// Takes the first `at` bytes off as a buffer of their own; the rest stays. `None`, and nothing changes, if one part
    /// would be empty.
    pub fn split_to(&mut self, at: usize) -> Option<Buffer> {
        if at == 0 || at >= self.len {
            return None;
        }
        let front = Buffer { region: self.region.clone(), len: at, ..*self };
        self.offset += at;
        self.len -= at;
        Some(front)
    }

    /// One buffer out of two parts of a buffer that was split: `rest` must begin where this one ends. No byte moves.
    ///
    /// # Errors
    /// Both, as they were, if they are not neighbours in this order or are not parts of the same buffer: two that came
    /// out of [`allocate`](Buffer::allocate) never become one, wherever they lie.
    ///
    /// ```
    /// # fn main() -> Result<(), naio_dma::RegionError> {
    /// use naio_dma::{Buffer, Domain};
    ///
    /// let whole = Buffer::allocate(&Domain::new(), 1, 4096)?.remove(0);
    /// let (head, rest) = whole.split_at(100).expect("two parts");
    /// let whole = head.unsplit(rest).expect("neighbours");
    /// assert_eq!(whole.len(), 4096);
    /// # Ok(())
    /// # }
    /// ```
    pub fn unsplit(self, rest: Buffer) -> Result<Buffer, (Buffer, Buffer)> {
        let same = Arc::ptr_eq(&self.region, &rest.region) && self.origin == rest.origin;
        if !same || self.offset + self.len != rest.offset {
            return Err((self, rest));
        }
        let len = self.len + rest.len;
        Ok(Buffer { len, ..self })
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

fn stride(count: usize, len: usize) -> Result<usize, RegionError> {
    len.checked_next_multiple_of(BUFFER_ALIGN).ok_or(RegionError::Size { count, len })
}

/// Bytes of a mapping for all of them, in pages of `page_len`.
fn whole(count: usize, stride: usize, page_len: usize) -> Result<usize, RegionError> {
    let bytes = count.checked_mul(stride).and_then(|bytes| bytes.checked_next_multiple_of(page_len));
    bytes
        .filter(|&bytes| bytes > 0 && bytes <= REGION_LEN_MAX)
        .ok_or(RegionError::Size { count, len: stride })
}

/// A box whose contents only a buffer touches; freed when dropped.
struct OwnedPages(NonNull<[AlignedPage]>);

// SAFETY:
// 1. It owns plain bytes and offers no access to them.
unsafe impl Send for OwnedPages {}
// SAFETY:
// 1. As above.
unsafe impl Sync for OwnedPages {}

impl Drop for OwnedPages {
    fn drop(&mut self) {
        // SAFETY:
        // 1. The pointer came from `Box::leak` of a box of this type, and is turned back once, here.
        // 2. No buffer uses the memory any more: the region that owns this drops it last.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY:
        // 1. The range was cut from the region for this buffer alone and is initialised; the region
        //    lives as long as the `Arc` in `self`.
        // 2. No card writes it: the domain shows it with `Access::Read`.
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
mod tests;
