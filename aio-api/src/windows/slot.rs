//! One place in the table of windows: a window, a piece, or one of them on its way in or out.
//!
//! Receives what the threads have done with it and hands on slices. It counts its users and decides nothing.

use super::cursor::{FileCursor, Version};
use crate::outgoing::FileFault;
use naio_dma::{Buffer, DmaSlice, FileWindow};
use std::ops::Range;

/// Which part of which file, in which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    version: Version,
    /// A multiple of the length of a window.
    pub(super) offset: u64,
}

impl Key {
    /// The window with the cursor's next byte.
    pub(super) fn of(cursor: &FileCursor) -> Key {
        Key::at(cursor, cursor.next - cursor.next % FileWindow::LEN as u64)
    }

    /// The window at `offset`, a multiple of the length of a window.
    pub(super) fn at(cursor: &FileCursor, offset: u64) -> Key {
        Key { version: cursor.version, offset }
    }

    /// Bytes that the window will pin, at most.
    pub(super) fn pins(&self, cursor: &FileCursor) -> usize {
        let left = cursor.version.len.saturating_sub(self.offset).min(FileWindow::LEN as u64);
        // At most LEN, so it fits.
        (left as usize).next_multiple_of(naio_sys::mapping::PAGE_LEN)
    }
}

/// What is in a slot.
#[derive(Debug, Default)]
pub(super) enum Place {
    #[default]
    Empty,
    /// A window is being mapped; so many bytes are set aside for it.
    Mapping {
        pins: usize,
    },
    Window(FileWindow),
    /// A window is being unmapped, and pins its bytes until then.
    Leaving {
        pins: usize,
    },
    /// A piece is being read.
    Reading,
    Piece {
        buffer: Buffer,
        len: usize,
    },
    /// The file cannot be shown; reading it may work.
    Refused,
    Failed(FileFault),
}

#[derive(Debug)]
pub(super) struct Slot<W> {
    pub(super) place: Place,
    pub(super) generation: u32,
    /// Slices that are out, and cursors that stand here.
    pub(super) refs: u32,
    pub(super) key: Option<Key>,
    /// Where a piece begins in its file.
    pub(super) start: u64,
    /// Memory for pieces is being registered along with this one.
    pub(super) registers: bool,
    pub(super) waiters: Vec<W>,
    /// When it was used last.
    pub(super) used: u64,
    /// When it was asked for, if the file had changed so recently that another change might not show.
    pub(super) fresh_since: Option<u64>,
}

impl<W> Default for Slot<W> {
    fn default() -> Slot<W> {
        Slot {
            place: Place::Empty,
            generation: 0,
            refs: 0,
            key: None,
            start: 0,
            registers: false,
            waiters: Vec::new(),
            used: 0,
            fresh_since: None,
        }
    }
}

impl<W> Slot<W> {
    pub(super) fn is_piece(&self) -> bool {
        matches!(self.place, Place::Piece { .. })
    }

    /// Whether a cursor may share it: not if the file may have changed between, unseen.
    pub(super) fn may_serve(&self, cursor: &FileCursor) -> bool {
        self.fresh_since.is_none_or(|since| cursor.opened <= since)
    }

    /// The part with byte `next` of the file and up to `left` bytes, if it is here.
    pub(super) fn covers(&self, next: u64, left: u64) -> Option<Range<usize>> {
        let (start, len) = match &self.place {
            Place::Window(window) => (window.offset(), window.len()),
            Place::Piece { len, .. } => (self.start, *len),
            _ => return None,
        };
        let from = usize::try_from(next.checked_sub(start)?).ok().filter(|&from| from < len)?;
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(len - from);
        Some(from..from + bytes)
    }

    /// Whether byte `next` would be in this window if it were as long as windows are.
    pub(super) fn spans(&self, next: u64) -> bool {
        self.key.is_some_and(|key| next.checked_sub(key.offset).is_some_and(|at| at < FileWindow::LEN as u64))
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Option<DmaSlice> {
        match &self.place {
            Place::Window(window) => window.slice(range),
            Place::Piece { buffer, .. } => buffer.slice(range),
            _ => None,
        }
    }

    /// What was read; nobody looks into a window.
    pub(super) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        match &self.place {
            Place::Piece { buffer, .. } => buffer.get(range),
            _ => None,
        }
    }
}
