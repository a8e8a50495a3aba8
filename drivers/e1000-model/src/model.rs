//! The card as its driver and its test see it: [`Model`] is the [`Device`], [`Card`] is a hand on
//! the same card for whoever steps it, looks inside, or injects faults.
//!
//! Receives register accesses and delays and hands them to the core under one lock. In virtual time
//! nothing moves but in [`Device::delay`], [`Card::run`] and [`Card::advance`]; with a thread
//! ([`Model::start`]) the card works by itself.

use crate::core::Core;
use crate::eeprom::EepromKind;
use crate::faults::Faults;
use crate::irq;
use crate::parts::{DEFAULT_ID, Part};
use crate::phy::Partner;
use crate::quirks::{Profile, Quirks};
use crate::regs;
use crate::thread::Worker;
use crate::violation::Violation;
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
    clock: Clock,
    pub(crate) worker: Worker,
    /// Register accesses want the lock: the thread leaves it to them.
    pub(crate) wanted: AtomicBool,
}

impl Shared {
    /// Moves a manual clock on to `micros`; a time that has passed changes nothing.
    fn clock_to(&self, micros: u64) {
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
    fn present(&self) -> MutexGuard<'_, Core> {
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

    fn advance(&self, span: Duration) {
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
        let revision = options.revision.unwrap_or(part.revision());
        let core = Core::new(part, options, domain.bus(), Box::new(wire));
        let words = &core.eeprom.words;
        let identity = Identity {
            vendor: 0x8086,
            device: part.id,
            subsystem_vendor: words.get(0x0c).copied().unwrap_or(0x8086),
            subsystem: words.get(0x0b).copied().unwrap_or(0x1008),
            revision,
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
        core.master = false;
        // Hands on the card may live on; the cable is out, so that no partner waits for it.
        core.wire = Box::new(crate::wire::Null);
    }
}

impl Registers for Model {
    fn read(&self, offset: u32) -> u32 {
        self.shared.present().read(offset)
    }

    fn write(&self, offset: u32, value: u32) {
        let mut core = self.shared.present();
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
        self.shared.present().write(self.offset, value);
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
        self.shared.core().master = on;
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

/// Lets `span` pass for cards that share one manual clock, event by event, so that what one sends
/// arrives at another in time. [`Card::advance`] moves the clock for one card and lets the others
/// catch up only when they are touched.
pub fn advance_together(cards: &[Card], span: Duration) {
    let Some(first) = cards.first() else { return };
    let end_us = first.shared.now_ns() / 1_000 + span.as_nanos().div_ceil(1_000) as u64;
    loop {
        while cards.iter().fold(false, |any, card| card.step(TOGETHER_BUDGET) | any) {}
        let next = cards.iter().filter_map(Card::next_event_us).filter(|at| *at <= end_us).min();
        let Some(next) = next else { break };
        first.shared.clock_to(next.max(first.shared.now_ns() / 1_000 + 1));
        if first.shared.clock.runs() {
            break;
        }
    }
    first.shared.clock_to(end_us);
    while cards.iter().fold(false, |any, card| card.step(TOGETHER_BUDGET) | any) {}
}

/// Frames and descriptors of one card before the next card's turn, when cards go on together.
const TOGETHER_BUDGET: usize = 32;

/// A hand on a card: steps it, looks inside without side effects, injects faults. Clones are the
/// same hand.
#[derive(Clone)]
pub struct Card {
    pub(crate) shared: Arc<Shared>,
}

impl Card {
    /// The part it is.
    #[must_use]
    pub fn part(&self) -> Part {
        self.shared.core().part
    }

    /// Moves at most `budget` descriptors and frames at the present time; false if there was nothing
    /// to do.
    pub fn step(&self, budget: usize) -> bool {
        self.shared.present().work(budget)
    }

    /// Works until there is nothing to do at the present time.
    pub fn run(&self) {
        self.advance(Duration::ZERO);
    }

    /// Lets time pass (if the clock is manual) with everything that becomes due on the way.
    pub fn advance(&self, span: Duration) {
        self.shared.advance(span);
    }

    /// When something becomes due next, in microseconds of the clock, rounded up.
    #[must_use]
    pub fn next_event_us(&self) -> Option<u64> {
        self.shared.present().deadline_ns().map(|ns| ns.div_ceil(1_000))
    }

    /// A register or table word as it is, without side effects. Of a statistics pair, the low half
    /// gives its low 32 bits.
    #[must_use]
    pub fn peek(&self, offset: u32) -> u32 {
        self.shared.present().peek(offset)
    }

    /// A statistics counter without clearing it; `None` where there is none.
    #[must_use]
    pub fn counter(&self, offset: u32) -> Option<u64> {
        self.shared.core().stats.peek(offset)
    }

    /// Sets every statistics counter to its ceiling.
    pub fn saturate_counters(&self) {
        self.shared.core().stats.saturate();
    }

    /// Pending causes (ICR), without clearing them.
    #[must_use]
    pub fn causes(&self) -> u32 {
        self.shared.core().irq.causes()
    }

    /// Whether the interrupt pin is up.
    #[must_use]
    pub fn interrupt_pin(&self) -> bool {
        self.shared.present().irq.line()
    }

    /// How often the pin rose.
    #[must_use]
    pub fn assertions(&self) -> u64 {
        self.shared.core().irq.assertions
    }

    /// Signals an interrupt although nothing happened.
    pub fn spurious_interrupt(&self) {
        self.shared.core().irq.fire_spuriously();
    }

    /// Frames in the receive FIFO.
    #[must_use]
    pub fn fifo_frames(&self) -> usize {
        self.shared.core().rx.fifo_frames()
    }

    /// Whether the link is up as STATUS shows it.
    #[must_use]
    pub fn link_is_up(&self) -> bool {
        self.shared.present().link().is_some()
    }

    /// Replaces the partner at the other end of the cable; takes effect at the next negotiation.
    pub fn set_partner(&self, partner: Partner) {
        self.shared.core().phy.partner = partner;
    }

    /// The words of the EEPROM.
    #[must_use]
    pub fn eeprom(&self) -> Vec<u16> {
        self.shared.core().eeprom.words.clone()
    }

    /// Changes words of the EEPROM behind the card's back.
    pub fn edit_eeprom(&self, edit: impl FnOnce(&mut [u16])) {
        edit(&mut self.shared.core().eeprom.words);
    }

    /// Changes the script of faults.
    pub fn inject(&self, change: impl FnOnce(&mut Faults)) {
        let mut core = self.shared.core();
        change(&mut core.faults);
        if let Some(id) = core.faults.phy_id {
            core.phy.set_id(id);
        }
        drop(core);
        self.shared.worker.wake();
    }

    /// What the driver did wrong so far; the first 256.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.core().violations.kept().to_vec()
    }

    /// The same, and forgets them.
    #[must_use]
    pub fn take_violations(&self) -> Vec<Violation> {
        self.shared.core().violations.take()
    }

    /// How many violations there were, kept or not.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        self.shared.core().violations.count()
    }

    /// Register offsets that this part does not have, and how often they were touched.
    #[must_use]
    pub fn unknown_registers(&self) -> Vec<(u32, u64)> {
        self.shared.core().unknown().iter().map(|(offset, count)| (*offset, *count)).collect()
    }
}
