//! What the card says about a frame's checksums (8254x SDM 3.2.9): receives a frame without FCS and
//! without a stripped tag, hands on which checksums were looked at and which were wrong.

use super::write_back::{error, status};
use crate::parts::Part;
use naio_sys::checksum::Sum;

/// RXCSUM (8254x SDM 13.5.15).
mod rxcsum {
    pub(super) const IPOFLD: u32 = 1 << 8;
    pub(super) const TUOFLD: u32 = 1 << 9;
    pub(super) const IPV6OFL: u32 = 1 << 10;
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Most IPv6 extension headers that are looked through.
const EXTENSIONS_MAX: usize = 8;

/// `Some(true)`: checked and right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) ip: Option<bool>,
    pub(crate) transport: Option<bool>,
}

impl Checked {
    pub(crate) fn status(self) -> u8 {
        match (self.ip, self.transport) {
            (None, None) => status::IXSM,
            (ip, transport) => {
                (if ip.is_some() { status::IPCS } else { 0 })
                    | if transport.is_some() { status::TCPCS } else { 0 }
            }
        }
    }

    pub(crate) fn errors(self) -> u8 {
        let bad = |checked: Option<bool>, bit| if checked == Some(false) { bit } else { 0 };
        bad(self.ip, error::IPE) | bad(self.transport, error::TCPE)
    }
}

/// The raw checksum of everything from `start` on: the complement of the ones' complement sum.
pub(crate) fn raw(frame: &[u8], start: usize) -> u16 {
    frame.get(start..).map_or(0xffff, |bytes| Sum::ZERO.bytes(bytes).checksum())
}

/// Looks at a frame as RXCSUM asks.
pub(crate) fn of(part: Part, rxcsum: u32, frame: &[u8]) -> Checked {
    if !part.has_offloads() || rxcsum & (rxcsum::IPOFLD | rxcsum::TUOFLD) == 0 {
        return Checked::default();
    }
    match network(frame) {
        Some((IPV4, packet)) => ipv4(part, rxcsum, packet).unwrap_or_default(),
        Some((IPV6, packet)) if part.has_rx_ipv6_checksum() && rxcsum & rxcsum::IPV6OFL != 0 => {
            Checked { ip: None, transport: ipv6(rxcsum, packet) }
        }
        _ => Checked::default(),
    }
}

/// Ethertype and network packet, through a tag and SNAP.
fn network(frame: &[u8]) -> Option<(u16, &[u8])> {
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk::<2>()?));
    let mut at = 12;
    let mut kind = word(at)?;
    if kind == VLAN {
        at += 4;
        kind = word(at)?;
    }
    at += 2;
    if kind <= 1500 {
        if frame.get(at..at + 6)? != [0xaa, 0xaa, 3, 0, 0, 0] {
            return None;
        }
        kind = word(at + 6)?;
        at += 8;
    }
    Some((kind, frame.get(at..)?))
}

fn ipv4(part: Part, rxcsum: u32, packet: &[u8]) -> Option<Checked> {
    let header_len = usize::from(packet.first()? & 0xf) * 4;
    if packet[0] >> 4 != 4 || header_len < 20 {
        return None;
    }
    let header = packet.get(..header_len)?;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    let look_at_ip = rxcsum & rxcsum::IPOFLD != 0 && part.has_rx_ip_checksum();
    let ip = look_at_ip.then(|| Sum::ZERO.bytes(header).is_valid());
    let payload = packet.get(header_len..total);
    let transport = match payload {
        Some(payload) if rxcsum & rxcsum::TUOFLD != 0 && !fragment => {
            let protocol = header[9];
            let supported = protocol != UDP || part.has_rx_ip_checksum();
            let pseudo = Sum::ZERO.bytes(&header[12..20]);
            supported.then(|| segment(protocol, pseudo, payload)).flatten()
        }
        _ => None,
    };
    Some(Checked { ip, transport })
}

fn ipv6(rxcsum: u32, packet: &[u8]) -> Option<bool> {
    if rxcsum & rxcsum::TUOFLD == 0 || packet.len() < 40 || packet[0] >> 4 != 6 {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let mut payload = packet.get(40..40 + len)?;
    let mut next = packet[6];
    for _ in 0..EXTENSIONS_MAX {
        let skipped = match next {
            // Hop-by-hop, destination options; routing headers change the destination: not looked at.
            0 | 60 => (usize::from(*payload.get(1)?) + 1) * 8,
            TCP | UDP => return segment(next, Sum::ZERO.bytes(&packet[8..40]), payload),
            _ => return None,
        };
        next = payload[0];
        payload = payload.get(skipped..)?;
    }
    None
}

/// The verdict on a TCP or UDP segment; `None` if it is neither, too short, or UDP without checksum
/// (what silicon says of those is not documented).
fn segment(protocol: u8, addresses: Sum, payload: &[u8]) -> Option<bool> {
    let len = match protocol {
        TCP if payload.len() >= 20 => payload.len(),
        UDP if payload.len() >= 8 && payload[6..8] != [0, 0] => {
            let len = usize::from(u16::from_be_bytes([payload[4], payload[5]]));
            if len < 8 || len > payload.len() {
                return Some(false);
            }
            len
        }
        _ => return None,
    };
    let pseudo = addresses.word(u16::from(protocol)).word(len as u16).word((len >> 16) as u16);
    Some(pseudo.bytes(&payload[..len]).is_valid())
}
