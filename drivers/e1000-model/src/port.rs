//! The card as a host bridge sees it: configuration space and the regions behind the base address
//! registers, with accesses of every width. For whoever puts the card behind another machine's bus.
//!
//! Receives configuration, memory and I/O transactions and hands them to the core; wide ones in
//! dwords, narrow ones as the part takes them (8254x SDM 13.1): a narrow write is ignored, a narrow
//! read gives its bytes of the dword. It never holds a register.

use crate::config::{Bar, Space};
use crate::core::Core;
use crate::model::Shared;
use crate::regs::WINDOW_LEN;
use crate::violation::Wrong;
use std::sync::Arc;

/// IOADDR keeps these bits (8254x SDM 13.2).
const IOADDR_MASK: u32 = 0x000f_ffff;

/// A card's connector. Clones are the same.
#[derive(Clone)]
pub struct Port {
    pub(crate) shared: Arc<Shared>,
}

impl Port {
    /// Reads `len` bytes (1, 2 or 4) of configuration space; all ones beyond its 256 bytes.
    #[must_use]
    pub fn config_read(&self, offset: usize, len: usize) -> u32 {
        self.shared.core().config.read(offset, len)
    }

    /// Writes `len` bytes (1, 2 or 4) of configuration space.
    pub fn config_write(&self, offset: usize, len: usize, value: u32) {
        self.shared.present().write_config(offset, len, value);
        self.shared.worker.wake();
    }

    /// Pulses RST# of the bus: configuration space and registers are as after power-on.
    pub fn reset(&self) {
        self.shared.present().bus_reset();
        self.shared.worker.wake();
    }

    /// The base address registers that the card has.
    #[must_use]
    pub fn bars(&self) -> Vec<Bar> {
        self.shared.core().config.bars().to_vec()
    }

    /// Reads `into.len()` bytes at `offset` of a region; all ones where nothing answers.
    pub fn read(&self, bar: usize, offset: u32, into: &mut [u8]) {
        let mut core = self.shared.present();
        into.fill(0xff);
        let Some(space) = core.space(bar) else { return };
        let mut done = 0;
        while done < into.len() {
            let at = offset.wrapping_add(done as u32);
            // An access that begins inside a dword stays in it (fact sheet 7.1, first row).
            let inside = (at & 3) as usize;
            let take = (into.len() - done).min(4 - inside);
            let word = core.read_space(space, at & !3).to_le_bytes();
            into[done..done + take].copy_from_slice(&word[inside..inside + take]);
            done += take;
        }
    }

    /// Writes `from` at `offset` of a region.
    pub fn write(&self, bar: usize, offset: u32, from: &[u8]) {
        let mut core = self.shared.present();
        let Some(space) = core.space(bar) else { return };
        for (n, word) in from.chunks(4).enumerate() {
            let at = offset.wrapping_add(n as u32 * 4);
            match word.first_chunk::<4>() {
                Some(word) => core.write_space(space, at & !3, u32::from_le_bytes(*word)),
                None => core.blame(Wrong::NarrowWrite { offset: at, len: word.len() }),
            }
        }
        drop(core);
        self.shared.worker.wake();
    }

    /// Whether INTA# (INTB# of a second port) is down. Always false while interrupts are messages.
    #[must_use]
    pub fn interrupt_pin(&self) -> bool {
        self.shared.present().irq.pin()
    }

    /// Address and data of the card's message, if software enabled messages instead of the pin.
    #[must_use]
    pub fn message(&self) -> Option<(u64, u16)> {
        self.shared.core().config.message()
    }

    /// Whether PME# is down: the card wants the machine awake.
    #[must_use]
    pub fn power_event(&self) -> bool {
        self.shared.present().config.pme()
    }
}

impl Core {
    /// Writes configuration space, with every effect.
    pub(crate) fn write_config(&mut self, offset: usize, len: usize, value: u32) {
        let was_awake = self.config.is_awake();
        self.config.write(offset, len, value);
        if !was_awake && self.config.is_awake() {
            // Back in D0 everything is new: the PHY is reset and the EEPROM read again (SDM 4.1.3).
            self.config.forget();
            self.restart();
        }
        self.configured();
    }

    /// Takes over what configuration space says.
    pub(crate) fn configured(&mut self) {
        self.master = self.config.masters();
        self.irq.set_messages(self.config.message().is_some());
        self.irq.set_silent(!self.config.is_awake());
        self.irq.update(self.now_ns);
    }

    fn space(&self, bar: usize) -> Option<Space> {
        let bar = self.config.bars().iter().find(|found| found.index == bar)?;
        let decoded =
            if bar.space == Space::Io { self.config.decodes_io() } else { self.config.decodes_memory() };
        decoded.then_some(bar.space)
    }

    fn read_space(&mut self, space: Space, at: u32) -> u32 {
        match (space, at) {
            (Space::Registers, _) => self.read(at),
            (Space::Flash, _) => u32::MAX,
            (Space::Io, _) if self.quirks.io_window_dead => 0,
            (Space::Io, 0) => self.ioaddr,
            (Space::Io, 4) if self.ioaddr < WINDOW_LEN => self.read(self.ioaddr),
            (Space::Io, _) => 0,
        }
    }

    fn write_space(&mut self, space: Space, at: u32, value: u32) {
        match (space, at) {
            (Space::Registers, _) => self.write(at, value),
            (Space::Io, _) if self.quirks.io_window_dead => {}
            (Space::Io, 0) => self.ioaddr = value & IOADDR_MASK,
            (Space::Io, 4) if self.ioaddr < WINDOW_LEN => self.write(self.ioaddr, value),
            (Space::Io | Space::Flash, _) => {}
        }
    }
}
