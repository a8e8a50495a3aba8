//! Power-on, CTRL.RST, CTRL_EXT.EE_RST: what each changes, and what comes from the EEPROM
//! (8254x SDM 13.4.1, 14.3, 5.6).

use super::Core;
use crate::faults::ResetFault;
use crate::parts::{Mac, Media};
use crate::regs::{self, LEDCTL, MTA, PBA, RA, VFTA, WINDOW_LEN, ctrl, plain};
use crate::violation::Wrong;

/// CTRL.RST completes within this.
const RESET_NS: u64 = 1_000;
/// EEPROM word 0x0A with these bits at the top is an image that hardware takes.
pub(super) const SIGNATURE: u16 = 0b01;

impl Core {
    pub(super) fn power_on(&mut self) {
        self.set_reg(PBA, self.part.rx_buffer_kb());
        for (offset, value) in plain::reset_values(self.part) {
            self.set_reg(offset, value);
        }
        self.load_eeprom();
        for (offset, value) in self.quirks.reset_values {
            self.set_reg(*offset, *value);
        }
        self.carrier = self.wire.carrier(0);
        self.phy.set_carrier(self.carrier, 0);
        if self.quirks.link_up_at_start {
            self.phy.finish();
        }
    }

    /// CTRL.RST was written.
    pub(super) fn begin_reset(&mut self) {
        if !self.quirks.reset_keeps_registers {
            self.clear();
        }
    }

    /// RST# of the bus: as power-on, but for what only the power itself clears (WUS and its kin).
    pub(crate) fn bus_reset(&mut self) {
        self.config.forget();
        self.ioaddr = 0;
        self.set_reg(PBA, self.part.rx_buffer_kb());
        self.phy.reset_line(true, self.now_ns);
        self.phy.reset_line(false, self.now_ns);
        self.clear();
        for (offset, value) in self.quirks.reset_values {
            self.set_reg(*offset, *value);
        }
        self.configured();
    }

    /// Every register and unit as after power-on, but for what survives CTRL.RST.
    fn clear(&mut self) {
        self.tx.reset();
        self.rx.reset();
        self.looped.clear();
        self.late.reset();
        self.watch.reset();
        self.irq.reset();
        self.stats.reset();
        self.eeprom.reset();
        self.mdic = Default::default();
        for word in 0..WINDOW_LEN / 4 {
            if !plain::survives_reset(word * 4) {
                self.set_reg(word * 4, 0);
            }
        }
        for (offset, value) in plain::reset_values(self.part) {
            self.set_reg(offset, value);
        }
        self.rx_buffer_kb = self.reg(PBA).clamp(1, self.part.packet_buffer_kb() - 1);
        self.load_eeprom();
        self.unflushed = None;
        self.reset_done_ns = Some(self.now_ns + RESET_NS);
        self.settled_ns = self.now_ns + self.settle_ns();
        self.refresh_link();
    }

    /// Power comes back: as CTRL.RST, and the PHY too.
    pub(crate) fn restart(&mut self) {
        self.phy.reset_line(true, self.now_ns);
        self.phy.reset_line(false, self.now_ns);
        self.begin_reset();
    }

    /// How long registers must be left alone (fact sheet 4.2, step 9).
    fn settle_ns(&self) -> u64 {
        match self.part.mac {
            mac if mac <= Mac::I82544 => 10_000,
            mac if mac >= Mac::I82541 => 20_000_000,
            _ => 5_000_000,
        }
    }

    pub(super) fn end_reset(&mut self) {
        if self.reset_done_ns.is_some_and(|at| at <= self.now_ns) && self.faults.reset != ResetFault::Never {
            self.reset_done_ns = None;
        }
    }

    /// Whether an access to `offset` meets a card in reset; tells on the driver.
    pub(super) fn in_reset(&mut self, offset: u32) -> bool {
        if self.now_ns < self.settled_ns {
            self.blame(Wrong::AccessInReset { offset });
        }
        self.reset_done_ns.is_some_and(|at| at > self.now_ns)
    }

    /// Loads what the card takes from its EEPROM: address, CTRL, LEDs.
    pub(super) fn load_eeprom(&mut self) {
        let word = |n: usize| self.eeprom.words.get(n).copied().unwrap_or(0xffff);
        let control = word(0x0a);
        let valid = control >> 14 == SIGNATURE;
        let (low, high) = (u32::from(word(1)) << 16 | u32::from(word(0)), u32::from(word(2)));
        let leds = u32::from(word(0x2f));
        if valid && !self.quirks.reset_leaves_address_invalid {
            // The second port's address differs in one bit.
            let port = if self.options.function == 1 && self.part.is_dual() { 0x0100 } else { 0 };
            self.set_reg(RA, low);
            self.set_reg(RA + 4, 1 << 31 | high ^ port);
        }
        let mut value = 2 << ctrl::SPEED_SHIFT;
        if valid {
            value |= if control & 1 << 10 != 0 { ctrl::FD } else { 0 };
            value |= if control & 1 << 9 != 0 { ctrl::LRST } else { 0 };
            value |= if control & 1 << 4 != 0 { ctrl::ILOS } else { 0 };
            value |= u32::from(control >> 5 & 0xf) << ctrl::SWDPIO_SHIFT;
        }
        if self.part.media != Media::Copper {
            value |= ctrl::LRST;
        }
        self.set_reg(regs::CTRL, self.quirks.ctrl_after_reset.unwrap_or(value));
        if self.part.is_82540_or_later() {
            self.set_reg(LEDCTL, 0x0700_8300 | (leds & 0xf) | (leds >> 8 & 0xf) << 16);
        }
    }

    /// CTRL.RST as it reads.
    pub(super) fn reset_bit(&mut self) -> u32 {
        let stuck = match &mut self.faults.reset {
            ResetFault::None => self.resetting(),
            ResetFault::Never => self.reset_done_ns.is_some(),
            ResetFault::AfterReads(left) => {
                let stuck = *left > 0 && self.settled_ns > 0;
                *left = left.saturating_sub(1);
                stuck
            }
        };
        if stuck { ctrl::RST } else { 0 }
    }

    /// Whether an address register pair or table word follows its lower neighbour without a read
    /// between: bridges merge such writes (fact sheet 4.1).
    pub(super) fn is_merging(&self, offset: u32) -> bool {
        let table = (MTA..RA + 0x80).contains(&offset) || (VFTA..VFTA + 0x200).contains(&offset);
        table && offset & 4 != 0 && self.unflushed == Some(offset - 4)
    }
}
