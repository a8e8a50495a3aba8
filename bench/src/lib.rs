//! What the experiments share: the wire protocol, sizes, reports, CPU accounts, progress, SHA-256, the queue opened
//! from flags, and both ways of sending.
//!
//! The programs in `src/bin` are thin: they read a command line, move bytes, and print one [`report::Report`].
//! The asynchronous and the kernel arm use the same modules here, so that a difference between two reports is a
//! difference between the stacks and not between the programs.
#![forbid(unsafe_code)]

pub mod account;
pub mod address;
pub mod cpu;
pub mod failure;
pub mod fill;
pub mod kernel_sender;
pub mod naio_sender;
pub mod payload;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod sending;
pub mod services;
pub mod session;
pub mod sha;
pub mod sink;
pub mod size;
pub mod source;
mod zerocopy;
