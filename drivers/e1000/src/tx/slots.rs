//! The slots of the transmit ring: which are free, what they refer to.
//!
//! Receives header bytes, pieces of payload and ready-made words and writes descriptors; hands on the extents of
//! slots that the card is done with. It knows nothing of packets, offloads or reports.

use crate::desc::tx::{EOP, LEN};
use crate::offload::pieces::{BLOCK, LEN_MAX, Piece, Pieces, ends_evenly};
use naio_dma::{DescArray, DmaSlice, Page, Pool};
use naio_nic::ExtentId;
use std::collections::VecDeque;

/// Slots never filled: TDT == TDH means empty (8254x SDM 3.4).
const SLOTS_KEPT_FREE: u32 = 2;

/// A data descriptor as written: the last of a packet gets its closing bits later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) slot: u32,
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// What belongs to a slot: room for a header, and where the card finds it.
struct Slot {
    header: Page,
    header_at: u64,
}

pub(crate) struct Slots {
    pub(crate) desc: DescArray,
    headers: Pool,
    slots: Vec<Slot>,
    /// What the slots in use refer to, in order: a report covers so many slots, and so many of these.
    extents: VecDeque<ExtentId>,
    /// How many of them are covered by a report that was asked for.
    covered: usize,
    /// Pieces must not end in an even dword (82544 in PCI-X mode).
    odd_ends: bool,
    /// Oldest slot not given back.
    head: u32,
    /// Next slot to fill.
    tail: u32,
    /// Slots that may be filled now.
    free: u32,
}

impl Slots {
    /// An empty ring. `headers` has at least one page for each slot.
    pub(crate) fn new(desc: DescArray, headers: Pool, odd_ends: bool) -> Slots {
        let count = desc.len();
        let slot = |header| Slot { header_at: headers.iova(&header).as_u64(), header };
        let slots: Vec<Slot> = std::iter::from_fn(|| headers.take()).take(count as usize).map(slot).collect();
        debug_assert_eq!(slots.len(), count as usize);
        let free = count.saturating_sub(SLOTS_KEPT_FREE);
        // Each has a slot of its own, at least.
        let extents = VecDeque::with_capacity(count as usize);
        Slots { desc, headers, slots, extents, covered: 0, odd_ends, head: 0, tail: 0, free }
    }

    /// Next slot to fill.
    pub(crate) fn tail(&self) -> u32 {
        self.tail
    }

    /// Slots that may be filled now.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        self.free
    }

    /// Slots that may be filled when the ring is empty.
    pub(crate) fn capacity(&self) -> u32 {
        self.desc.len().saturating_sub(SLOTS_KEPT_FREE)
    }

    /// Most pieces of one fragment of a frame: it crosses at most one multiple of 64 KB.
    #[inline]
    pub(crate) fn pieces_max(&self) -> u32 {
        if self.odd_ends { 3 } else { 2 }
    }

    /// The same, or a few more, without looking at each piece.
    pub(crate) fn pieces_about(&self, slice: DmaSlice, len_max: u32) -> usize {
        if self.odd_ends {
            return self.pieces(slice, len_max);
        }
        // A multiple of 64 KB in between cuts one more.
        slice.len().div_ceil(len_max) as usize + slice.len() as usize / BLOCK as usize + 1
    }

    /// Whether one descriptor names it all.
    #[inline]
    pub(crate) fn takes_whole(&self, piece: Piece) -> bool {
        !self.odd_ends && piece.len > 0 && piece.is_whole(LEN_MAX)
    }

    /// How many pieces no longer than `len_max` a stretch makes.
    pub(crate) fn pieces(&self, slice: DmaSlice, len_max: u32) -> usize {
        Pieces::new(Piece::of(slice), len_max, self.odd_ends).count()
    }

    /// Writes a descriptor.
    #[inline]
    pub(crate) fn put(&mut self, low: u64, high: u64) -> Written {
        let slot = self.tail;
        self.desc.store(slot, low, high);
        self.tail = self.after(slot);
        // Whoever puts has looked at what is free.
        self.free = self.free.wrapping_sub(1);
        Written { slot, low, high }
    }

    /// A frame of header bytes, if there are any, and one stretch of payload that one descriptor
    /// [takes whole](Slots::takes_whole). Two slots are free.
    #[inline]
    pub(crate) fn put_common(
        &mut self,
        header: &[u8],
        piece: Piece,
        command: u64,
        extent: ExtentId,
    ) -> Written {
        let (mut slot, mut used) = (self.tail, 1);
        if !header.is_empty() {
            let own = &mut self.slots[slot as usize];
            self.headers.bytes_mut(&mut own.header)[..header.len()].copy_from_slice(header);
            self.desc.store(slot, own.header_at, header.len() as u64 | command);
            (slot, used) = (self.after(slot), 2);
        }
        let (low, high) = (piece.address, piece.word(command | EOP));
        self.desc.store(slot, low, high);
        self.extents.push_back(extent);
        self.tail = self.after(slot);
        self.free = self.free.wrapping_sub(used);
        Written { slot, low, high }
    }

    /// Names a stretch of payload, in as many descriptors as it takes; the extent goes with the last.
    #[inline]
    pub(crate) fn put_slice(&mut self, slice: DmaSlice, command: u64, extent: Option<ExtentId>) -> Written {
        let piece = Piece::of(slice);
        if piece.is_whole(LEN_MAX) && !self.odd_ends {
            self.extents.extend(extent);
            return self.put(piece.address, piece.word(command));
        }
        self.put_pieces(slice, LEN_MAX, command, extent)
    }

    /// The same with pieces no longer than `len_max`. What ends a packet in `command` goes with the last, too.
    pub(crate) fn put_pieces(
        &mut self,
        slice: DmaSlice,
        len_max: u32,
        command: u64,
        extent: Option<ExtentId>,
    ) -> Written {
        let mut written = Written { slot: self.tail, low: 0, high: command };
        let mut whole = Piece::of(slice);
        if !self.odd_ends {
            // Whole pages up to the last: the common case, without looking at each end.
            while whole.len > len_max && whole.to_block() >= len_max {
                written = self.put(whole.address, u64::from(len_max) | command & !EOP);
                whole.address += u64::from(len_max);
                whole.len -= len_max;
            }
        }
        for piece in Pieces::new(whole, len_max, self.odd_ends) {
            written = self.put(piece.address, piece.word(command & !EOP));
        }
        self.extents.extend(extent);
        if command & EOP != 0 {
            self.amend(&mut written, EOP);
        }
        written
    }

    /// Copies header bytes (and `padding` zeros) into the page of the next slot, lets `change` have the copy, and
    /// names it. Header and padding fit: a page holds the longest header, padding is within 60 bytes in all.
    #[inline]
    pub(crate) fn put_header(
        &mut self,
        bytes: &[u8],
        padding: usize,
        command: u64,
        change: impl FnOnce(&mut [u8]),
    ) -> Written {
        let slot = &mut self.slots[self.tail as usize];
        let len = bytes.len() + padding;
        // Pages lie on multiples of their length, so the offset alone says which dword is the last.
        let at = if self.odd_ends && ends_evenly(0, len as u32) { 4 } else { 0 };
        let room = self.headers.bytes_mut(&mut slot.header);
        let header = &mut room[at..at + bytes.len()];
        header.copy_from_slice(bytes);
        change(header);
        if padding > 0 {
            room[at + bytes.len()..at + len].fill(0);
        }
        let address = slot.header_at + at as u64;
        self.put(address, len as u64 | command)
    }

    /// Cuts the last `len` bytes of a descriptor off into one of their own; `command` is that of the packet.
    pub(crate) fn cut_end(&mut self, written: Written, len: u32, command: u64) -> Written {
        let cut = u64::from(len);
        let body = (written.high & LEN).saturating_sub(cut);
        self.desc.store(written.slot, written.low, body | command & !EOP);
        self.put(written.low + body, cut | command)
    }

    /// Writes a descriptor again, with more bits.
    #[inline]
    pub(crate) fn amend(&self, written: &mut Written, bits: u64) {
        written.high |= bits;
        self.desc.store(written.slot, written.low, written.high);
    }

    /// A report of everything up to now is asked for: how many extents it covers that none before it does.
    pub(crate) fn cover(&mut self) -> usize {
        let extents = self.extents.len() - self.covered;
        self.covered += extents;
        extents
    }

    /// The card is done with everything up to and with `slot`, and so with the next `extents` extents.
    pub(crate) fn release(&mut self, slot: u32, extents: usize, released: &mut Vec<ExtentId>) {
        let end = self.after(slot);
        let lap = if end < self.head { self.desc.len() } else { 0 };
        self.free = self.free.wrapping_add(lap + end - self.head);
        self.head = end;
        // Slice by slice, which copies them in one go.
        let (front, back) = self.extents.as_slices();
        let (front, back) = match extents.checked_sub(front.len()) {
            None => (&front[..extents], &[][..]),
            Some(rest) => (front, &back[..rest]),
        };
        released.extend_from_slice(front);
        released.extend_from_slice(back);
        self.extents.drain(..extents);
        self.covered -= extents;
    }

    /// The card was reset: what any slot refers to is given back, and the ring begins anew.
    pub(crate) fn clear(&mut self, released: &mut Vec<ExtentId>) {
        released.extend(self.extents.drain(..));
        (self.head, self.tail, self.covered) = (0, 0, 0);
        self.free = self.capacity();
    }

    #[inline]
    fn after(&self, slot: u32) -> u32 {
        if slot + 1 == self.desc.len() { 0 } else { slot + 1 }
    }
}
