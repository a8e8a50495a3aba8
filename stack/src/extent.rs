//! Memory that packets under way refer to.
//!
//! Receives the pages of the transmit pool once, lends parts of them to packets, and takes them
//! back by name when the driver is done with them. Only here does an [`ExtentId`] mean anything. A
//! page is used again only after its extent came back, however late. (Payload that its owner keeps
//! will be a second kind of extent, with counts; packets and driver need not change for it.)

use naio_dma::{Page, Pool};
use naio_nic::{ExtentId, Fragment};
use std::ops::Range;

struct Slot {
    page: Page,
    lent: bool,
}

pub(crate) struct Extents {
    pool: Pool,
    slots: Vec<Slot>,
    idle: Vec<u32>,
}

impl Extents {
    /// Takes every free page of `pool`.
    pub(crate) fn new(pool: Pool) -> Extents {
        let slots: Vec<Slot> =
            std::iter::from_fn(|| pool.take()).map(|page| Slot { page, lent: false }).collect();
        let idle = (0..slots.len() as u32).rev().collect();
        Extents { pool, slots, idle }
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

    /// The driver is done with an extent. False if it had not been lent.
    #[inline]
    pub(crate) fn release(&mut self, id: ExtentId) -> bool {
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
    use naio_dma::Domain;

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
}
