//! Transmission: descriptors, one at a time, into frames (8254x SDM 3.3).
//!
//! Receives the driver's ring and hands frames to the wire. Asynchronous as on silicon: one call
//! fetches one descriptor or cuts one segment. What a descriptor means is in [`desc`], segmentation
//! in [`tso`], leaving in [`emit`], reports in [`report`].

pub(crate) mod desc;
mod emit;
mod line;
mod report;
mod tso;

use crate::core::{Core, RingShape, TX_RING};
use crate::faults::TxFault;
use crate::prefetch::Prefetched;
use crate::regs::{self, tctl};
use crate::violation::{Ring, Wrong};
use crate::wire::Frame;
use desc::{Context, Descriptor, Kind};
use report::Report;
use std::collections::VecDeque;
use tso::Segmenting;

/// Most bytes of one packet, and of one legacy buffer (8254x SDM 3.3.3).
pub(crate) const PACKET_LEN_MAX: usize = 16_288;

/// The packet that is being put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    kind: Kind,
    /// POPTS, and with TSE also VLE, IFCS and special: from the first descriptor.
    first: Descriptor,
    /// It will not leave: too long, mixed, or its memory could not be read.
    failed: bool,
}

/// The transmit side of one card.
#[derive(Default)]
pub(crate) struct Transmitter {
    packet: Option<Packet>,
    /// The frame so far.
    out: Frame,
    plain: Context,
    segmentation: Context,
    segmenting: Option<Segmenting>,
    reports: Vec<Report>,
    timer_ns: Option<u64>,
    absolute_ns: Option<u64>,
    paused_until_ns: u64,
    /// With pacing: the line is occupied until then.
    busy_until_ns: u64,
    /// Something waited for the line, so the next frame follows without a break.
    line_awaited: bool,
    broken: bool,
    pub(crate) prefetched: Prefetched,
    /// Descriptors with RPS whose frame is on the line until then.
    leaving: VecDeque<(u64, RingShape, Descriptor)>,
    /// What the line did to the last frame, as STA says it.
    sta: u8,
    /// The last packet was a segmentation.
    pub(crate) after_segmentation: bool,
    /// The 82547's FIFO hangs.
    stalled: bool,
    /// Where the next packet begins in the 82547's FIFO.
    fifo_at: usize,
    /// Reports were held at the last look (fault injection).
    held: bool,
    /// Done was told, the data not yet fetched (fault injection).
    early: Option<(RingShape, Descriptor)>,
}

impl Transmitter {
    pub(crate) fn reset(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        out.bytes.clear();
        *self = Transmitter { out, ..Transmitter::default() };
    }

    /// Bytes of the packet that is being put together.
    pub(crate) fn fifo_used(&self) -> usize {
        self.out.bytes.len()
    }

    /// MSS of the segmentation context.
    pub(crate) fn segmentation_mss(&self) -> usize {
        self.segmentation.mss
    }

    pub(crate) fn mend(&mut self) {
        self.prefetched.forget();
        self.broken = false;
    }

    pub(crate) fn is_paused(&self, now_ns: u64) -> bool {
        now_ns < self.paused_until_ns
    }

    pub(crate) fn pause_until(&mut self, at_ns: u64) {
        self.paused_until_ns = at_ns;
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let some = |at: u64| (at > 0).then_some(at);
        [self.timer_ns, self.absolute_ns]
            .into_iter()
            .flatten()
            .min()
            .into_iter()
            .chain(some(self.paused_until_ns))
            .chain(some(self.busy_until_ns))
            .chain(self.leaving.front().map(|(at, ..)| *at))
            .min()
    }
}

impl Core {
    /// Fetches one descriptor or cuts one segment; false if there is nothing to do now.
    pub(crate) fn transmit_one(&mut self) -> bool {
        if self.is_report_held_up() || !self.may_transmit() {
            return false;
        }
        if self.tx.segmenting.is_some_and(Segmenting::has_data) {
            self.cut_segment();
            return true;
        }
        if let Some((ring, descriptor)) = self.tx.early.take() {
            self.process(ring, descriptor);
            return true;
        }
        let Some(ring) = self.ring(TX_RING).filter(|ring| ring.owned() > 0) else { return false };
        match &mut self.faults.tx {
            TxFault::Stalled | TxFault::StallsAfter(0) => return false,
            TxFault::StallsAfter(left) => *left -= 1,
            _ => {}
        }
        let at = ring.at(ring.head);
        let Ok((low, high)) = self.fetch_descriptor(Ring::Transmit, ring) else {
            self.blame_at(Wrong::DmaOutside { iova: at, len: 16 }, Ring::Transmit, ring.head);
            self.tx.broken = true;
            return false;
        };
        self.verify(Ring::Transmit, ring.head, low, high);
        let descriptor = Descriptor::new(low, high);
        if !matches!(descriptor.kind(), Kind::Context | Kind::Unknown(_)) {
            self.errata_of_buffer(descriptor, self.tx.packet.is_none(), ring.head);
        }
        if self.faults.tx == TxFault::DoneEarly && descriptor.kind() != Kind::Context {
            let _ = self.bus.store(at.wrapping_add(8), high | desc::DD);
            self.set_reg(regs::TDH, (ring.head + 1) % ring.len);
            self.tx.early = Some((ring, descriptor));
        } else {
            self.process(ring, descriptor);
        }
        true
    }

    /// Everything that may hold the engine: EN, link, PAUSE, the bus, the wire.
    fn may_transmit(&mut self) -> bool {
        // A packet in progress is finished after EN is cleared, and after a PAUSE came in.
        let begun = self.tx.packet.is_some();
        let enabled = self.reg(regs::TCTL) & tctl::EN != 0;
        let paused = self.tx.is_paused(self.now_ns);
        if (!enabled || paused) && !begun || self.tx.broken || self.tx.stalled || !self.master {
            return false;
        }
        let looped = self.loops();
        if self.link().is_none() && !looped && !self.quirks.tx_without_link {
            return false;
        }
        if self.options.paced && self.tx.busy_until_ns > self.now_ns {
            self.tx.line_awaited = begun || self.ring(TX_RING).is_some_and(|ring| ring.owned() > 0);
            return false;
        }
        if looped { !self.loop_is_full() } else { self.wire.ready(self.now_ns) }
    }

    fn process(&mut self, ring: RingShape, descriptor: Descriptor) {
        match descriptor.kind() {
            Kind::Context => self.load_context(ring, descriptor),
            Kind::Unknown(kind) => {
                self.blame_at(Wrong::UnknownDescriptor { kind }, Ring::Transmit, ring.head);
                self.retire(ring, descriptor);
            }
            Kind::Data if descriptor.tse() => self.segment_data(ring, descriptor),
            kind @ (Kind::Legacy | Kind::Data) => self.plain_data(ring, descriptor, kind),
        }
    }

    fn load_context(&mut self, ring: RingShape, descriptor: Descriptor) {
        if !self.part.has_offloads() {
            self.blame_at(Wrong::UnknownDescriptor { kind: 0x20 }, Ring::Transmit, ring.head);
        } else if self.tx.packet.is_some() {
            // Silicon's answer is not documented; the packet keeps the context it began with.
            if let Some(packet) = &mut self.tx.packet {
                packet.failed |= self.quirks.tx_context_spoils_packet;
            }
            self.blame_at(Wrong::MixedPacket, Ring::Transmit, ring.head);
        } else if descriptor.tse() {
            self.tx.segmentation = Context::new(descriptor);
        } else {
            self.tx.plain = Context::new(descriptor);
        }
        self.retire(ring, descriptor);
    }

    /// The packet this descriptor belongs to, begun if it is the first.
    fn packet(&mut self, ring: RingShape, descriptor: Descriptor, kind: Kind) -> Packet {
        let begun = self.tx.packet;
        let mut packet = begun.unwrap_or(Packet { kind, first: descriptor, failed: false });
        let mixed = packet.kind != kind || packet.first.tse() != descriptor.tse() && kind == Kind::Data;
        if mixed && !packet.failed {
            self.blame_at(Wrong::MixedPacket, Ring::Transmit, ring.head);
            packet.failed = true;
        }
        if begun.is_none() {
            self.tx.out.bytes.clear();
        }
        packet
    }

    /// A legacy descriptor, or a data descriptor without segmentation.
    fn plain_data(&mut self, ring: RingShape, descriptor: Descriptor, kind: Kind) {
        let mut packet = self.packet(ring, descriptor, kind);
        let len = descriptor.len();
        let total = self.tx.out.bytes.len() + len;
        if !packet.failed && total > PACKET_LEN_MAX {
            self.blame_at(Wrong::PacketTooLong { len: total }, Ring::Transmit, ring.head);
            packet.failed = true;
        }
        // A null or empty descriptor carries nothing, on purpose.
        if !packet.failed && len > 0 && descriptor.low != 0 {
            packet.failed = !self.fetch(ring.head, descriptor.low, len);
        }
        self.tx.packet = Some(packet);
        if descriptor.eop() {
            self.tx.packet = None;
            if !packet.failed {
                self.finish_packet(ring, packet, descriptor);
            }
            self.tx.out.bytes.clear();
        }
        self.retire(ring, descriptor);
    }

    /// Appends `len` bytes at `iova` to the frame.
    fn fetch(&mut self, index: u32, iova: u64, len: usize) -> bool {
        let bytes = &mut self.tx.out.bytes;
        let start = bytes.len();
        bytes.resize(start + len, 0);
        if self.bus.read(iova, &mut bytes[start..]).is_ok() {
            return true;
        }
        bytes.truncate(start);
        self.blame_at(Wrong::DmaOutside { iova, len }, Ring::Transmit, index);
        false
    }

    /// The last descriptor of a packet came: offloads, then away with it.
    fn finish_packet(&mut self, ring: RingShape, packet: Packet, last: Descriptor) {
        let mut bytes = std::mem::take(&mut self.tx.out.bytes);
        let inside = match packet.kind {
            Kind::Legacy => last.insert_legacy_checksum(&mut bytes, !self.quirks.tx_legacy_checksum_ignored),
            _ => self.tx.plain.insert(packet.first, &mut bytes, 0),
        };
        if !inside {
            self.blame_at(Wrong::OffloadOutside, Ring::Transmit, ring.head);
        }
        self.tx.out.bytes = bytes;
        self.emit(ring.head, last);
    }

    /// The card is done with a descriptor: head, causes, report.
    fn retire(&mut self, ring: RingShape, descriptor: Descriptor) {
        self.set_reg(regs::TDH, (ring.head + 1) % ring.len);
        if !self.tx.stalled {
            self.report(ring, descriptor);
        }
        self.queue_causes(ring);
    }
}
