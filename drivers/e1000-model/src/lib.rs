//! The Intel 8254x in software: a card that an unchanged driver drives.
//!
//! Written from the datasheet, not from any driver: two readings of one text check each other. A
//! [`Model`] is a [`naio_device::Device`] with registers, rings and an interrupt; its frames leave by
//! a [`wire`]. It runs in steps of virtual time, so that a test repeats itself to the microsecond,
//! or as a thread of its own. On the way it keeps [`violation`]s: what the driver did that the
//! datasheet forbids. Emulators' deviations are [`quirks`], broken hardware is in [`faults`].
//!
//! ```
//! use naio_device::{Device, Registers};
//! use naio_e1000_model::{Frame, Model, Options, regs, wire::scripted::Scripted};
//! use std::time::Duration;
//!
//! let (wire, script) = Scripted::new();
//! let model = Model::new(Options::default(), &naio_dma::Domain::new(), wire)?;
//! assert_eq!(model.read(regs::PBA), 0x0010_0030);
//! model.write(regs::CTRL, model.read(regs::CTRL) | 0x40);
//! model.delay(Duration::from_secs(2));
//! assert_eq!(model.read(regs::STATUS) & 2, 2, "the link is up, two virtual seconds later");
//! script.put(Frame::good(&[0xff; 60]));
//! model.card().run();
//! assert_eq!(model.card().violations(), []);
//! # Ok::<(), naio_e1000_model::ModelError>(())
//! ```
//!
//! A [`Card`] is a hand on it for tests and people, a [`Port`] its connector: configuration space,
//! regions and pins, as a host bridge sees them.
//!
//! Not modelled, for want of a text or of a user: the manageability engine behind MANC (SMBus, ASF, ARP
//! kept from the host), the contents of flash, LED outputs, the 82542's second receive ring beyond its
//! registers, CTRL_EXT.LINK_MODE (a part's media are fixed by its id), the analogue side of the PHYs
//! (downshift, master and slave faults, cable lengths), the partner's half of a half-duplex line.
//!
//! It never trusts a byte of the driver's memory, and touches it only through [`naio_dma::Bus`].
#![forbid(unsafe_code)]

mod card;
mod config;
mod core;
mod eeprom;
mod errata;
pub mod faults;
pub mod fcs;
mod filter;
mod irq;
mod late;
mod model;
pub mod parts;
mod pause;
mod phy;
mod port;
mod prefetch;
pub mod quirks;
pub mod regs;
mod rx;
mod stats;
mod thread;
mod tx;
pub mod violation;
mod wake;
mod watch;
pub mod wire;

pub use card::{Card, Register, advance_together};
pub use config::{Bar, Slot, Space};
pub use eeprom::{CHECKSUM, EepromKind};
pub use errata::Erratum;
pub use model::{Model, ModelError, Options, Tail};
pub use phy::{Partner, Speed};
pub use port::Port;
pub use quirks::{Profile, Quirks};
pub use violation::{Violation, Wrong};
pub use watch::Checks;
pub use wire::{Frame, Wire};
