//! The transmit ring: packets go down, extents come back.
//!
//! Receives [`TxPacket`]s; hands on the [`ExtentId`]s of packets that the card has finished. Header
//! bytes are copied into a small page that belongs to the slot; payload is named, not touched. The
//! status of a descriptor is looked at only where this room asked for a report, in order. What a slot
//! refers to is in [`slots`], packets that are to be cut are in [`long`].

mod long;
mod slots;

use crate::desc::tx::{DD, DEXT, DTYP_DATA, EOP, IFCS, RS, TXSM};
use crate::offload::pieces::{FIRST_LEN_MAX, LEN_MAX, Piece};
use crate::offload::segment::Segmenter;
use crate::offload::{FRAME_LEN_MIN, Offload, SENTINEL_LEN};
use naio_device::Doorbell;
use naio_dma::{DescArray, Pool};
use naio_nic::tx::HEADER_LEN_MAX;
use naio_nic::{ExtentId, Fragment, TxPacket};
use slots::{Slots, Written};
use std::collections::VecDeque;

/// Descriptors of a packet apart from its fragments: context, header, padding, and one more where a first
/// fragment must be cut.
const DESC_BESIDE_FRAGMENTS: u32 = 4;
/// Descriptors of a packet of the common shape: a header, payload of two pages, now and then a context.
pub(crate) const DESC_PER_PACKET: u32 = 4;
/// A report is asked for at least every so many frames, and at the end of each batch.
const FRAMES_PER_REPORT: u32 = 16;
/// A descriptor of up to this is a sentinel itself (8254x fact sheet 5.3).
const SINGLE_LEN_MAX: u64 = 8;

/// What the transmit path counted; see [`naio_nic::Counters`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TxCounters {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) refused: u64,
    /// Frames that were not sent when the card was reset.
    pub(crate) reset: u64,
    pub(crate) cut_by_card: u64,
    pub(crate) cut_by_driver: u64,
    pub(crate) doorbells: u64,
}

/// A descriptor whose write-back was asked for.
struct Report {
    /// Its slot; everything up to here is finished when it is.
    slot: u32,
    frames: u32,
    bytes: u64,
    /// Extents that come back with it.
    extents: usize,
}

/// What became of a packet.
enum Taken {
    /// It is in the ring, or refused.
    Whole,
    /// Its first segments are; the rest follows as the ring empties.
    Begun,
    /// There is no room for it.
    No,
}

pub(crate) struct TxRing<B> {
    slots: Slots,
    offload: Offload,
    bell: B,
    /// Extents of refused packets, given back with the next reap.
    refused: Vec<ExtentId>,
    /// How far `cut` has been cut, if that is not its end yet.
    segmenter: Option<Segmenter>,
    /// The packet whose first segments are in the ring.
    cut: TxPacket,
    published: u32,
    /// Asked for and not yet seen; at most one for each slot.
    reports: VecDeque<Report>,
    /// Frames and bytes since the last report was asked for, and the last descriptor of them.
    open: (u32, u64),
    last: Option<Written>,
    counters: TxCounters,
}

impl<B: Doorbell> TxRing<B> {
    /// An empty ring. `headers` has at least one page of [`HEADER_LEN_MAX`] for each slot. With `odd_ends` no
    /// buffer ends in an even dword.
    pub(crate) fn new(desc: DescArray, headers: Pool, offload: Offload, odd_ends: bool, bell: B) -> Self {
        debug_assert!(headers.page_len() >= HEADER_LEN_MAX);
        let count = desc.len() as usize;
        TxRing {
            slots: Slots::new(desc, headers, odd_ends),
            offload,
            bell,
            refused: Vec::new(),
            segmenter: None,
            cut: TxPacket::default(),
            published: 0,
            reports: VecDeque::with_capacity(count),
            open: (0, 0),
            last: None,
            counters: TxCounters::default(),
        }
    }

    pub(crate) fn desc(&self) -> &DescArray {
        &self.slots.desc
    }

    pub(crate) fn counters(&self) -> TxCounters {
        self.counters
    }

    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }

    /// Packets of the common shape that fit; none while one is being cut.
    pub(crate) fn room(&self) -> usize {
        if self.segmenter.is_some() { 0 } else { (self.slots.free() / DESC_PER_PACKET) as usize }
    }

    /// Takes packets from the front as long as there is room; returns how many.
    pub(crate) fn post(&mut self, packets: &mut Vec<TxPacket>) -> usize {
        let mut posted = 0;
        if self.segmenter.is_some() {
            self.go_on();
        }
        if self.segmenter.is_none() {
            for packet in packets.iter_mut() {
                if self.post_common(packet) {
                    posted += 1;
                    continue;
                }
                match self.post_other(packet) {
                    Taken::Whole => posted += 1,
                    Taken::Begun => {
                        // It must not change any more, so it moves in here.
                        std::mem::swap(&mut self.cut, packet);
                        posted += 1;
                        break;
                    }
                    Taken::No => break,
                }
            }
        }
        self.report_last();
        packets.drain(..posted);
        posted
    }

    /// Gives back what the card has finished, and fills the room with what was begun.
    pub(crate) fn reap(&mut self, released: &mut Vec<ExtentId>) {
        released.append(&mut self.refused);
        while let Some(report) = self.reports.front() {
            if self.slots.desc.done(report.slot, DD).is_none() {
                break;
            }
            self.counters.frames += u64::from(report.frames);
            self.counters.bytes += report.bytes;
            self.slots.release(report.slot, report.extents, released);
            self.reports.pop_front();
        }
        if self.segmenter.is_some() {
            self.go_on();
            self.report_last();
        }
    }

    /// Tells the card about posted packets: one write for the batch.
    pub(crate) fn ring(&mut self) {
        let tail = self.slots.tail();
        if self.published != tail {
            self.published = tail;
            self.counters.doorbells += 1;
            self.bell.ring(tail);
        }
    }

    /// Whether the card has something that it has not reported as sent.
    pub(crate) fn is_pending(&self) -> bool {
        !self.reports.is_empty()
    }

    /// The card was reset and reads nothing any more: whatever it had to send is lost, counted, and what it referred to
    /// comes back with the next reap.
    pub(crate) fn give_up(&mut self) {
        self.slots.clear(&mut self.refused);
        if let Some(mut segmenter) = self.segmenter.take() {
            let packet = std::mem::take(&mut self.cut);
            while !segmenter.is_done() {
                segmenter.take(&packet, |_, extent, _| self.refused.extend(extent));
                self.counters.reset += 1;
            }
        }
        let reported: u32 = self.reports.drain(..).map(|report| report.frames).sum();
        let (open, _) = std::mem::take(&mut self.open);
        self.counters.reset += u64::from(reported + open);
        self.last = None;
        self.published = 0;
        self.offload.forget();
    }

    fn refuse(&mut self, packet: &TxPacket) -> Taken {
        self.counters.refused += 1;
        self.refused.extend(packet.fragments.iter().map(|fragment| fragment.extent));
        Taken::Whole
    }

    /// Most frames: one stretch of payload, with headers or without, to be completed as the frame before or not at all.
    /// False if it is another one.
    #[inline(always)]
    fn post_common(&mut self, packet: &TxPacket) -> bool {
        let [Fragment { slice, extent }] = packet.fragments.as_slice() else { return false };
        let (header, piece) = (packet.header.as_slice(), Piece::of(*slice));
        let len = header.len() + piece.len as usize;
        let Some(completion) = self.offload.as_before(packet, len) else { return false };
        let is_first = header.is_empty();
        // A header and a piece.
        let fits = self.slots.takes_whole(piece) && self.slots.free() >= 2;
        if !fits || is_first && piece.len > FIRST_LEN_MAX {
            return false;
        }
        let command = DEXT | DTYP_DATA | IFCS | completion;
        let last = self.slots.put_common(header, piece, command, *extent);
        self.close(last, 1, len as u64);
        true
    }

    /// Any packet. Not inlined, so that it takes no registers from the loop over common ones.
    #[inline(never)]
    fn post_other(&mut self, packet: &TxPacket) -> Taken {
        if packet.mss.is_none() { self.post_frame(packet) } else { self.post_long(packet) }
    }

    /// A packet that is one frame.
    fn post_frame(&mut self, packet: &TxPacket) -> Taken {
        let Some(len) = self.offload.frame_len(packet) else { return self.refuse(packet) };
        let (free, fragments) = (self.slots.free(), packet.fragments.len() as u32);
        // Counting exactly is for a ring that is nearly full.
        let most = fragments * self.slots.pieces_max() + DESC_BESIDE_FRAGMENTS;
        if free < most && free < self.needed_for_frame(packet, len) {
            return Taken::No;
        }
        let mut command = DEXT | DTYP_DATA | IFCS;
        if let Some(checksum) = packet.checksum {
            if let Some((low, high)) = self.offload.context(checksum) {
                self.slots.put(low, high);
            }
            command |= TXSM;
        }
        let first = self.slots.tail();
        let mut last = self.put_frame(packet, len, command);
        if self.offload.needs_sentinel() && last.slot == first {
            last = self.put_sentinel(last, command | EOP);
        }
        self.close(last, 1, len as u64);
        Taken::Whole
    }

    #[cold]
    fn needed_for_frame(&self, packet: &TxPacket, len: usize) -> u32 {
        let pieces = |fragment: &Fragment| self.slots.pieces(fragment.slice, LEN_MAX) as u32;
        let fragments: u32 = packet.fragments.iter().map(pieces).sum();
        let header = u32::from(!packet.header.is_empty());
        let first = u32::from(packet.header.is_empty()) * self.slots.pieces_max();
        // One more beside them: padding, or a sentinel.
        let beside = u32::from(len < FRAME_LEN_MIN || self.offload.needs_sentinel());
        fragments + header + first + beside + u32::from(packet.checksum.is_some())
    }

    /// The data descriptors of a frame; hands on the last.
    #[inline]
    fn put_frame(&mut self, packet: &TxPacket, len: usize, command: u64) -> Written {
        let slots = &mut self.slots;
        let padding = FRAME_LEN_MIN.saturating_sub(len);
        let mut fragments = packet.fragments.as_slice();
        if packet.header.is_empty()
            && let Some((Fragment { slice, .. }, rest)) = fragments.split_first()
            && slice.len() > FIRST_LEN_MAX
        {
            return self.put_long_first(packet.fragments[0], rest, command);
        }
        let behind = padding > 0 && !fragments.is_empty();
        // A packet has at least one byte, so at least one piece: this is overwritten.
        let mut last = Written { slot: slots.tail(), low: 0, high: command };
        if !packet.header.is_empty() {
            let (inline, end) = if fragments.is_empty() { (padding, EOP) } else { (0, 0) };
            last = slots.put_header(&packet.header, inline, command | end, |_| ());
        }
        while let Some((Fragment { slice, extent }, rest)) = fragments.split_first() {
            let end = if rest.is_empty() && !behind { EOP } else { 0 };
            last = slots.put_slice(*slice, command | end, Some(*extent));
            fragments = rest;
        }
        if behind {
            last = slots.put_header(&[], padding, command | EOP, |_| ());
        }
        last
    }

    /// A frame without header whose first fragment is too long for a first buffer, so that nothing is padded.
    #[cold]
    fn put_long_first(&mut self, first: Fragment, rest: &[Fragment], command: u64) -> Written {
        let slots = &mut self.slots;
        let mut last = Written { slot: slots.tail(), low: 0, high: command };
        if let Some((front, back)) = first.slice.split_at(FIRST_LEN_MAX) {
            slots.put_slice(front, command, None);
            last = slots.put_slice(back, command, Some(first.extent));
        }
        for Fragment { slice, extent } in rest {
            last = slots.put_slice(*slice, command, Some(*extent));
        }
        slots.amend(&mut last, EOP);
        last
    }

    /// The first single-descriptor packet after one that the card cut (8254x fact sheet 5.3).
    fn put_sentinel(&mut self, only: Written, command: u64) -> Written {
        self.offload.has_sentinel();
        if only.high & crate::desc::tx::LEN <= SINGLE_LEN_MAX {
            return only;
        }
        self.slots.cut_end(only, SENTINEL_LEN, command)
    }

    /// Counts what became `frames` frames of `bytes` bytes and ends with `last`.
    #[inline]
    fn close(&mut self, last: Written, frames: u32, bytes: u64) {
        self.open.0 += frames;
        self.open.1 += bytes;
        self.last = Some(last);
        if self.open.0 >= FRAMES_PER_REPORT {
            self.report_last();
        }
    }

    /// Asks for a report of everything posted so far: at the end of a batch, and now and then.
    #[inline(never)]
    fn report_last(&mut self) {
        if let Some(mut last) = self.last.take() {
            self.slots.amend(&mut last, RS);
            let (frames, bytes) = std::mem::take(&mut self.open);
            let extents = self.slots.cover();
            self.reports.push_back(Report { slot: last.slot, frames, bytes, extents });
        }
    }
}
