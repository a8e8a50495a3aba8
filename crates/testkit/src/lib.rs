//! What tests of the data plane stand on: a clock that only a test moves, a wire in memory between
//! two cards, and segments written and read by a second opinion.
//!
//! Receives what a stack or an event queue sends through [`Nic`](naio_nic::Nic) and hands it to the
//! other end, with the faults that were asked for, reproducible from one seed. It never uses the
//! code under test: checksums are summed here in the plainest way, headers are read and written
//! with `etherparse`. For dev-dependencies only; it may panic where a test went wrong.
#![forbid(unsafe_code)]

pub mod card;
pub mod clock;
pub mod cut;
pub mod faults;
pub mod liar;
pub mod packets;
pub mod scenario;
pub mod segment;
pub mod sum;
pub mod wire;

pub use card::WireNic;
pub use clock::ManualClock;
pub use faults::{Faults, seeds};
pub use liar::{Liar, Lies};
pub use packets::Udp;
pub use scenario::{Node, Scenario, Stuck};
pub use segment::{Segment, TcpFlags};
pub use wire::{Wire, WireOptions};
