//! IPv6 headers, checked against the bytes that are really there (RFC 8200).
//!
//! Receives the payload of a frame and hands on a packet whose every length has been proved, its
//! extension headers walked over, or the reason why not.

use crate::packet::{Ends, Packet};
use std::net::Ipv6Addr;

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 40;
/// ICMPv6 (RFC 4443).
pub(crate) const PROTOCOL_ICMPV6: u8 = 58;
/// What we put into the hop limit of ordinary packets.
const HOP_LIMIT: u8 = 64;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
/// The fragment header (RFC 8200 4.5).
pub(crate) const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// Most extension headers we walk over: two of each kind that exists here.
const EXTENSIONS_MAX: usize = 8;
/// Most options in one header that we look at (RFC 8504 5.3 suggests 8 as a default).
const OPTIONS_MAX: usize = 16;

/// Why a packet is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Header,
    /// Extension headers that are too many, do not end, or hold what we must not ignore.
    Extension,
}

/// A packet taken apart.
pub(crate) enum Parsed<'a> {
    Whole {
        packet: Packet<'a>,
        /// Extension headers lie between the header and the payload.
        extended: bool,
        hop_limit: u8,
    },
    /// `unfragmentable` is everything in front of the fragment header.
    Fragment {
        ends: Ends,
        protocol: u8,
        id: u32,
        /// In bytes.
        offset: usize,
        more: bool,
        payload: &'a [u8],
    },
}

/// Takes a packet apart.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let header = bytes.first_chunk::<HEADER_LEN>().ok_or(Malformed::Header)?;
    let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 {
        return Err(Malformed::Header);
    }
    let bytes = bytes.get(..HEADER_LEN + payload_len).ok_or(Malformed::Header)?;
    let ends = ends(header);
    let hop_limit = header[7];
    let mut next = header[6];
    let mut rest = &bytes[HEADER_LEN..];
    for count in 0..=EXTENSIONS_MAX {
        match next {
            HOP_BY_HOP if count > 0 => return Err(Malformed::Extension),
            HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING => {
                let (&[following, len], _) = rest.split_first_chunk().ok_or(Malformed::Extension)?;
                let len = (usize::from(len) + 1) * 8;
                let (extension, behind) = rest.split_at_checked(len).ok_or(Malformed::Extension)?;
                let good = match next {
                    // Segments left means that we are not where it ends; we route for nobody.
                    ROUTING => extension[3] == 0,
                    _ => options_are_harmless(&extension[2..]),
                };
                if !good {
                    return Err(Malformed::Extension);
                }
                (next, rest) = (following, behind);
            }
            FRAGMENT => return fragment(ends, rest),
            _ => {
                let packet = Packet { ends, protocol: next, bytes, payload: rest };
                return Ok(Parsed::Whole { packet, extended: count > 0, hop_limit });
            }
        }
    }
    Err(Malformed::Extension)
}

fn fragment(ends: Ends, rest: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let (&[protocol, _, high, low, a, b, c, d], payload) =
        rest.split_first_chunk().ok_or(Malformed::Extension)?;
    let field = u16::from_be_bytes([high, low]);
    Ok(Parsed::Fragment {
        ends,
        protocol,
        id: u32::from_be_bytes([a, b, c, d]),
        offset: usize::from(field & !7),
        more: field & 1 != 0,
        payload,
    })
}

/// Whether every option may be skipped (RFC 8200 4.2: the two highest bits of its type are zero).
fn options_are_harmless(mut options: &[u8]) -> bool {
    for _ in 0..OPTIONS_MAX {
        match *options {
            [] => return true,
            // Pad1 has no length.
            [0, ..] => options = &options[1..],
            [kind, len, ref behind @ ..] if kind >> 6 == 0 => match behind.get(usize::from(len)..) {
                Some(behind) => options = behind,
                None => return false,
            },
            _ => return false,
        }
    }
    options.is_empty()
}

/// The addresses in a header.
pub(crate) fn ends(header: &[u8; HEADER_LEN]) -> Ends {
    let at = |start: usize| -> [u8; 16] { std::array::from_fn(|n| header[start + n]) };
    Ends::V6 { source: at(8).into(), destination: at(24).into() }
}

/// Writes a header into the first 40 bytes of `packet`.
pub(crate) fn write_header(packet: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr, next: u8) {
    // Whoever calls this has a packet of at most 65 535 bytes.
    let payload_len = (packet.len() - HEADER_LEN) as u16;
    let header = &mut packet[..HEADER_LEN];
    header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    header[4..6].copy_from_slice(&payload_len.to_be_bytes());
    header[6] = next;
    header[7] = HOP_LIMIT;
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
}
