//! ICMP: echo replies, nothing else yet (RFC 1122 3.2.2.6).
//!
//! Receives a packet for our address and writes the answer: the same data, back to the station it
//! came from, so that a ping needs neither memory nor a neighbour entry.

use crate::ipv4::{self, PROTOCOL_ICMP, Packet};
use naio_sys::checksum::Sum;

const ECHO_REQUEST: u8 = 8;
const HEADER_LEN: usize = 8;

/// What an ICMP packet is to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Icmp {
    EchoRequest,
    Other,
    Malformed,
}

pub(crate) fn classify(packet: &Packet<'_>) -> Icmp {
    let message = packet.payload;
    // No card vouches for ICMP checksums.
    if message.len() < HEADER_LEN || !Sum::ZERO.bytes(message).is_valid() {
        return Icmp::Malformed;
    }
    if message[..2] == [ECHO_REQUEST, 0] { Icmp::EchoRequest } else { Icmp::Other }
}

/// Bytes of the reply to an echo request: options of the request are not returned.
pub(crate) fn reply_len(request: &Packet<'_>) -> usize {
    ipv4::HEADER_LEN + request.payload.len()
}

/// Writes the reply into `reply`, which is [`reply_len`] bytes long.
pub(crate) fn write_reply(request: &Packet<'_>, reply: &mut [u8]) {
    ipv4::write_header(reply, request.destination, request.source, PROTOCOL_ICMP);
    let message = &mut reply[ipv4::HEADER_LEN..];
    message.copy_from_slice(request.payload);
    message[..4].fill(0);
    let checksum = Sum::ZERO.bytes(message).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
}
