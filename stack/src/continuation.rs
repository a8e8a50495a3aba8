//! The short way for what most frames of a transfer are: the next segment of the run that the last frame belonged to.
//!
//! Receives a frame before anybody has taken it apart and compares it with what the next segment of the newest run must
//! look like, byte by byte where that is known. What is not exactly that goes the long way (`ingest`), which decides all
//! the rest; nothing is accepted here that it would not accept: the first segment of the run has been through the guard,
//! and one that differs from it in number and payload alone finds the same verdict.

use crate::Stack;
use crate::coalesce::{LEN_MAX, Run, reaches};
use crate::ether;
use crate::ipv4::{self, ACK, PSH, TCP_HEADER_LEN};
use crate::packet::{PROTOCOL_TCP, Packet};
use crate::receive::{Keep, Then};
use naio_sys::checksum::Sum;

/// Where the parts of a segment without IP options begin in its frame.
const IP: usize = ether::HEADER_LEN;
const TCP: usize = IP + ipv4::HEADER_LEN;
const HEADERS: usize = TCP + TCP_HEADER_LEN;
/// EtherType, and the version and header length of an IPv4 packet without options.
const PLAIN: [u8; 3] = [0x08, 0x00, 0x45];

impl Run {
    /// Where the payload of this frame begins in its packet, and how long it is, if the frame continues the run.
    #[inline(always)]
    fn continuation(&self, frame: &[u8]) -> Option<(usize, u32)> {
        let h = frame.first_chunk::<HEADERS>()?;
        let word = |at: usize| u32::from_be_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([h[at], h[at + 1]]);
        let total = usize::from(half(IP + 2));
        // Addresses and ports lie side by side; the run has them at the same place of its packet.
        let is_same = self.is_short
            && h[12..15] == PLAIN
            && half(IP + 6) & ipv4::FRAGMENT_BITS == 0
            && h[IP + 9] == PROTOCOL_TCP
            && h[IP + 12..TCP + 4] == self.headers[12..24]
            && word(TCP + 4) == self.next
            && word(TCP + 8) == self.tcp.ack
            && h[TCP + 12] >> 4 == self.headers[32] >> 4
            && h[TCP + ipv4::TCP_FLAGS_AT] & !PSH == ACK
            && half(TCP + 14) == self.tcp.window;
        if !is_same || total <= self.headers_len || total > frame.len() - IP {
            return None;
        }
        let len = (total - self.headers_len) as u32;
        let fits = reaches(self.edge, self.next.wrapping_add(len))
            && self.headers_len + (self.tcp.payload_len + len) as usize <= LEN_MAX;
        // There is a byte behind the headers, so they are there.
        let options = self.headers_len == HEADERS - IP || self.has_options(&frame[HEADERS..IP + self.headers_len]);
        (fits && options).then_some((self.headers_len, len))
    }
}

impl Stack {
    /// Adds a frame to the newest run, if it continues that; says what is to be kept.
    #[inline(always)]
    pub(crate) fn continued(&mut self, frame: &[u8], verified: bool) -> Option<Keep> {
        let run = self.runs.last_mut()?;
        let (start, len) = run.continuation(frame)?;
        if frame[..6] != self.outbox.mac.0 || (!verified && !is_right(frame, start + len as usize)) {
            return None;
        }
        let is_last = frame[TCP + ipv4::TCP_FLAGS_AT] & PSH != 0;
        run.extend(&frame[HEADERS..IP + start], len, is_last);
        self.counters.rx_tcp += 1;
        self.counters.rx_tcp_merged += 1;
        let then = if is_last { Then::Flush } else { Then::Wait };
        // A packet is at most 65 535 bytes long.
        Some(Keep { index: run.index(), start: start as u16, len: len as u16, then })
    }
}

/// Whether both checksums of a packet of `len` bytes are right.
#[inline(never)]
fn is_right(frame: &[u8], len: usize) -> bool {
    let (bytes, Some(header)) = (&frame[IP..IP + len], frame[IP..].first_chunk()) else { return false };
    let payload = &bytes[ipv4::HEADER_LEN..];
    let packet = Packet { ends: ipv4::ends(header), protocol: PROTOCOL_TCP, bytes, payload };
    Sum::ZERO.bytes(header).is_valid() && packet.checksum_is_valid()
}
