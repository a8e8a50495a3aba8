//! Flow control: PAUSE frames received and sent (IEEE 802.3 31B; 8254x SDM 3.2.2, 13.4.7 to 13.4.11).
//!
//! Receives MAC control frames and the fill of the receive FIFO; hands on how long the transmitter
//! must rest, and PAUSE frames to send.

use crate::core::Core;
use crate::parts::Mac;
use crate::regs::{self, ctrl, rctl};
use crate::stats;

/// The PAUSE operation among MAC control frames.
const PAUSE: u16 = 1;
/// A PAUSE time counts this many bits.
const QUANTUM_BITS: u64 = 512;
/// FCRTL.XONE, FCRTH.XFCE.
const XON_ENABLE: u32 = 1 << 31;

/// A MAC control frame for this station.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlFrame {
    operation: u16,
    time: u16,
    own: bool,
}

impl Core {
    /// Recognises a MAC control frame to the PAUSE address or to this station.
    pub(crate) fn control_frame(&self, bytes: &[u8]) -> Option<ControlFrame> {
        let head = bytes.first_chunk::<18>()?;
        let kind = u32::from(u16::from_be_bytes([head[12], head[13]]));
        if kind == 0 || kind != self.reg(regs::FCT) {
            return None;
        }
        let own = head[..6] == self.address(0);
        if !own && head[..6] != self.pause_address() {
            return None;
        }
        let operation = u16::from_be_bytes([head[14], head[15]]);
        Some(ControlFrame { operation, time: u16::from_be_bytes([head[16], head[17]]), own })
    }

    fn pause_address(&self) -> [u8; 6] {
        let [a, b, c, d] = self.reg(regs::FCAL).to_le_bytes();
        let [e, f, ..] = self.reg(regs::FCAH).to_le_bytes();
        [a, b, c, d, e, f]
    }

    /// Obeys a control frame; true if it may go on to the host.
    pub(crate) fn handle_control_frame(&mut self, frame: ControlFrame) -> bool {
        let control = self.reg(regs::RCTL);
        let pass = control & rctl::PMCF != 0;
        if frame.operation != PAUSE {
            self.stats.add(stats::FCRUC, 1);
            return pass;
        }
        if self.reg(regs::CTRL) & ctrl::RFCE == 0 {
            return !(frame.own && control & rctl::DPF != 0);
        }
        self.stats.add(if frame.time == 0 { stats::XONRXC } else { stats::XOFFRXC }, 1);
        let bit_ns = 1_000 / u64::from(self.link().map_or(1000, |speed| speed.mbit_per_s));
        self.tx.pause_until(self.now_ns + u64::from(frame.time) * QUANTUM_BITS * bit_ns);
        pass && !(frame.own && control & rctl::DPF != 0)
    }

    /// The FIFO passed its high-water mark.
    pub(crate) fn pause_if_full(&mut self) {
        let high = self.reg(regs::FCRTH) & 0xfff8;
        let on = self.reg(regs::CTRL) & ctrl::TFCE != 0 && high > 0;
        if on && !self.rx.xoff_sent && self.rx.fifo_used() >= high as usize {
            self.rx.xoff_sent = true;
            self.send_pause(self.reg(regs::FCTTV) as u16);
        }
    }

    /// The FIFO fell below its low-water mark.
    pub(crate) fn resume_if_drained(&mut self) {
        let low = self.reg(regs::FCRTL);
        if self.rx.xoff_sent && self.rx.fifo_used() <= (low & 0xfff8) as usize {
            self.rx.xoff_sent = false;
            // Some parts have the bit and the others always resume (fact sheet 2.6).
            let has_bit = self.part.mac == Mac::I82544 || self.part.is_82541_or_82547();
            if low & XON_ENABLE != 0 || !has_bit {
                self.send_pause(0);
            }
        }
    }

    /// Sends a PAUSE frame: XOFF, or XON with time 0.
    pub(crate) fn send_pause(&mut self, time: u16) {
        let mut frame = [0u8; 60];
        frame[..6].copy_from_slice(&self.pause_address());
        frame[6..12].copy_from_slice(&self.address(0));
        frame[12..14].copy_from_slice(&(self.reg(regs::FCT) as u16).to_be_bytes());
        frame[14..16].copy_from_slice(&PAUSE.to_be_bytes());
        frame[16..18].copy_from_slice(&time.to_be_bytes());
        self.stats.add(if time == 0 { stats::XONTXC } else { stats::XOFFTXC }, 1);
        self.send_control(&frame);
    }
}
