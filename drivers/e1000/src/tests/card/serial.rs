//! The card's slow side: a Microwire EEPROM clocked through EECD, a PHY asked through MDIC.

use crate::regs::{eecd, mdic};
use std::time::Duration;

/// 64 or 256 words behind four pins.
pub(crate) struct Eeprom {
    pub(crate) words: Vec<u16>,
    pins: u32,
    /// Bits clocked in since chip select, and how many.
    command: u32,
    count: u32,
    /// Bits that are still to come out, most significant first; `None` outside of a read.
    out: Option<(u16, u32)>,
    level: bool,
    edge_at: Option<Duration>,
    /// Shortest time between two clock edges.
    pub(crate) half_clock: Duration,
}

impl Eeprom {
    pub(crate) fn new(mac: [u8; 6]) -> Eeprom {
        let mut words = vec![0; 64];
        for (word, pair) in words.iter_mut().zip(mac.chunks(2)) {
            *word = u16::from_le_bytes([pair[0], pair[1]]);
        }
        words[10] = 0x4408;
        let (pins, command, count) = (0, 0, 0);
        let half_clock = Duration::MAX;
        let mut rom =
            Eeprom { words, pins, command, count, out: None, level: true, edge_at: None, half_clock };
        rom.seal();
        rom
    }

    /// Makes words 0x00 to 0x3f add up to 0xbaba.
    pub(crate) fn seal(&mut self) {
        let sum = self.words[..0x3f].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        self.words[0x3f] = 0xbaba_u16.wrapping_sub(sum);
    }

    fn address_bits(&self) -> u32 {
        if self.words.len() > 64 { 8 } else { 6 }
    }

    pub(crate) fn read(&self, grants_never: bool) -> u32 {
        let granted = self.pins & eecd::REQ != 0 && !grants_never;
        let size = if self.words.len() > 64 { eecd::SIZE } else { 0 };
        let grant = if granted { eecd::GNT } else { 0 };
        let data = if self.level || !granted { eecd::DO } else { 0 };
        self.pins & !(eecd::DO | eecd::GNT | eecd::SIZE) | grant | data | size
    }

    pub(crate) fn write(&mut self, pins: u32, now: Duration) {
        let (rose, was) = (pins & !self.pins, self.pins);
        self.pins = pins;
        if pins & eecd::CS == 0 || rose & eecd::CS != 0 {
            (self.command, self.count, self.out, self.level) = (0, 0, None, true);
        }
        if (pins ^ was) & eecd::SK != 0 {
            let since = self.edge_at.map_or(Duration::MAX, |edge| now - edge);
            self.half_clock = self.half_clock.min(since);
            self.edge_at = Some(now);
        }
        if pins & eecd::CS != 0 && rose & eecd::SK != 0 {
            self.clock(pins & eecd::DI != 0);
        }
    }

    fn clock(&mut self, data: bool) {
        if let Some((word, left)) = self.out {
            self.level = left == 0 || word >> (left - 1) & 1 != 0;
            self.out = Some((word, left.saturating_sub(1)));
            return;
        }
        self.command = self.command << 1 | u32::from(data);
        self.count += 1;
        if self.count == 3 + self.address_bits() && self.command >> self.address_bits() == 0b110 {
            let address = self.command as usize & (self.words.len() - 1);
            // A zero comes before the data.
            self.level = false;
            self.out = Some((self.words[address], 16));
        }
    }
}

/// A Marvell 88E1011.
pub(crate) struct Phy {
    pub(crate) regs: [u16; 32],
    /// The register is there only now.
    answer: (u32, Duration),
    reset_until: Duration,
    /// When the link comes; never without autonegotiation.
    pub(crate) link_at: Option<Duration>,
}

/// One MDIO frame.
const MDIO_FRAME: Duration = Duration::from_micros(64);

impl Default for Phy {
    fn default() -> Phy {
        let mut regs = [0; 32];
        (regs[2], regs[3], regs[0x10], regs[0x14]) = (0x0141, 0x0c20, 0x0062, 0x0d60);
        Phy { regs, answer: (mdic::READY, Duration::ZERO), reset_until: Duration::ZERO, link_at: None }
    }
}

impl Phy {
    pub(crate) fn ask(&mut self, value: u32, now: Duration, fails: bool) {
        let (phy, register) = (value >> mdic::PHY_SHIFT & 31, value >> mdic::REG_SHIFT & 31);
        let known = matches!(register, 0..=6 | 9 | 10 | 0x10 | 0x11 | 0x14 | 0x15);
        let busy = now < self.answer.1;
        let register = register as usize;
        let mut answer = value;
        if phy != 1 || !known || fails || busy {
            answer |= mdic::E;
        } else if value & mdic::OP_READ != 0 {
            let reset = if register == 0 && now < self.reset_until { 0x8000 } else { 0 };
            answer = value & 0xffff_0000 | u32::from(self.regs[register] | reset);
        } else {
            self.store(register, value as u16, now);
        }
        self.answer = (answer | mdic::READY, now + MDIO_FRAME);
    }

    fn store(&mut self, register: usize, value: u16, now: Duration) {
        self.regs[register] = value;
        if register == 0 {
            // RESET takes 3 ms and both bits clear by themselves.
            self.regs[0] &= !0x8200;
            if value & 0x8000 != 0 {
                self.reset_until = now + Duration::from_millis(3);
                self.link_at = None;
            }
            if value & 0x1200 == 0x1200 {
                self.link_at = Some(now + Duration::from_secs(2));
            }
        }
    }

    pub(crate) fn answer(&self, now: Duration, never: bool) -> u32 {
        let (answer, at) = self.answer;
        if never || now < at { answer & !mdic::READY } else { answer }
    }
}
