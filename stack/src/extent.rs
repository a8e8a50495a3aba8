//! Memory that packets under way refer to.
//!
//! Two kinds, which only this room tells apart by their [`ExtentId`]: *pages* of the transmit pool, lent to one packet
//! at a time, and *stretches* of memory that a user lent for sending, which several packets may refer to at once
//! (a segment and its repetition, pieces of one buffer). Takes both back by name when the driver is done with them. A
//! page is used again only after its extent came back, however late; a stretch is its user's again only when no
//! stream holds it any more *and* no packet refers to it. It never looks at a stretch's bytes.

use naio_dma::{DmaSlice, Page, Pool};
use naio_nic::{ExtentId, Fragment};
use std::ops::Range;

/// Which of the two kinds an id names.
const IS_STRETCH: u32 = 1 << 31;
/// Most stretches at a time; a user with more waits.
pub(crate) const STRETCHES_MAX: usize = 1 << 20;

/// Memory lent with [`Stack::send_by_reference`](crate::Stack::send_by_reference) is its user's again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// What the user called it.
    pub token: u64,
    /// Bytes of it. Several stretches may have had one token: their bytes come back one stretch after the other.
    pub bytes: u32,
}

struct Slot {
    page: Page,
    lent: bool,
}

/// A stretch of a user's memory.
#[derive(Clone, Copy)]
struct Stretch {
    slice: DmaSlice,
    token: u64,
    /// Fragments of packets that name it.
    references: u32,
    /// A stream may still want to send it again.
    held: bool,
}

pub(crate) struct Extents {
    pool: Pool,
    slots: Vec<Slot>,
    idle: Vec<u32>,
    stretches: Vec<Stretch>,
    unused: Vec<u32>,
    released: Vec<Released>,
}

impl Extents {
    /// Takes every free page of `pool`.
    pub(crate) fn new(pool: Pool) -> Extents {
        let slots: Vec<Slot> =
            std::iter::from_fn(|| pool.take()).map(|page| Slot { page, lent: false }).collect();
        let idle = (0..slots.len() as u32).rev().collect();
        Extents { pool, slots, idle, stretches: Vec::new(), unused: Vec::new(), released: Vec::new() }
    }

    /// Pages that could be used now.
    #[inline]
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Pages in all.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Pages that packets refer to.
    pub(crate) fn lent(&self) -> usize {
        self.slots.len() - self.idle.len()
    }

    /// Bytes of a page.
    pub(crate) fn page_len(&self) -> usize {
        self.pool.page_len()
    }

    /// Stretches that are not their users' again.
    pub(crate) fn stretches(&self) -> usize {
        self.stretches.len() - self.unused.len()
    }

    /// Fills the first `len` bytes of a page and lends them: the fragment and what `fill` returned.
    /// `None` without a free page, or if a page is shorter.
    #[inline]
    pub(crate) fn lend<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Option<(Fragment, R)> {
        let index = *self.idle.last()?;
        let slot = self.slots.get_mut(index as usize)?;
        let slice = self.pool.slice(&slot.page, Range { start: 0, end: len })?;
        let filled = fill(&mut self.pool.bytes_mut(&mut slot.page)[..len]);
        self.idle.pop();
        slot.lent = true;
        Some((Fragment { slice, extent: ExtentId(index) }, filled))
    }

    /// A stream holds a user's memory from now on. `None` if there are too many stretches.
    pub(crate) fn hold(&mut self, slice: DmaSlice, token: u64) -> Option<u32> {
        let stretch = Stretch { slice, token, references: 0, held: true };
        if let Some(index) = self.unused.pop() {
            self.stretches[index as usize] = stretch;
            return Some(index);
        }
        let index = self.stretches.len();
        if index >= STRETCHES_MAX {
            return None;
        }
        self.stretches.push(stretch);
        Some(index as u32)
    }

    /// Makes a held stretch longer by memory that lies behind it and has the same token; false otherwise.
    pub(crate) fn extend(&mut self, index: u32, slice: DmaSlice, token: u64) -> bool {
        let stretch = &mut self.stretches[index as usize];
        match stretch.slice.join(slice).filter(|_| stretch.token == token) {
            Some(joined) => stretch.slice = joined,
            None => return false,
        }
        true
    }

    /// A packet refers to `len` bytes from `start` on of a stretch that a stream holds.
    #[inline]
    pub(crate) fn refer(&mut self, index: u32, start: u32, len: u32) -> Option<Fragment> {
        let stretch = self.stretches.get_mut(index as usize)?;
        let slice = stretch.slice.part(start, len)?;
        stretch.references += 1;
        Some(Fragment { slice, extent: ExtentId(IS_STRETCH | index) })
    }

    /// The stream that held a stretch will not send it again.
    pub(crate) fn let_go(&mut self, index: u32) {
        self.stretches[index as usize].held = false;
        self.give_back_if_free(index);
    }

    fn give_back_if_free(&mut self, index: u32) {
        let stretch = self.stretches[index as usize];
        if stretch.references == 0 && !stretch.held {
            self.unused.push(index);
            self.released.push(Released { token: stretch.token, bytes: stretch.slice.len() });
        }
    }

    /// What has become its users' again since the last call.
    pub(crate) fn take_released(&mut self, out: &mut Vec<Released>) {
        out.append(&mut self.released);
    }

    /// The driver is done with an extent. False if no packet had referred to it.
    #[inline]
    pub(crate) fn release(&mut self, id: ExtentId) -> bool {
        if id.0 & IS_STRETCH != 0 {
            let index = id.0 & !IS_STRETCH;
            return match self.stretches.get_mut(index as usize) {
                Some(stretch) if stretch.references > 0 => {
                    stretch.references -= 1;
                    self.give_back_if_free(index);
                    true
                }
                _ => false,
            };
        }
        match self.slots.get_mut(id.0 as usize) {
            Some(slot) if slot.lent => {
                slot.lent = false;
                self.idle.push(id.0);
                true
            }
            _ => false,
        }
    }
}

impl Drop for Extents {
    /// Pages at rest go back to the pool. A page that the card may still read stays lost: it must
    /// not be written by anybody else.
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            if !slot.lent {
                self.pool.give(slot.page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naio_dma::{Buffer, Domain};

    #[test]
    fn a_lent_page_is_not_used_again_before_it_comes_back() {
        let domain = Domain::new();
        let pool = Pool::new(&domain, 2, 2048).expect("memory");
        let mut extents = Extents::new(pool.clone());
        let (a, ()) = extents.lend(4, |b| b.copy_from_slice(b"aaaa")).expect("a page");
        let (b, ()) = extents.lend(4, |b| b.copy_from_slice(b"bbbb")).expect("a page");
        assert!(extents.lend(1, |_| ()).is_none());
        assert!(extents.lend(4096, |_| ()).is_none());
        let mut seen = [0; 4];
        domain.bus().read(a.slice.iova().as_u64(), &mut seen).expect("mapped");
        assert_eq!(&seen, b"aaaa");
        assert!(extents.release(a.extent));
        assert!(!extents.release(a.extent), "twice");
        assert!(!extents.release(ExtentId(77)), "never lent");
        drop(extents);
        assert_eq!(pool.idle_count(), 1, "{:?} is still the card's", b.extent);
    }

    fn released(extents: &mut Extents) -> Vec<(u64, u32)> {
        let mut out = Vec::new();
        extents.take_released(&mut out);
        out.into_iter().map(|released| (released.token, released.bytes)).collect()
    }

    #[test]
    fn a_stretch_comes_back_once_it_is_neither_held_nor_referred_to() {
        let domain = Domain::new();
        let buffer = Buffer::allocate(&domain, 1, 100).expect("memory").pop().expect("one");
        let mut extents = Extents::new(Pool::new(&domain, 1, 2048).expect("memory"));
        let index = extents.hold(buffer.slice(0..60).expect("inside"), 7).expect("room");
        assert!(!extents.extend(index, buffer.slice(60..90).expect("inside"), 8), "another token");
        assert!(!extents.extend(index, buffer.slice(61..90).expect("inside"), 7), "not adjacent");
        assert!(extents.extend(index, buffer.slice(60..100).expect("inside"), 7));
        let first = extents.refer(index, 0, 50).expect("inside");
        let again = extents.refer(index, 40, 60).expect("inside");
        assert!(extents.refer(index, 41, 60).is_none(), "beyond the end");
        extents.let_go(index);
        assert!(extents.release(first.extent));
        assert!(released(&mut extents).is_empty());
        assert!(extents.release(again.extent));
        assert!(!extents.release(again.extent), "no packet refers to it any more");
        assert_eq!((released(&mut extents), extents.stretches()), (vec![(7, 100)], 0));
        let next = extents.hold(buffer.slice(0..1).expect("inside"), 9).expect("room");
        extents.let_go(next);
        assert_eq!(released(&mut extents), [(9, 1)], "never sent at all");
    }
}
