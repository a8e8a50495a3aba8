//! IPv4 and TCP headers, checked against the bytes that are really there.
//!
//! Receives the payload of a frame and hands on a packet whose every length has been proved, or the
//! reason why not. Nothing behind this file has to doubt a length.

use crate::packet::{Ends, Packet};
use naio_sys::checksum::Sum;
use std::net::Ipv4Addr;

/// Bytes of an IPv4 header without options.
pub(crate) const HEADER_LEN: usize = 20;
/// Bytes of a TCP header without options.
pub(crate) const TCP_HEADER_LEN: usize = 20;
/// The control bits in a TCP header.
pub(crate) const TCP_FLAGS_AT: usize = 13;
/// More-fragments and the fragment offset (RFC 791 3.1).
pub(crate) const FRAGMENT_BITS: u16 = 0x3fff;

/// Why a packet is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Header,
    Checksum,
    Fragment,
}

/// Takes a packet apart. With `verified` the card vouches for the header checksum.
#[inline(always)]
pub(crate) fn parse(bytes: &[u8], verified: bool) -> Result<Packet<'_>, Malformed> {
    let header = bytes.first_chunk::<HEADER_LEN>().ok_or(Malformed::Header)?;
    let header_len = usize::from(header[0] & 15) * 4;
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_len < HEADER_LEN || total_len < header_len {
        return Err(Malformed::Header);
    }
    let bytes = bytes.get(..total_len).ok_or(Malformed::Header)?;
    let (options, payload) = bytes.split_at(header_len);
    if !verified && !Sum::ZERO.bytes(options).is_valid() {
        return Err(Malformed::Checksum);
    }
    if u16::from_be_bytes([header[6], header[7]]) & FRAGMENT_BITS != 0 {
        return Err(Malformed::Fragment);
    }
    Ok(Packet { ends: ends(header), protocol: header[9], bytes, payload })
}

/// The piece of a datagram, from bytes that [`parse`] has called a fragment.
pub(crate) fn parse_fragment(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = bytes.first_chunk::<HEADER_LEN>()?;
    let header_len = usize::from(header[0] & 15) * 4;
    let bytes = bytes.get(..usize::from(u16::from_be_bytes([header[2], header[3]])))?;
    Some(Packet { ends: ends(header), protocol: header[9], bytes, payload: bytes.get(header_len..)? })
}

/// The addresses in a header.
#[inline]
pub(crate) fn ends(header: &[u8; HEADER_LEN]) -> Ends {
    Ends::V4 {
        source: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]),
    }
}

/// Writes a header without options into the first 20 bytes of `packet`, checksum included.
///
/// Identification 0 with DF set: such a datagram is never fragmented (RFC 6864 4.1).
pub(crate) fn write_header(packet: &mut [u8], source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) {
    // Whoever calls this has a packet of at most the MTU, which fits 16 bits.
    let total_len = packet.len() as u16;
    let header = &mut packet[..HEADER_LEN];
    header.copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header[2..4].copy_from_slice(&total_len.to_be_bytes());
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let checksum = Sum::ZERO.bytes(header).checksum();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// FIN (RFC 9293 3.1).
pub(crate) const FIN: u8 = 1;
/// SYN.
pub(crate) const SYN: u8 = 2;
/// RST.
pub(crate) const RST: u8 = 4;
/// PSH.
pub(crate) const PSH: u8 = 8;
/// ACK.
pub(crate) const ACK: u8 = 16;

/// A TCP header whose lengths have been proved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) payload_len: u32,
}

impl Tcp {
    /// Sequence numbers that the segment takes.
    pub(crate) fn seq_len(&self) -> u32 {
        self.payload_len + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    #[inline]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Reads a TCP header, `None` for lengths beyond the segment, a port 0, or SYN with FIN or RST
/// (which no host sends).
#[inline(always)]
pub(crate) fn parse_tcp(segment: &[u8]) -> Option<Tcp> {
    let h = segment.first_chunk::<TCP_HEADER_LEN>()?;
    let header_len = usize::from(h[12] >> 4) * 4;
    if header_len < TCP_HEADER_LEN || header_len > segment.len() {
        return None;
    }
    let tcp = Tcp {
        source_port: u16::from_be_bytes([h[0], h[1]]),
        destination_port: u16::from_be_bytes([h[2], h[3]]),
        seq: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
        ack: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
        flags: h[TCP_FLAGS_AT],
        window: u16::from_be_bytes([h[14], h[15]]),
        // A segment lies in a packet of at most 65 535 bytes.
        payload_len: (segment.len() - header_len) as u32,
    };
    let sane =
        tcp.source_port != 0 && tcp.destination_port != 0 && !(tcp.has(SYN) && tcp.flags & (FIN | RST) != 0);
    sane.then_some(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use naio_testkit::Segment;

    fn frame() -> Vec<u8> {
        let segment = Segment::new([10, 0, 0, 2], 7, [10, 0, 0, 1], 9).seq(5).ack(6).payload(b"abc");
        segment.ethernet([2; 6], [4; 6])[14..].to_vec()
    }

    #[test]
    fn reads_what_a_second_opinion_wrote_and_trims_the_padding() {
        let mut bytes = frame();
        bytes.extend_from_slice(&[0xee; 9]);
        let packet = parse(&bytes, false).expect("well formed");
        assert_eq!(packet.ends.source(), Ipv4Addr::new(10, 0, 0, 2));
        assert!(packet.checksum_is_valid());
        let tcp = parse_tcp(packet.payload).expect("well formed");
        assert_eq!((tcp.seq, tcp.ack, tcp.payload_len, tcp.flags), (5, 6, 3, ACK));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = frame();
        for len in 0..bytes.len() {
            assert!(parse(&bytes[..len], true).is_err(), "{len}");
        }
        let tcp = &bytes[20..];
        for len in 0..TCP_HEADER_LEN {
            assert!(parse_tcp(&tcp[..len]).is_none(), "{len}");
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let with = |at: usize, value: u8| {
            let mut bytes = frame();
            bytes[at] = value;
            parse(&bytes, true).map(|_| ())
        };
        assert_eq!(with(0, 0x44), Err(Malformed::Header), "header of 16 bytes");
        assert_eq!(with(0, 0x65), Err(Malformed::Header), "version 6");
        assert_eq!(with(0, 0x4f), Err(Malformed::Header), "header longer than the packet");
        assert_eq!(with(3, 19), Err(Malformed::Header), "total shorter than the header");
        assert_eq!(with(6, 0x20), Err(Malformed::Fragment), "more fragments");
        assert_eq!(with(7, 1), Err(Malformed::Fragment), "not the first fragment");
        let mut bytes = frame();
        bytes[8] ^= 1;
        assert_eq!(parse(&bytes, false).map(|_| ()), Err(Malformed::Checksum));
    }
}
