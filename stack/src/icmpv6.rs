//! ICMPv6 (RFC 4443): which message is whose.
//!
//! Receives packets for an address or a group of ours and hands them to `icmp` (echoes and errors,
//! the same as for IPv4), `ndp` or `multicast`.

use crate::Stack;
use crate::datagram::NetworkError;
use crate::icmp::{HEADER_LEN, Quoted};
use crate::internet::Arrival;
use crate::ipv6::{self, PROTOCOL_ICMPV6};
use crate::multicast::MLD_QUERY;
use crate::ndp;
use crate::packet::Packet;

/// Destination unreachable, port (RFC 4443 3.1).
pub(crate) const PORT_UNREACHABLE: (u8, u8, u8) = (PROTOCOL_ICMPV6, UNREACHABLE, 4);
/// Longest error: the smallest MTU of IPv6 (RFC 4443 3.1).
pub(crate) const ERROR_LEN_MAX: usize = 1280;
const UNREACHABLE: u8 = 1;
const TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

impl Stack {
    /// A packet for an address of ours, or for a group if `arrival` says so.
    pub(crate) fn icmpv6(&mut self, packet: &Packet<'_>, hop_limit: u8, arrival: Arrival, to_group: bool) {
        let message = packet.payload;
        let Some(header) = message.first_chunk::<HEADER_LEN>().filter(|_| packet.checksum_is_valid()) else {
            return self.counters.drop_icmp_malformed += 1;
        };
        match header[0] {
            ndp::ROUTER_SOLICITATION
            | ndp::ROUTER_ADVERTISEMENT
            | ndp::NEIGHBOR_SOLICITATION
            | ndp::NEIGHBOR_ADVERTISEMENT
            | ndp::REDIRECT => self.ndp(packet, hop_limit, arrival.station),
            MLD_QUERY => self.mld_query(packet, hop_limit),
            // Whoever asks without an address, or everybody, gets no answer.
            _ if to_group || packet.ends.source().is_unspecified() => self.counters.drop_icmp_type += 1,
            ECHO_REQUEST if header[1] == 0 => {
                self.echo(packet, (PROTOCOL_ICMPV6, ECHO_REPLY), arrival.station)
            }
            UNREACHABLE | TOO_BIG | TIME_EXCEEDED | PARAMETER_PROBLEM => {
                let value = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                match parse_quoted(&message[HEADER_LEN..], packet) {
                    Some(quoted) => self.icmp_error(&quoted, error(header[0], header[1], value)),
                    None => self.counters.drop_icmp_malformed += 1,
                }
            }
            _ => self.counters.drop_icmp_type += 1,
        }
    }
}

/// Reads what an error quotes, without extension headers (we send none but for fragments); `None` if
/// we cannot have sent it.
fn parse_quoted(bytes: &[u8], error: &Packet<'_>) -> Option<Quoted> {
    let header = bytes.first_chunk::<{ ipv6::HEADER_LEN }>()?;
    let mut transport = bytes.get(ipv6::HEADER_LEN..)?;
    let mut protocol = header[6];
    if protocol == ipv6::FRAGMENT {
        let (&[next, _, high, low, ..], rest) = transport.split_first_chunk::<8>()?;
        if u16::from_be_bytes([high, low]) & !7 != 0 {
            return None;
        }
        (protocol, transport) = (next, rest);
    }
    let ends = ipv6::ends(header);
    let ours = header[0] >> 4 == 6 && ends.source() == error.ends.destination();
    Quoted::new(ends, protocol, transport).filter(|_| ours)
}

/// The codes of RFC 4443 3.
fn error(kind: u8, code: u8, value: u32) -> NetworkError {
    match (kind, code) {
        (TIME_EXCEEDED, _) => NetworkError::TimeExceeded,
        (TOO_BIG, _) => NetworkError::TooBig(value),
        // An unrecognised next header: nobody speaks that protocol.
        (PARAMETER_PROBLEM, _) | (UNREACHABLE, 4) => NetworkError::Refused,
        (_, 1 | 5) => NetworkError::Prohibited,
        _ => NetworkError::Unreachable,
    }
}
