//! The driver meets the card in software: the acceptance tests of 8254x fact sheet 7.5, for what the driver has today.
//!
//! Each room asks one question of it: every length ([`lengths`]), every shape of a packet ([`segments`]) and of one that
//! is cut ([`long`], [`wishes`]), jumbo frames ([`jumbo`]), every ring ([`rings`]), a cable that comes and goes and resets
//! under load ([`link`]), every id of the family ([`ids`]), every emulator ([`quirks`]), the counters ([`statistics`]),
//! every injected fault ([`faults`], [`run_faults`], [`open_faults`]) and the defences of 7.4 that are more than one fault
//! ([`defences`]). The card watches: a test ends with no violation found.
#![forbid(unsafe_code)]

mod bench;
mod defences;
mod faults;
mod ids;
mod jumbo;
mod lengths;
mod link;
mod long;
mod open_faults;
mod quirks;
mod rings;
mod run_faults;
mod segments;
mod socket;
mod statistics;
mod wishes;
