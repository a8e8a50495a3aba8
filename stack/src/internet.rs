//! The IP layer: from Ethernet payload to whole, proved packets for an address of ours.
//!
//! Receives what `ether` found and hands packets on to the transports, after reassembly, each with
//! the station that a reply goes back to. What came by broadcast or multicast reaches UDP only.

use crate::Stack;
use crate::arp::{self, Arp};
use crate::ether;
use crate::fragment::{Place, Taken, Whose};
use crate::ipv4::{self, Malformed};
use crate::multicast::PROTOCOL_IGMP;
use crate::packet::{Ends, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, Packet};
use crate::receive::Fate;
use naio_nic::Mac;
use std::net::IpAddr;

/// How a frame was addressed, and who sent it.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) station: Mac,
    /// To us alone.
    pub(crate) unicast: bool,
    /// The card vouches for the checksums.
    pub(crate) verified: bool,
}

impl Stack {
    pub(crate) fn arp(&mut self, packet: &[u8]) {
        let us = (self.outbox.mac, self.route.address());
        match arp::ingest(&mut self.neighbors, us, self.now, packet, &mut self.counters) {
            Arp::Learned => self.counters.rx_arp += 1,
            Arp::Malformed => self.counters.drop_arp_malformed += 1,
            Arp::Unasked => self.counters.drop_arp_unasked += 1,
            Arp::Conflict => self.counters.drop_arp_conflict += 1,
            Arp::Answer(to, answer) => {
                self.counters.rx_arp += 1;
                if self.replies_are_full() {
                    self.counters.tx_replies_full += 1;
                    return;
                }
                let kind = (to, ether::TYPE_ARP);
                self.outbox.other(&mut self.replies, &mut self.counters, kind, &answer);
            }
        }
    }

    /// A packet in a frame for us alone. Inlined up to `ingest`, so that addresses and lengths of an
    /// ordinary segment stay in registers.
    #[inline(always)]
    pub(crate) fn ipv4(&mut self, bytes: &[u8], arrival: Arrival) -> Fate {
        match ipv4::parse(bytes, arrival.verified) {
            Ok(packet) if packet.protocol == PROTOCOL_TCP && self.is_for_us(&packet) => {
                self.tcp(&packet, arrival.verified, arrival.station)
            }
            Ok(packet) => self.ipv4_packet(&packet, arrival),
            Err(malformed) => {
                self.ipv4_malformed(bytes, malformed, arrival);
                Fate::Spent
            }
        }
    }

    /// From some other host, for our address.
    #[inline(always)]
    fn is_for_us(&self, packet: &Packet<'_>) -> bool {
        match packet.ends {
            Ends::V4 { source, destination } => {
                destination == self.route.address() && self.route.is_host(source)
            }
            Ends::V6 { .. } => false,
        }
    }

    #[cold]
    fn ipv4_malformed(&mut self, bytes: &[u8], malformed: Malformed, arrival: Arrival) {
        match malformed {
            Malformed::Header => self.counters.drop_ip_header += 1,
            Malformed::Checksum => self.counters.drop_ip_checksum += 1,
            Malformed::Fragment => self.ipv4_fragment(bytes, arrival),
        }
    }

    /// A whole packet of any kind, however it came.
    #[inline(never)]
    fn ipv4_packet(&mut self, packet: &Packet<'_>, arrival: Arrival) -> Fate {
        let Ends::V4 { source, destination } = packet.ends else { return Fate::Spent };
        if destination != self.route.address() || !arrival.unicast {
            return self.ipv4_for_many(packet, arrival);
        }
        if !self.route.is_host(source) {
            self.counters.drop_ip_source += 1;
            return Fate::Spent;
        }
        match packet.protocol {
            PROTOCOL_TCP => return self.rare_tcp(packet, arrival.station),
            PROTOCOL_UDP => return self.udp(packet, arrival.verified, Some(arrival.station)),
            PROTOCOL_ICMP => self.icmp(packet, arrival.station),
            _ => self.counters.drop_ip_protocol += 1,
        }
        Fate::Spent
    }

    /// A packet in a broadcast or multicast frame.
    pub(crate) fn ipv4_cast(&mut self, bytes: &[u8], arrival: Arrival) -> Fate {
        match ipv4::parse(bytes, arrival.verified) {
            Ok(packet) => self.ipv4_for_many(&packet, arrival),
            Err(malformed) => {
                self.ipv4_malformed(bytes, malformed, arrival);
                Fate::Spent
            }
        }
    }

    /// A packet that is not for our address alone. Unicast IP in a broadcast frame is nobody's
    /// (RFC 1122 3.3.6).
    #[cold]
    fn ipv4_for_many(&mut self, packet: &Packet<'_>, arrival: Arrival) -> Fate {
        let Ends::V4 { source, destination } = packet.ends else { return Fate::Spent };
        if !self.route.is_broadcast(destination) && !self.hears_group(destination.into()) {
            self.counters.drop_ip_destination += 1;
            return Fate::Spent;
        }
        if !self.route.is_host(source) {
            self.counters.drop_ip_source += 1;
            return Fate::Spent;
        }
        match packet.protocol {
            PROTOCOL_UDP => return self.udp(packet, arrival.verified, None),
            PROTOCOL_IGMP => self.igmp(packet),
            // Neither connections nor echoes are for everybody (RFC 9293 3.10, RFC 1122 3.2.2.6).
            PROTOCOL_TCP | PROTOCOL_ICMP => self.counters.drop_ip_destination += 1,
            _ => self.counters.drop_ip_protocol += 1,
        }
        Fate::Spent
    }

    #[cold]
    fn ipv4_fragment(&mut self, bytes: &[u8], arrival: Arrival) {
        let Some(packet) = ipv4::parse_fragment(bytes) else {
            return self.counters.drop_ip_header += 1;
        };
        let destination = packet.ends.destination();
        let ours = arrival.unicast && destination == self.route.address();
        if !ours && !self.hears_group(destination) && !self.is_broadcast(destination) {
            return self.counters.drop_ip_destination += 1;
        }
        if !self.is_host(packet.ends.source()) {
            return self.counters.drop_ip_source += 1;
        }
        // The header has been proved: these bytes are there.
        let field = u16::from_be_bytes([bytes[6], bytes[7]]);
        let id = u16::from_be_bytes([bytes[4], bytes[5]]).into();
        let whose = Whose { ends: packet.ends, protocol: packet.protocol, id };
        let place = Place { offset: usize::from(field & 0x1fff) * 8, more: field & 0x2000 != 0 };
        self.fragment((whose, place), packet.payload, arrival);
    }

    /// A fragment of either version.
    pub(crate) fn fragment(&mut self, (whose, place): (Whose, Place), payload: &[u8], arrival: Arrival) {
        match self.fragments.insert(self.now, whose, place, payload, &mut self.counters) {
            Taken::Kept => self.counters.rx_ip_fragment += 1,
            Taken::Refused => self.counters.drop_ip_fragment += 1,
            Taken::Whole(bytes) => {
                let payload = &bytes[whose.ends.header_len()..];
                let packet = Packet { ends: whose.ends, protocol: whose.protocol, bytes: &bytes, payload };
                // The card has seen only pieces.
                let arrival = Arrival { verified: false, ..arrival };
                let fate = match whose.ends {
                    Ends::V4 { .. } => self.ipv4_packet(&packet, arrival),
                    Ends::V6 { .. } => self.ipv6_packet(&packet, 0, arrival),
                };
                self.conclude_copied(fate, &bytes);
            }
        }
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if self.route.is_broadcast(address))
    }
}
