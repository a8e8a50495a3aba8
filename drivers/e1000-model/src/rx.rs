//! Reception: from the wire through the filters into the FIFO, and from the FIFO into descriptors.
//!
//! Receives frames from the wire (or back from the card's own transmitter in loopback) and hands
//! them to the driver's ring, with every count and cause on the way. The checksum verdict is made in
//! [`verdict`], write-backs in [`write_back`], PAUSE frames in `pause`.

mod admit;
pub(crate) mod verdict;
pub(crate) mod write_back;

use crate::core::{Core, RX_RING, RingShape};
use crate::faults::Faults;
use crate::parts::Media;
use crate::prefetch::Prefetched;
use crate::regs::{self, ctrl, icr, rctl};
use crate::violation::{Ring, Wrong};
use crate::wire::{Fcs, Frame, LineError};
use std::collections::VecDeque;
use write_back::{WriteBack, error, status};

/// What the FIFO stores with each frame.
const FIFO_HEADER_LEN: usize = 16;
/// Frames in loopback on their way back.
const LOOPED_MAX: usize = 64;
/// Empty buffers that are kept for reuse.
const SPARE_MAX: usize = 256;

/// A frame in the FIFO, as it will be delivered.
struct Waiting {
    frame: Frame,
    /// Bytes of the FIFO that it takes.
    room: usize,
    /// Bytes counted in the length but never written (an emulator's FCS).
    unwritten: usize,
    status: u8,
    errors: u8,
    special: u16,
    checksum: u16,
    /// Bytes delivered so far.
    done: usize,
    started: bool,
}

/// The receive side of one card.
#[derive(Default)]
pub(crate) struct Receiver {
    fifo: VecDeque<Waiting>,
    used: usize,
    incoming: Frame,
    spare: Vec<Vec<u8>>,
    pending: Vec<WriteBack>,
    torn: Option<WriteBack>,
    pub(crate) prefetched: Prefetched,
    timer_ns: Option<u64>,
    absolute_ns: Option<u64>,
    /// The ring could not be read: nothing until its registers are written again.
    broken: bool,
    /// Write-backs were held at the last look (fault injection).
    held: bool,
    blocked_until_ns: u64,
    /// XOFF was sent and no XON since.
    pub(crate) xoff_sent: bool,
}

impl Receiver {
    pub(crate) fn reset(&mut self) {
        *self = Receiver { spare: std::mem::take(&mut self.spare), ..Receiver::default() };
    }

    /// RCTL.EN was cleared: what waits in the FIFO is dropped.
    pub(crate) fn stop(&mut self) {
        while let Some(waiting) = self.fifo.pop_front() {
            self.recycle(waiting.frame);
        }
        self.used = 0;
    }

    pub(crate) fn mend(&mut self) {
        self.prefetched.forget();
        self.broken = false;
    }

    pub(crate) fn block_until(&mut self, at_ns: u64) {
        self.blocked_until_ns = at_ns;
    }

    pub(crate) fn unblock(&mut self) {
        self.blocked_until_ns = 0;
    }

    pub(crate) fn fifo_frames(&self) -> usize {
        self.fifo.len()
    }

    pub(crate) fn fifo_used(&self) -> usize {
        self.used
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let blocked = (self.blocked_until_ns > 0).then_some(self.blocked_until_ns);
        [self.timer_ns, self.absolute_ns, blocked].into_iter().flatten().min()
    }

    fn recycle(&mut self, frame: Frame) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(frame.bytes);
        }
    }
}

impl Core {
    fn receive_enabled(&self) -> bool {
        self.reg(regs::RCTL) & rctl::EN != 0
    }

    /// Takes one frame off the wire; false if there is none.
    pub(crate) fn receive_one(&mut self) -> bool {
        if let Some(frame) = self.looped.pop_front() {
            self.arrive(frame);
            return true;
        }
        if self.quirks.rx_waits_on_the_wire {
            let free = self.ring(RX_RING).map_or(0, RingShape::owned);
            if !self.receive_enabled() || self.link().is_none() || free == 0 || !self.master {
                return false;
            }
        }
        if self.now_ns < self.rx.blocked_until_ns {
            return false;
        }
        let mut frame = std::mem::take(&mut self.rx.incoming);
        if frame.bytes.capacity() == 0 {
            frame.bytes = self.rx.spare.pop().unwrap_or_default();
        }
        if !self.wire.receive(&mut frame, self.now_ns) {
            self.rx.incoming = frame;
            return false;
        }
        if !self.config.is_awake() {
            self.frame_asleep(&frame.bytes);
            self.rx.incoming = frame;
            return true;
        }
        if self.loops() || self.link().is_none() {
            // In loopback the wire is not listened to.
            self.rx.incoming = frame;
            return true;
        }
        self.arrive(frame);
        true
    }

    /// A frame comes back in loopback.
    pub(crate) fn loop_back(&mut self, frame: &mut Frame) {
        if self.looped.len() < LOOPED_MAX {
            let spare = self.rx.spare.pop().unwrap_or_default();
            let bytes = std::mem::replace(&mut frame.bytes, spare);
            self.looped.push_back(Frame { bytes, ..*frame });
        }
        frame.bytes.clear();
    }

    pub(crate) fn loop_is_full(&self) -> bool {
        self.looped.len() >= LOOPED_MAX
    }

    /// The MAC has a whole frame: filter, count, keep.
    fn arrive(&mut self, mut frame: Frame) {
        if self.faults.rx_extra_byte {
            append_extra_byte(&mut frame);
        }
        if self.part.media != Media::Copper && frame.error == LineError::Symbol {
            self.invalid_symbol = true;
        }
        if Faults::spend(&mut self.faults.overruns) {
            self.overrun();
        }
        let inexact = if self.receive_enabled() { self.admit(&mut frame) } else { None };
        let Some(inexact) = inexact else {
            self.rx.recycle(frame);
            return;
        };
        let marked = !self.quirks.rx_pif_never && inexact != self.quirks.rx_pif_reversed;
        let control = self.reg(regs::RCTL);
        let errors = error::of(&frame);
        let mut waiting = Waiting {
            room: frame.wire_len().next_multiple_of(8) + FIFO_HEADER_LEN,
            unwritten: 0,
            status: if marked { status::PIF } else { 0 },
            errors,
            special: 0,
            checksum: 0,
            done: 0,
            started: false,
            frame,
        };
        let fcs = (control & rctl::SECRC == 0 && !self.quirks.rx_fcs_not_written)
            .then(|| waiting.frame.fcs_bytes());
        self.strip_tag(&mut waiting);
        self.check_sums(&mut waiting);
        match fcs {
            Some(fcs) => waiting.frame.bytes.extend_from_slice(&fcs),
            None if control & rctl::SECRC == 0 => waiting.unwritten = 4,
            None => {}
        }
        self.rx.used += waiting.room;
        self.rx.fifo.push_back(waiting);
        self.pause_if_full();
    }

    fn strip_tag(&mut self, waiting: &mut Waiting) {
        let bytes = &mut waiting.frame.bytes;
        if self.reg(regs::CTRL) & ctrl::VME != 0
            && let Some(tag) = self.tag(bytes)
        {
            waiting.special = tag;
            waiting.status |= status::VP;
            bytes.copy_within(16.., 12);
            bytes.truncate(bytes.len() - 4);
        }
    }

    fn check_sums(&mut self, waiting: &mut Waiting) {
        if self.quirks.rx_checksum_ignored {
            waiting.status |= status::IXSM;
        } else {
            let verdict = verdict::of(self.part, self.reg(regs::RXCSUM), &waiting.frame.bytes);
            waiting.status |= verdict.status();
            waiting.errors |= verdict.errors();
        }
        if self.part.has_offloads() && !self.quirks.rx_raw_checksum_untouched {
            waiting.checksum = verdict::raw(&waiting.frame.bytes, (self.reg(regs::RXCSUM) & 0xff) as usize);
        }
    }

    /// Moves as much of the FIFO's first frame into descriptors as there are; false if nothing moved.
    pub(crate) fn deliver_one(&mut self) -> bool {
        self.mend_torn();
        if self.rx.fifo.is_empty() || self.rx.broken || !self.master || self.is_held_up() {
            return false;
        }
        let Some(ring) = self.ring(RX_RING) else { return false };
        let Some(mut waiting) = self.rx.fifo.pop_front() else { return false };
        let buffer_len = rctl::buffer_len(self.reg(regs::RCTL));
        let total = waiting.frame.bytes.len() + waiting.unwritten;
        let needed = total.div_ceil(buffer_len).max(1) as u32;
        if self.quirks.rx_whole_or_lost && needed > ring.owned() {
            self.overrun();
            self.finish(waiting);
            return true;
        }
        let mut moved = false;
        while waiting.done < total || !waiting.started {
            let Some(ring) = self.ring(RX_RING).filter(|ring| ring.owned() > 0) else {
                return self.out_of_descriptors(waiting, moved);
            };
            moved = true;
            if !self.fill(ring, &mut waiting, buffer_len, total) {
                break;
            }
        }
        let complete = waiting.done >= total;
        let len = total;
        self.finish(waiting);
        if complete {
            self.frame_delivered(len);
        }
        true
    }

    fn out_of_descriptors(&mut self, waiting: Waiting, moved: bool) -> bool {
        if self.quirks.rx_truncates && moved {
            self.finish(waiting);
        } else {
            self.rx.fifo.push_front(waiting);
        }
        moved
    }

    fn finish(&mut self, waiting: Waiting) {
        self.rx.used = self.rx.used.saturating_sub(waiting.room);
        self.rx.recycle(waiting.frame);
        self.resume_if_drained();
    }

    /// Fills one descriptor; false if the frame is to be given up.
    fn fill(&mut self, ring: RingShape, waiting: &mut Waiting, buffer_len: usize, total: usize) -> bool {
        let at = ring.at(ring.head);
        let Ok((address, high)) = self.fetch_descriptor(Ring::Receive, ring) else {
            self.blame_at(Wrong::DmaOutside { iova: at, len: 16 }, Ring::Receive, ring.head);
            self.rx.broken = true;
            return false;
        };
        self.verify(Ring::Receive, ring.head, address, high);
        let mut written = 0;
        if address == 0 {
            self.blame_at(Wrong::NullBuffer, Ring::Receive, ring.head);
        } else {
            self.errata_of_area(address, buffer_len as u64, (Ring::Receive, ring.head));
            written = self.share(buffer_len, total - waiting.done);
            self.stray();
            let from = waiting.done.min(waiting.frame.bytes.len());
            let to = (waiting.done + written).min(waiting.frame.bytes.len());
            if self.bus.write(address, &waiting.frame.bytes[from..to]).is_err() {
                let wrong = Wrong::DmaOutside { iova: address, len: to - from };
                self.blame_at(wrong, Ring::Receive, ring.head);
                self.advance_receive_head(ring);
                return false;
            }
            waiting.done += written;
        }
        let last = waiting.done >= total;
        let mut back = WriteBack {
            index: ring.head,
            at,
            address,
            len: written as u16,
            // Silicon gives the raw checksum in the first descriptor of a frame.
            checksum: if waiting.started { 0 } else { waiting.checksum },
            status: status::DD,
            errors: 0,
            special: 0,
        };
        if last {
            back.status |= status::EOP | waiting.status;
            back.errors = waiting.errors;
            back.special = waiting.special;
        }
        waiting.started = true;
        self.advance_receive_head(ring);
        self.write_back(back, last);
        true
    }

    /// Bytes of the next descriptor when `left` are left: a buffer full, or less if the script wants
    /// the end of the FCS in a descriptor of its own.
    fn share(&self, buffer_len: usize, left: usize) -> usize {
        let apart = usize::from(self.faults.rx_fcs_apart.min(4));
        if apart > 0 && left > apart { buffer_len.min(left - apart) } else { buffer_len.min(left) }
    }

    /// A card that would write beyond the buffer (if the script says so). An IOMMU stops it: it is
    /// counted and not done, for no card may break what `naio_dma` calls HW-1.
    fn stray(&mut self) {
        if Faults::spend(&mut self.faults.rx_strays) {
            self.dma_faults += 1;
            self.config.note_master_abort();
        }
    }

    /// RDH moves on; RXDMT0 when the free descriptors fall to the threshold.
    pub(crate) fn advance_receive_head(&mut self, ring: RingShape) {
        self.set_reg(regs::RDH, (ring.head + 1) % ring.len);
        let threshold = ring.len >> (1 + (self.reg(regs::RCTL) >> rctl::RDMTS_SHIFT & 3).min(2));
        let free = ring.owned() - 1;
        if free <= threshold && (free + 1 > threshold || self.quirks.rxdmt0_by_level) {
            self.raise(icr::RXDMT0);
        }
    }
}

/// Some PHYs on the ten-bit interface of an 82543 leave a byte 0x0F behind the frame: the FCS moves
/// on by one, and is wrong (fact sheet 5.7).
fn append_extra_byte(frame: &mut Frame) {
    let [first, rest @ ..] = frame.fcs_bytes();
    frame.bytes.push(first);
    frame.fcs = Fcs::Wrong([rest[0], rest[1], rest[2], 0x0f]);
}
