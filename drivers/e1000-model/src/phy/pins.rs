//! MDIO over CTRL's pins, as the 82543 needs it (IEEE 802.3 22.2.4.5): receives clock edges with a
//! data bit, hands on the data pin.

use super::{PHY_ADDRESS, Phy};

/// Bits of a frame before the data: start, opcode, PHY, register, turnaround.
const HEAD_BITS: u32 = 16;

/// The management frame so far.
#[derive(Debug, Default)]
pub(crate) struct MdioPins {
    ones: u32,
    bits: u32,
    count: u32,
    sending: Option<u16>,
    out: bool,
}

impl MdioPins {
    pub(crate) fn out(&self) -> bool {
        self.out
    }

    /// MDC rises; `driven` says whether the MAC drives the data pin, with `bit`.
    pub(crate) fn clock(&mut self, bit: bool, driven: bool, phy: &mut Phy, now_ns: u64) {
        if let Some(word) = self.sending {
            self.out = word & 0x8000 != 0;
            self.sending = Some(word << 1);
            self.count += 1;
            if self.count == HEAD_BITS + 16 {
                *self = MdioPins { out: self.out, ..MdioPins::default() };
            }
            return;
        }
        let bit = bit || !driven;
        if self.count == 0 && bit {
            self.ones += 1;
            return;
        }
        self.bits = self.bits << 1 | u32::from(bit);
        self.count += 1;
        let read = self.bits >> (self.count.saturating_sub(4)) & 0xf == 0b0110;
        // On a read the PHY drives the second bit of the turnaround.
        if read && self.count == HEAD_BITS - 1 {
            let register = self.bits >> 1 & 0x1f;
            let ours = self.bits >> 6 & 0x1f == PHY_ADDRESS;
            let word = if ours { phy.read(register) } else { None };
            self.sending = Some(word.unwrap_or(0xffff));
            self.count = HEAD_BITS;
            self.out = false;
        } else if self.count == HEAD_BITS + 16 {
            let head = self.bits >> 16;
            if head >> 12 == 0b0101 && head >> 7 & 0x1f == PHY_ADDRESS {
                phy.write(head >> 2 & 0x1f, self.bits as u16, now_ns);
            }
            *self = MdioPins::default();
        }
    }
}
