//! The machine, as naio sees it: memory mappings, the one clock, the internet checksum at memory speed,
//! TAP devices and private networks, the kernel's own sending without a copy (to be compared with), and
//! the no-op that a counting emulator recognises.
//!
//! This room receives plain values and hands on safe ones; it is one of the three rooms that hold
//! `unsafe` (the others are `dma` and `vfio`). It never knows a card, a frame or a socket.

pub mod allocations;
pub mod checksum;
pub mod clock;
pub mod handover;
pub mod interface;
pub mod limits;
pub mod mapping;
pub mod mark;
pub mod namespace;
pub mod tap;
pub mod zerocopy;
