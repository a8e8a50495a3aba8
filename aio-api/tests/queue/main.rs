//! The queue over a wire in memory: a second stack is the peer, time is virtual but where [`pauses`] are meant.
#![forbid(unsafe_code)]

mod common;
mod datagrams;
mod ends;
mod flood;
mod groups;
mod incremental;
mod lending;
mod naming;
mod operations;
mod pauses;
mod places;
mod serving;
mod soak;
