//! Ethernet: whose frame it is and what is in it.
//!
//! Receives the bytes of a frame and hands on its payload; it looks no further.

use naio_nic::Mac;

/// Bytes of the header: destination, source, type.
pub(crate) const HEADER_LEN: usize = 14;
/// EtherType of IPv4 (RFC 894).
pub(crate) const TYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6 (RFC 2464 3).
pub(crate) const TYPE_IPV6: u16 = 0x86dd;
/// EtherType of ARP (RFC 826).
pub(crate) const TYPE_ARP: u16 = 0x0806;

/// A frame taken apart.
pub(crate) struct Frame<'a> {
    pub(crate) destination: Mac,
    pub(crate) source: Mac,
    pub(crate) ether_type: u16,
    pub(crate) payload: &'a [u8],
}

/// Takes a frame apart, `None` if it is shorter than a header.
#[inline]
pub(crate) fn parse(bytes: &[u8]) -> Option<Frame<'_>> {
    let (header, payload) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
    Some(Frame {
        destination: Mac([d0, d1, d2, d3, d4, d5]),
        source: Mac([s0, s1, s2, s3, s4, s5]),
        ether_type: u16::from_be_bytes([t0, t1]),
        payload,
    })
}

/// Writes a header into the first 14 bytes of `frame`.
#[inline]
pub(crate) fn write_header(frame: &mut [u8], destination: Mac, source: Mac, ether_type: u16) {
    frame[0..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
    frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
}
