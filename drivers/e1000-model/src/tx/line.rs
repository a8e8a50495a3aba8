//! What may happen to a frame on a shared line, and to the FIFO before it: collisions, deferrals,
//! underruns, the stall of the 82547 (8254x SDM 3.3.3.2, 13.4.33; fact sheet 5.2).
//!
//! Receives a frame that is ready and the script of faults; hands on whether it went out, the counts,
//! and the status bits for its descriptor. Nothing of it happens unasked: the partner's side of a
//! half-duplex line is not simulated.

use crate::core::Core;
use crate::faults::Faults;
use crate::parts::Mac;
use crate::regs::{self, tctl};
use crate::stats;

/// STA of a transmit descriptor.
mod sta {
    pub(super) const EC: u8 = 1 << 1;
    pub(super) const LC: u8 = 1 << 2;
    pub(super) const TU: u8 = 1 << 3;
}

/// Attempts before a frame is given up (IEEE 802.3 4.2.3.2.5).
const ATTEMPTS: u64 = 16;
/// What the FIFO of the 82547 stores with a packet, and the grain it rounds to.
const FIFO_HEADER: usize = 16;
/// How far a packet may go beyond the end of the 82547's FIFO.
const FIFO_PAD: usize = 0x3e0;

impl Core {
    /// The frame in `tx.out` goes out; false if it was lost on the way.
    pub(super) fn survives_the_line(&mut self) -> bool {
        self.tx.sta = 0;
        self.underrun() && self.contend()
    }

    /// The FIFO runs dry in the middle of a frame; only the 82544 tells (STA.TU, TCTL.NRTU).
    fn underrun(&mut self) -> bool {
        if self.part.mac != Mac::I82544 || !Faults::spend(&mut self.faults.tx_underruns) {
            return true;
        }
        self.tx.sta |= sta::TU;
        self.reg(regs::TCTL) & tctl::NRTU == 0
    }

    fn contend(&mut self) -> bool {
        if self.link().is_none_or(|speed| speed.full_duplex) || self.loops() {
            return true;
        }
        let script = &mut self.faults.half_duplex;
        let deferred = Faults::spend(&mut script.deferred);
        let no_carrier = Faults::spend(&mut script.no_carrier);
        let excessive = Faults::spend(&mut script.excessive);
        let late = !excessive && Faults::spend(&mut script.late);
        let single = !excessive && !late && Faults::spend(&mut script.single);
        let multiple = !excessive && !late && !single && Faults::spend(&mut script.multiple);
        let mut count = |counter, amount| self.stats.add(counter, amount);
        count(stats::DC, u64::from(deferred));
        count(stats::SCC, u64::from(single));
        count(stats::MCC, u64::from(multiple));
        count(stats::ECOL, u64::from(excessive));
        count(stats::LATECOL, u64::from(late));
        let collisions = match (excessive, multiple, late || single) {
            (true, ..) => ATTEMPTS,
            (_, true, _) => self.random.u64(2..ATTEMPTS),
            (_, _, one) => u64::from(one),
        };
        self.stats.add(stats::COLC, collisions);
        if self.part.has_offloads() {
            self.stats.add(stats::TNCRS, u64::from(no_carrier));
        }
        let lost_late = late && self.reg(regs::TCTL) & tctl::RTLC == 0;
        self.tx.sta |= if excessive { sta::EC } else { 0 } | if lost_late { sta::LC } else { 0 };
        !excessive && !lost_late
    }

    /// The packet's place in the transmit FIFO of an 82547; in half duplex one that goes far beyond the
    /// FIFO's end may stall it for good (if the script says so).
    pub(super) fn pass_the_fifo(&mut self) -> bool {
        if !self.part.is_82547() {
            return true;
        }
        let size = self.tx_fifo_len();
        let need = (self.tx.out.bytes.len() + FIFO_HEADER).next_multiple_of(FIFO_HEADER);
        let half = self.link().is_some_and(|speed| !speed.full_duplex);
        if self.faults.fifo_stall && half && need >= FIFO_PAD + (size - self.tx.fifo_at) {
            self.tx.stalled = true;
            return false;
        }
        self.tx.fifo_at = (self.tx.fifo_at + need) % size;
        true
    }

    /// A FIFO pointer was written with the transmitter off: the FIFO begins anew.
    pub(crate) fn rewind_fifo(&mut self) {
        if self.reg(regs::TCTL) & tctl::EN == 0 {
            self.tx.fifo_at = 0;
            self.tx.stalled = false;
        }
    }

    /// Bytes of the transmit FIFO.
    pub(super) fn tx_fifo_len(&self) -> usize {
        (self.part.packet_buffer_kb().saturating_sub(self.rx_buffer_kb)).max(1) as usize * 1024
    }
}
