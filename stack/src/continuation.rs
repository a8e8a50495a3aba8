//! The short way for what most frames of a transfer are: the next segment of the run that the last frame belonged to.
//!
//! Receives a frame before anybody has taken it apart and compares it with what the next segment of the newest run must
//! look like, byte by byte where that is known. What is not exactly that goes the long way (`ingest`), which decides all
//! the rest; nothing is accepted here that it would not accept: the first segment of the run has been through the guard,
//! and one that differs from it in number and payload alone finds the same verdict.

use crate::Stack;
use crate::coalesce::Run;
use crate::ether;
use crate::ipv4::{self, PSH, TCP_HEADER_LEN};
use crate::receive::has_reader;
use crate::store::Piece;
use naio_nic::{RxChecksum, RxFrame};
use naio_sys::checksum::Sum;
use std::vec::Drain;

/// Where the parts of a segment without IP options begin in its frame.
const IP: usize = ether::HEADER_LEN;
const TCP: usize = IP + ipv4::HEADER_LEN;
const HEADERS: usize = TCP + TCP_HEADER_LEN;
/// Bytes of the two headers.
const HEADERS_LEN: usize = ipv4::HEADER_LEN + TCP_HEADER_LEN;

/// The bits of both headers, eight bytes at a time, that are the same in each segment of a run; numbers of RFC 791 3.1
/// and RFC 9293 3.1. Version and header length, fragmentation; protocol and source; destination and ports; sequence
/// and acknowledgment number; data offset, flags without PSH, window.
const SAME: [u64; 5] = [
    0xff00_0000_0000_3fff_u64.to_be(),
    0x00ff_0000_ffff_ffff_u64.to_be(),
    u64::MAX,
    u64::MAX,
    0xf0f7_ffff_0000_0000_u64.to_be(),
];
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
        expected[NUMBERS] = (u64::from(next) << 32 | u64::from(ack)).to_be();
        (0..5).fold(0, |other, n| other | ((word(headers, 8 * n) & SAME[n]) ^ expected[n])) == 0
    }
}

#[inline(always)]
fn word(headers: &[u8; HEADERS_LEN], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&headers[at..at + 8]);
    u64::from_ne_bytes(bytes)
}

impl Run {
    /// Where the payload of this frame begins in its packet, and how long it is, if the frame is for the station `mac`
    /// and continues the run.
    #[inline(always)]
    fn continuation(&self, frame: &[u8], mac: [u8; 6], checksum: RxChecksum) -> Option<(usize, u32)> {
        let (link, packet) = frame.split_first_chunk::<IP>()?;
        let headers = packet.first_chunk::<HEADERS_LEN>()?;
        let total = usize::from(u16::from_be_bytes([headers[2], headers[3]]));
        if !self.expected.matches(headers, self.next, self.tcp.ack)
            || total <= self.headers_len
            || total > packet.len()
            || link[..6] != mac
            || link[12..] != ether::TYPE_IPV4.to_be_bytes()
            || (checksum != RxChecksum::Good && !is_right(packet, total, self.ends))
        {
            return None;
        }
        let len = (total - self.headers_len) as u32;
        let fits = len <= self.room;
        // There is a byte behind the headers, so they are there.
        let options =
            self.headers_len == HEADERS_LEN || self.has_options(&frame[HEADERS..IP + self.headers_len]);
        (fits && options).then_some((self.headers_len, len))
    }
}

impl Stack {
    /// Takes frames as long as they continue the newest run, or one that has just ended with PSH.
    #[inline(never)]
    pub(crate) fn follow(&mut self, frames: &mut Drain<'_, RxFrame>) {
        while self.gather(frames) && self.end_newest() {}
        if self.runs.last().is_some_and(|run| run.is_over) {
            self.runs.truncate(self.runs.len() - 1);
        }
    }

    /// Adds frames to the newest run as long as they continue it; says whether the last one has PSH. Everything that is
    /// the same for all of them is looked up once.
    #[inline(always)]
    fn gather(&mut self, frames: &mut Drain<'_, RxFrame>) -> bool {
        let Some(run) = self.runs.last_mut() else { return false };
        let Some(flow) = self.flows.at_mut(run.index()).filter(has_reader) else { return false };
        let (mac, pieces) = (self.outbox.mac.0, &mut flow.reassembly);
        let (mut count, mut len_of_all, mut is_last) = (0, 0, false);
        while let Some(frame) = frames.as_slice().first().filter(|_| !is_last) {
            let start = usize::from(frame.offset);
            let bytes = self.store.pool().bytes(&frame.page).get(start..start + usize::from(frame.len));
            let Some(bytes) = bytes else { break };
            let Some((from, len)) = run.continuation(bytes, mac, frame.checksum) else { break };
            is_last = bytes[TCP + ipv4::TCP_FLAGS_AT] & PSH != 0;
            run.extend(&bytes[HEADERS..IP + from], len, is_last);
            let Some(RxFrame { page, offset, .. }) = frames.next() else { break };
            // A page is at most 16 KiB long.
            pieces.push_page(Piece::Page { page, start: offset + (IP + from) as u16, len: len as u16 });
            count += 1;
            len_of_all += len as usize;
        }
        // The first of a run is counted by itself, the first behind one that is over is not.
        self.counters.rx_tcp_merged += (count - usize::from(run.is_over && count > 0)) as u64;
        self.counters.rx_tcp += count as u64;
        run.is_over &= count == 0;
        self.store.count(count);
        pieces.push_run(count, len_of_all);
        pieces.count_pages(count);
        is_last
    }
}

/// Whether both checksums of a packet of `len` bytes are right; `ends` is the part of the pseudo-header that is the same
/// for all of a run.
#[inline(never)]
fn is_right(packet: &[u8], len: usize, ends: Sum) -> bool {
    let Some((header, segment)) = packet[..len].split_at_checked(ipv4::HEADER_LEN) else { return false };
    // A packet is at most 65 535 bytes long.
    Sum::ZERO.bytes(header).is_valid() && ends.word(segment.len() as u16).bytes(segment).is_valid()
}
