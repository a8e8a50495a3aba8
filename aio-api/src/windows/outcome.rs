//! What becomes of a window or a piece that the threads were asked for.
//!
//! Receives their outcomes and puts each into its slot, or takes the slot back; wakes who waited for it. It asks the
//! threads for nothing new, except that a window nobody can use any more leaves.

use super::Windows;
use super::slot::Place;
use super::worker::{Outcome, PIECES_AT_ONCE};
use crate::outgoing::FileFault;
use naio_dma::{Buffer, RegionError, WindowError};
use std::io::ErrorKind;

impl<W: Copy> Windows<W> {
    pub(super) fn collect(&mut self, at: usize, outcome: Outcome) {
        let slot = &mut self.slots[at];
        self.woken.append(&mut slot.waiters);
        match outcome {
            Outcome::Mapped(Ok(window)) => {
                if let Place::Mapping { pins } = slot.place {
                    self.pinned = self.pinned - pins + window.pinned_len();
                }
                self.counters.mapped += 1;
                slot.place = Place::Window(window);
                if slot.refs == 0 {
                    self.unreferenced(at);
                }
            }
            Outcome::Mapped(Err(error)) => self.refuse(at, &error),
            Outcome::Unmapped => {
                if let Place::Leaving { pins } = slot.place {
                    self.pinned -= pins;
                    self.windows -= 1;
                    self.leaving -= 1;
                }
                self.vacate(at);
                self.feed_starved();
            }
            Outcome::Read { mut buffers, got } => {
                let first = if buffers.is_empty() { None } else { Some(buffers.swap_remove(0)) };
                self.idle_pieces.append(&mut buffers);
                self.collect_piece(at, first, got);
            }
            Outcome::NoMemory(error) => {
                log::warn!("no memory to read a file into: {error}");
                self.no_memory(at);
            }
            Outcome::Panicked => {
                log::error!("a thread that serves files panicked; the operation ends, the thread goes on");
                self.fail(at, FileFault::Io(ErrorKind::Other));
            }
        }
    }

    fn collect_piece(&mut self, at: usize, buffer: Option<Buffer>, got: Result<usize, ErrorKind>) {
        let Some(buffer) = buffer else {
            self.fail(at, FileFault::Io(ErrorKind::OutOfMemory));
            return;
        };
        let slot = &mut self.slots[at];
        slot.registers = false;
        match got {
            Ok(len) if len > 0 && slot.refs > 0 => {
                self.counters.pieces += 1;
                self.counters.copied_bytes += len as u64;
                slot.place = Place::Piece { buffer, len };
            }
            outcome => {
                self.idle_pieces.push(buffer);
                self.fail(at, outcome.map_or_else(FileFault::Io, |_| FileFault::Truncated));
            }
        }
        // Memory that was registered with this piece serves others, too.
        if !self.idle_pieces.is_empty() {
            self.feed_starved();
        }
    }

    /// A window is not to be had. Only the end of the file is a fault already; else reading tells what is wrong.
    fn refuse(&mut self, at: usize, error: &WindowError) {
        self.let_go(at);
        if matches!(error, WindowError::Ended { .. }) {
            self.fail(at, FileFault::Truncated);
            return;
        }
        log::debug!("copying a part of a file instead of showing it to the card: {error}");
        self.counters.refused += 1;
        if is_full(error) {
            // What is there is what there can be: from here on, each new window has to wait until an old one left.
            self.limits.pinned_max = self.limits.pinned_max.min(self.pinned);
        }
        self.unlist(at);
        self.slots[at].place = Place::Refused;
        if self.slots[at].refs == 0 {
            self.vacate(at);
        }
        self.feed_starved();
    }

    /// No more pieces are to be had: who wants one waits for those that are there, if any are.
    fn no_memory(&mut self, at: usize) {
        self.slots[at].registers = false;
        self.pieces -= PIECES_AT_ONCE;
        self.limits.pieces_max = self.limits.pieces_max.min(self.pieces);
        if self.pieces == 0 {
            self.fail(at, FileFault::Io(ErrorKind::OutOfMemory));
            return;
        }
        self.slots[at].place = Place::Refused;
        if self.slots[at].refs == 0 {
            self.vacate(at);
        }
    }

    fn fail(&mut self, at: usize, fault: FileFault) {
        self.let_go(at);
        self.counters.faults += u64::from(self.slots[at].refs > 0);
        self.unlist(at);
        if std::mem::take(&mut self.slots[at].registers) {
            self.pieces -= PIECES_AT_ONCE;
        }
        self.slots[at].place = Place::Failed(fault);
        if self.slots[at].refs == 0 {
            self.vacate(at);
        }
        self.feed_starved();
    }

    /// A window that was to come, or to leave, is not there any more: it pins nothing.
    fn let_go(&mut self, at: usize) {
        match std::mem::replace(&mut self.slots[at].place, Place::Empty) {
            Place::Mapping { pins } => {
                self.windows -= 1;
                self.pinned -= pins;
            }
            Place::Leaving { pins } => {
                self.windows -= 1;
                self.leaving -= 1;
                self.pinned -= pins;
            }
            other => self.slots[at].place = other,
        }
    }
}

/// Whether the limit on pinned memory or the card's addresses are used up, rather than this file being unfit.
fn is_full(error: &WindowError) -> bool {
    match error {
        WindowError::Refused(RegionError::Refused(refused)) => refused.memlock.is_some(),
        WindowError::Refused(RegionError::Addresses(_)) => true,
        _ => false,
    }
}
