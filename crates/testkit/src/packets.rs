//! UDP datagrams and bare IP packets of both versions, written and read by `etherparse`.

use etherparse::{IpNumber, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use std::net::{IpAddr, SocketAddr};

/// One UDP datagram in one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udp {
    /// From where.
    pub source: SocketAddr,
    /// To where, of the same family.
    pub destination: SocketAddr,
    /// Data.
    pub payload: Vec<u8>,
}

impl Udp {
    /// A datagram.
    #[must_use]
    pub fn new(source: impl Into<SocketAddr>, destination: impl Into<SocketAddr>, payload: &[u8]) -> Udp {
        Udp { source: source.into(), destination: destination.into(), payload: payload.to_vec() }
    }

    /// The whole Ethernet frame, every checksum right, not padded.
    ///
    /// # Panics
    /// If the addresses are of two families.
    #[must_use]
    pub fn ethernet(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(from, to);
        let ip = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => ethernet.ipv4(a.octets(), b.octets(), 64),
            (IpAddr::V6(a), IpAddr::V6(b)) => ethernet.ipv6(a.octets(), b.octets(), 64),
            ends => panic!("two families: {ends:?}"),
        };
        let mut frame = Vec::new();
        let udp = ip.udp(self.source.port(), self.destination.port());
        udp.write(&mut frame, &self.payload).expect("a Vec takes everything");
        frame
    }

    /// Reads a UDP datagram in an Ethernet frame, `None` if it is anything else.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Udp> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (source, destination) = addresses(packet.net.as_ref()?)?;
        let Some(TransportSlice::Udp(udp)) = &packet.transport else { return None };
        Some(Udp {
            source: (source, udp.source_port()).into(),
            destination: (destination, udp.destination_port()).into(),
            payload: udp.payload().to_vec(),
        })
    }
}

fn addresses(net: &NetSlice<'_>) -> Option<(IpAddr, IpAddr)> {
    match net {
        NetSlice::Ipv4(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        NetSlice::Ipv6(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        NetSlice::Arp(_) => None,
    }
}

/// An IP packet of any protocol in an Ethernet frame, with a hop limit. Its payload is as given.
///
/// # Panics
/// If the addresses are of two families.
#[must_use]
pub fn ip(
    (from, to): ([u8; 6], [u8; 6]),
    (source, destination): (IpAddr, IpAddr),
    (protocol, hop_limit): (u8, u8),
    payload: &[u8],
) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(from, to);
    let builder = match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => ethernet.ipv4(a.octets(), b.octets(), hop_limit),
        (IpAddr::V6(a), IpAddr::V6(b)) => ethernet.ipv6(a.octets(), b.octets(), hop_limit),
        ends => panic!("two families: {ends:?}"),
    };
    let mut frame = Vec::new();
    builder.write(&mut frame, IpNumber(protocol), payload).expect("a Vec takes everything");
    frame
}

/// Cuts the IPv4 packet of a frame into fragments of `step` bytes of payload each (a multiple of
/// eight), with identification `id`.
///
/// # Panics
/// If the frame is no IPv4 packet with a header of 20 bytes.
#[must_use]
pub fn cut(frame: &[u8], step: usize, id: u16) -> Vec<Vec<u8>> {
    assert_eq!(frame[12..15], [8, 0, 0x45]);
    let payload = &frame[34..];
    let count = payload.len().div_ceil(step);
    let piece = |n: usize| {
        let part = &payload[n * step..payload.len().min((n + 1) * step)];
        let mut piece = frame[..34].to_vec();
        piece.extend_from_slice(part);
        piece[16..18].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
        piece[18..20].copy_from_slice(&id.to_be_bytes());
        let field = (n * step / 8) as u16 | if n + 1 < count { 0x2000 } else { 0 };
        piece[20..22].copy_from_slice(&field.to_be_bytes());
        piece[24..26].fill(0);
        let checksum = !crate::sum::folded(&[&piece[14..34]]);
        piece[24..26].copy_from_slice(&checksum.to_be_bytes());
        piece
    };
    (0..count).map(piece).collect()
}
