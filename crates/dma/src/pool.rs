//! The page pool: packet buffers of one size, each owned by exactly one party at a time.
//!
//! Hands out [`Page`]s. A page is a plain index that cannot be copied: whoever holds it may touch
//! the bytes, and nobody else. Posting it to a card turns it into a [`Posted`], which has no
//! accessor until the card's [`Done`] turns it back. Pages have no `Drop`: one that is forgotten is
//! lost to the pool, never used twice; the pool's owner counts them.
#![allow(unsafe_code, reason = "slices over memory that a device wrote, under HW-1")]

use crate::desc::Done;
use crate::domain::{Access, Domain};
use crate::iova::{DmaSlice, Iova};
use crate::region::{Region, RegionError};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Every pool of the process has its own number, so that a page cannot be used with a stranger; none is used twice.
static NEXT_POOL: AtomicU32 = AtomicU32::new(1);

/// A packet buffer, owned. The bytes are reached through its [`Pool`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a page that is forgotten is lost to its pool"]
pub struct Page {
    pool: u32,
    index: u32,
}

impl Page {
    /// Moves the page to the card's side; from here on nobody but the card may touch the bytes.
    #[inline]
    pub fn post(self) -> Posted {
        Posted(self)
    }
}

/// A packet buffer that a card may be writing. There is no way to its bytes.
#[derive(Debug)]
#[must_use = "a page that is forgotten is lost to its pool"]
pub struct Posted(Page);

impl Posted {
    /// Takes the page back from the card.
    ///
    /// `done` must be that of the descriptor the page was posted in: the driver's half of HW-1.
    #[inline]
    pub fn complete(self, done: Done) -> Page {
        // `Done` is the witness that an Acquire load came first; its bits are the driver's to read.
        let _ = done;
        self.0
    }

    /// Posts the same page once more without looking at it (a bad frame, say).
    #[inline]
    pub fn repost(self) -> Posted {
        self
    }
}

/// A fixed number of pages of one size; clones name the same pool.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    region: Region,
    id: u32,
    count: u32,
    page_len: usize,
    /// Pages nobody holds. Off the data path: the driver and the stack pass pages from hand to hand.
    idle: Mutex<Vec<u32>>,
}

impl Pool {
    /// Smallest page: the smallest receive buffer of an 8254x is 256 bytes, and headers take 128.
    pub const PAGE_LEN_MIN: usize = 128;
    /// Largest page: the largest receive buffer of an 8254x (8254x SDM 13.4.22, RCTL.BSIZE).
    pub const PAGE_LEN_MAX: usize = 16 * 1024;

    /// Maps `count` pages of `page_len` bytes, a power of two between the two limits, so that no
    /// page crosses 64 KB (82545/82546 errata 23).
    ///
    /// # Errors
    /// [`RegionError::Size`] for an impossible size, [`RegionError::Pools`]; else as for any card memory.
    pub fn new(domain: &Domain, count: u32, page_len: usize) -> Result<Pool, RegionError> {
        if !page_len.is_power_of_two() || !(Pool::PAGE_LEN_MIN..=Pool::PAGE_LEN_MAX).contains(&page_len) {
            return Err(RegionError::Size { count: count as usize, len: page_len });
        }
        let region = Region::new(domain, count as usize, page_len, Access::ReadWrite)?;
        let next = NEXT_POOL.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1));
        let id = next.map_err(|_| RegionError::Pools)?;
        // Reversed, so that pages are handed out from the front: neighbours share huge pages.
        let idle = Mutex::new((0..count).rev().collect());
        Ok(Pool { shared: Arc::new(Shared { region, id, count, page_len, idle }) })
    }

    /// Takes a page nobody holds, `None` when all are out.
    #[must_use]
    pub fn take(&self) -> Option<Page> {
        let index = self.idle().pop()?;
        Some(Page { pool: self.shared.id, index })
    }

    /// Gives a page back.
    ///
    /// # Panics
    /// If the page is another pool's.
    pub fn give(&self, page: Page) {
        self.check(&page);
        self.idle().push(page.index);
    }

    /// The bytes of a page.
    ///
    /// # Panics
    /// If the page is another pool's.
    #[inline]
    #[must_use]
    pub fn bytes<'a>(&'a self, page: &'a Page) -> &'a [u8] {
        let start = self.start(page);
        // SAFETY:
        // 1. `start` begins `page_len` bytes inside the region, which lives as long as `self`;
        //    memory from the kernel is initialised (zero).
        // 2. `Page` is neither Copy nor Clone and each index is handed out once, so a shared borrow
        //    of it means that nobody holds `&mut` to these bytes.
        // 3. No card writes them: the page is not `Posted`, and HW-1.
        unsafe { std::slice::from_raw_parts(start, self.shared.page_len) }
    }

    /// The bytes of a page, to be written.
    ///
    /// # Panics
    /// If the page is another pool's.
    #[inline]
    #[must_use]
    pub fn bytes_mut<'a>(&'a self, page: &'a mut Page) -> &'a mut [u8] {
        let start = self.start(page);
        // SAFETY:
        // 1. as in `bytes`.
        // 2. The exclusive borrow of the one `Page` with this index makes the slice exclusive.
        // 3. as in `bytes`. A card may *read* the page meanwhile (transmit): it then sends whatever
        //    it finds, which is no concern of the memory model.
        unsafe { std::slice::from_raw_parts_mut(start, self.shared.page_len) }
    }

    /// Where a card finds the page.
    ///
    /// # Panics
    /// If the page is another pool's.
    #[inline]
    #[must_use]
    pub fn iova(&self, page: &Page) -> Iova {
        self.shared.region.first().offset(self.offset(page))
    }

    /// A part of a page as a transmit descriptor names it, `None` if `range` is not inside.
    ///
    /// # Panics
    /// If the page is another pool's.
    #[inline]
    #[must_use]
    pub fn slice(&self, page: &Page, range: Range<usize>) -> Option<DmaSlice> {
        let len = range.end.checked_sub(range.start)?;
        if range.end > self.shared.page_len {
            return None;
        }
        // A page is at most 16 KiB, so offset and length fit.
        Some(DmaSlice::new(self.iova(page).offset(range.start), len as u32))
    }

    /// Bytes of each page.
    #[must_use]
    pub fn page_len(&self) -> usize {
        self.shared.page_len
    }

    /// Pages in all.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.shared.count
    }

    /// Pages nobody holds right now.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the page begins in the region.
    ///
    /// That a page of this pool has an index below `count` is for nobody to check: `new` makes each of them once, `take`
    /// and `give` pass them on, and nobody else can make a page.
    #[inline]
    fn offset(&self, page: &Page) -> usize {
        self.check(page);
        page.index as usize * self.shared.page_len
    }

    #[inline]
    fn check(&self, page: &Page) {
        assert!(page.pool == self.shared.id, "a page is used with the pool it came from");
    }

    #[inline]
    fn start(&self, page: &Page) -> *mut u8 {
        let offset = self.offset(page);
        debug_assert!(page.index < self.shared.count, "a page of the pool");
        // SAFETY:
        // 1. The index is below `count` (see `offset`), and the region was made for `count` pages of `page_len` bytes:
        //    the whole page lies inside it, in the one allocation that it is.
        unsafe { self.shared.region.start().add(offset) }.as_ptr()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("capacity", &self.shared.count)
            .field("page_len", &self.shared.page_len)
            .field("idle", &self.idle_count())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_disjoint_and_finite() {
        let pool = Pool::new(&Domain::new(), 4, 2048).expect("memory");
        let mut pages: Vec<Page> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(pages.len(), 4);
        for (n, page) in pages.iter_mut().enumerate() {
            pool.bytes_mut(page).fill(n as u8);
        }
        for (n, page) in pages.iter().enumerate() {
            assert!(pool.bytes(page).iter().all(|&b| b == n as u8));
        }
        pool.give(pages.remove(0));
        assert_eq!(pool.idle_count(), 1);
    }

    #[test]
    fn what_the_card_writes_into_a_posted_page_is_there_once_it_is_done() {
        let domain = Domain::new();
        let pool = Pool::new(&domain, 1, 2048).expect("memory");
        let ring = crate::DescArray::new(&domain, 8).expect("memory");
        let page = pool.take().expect("one page");
        let at = pool.iova(&page).as_u64();
        ring.store(0, at, 0);
        let posted = page.post();
        let bus = domain.bus();
        bus.write(at + 5, b"hello").expect("inside");
        bus.store(ring.iova().as_u64() + 8, 1).expect("inside");
        let done = ring.done(0, 1).expect("marked done");
        let page = posted.complete(done);
        assert_eq!(&pool.bytes(&page)[5..10], b"hello");
    }

    #[test]
    #[should_panic(expected = "the pool it came from")]
    fn a_page_of_another_pool_is_refused() {
        let domain = Domain::new();
        let a = Pool::new(&domain, 1, 2048).expect("memory");
        let b = Pool::new(&domain, 1, 2048).expect("memory");
        let page = a.take().expect("one page");
        let _ = b.bytes(&page);
    }

    #[test]
    fn slices_stay_inside_the_page() {
        let pool = Pool::new(&Domain::new(), 2, 2048).expect("memory");
        let page = pool.take().expect("one page");
        assert!(pool.slice(&page, 0..2048).is_some());
        assert!(pool.slice(&page, 1..2049).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
        let reversed = pool.slice(&page, 9..3);
        assert!(reversed.is_none());
    }

    #[test]
    fn odd_sizes_are_refused() {
        for len in [0, 64, 1500, 32 * 1024] {
            assert!(matches!(Pool::new(&Domain::new(), 2, len), Err(RegionError::Size { .. })), "{len}");
        }
        assert!(matches!(Pool::new(&Domain::new(), 0, 2048), Err(RegionError::Size { .. })));
    }
}
