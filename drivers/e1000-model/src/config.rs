//! PCI configuration space as the part has it: identity, BARs, COMMAND and STATUS, the capability
//! list, the power state (8254x SDM chapter 4; PCI 2.3; PCI Power Management 1.1; PCI-X 1.0).
//!
//! Receives reads and writes of 1, 2 or 4 bytes and hands on what the core must know: whether memory
//! is decoded, whether the card may master the bus, whether interrupts are messages. It never acts.

use crate::parts::{Mac, Part};
use crate::quirks::Quirks;
use crate::regs::WINDOW_LEN;

/// Bytes of the space.
pub(crate) const LEN: usize = 256;

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const FIRST_BAR: usize = 0x10;
const SUBSYSTEM: usize = 0x2c;
const CAPABILITIES: usize = 0x34;
/// The chain of capabilities (8254x SDM 4.1.1).
const POWER: usize = 0xdc;
const PCI_X: usize = 0xe4;
const MESSAGES: usize = 0xf0;
const POWER_CONTROL: usize = POWER + 4;

/// COMMAND: I/O, memory, master, MWI, parity, SERR; 15:10 are reserved, so there is no INTx disable.
const COMMAND_WRITABLE: u16 = 0x0157;
const IO: u16 = 1;
const MEMORY: u16 = 1 << 1;
const MASTER: u16 = 1 << 2;
/// STATUS: written ones clear these.
const STATUS_CLEARS: u16 = 0xf900;
const HAS_CAPABILITIES: u16 = 1 << 4;
const IS_66_MHZ: u16 = 1 << 5;
/// Medium DEVSEL timing.
const DEVSEL: u16 = 1 << 9;
/// A transfer of ours met nobody.
const MASTER_ABORT: u16 = 1 << 13;
/// PMCSR.PME_Status.
const PME_STATUS: u16 = 1 << 15;
const PME_ENABLE: u16 = 1 << 8;

/// The slot that the card sits in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// PCI, 32 bits, 33 MHz.
    Pci33,
    /// PCI, 32 bits, 66 MHz.
    #[default]
    Pci66,
    /// PCI-X, 64 bits, 66 MHz; parts without PCI-X run as in [`Slot::Pci66`].
    PciX66,
    /// The same at 100 MHz.
    PciX100,
    /// The same at 133 MHz.
    PciX133,
}

impl Slot {
    /// What this part makes of the slot.
    pub(crate) fn seen_by(self, part: Part) -> Slot {
        if self > Slot::Pci66 && !part.is_pci_x() { Slot::Pci66 } else { self }
    }

    /// STATUS of the MAC: PCI66, BUS64, PCIX_MODE, PCIX_SPEED.
    pub(crate) fn mac_status(self) -> u32 {
        match self {
            Slot::Pci33 => 0,
            Slot::Pci66 => 1 << 11,
            Slot::PciX66 => 0b0011 << 11 | 1 << 13,
            Slot::PciX100 => 0b0011 << 11 | 1 << 13 | 1 << 14,
            Slot::PciX133 => 0b0011 << 11 | 1 << 13 | 2 << 14,
        }
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Slot) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}

/// What a base address register leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The registers, 128 KB of memory.
    Registers,
    /// The boot flash, memory; this card's is blank.
    Flash,
    /// IOADDR and IODATA, ports.
    Io,
}

/// A base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Its number; a wide one takes the next too.
    pub index: usize,
    /// What it leads to.
    pub space: Space,
    /// Bytes of the region.
    pub len: u32,
    /// 64 bits.
    pub wide: bool,
}

/// The base address registers of a card.
fn bars(part: Part, quirks: Quirks, flash_kb: u32) -> Vec<Bar> {
    let wide = part.is_pci_x() && quirks.io_bar.is_none();
    let mut bars = vec![Bar { index: 0, space: Space::Registers, len: WINDOW_LEN, wide }];
    if flash_kb > 0 && part.mac >= Mac::I82544 {
        let index = if wide { 2 } else { 1 };
        bars.push(Bar { index, space: Space::Flash, len: flash_kb * 1024, wide });
    }
    if part.has_io_bar() {
        // The datasheet says 8 bytes and 32; a real 82540EM shows 64 (fact sheet 1.4).
        let (index, len) = quirks.io_bar.unwrap_or((if wide { 4 } else { 2 }, 64));
        bars.retain(|bar| bar.index != usize::from(index));
        bars.push(Bar { index: index.into(), space: Space::Io, len: len.into(), wide: false });
    }
    bars
}

/// What the space is made from.
pub(crate) struct Facts {
    pub(crate) part: Part,
    pub(crate) quirks: Quirks,
    pub(crate) revision: u8,
    /// Subsystem vendor and id.
    pub(crate) subsystem: (u16, u16),
    pub(crate) function: u8,
    pub(crate) slot: Slot,
    pub(crate) flash_kb: u32,
}

/// The space of one card.
pub(crate) struct Config {
    bytes: [u8; LEN],
    writable: [u8; LEN],
    clears: [u8; LEN],
    bars: Vec<Bar>,
}

impl Config {
    pub(crate) fn new(facts: &Facts) -> Config {
        let bars = bars(facts.part, facts.quirks, facts.flash_kb);
        let mut config = Config { bytes: [0; LEN], writable: [0; LEN], clears: [0; LEN], bars };
        config.header(facts);
        config.base_addresses();
        config.capabilities(facts);
        config
    }

    fn put(&mut self, at: usize, value: &[u8], writable: &[u8]) {
        self.bytes[at..at + value.len()].copy_from_slice(value);
        self.writable[at..at + writable.len()].copy_from_slice(writable);
    }

    fn header(&mut self, facts: &Facts) {
        self.put(0x00, &0x8086u16.to_le_bytes(), &[]);
        self.put(0x02, &facts.part.id.to_le_bytes(), &[]);
        // As firmware leaves it: decoding, not yet mastering.
        self.put(COMMAND, &(IO | MEMORY).to_le_bytes(), &COMMAND_WRITABLE.to_le_bytes());
        let fast = if facts.slot > Slot::Pci33 { IS_66_MHZ } else { 0 };
        self.put(STATUS, &(fast | DEVSEL).to_le_bytes(), &[]);
        self.clears[STATUS..STATUS + 2].copy_from_slice(&STATUS_CLEARS.to_le_bytes());
        // Revision; class 0x020000, Ethernet.
        self.put(0x08, &[facts.revision, 0, 0, 2], &[]);
        // Cache line, latency timer, header type (a dual part is multi-function), no BIST.
        let multi = if facts.part.is_dual() { 0x80 } else { 0 };
        self.put(0x0c, &[0, 0, multi, 0], &[0xff, 0xff, 0, 0]);
        self.put(SUBSYSTEM, &facts.subsystem.0.to_le_bytes(), &[]);
        self.put(SUBSYSTEM + 2, &facts.subsystem.1.to_le_bytes(), &[]);
        // Interrupt line, pin (INTA#, port B INTB#), Min_Gnt, Max_Lat.
        let pin = if facts.part.is_dual() && facts.function == 1 { 2 } else { 1 };
        self.put(0x3c, &[0, pin, 0xff, 0], &[0xff]);
    }

    fn base_addresses(&mut self) {
        for bar in self.bars.clone() {
            let at = FIRST_BAR + 4 * bar.index;
            let kind: u32 = match (bar.space, bar.wide) {
                (Space::Io, _) => 1,
                (_, true) => 0b100,
                (_, false) => 0,
            };
            self.put(at, &kind.to_le_bytes(), &(!(bar.len - 1)).to_le_bytes());
            if bar.wide {
                self.put(at + 4, &[0; 4], &[0xff; 4]);
            }
        }
    }

    /// Power management, PCI-X, messages: which of them the part has, each pointing to the next.
    fn capabilities(&mut self, facts: &Facts) {
        let part = facts.part;
        let mut chain: Vec<(usize, u8)> = Vec::new();
        if part.mac >= Mac::I82544 && !facts.quirks.no_capabilities {
            chain.push((POWER, 0x01));
            if !part.is_82547() {
                chain.push((PCI_X, 0x07));
            }
            if part.has_messages() && !facts.quirks.no_messages {
                chain.push((MESSAGES, 0x05));
            }
        }
        let next = chain.iter().skip(1).map(|(at, _)| *at as u8).chain([0]);
        for ((at, id), next) in chain.iter().zip(next) {
            self.put(*at, &[*id, next], &[]);
        }
        let Some((first, _)) = chain.first() else { return };
        self.bytes[CAPABILITIES] = *first as u8;
        self.bytes[STATUS] |= HAS_CAPABILITIES as u8;
        for (at, _) in &chain {
            match *at {
                // Version 2, device-specific initialisation, PME from D0 and both kinds of D3.
                POWER => {
                    self.put(POWER + 2, &0xc822u16.to_le_bytes(), &[]);
                    self.put(POWER_CONTROL, &[0; 2], &(PME_ENABLE | 0x1e00 | 3).to_le_bytes());
                    self.clears[POWER_CONTROL + 1] = (PME_STATUS >> 8) as u8;
                }
                PCI_X => self.pci_x(facts),
                // 64-bit addresses, one message.
                _ => {
                    self.put(MESSAGES + 2, &0x0080u16.to_le_bytes(), &[0x01, 0]);
                    self.put(
                        MESSAGES + 4,
                        &[0; 10],
                        &[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                    );
                }
            }
        }
    }

    fn pci_x(&mut self, facts: &Facts) {
        // Parity recovery, relaxed ordering, read byte count 3:2, outstanding splits 6:4.
        self.put(PCI_X + 2, &0x0002u16.to_le_bytes(), &0x007fu16.to_le_bytes());
        let wide = u32::from(facts.part.is_pci_x());
        // No bus number seen yet; 64 bits, 133 MHz, 4096-byte reads by design on PCI-X parts.
        let status = 0xfff8 | u32::from(facts.function & 7) | wide << 16 | wide << 17 | (2 + wide) << 21;
        self.put(PCI_X + 4, &status.to_le_bytes(), &[]);
    }

    pub(crate) fn bars(&self) -> &[Bar] {
        &self.bars
    }

    /// Reads 1, 2 or 4 bytes; all ones beyond the space.
    pub(crate) fn read(&self, offset: usize, len: usize) -> u32 {
        let mut word = [0; 4];
        for (n, byte) in word.iter_mut().enumerate().take(len) {
            *byte = offset.checked_add(n).and_then(|at| self.bytes.get(at)).copied().unwrap_or(0xff);
        }
        u32::from_le_bytes(word)
    }

    /// Writes 1, 2 or 4 bytes, each under its mask.
    pub(crate) fn write(&mut self, offset: usize, len: usize, value: u32) {
        for (n, byte) in value.to_le_bytes().into_iter().enumerate().take(len) {
            let Some(at) = offset.checked_add(n).filter(|at| *at < LEN) else { return };
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask & !(byte & self.clears[at]) | byte & mask;
        }
    }

    fn half(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// COMMAND.MEM, and awake.
    pub(crate) fn decodes_memory(&self) -> bool {
        self.half(COMMAND) & MEMORY != 0 && self.is_awake()
    }

    /// COMMAND.IO, and awake.
    pub(crate) fn decodes_io(&self) -> bool {
        self.half(COMMAND) & IO != 0 && self.is_awake()
    }

    /// COMMAND.MASTER, and awake.
    pub(crate) fn masters(&self) -> bool {
        self.half(COMMAND) & MASTER != 0 && self.is_awake()
    }

    pub(crate) fn set_master(&mut self, on: bool) {
        let command = self.half(COMMAND) & !MASTER | if on { MASTER } else { 0 };
        self.bytes[COMMAND..COMMAND + 2].copy_from_slice(&command.to_le_bytes());
    }

    /// Not in D3hot (or in the states between, which the parts do not have).
    pub(crate) fn is_awake(&self) -> bool {
        self.bytes[POWER_CONTROL] & 3 == 0
    }

    /// Back from D3hot nothing that software set is left but the wake-up bits.
    pub(crate) fn forget(&mut self) {
        let kept = self.half(POWER_CONTROL) & (PME_STATUS | PME_ENABLE);
        for (byte, mask) in self.bytes.iter_mut().zip(self.writable) {
            *byte &= !mask;
        }
        self.bytes[POWER_CONTROL..POWER_CONTROL + 2].copy_from_slice(&kept.to_le_bytes());
    }

    /// Where a message goes and what it says, if interrupts are messages.
    pub(crate) fn message(&self) -> Option<(u64, u16)> {
        let on = self.bytes[CAPABILITIES] != 0 && self.bytes[MESSAGES + 2] & 1 != 0;
        let low = u64::from(self.read(MESSAGES + 4, 4));
        let high = u64::from(self.read(MESSAGES + 8, 4));
        on.then(|| (high << 32 | low, self.half(MESSAGES + 12)))
    }

    /// A transfer of the card ended without an answer.
    pub(crate) fn note_master_abort(&mut self) {
        self.bytes[STATUS + 1] |= (MASTER_ABORT >> 8) as u8;
    }

    /// PMCSR: the card has a reason to wake the machine.
    pub(crate) fn note_power_event(&mut self) {
        if self.bytes[CAPABILITIES] != 0 {
            self.bytes[POWER_CONTROL + 1] |= (PME_STATUS >> 8) as u8;
        }
    }

    /// Whether the PME# pin is driven.
    pub(crate) fn pme(&self) -> bool {
        self.half(POWER_CONTROL) & (PME_STATUS | PME_ENABLE) == PME_STATUS | PME_ENABLE
    }
}
