//! A finished frame leaves: padding, tag, FCS, counts, and onto the wire or back in a loop.

use super::PACKET_LEN_MAX;
use super::desc::Descriptor;
use crate::core::Core;
use crate::regs::{self, ctrl, tctl};
use crate::stats;
use crate::violation::{Ring, Wrong};
use crate::wire::{Fcs, Frame, LineError};

/// What the card pads to, without FCS (8254x SDM 13.4.33, PSP).
const PADDED_LEN: usize = 60;
/// Below this padding may corrupt the frame (8254x SDM 3.3.3).
const PACKET_LEN_MIN: usize = 48;
/// A frame has at least its header.
const HEADER_LEN: usize = 14;
/// Space in the transmit FIFO that a packet may not use.
pub(super) const FIFO_SLACK: usize = 80;
/// A manual clock counts microseconds.
const CLOCK_GRAIN_NS: u64 = 1_000;
/// How late a thread may wake without slowing the line down.
const THREAD_GRAIN_NS: u64 = 2_000_000;
/// Preamble, start of frame and gap on the line.
const LINE_OVERHEAD: u64 = 20;

impl Core {
    /// Sends `tx.out`; `flags` is the descriptor whose VLE, IFCS and special count.
    pub(super) fn emit(&mut self, index: u32, flags: Descriptor) {
        let len = self.tx.out.bytes.len();
        if len + FIFO_SLACK > self.tx_fifo_len() || len > PACKET_LEN_MAX {
            self.blame_at(Wrong::PacketTooLong { len }, Ring::Transmit, index);
            return;
        }
        if len < PACKET_LEN_MIN {
            self.blame_at(Wrong::PacketTooShort { len }, Ring::Transmit, index);
            if len < HEADER_LEN {
                return;
            }
        }
        let tagged = flags.vle() && self.reg(regs::CTRL) & ctrl::VME != 0 && self.part.has_offloads();
        let vet = self.reg(regs::VET) as u16;
        let pads = self.reg(regs::TCTL) & tctl::PSP != 0 && !self.quirks.tx_unpadded;
        self.errata_of_length(len, index);
        let ifcs = flags.ifcs() || self.quirks.tx_ifcs_ignored;
        let out = &mut self.tx.out;
        if tagged {
            out.bytes.resize(len + 4, 0);
            out.bytes.copy_within(12..len, 16);
            out.bytes[12..14].copy_from_slice(&vet.to_be_bytes());
            out.bytes[14..16].copy_from_slice(&flags.special().to_be_bytes());
        }
        out.error = LineError::None;
        out.fcs = Fcs::Good;
        if ifcs || tagged {
            if pads && out.bytes.len() < PADDED_LEN {
                out.bytes.resize(PADDED_LEN, 0);
            }
        } else {
            take_own_fcs(out);
        }
        if self.pass_the_fifo() && self.survives_the_line() {
            self.count_sent();
            self.put_on_the_line();
        }
    }

    /// A MAC control frame of the card's own making.
    pub(crate) fn send_control(&mut self, bytes: &[u8]) {
        if self.link().is_none() || self.loops() {
            return;
        }
        let mut frame = Frame::good(bytes);
        self.stats.add(stats::TPT, 1);
        self.stats.add(stats::TOT, frame.wire_len() as u64);
        self.wire.send(&mut frame, self.now_ns);
    }

    fn count_sent(&mut self) {
        let out = &self.tx.out;
        let (len, first) = (out.wire_len(), out.bytes[0]);
        let broadcast = out.bytes.starts_with(&[0xff; 6]);
        self.stats.add(stats::TPT, 1);
        self.stats.add(stats::TOT, len as u64);
        self.stats.bin(stats::PTC64, len);
        if len >= 64 {
            self.stats.add(stats::GPTC, 1);
            self.stats.add(stats::GOTC, len as u64);
        }
        if broadcast {
            self.stats.add(stats::BPTC, 1);
        } else if first & 1 != 0 {
            self.stats.add(stats::MPTC, 1);
        }
    }

    fn put_on_the_line(&mut self) {
        let mut out = std::mem::take(&mut self.tx.out);
        if self.options.paced {
            let mbit = u64::from(self.link().map_or(1000, |speed| speed.mbit_per_s));
            let span = (out.wire_len() as u64 + LINE_OVERHEAD) * 8_000 / mbit;
            // A frame that waited for the line follows without a break, although the clock's grain or
            // a sleeping thread lets us see the end of the last one late.
            let late = match (std::mem::take(&mut self.tx.line_awaited), self.options.clock.runs()) {
                (false, _) => 0,
                (true, false) => CLOCK_GRAIN_NS,
                (true, true) => THREAD_GRAIN_NS,
            };
            self.tx.busy_until_ns = self.tx.busy_until_ns.max(self.now_ns.saturating_sub(late)) + span;
        }
        if self.loops() {
            self.loop_back(&mut out);
        } else {
            self.wire.send(&mut out, self.now_ns);
        }
        out.bytes.clear();
        self.tx.out = out;
    }
}

/// Without IFCS the last four bytes that software gave are the FCS.
fn take_own_fcs(out: &mut Frame) {
    if let Some(&own) = out.bytes.last_chunk::<4>() {
        out.bytes.truncate(out.bytes.len() - 4);
        if crate::fcs::fcs(&out.bytes) != own {
            out.fcs = Fcs::Wrong(own);
        }
    }
}
