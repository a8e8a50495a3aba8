//! The short way for what most frames of a transfer are: the next segment of the run that the last frame belonged to.
//!
//! Receives a frame before anybody has taken it apart and compares it with what the next segment of the newest run must
//! look like, byte by byte where that is known. What is not exactly that goes the long way (`ingest`), which decides all
//! the rest; nothing is accepted here that it would not accept: the first segment of the run has been through the guard,
//! and one that differs from it in number and payload alone finds the same verdict.

use crate::Stack;
use crate::coalesce::{LEN_MAX, Run, reaches};
use crate::ether;
use crate::ipv4::{self, PSH, TCP_HEADER_LEN};
use crate::packet::{PROTOCOL_TCP, Packet};
use crate::receive::{Keep, Then};
use naio_sys::checksum::Sum;

/// Where the parts of a segment without IP options begin in its frame.
const IP: usize = ether::HEADER_LEN;
const TCP: usize = IP + ipv4::HEADER_LEN;
const HEADERS: usize = TCP + TCP_HEADER_LEN;
/// Bytes of the two headers.
const HEADERS_LEN: usize = ipv4::HEADER_LEN + TCP_HEADER_LEN;

/// The bits of both headers, eight bytes at a time, that are the same in each segment of a run; numbers of RFC 791 3.1
/// and RFC 9293 3.1. Version and header length, fragmentation; protocol and source; destination and ports; sequence
/// and acknowledgment number; data offset, flags without PSH, window.
const SAME: [u64; 5] =
    [0xff00_0000_0000_3fff, 0x00ff_0000_ffff_ffff, u64::MAX, u64::MAX, 0xf0f7_ffff_0000_0000];
/// The word with sequence and acknowledgment number.
const NUMBERS: usize = 3;

/// What the next segment of a run looks like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected([u64; 5]);

impl Expected {
    /// Of a packet that begins with these headers, and has data.
    #[inline(always)]
    pub(crate) fn after(headers: &[u8]) -> Expected {
        let mut words = [0; 5];
        // Headers of another form match nothing: no segment has version 0.
        if let Some(headers) = headers.first_chunk::<HEADERS_LEN>().filter(|headers| headers[0] == 0x45) {
            (0..5).for_each(|n| words[n] = word(headers, 8 * n) & SAME[n]);
        }
        Expected(words)
    }

    #[inline(always)]
    fn matches(&self, headers: &[u8; HEADERS_LEN], next: u32, ack: u32) -> bool {
        let mut expected = self.0;
        expected[NUMBERS] = u64::from(next) << 32 | u64::from(ack);
        (0..5).fold(0, |other, n| other | ((word(headers, 8 * n) & SAME[n]) ^ expected[n])) == 0
    }
}

#[inline(always)]
fn word(headers: &[u8; HEADERS_LEN], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&headers[at..at + 8]);
    u64::from_be_bytes(bytes)
}

impl Run {
    /// Where the payload of this frame begins in its packet, and how long it is, if the frame continues the run.
    #[inline(always)]
    fn continuation(&self, frame: &[u8]) -> Option<(usize, u32)> {
        let headers = frame.get(IP..)?.first_chunk::<HEADERS_LEN>()?;
        let total = usize::from(u16::from_be_bytes([headers[2], headers[3]]));
        if !self.expected.matches(headers, self.next, self.tcp.ack)
            || total <= self.headers_len
            || total > frame.len() - IP
        {
            return None;
        }
        let len = (total - self.headers_len) as u32;
        let fits = reaches(self.edge, self.next.wrapping_add(len))
            && self.headers_len + (self.tcp.payload_len + len) as usize <= LEN_MAX;
        // There is a byte behind the headers, so they are there.
        let options =
            self.headers_len == HEADERS_LEN || self.has_options(&frame[HEADERS..IP + self.headers_len]);
        (fits && options).then_some((self.headers_len, len))
    }
}

impl Stack {
    /// Adds a frame to the newest run, if it continues that; says what is to be kept.
    #[inline(always)]
    pub(crate) fn continued(&mut self, frame: &[u8], verified: bool) -> Option<Keep> {
        let run = self.runs.last_mut()?;
        let (start, len) = run.continuation(frame)?;
        let (is_ours, is_ip) =
            (frame[..6] == self.outbox.mac.0, frame[12..IP] == ether::TYPE_IPV4.to_be_bytes());
        if !is_ours || !is_ip || (!verified && !is_right(frame, start + len as usize)) {
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
