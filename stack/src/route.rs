//! Who the next hop is, and which addresses nobody may have.

use crate::config::ConfigError;
use std::net::Ipv4Addr;

/// Our place in the network: one address, its network, perhaps a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    address: u32,
    mask: u32,
    prefix_len: u8,
    gateway: Option<Ipv4Addr>,
}

impl Route {
    pub(crate) fn new(
        address: Ipv4Addr,
        prefix_len: u8,
        gateway: Option<Ipv4Addr>,
    ) -> Result<Route, ConfigError> {
        let mask = match prefix_len {
            0 => 0,
            1..=32 => u32::MAX << (32 - prefix_len),
            _ => return Err(ConfigError::Address(address, prefix_len)),
        };
        let route = Route { address: address.into(), mask, prefix_len, gateway };
        if !is_unicast(address) || address.is_loopback() || route.is_network_or_broadcast(address) {
            return Err(ConfigError::Address(address, prefix_len));
        }
        if let Some(gateway) = gateway {
            let good = gateway != address && route.is_on_link(gateway) && route.is_host(gateway);
            if !good {
                return Err(ConfigError::Gateway(gateway));
            }
        }
        Ok(route)
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address.into()
    }

    pub(crate) fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whom to hand a packet for `destination`, `None` without a route.
    pub(crate) fn next_hop(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.is_on_link(destination) { Some(destination) } else { self.gateway }
    }

    /// Whether some other host may have this address (RFC 1122 3.2.1.3): not loopback, multicast,
    /// broadcast, "this network", and not ourselves.
    #[inline]
    pub(crate) fn is_host(&self, address: Ipv4Addr) -> bool {
        is_unicast(address)
            && !address.is_loopback()
            && u32::from(address) != self.address
            && !self.is_network_or_broadcast(address)
    }

    pub(crate) fn is_on_link(&self, address: Ipv4Addr) -> bool {
        (u32::from(address) ^ self.address) & self.mask == 0
    }

    /// The all-zeroes and all-ones hosts of our network; networks of one or two have none (RFC 3021).
    fn is_network_or_broadcast(&self, address: Ipv4Addr) -> bool {
        let host = u32::from(address) & !self.mask;
        self.prefix_len < 31 && self.is_on_link(address) && (host == 0 || host == !self.mask)
    }
}

/// Not "this network" 0/8, not multicast, not reserved, not broadcast.
fn is_unicast(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first < 224
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

    #[test]
    fn neighbours_directly_and_the_rest_through_the_gateway() {
        let route = Route::new(US, 24, Some(GATEWAY)).expect("a good configuration");
        let neighbour = Ipv4Addr::new(10, 0, 0, 9);
        assert_eq!(route.next_hop(neighbour), Some(neighbour));
        assert_eq!(route.next_hop(Ipv4Addr::new(8, 8, 8, 8)), Some(GATEWAY));
        let alone = Route::new(US, 24, None).expect("a good configuration");
        assert_eq!(alone.next_hop(Ipv4Addr::new(8, 8, 8, 8)), None);
    }

    #[test]
    fn martians_are_no_hosts() {
        let route = Route::new(US, 24, None).expect("a good configuration");
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "10.0.0.0",
            "10.0.0.255",
            "10.0.0.1",
        ] {
            assert!(!route.is_host(text.parse().expect("an address")), "{text}");
        }
        assert!(route.is_host(Ipv4Addr::new(10, 0, 1, 255)));
    }

    #[test]
    fn impossible_configurations_are_refused() {
        assert!(matches!(Route::new(Ipv4Addr::LOCALHOST, 8, None), Err(ConfigError::Address(..))));
        assert!(matches!(Route::new(Ipv4Addr::new(10, 0, 0, 0), 24, None), Err(ConfigError::Address(..))));
        assert!(matches!(Route::new(US, 33, None), Err(ConfigError::Address(..))));
        let elsewhere = Some(Ipv4Addr::new(10, 0, 1, 1));
        assert!(matches!(Route::new(US, 24, elsewhere), Err(ConfigError::Gateway(_))));
        assert!(matches!(Route::new(US, 24, Some(US)), Err(ConfigError::Gateway(_))));
        assert!(Route::new(US, 31, Some(Ipv4Addr::new(10, 0, 0, 0))).is_ok(), "RFC 3021");
    }
}
