//! Memory that a card can see.
//!
//! This room owns every byte that crosses between a card and the program. It hands on:
//!
//! - [`Domain`]: one IO virtual address (IOVA) space for the process; every card attaches to it;
//! - [`Pool`] and [`Page`]: fixed-size packet buffers, each owned by exactly one party at a time;
//! - [`DescArray`]: descriptor rings, whose words are atomics;
//! - [`Buffer`]: memory of the user, registered once, which cards can only read;
//! - [`FileWindow`]: a part of a file, which cards can only read and the program not even that;
//! - [`Bus`]: the card's side of the same memory, for cards made of software.
//!
//! It never knows what a descriptor means, nor any card, frame or socket.
//!
//! # HW-1: the one hardware assumption
//!
//! A card writes memory without asking Rust. Everything that is safe here rests on this:
//!
//! > **HW-1.** *From the moment the card marks a descriptor done until we post that page again,
//! > the card does not write it.*
//!
//! Three parties keep it, each its own part:
//!
//! 1. *The card's*: it writes only memory that a posted descriptor names, and only before it marks
//!    that descriptor done. The IOMMU confines a card that breaks this to this domain; inside the
//!    domain nothing can.
//! 2. *The driver's*: it puts only IOVAs of pages into descriptors that it has turned into
//!    [`Posted`], and turns a page back with the [`Done`] of that very descriptor.
//! 3. *Ours*: a posted page has been *moved* and has no accessor; the status word is read with
//!    Acquire ordering before a page comes back; memory is unmapped from every card before it is
//!    freed.
//!
//! `vfio-ioctls` asks for more (no reference to mapped memory at all, ever). The relaxation to
//! HW-1 is ours, and this is where it is stated.

mod buffer;
mod bus;
mod desc;
mod domain;
mod file_window;
mod iova;
mod pool;
mod region;

pub use buffer::{AlignedPage, Buffer};
pub use bus::{Bus, BusFault};
pub use desc::{DescArray, Done};
pub use domain::{Access, AttachError, Attachment, Domain, MapRefused, Mapper};
pub use file_window::{FileWindow, WindowError};
pub use iova::{DmaSlice, Iova, IovaExhausted};
pub use pool::{Page, Pool, Posted};
pub use region::RegionError;
