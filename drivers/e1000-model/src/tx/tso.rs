//! TCP segmentation (8254x SDM 3.5): one large packet in, many frames out.
//!
//! Receives data descriptors with TSE and cuts one segment per call, so that not even a hostile
//! context makes a call long. The header is kept in a store of 240 bytes as on the chip.

use super::desc::{Context, Descriptor, Kind};
use super::emit::FIFO_SLACK;
use super::{PACKET_LEN_MAX, Packet};
use crate::core::{Core, RingShape};
use crate::stats;
use crate::violation::{Ring, Wrong};

/// The on-chip store for headers.
const HEADER_LEN_MAX: usize = 240;
/// TCP flags that only the last segment keeps: FIN and PSH.
const LAST_FLAGS: u8 = 0x09;

/// A segmentation under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segmenting {
    header: [u8; HEADER_LEN_MAX],
    have: usize,
    /// Payload bytes that left.
    sent: usize,
    segments: u16,
    /// The descriptor being read, and how far.
    ring: RingShape,
    descriptor: Descriptor,
    taken: usize,
    /// The descriptor is not used up.
    reading: bool,
}

impl Segmenting {
    /// Whether the descriptor at hand has not been used up.
    pub(crate) fn has_data(self) -> bool {
        self.reading
    }
}

impl Core {
    /// A data descriptor with TSE: cutting begins, or goes on with it.
    pub(super) fn segment_data(&mut self, ring: RingShape, descriptor: Descriptor) {
        let mut packet = self.packet(ring, descriptor, Kind::Data);
        let context = self.tx.segmentation;
        // What cannot be cut is consumed, and counted and blamed at its end.
        packet.failed |= self.tx.packet.is_none() && !self.can_segment(context);
        self.tx.packet = Some(packet);
        let mut state = self.tx.segmenting.unwrap_or(Segmenting {
            header: [0; HEADER_LEN_MAX],
            have: 0,
            sent: 0,
            segments: 0,
            ring,
            descriptor,
            taken: 0,
            reading: true,
        });
        (state.ring, state.descriptor, state.taken, state.reading) = (ring, descriptor, 0, true);
        self.tx.segmenting = Some(state);
        self.cut_segment();
    }

    fn can_segment(&self, context: Context) -> bool {
        self.part.has_tso()
            && (1..=HEADER_LEN_MAX).contains(&context.header_len)
            && context.mss > 0
            && context.header_len + context.mss <= PACKET_LEN_MAX
            && context.header_len + context.mss + FIFO_SLACK <= self.tx_fifo_len()
    }

    /// What the recipe asks of the headers, now that they are all there (8254x SDM 3.5.4 to 3.5.7).
    fn check_headers(&mut self, state: &Segmenting, context: Context, first: Descriptor) {
        let place = state.ring.head;
        if !context.ipv4 {
            self.blame_at(Wrong::SegmentationOfIpv6, Ring::Transmit, place);
            return;
        }
        let word =
            |at: usize| state.header.get(at..at + 2).map_or(0, |word| u16::from_be_bytes([word[0], word[1]]));
        let (len, checksum) = (word(context.ip.start + 2), word(context.ip.offset));
        if len != 0 || first.ixsm() && checksum != 0 {
            self.blame_at(Wrong::SegmentationHeader { len, checksum }, Ring::Transmit, place);
        }
    }

    /// Takes what the descriptor at hand still has, up to the end of one segment.
    pub(super) fn cut_segment(&mut self) {
        let Some(mut state) = self.tx.segmenting.take() else { return };
        let Some(mut packet) = self.tx.packet else { return };
        let context = self.tx.segmentation;
        let descriptor = state.descriptor;
        let len = if descriptor.low == 0 { 0 } else { descriptor.len() };
        if !packet.failed && state.taken < len {
            packet.failed = !self.take(&mut state, context, packet.first, len);
        }
        if packet.failed {
            state.taken = len;
        }
        let full = self.tx.out.bytes.len() >= context.header_len + context.mss;
        let all =
            state.sent + self.tx.out.bytes.len().saturating_sub(context.header_len) >= context.payload_len;
        let ended = state.taken >= len && descriptor.eop();
        if !packet.failed && state.have == context.header_len && (full || all || ended) {
            self.send_segment(&mut state, context, packet, all || ended);
        }
        self.tx.packet = Some(packet);
        if state.taken < len {
            self.tx.segmenting = Some(state);
            return;
        }
        let ring = state.ring;
        state.reading = false;
        if descriptor.eop() {
            self.end_segmentation(&state, context, packet);
        } else {
            self.tx.segmenting = Some(state);
        }
        self.retire(ring, descriptor);
    }

    /// Header bytes first, then payload up to MSS; false if memory was not there.
    fn take(&mut self, state: &mut Segmenting, context: Context, first: Descriptor, len: usize) -> bool {
        let index = state.ring.head;
        let iova = |taken: usize| state.descriptor.low.wrapping_add(taken as u64);
        if state.have < context.header_len {
            let want = (context.header_len - state.have).min(len - state.taken);
            let into = &mut state.header[state.have..state.have + want];
            if self.bus.read(iova(state.taken), into).is_err() {
                self.blame_at(
                    Wrong::DmaOutside { iova: iova(state.taken), len: want },
                    Ring::Transmit,
                    index,
                );
                return false;
            }
            state.have += want;
            state.taken += want;
            let whole = [context.ip.start, context.transport.start, context.header_len].contains(&state.have);
            if !whole {
                self.blame_at(Wrong::HeaderCut { at: state.have }, Ring::Transmit, index);
            }
            if state.have == context.header_len {
                self.check_headers(state, context, first);
            }
        }
        if state.have < context.header_len || state.taken >= len {
            return true;
        }
        if self.tx.out.bytes.is_empty() {
            self.tx.out.bytes.extend_from_slice(&state.header[..context.header_len]);
        }
        let room = (context.header_len + context.mss).saturating_sub(self.tx.out.bytes.len());
        let left =
            context.payload_len.saturating_sub(state.sent + self.tx.out.bytes.len() - context.header_len);
        let want = room.min(left).min(len - state.taken);
        if want == 0 {
            // More data than PAYLEN says.
            return false;
        }
        let from = iova(state.taken);
        state.taken += want;
        self.fetch(index, from, want)
    }

    fn send_segment(&mut self, state: &mut Segmenting, context: Context, packet: Packet, last: bool) {
        let mut bytes = std::mem::take(&mut self.tx.out.bytes);
        if bytes.is_empty() {
            bytes.extend_from_slice(&state.header[..context.header_len]);
        }
        let payload = bytes.len() - context.header_len;
        if payload == 0 && state.segments > 0 {
            self.tx.out.bytes = bytes;
            self.tx.out.bytes.clear();
            return;
        }
        let fits = context.patch(&mut bytes, state.segments, state.sent, last);
        let length = bytes.len().saturating_sub(context.transport.start);
        let inside = context.insert(packet.first, &mut bytes, length);
        if !fits || !inside {
            self.blame_at(Wrong::OffloadOutside, Ring::Transmit, state.ring.head);
        }
        self.tx.out.bytes = bytes;
        state.sent += payload;
        state.segments = state.segments.wrapping_add(1);
        self.emit(state.ring.head, packet.first);
        self.tx.out.bytes.clear();
    }

    fn end_segmentation(&mut self, state: &Segmenting, context: Context, packet: Packet) {
        let complete = !packet.failed && state.sent == context.payload_len;
        if complete {
            self.stats.add(stats::TSCTC, 1);
        } else {
            self.stats.add(stats::TSCTFC, 1);
            let wrong = Wrong::BadSegmentation {
                header: context.header_len,
                mss: context.mss,
                payload: context.payload_len,
            };
            self.blame_at(wrong, Ring::Transmit, state.ring.head);
        }
        self.tx.packet = None;
        self.tx.segmenting = None;
        self.tx.out.bytes.clear();
    }
}

impl Context {
    /// Makes the header that of segment `n`, which starts `sent` bytes into the payload.
    fn patch(&self, bytes: &mut [u8], n: u16, sent: usize, last: bool) -> bool {
        let len = bytes.len();
        let (ip, transport) = (self.ip.start, self.transport.start);
        let ip_len = len.saturating_sub(ip) as u16;
        let fits = if self.ipv4 {
            // Total length, and the identification counts up.
            put(bytes, ip + 2, |_| ip_len) & put(bytes, ip + 4, |id| id.wrapping_add(n))
        } else {
            // The datasheet's formula counts the IPv6 header too (8254x SDM 3.5.7).
            put(bytes, ip + 4, |_| ip_len)
        };
        if !self.tcp {
            return fits & put(bytes, transport + 4, |_| len.saturating_sub(transport) as u16);
        }
        let Some(header) = bytes.get_mut(transport..).and_then(|tcp| tcp.first_chunk_mut::<14>()) else {
            return false;
        };
        let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        header[4..8].copy_from_slice(&sequence.wrapping_add(sent as u32).to_be_bytes());
        if !last {
            header[13] &= !LAST_FLAGS;
        }
        fits
    }
}

/// Changes the big-endian word at `at`; false if the frame ends before.
fn put(bytes: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) -> bool {
    let Some(word) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) else { return false };
    *word = change(u16::from_be_bytes(*word)).to_be_bytes();
    true
}
