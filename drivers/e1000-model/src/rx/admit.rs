//! Which frames the MAC takes: filters, lengths, FCS, room in the FIFO; and the statistics of it
//! (8254x SDM 3.2.1, 13.7).
//!
//! Receives a frame off the wire and hands on whether it goes into the FIFO.

use super::FIFO_HEADER_LEN;
use crate::core::{Core, RX_RING, RingShape};
use crate::filter::Verdict;
use crate::regs::{self, icr, rctl};
use crate::stats;
use crate::wire::{Fcs, Frame, LineError};

/// Shortest frame, with FCS.
const FRAME_LEN_MIN: usize = 64;
/// Longest frame without RCTL.LPE, with FCS.
const FRAME_LEN_MAX: usize = 1522;
/// Longest frame with RCTL.LPE, with FCS.
const LONG_FRAME_LEN_MAX: usize = 16_384;

impl Core {
    /// Filters, length and FCS checks, statistics; `Some` if the frame goes into the FIFO, with
    /// whether only the hash table let it pass.
    pub(super) fn admit(&mut self, frame: &mut Frame) -> Option<bool> {
        if self.quirks.rx_pads_short && frame.bytes.len() + 4 < FRAME_LEN_MIN {
            frame.bytes.resize(FRAME_LEN_MIN - 4, 0);
        }
        let control = self.reg(regs::RCTL);
        let good = frame.fcs == Fcs::Good && frame.error == LineError::None;
        let pause = good.then(|| self.control_frame(&frame.bytes)).flatten();
        let verdict = self.filter(&frame.bytes);
        if verdict == Verdict::Rejected && pause.is_none() {
            return None;
        }
        let len = frame.wire_len();
        if let Some(control_frame) = pause {
            self.count_total(len);
            if !self.handle_control_frame(control_frame)
                || verdict == Verdict::Rejected && control & rctl::PMCF == 0
            {
                return None;
            }
        }
        let long = len > if control & rctl::LPE != 0 { LONG_FRAME_LEN_MAX } else { FRAME_LEN_MAX };
        let short = len < FRAME_LEN_MIN;
        if short || long {
            self.count_wrong_length(short, good);
        }
        if !good && !short {
            self.count_errors(frame);
        }
        let acceptable = good && !short && !long;
        let stored = acceptable || control & rctl::SBP != 0 && len <= LONG_FRAME_LEN_MAX;
        if pause.is_none() && !stored {
            self.count_total(len);
        }
        if !stored || !self.fits_fifo(frame) {
            return None;
        }
        if pause.is_none() {
            self.count_total(len);
            if acceptable {
                self.count_good(&frame.bytes, len);
            }
        }
        Some(verdict == Verdict::Accepted { inexact: true })
    }

    /// Room in the FIFO; counts what finds none.
    fn fits_fifo(&mut self, frame: &Frame) -> bool {
        let free = self.ring(RX_RING).map_or(0, RingShape::owned);
        if free == 0 {
            self.stats.add(stats::RNBC, 1);
        }
        let room = frame.wire_len().next_multiple_of(8) + FIFO_HEADER_LEN;
        if self.rx.used + room > self.rx_buffer_kb as usize * 1024 {
            self.stats.add(stats::MPC, 1);
            self.raise(icr::RXO);
            return false;
        }
        true
    }

    pub(super) fn overrun(&mut self) {
        self.stats.add(stats::MPC, 1);
        self.stats.add(stats::RNBC, 1);
        self.raise(icr::RXO);
    }

    fn count_total(&mut self, len: usize) {
        self.stats.add(stats::TPR, 1);
        self.stats.add(stats::TOR, len as u64);
    }

    fn count_good(&mut self, bytes: &[u8], len: usize) {
        self.stats.add(stats::GPRC, 1);
        self.stats.add(stats::GORC, len as u64);
        self.stats.bin(stats::PRC64, len);
        if bytes.starts_with(&[0xff; 6]) {
            self.stats.add(stats::BPRC, 1);
        } else if bytes[0] & 1 != 0 {
            self.stats.add(stats::MPRC, 1);
        }
    }

    fn count_wrong_length(&mut self, short: bool, good: bool) {
        self.stats.add(stats::RLEC, 1);
        let counter = match (short, good) {
            (true, true) => stats::RUC,
            (true, false) => stats::RFC,
            (false, true) => stats::ROC,
            (false, false) => stats::RJC,
        };
        self.stats.add(counter, 1);
    }

    fn count_errors(&mut self, frame: &Frame) {
        match frame.error {
            LineError::None => self.stats.add(stats::CRCERRS, 1),
            LineError::Symbol => {
                self.stats.add(stats::SYMERRS, 1);
                self.stats.add(stats::RXERRC, 1);
            }
            LineError::Alignment => self.stats.add(stats::ALGNERRC, 1),
            LineError::Sequence => {
                self.stats.add(stats::SEC, 1);
                self.raise(icr::RXSEQ);
            }
            LineError::CarrierExtension => self.stats.add(stats::CEXTERR, 1),
        }
    }
}
