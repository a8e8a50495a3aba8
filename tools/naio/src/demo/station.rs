//! One end of the demonstration: a card in software with the driver, the stack and a queue on it.
//!
//! Receives a wire and an address, hands on an open queue and a hand on its card.

use crate::failure::Failure;
use aio_api::{Builder, Cidr, EventQueue};
use naio_dma::Domain;
use naio_e1000::{Config, E1000};
use naio_e1000_model::{Card, Checks, Model, Options, Wire};
use naio_sys::clock::Clock;
use std::net::Ipv4Addr;
use std::time::Duration;

/// There is nothing to negotiate between threads; long enough to be seen down.
const AUTONEG: Duration = Duration::from_millis(1);
/// Bits of the network that both ends are in.
pub(crate) const PREFIX_LEN: u8 = 24;

/// A station at `address` on a card of its own at one end of `wire`; the card is a thread.
pub(crate) fn open(wire: impl Wire + 'static, address: Ipv4Addr) -> Result<(EventQueue, Card), Failure> {
    let silicon = Options::default();
    let mut mac = silicon.mac;
    // Stations of one network differ in their last byte; so do their cards.
    mac[5] = address.octets()[3];
    let clock = Clock::Monotonic;
    let options = Options { mac, checks: Checks::Light, autoneg: AUTONEG, clock, ..silicon };
    let domain = Domain::new();
    let mut model = Model::new(options, &domain, wire)?;
    let card = model.card();
    model.start().map_err(Failure::Thread)?;
    let nic = E1000::open(model, &Config::default())?;
    let queue = Builder::new(Cidr { address, prefix_len: PREFIX_LEN })
        .build(Box::new(nic), domain)
        .map_err(Failure::Queue)?;
    Ok((queue, card))
}
