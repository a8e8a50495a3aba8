//! The contract *below* a driver: what a network card looks like to the code that drives it.
//!
//! A driver receives a [`Device`] and needs nothing else: registers, doorbells, bus mastering, the
//! interrupt, memory, and a way to wait. It hands nothing on; implementations are `vfio` (silicon,
//! or an emulator's card) and cards made of software. No device knows its driver.
#![forbid(unsafe_code)]

use naio_dma::Domain;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What a card says it is: the identification part of PCI configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PCI vendor id; 0x8086 is Intel.
    pub vendor: u16,
    /// PCI device id.
    pub device: u16,
    /// Subsystem vendor id.
    pub subsystem_vendor: u16,
    /// Subsystem id.
    pub subsystem: u16,
    /// PCI revision.
    pub revision: u8,
}

/// Memory-mapped registers: 32 bits wide, little-endian, at multiples of 4.
pub trait Registers {
    /// Reads the register at `offset` bytes, with whatever side effect the card gives a read.
    ///
    /// A card that is gone answers all ones; so does an offset outside of the register window.
    fn read(&self, offset: u32) -> u32;

    /// Writes the register at `offset` bytes. Posted: it may still be on its way when this returns;
    /// reading any register flushes it. Outside of the register window it does nothing.
    ///
    /// Tail registers are not written this way but through a [`Doorbell`].
    fn write(&self, offset: u32, value: u32);
}

/// The one way to a tail register.
pub trait Doorbell: Send {
    /// Makes every earlier store to descriptors and pages visible to the card, then writes `value`.
    ///
    /// The barrier is inside, so nobody can forget it.
    fn ring(&self, value: u32);
}

/// The card's interrupt as a file descriptor that becomes readable.
pub trait Irq {
    /// To be waited for; readable when the card raised its interrupt since the last `acknowledge`.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Empties the descriptor and lets the card raise the line again. The driver has read the
    /// card's cause register before, or a level-triggered line fires again at once.
    fn acknowledge(&self);
}

/// What a card asks of its driver, apart from frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Nothing.
    None,
    /// Somebody wants the card back (unbind, hot unplug): finish and let go, soon.
    Release,
}

/// An operation on the card's bus interface failed.
#[derive(Debug, thiserror::Error)]
#[error("the card's {what} could not be changed")]
pub struct DeviceError {
    /// What was to be done.
    pub what: &'static str,
    /// The reason.
    #[source]
    pub source: std::io::Error,
}

/// A card, owned by one driver.
///
/// Dropping a device takes the card off the bus first (bus mastering off) and the memory from the
/// card second, on every path, also while unwinding.
pub trait Device: Registers + Send {
    /// The tail registers' type.
    type Doorbell: Doorbell;

    /// What the card says it is.
    fn identity(&self) -> Identity;

    /// The memory this card can see.
    fn domain(&self) -> &Domain;

    /// The tail register at `offset`; its plain [`Registers::write`] is not to be used any more.
    ///
    /// # Errors
    /// `offset` is not a register of this card.
    fn doorbell(&self, offset: u32) -> Result<Self::Doorbell, DeviceError>;

    /// Lets the card start transfers on the bus, or forbids it.
    ///
    /// # Errors
    /// Configuration space did not take the change.
    fn set_bus_master(&mut self, on: bool) -> Result<(), DeviceError>;

    /// Sets the interrupt up, once; the card's mask register decides whether it ever fires.
    ///
    /// # Errors
    /// The platform has no interrupt for this card (a shared line, say). Polling works without.
    fn enable_irq(&mut self) -> Result<(), DeviceError>;

    /// The interrupt, if it has been enabled.
    fn irq(&self) -> Option<&dyn Irq>;

    /// What the card's owner wants; cheap, polled now and then.
    fn attention(&self) -> Attention;

    /// Lets `span` pass for the card: really on hardware, virtually in a simulation. All deadlines
    /// of a driver are made of this, so that none depends on a clock.
    fn delay(&self, span: Duration);
}
