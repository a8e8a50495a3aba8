//! The short way for what most frames of a transfer are: the next segment of the run that the last frame belonged to, or
//! ended.
//!
//! Receives a frame before anybody has taken it apart and compares it with what the next segment of the newest run must
//! look like, byte by byte where that is known. What is not exactly that goes the long way (`ingest`), which decides all
//! the rest; nothing is accepted here that it would not accept: the first segment of the run has been through the guard,
//! and one that differs from it in number and payload alone finds the same verdict.

use crate::Stack;
use crate::coalesce::Run;
use crate::ether;
use crate::ipv4::{self, PSH, TCP_HEADER_LEN};
use crate::packet::PROTOCOL_TCP;
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

/// Fragment offset and flags without DF, and protocol, in the word of RFC 791 3.1 that has them: no fragment, TCP.
const WHOLE_TCP: (u32, u32) = (0x3fff_00ff, PROTOCOL_TCP as u32);
/// Data offset, flags without PSH, and window, in the word of RFC 9293 3.1 that has them.
const SAME: u32 = 0xf0f7_ffff;
/// Version 4, and a header without options.
const PLAIN_IPV4: u8 = 0x45;

/// What the next segment of a run looks like: the parts of both headers that are the same in each. Words are compared as
/// they lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    addresses: u64,
    ports: u32,
    /// [`SAME`] of the first segment.
    rest: u32,
}

impl Expected {
    /// Matches no segment: `SAME` leaves nothing like that.
    pub(crate) const NONE: Expected = Expected { addresses: 0, ports: 0, rest: u32::MAX };

    /// Of a packet that begins with these headers, and has data.
    #[inline(always)]
    pub(crate) fn after(headers: &[u8]) -> Expected {
        match headers.first_chunk::<HEADERS_LEN>() {
            Some(headers) if headers[0] == PLAIN_IPV4 => Expected {
                addresses: u64::from_ne_bytes(part(headers, 12)),
                ports: u32::from_ne_bytes(part(headers, 20)),
                rest: u32::from_ne_bytes(part(headers, 32)) & SAME.to_be(),
            },
            _ => Expected::NONE,
        }
    }

    /// `numbers` are sequence and acknowledgment number, as they follow each other.
    #[inline(always)]
    fn matches(&self, headers: &[u8; HEADERS_LEN], numbers: u64) -> bool {
        let (mask, whole_tcp) = WHOLE_TCP;
        u64::from_be_bytes(part(headers, 24)) == numbers
            && u64::from_ne_bytes(part(headers, 12)) == self.addresses
            && u32::from_ne_bytes(part(headers, 20)) == self.ports
            && u32::from_ne_bytes(part(headers, 32)) & SAME.to_be() == self.rest
            && u32::from_ne_bytes(part(headers, 6)) & mask.to_be() == whole_tcp.to_be()
            && headers[0] == PLAIN_IPV4
    }
}

/// `N` bytes from `at` on, which is known when this is compiled.
#[inline(always)]
fn part<const N: usize>(headers: &[u8; HEADERS_LEN], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&headers[at..at + N]);
    bytes
}

/// How far a run has come while frames are added to it.
struct Reach {
    /// Sequence and acknowledgment number of the next segment.
    numbers: u64,
    room: u32,
}

impl Run {
    #[inline(always)]
    fn reach(&self) -> Reach {
        Reach { numbers: u64::from(self.next) << 32 | u64::from(self.tcp.ack), room: self.room }
    }

    /// How long the payload of this frame is, if the frame is for the station `mac` and continues the run.
    #[inline(always)]
    fn continuation(&self, reach: &Reach, frame: &[u8], mac: [u8; 6], checksum: RxChecksum) -> Option<u32> {
        let whole = frame.first_chunk::<HEADERS>()?;
        let headers = whole.last_chunk::<HEADERS_LEN>()?;
        let total = usize::from(u16::from_be_bytes([headers[2], headers[3]]));
        if !self.expected.matches(headers, reach.numbers)
            || total <= self.headers_len
            || total > frame.len() - IP
            || whole[..6] != mac
            || whole[12..IP] != ether::TYPE_IPV4.to_be_bytes()
            || (checksum != RxChecksum::Good && !is_right(&frame[IP..], total, self.ends))
        {
            return None;
        }
        let len = (total - self.headers_len) as u32;
        let fits = len <= reach.room;
        // There is a byte behind the headers, so they are there.
        let options =
            self.headers_len == HEADERS_LEN || self.has_options(&frame[HEADERS..IP + self.headers_len]);
        (fits && options).then_some(len)
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
        let (mac, pieces, mut reach) = (self.outbox.mac.0, &mut flow.reassembly, run.reach());
        let (before, mut is_last) = (pieces.count(), false);
        while let Some(frame) = frames.as_slice().first() {
            let start = usize::from(frame.offset);
            let bytes = self.store.pool().bytes(&frame.page).get(start..start + usize::from(frame.len));
            let Some(bytes) = bytes else { break };
            let Some(len) = run.continuation(&reach, bytes, mac, frame.checksum) else { break };
            is_last = bytes[TCP + ipv4::TCP_FLAGS_AT] & PSH != 0;
            if run.headers_len > HEADERS_LEN {
                run.set_options(&bytes[HEADERS..IP + run.headers_len]);
            }
            reach.room -= len;
            // What the sequence number carries over is lost, as it should be.
            reach.numbers = reach.numbers.wrapping_add(u64::from(len) << 32);
            let Some(RxFrame { page, offset, .. }) = frames.next() else { break };
            // A page is at most 16 KiB long.
            let start = offset + (IP + run.headers_len) as u16;
            pieces.push_page(Piece::Page { page, start, len: len as u16 });
            if is_last {
                break;
            }
        }
        let (count, len) = (pieces.count() - before, run.room - reach.room);
        self.store.count(count);
        pieces.push_run(count, len as usize);
        if count > 0 && !pieces.listed {
            // The run began with a packet that lay in no page.
            pieces.listed = true;
            self.holders.push(run.index());
        }
        // The first of a run is counted by itself, the first behind one that is over is not.
        let merged = (count - usize::from(run.is_over && count > 0)) as u64;
        flow.meter.segments_received += merged;
        self.counters.rx_tcp_merged += merged;
        self.counters.rx_tcp += count as u64;
        #[cfg(test)]
        crate::data_only::watch::RENEWED.with(|n| n.set(n.get() + u64::from(run.is_over && count > 0)));
        run.is_over &= count == 0;
        run.extend(len, is_last);
        is_last
    }
}

/// Whether both checksums of a packet of `len` bytes are right; `ends` is the part of the pseudo-header that is the same
/// for all of a run.
#[inline(never)]
fn is_right(packet: &[u8], len: usize, ends: Sum) -> bool {
    let parts = packet.get(..len).and_then(|packet| packet.split_first_chunk::<{ ipv4::HEADER_LEN }>());
    let Some((header, segment)) = parts else { return false };
    // A packet is at most 65 535 bytes long.
    Sum::ZERO.array(header).is_valid() && ends.word(segment.len() as u16).bytes(segment).is_valid()
}
