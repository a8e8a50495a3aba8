//! The software segmenter: what each segment of a long TCP packet looks like (RFC 9293 3.1, RFC 791 3.1).
//!
//! Receives the headers of a packet that is to be cut and writes the headers of one segment after the other, and
//! says which stretch of the fragments follows them. It never touches payload: the checksum is left for the card
//! to complete.

use naio_dma::DmaSlice;
use naio_nic::{ExtentId, TxChecksum, TxPacket};
use naio_sys::checksum::Sum;

/// Offsets in an IPv4 header (RFC 791 3.1).
const IPV4_LEN: usize = 2;
const IPV4_ID: usize = 4;
const IPV4_CHECKSUM: usize = 10;
/// Payload length in an IPv6 header, and the bytes that it does not count (RFC 8200 3).
const IPV6_LEN: usize = 4;
const IPV6_HEADER_LEN: usize = 40;
/// Offsets in a TCP header (RFC 9293 3.1).
const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
/// FIN and PSH belong to the last byte.
const LAST_FLAGS: u8 = 0x09;

/// How far a packet has been cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segmenter {
    mss: u32,
    /// Payload that is still to go.
    left: u32,
    sent: u32,
    count: u16,
    /// The next byte of payload: a fragment, and how far into it.
    fragment: usize,
    at: u32,
    ended: bool,
}

impl Segmenter {
    pub(crate) fn new(mss: u16, payload: u32) -> Segmenter {
        Segmenter { mss: mss.into(), left: payload, sent: 0, count: 0, fragment: 0, at: 0, ended: false }
    }

    /// Whether the last segment has been taken.
    pub(crate) fn is_done(&self) -> bool {
        self.ended
    }

    /// Whether the first segment has been taken.
    pub(crate) fn has_begun(&self) -> bool {
        self.ended || self.sent > 0
    }

    /// Payload bytes of the next segment; none in a packet without payload.
    pub(crate) fn len(&self) -> u32 {
        self.left.min(self.mss)
    }

    /// Fragments that the next segment takes bytes from.
    pub(crate) fn fragments(&self, packet: &TxPacket) -> u32 {
        let mut covered = 0;
        let mut count = 0;
        for fragment in packet.fragments.iter().skip(self.fragment) {
            if covered >= self.len() {
                break;
            }
            covered += fragment.slice.len() - if count == 0 { self.at } else { 0 };
            count += 1;
        }
        count
    }

    /// Makes the packet's header, a copy of which is in `header`, that of the next segment.
    pub(crate) fn write_header(&self, header: &mut [u8], checksum: TxChecksum) {
        let (ip_start, start) = (usize::from(checksum.ip_start), usize::from(checksum.start));
        // A frame is shorter than 64 KB: the judge has seen to that, and to the headers' lengths.
        let transport_len = (header.len() - start) as u16 + self.len() as u16;
        let (ip, tcp) = header[ip_start..].split_at_mut(start - ip_start);
        if checksum.ipv4 {
            change(ip, IPV4_LEN, |_| ip_len(ip_start, start, transport_len));
            change(ip, IPV4_ID, |first| first.wrapping_add(self.count));
            change(ip, IPV4_CHECKSUM, |_| 0);
            let sum = Sum::ZERO.bytes(ip).checksum();
            change(ip, IPV4_CHECKSUM, |_| sum);
        } else {
            change(ip, IPV6_LEN, |_| ip_len(ip_start, start, transport_len) - IPV6_HEADER_LEN as u16);
        }
        if let Some(sequence) = tcp[TCP_SEQUENCE..].first_chunk_mut() {
            *sequence = u32::from_be_bytes(*sequence).wrapping_add(self.sent).to_be_bytes();
        }
        if self.len() < self.left {
            tcp[TCP_FLAGS] &= !LAST_FLAGS;
        }
        change(tcp, TCP_CHECKSUM, |seed| Sum::ZERO.word(seed).word(transport_len).folded());
    }

    /// Takes the next segment: its payload goes to `put`, piece by piece, with the extent where that was the last
    /// of its fragment, and whether it is the last of the segment.
    pub(crate) fn take(&mut self, packet: &TxPacket, mut put: impl FnMut(DmaSlice, Option<ExtentId>, bool)) {
        let len = self.len();
        let mut wanted = len;
        while wanted > 0 {
            let Some(fragment) = packet.fragments.get(self.fragment) else { break };
            let Some((_, rest)) = fragment.slice.split_at(self.at) else { break };
            let Some((part, behind)) = rest.split_at(wanted.min(rest.len())) else { break };
            wanted -= part.len();
            if behind.len() == 0 {
                self.fragment += 1;
                self.at = 0;
                put(part, Some(fragment.extent), wanted == 0);
            } else {
                self.at += part.len();
                put(part, None, wanted == 0);
            }
        }
        self.left -= len;
        self.sent += len;
        self.count = self.count.wrapping_add(1);
        self.ended = self.left == 0;
    }
}

/// Everything from the IP header on.
fn ip_len(ip_start: usize, start: usize, transport_len: u16) -> u16 {
    (start - ip_start) as u16 + transport_len
}

/// Changes the big-endian word at `at`, if the header has it.
fn change(header: &mut [u8], at: usize, how: impl FnOnce(u16) -> u16) {
    if let Some(word) = header.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *word = how(u16::from_be_bytes(*word)).to_be_bytes();
    }
}
