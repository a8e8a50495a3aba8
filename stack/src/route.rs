//! Who the next hop is, and which addresses nobody may have: IPv4. (IPv6 learns most of this from
//! routers: `autoconf`.)

use crate::config::{ConfigError, StaticRoute};
use std::net::{IpAddr, Ipv4Addr};

/// Our place in the network: one address, its network, perhaps a gateway and other routes.
///
/// Without an address (0.0.0.0, as before DHCP has found one) nobody is on our network.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    address: u32,
    mask: u32,
    prefix_len: u8,
    gateway: Option<Ipv4Addr>,
    /// Longest prefix first.
    routes: Vec<(u32, u32, Ipv4Addr)>,
}

impl Route {
    pub(crate) fn new(
        address: Ipv4Addr,
        prefix_len: u8,
        gateway: Option<Ipv4Addr>,
    ) -> Result<Route, ConfigError> {
        let mask = mask(prefix_len).ok_or(ConfigError::Address(address, prefix_len))?;
        let mut route = Route { address: address.into(), mask, prefix_len, gateway, routes: Vec::new() };
        if address.is_unspecified() {
            // Whatever the prefix says: nobody is near.
            (route.mask, route.prefix_len, route.gateway) = (u32::MAX, 32, None);
            return Ok(route);
        }
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

    /// With the IPv4 ones of `routes`. While there is no address they wait, unused.
    pub(crate) fn with(mut self, routes: &[StaticRoute]) -> Result<Route, ConfigError> {
        for route in routes {
            let (IpAddr::V4(prefix), IpAddr::V4(gateway)) = (route.prefix, route.gateway) else { continue };
            let wrong = ConfigError::Route { prefix: route.prefix, prefix_len: route.prefix_len };
            let mask = mask(route.prefix_len).ok_or(wrong)?;
            let reachable = self.is_on_link(gateway) && self.is_host(gateway);
            if u32::from(prefix) & !mask != 0 || (self.has_address() && !reachable) {
                return Err(wrong);
            }
            self.routes.push((prefix.into(), mask, gateway));
        }
        self.routes.sort_by_key(|&(_, mask, _)| std::cmp::Reverse(mask));
        Ok(self)
    }

    pub(crate) fn has_address(&self) -> bool {
        self.address != 0
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address.into()
    }

    pub(crate) fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// Whom to hand a packet for `destination`, `None` without a route.
    pub(crate) fn next_hop(&self, destination: Ipv4Addr) -> Option<Ipv4Addr> {
        if !self.has_address() {
            return None;
        }
        if self.is_on_link(destination) {
            return Some(destination);
        }
        let bits = u32::from(destination);
        let route = self.routes.iter().find(|&&(prefix, mask, _)| bits & mask == prefix);
        route.map(|&(_, _, gateway)| gateway).or(self.gateway)
    }

    /// Whether every station of our network is meant.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        let directed =
            self.prefix_len < 31 && self.is_on_link(address) && u32::from(address) & !self.mask == !self.mask;
        address.is_broadcast() || directed
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

fn mask(prefix_len: u8) -> Option<u32> {
    match prefix_len {
        0 => Some(0),
        1..=32 => Some(u32::MAX << (32 - prefix_len)),
        _ => None,
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
    fn the_longest_prefix_wins_and_a_gateway_must_be_near() {
        let via = |host| Ipv4Addr::new(10, 0, 0, host);
        let route = |prefix: [u8; 4], prefix_len, gateway: Ipv4Addr| StaticRoute {
            prefix: prefix.into(),
            prefix_len,
            gateway: gateway.into(),
        };
        let routes = [route([192, 168, 0, 0], 16, via(3)), route([192, 168, 7, 0], 24, via(4))];
        let table = Route::new(US, 24, Some(GATEWAY)).and_then(|table| table.with(&routes)).expect("good");
        assert_eq!(table.next_hop(Ipv4Addr::new(192, 168, 7, 9)), Some(via(4)));
        assert_eq!(table.next_hop(Ipv4Addr::new(192, 168, 8, 9)), Some(via(3)));
        assert_eq!(table.next_hop(Ipv4Addr::new(192, 169, 0, 1)), Some(GATEWAY));
        for wrong in [route([192, 168, 0, 1], 24, via(3)), route([1, 0, 0, 0], 8, [9, 9, 9, 9].into())] {
            let result = Route::new(US, 24, None).and_then(|table| table.with(&[wrong]));
            assert!(matches!(result, Err(ConfigError::Route { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn without_an_address_nobody_is_near() {
        let route = Route::new(Ipv4Addr::UNSPECIFIED, 0, None).expect("before DHCP");
        assert_eq!(route.next_hop(GATEWAY), None);
        assert!(route.is_broadcast(Ipv4Addr::BROADCAST) && !route.is_broadcast(GATEWAY));
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
