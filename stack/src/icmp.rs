//! ICMP for IPv4 (RFC 792, RFC 1122 3.2.2): echo replies, and errors in both directions.
//!
//! Receives packets for our address. Echo requests are answered back to the station they came from,
//! so that a ping needs neither memory nor a neighbour entry. Errors are hints that anybody near the
//! path can invent: they reach a socket only if they quote something that it may really have sent,
//! and end only connections that are not established yet (RFC 5927).

use crate::Stack;
use crate::datagram::NetworkError;
use crate::demux::FlowKey;
use crate::ipv4;
use crate::packet::{Ends, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, Packet};
use crate::post::{Hop, Outcome, Post, finish_message};
use crate::status::{Failure, SocketId};
use naio_nic::Mac;
use naio_sys::checksum::Sum;
use smoltcp::socket::tcp::State;
use std::net::Ipv4Addr;

/// Bytes of the fixed part of a message.
pub(crate) const HEADER_LEN: usize = 8;
const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const PORT_UNREACHABLE: u8 = 3;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
/// Longest error: what every host takes (RFC 1812 4.3.2.3).
const ERROR_LEN_MAX: usize = 576;

impl Stack {
    /// A packet for our address.
    pub(crate) fn icmp(&mut self, packet: &Packet<'_>, station: Mac) {
        let message = packet.payload;
        // No card vouches for ICMP checksums.
        let Some(header) =
            message.first_chunk::<HEADER_LEN>().filter(|_| Sum::ZERO.bytes(message).is_valid())
        else {
            return self.counters.drop_icmp_malformed += 1;
        };
        match header[0] {
            ECHO_REQUEST if header[1] == 0 => self.echo(packet, (PROTOCOL_ICMP, ECHO_REPLY), station),
            UNREACHABLE | TIME_EXCEEDED => {
                let quoted = parse_quoted(&message[HEADER_LEN..], packet);
                let mtu = u16::from_be_bytes([header[6], header[7]]).into();
                match quoted {
                    Some(quoted) => self.icmp_error(&quoted, error(header[0], header[1], mtu)),
                    None => self.counters.drop_icmp_malformed += 1,
                }
            }
            // RFC 6633, and for redirects the route is ours to know (RFC 1122 3.2.2.2 says SHOULD).
            SOURCE_QUENCH | REDIRECT => self.counters.drop_icmp_ignored += 1,
            _ => self.counters.drop_icmp_type += 1,
        }
    }

    /// Answers an echo request of either version: the same data, back to the station it came from.
    pub(crate) fn echo(&mut self, request: &Packet<'_>, (protocol, kind): (u8, u8), station: Mac) {
        let ends = request.ends.reversed();
        let len = ends.header_len() + request.payload.len();
        let large = len > self.outbox.mtu();
        let room = large || (!self.replies_are_full() && self.outbox.can_make(len));
        if !room || !self.echoes.allows(self.now) {
            return self.counters.drop_icmp_limit += 1;
        }
        if large {
            return self.echo_in_fragments(ends, request.payload, (protocol, kind), station);
        }
        self.counters.rx_icmp_echo += 1;
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox.packet(replies, counters, Some(station), len, |reply| {
            ends.write_header(reply, protocol);
            let message = &mut reply[ends.header_len()..];
            message.copy_from_slice(request.payload);
            message[..2].copy_from_slice(&[kind, 0]);
            finish_message(ends, protocol, message);
        });
    }

    fn echo_in_fragments(&mut self, ends: Ends, request: &[u8], (protocol, kind): (u8, u8), station: Mac) {
        let mut message = request.to_vec();
        message[..2].copy_from_slice(&[kind, 0]);
        finish_message(ends, protocol, &mut message);
        let Some((header, bytes)) = message.split_first_chunk() else { return };
        match self.post(Hop::Station(station), &Post { ends, protocol, header, bytes }) {
            Outcome::Posted => self.counters.rx_icmp_echo += 1,
            Outcome::Busy | Outcome::Unreachable => self.counters.drop_icmp_limit += 1,
        }
    }

    /// Tells the sender of a datagram that nobody has its port (RFC 1122 4.1.3.1), within limits.
    pub(crate) fn port_unreachable(&mut self, packet: &Packet<'_>, station: Mac) {
        let kind = match packet.ends {
            Ends::V4 { .. } => (PROTOCOL_ICMP, UNREACHABLE, PORT_UNREACHABLE),
            Ends::V6 { .. } => crate::icmpv6::PORT_UNREACHABLE,
        };
        let ends = packet.ends.reversed();
        let longest = match ends {
            Ends::V4 { .. } => ERROR_LEN_MAX,
            Ends::V6 { .. } => crate::icmpv6::ERROR_LEN_MAX,
        };
        let start = ends.header_len() + HEADER_LEN;
        let quoted = &packet.bytes[..packet.bytes.len().min(longest - start)];
        let len = start + quoted.len();
        let room = !self.replies_are_full() && self.outbox.can_make(len);
        if !room || !self.errors.allows(self.now) {
            return self.counters.tx_icmp_error_limited += 1;
        }
        self.counters.tx_icmp_error += 1;
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox.packet(replies, counters, Some(station), len, |error| {
            let (protocol, kind, code) = kind;
            ends.write_header(error, protocol);
            let message = &mut error[ends.header_len()..];
            message[..HEADER_LEN].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
            message[HEADER_LEN..].copy_from_slice(quoted);
            finish_message(ends, protocol, message);
        });
    }

    /// What an error of either version quotes may be ours.
    pub(crate) fn icmp_error(&mut self, quoted: &Quoted, error: NetworkError) {
        let to = (quoted.ends.destination(), quoted.destination_port);
        let matched = match quoted.protocol {
            PROTOCOL_UDP => self.udp_error(quoted.source_port, to, error),
            PROTOCOL_TCP => self.tcp_error(quoted, error),
            _ => false,
        };
        if matched {
            self.counters.rx_icmp_error += 1;
        } else {
            self.counters.drop_icmp_unmatched += 1;
        }
    }

    /// The sequence number must be one that is under way (RFC 5927 4.1).
    fn tcp_error(&mut self, quoted: &Quoted, error: NetworkError) -> bool {
        let ends = quoted.ends.reversed();
        let key = FlowKey::of_received(ends, quoted.destination_port, quoted.source_port);
        let Some(index) = self.demux.find(key) else { return false };
        let Some(flow) = self.flows.at_mut(index) else { return false };
        let (Some(una), Some(end)) = (flow.snd_una(), flow.sent_end) else { return false };
        let connecting = flow.state() == State::SynSent;
        // The SYN, which has nothing acknowledged before it, is one number earlier.
        let first = if connecting { una.wrapping_sub(1) } else { una };
        let under_way = quoted.seq.wrapping_sub(first) < end.wrapping_sub(first);
        if flow.unsent || !under_way {
            return false;
        }
        flow.soft = Some(error);
        let failure = match error {
            NetworkError::Refused => Failure::Refused,
            NetworkError::Unreachable | NetworkError::Prohibited => Failure::Unreachable,
            NetworkError::TimeExceeded => return true,
            NetworkError::TooBig(mtu) => return connecting || self.too_big(index, mtu),
        };
        if connecting {
            self.counters.icmp_ended += 1;
            if let Some(key) = self.flows.at(index).and_then(|flow| flow.key) {
                log::debug!("connection to {:?}, says the network: {failure}", key.remote());
            }
            self.break_off(index, Some(failure));
        }
        true
    }

    /// What the network last said about a connection, which goes on in spite of it (a soft error of
    /// RFC 1122 4.2.3.9). Anybody near the path can invent one. `None` also for a stale name.
    #[must_use]
    pub fn network_error(&self, socket: SocketId) -> Option<NetworkError> {
        let index = self.flows.index(socket.0)?;
        self.flows.at(index)?.soft
    }
}

/// The front of a packet of ours, as an error quotes it.
pub(crate) struct Quoted {
    pub(crate) ends: Ends,
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// The sequence number, if it was TCP.
    pub(crate) seq: u32,
}

impl Quoted {
    /// From the first bytes of a transport header.
    pub(crate) fn new(ends: Ends, protocol: u8, transport: &[u8]) -> Option<Quoted> {
        let &[a, b, c, d, e, f, g, h] = transport.first_chunk::<8>()?;
        Some(Quoted {
            ends,
            protocol,
            source_port: u16::from_be_bytes([a, b]),
            destination_port: u16::from_be_bytes([c, d]),
            seq: u32::from_be_bytes([e, f, g, h]),
        })
    }
}

/// Reads what an error quotes; `None` if we cannot have sent it.
fn parse_quoted(bytes: &[u8], error: &Packet<'_>) -> Option<Quoted> {
    let header = bytes.first_chunk::<{ ipv4::HEADER_LEN }>()?;
    let header_len = usize::from(header[0] & 15) * 4;
    let is_first = header[6] & 0x1f == 0 && header[7] == 0;
    if header[0] >> 4 != 4 || header_len < ipv4::HEADER_LEN || !is_first {
        return None;
    }
    let ends = ipv4::ends(header);
    let ours = ends.source() == error.ends.destination() && ends.destination() != Ipv4Addr::UNSPECIFIED;
    Quoted::new(ends, header[9], bytes.get(header_len..)?).filter(|_| ours)
}

/// The codes of RFC 792, RFC 1122 3.2.2.1 and RFC 1812 5.2.7.1.
fn error(kind: u8, code: u8, mtu: u32) -> NetworkError {
    match (kind, code) {
        (TIME_EXCEEDED, _) => NetworkError::TimeExceeded,
        (_, 2 | 3) => NetworkError::Refused,
        (_, 4) => NetworkError::TooBig(mtu),
        (_, 9 | 10 | 13) => NetworkError::Prohibited,
        _ => NetworkError::Unreachable,
    }
}
