//! The card as its driver sees it: [`Model`] is the [`Device`]. A [`Card`] is a hand on the same card
//! for whoever steps it, looks inside, or injects faults.
//!
//! Receives register accesses and delays and hands them to the core under one lock. In virtual time
//! nothing moves but in [`Device::delay`], [`Card::run`] and [`Card::advance`]; with a thread
//! ([`Model::start`]) the card works by itself.

use crate::card::Card;
use crate::config::Slot;
use crate::core::Core;
use crate::eeprom::EepromKind;
use crate::irq;
use crate::parts::{DEFAULT_ID, Part};
use crate::phy::Partner;
use crate::quirks::{Profile, Quirks};
use crate::regs;
use crate::thread::Worker;
use crate::watch::Checks;
use crate::wire::Wire;
use naio_device::{Attention, Device, DeviceError, Doorbell, Identity, Irq, Registers};
use naio_dma::Domain;
use naio_sys::clock::Clock;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a card is like. `Default` is an 82540EM of silicon with a clock of its own that stands
/// still, checked in full.
#[derive(Clone, Debug)]
pub struct Options {
    /// PCI device id, one of [`PARTS`](crate::parts::PARTS).
    pub device_id: u16,
    /// PCI revision; the part's usual one if `None`.
    pub revision: Option<u8>,
    /// Station address, as the EEPROM holds it.
    pub mac: [u8; 6],
    /// The port of a dual part: 0 or 1.
    pub function: u8,
    /// How it differs from silicon; [`Profile::quirks`] gives the usual sets.
    pub quirks: Quirks,
    /// The chip that holds the configuration.
    pub eeprom: EepromKind,
    /// Its words, instead of a valid image made from the other options.
    pub eeprom_words: Option<Vec<u16>>,
    /// What is at the other end of the cable.
    pub partner: Partner,
    /// How long autonegotiation takes.
    pub autoneg: Duration,
    /// Frames take their time on the line: preamble, gap and FCS counted.
    pub paced: bool,
    /// The slot it sits in.
    pub slot: Slot,
    /// Size of the boot flash: 0 for none, else 64 to 512 in powers of two.
    pub flash_kb: u32,
    /// What offsets read where the part has no register. Silicon says nothing of them.
    pub unknown_reads: u32,
    /// Errata that a driver must work around are noticed, and the 82544's tables are corrupted.
    pub errata: bool,
    /// How closely the driver is watched.
    pub checks: Checks,
    /// Seed of everything random.
    pub seed: u64,
    /// Where the time comes from. Cards that share a manual clock live in one time.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            device_id: DEFAULT_ID,
            revision: None,
            mac: [0x02, 0x00, 0x5e, 0x10, 0x00, 0x01],
            function: 0,
            quirks: Profile::Silicon.quirks(),
            eeprom: EepromKind::Microwire64,
            eeprom_words: None,
            partner: Partner::default(),
            autoneg: Duration::from_millis(1500),
            paced: false,
            slot: Slot::default(),
            flash_kb: 0,
            unknown_reads: 0,
            errata: false,
            checks: Checks::Full,
            seed: 1,
            clock: Clock::Manual(Arc::new(AtomicU64::new(0))),
        }
    }
}

/// A card could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// No part of the family has this id.
    #[error("no 8254x has the device id {0:#06x}")]
    UnknownId(u16),
}

/// The lock around a core, shared by the device, its doorbells, its thread and the test's hands.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) clock: Clock,
    pub(crate) worker: Worker,
    /// Register accesses want the lock: the thread leaves it to them.
    pub(crate) wanted: AtomicBool,
}

impl Shared {
    /// Moves a manual clock on to `micros`; a time that has passed changes nothing.
    pub(crate) fn clock_to(&self, micros: u64) {
        if let Clock::Manual(now) = &self.clock {
            now.fetch_max(micros, Ordering::Relaxed);
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now().as_micros().saturating_mul(1_000)
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // The core keeps its own invariants at every statement that could panic.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The core at the present time.
    pub(crate) fn present(&self) -> MutexGuard<'_, Core> {
        let threaded = self.worker.is_running();
        if threaded {
            self.wanted.store(true, Ordering::Relaxed);
        }
        let mut core = self.core();
        if threaded {
            self.wanted.store(false, Ordering::Relaxed);
        }
        core.tick(self.now_ns());
        core
    }

    /// The core for a register access, which may take its time (fault injection).
    fn access(&self) -> MutexGuard<'_, Core> {
        let core = self.present();
        let slow_us = core.faults.slow_mmio_us;
        if slow_us == 0 {
            return core;
        }
        drop(core);
        if self.clock.runs() {
            std::thread::sleep(Duration::from_micros(slow_us));
        } else {
            self.clock_to((self.now_ns() / 1_000).saturating_add(slow_us));
        }
        self.present()
    }

    pub(crate) fn advance(&self, span: Duration) {
        if let Clock::Manual(micros) = &self.clock {
            let step = span.as_nanos().div_ceil(1_000) as u64;
            micros.fetch_add(step, Ordering::Relaxed);
        }
        let target = self.now_ns();
        self.core().advance_to(target);
    }
}

/// The card as a [`Device`]. Dropping it takes it off the bus.
pub struct Model {
    shared: Arc<Shared>,
    domain: Domain,
    identity: Identity,
    irq: Option<Interrupt>,
}

impl Model {
    /// A card in `domain`, powered on, at one end of `wire`.
    ///
    /// # Errors
    /// The device id is no part's.
    pub fn new(options: Options, domain: &Domain, wire: impl Wire + 'static) -> Result<Model, ModelError> {
        let part = Part::of_id(options.device_id).ok_or(ModelError::UnknownId(options.device_id))?;
        let clock = options.clock.clone();
        let core = Core::new(part, options, domain.bus(), Box::new(wire));
        let half = |at| core.config.read(at, 2) as u16;
        let identity = Identity {
            vendor: half(0x00),
            device: half(0x02),
            subsystem_vendor: half(0x2c),
            subsystem: half(0x2e),
            revision: core.config.read(0x08, 1) as u8,
        };
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            clock,
            worker: Worker::default(),
            wanted: AtomicBool::new(false),
        });
        Ok(Model { shared, domain: domain.clone(), identity, irq: None })
    }

    /// A hand on this card; it outlives the device.
    #[must_use]
    pub fn card(&self) -> Card {
        Card { shared: self.shared.clone() }
    }

    /// Gives the card a thread of its own. The clock should be the real one; delays of the driver
    /// then really pass.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(&mut self) -> std::io::Result<()> {
        crate::thread::start(&self.shared)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.worker.stop();
        let mut core = self.shared.core();
        core.config.set_master(false);
        core.configured();
        // Hands on the card may live on; the cable is out, so that no partner waits for it.
        core.wire = Box::new(crate::wire::Null);
    }
}

impl Registers for Model {
    fn read(&self, offset: u32) -> u32 {
        self.shared.access().read(offset)
    }

    fn write(&self, offset: u32, value: u32) {
        let mut core = self.shared.access();
        let tail = regs::canonical(core.part.mac == crate::parts::Mac::I82542, offset);
        let plain_tail = match tail {
            Some(regs::RDT) => core.doorbells[0],
            Some(regs::TDT) => core.doorbells[1],
            _ => false,
        };
        if plain_tail {
            core.blame(crate::violation::Wrong::TailWithoutDoorbell { offset });
        }
        core.write(offset, value);
        drop(core);
        self.shared.worker.wake();
    }
}

/// A tail register of a card.
pub struct Tail {
    shared: Arc<Shared>,
    offset: u32,
}

impl Doorbell for Tail {
    fn ring(&self, value: u32) {
        // The lock is the barrier: what was stored before is visible to whoever takes it next.
        self.shared.access().write(self.offset, value);
        self.shared.worker.wake();
    }
}

/// The card's interrupt as an event descriptor.
struct Interrupt {
    fd: Arc<OwnedFd>,
    shared: Arc<Shared>,
}

impl Irq for Interrupt {
    fn fd(&self) -> BorrowedFd<'_> {
        irq::borrow(&self.fd)
    }

    fn acknowledge(&self) {
        let mut core = self.shared.present();
        if !core.faults.unmask_lost {
            core.irq.acknowledge();
        }
    }
}

impl Device for Model {
    type Doorbell = Tail;

    fn identity(&self) -> Identity {
        self.identity
    }

    fn domain(&self) -> &Domain {
        &self.domain
    }

    fn doorbell(&self, offset: u32) -> Result<Tail, DeviceError> {
        let mut core = self.shared.core();
        match regs::canonical(core.part.mac == crate::parts::Mac::I82542, offset) {
            Some(regs::RDT) => core.doorbells[0] = true,
            Some(regs::TDT) => core.doorbells[1] = true,
            _ => {
                let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
                return Err(DeviceError { what: "doorbell", source });
            }
        }
        Ok(Tail { shared: self.shared.clone(), offset })
    }

    fn set_bus_master(&mut self, on: bool) -> Result<(), DeviceError> {
        let mut core = self.shared.core();
        core.config.set_master(on);
        core.configured();
        drop(core);
        self.shared.worker.wake();
        Ok(())
    }

    fn enable_irq(&mut self) -> Result<(), DeviceError> {
        let fd = irq::event().map_err(|source| DeviceError { what: "interrupt", source })?;
        self.shared.core().irq.connect(fd.clone());
        self.irq = Some(Interrupt { fd, shared: self.shared.clone() });
        Ok(())
    }

    fn irq(&self) -> Option<&dyn Irq> {
        self.irq.as_ref().map(|irq| irq as &dyn Irq)
    }

    fn attention(&self) -> Attention {
        Attention::None
    }

    fn delay(&self, span: Duration) {
        self.shared.present().delay_begins();
        if self.shared.clock.runs() {
            std::thread::sleep(span);
            if !self.shared.worker.is_running() {
                self.shared.advance(Duration::ZERO);
            }
        } else {
            self.shared.advance(span);
        }
    }
}
