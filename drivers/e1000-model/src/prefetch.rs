//! The on-chip store of descriptors that were fetched ahead (8254x SDM 3.2.4, 3.4.1, 13.4.41, 13.4.48).
//!
//! Receives a ring as its registers describe it and hands on the descriptor at its head, out of the
//! store if it is there. Descriptors come in bursts: when the store is empty, and ahead of that when
//! fewer than PTHRESH are stored and at least HTHRESH wait in memory. What is stored is not read
//! again: whoever changes a descriptor that the card owns may be heard or not.

use crate::core::{Core, RingShape};
use crate::regs::{self, RXDCTL, TXDCTL};
use crate::violation::Ring;
use naio_dma::BusFault;
use std::collections::VecDeque;

/// Descriptors of one direction that the chip holds (fact sheet 2.10).
const STORED_MAX: usize = 64;

/// The store of one direction.
#[derive(Default)]
pub(crate) struct Prefetched {
    /// Index and the two quadwords, from the head on.
    stored: VecDeque<(u32, u64, u64)>,
    /// Bursts so far.
    pub(crate) bursts: u64,
}

impl Prefetched {
    /// The ring's registers changed.
    pub(crate) fn forget(&mut self) {
        self.stored.clear();
    }
}

impl Core {
    /// The descriptor at the head of a ring that has one.
    pub(crate) fn fetch_descriptor(&mut self, which: Ring, ring: RingShape) -> Result<(u64, u64), BusFault> {
        let mut store = std::mem::take(self.store_of(which));
        if store.stored.front().is_none_or(|(index, ..)| *index != ring.head) {
            store.stored.clear();
        }
        let (few, enough) = self.fetch_thresholds(which);
        let unfetched = ring.owned() as usize - store.stored.len().min(ring.owned() as usize);
        let ahead = store.stored.len() < few && unfetched >= enough;
        let mut fetched = Ok(());
        if store.stored.is_empty() || ahead && unfetched > 0 {
            fetched = self.burst(ring, &mut store, unfetched);
        }
        let next = store.stored.pop_front();
        *self.store_of(which) = store;
        match next {
            Some((_, low, high)) => Ok((low, high)),
            None => Err(fetched.err().unwrap_or(BusFault { iova: ring.at(ring.head), len: 16 })),
        }
    }

    /// Fetches up to `count` more; stops at the first that cannot be read, which is an error only when
    /// it is the one that is wanted.
    fn burst(&self, ring: RingShape, store: &mut Prefetched, count: usize) -> Result<(), BusFault> {
        store.bursts += 1;
        let room = STORED_MAX - store.stored.len().min(STORED_MAX);
        for _ in 0..count.min(room) {
            let index = (ring.head + store.stored.len() as u32) % ring.len;
            let at = ring.at(index);
            let (low, high) = (self.bus.load(at)?, self.bus.load(at.wrapping_add(8))?);
            store.stored.push_back((index, low, high));
        }
        Ok(())
    }

    /// PTHRESH and HTHRESH in descriptors; cache lines hold two.
    fn fetch_thresholds(&self, which: Ring) -> (usize, usize) {
        let control = self.reg(if which == Ring::Receive { RXDCTL } else { TXDCTL });
        let unit = if control & regs::GRAN != 0 { 1 } else { 2 };
        ((control & 0x3f) as usize * unit, (control >> 8 & 0x3f) as usize * unit)
    }

    fn store_of(&mut self, which: Ring) -> &mut Prefetched {
        match which {
            Ring::Receive => &mut self.rx.prefetched,
            Ring::Transmit => &mut self.tx.prefetched,
        }
    }
}
