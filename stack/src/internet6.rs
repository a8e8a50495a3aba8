//! The IP layer for IPv6: from Ethernet payload to whole packets for an address or group of ours.
//!
//! Receives what `ether` found and hands on packets as `internet` does for IPv4: after reassembly,
//! without extension headers where smoltcp would not know them.

use crate::Stack;
use crate::autoconf;
use crate::fragment::{Place, Whose};
use crate::internet::Arrival;
use crate::ipv6::{self, HEADER_LEN, Malformed, PROTOCOL_ICMPV6, Parsed};
use crate::packet::{Ends, PROTOCOL_TCP, PROTOCOL_UDP, Packet};
use crate::receive::Fate;
use std::net::Ipv6Addr;

/// To whom a packet is addressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    Us,
    Group,
    Nobody,
}

impl Stack {
    pub(crate) fn ipv6(&mut self, bytes: &[u8], arrival: Arrival) -> Fate {
        // No verdict of a card about IPv6 is relied upon.
        let arrival = Arrival { verified: false, ..arrival };
        match ipv6::parse(bytes) {
            Ok(Parsed::Whole { packet, extended, hop_limit }) => {
                if extended && packet.protocol == PROTOCOL_TCP {
                    self.without_extensions(&packet, arrival);
                    return Fate::Spent;
                }
                return self.ipv6_packet(&packet, hop_limit, arrival);
            }
            Ok(Parsed::Fragment { ends, protocol, id, offset, more, payload }) => {
                let Ends::V6 { source, destination } = ends else { return Fate::Spent };
                if self.whom(destination, arrival) == Whom::Nobody {
                    self.counters.drop_ip_destination += 1;
                } else if !self.is_host(source.into()) {
                    self.counters.drop_ip_source += 1;
                } else {
                    let parts = (Whose { ends, protocol, id }, Place { offset, more });
                    self.fragment(parts, payload, arrival);
                }
            }
            Err(Malformed::Header) => self.counters.drop_ip_header += 1,
            Err(Malformed::Extension) => self.counters.drop_ip_extension += 1,
        }
        Fate::Spent
    }

    /// smoltcp walks over no extension headers but one kind; the packet as it would be without.
    fn without_extensions(&mut self, packet: &Packet<'_>, arrival: Arrival) {
        let mut bytes = vec![0; HEADER_LEN + packet.payload.len()];
        packet.ends.write_header(&mut bytes, packet.protocol);
        bytes[HEADER_LEN..].copy_from_slice(packet.payload);
        let plain = Packet { bytes: &bytes, payload: &bytes[HEADER_LEN..], ..*packet };
        let fate = self.ipv6_packet(&plain, 0, arrival);
        self.conclude_copied(fate, &bytes);
    }

    fn whom(&self, destination: Ipv6Addr, arrival: Arrival) -> Whom {
        let ours = || self.autoconf.as_ref().is_some_and(|autoconf| autoconf.has(destination));
        match destination.is_multicast() {
            true if self.hears_group(destination.into()) => Whom::Group,
            false if arrival.unicast && ours() => Whom::Us,
            _ => Whom::Nobody,
        }
    }

    /// A whole packet. The hop limit is zero if it came in pieces.
    pub(crate) fn ipv6_packet(&mut self, packet: &Packet<'_>, hop_limit: u8, arrival: Arrival) -> Fate {
        let Ends::V6 { source, destination } = packet.ends else { return Fate::Spent };
        let whom = self.whom(destination, arrival);
        if whom == Whom::Nobody {
            self.counters.drop_ip_destination += 1;
            return Fate::Spent;
        }
        // Only those who look for an address of their own have none.
        let nameless = source.is_unspecified() && packet.protocol == PROTOCOL_ICMPV6;
        if !nameless && !self.is_host(source.into()) {
            self.counters.drop_ip_source += 1;
            return Fate::Spent;
        }
        match (packet.protocol, whom) {
            (PROTOCOL_TCP, Whom::Us) => return self.rare_tcp(packet, arrival.station),
            (PROTOCOL_TCP, _) => self.counters.drop_ip_destination += 1,
            (PROTOCOL_UDP, Whom::Us) => return self.udp(packet, false, Some(arrival.station)),
            (PROTOCOL_UDP, _) => return self.udp(packet, false, None),
            (PROTOCOL_ICMPV6, whom) => self.icmpv6(packet, hop_limit, arrival, whom == Whom::Group),
            _ => self.counters.drop_ip_protocol += 1,
        }
        Fate::Spent
    }

    /// Whether some other host may have this address.
    pub(crate) fn is_host_v6(&self, address: Ipv6Addr) -> bool {
        let ours = self.autoconf.as_ref().is_none_or(|autoconf| autoconf.has(address));
        autoconf::is_unicast(address) && !ours
    }
}
