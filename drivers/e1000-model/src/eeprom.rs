//! The EEPROM: its contents, and the two ways to them (EERD, and EECD's pins in [`serial`]).
//!
//! Receives register writes and hands on what the pins and EERD show. What the words mean to the
//! card (address, defaults) is read by the core after a reset.

pub(crate) mod serial;

use crate::parts::{EerdLayout, Mac, Part};
use serial::{Microwire, Spi};

/// Words 0x00..=0x3F sum to this (8254x SDM 5.6.35).
pub const CHECKSUM: u16 = 0xbaba;
/// Words that the checksum covers.
const CHECKED_WORDS: usize = 0x40;
/// How long EERD takes: about what the serial transfer of one word takes.
pub(crate) const EERD_NS: u64 = 50_000;

/// EECD (8254x SDM 13.4.3).
mod eecd {
    pub(super) const SK: u32 = 1;
    pub(super) const CS: u32 = 1 << 1;
    pub(super) const DI: u32 = 1 << 2;
    pub(super) const DO: u32 = 1 << 3;
    pub(super) const FWE: u32 = 3 << 4;
    pub(super) const REQ: u32 = 1 << 6;
    pub(super) const GNT: u32 = 1 << 7;
    pub(super) const PRES: u32 = 1 << 8;
    pub(super) const SIZE: u32 = 1 << 9;
    pub(super) const ADDR_BITS: u32 = 1 << 10;
    pub(super) const TYPE_SPI: u32 = 1 << 13;
    pub(super) const WRITABLE: u32 = SK | CS | DI | FWE | REQ;
}

/// The chip on the serial bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EepromKind {
    /// 93C46: 64 words, 6 address bits.
    Microwire64,
    /// 93C66: 256 words, 8 address bits.
    Microwire256,
    /// 25xx with 16 address bits, 4096 words; 82541 and 82547 only.
    Spi,
    /// 25040: 9 address bits, the ninth in the opcode, 256 words; 82541 and 82547 only.
    SpiSmall,
    /// No chip: PRES is 0.
    Absent,
}

impl EepromKind {
    /// Whether it speaks SPI, which only the 82541 and 82547 understand.
    pub(crate) fn is_spi(self) -> bool {
        matches!(self, EepromKind::Spi | EepromKind::SpiSmall)
    }

    fn words(self) -> usize {
        match self {
            EepromKind::Microwire64 => 64,
            EepromKind::Microwire256 | EepromKind::SpiSmall => 256,
            EepromKind::Spi => 4096,
            EepromKind::Absent => 0,
        }
    }
}

/// What the pins did that the driver must not do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PinOutcome {
    Fine,
    WithoutGrant,
}

/// The EEPROM and its two interfaces.
pub(crate) struct Eeprom {
    pub(crate) kind: EepromKind,
    pub(crate) words: Vec<u16>,
    needs_grant: bool,
    eerd_layout: EerdLayout,
    eecd: u32,
    microwire: Microwire,
    spi: Spi,
    eerd: u32,
    eerd_done_ns: Option<u64>,
}

/// The words of a fresh card with this station address (8254x SDM 5.6).
pub(crate) fn image(kind: EepromKind, part: Part, mac: [u8; 6], subsystem: (u16, u16)) -> Vec<u16> {
    let mut words = vec![0xffff; kind.words()];
    if words.is_empty() {
        return words;
    }
    words[..CHECKED_WORDS].fill(0);
    for (n, pair) in mac.chunks_exact(2).enumerate() {
        words[n] = u16::from_le_bytes([pair[0], pair[1]]);
    }
    // Signature 01, full duplex, link reset held on parts with a ten-bit interface.
    words[0x0a] = 0x4400 | if part.media == crate::parts::Media::Copper { 0 } else { 1 << 9 };
    words[0x0b] = subsystem.1;
    words[0x0c] = subsystem.0;
    words[0x0d] = part.id;
    words[0x0e] = 0x8086;
    // Autonegotiation with full PAUSE.
    words[0x0f] = 0x3800;
    words[0x12] = match kind {
        EepromKind::Spi => 5 << 10,
        EepromKind::SpiSmall => 2 << 10,
        _ => 0,
    };
    words[0x2f] = 0x0602;
    let sum = words[..CHECKED_WORDS - 1].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
    words[CHECKED_WORDS - 1] = CHECKSUM.wrapping_sub(sum);
    words
}

impl Eeprom {
    pub(crate) fn new(kind: EepromKind, words: Vec<u16>, part: Part) -> Eeprom {
        Eeprom {
            kind,
            words,
            needs_grant: part.needs_eeprom_grant(),
            eerd_layout: part.eerd(),
            eecd: 0,
            microwire: Microwire::new(if kind == EepromKind::Microwire256 { 8 } else { 6 }),
            spi: Spi::new(kind == EepromKind::SpiSmall),
            eerd: 0,
            eerd_done_ns: None,
        }
    }

    /// Emulators answer in a layout that is not that of the part they show.
    pub(crate) fn set_eerd_layout(&mut self, layout: EerdLayout) {
        self.eerd_layout = layout;
    }

    pub(crate) fn set_needs_grant(&mut self, needs: bool) {
        self.needs_grant = needs;
    }

    /// Pins and EERD after CTRL.RST; the contents stay.
    pub(crate) fn reset(&mut self) {
        self.eecd = 0;
        self.eerd = 0;
        self.eerd_done_ns = None;
        self.microwire.deselect(&mut self.words);
        self.spi.deselect();
    }

    pub(crate) fn read_eecd(&self, part: Part, grants: bool) -> u32 {
        let mut value = self.eecd & eecd::WRITABLE;
        let granted = grants && (self.eecd & eecd::REQ != 0 || !self.needs_grant);
        if granted {
            value |= eecd::GNT;
        }
        match self.kind {
            EepromKind::Absent => return value,
            EepromKind::Microwire256 if part.mac >= Mac::I82541 => value |= eecd::ADDR_BITS,
            EepromKind::Microwire256 => value |= eecd::SIZE,
            EepromKind::Microwire64 => {}
            EepromKind::Spi => value |= eecd::TYPE_SPI | eecd::ADDR_BITS,
            EepromKind::SpiSmall => value |= eecd::TYPE_SPI,
        }
        let out = if self.kind.is_spi() { self.spi.out() } else { self.microwire.out() };
        value | eecd::PRES | if out { eecd::DO } else { 0 }
    }

    pub(crate) fn write_eecd(&mut self, value: u32, grants: bool) -> PinOutcome {
        let before = std::mem::replace(&mut self.eecd, value & eecd::WRITABLE);
        let pins = eecd::SK | eecd::CS | eecd::DI;
        let granted = grants && (before & eecd::REQ != 0 || value & eecd::REQ != 0);
        if self.needs_grant && !granted {
            let moved = (before ^ value) & pins != 0 && value & pins != 0;
            self.eecd &= !pins;
            return if moved { PinOutcome::WithoutGrant } else { PinOutcome::Fine };
        }
        let clock_rises = before & eecd::SK == 0 && value & eecd::SK != 0;
        let clock_falls = before & eecd::SK != 0 && value & eecd::SK == 0;
        let di = value & eecd::DI != 0;
        let cs = value & eecd::CS != 0;
        match self.kind {
            EepromKind::Absent => {}
            // Chip select is active low on SPI parts, and only while the bus is ours.
            kind if kind.is_spi() && (cs || value & eecd::REQ == 0) => self.spi.deselect(),
            kind if kind.is_spi() && clock_rises => self.spi.clock_in(di, &mut self.words),
            kind if kind.is_spi() && clock_falls => self.spi.clock_out(),
            EepromKind::Spi | EepromKind::SpiSmall => {}
            _ if !cs => self.microwire.deselect(&mut self.words),
            _ if clock_rises => self.microwire.clock(di, &self.words),
            _ => {}
        }
        PinOutcome::Fine
    }

    pub(crate) fn has_eerd(&self) -> bool {
        self.eerd_layout != EerdLayout::Absent
    }

    pub(crate) fn read_eerd(&self) -> u32 {
        self.eerd
    }

    /// Starts a read of one word if START is set; it is done `after_ns` from now.
    pub(crate) fn write_eerd(&mut self, value: u32, now_ns: u64, after_ns: u64) {
        let address_mask = if self.eerd_layout == EerdLayout::A { 0xff00 } else { 0xfffc };
        self.eerd = value & (address_mask | 1);
        self.eerd_done_ns = (value & 1 != 0).then_some(now_ns + after_ns);
    }

    fn eerd_shape(&self) -> (u32, u32) {
        if self.eerd_layout == EerdLayout::A { (1 << 4, 8) } else { (1 << 1, 2) }
    }

    /// When EERD will be done, if it is at work.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.eerd_done_ns
    }

    pub(crate) fn expire(&mut self, now_ns: u64, never_done: bool) {
        if self.eerd_done_ns.is_none_or(|at| at > now_ns) {
            return;
        }
        self.eerd_done_ns = None;
        if never_done {
            return;
        }
        let (done, shift) = self.eerd_shape();
        let address = ((self.eerd & 0xffff) >> shift) as usize;
        let word = self.words.get(address).copied().unwrap_or(0);
        self.eerd = self.eerd & 0xfffe | done | u32::from(word) << 16;
    }
}
