//! The software-definable pins of CTRL and CTRL_EXT, the MDIO pins of the 82543 among them
//! (8254x SDM 13.4.1, 13.4.5).
//!
//! Receives levels from outside and directions from the registers; hands on what the registers read,
//! and the causes that an edge raises. It never knows what is soldered to a pin.

use super::Core;
use crate::parts::{Mac, Media};
use crate::regs::{self, CTRL, CTRL_EXT, ctrl};

/// The first pin of CTRL_EXT; below it are CTRL's.
const FIRST_SDP: u32 = 4;
/// CTRL: the data bit of pin 0.
const SWDPIN_SHIFT: u32 = 18;
/// CTRL_EXT: data bit and direction bit of SDP4.
const SDP_SHIFT: u32 = 4;
const SDP_DIRECTION_SHIFT: u32 = 8;
/// ICR: the cause of the first general-purpose interrupt.
const GPI_SHIFT: u32 = 11;

impl Core {
    /// Drives a pin from outside: 0..=3 are CTRL's SWDPIN, 4..=7 the SDP of CTRL_EXT.
    pub(crate) fn drive_pin(&mut self, pin: u32, high: bool) {
        let bit = 1u8 << (pin & 7);
        let rises = high && self.pin_levels & bit == 0;
        self.pin_levels = if high { self.pin_levels | bit } else { self.pin_levels & !bit };
        let control = self.reg(CTRL_EXT);
        let Some(n) = pin.checked_sub(FIRST_SDP).filter(|n| *n < 4 && rises) else { return };
        let input = control >> (SDP_DIRECTION_SHIFT + n) & 1 == 0;
        // Later parts have only the last two; ICR bit 12 is the PHY's there (fact sheet 2.7).
        let exists = self.part.has_offloads() && (!self.part.is_82540_or_later() || n >= 2);
        if input && exists && control >> n & 1 != 0 {
            self.raise(1 << (GPI_SHIFT + n));
        }
    }

    /// The level of every pin that is an output, as the outside sees it.
    pub(crate) fn driven_pin(&self, pin: u32) -> Option<bool> {
        let (register, data, direction) = if pin < FIRST_SDP {
            (self.reg(CTRL), SWDPIN_SHIFT + pin, ctrl::SWDPIO_SHIFT + pin)
        } else {
            let n = (pin - FIRST_SDP).min(3);
            (self.reg(CTRL_EXT), SDP_SHIFT + n, SDP_DIRECTION_SHIFT + n)
        };
        (register >> direction & 1 != 0).then_some(register >> data & 1 != 0)
    }

    /// CTRL as it reads, but for RST: inputs show the pins.
    pub(super) fn ctrl_with_pins(&self) -> u32 {
        let stored = self.reg(CTRL);
        // From the 82540 on bits 20, 21 and their directions mean power management.
        let pins: u32 = if self.part.is_82540_or_later() { 0b0011 } else { 0b1111 };
        let inputs = !(stored >> ctrl::SWDPIO_SHIFT) & pins;
        let levels = u32::from(self.pin_levels) & inputs;
        let mut value = stored & !(inputs << SWDPIN_SHIFT) | levels << SWDPIN_SHIFT;
        if self.part.mac == Mac::I82543 && stored & ctrl::MDIO_DIR == 0 {
            value = value & !ctrl::MDIO | if self.pins.out() { ctrl::MDIO } else { 0 };
        }
        if self.part.media == Media::Fiber { value & !ctrl::SWDPIN1 | self.signal_pin() } else { value }
    }

    /// CTRL_EXT as it reads.
    pub(super) fn ctrl_ext_with_pins(&self) -> u32 {
        let stored = self.reg(regs::CTRL_EXT);
        let inputs = !(stored >> SDP_DIRECTION_SHIFT) & 0xf;
        let levels = u32::from(self.pin_levels >> FIRST_SDP) & inputs;
        stored & !(inputs << SDP_SHIFT) | levels << SDP_SHIFT
    }
}
