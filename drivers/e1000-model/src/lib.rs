//! The Intel 8254x in software: a card that an unchanged driver drives.
//!
//! Written from the datasheet, not from any driver: two readings of one text check each other. A
//! [`Model`] is a [`naio_device::Device`] with registers, rings and an interrupt; its frames leave by
//! a [`wire`]. It runs in steps of virtual time, so that a test repeats itself to the microsecond,
//! or as a thread of its own. On the way it keeps [`violation`]s: what the driver did that the
//! datasheet forbids. Emulators' deviations are [`quirks`], broken hardware is in [`faults`].
//!
//! It never trusts a byte of the driver's memory, and touches it only through [`naio_dma::Bus`].
#![forbid(unsafe_code)]

mod core;
mod eeprom;
pub mod faults;
pub mod fcs;
mod filter;
mod irq;
mod model;
pub mod parts;
mod pause;
mod phy;
pub mod quirks;
pub mod regs;
mod rx;
mod stats;
mod thread;
mod tx;
pub mod violation;
mod watch;
pub mod wire;

pub use eeprom::{CHECKSUM, EepromKind};
pub use model::{Card, Model, ModelError, Options, Tail, advance_together};
pub use phy::{Partner, Speed};
pub use quirks::{Profile, Quirks};
pub use violation::{Violation, Wrong};
pub use watch::Checks;
pub use wire::{Frame, Wire};
