//! The receive ring: pages go down empty and come up as frames.
//!
//! Receives spare pages; hands on [`RxFrame`]s whose length and end have been checked. Every slot
//! holds a page at all times: a fresh one goes in before the full one goes up. What the card writes
//! back is read once and believed as little as possible; addresses and indices live in a shadow.

use crate::desc::rx::{DD, EOP, FRAME_ERRORS, IPCS, IPE, IXSM, TCPCS, TCPE, len};
use crate::ids::RxVerdict;
use naio_device::Doorbell;
use naio_dma::{DescArray, Done, Iova, Page, Pool, Posted};
use naio_nic::{RxChecksum, RxFrame};

/// Shortest thing that can be a frame: two addresses and a type.
const FRAME_LEN_MIN: usize = 14;

/// What the receive path counted; see [`naio_nic::Counters`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RxCounters {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) frame_errors: u64,
    pub(crate) length_errors: u64,
    pub(crate) no_page: u64,
    /// Frames in the ring when the card was reset.
    pub(crate) reset: u64,
    pub(crate) doorbells: u64,
}

/// A page in the ring, and where the card was told to write it.
struct Slot {
    page: Posted,
    iova: Iova,
}

pub(crate) struct RxRing<B> {
    desc: DescArray,
    pool: Pool,
    slots: Vec<Slot>,
    spare: Vec<Page>,
    verdict: RxVerdict,
    bell: B,
    /// Next slot to look at.
    next: u32,
    /// One past the last slot that the card may use, as it will be told; the card owns
    /// `next..published`. Slot `tail` itself is filled, but kept back: RDT == RDH means empty.
    tail: u32,
    published: u32,
    /// Inside a frame that spans several slots, whose rest is thrown away.
    discarding: bool,
    counters: RxCounters,
}

/// Why a written-back slot holds no frame for us.
enum Bad {
    /// Part of a frame that does not fit one page, or an impossible length.
    Length,
    /// The card says the frame is damaged.
    Frame,
    /// The rest of a frame that was counted before.
    Continuation,
}

impl<B: Doorbell> RxRing<B> {
    /// Fills every slot. `pages` are all pages of `pool`, more than the ring has slots; the rest is
    /// spare.
    pub(crate) fn new(
        desc: DescArray,
        pool: Pool,
        mut pages: Vec<Page>,
        verdict: RxVerdict,
        bell: B,
    ) -> Self {
        let count = desc.len();
        let spare = pages.split_off(count as usize);
        let slots: Vec<Slot> =
            pages.into_iter().map(|page| Slot { iova: pool.iova(&page), page: page.post() }).collect();
        for (index, slot) in slots.iter().enumerate() {
            desc.store(index as u32, slot.iova.as_u64(), 0);
        }
        let counters = RxCounters::default();
        let (next, tail, published) = (0, count - 1, 0);
        RxRing { desc, pool, slots, spare, verdict, bell, next, tail, published, discarding: false, counters }
    }

    pub(crate) fn desc(&self) -> &DescArray {
        &self.desc
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn counters(&self) -> RxCounters {
        self.counters
    }

    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }

    /// Where the pages are that the driver holds: those in the ring, then the spare ones.
    #[cfg(test)]
    pub(crate) fn held(&self) -> Vec<Iova> {
        let spare = self.spare.iter().map(|page| self.pool.iova(page));
        self.slots.iter().map(|slot| slot.iova).chain(spare).collect()
    }

    /// Pages in the ring and spare.
    pub(crate) fn pages(&self) -> usize {
        self.slots.len() + self.spare.len()
    }

    /// Takes spare pages.
    pub(crate) fn post(&mut self, pages: &mut Vec<Page>) {
        self.spare.append(pages);
    }

    /// Hands finished frames up, at most `budget`; looks at no more slots than the card was given.
    pub(crate) fn reap(&mut self, frames: &mut Vec<RxFrame>, budget: usize) -> usize {
        let mut reaped = 0;
        while reaped < budget && self.next != self.published {
            let Some(done) = self.desc.done(self.next, DD) else { break };
            match self.judge(done) {
                Ok(len) => reaped += usize::from(self.hand_up(done, len, frames)),
                Err(bad) => {
                    self.count(&bad);
                    self.recycle();
                }
            }
            self.advance();
        }
        self.counters.frames += reaped as u64;
        reaped
    }

    /// Tells the card about refilled slots: one write for the batch.
    pub(crate) fn ring(&mut self) {
        if self.published != self.tail {
            // The slot that was kept back has lain in memory since: whatever a card wrote there unasked
            // is no frame, and believed it would put us a lap ahead of the card (8254x fact sheet 7.4).
            self.renew(self.published);
            self.published = self.tail;
            self.counters.doorbells += 1;
            self.bell.ring(self.tail);
        }
    }

    #[inline]
    fn judge(&mut self, done: Done) -> Result<usize, Bad> {
        let word = done.word();
        let ends = word & EOP != 0;
        if self.discarding {
            self.discarding = !ends;
            return Err(Bad::Continuation);
        }
        if !ends {
            // Status and errors are valid with EOP only: throw the frame away up to there. Each slot
            // is looked at once per lap, so a card that never ends a frame costs bounded time.
            self.discarding = true;
            return Err(Bad::Length);
        }
        if word & FRAME_ERRORS != 0 {
            return Err(Bad::Frame);
        }
        let len = len(word);
        if (FRAME_LEN_MIN..=self.pool.page_len()).contains(&len) { Ok(len) } else { Err(Bad::Length) }
    }

    /// The card was reset: every slot is filled again, from the first one on. What it had received and nobody taken is
    /// lost, and counted.
    pub(crate) fn refill(&mut self) {
        while self.next != self.published && self.desc.done(self.next, DD).is_some() {
            self.counters.reset += 1;
            self.advance();
        }
        let count = self.desc.len();
        (0..count).for_each(|slot| self.renew(slot));
        (self.next, self.tail, self.published, self.discarding) = (0, count - 1, 0, false);
    }

    /// Swaps a spare page in and the full one out; without a spare the frame is lost, not the slot. Frames handed up are
    /// for the caller to count.
    #[inline]
    fn hand_up(&mut self, done: Done, len: usize, frames: &mut Vec<RxFrame>) -> bool {
        let Some(fresh) = self.spare.pop() else {
            self.counters.no_page += 1;
            self.recycle();
            return false;
        };
        let iova = self.pool.iova(&fresh);
        let slot = &mut self.slots[self.next as usize];
        let full = std::mem::replace(slot, Slot { page: fresh.post(), iova });
        self.desc.store(self.next, iova.as_u64(), 0);
        self.counters.bytes += len as u64;
        let checksum = verdict(self.verdict, done.word());
        // `len` is at most the page length, 16 KiB.
        frames.push(RxFrame { page: full.page.complete(done), offset: 0, len: len as u16, checksum });
        true
    }

    /// Posts the same page again.
    fn recycle(&mut self) {
        self.renew(self.next);
    }

    /// Writes a slot that the card does not own, with the address we remember and nothing done.
    fn renew(&mut self, slot: u32) {
        self.desc.store(slot, self.slots[slot as usize].iova.as_u64(), 0);
    }

    fn advance(&mut self) {
        self.tail = self.next;
        self.next = if self.next + 1 == self.desc.len() { 0 } else { self.next + 1 };
    }

    fn count(&mut self, bad: &Bad) {
        match bad {
            Bad::Length => self.counters.length_errors += 1,
            Bad::Frame => self.counters.frame_errors += 1,
            Bad::Continuation => {}
        }
    }
}

/// The card's checksum verdict, honoured only where it gives one; "wrong" is left to software to
/// confirm, as Linux does.
fn verdict(trust: RxVerdict, word: u64) -> RxChecksum {
    // Both computed, neither wrong, and none of it to be ignored.
    let judged = word & (TCPCS | IPCS | TCPE | IPE | IXSM) == TCPCS | IPCS;
    if judged && trust == RxVerdict::Ipv4 { RxChecksum::Good } else { RxChecksum::Unknown }
}
