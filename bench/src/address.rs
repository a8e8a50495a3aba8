//! Addresses that take a while: a lease by DHCP, and IPv6 addresses, which nobody else must have.
//!
//! Receives an open queue, hands it on once it can speak from its address. Chooses no address itself.

use crate::failure::Failure;
use aio_api::{EventQueue, Ipv6Config, Kind, Wait};
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

/// How long a DHCP server may take: three tries of a client (RFC 2131 4.1: 4 s, 8 s, 16 s).
const LEASE_WITHIN: Duration = Duration::from_secs(30);
/// How long an IPv6 address may take: a router answers within seconds (RFC 4861 6.3.7), then one second without an
/// objection (RFC 4862 5.4).
const IPV6_WITHIN: Duration = Duration::from_secs(15);
/// How often we look.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const ADDRESS: u64 = u64::MAX - 4;

/// Where IPv6 addresses come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6Choice {
    /// What routers advertise.
    Automatic,
    /// This one.
    Static {
        /// The address.
        address: Ipv6Addr,
        /// Bits of its network.
        prefix_len: u8,
    },
}

impl Ipv6Choice {
    /// As the queue takes it.
    #[must_use]
    pub fn config(self) -> Ipv6Config {
        match self {
            Self::Automatic => Ipv6Config::automatic(),
            Self::Static { address, prefix_len } => {
                Ipv6Config { addresses: vec![(address, prefix_len)], ..Ipv6Config::default() }
            }
        }
    }

    fn is_met_by(self, address: IpAddr) -> bool {
        match (self, address) {
            (_, IpAddr::V4(_)) => false,
            (Self::Automatic, IpAddr::V6(v6)) => !v6.is_unicast_link_local(),
            (Self::Static { address: wanted, .. }, IpAddr::V6(v6)) => v6 == wanted,
        }
    }
}

/// Text that is no choice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither `auto` nor an address with a prefix length such as fd00:9::2/64")]
pub struct Ipv6ChoiceError;

impl FromStr for Ipv6Choice {
    type Err = Ipv6ChoiceError;

    fn from_str(text: &str) -> Result<Self, Ipv6ChoiceError> {
        if text == "auto" {
            return Ok(Self::Automatic);
        }
        let (address, prefix_len) = text.split_once('/').ok_or(Ipv6ChoiceError)?;
        let address = address.parse().map_err(|_| Ipv6ChoiceError)?;
        let prefix_len = prefix_len.parse().ok().filter(|len| *len <= 128).ok_or(Ipv6ChoiceError)?;
        Ok(Self::Static { address, prefix_len })
    }
}

/// Waits for an address by DHCP and says which it is.
///
/// # Errors
/// [`Failure::NoAddress`], or the card is gone.
pub fn await_lease(queue: &mut EventQueue) -> Result<(), Failure> {
    let watch = queue.watch_address(ADDRESS).map_err(Failure::submit)?;
    let deadline = queue.now().after(LEASE_WITHIN);
    let mut list = Vec::new();
    let mut leased = None;
    while leased.is_none() && queue.now() < deadline {
        queue.wait(&mut list, Wait::for_one().within(LOOK_EVERY))?;
        leased = list.drain(..).find_map(|done| match done.kind {
            Kind::Address { address } if !address.is_unspecified() => Some(address),
            _ => None,
        });
    }
    queue.cancel(watch);
    // Its last completion must not turn up among those of the program.
    queue.poll(&mut list);
    let Some(address) = leased else { return Err(Failure::NoAddress("no DHCP server gave an address")) };
    say(address.into());
    Ok(())
}

/// Waits until the IPv6 address can be used and says which it is.
///
/// # Errors
/// [`Failure::NoAddress`], or the card is gone.
pub fn await_ipv6(queue: &mut EventQueue, choice: &Ipv6Choice) -> Result<(), Failure> {
    let deadline = queue.now().after(IPV6_WITHIN);
    let mut list = Vec::new();
    loop {
        if let Some(address) = queue.addresses().into_iter().find(|address| choice.is_met_by(*address)) {
            say(address);
            return Ok(());
        }
        if queue.now() >= deadline {
            return Err(Failure::NoAddress(match choice {
                Ipv6Choice::Automatic => "no router advertises an IPv6 network",
                Ipv6Choice::Static { .. } => "another station has this IPv6 address",
            }));
        }
        queue.wait(&mut list, Wait::for_one().within(LOOK_EVERY))?;
    }
}

fn say(address: IpAddr) {
    // A closed standard error must not end a transfer.
    let _ = writeln!(std::io::stderr(), "note: the address is {address}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_auto_or_an_address_with_its_length() {
        assert_eq!("auto".parse(), Ok(Ipv6Choice::Automatic));
        let address = "fd00:9::2".parse().unwrap();
        assert_eq!("fd00:9::2/64".parse(), Ok(Ipv6Choice::Static { address, prefix_len: 64 }));
        for wrong in ["", "fd00:9::2", "fd00:9::2/129", "10.9.0.2/24", "/64"] {
            assert_eq!(wrong.parse::<Ipv6Choice>(), Err(Ipv6ChoiceError), "{wrong}");
        }
    }
}
