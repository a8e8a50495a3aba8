//! Receive descriptors on their way back: batching, the timers that end a batch, and what a lying
//! card writes instead (8254x SDM 3.2.3, 3.2.6).

use crate::core::Core;
use crate::faults::{Faults, LengthFault};
use crate::regs::{self, icr, rctl};
use crate::violation::Ring;
use crate::wire::{Fcs, Frame, LineError};

/// RDTR, RADV, TIDV and TADV count in units of this.
pub(crate) const TIMER_UNIT_NS: u64 = 1_024;
/// Most write-backs that wait: WTHRESH has 6 bits.
const PENDING_MAX: usize = 64;

/// Status bits of a receive descriptor (8254x SDM 3.2.3.1).
pub(crate) mod status {
    pub(crate) const DD: u8 = 1;
    pub(crate) const EOP: u8 = 1 << 1;
    pub(crate) const IXSM: u8 = 1 << 2;
    pub(crate) const VP: u8 = 1 << 3;
    pub(crate) const TCPCS: u8 = 1 << 5;
    pub(crate) const IPCS: u8 = 1 << 6;
    pub(crate) const PIF: u8 = 1 << 7;
}

/// Error bits of a receive descriptor (8254x SDM 3.2.3.2).
pub(crate) mod error {
    use super::{Fcs, Frame, LineError};

    pub(crate) const CE: u8 = 1;
    pub(crate) const SE: u8 = 1 << 1;
    pub(crate) const SEQ: u8 = 1 << 2;
    pub(crate) const CXE: u8 = 1 << 4;
    pub(crate) const TCPE: u8 = 1 << 5;
    pub(crate) const IPE: u8 = 1 << 6;
    pub(crate) const RXE: u8 = 1 << 7;

    /// What the line did to a frame that is stored nevertheless.
    pub(crate) fn of(frame: &Frame) -> u8 {
        let line = match frame.error {
            LineError::None => 0,
            LineError::Symbol => SE | RXE,
            LineError::Alignment => CE,
            LineError::Sequence => SEQ,
            LineError::CarrierExtension => CXE,
        };
        line | if frame.fcs == Fcs::Good { 0 } else { CE }
    }
}

/// One descriptor as it will be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteBack {
    pub(crate) index: u32,
    pub(crate) at: u64,
    pub(crate) address: u64,
    pub(crate) len: u16,
    pub(crate) checksum: u16,
    pub(crate) status: u8,
    pub(crate) errors: u8,
    pub(crate) special: u16,
}

impl WriteBack {
    fn word(self) -> u64 {
        u64::from(self.len)
            | u64::from(self.checksum) << 16
            | u64::from(self.status) << 32
            | u64::from(self.errors) << 40
            | u64::from(self.special) << 48
    }
}

impl Core {
    /// A descriptor is full. It goes back now, or with its batch.
    pub(super) fn write_back(&mut self, mut back: WriteBack, last: bool) {
        self.tell_lies(&mut back);
        self.rx.pending.push(back);
        let waits = self.reg(regs::RDTR) != 0 && !self.quirks.rx_timers_ignored || self.faults.combined;
        if self.rx.pending.len() >= self.receive_batch() || last && !waits {
            self.flush_write_backs();
        }
        if last && Faults::spend(&mut self.faults.rx_empty_eop) {
            self.lie_empty_eop();
        }
    }

    /// RXDCTL.WTHRESH in descriptors; cache lines hold two.
    fn receive_batch(&self) -> usize {
        let control = self.reg(regs::RXDCTL);
        let threshold = (control >> 16 & 0x3f) as usize;
        let threshold = if control & regs::GRAN != 0 { threshold } else { threshold * 2 };
        threshold.clamp(1 + usize::from(self.faults.combined), PENDING_MAX)
    }

    fn flush_write_backs(&mut self) {
        if self.faults.held {
            return;
        }
        let mut pending = std::mem::take(&mut self.rx.pending);
        if self.faults.rx_out_of_order && pending.len() < 2 {
            // Wait for a partner to swap with.
            self.rx.pending = pending;
            return;
        }
        if self.faults.rx_out_of_order {
            pending.reverse();
        }
        for back in pending.drain(..) {
            self.put(back);
        }
        self.rx.pending = pending;
    }

    /// Writes a descriptor: one store, so that status and lengths are never seen apart.
    fn put(&mut self, back: WriteBack) {
        if self.faults.rx_torn && self.rx.torn.is_none() {
            let done_only = WriteBack { len: 0, checksum: 0, errors: 0, special: 0, ..back };
            let _ = self.bus.store(back.at.wrapping_add(8), done_only.word());
            self.rx.torn = Some(back);
            return;
        }
        if self.faults.rx_address_changed {
            let _ = self.bus.store(back.at, back.address ^ 0x1000);
        }
        if self.quirks.rx_status_written_last {
            let undone = WriteBack { status: back.status & !status::DD, ..back };
            let _ = self.bus.store(back.at.wrapping_add(8), undone.word());
        }
        self.store_back(back.at.wrapping_add(8), back.word(), icr::RXT0);
        if back.index > 0 && Faults::spend(&mut self.faults.rx_done_again) {
            let _ = self.bus.store(back.at.wrapping_sub(8), back.word());
        }
    }

    /// Whether so many write-backs are held that no more fit.
    pub(super) fn is_held_up(&self) -> bool {
        self.faults.held && self.rx.pending.len() >= PENDING_MAX
    }

    /// The second half of a torn write-back, and what was held until now.
    pub(super) fn mend_torn(&mut self) {
        if self.rx.held && !self.faults.held {
            self.flush_write_backs();
        }
        self.rx.held = self.faults.held;
        if let Some(back) = self.rx.torn.take() {
            let _ = self.bus.store(back.at.wrapping_add(8), back.word());
        }
        if Faults::spend(&mut self.faults.rx_done_unposted)
            && let Some(ring) = self.ring(crate::core::RX_RING)
        {
            let at = ring.at(ring.tail).wrapping_add(8);
            let _ = self.bus.store(at, u64::from(status::DD | status::EOP) << 32 | 60);
        }
    }

    /// A frame is complete: its interrupt now, or when a timer says so.
    pub(super) fn frame_delivered(&mut self, len: usize) {
        let small = self.reg(regs::RSRPD) as usize;
        if small > 0 && len <= small {
            self.raise(icr::SRPD);
        }
        match u64::from(self.reg(regs::RDTR)) {
            delay if delay == 0 || self.quirks.rx_timers_ignored => self.raise(icr::RXT0),
            delay => {
                self.rx.timer_ns = Some(self.now_ns + delay * TIMER_UNIT_NS);
                let absolute = u64::from(self.reg(regs::RADV));
                if absolute > 0 && self.rx.absolute_ns.is_none() {
                    self.rx.absolute_ns = Some(self.now_ns + absolute * TIMER_UNIT_NS);
                }
            }
        }
    }

    pub(crate) fn receive_timers(&mut self) {
        let due = |at: Option<u64>| at.is_some_and(|at| at <= self.now_ns);
        if due(self.rx.timer_ns) || due(self.rx.absolute_ns) {
            self.flush_receive();
        }
        if self.rx.blocked_until_ns <= self.now_ns {
            self.rx.blocked_until_ns = 0;
        }
    }

    /// A timer expired, or RDTR.FPD was written: everything goes back, with RXT0.
    pub(crate) fn flush_receive(&mut self) {
        self.rx.timer_ns = None;
        self.rx.absolute_ns = None;
        self.flush_write_backs();
        self.raise(icr::RXT0);
    }

    fn tell_lies(&mut self, back: &mut WriteBack) {
        match self.faults.rx_length {
            LengthFault::None => {}
            LengthFault::Always(len) => back.len = len,
            LengthFault::BeyondBuffer(more) => {
                let buffer = rctl::buffer_len(self.reg(regs::RCTL)) as u32;
                back.len = (buffer + u32::from(more)).min(0xffff) as u16;
            }
        }
        if Faults::spend(&mut self.faults.rx_without_eop) {
            back.status &= !status::EOP;
        }
        back.status |= self.faults.rx_status;
        back.errors |= self.faults.rx_errors;
        if self.chance(self.faults.chaos.write_back) {
            back.len = self.random.u16(..);
            back.status = self.random.u8(..);
            back.errors = self.random.u8(..);
            back.special = self.random.u16(..);
        }
    }

    /// One more descriptor, done, with EOP and nothing in it.
    fn lie_empty_eop(&mut self) {
        let Some(ring) = self.ring(crate::core::RX_RING).filter(|ring| ring.owned() > 0) else { return };
        let at = ring.at(ring.head);
        if let (Ok(low), Ok(high)) = (self.bus.load(at), self.bus.load(at.wrapping_add(8))) {
            self.verify(Ring::Receive, ring.head, low, high);
        }
        self.advance_receive_head(ring);
        let _ = self.bus.store(at.wrapping_add(8), u64::from(status::DD | status::EOP) << 32);
    }
}
