//! Watches what the driver gave to the card: descriptors and buffers must stay as they were when the
//! tail moved over them.
//!
//! Receives tail movements and hands on findings when a descriptor is used. It never changes memory
//! and never decides what the card does.

use crate::core::{Core, RX_RING, RingShape, TX_RING};
use crate::regs::{self, TDT, rctl};
use crate::violation::{Ring, Wrong};
use std::collections::BTreeSet;

/// How much is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// Only what costs nothing.
    Light,
    /// Descriptors and the bytes of buffers too: every byte is read twice more.
    #[default]
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Snapshot {
    low: u64,
    high: u64,
    len: usize,
    sum: u64,
}

/// What was seen at the last doorbells.
#[derive(Debug)]
pub(crate) struct Watch {
    checks: Checks,
    rx: Vec<Option<Snapshot>>,
    tx: Vec<Option<Snapshot>>,
    rx_buffers: BTreeSet<u64>,
    scratch: Vec<u8>,
}

impl Watch {
    pub(crate) fn new(checks: Checks) -> Watch {
        Watch { checks, rx: Vec::new(), tx: Vec::new(), rx_buffers: BTreeSet::new(), scratch: Vec::new() }
    }

    pub(crate) fn reset(&mut self) {
        self.forget(Ring::Receive);
        self.forget(Ring::Transmit);
    }

    pub(crate) fn forget(&mut self, ring: Ring) {
        match ring {
            Ring::Receive => {
                self.rx.clear();
                self.rx_buffers.clear();
            }
            Ring::Transmit => self.tx.clear(),
        }
    }

    fn slots(&mut self, ring: Ring) -> &mut Vec<Option<Snapshot>> {
        if ring == Ring::Receive { &mut self.rx } else { &mut self.tx }
    }
}

impl Core {
    /// A tail register was written.
    pub(crate) fn write_tail(&mut self, at: u32, value: u32) {
        let which = if at == TDT { Ring::Transmit } else { Ring::Receive };
        let first = if which == Ring::Transmit { regs::TDBAL } else { regs::RDBAL };
        let before = self.ring(first);
        self.set_reg(at, value);
        let len = self.reg(first + 8) / 16;
        let allowed = value < len || value == len && (self.quirks.tail_may_be_ring_size || len == 0);
        if !allowed {
            self.blame_at(Wrong::TailOutside { value, len }, which, value);
        } else if let Some(before) = before {
            self.given(which, before, value % len.max(1));
        }
        match which {
            Ring::Receive => self.rx.unblock(),
            Ring::Transmit if self.quirks.tx_synchronous => {
                self.work(2 * len.max(1) as usize);
            }
            Ring::Transmit => {}
        }
    }

    /// Descriptors from the old tail up to `tail` are the card's from now on.
    fn given(&mut self, which: Ring, before: RingShape, tail: u32) {
        let added = (tail + before.len - before.tail) % before.len;
        let enable = if which == Ring::Receive { self.reg(regs::RCTL) } else { self.reg(regs::TCTL) };
        // Before the engine is on, a tail may be written back and forth.
        if added + before.owned() >= before.len && enable & 2 != 0 {
            self.blame_at(Wrong::TailOverrun { value: tail }, which, tail);
            return;
        }
        if self.watch.checks == Checks::Light {
            return;
        }
        for step in 0..added {
            self.snapshot(which, before, (before.tail + step) % before.len);
        }
    }

    fn snapshot(&mut self, which: Ring, ring: RingShape, index: u32) {
        let at = ring.at(index);
        let (Ok(low), Ok(high)) = (self.bus.load(at), self.bus.load(at.wrapping_add(8))) else { return };
        if which == Ring::Receive && low != 0 && !self.watch.rx_buffers.insert(low) {
            self.blame_at(Wrong::BufferTwice { iova: low }, which, index);
        }
        let len = self.buffer_len(which, high);
        let sum = self.buffer_sum(low, len);
        let slots = self.watch.slots(which);
        slots.resize(ring.len as usize, None);
        slots[index as usize] = Some(Snapshot { low, high, len, sum });
    }

    /// The card is about to use this descriptor.
    pub(crate) fn verify(&mut self, which: Ring, index: u32, low: u64, high: u64) {
        if self.watch.checks == Checks::Light {
            return;
        }
        let taken = self.watch.slots(which).get_mut(index as usize).and_then(Option::take);
        let Some(seen) = taken else { return };
        if which == Ring::Receive {
            self.watch.rx_buffers.remove(&seen.low);
        }
        // What was fetched ahead may be older than a change.
        let at = self.ring(if which == Ring::Receive { RX_RING } else { TX_RING }).map(|ring| ring.at(index));
        let now = at.and_then(|at| Some((self.bus.load(at).ok()?, self.bus.load(at.wrapping_add(8)).ok()?)));
        if (seen.low, seen.high) != (low, high) || now.is_some_and(|now| now != (low, high)) {
            self.blame_at(Wrong::DescriptorTouched, which, index);
        } else if seen.len == self.buffer_len(which, high) && seen.sum != self.buffer_sum(low, seen.len) {
            self.blame_at(Wrong::BufferTouched, which, index);
        }
    }

    /// Bytes that the descriptor names. Receive buffers are as long as RCTL says at the moment.
    fn buffer_len(&self, which: Ring, high: u64) -> usize {
        let extended = high >> 29 & 1 != 0;
        match (which, extended, high >> 20 & 0xf) {
            (Ring::Receive, ..) => rctl::buffer_len(self.reg(regs::RCTL)),
            (Ring::Transmit, false, _) => (high & 0xffff) as usize,
            (Ring::Transmit, true, 1) => (high & 0xf_ffff) as usize,
            _ => 0,
        }
    }

    /// A fingerprint of the buffer's bytes; 0 where there are none.
    fn buffer_sum(&mut self, low: u64, len: usize) -> u64 {
        let mut scratch = std::mem::take(&mut self.watch.scratch);
        scratch.resize(len, 0);
        let readable = low != 0 && self.bus.read(low, &mut scratch).is_ok();
        let sum = if readable { fingerprint(&scratch) } else { 0 };
        self.watch.scratch = scratch;
        sum
    }
}

/// FNV-1a over words: fast enough for tests, and a changed byte shows.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }
    sum
}
