//! Descriptors on their way back: DD where RS asked for it, in batches, with their interrupts
//! (8254x SDM 3.3.3.1, 3.4.3, 13.4.44 to 13.4.48).

use super::desc::{DD, Descriptor};
use crate::core::{Core, RingShape};
use crate::faults::TxFault;
use crate::parts::Mac;
use crate::regs::{self, icr};
use crate::rx::write_back::TIMER_UNIT_NS;

/// Most reports that wait: WTHRESH has 6 bits.
const REPORTS_MAX: usize = 64;

/// A descriptor that will be marked done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    at: u64,
    high: u64,
    delayed: bool,
}

impl Core {
    pub(super) fn report(&mut self, ring: RingShape, descriptor: Descriptor) {
        let rps = descriptor.rps() && self.part.mac == Mac::I82544;
        if rps && descriptor.eop() && self.tx.busy_until_ns > self.now_ns {
            // RPS reports when the frame has left, not when it was fetched.
            self.tx.leaving.push_back((self.tx.busy_until_ns, ring, descriptor));
            return;
        }
        self.report_now(ring, descriptor, rps);
    }

    /// Frames whose last bit is on the line by now.
    fn report_left(&mut self) {
        while let Some((_, ring, descriptor)) =
            self.tx.leaving.front().copied().filter(|(at, ..)| *at <= self.now_ns)
        {
            self.tx.leaving.pop_front();
            self.report_now(ring, descriptor, true);
        }
    }

    fn report_now(&mut self, ring: RingShape, descriptor: Descriptor, rps: bool) {
        let asked = descriptor.rs() || rps;
        let fault = self.faults.tx;
        if fault == TxFault::NeverDone || !asked && fault != TxFault::DoneUnasked {
            return;
        }
        let at = ring.at(ring.head).wrapping_add(8);
        let sta = if descriptor.eop() { std::mem::take(&mut self.tx.sta) } else { 0 };
        let high = descriptor.high | u64::from(sta) << 32;
        self.tx.reports.push(Report { at, high, delayed: descriptor.ide() });
        let pairs = fault == TxFault::OutOfOrder || self.faults.combined;
        let enough = if pairs { self.transmit_batch().max(2) } else { self.transmit_batch() };
        if self.tx.reports.len() >= enough {
            self.flush_reports();
        } else {
            self.start_transmit_timers();
        }
    }

    /// Whether so many reports are held that no more fit; lets go of them when that has ended.
    pub(super) fn is_report_held_up(&mut self) -> bool {
        if self.tx.held && !self.faults.held {
            self.flush_reports();
        }
        self.tx.held = self.faults.held;
        self.faults.held && self.tx.reports.len() >= REPORTS_MAX
    }

    /// TXDCTL.WTHRESH in descriptors; cache lines hold two.
    fn transmit_batch(&self) -> usize {
        let control = self.reg(regs::TXDCTL);
        let threshold = (control >> 16 & 0x3f) as usize;
        let threshold = if control & regs::GRAN != 0 { threshold } else { threshold * 2 };
        threshold.clamp(1, REPORTS_MAX)
    }

    fn start_transmit_timers(&mut self) {
        // Zero is not allowed and counts as one.
        let delay = u64::from(self.reg(regs::TIDV).max(1));
        self.tx.timer_ns = Some(self.now_ns + delay * TIMER_UNIT_NS);
        let absolute = u64::from(self.reg(regs::TADV));
        if absolute > 0 && self.tx.absolute_ns.is_none() {
            self.tx.absolute_ns = Some(self.now_ns + absolute * TIMER_UNIT_NS);
        }
    }

    fn flush_reports(&mut self) {
        if self.faults.held {
            return;
        }
        let mut reports = std::mem::take(&mut self.tx.reports);
        if self.faults.tx == TxFault::OutOfOrder {
            reports.reverse();
        }
        let mut at_once = false;
        let mut delayed = false;
        for report in reports.drain(..) {
            // One store; STA is in the last dword, whose other bits stay.
            self.store_back(report.at, report.high | DD, icr::TXDW);
            at_once |= !report.delayed;
            delayed |= report.delayed;
        }
        self.tx.reports = reports;
        if at_once {
            self.raise(icr::TXDW);
        } else if delayed {
            self.start_transmit_timers();
        }
    }

    pub(crate) fn transmit_timers(&mut self) {
        self.report_left();
        let due = |at: Option<u64>| at.is_some_and(|at| at <= self.now_ns);
        if due(self.tx.timer_ns) || due(self.tx.absolute_ns) {
            self.tx.timer_ns = None;
            self.tx.absolute_ns = None;
            if !self.tx.reports.is_empty() {
                self.flush_reports();
            }
            self.raise(icr::TXDW);
            self.tx.timer_ns = None;
            self.tx.absolute_ns = None;
        }
        if self.tx.paused_until_ns <= self.now_ns {
            self.tx.paused_until_ns = 0;
        }
    }

    /// TXQE and TXD_LOW, after the head moved on from `ring.head`.
    pub(super) fn queue_causes(&mut self, ring: RingShape) {
        let left = ring.owned().saturating_sub(1);
        if left == 0 && !self.quirks.txqe_never {
            self.raise(icr::TXQE);
        }
        let low = (self.reg(regs::TXDCTL) >> 25) * 8;
        if low > 0 && left == low {
            self.raise(icr::TXD_LOW);
        }
    }
}
