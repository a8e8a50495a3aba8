//! From which address of ours, and to which station, a packet goes.

use crate::Stack;
use crate::post::Hop;
use naio_nic::Mac;
use std::net::{IpAddr, Ipv6Addr};

impl Stack {
    /// Whether some other host may have this address.
    pub(crate) fn is_host(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.route.is_host(address),
            IpAddr::V6(address) => self.is_host_v6(address),
        }
    }

    /// Whether a datagram may be addressed there: a host, a group, or everybody near.
    pub(crate) fn may_be_sent_to(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.is_multicast() || self.route.is_broadcast(v4) || self.is_host(address),
            IpAddr::V6(_) => self.autoconf.is_some() && (address.is_multicast() || self.is_host(address)),
        }
    }

    /// Our address towards a host, and the neighbour to hand packets to.
    pub(crate) fn path_to_host(&self, destination: IpAddr) -> Option<(IpAddr, IpAddr)> {
        match destination {
            IpAddr::V4(destination) => {
                let next_hop = self.route.next_hop(destination)?;
                Some((self.route.address().into(), next_hop.into()))
            }
            IpAddr::V6(destination) => {
                let autoconf = self.autoconf.as_ref()?;
                let source = autoconf.source_for(self.now, destination)?;
                let has_failed = |router: Ipv6Addr| self.neighbors.has_failed(router.into());
                let next_hop = autoconf.next_hop(destination, has_failed)?;
                Some((source.into(), next_hop.into()))
            }
        }
    }

    /// The same for whatever a datagram may be addressed to. Before there is an address, only
    /// broadcast can be sent, from 0.0.0.0 (RFC 2131 4.1).
    pub(crate) fn path(&self, destination: IpAddr) -> Option<(IpAddr, Hop)> {
        if let IpAddr::V4(address) = destination {
            let ours = self.route.address().into();
            if self.route.is_broadcast(address) {
                return Some((ours, Hop::Station(Mac::BROADCAST)));
            }
            if address.is_multicast() && self.route.has_address() {
                return Some((ours, Hop::Station(group_station(destination))));
            }
        }
        if let IpAddr::V6(address) = destination
            && address.is_multicast()
        {
            let source = self.autoconf.as_ref()?.source_for(self.now, address)?;
            return Some((source.into(), Hop::Station(group_station(destination))));
        }
        let (source, next_hop) = self.path_to_host(destination)?;
        Some((source, Hop::Neighbor(next_hop)))
    }
}

/// The Ethernet group of a multicast address (RFC 1112 6.4, RFC 2464 7).
pub(crate) fn group_station(group: IpAddr) -> Mac {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            Mac([0x33, 0x33, a, b, c, d])
        }
    }
}
