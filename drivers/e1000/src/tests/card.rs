//! The test card: registers, a trace of what was done to them, and a list of lies it can tell.
//!
//! `serial` holds the EEPROM and the PHY, `transfer` the rings. Time is a number that `delay` moves.

pub(crate) mod serial;
pub(crate) mod transfer;

use crate::regs::*;
use naio_device::{Attention, Device, DeviceError, Doorbell, Identity, Irq, Registers};
use naio_dma::{Bus, Domain};
use serial::{Eeprom, Phy};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use transfer::Transmitter;

pub(crate) const MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x56];

/// Transfers under way end, and a reset is over (8254x fact sheet 4.14).
const DRAIN: Duration = Duration::from_millis(10);
const SETTLE: Duration = Duration::from_millis(5);

/// What was done to the card, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Read(u32),
    Write(u32, u32),
    Ring(u32, u32),
    BusMaster(bool),
    Acknowledge,
    Dropped,
}

/// How the card misbehaves; by default, it does not.
#[derive(Default)]
pub(crate) struct Lies {
    /// Everything reads all ones from this access on.
    pub(crate) gone_from: Option<u64>,
    pub(crate) reset_never_ends: bool,
    /// As in QEMU, CTRL.RST changes nothing.
    pub(crate) reset_keeps_registers: bool,
    pub(crate) grants_never: bool,
    pub(crate) mdic_never: bool,
    pub(crate) mdic_fails: bool,
    pub(crate) no_link: bool,
    /// A register that always reads the same.
    pub(crate) stuck: Option<(u32, u32)>,
    /// Further bits of STATUS.
    pub(crate) status: u32,
    /// Transmits nothing.
    pub(crate) tx_frozen: bool,
    /// EERD works, with DONE and the address at these bits.
    pub(crate) eerd: Option<(u32, u32)>,
    /// As in QEMU, reading a 32-bit statistic does not clear it.
    pub(crate) keeps_statistics: bool,
}

/// The inside of the card.
pub(crate) struct State {
    pub(crate) bus: Bus,
    regs: Vec<u32>,
    pub(crate) trace: Vec<Event>,
    pub(crate) now: Duration,
    pub(crate) master: bool,
    pub(crate) accesses: u64,
    pub(crate) lies: Lies,
    pub(crate) eeprom: Eeprom,
    pub(crate) phy: Phy,
    pub(crate) tx: Transmitter,
    /// When the transmitter was stopped, and when the last reset will have settled.
    stopped_at: Duration,
    settled_at: Duration,
    /// Times the card was not given the time it needs.
    pub(crate) hurried: u32,
    /// Received data that had no memory to go to.
    pub(crate) faults: u32,
    /// Where the rings were when bus mastering went on.
    rings: [u64; 2],
    /// Whether the rings were still there when bus mastering went off.
    pub(crate) memory_at_stop: Option<bool>,
}

/// The test's hand on the card.
#[derive(Clone)]
pub(crate) struct Card(Arc<Mutex<State>>);

impl Card {
    /// The card's inside. Not twice in one expression.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// As a previous driver may have left it: running, filtering, and its rings somewhere.
    fn dirty(bus: Bus) -> State {
        let mut state = State {
            bus,
            regs: vec![0; REGISTER_WINDOW_LEN / 4],
            trace: Vec::new(),
            now: Duration::ZERO,
            master: false,
            accesses: 0,
            lies: Lies::default(),
            eeprom: Eeprom::new(MAC),
            phy: Phy::default(),
            tx: Transmitter::default(),
            stopped_at: Duration::ZERO,
            settled_at: Duration::ZERO,
            hurried: 0,
            faults: 0,
            rings: [0; 2],
            memory_at_stop: None,
        };
        let left_on = ctrl::FRCSPD | ctrl::FRCDPX | ctrl::RFCE | ctrl::TFCE | ctrl::VME | ctrl::ILOS;
        let left = [(CTRL, left_on | 1), (RCTL, !0), (TCTL, !ctrl::RST), (IMS, 0x9d), (ICR, 0xff)];
        let timers = [(RDTR, 100), (RADV, 50), (ITR, 500), (TIDV, 0), (TXDCTL, !0), (RXCSUM, 0xff)];
        let rings = [(RDH, 37), (RDT, 12), (RDBAH, 1), (TDH, 5), (TDT, 7), (TDBAH, 1), (RDLEN, 128)];
        let filters = [(MTA + 12, !0), (VFTA + 508, !0), (RAL0 + 8, !0), (RAH0 + 8, !0), (VET, 0x8100)];
        let pause = [(FCTTV, 0xffff), (FCRTL, 8), (FCRTH, 16), (MANC, manc::ARP_EN | 1), (PBA, 8)];
        for (offset, value) in left.into_iter().chain(timers).chain(rings).chain(filters).chain(pause) {
            state.set(offset, value);
        }
        (0x4000..0x4100).step_by(4).for_each(|counter| state.set(counter, 0xdead));
        state
    }

    pub(crate) fn reg(&self, offset: u32) -> u32 {
        self.regs[offset as usize / 4]
    }

    pub(crate) fn set(&mut self, offset: u32, value: u32) {
        self.regs[offset as usize / 4] = value;
    }

    pub(crate) fn link(&self) -> bool {
        let negotiated = self.phy.link_at.is_some_and(|at| at <= self.now);
        !self.lies.no_link && negotiated && self.reg(CTRL) & ctrl::SLU != 0
    }

    /// Whether the memory of the rings is still mapped for the card.
    pub(crate) fn sees_rings(&self) -> bool {
        self.rings.iter().all(|&base| self.bus.load(base).is_ok())
    }

    fn gone(&mut self) -> bool {
        self.accesses += 1;
        self.hurried += u32::from(self.now < self.settled_at);
        self.lies.gone_from.is_some_and(|from| self.accesses > from)
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.trace.push(Event::Read(offset));
        if self.gone() {
            return ALL_ONES;
        }
        if let Some((stuck, value)) = self.lies.stuck
            && stuck == offset
        {
            return value;
        }
        match offset {
            STATUS => {
                let up = if self.link() { status::LU | status::FD | 2 << status::SPEED_SHIFT } else { 0 };
                up | self.lies.status
            }
            EECD => self.eeprom.read(self.lies.grants_never),
            MDIC => self.phy.answer(self.now, self.lies.mdic_never),
            ICR => std::mem::take(&mut self.regs[ICR as usize / 4]),
            // The high half of a 64-bit statistic clears both.
            0x408c | 0x4094 | 0x40c4 | 0x40cc => {
                self.set(offset - 4, 0);
                std::mem::take(&mut self.regs[offset as usize / 4])
            }
            0x4088 | 0x4090 | 0x40c0 | 0x40c8 => self.reg(offset),
            0x4000..=0x40fc if self.lies.keeps_statistics => self.reg(offset),
            0x4000..=0x40fc => std::mem::take(&mut self.regs[offset as usize / 4]),
            _ => self.reg(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.trace.push(Event::Write(offset, value));
        if self.gone() {
            return;
        }
        match offset {
            CTRL if value & ctrl::RST != 0 => self.reset(value),
            EECD => self.eeprom.write(value, self.now),
            MDIC => self.phy.ask(value, self.now, self.lies.mdic_fails),
            IMS => self.set(IMS, self.reg(IMS) | value),
            IMC => self.set(IMS, self.reg(IMS) & !value),
            TCTL => {
                self.stopped_at = self.now;
                self.set(TCTL, value);
            }
            RDT | TDT => panic!("tail registers are written by a doorbell only"),
            EERD if value & 1 != 0 => {
                let word = self.lies.eerd.map(|(done, shift)| {
                    let word = self.eeprom.words[(value >> shift) as usize % self.eeprom.words.len()];
                    u32::from(word) << 16 | 1 << done
                });
                self.set(EERD, word.unwrap_or(value));
            }
            _ => self.set(offset, value),
        }
    }

    fn reset(&mut self, value: u32) {
        self.hurried += u32::from(self.now < self.stopped_at + DRAIN);
        self.settled_at = self.now + SETTLE;
        if !self.lies.reset_keeps_registers {
            let pba = self.reg(PBA);
            self.regs.fill(0);
            self.set(PBA, pba);
        }
        let ends = !self.lies.reset_never_ends;
        self.set(CTRL, if ends { value & !ctrl::RST } else { value });
    }

    fn ring(&mut self, offset: u32, value: u32) {
        self.trace.push(Event::Ring(offset, value));
        if self.gone() {
            return;
        }
        self.set(offset, value);
        if offset == TDT && !self.lies.tx_frozen {
            self.transmit(usize::MAX);
        }
    }
}

/// The device that the driver gets.
pub(crate) struct TestCard {
    card: Card,
    domain: Domain,
    pub(crate) identity: Identity,
    /// The interrupt line, if this card has one to enable.
    pub(crate) line: Option<Line>,
    irq_enabled: bool,
    pub(crate) attention: Attention,
}

impl TestCard {
    /// An 82540EM.
    pub(crate) fn new() -> (TestCard, Card) {
        let domain = Domain::new();
        let card = Card(Arc::new(Mutex::new(State::dirty(domain.bus()))));
        let identity =
            Identity { vendor: 0x8086, device: 0x100e, subsystem_vendor: 0, subsystem: 0, revision: 2 };
        let attention = Attention::None;
        let device =
            TestCard { card: card.clone(), domain, identity, line: None, irq_enabled: false, attention };
        (device, card)
    }

    /// Gives the card an interrupt line.
    pub(crate) fn with_line(mut self) -> TestCard {
        let (stream, _) = UnixStream::pair().expect("a socket pair");
        self.line = Some(Line { card: self.card.clone(), stream });
        self
    }
}

pub(crate) struct Line {
    card: Card,
    stream: UnixStream,
}

impl Irq for Line {
    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn acknowledge(&self) {
        self.card.lock().trace.push(Event::Acknowledge);
    }
}

pub(crate) struct Tail {
    card: Card,
    offset: u32,
}

impl Doorbell for Tail {
    fn ring(&self, value: u32) {
        self.card.lock().ring(self.offset, value);
    }
}

impl Registers for TestCard {
    fn read(&self, offset: u32) -> u32 {
        self.card.lock().read(offset)
    }

    fn write(&self, offset: u32, value: u32) {
        self.card.lock().write(offset, value);
    }
}

impl Device for TestCard {
    type Doorbell = Tail;

    fn identity(&self) -> Identity {
        self.identity
    }

    fn domain(&self) -> &Domain {
        &self.domain
    }

    fn doorbell(&self, offset: u32) -> Result<Tail, DeviceError> {
        Ok(Tail { card: self.card.clone(), offset })
    }

    fn set_bus_master(&mut self, on: bool) -> Result<(), DeviceError> {
        let mut state = self.card.lock();
        state.trace.push(Event::BusMaster(on));
        state.master = on;
        if on {
            state.rings = [RDBAL, TDBAL].map(|base| u64::from(state.reg(base)));
        } else {
            state.memory_at_stop = Some(state.sees_rings());
        }
        Ok(())
    }

    fn enable_irq(&mut self) -> Result<(), DeviceError> {
        self.irq_enabled = self.line.is_some();
        let source = std::io::Error::from(ErrorKind::Unsupported);
        if self.irq_enabled { Ok(()) } else { Err(DeviceError { what: "interrupt", source }) }
    }

    fn irq(&self) -> Option<&dyn Irq> {
        self.line.as_ref().filter(|_| self.irq_enabled).map(|line| line as &dyn Irq)
    }

    fn attention(&self) -> Attention {
        self.attention
    }

    fn delay(&self, span: Duration) {
        self.card.lock().now += span;
    }
}

impl Drop for TestCard {
    fn drop(&mut self) {
        self.card.lock().trace.push(Event::Dropped);
    }
}
