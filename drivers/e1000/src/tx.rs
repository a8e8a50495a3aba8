//! The transmit ring: packets go down, extents come back.
//!
//! Receives [`TxPacket`]s; hands on the [`ExtentId`]s of packets that the card has finished. Header
//! bytes are copied into a small page that belongs to the slot; payload is named, not touched. The
//! status of a descriptor is looked at only where this room asked for a report, in order.

use crate::desc::tx::{DD, DEXT, DTYP_DATA, EOP, IFCS, RS, TXSM};
use crate::offload::{Offload, Piece};
use naio_device::Doorbell;
use naio_dma::{DescArray, Page, Pool};
use naio_nic::tx::{FRAGMENTS_MAX, HEADER_LEN_MAX};
use naio_nic::{ExtentId, TxPacket};
use std::collections::VecDeque;

/// Descriptors that one packet can need: context, header, fragments, padding.
pub(crate) const DESC_PER_PACKET_MAX: u32 = FRAGMENTS_MAX as u32 + 3;
/// Slots never filled: TDT == TDH means empty (8254x SDM 3.4).
const SLOTS_KEPT_FREE: u32 = 2;
/// A report is asked for at least every so many packets, and at the end of each batch.
const PACKETS_PER_REPORT: u32 = 16;
/// Shortest frame without FCS; shorter ones are padded here, because hardware padding is faulty on
/// some parts and missing in QEMU (8254x fact sheet 3.8, item 10).
pub(crate) const FRAME_LEN_MIN: usize = 60;

/// What the transmit path counted; see [`naio_nic::Counters`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TxCounters {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) refused: u64,
    pub(crate) doorbells: u64,
}

/// A descriptor whose write-back was asked for.
struct Report {
    /// Its slot; everything up to here is finished when it is.
    slot: u32,
    packets: u32,
    bytes: u64,
}

pub(crate) struct TxRing<B> {
    desc: DescArray,
    headers: Pool,
    /// One header page for each slot.
    header_pages: Vec<Page>,
    /// What each slot refers to.
    extents: Vec<Option<ExtentId>>,
    /// Extents of refused packets, given back with the next reap.
    refused: Vec<ExtentId>,
    offload: Offload,
    bell: B,
    frame_len_max: usize,
    /// Oldest slot not given back.
    head: u32,
    /// Next slot to fill.
    tail: u32,
    published: u32,
    /// Asked for and not yet seen; at most one for each slot.
    reports: VecDeque<Report>,
    /// Packets and bytes since the last report was asked for.
    open: (u32, u64),
    counters: TxCounters,
}

impl<B: Doorbell> TxRing<B> {
    /// An empty ring. `headers` has at least one page of [`HEADER_LEN_MAX`] for each slot.
    pub(crate) fn new(
        desc: DescArray,
        headers: Pool,
        offload: Offload,
        bell: B,
        frame_len_max: usize,
    ) -> Self {
        debug_assert!(headers.page_len() >= HEADER_LEN_MAX);
        let count = desc.len() as usize;
        let header_pages: Vec<Page> = std::iter::from_fn(|| headers.take()).take(count).collect();
        debug_assert_eq!(header_pages.len(), count);
        TxRing {
            desc,
            headers,
            header_pages,
            extents: vec![None; count],
            refused: Vec::new(),
            offload,
            bell,
            frame_len_max,
            head: 0,
            tail: 0,
            published: 0,
            reports: VecDeque::with_capacity(count),
            open: (0, 0),
            counters: TxCounters::default(),
        }
    }

    pub(crate) fn desc(&self) -> &DescArray {
        &self.desc
    }

    pub(crate) fn counters(&self) -> TxCounters {
        self.counters
    }

    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }

    /// Packets of any shape that surely fit.
    pub(crate) fn room(&self) -> usize {
        (self.free_slots() / DESC_PER_PACKET_MAX) as usize
    }

    /// Takes packets from the front as long as there is room; returns how many.
    pub(crate) fn post(&mut self, packets: &mut Vec<TxPacket>) -> usize {
        let mut posted = 0;
        let mut last_eop = None;
        for packet in packets.iter() {
            if self.free_slots() < DESC_PER_PACKET_MAX {
                break;
            }
            posted += 1;
            let fits = (1..=self.frame_len_max).contains(&packet.len()) && packet.mss.is_none();
            if !fits || !self.offload.can(packet) {
                self.refuse(packet);
                continue;
            }
            let report = self.open.0 + 1 >= PACKETS_PER_REPORT;
            let eop = self.post_one(packet, report);
            last_eop = (!report).then_some(eop);
        }
        if let Some(eop) = last_eop {
            self.ask_report(eop);
        }
        packets.drain(..posted);
        posted
    }

    /// Gives back what the card has finished.
    pub(crate) fn reap(&mut self, released: &mut Vec<ExtentId>) {
        released.append(&mut self.refused);
        while let Some(report) = self.reports.front() {
            if self.desc.done(report.slot, DD).is_none() {
                break;
            }
            let end = self.after(report.slot);
            self.counters.frames += u64::from(report.packets);
            self.counters.bytes += report.bytes;
            self.reports.pop_front();
            while self.head != end {
                released.extend(self.extents[self.head as usize].take());
                self.head = self.after(self.head);
            }
        }
    }

    /// Tells the card about posted packets: one write for the batch.
    pub(crate) fn ring(&mut self) {
        if self.published != self.tail {
            self.published = self.tail;
            self.counters.doorbells += 1;
            self.bell.ring(self.tail);
        }
    }

    fn refuse(&mut self, packet: &TxPacket) {
        self.counters.refused += 1;
        self.refused.extend(packet.fragments.iter().map(|fragment| fragment.extent));
    }

    /// Writes the descriptors of one packet; returns the slot of its last one and its bits.
    fn post_one(&mut self, packet: &TxPacket, report: bool) -> Eop {
        let popts = match packet.checksum {
            None => 0,
            Some(checksum) => {
                if let Some((low, high)) = self.offload.context(checksum) {
                    self.put(low, high, None);
                }
                TXSM
            }
        };
        let command = DEXT | DTYP_DATA | IFCS | popts;
        let padding = FRAME_LEN_MIN.saturating_sub(packet.len());
        let inline_padding = if packet.fragments.is_empty() { padding } else { 0 };
        let mut last = None;
        if !packet.header.is_empty() {
            let piece = self.header_piece(&packet.header, inline_padding);
            last = Some(self.put_data(piece, command, None));
        }
        for fragment in &packet.fragments {
            let piece = Piece::of(fragment.slice);
            last = Some(self.put_data(piece, command, Some(fragment.extent)));
        }
        if padding > inline_padding {
            let piece = self.header_piece(&[], padding);
            last = Some(self.put_data(piece, command, None));
        }
        // A packet has at least one byte, so at least one piece.
        let (piece, slot) = last.unwrap_or((Piece::EMPTY, self.tail));
        let eop = Eop { slot, low: piece.address, high: piece.word(command | EOP) };
        self.desc.store(slot, eop.low, eop.high);
        self.open.0 += 1;
        self.open.1 += packet.len() as u64;
        if report {
            self.ask_report(eop);
        }
        eop
    }

    /// Copies header bytes (and `padding` zeros) into the page of the slot that comes next.
    fn header_piece(&mut self, bytes: &[u8], padding: usize) -> Piece {
        let page = &mut self.header_pages[self.tail as usize];
        let len = bytes.len() + padding;
        let room = self.headers.bytes_mut(page);
        room[..bytes.len()].copy_from_slice(bytes);
        room[bytes.len()..len].fill(0);
        // Header and padding fit: the page holds HEADER_LEN_MAX, padding is within 60 bytes in all.
        self.headers.slice(page, 0..len).map_or(Piece::EMPTY, Piece::of)
    }

    fn put_data(&mut self, piece: Piece, command: u64, extent: Option<ExtentId>) -> (Piece, u32) {
        let slot = self.put(piece.address, piece.word(command), extent);
        (piece, slot)
    }

    fn put(&mut self, low: u64, high: u64, extent: Option<ExtentId>) -> u32 {
        let slot = self.tail;
        self.desc.store(slot, low, high);
        self.extents[slot as usize] = extent;
        self.tail = self.after(slot);
        slot
    }

    fn ask_report(&mut self, eop: Eop) {
        self.desc.store(eop.slot, eop.low, eop.high | RS);
        let (packets, bytes) = std::mem::take(&mut self.open);
        self.reports.push_back(Report { slot: eop.slot, packets, bytes });
    }

    fn free_slots(&self) -> u32 {
        let count = self.desc.len();
        let used = if self.tail >= self.head { self.tail - self.head } else { self.tail + count - self.head };
        (count - used).saturating_sub(SLOTS_KEPT_FREE)
    }

    fn after(&self, slot: u32) -> u32 {
        if slot + 1 == self.desc.len() { 0 } else { slot + 1 }
    }
}

/// The last descriptor of a packet, as written.
#[derive(Clone, Copy)]
struct Eop {
    slot: u32,
    low: u64,
    high: u64,
}
