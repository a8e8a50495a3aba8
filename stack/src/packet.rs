//! An IP packet of either version, as everything behind the IP layer sees it.
//!
//! Receives what `ipv4` and `ipv6` have proved and hands on addresses, protocol and payload without
//! the version mattering; also writes headers and pseudo-headers for both.

use crate::{ipv4, ipv6};
use naio_sys::checksum::Sum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// ICMP (RFC 792).
pub(crate) const PROTOCOL_ICMP: u8 = 1;
/// TCP (RFC 9293).
pub(crate) const PROTOCOL_TCP: u8 = 6;
/// UDP (RFC 768).
pub(crate) const PROTOCOL_UDP: u8 = 17;

/// Source and destination, of one family by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    V4 { source: Ipv4Addr, destination: Ipv4Addr },
    V6 { source: Ipv6Addr, destination: Ipv6Addr },
}

impl Ends {
    /// Addresses of two families become two IPv6 addresses: nobody has such a connection.
    #[inline]
    pub(crate) fn new(source: IpAddr, destination: IpAddr) -> Ends {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Ends::V4 { source, destination },
            (source, destination) => Ends::V6 { source: as_v6(source), destination: as_v6(destination) },
        }
    }

    #[inline]
    pub(crate) fn source(self) -> IpAddr {
        match self {
            Ends::V4 { source, .. } => source.into(),
            Ends::V6 { source, .. } => source.into(),
        }
    }

    #[inline]
    pub(crate) fn destination(self) -> IpAddr {
        match self {
            Ends::V4 { destination, .. } => destination.into(),
            Ends::V6 { destination, .. } => destination.into(),
        }
    }

    /// The way back.
    pub(crate) fn reversed(self) -> Ends {
        match self {
            Ends::V4 { source, destination } => Ends::V4 { source: destination, destination: source },
            Ends::V6 { source, destination } => Ends::V6 { source: destination, destination: source },
        }
    }

    /// Bytes of the header that [`write_header`](Ends::write_header) writes.
    pub(crate) fn header_len(self) -> usize {
        match self {
            Ends::V4 { .. } => ipv4::HEADER_LEN,
            Ends::V6 { .. } => ipv6::HEADER_LEN,
        }
    }

    /// Writes a header without options into the front of `packet`: never to be fragmented.
    pub(crate) fn write_header(self, packet: &mut [u8], protocol: u8) {
        match self {
            Ends::V4 { source, destination } => ipv4::write_header(packet, source, destination, protocol),
            Ends::V6 { source, destination } => ipv6::write_header(packet, source, destination, protocol),
        }
    }

    /// The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) in front of `len` bytes.
    #[inline(always)]
    pub(crate) fn pseudo_header(self, protocol: u8, len: usize) -> Sum {
        // Of a payload of at most 65 535 bytes the upper half of the length is zero.
        let sum = Sum::ZERO.word(protocol.into()).word(len as u16);
        match self {
            Ends::V4 { source, destination } => {
                let [a, b, c, d] = source.octets();
                let [e, f, g, h] = destination.octets();
                let word = u16::from_be_bytes;
                sum.word(word([a, b])).word(word([c, d])).word(word([e, f])).word(word([g, h]))
            }
            Ends::V6 { source, destination } => sum.bytes(&source.octets()).bytes(&destination.octets()),
        }
    }
}

/// An IPv4 address as IPv6 writes it (RFC 4291 2.5.5.2); never on the wire.
pub(crate) fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// An IP packet whose lengths have been proved: header and payload without the frame's padding.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) ends: Ends,
    pub(crate) protocol: u8,
    /// Header and payload.
    pub(crate) bytes: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Packet<'_> {
    /// Whether the checksum of a TCP segment, a UDP datagram or an ICMPv6 message is right.
    #[inline(always)]
    pub(crate) fn checksum_is_valid(&self) -> bool {
        self.ends.pseudo_header(self.protocol, self.payload.len()).bytes(self.payload).is_valid()
    }
}
