//! Two event queues, each over the unchanged driver and a card in software, joined by a line that may do harm; all in
//! virtual time, repeatable from a seed. `NAIO_SEED=n` repeats one, `NAIO_SEEDS=10` plays ten times as many.
#![cfg(feature = "model")]
#![forbid(unsafe_code)]

mod bulk;
mod endpoint;
mod files;
mod goodput;
mod merging;
mod mishaps;
mod taking;
mod talk;
mod transfers;
