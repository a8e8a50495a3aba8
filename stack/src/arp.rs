//! ARP (RFC 826): questions and answers about the station addresses of IPv4 neighbours.
//!
//! Receives ARP packets, teaches the neighbour table what may be believed, and hands on the answer
//! for whoever asked for us.

use crate::counters::Counters;
use crate::neighbor::{Answer, Neighbors};
use naio_nic::Mac;
use naio_sys::clock::Time;
use std::net::Ipv4Addr;

/// Bytes of an ARP packet for IPv4 over Ethernet.
pub(crate) const ARP_LEN: usize = 28;
/// Ethernet, IPv4, with address lengths 6 and 4 (RFC 826).
const ARP_KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const OPERATION_REQUEST: u16 = 1;
const OPERATION_REPLY: u16 = 2;

/// What an ARP packet was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arp {
    /// Somebody asks for us: answer with this packet to that station.
    Answer(Mac, [u8; ARP_LEN]),
    /// It answered a question of ours.
    Learned,
    Malformed,
    Unasked,
    Conflict,
}

/// Takes an ARP packet in.
pub(crate) fn ingest(
    neighbors: &mut Neighbors,
    us: (Mac, Ipv4Addr),
    now: Time,
    packet: &[u8],
    counters: &mut Counters,
) -> Arp {
    let Some(packet) = packet.first_chunk::<ARP_LEN>() else { return Arp::Malformed };
    let operation = u16::from_be_bytes([packet[6], packet[7]]);
    let [_, _, _, _, _, _, _, _, m0, m1, m2, m3, m4, m5, a, b, c, d, ..] = *packet;
    let mac = Mac([m0, m1, m2, m3, m4, m5]);
    let sender = Ipv4Addr::new(a, b, c, d);
    let target = Ipv4Addr::new(packet[24], packet[25], packet[26], packet[27]);
    let kind_is_right = packet[..6] == ARP_KIND && matches!(operation, OPERATION_REQUEST | OPERATION_REPLY);
    if !kind_is_right || !mac.is_station() || mac == us.0 {
        return Arp::Malformed;
    }
    // Without an address of our own nobody can mean us.
    if us.1.is_unspecified() {
        return Arp::Unasked;
    }
    if sender == us.1 {
        return Arp::Conflict;
    }
    if target != us.1 {
        return Arp::Unasked;
    }
    if operation == OPERATION_REPLY {
        return match neighbors.learn_reply(now, sender.into(), mac) {
            Answer::Learned => Arp::Learned,
            Answer::Unasked => Arp::Unasked,
            Answer::Conflict => Arp::Conflict,
        };
    }
    // A probe (RFC 5227) has no sender address: there is nothing to learn from it.
    if !sender.is_unspecified() {
        neighbors.learn_request(now, sender.into(), mac, counters);
    }
    Arp::Answer(mac, packet_of(OPERATION_REPLY, us, (mac, sender)))
}

/// The question who has `address`.
pub(crate) fn request(us: (Mac, Ipv4Addr), address: Ipv4Addr) -> [u8; ARP_LEN] {
    packet_of(OPERATION_REQUEST, us, (Mac([0; 6]), address))
}

fn packet_of(operation: u16, us: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> [u8; ARP_LEN] {
    let mut packet = [0; ARP_LEN];
    packet[..6].copy_from_slice(&ARP_KIND);
    packet[6..8].copy_from_slice(&operation.to_be_bytes());
    packet[8..14].copy_from_slice(&us.0.0);
    packet[14..18].copy_from_slice(&us.1.octets());
    packet[18..24].copy_from_slice(&target.0.0);
    packet[24..28].copy_from_slice(&target.1.octets());
    packet
}
