//! Packets that are to be cut into segments, by the card or by this driver.
//!
//! Receives a packet with [`TxPacket::mss`] and writes its descriptors: one context and the whole packet where the
//! card cuts, headers of its own for each segment where it does not. The driver cuts as far as the ring has room and
//! goes on when more is reaped, so a ring of any size takes a packet of any length.

use super::{DESC_BESIDE_FRAGMENTS, Taken, TxRing};
use crate::desc::tx::{DEXT, DTYP_DATA, EOP, IFCS, IXSM, TSE, TXSM};
use crate::offload::pieces::Piece;
use crate::offload::segment::Segmenter;
use crate::offload::{FRAME_LEN_MIN, Long, SENTINEL_LEN};
use naio_device::Doorbell;
use naio_nic::TxPacket;

/// Descriptors of a packet that the card cuts, apart from its payload: context, header, sentinel.
const DESC_BESIDE_PAYLOAD: u32 = 3;
/// Length and checksum in an IPv4 header (RFC 791 3.1): zero for a card that cuts (8254x fact sheet 3.7).
const IPV4_LEN: usize = 2;
const IPV4_CHECKSUM: usize = 10;

impl<B: Doorbell> TxRing<B> {
    /// A packet that is to be cut.
    pub(super) fn post_long(&mut self, packet: &TxPacket) -> Taken {
        let Some(long) = self.offload.long(packet) else { return self.refuse(packet) };
        // Tiny segments make tiny buffers: more of them than the ring has are the driver's affair.
        let room = self.slots.capacity();
        if self.offload.card_cuts(packet, long) && long.payload / long.piece_len_max() < room {
            let needed = self.needed(packet, long);
            if needed <= room {
                return self.post_for_card(packet, long, needed);
            }
        }
        let mut segmenter = Segmenter::new(long.mss, long.payload);
        self.post_segments(packet, &mut segmenter);
        match (segmenter.is_done(), segmenter.has_begun()) {
            (true, _) => Taken::Whole,
            (false, true) => {
                self.segmenter = Some(segmenter);
                Taken::Begun
            }
            (false, false) => Taken::No,
        }
    }

    /// Goes on with the packet that was begun.
    pub(super) fn go_on(&mut self) {
        if let Some(mut segmenter) = self.segmenter.take() {
            let packet = std::mem::take(&mut self.cut);
            self.post_segments(&packet, &mut segmenter);
            if !segmenter.is_done() {
                self.cut = packet;
                self.segmenter = Some(segmenter);
            }
        }
    }

    /// Descriptors it takes if the card cuts it, or a few more.
    fn needed(&self, packet: &TxPacket, long: Long) -> u32 {
        let len_max = long.piece_len_max();
        let fragments = packet.fragments.iter();
        let pieces: usize = fragments.map(|fragment| self.slots.pieces_about(fragment.slice, len_max)).sum();
        // A packet is less than 64 KB, and every piece is at least a byte.
        pieces as u32 + self.slots.pieces_max() + DESC_BESIDE_PAYLOAD
    }

    fn post_for_card(&mut self, packet: &TxPacket, long: Long, needed: u32) -> Taken {
        let Some((last_fragment, before)) = packet.fragments.split_last() else { return Taken::No };
        if self.slots.free() < needed {
            return Taken::No;
        }
        let header_len = packet.header.len();
        if let Some((low, high)) = self.offload.long_context(long, header_len) {
            self.slots.put(low, high);
        }
        let command = DEXT | DTYP_DATA | IFCS | TSE | IXSM | TXSM;
        let ip_start = usize::from(long.checksum.ip_start);
        self.slots.put_header(&packet.header, 0, command, |header| {
            for field in [IPV4_LEN, IPV4_CHECKSUM] {
                header[ip_start + field..][..2].fill(0);
            }
        });
        let len_max = long.piece_len_max();
        for fragment in before {
            self.slots.put_pieces(fragment.slice, len_max, command, Some(fragment.extent));
        }
        // The end is in a descriptor of its own (8254x fact sheet 5.3).
        let last = Piece::of(last_fragment.slice);
        let body = last.len.saturating_sub(SENTINEL_LEN);
        if let Some((front, end)) = last_fragment.slice.split_at(body) {
            if body > 0 {
                self.slots.put_pieces(front, len_max, command, None);
            }
            let last = self.slots.put_slice(end, command | EOP, Some(last_fragment.extent));
            let frames = long.frames();
            self.close(last, frames, u64::from(long.payload) + header_len as u64 * u64::from(frames));
        }
        self.counters.cut_by_card += 1;
        Taken::Whole
    }

    /// As many segments as there is room for.
    fn post_segments(&mut self, packet: &TxPacket, segmenter: &mut Segmenter) {
        let Some(checksum) = packet.checksum else { return };
        let command = DEXT | DTYP_DATA | IFCS | TXSM;
        while !segmenter.is_done() {
            let pieces = segmenter.fragments(packet) * self.slots.pieces_max();
            if self.slots.free() < pieces + DESC_BESIDE_FRAGMENTS {
                return;
            }
            self.counters.cut_by_driver += u64::from(!segmenter.has_begun());
            if let Some((low, high)) = self.offload.context(checksum) {
                self.slots.put(low, high);
            }
            let first = self.slots.tail();
            let payload = segmenter.len() as usize;
            let len = packet.header.len() + payload;
            let padding = FRAME_LEN_MIN.saturating_sub(len);
            let (inline, end) = if payload == 0 { (padding, EOP) } else { (0, 0) };
            let slots = &mut self.slots;
            let mut last = slots.put_header(&packet.header, inline, command | end, |header| {
                segmenter.write_header(header, checksum);
            });
            let behind = padding > inline;
            segmenter.take(packet, |slice, extent, is_last| {
                let end = if is_last && !behind { EOP } else { 0 };
                last = slots.put_slice(slice, command | end, extent);
            });
            if behind {
                last = slots.put_header(&[], padding, command | EOP, |_| ());
            }
            if self.offload.needs_sentinel() && last.slot == first {
                last = self.put_sentinel(last, command | EOP);
            }
            self.close(last, 1, len as u64);
        }
    }
}
