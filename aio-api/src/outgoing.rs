//! What a send operation has left to hand to the stack: one buffer, several, or a part of a file.
//!
//! Hands out the next stretch of bytes and is told how many of them were taken. Of a file it has only the cursor: the
//! bytes are in `windows`.

use crate::windows::FileCursor;
use naio_dma::{Buffer, DmaSlice};
use std::io::ErrorKind;
use std::ops::Range;

/// Pieces of a `sendv` that are shorter are copied: naming them costs the card more than copying costs us, and a
/// packet cannot name many.
pub const REFERENCE_LEN_MIN: usize = 256;

/// The file gave fewer bytes than were asked for, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFault {
    Truncated,
    Io(ErrorKind),
}

/// Bytes on their way into the stack.
#[derive(Debug)]
pub(crate) enum Outgoing {
    One {
        buffer: Buffer,
        range: Range<usize>,
    },
    Many {
        parts: Vec<(Buffer, Range<usize>)>,
        next: usize,
    },
    Copy {
        bytes: Box<[u8]>,
        taken: usize,
    },
    /// Boxed, because every operation is as large as the largest.
    File(Box<FileCursor>),
}

impl Outgoing {
    /// Whether everything was taken.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Outgoing::One { range, .. } => range.is_empty(),
            Outgoing::Many { parts, next } => parts[*next..].iter().all(|(_, range)| range.is_empty()),
            Outgoing::Copy { bytes, taken } => bytes.len() == *taken,
            Outgoing::File(cursor) => cursor.left() == 0,
        }
    }

    /// The next bytes as the card knows them, if they are to be sent from where they are.
    pub(crate) fn reference(&mut self) -> Option<DmaSlice> {
        match self {
            Outgoing::One { buffer, range } => buffer.slice(range.clone()),
            Outgoing::Many { parts, next } => {
                let (buffer, range) = skip_empty(parts, next)?;
                buffer.slice(range.clone()).filter(|slice| slice.len() as usize >= REFERENCE_LEN_MIN)
            }
            Outgoing::Copy { .. } | Outgoing::File(_) => None,
        }
    }

    /// The next bytes; none if everything was taken, or if they are a file's.
    pub(crate) fn front(&mut self) -> &[u8] {
        match self {
            Outgoing::One { buffer, range } => &buffer[range.clone()],
            Outgoing::Many { parts, next } => {
                skip_empty(parts, next).map_or(&[], |(buffer, range)| &buffer[range.clone()])
            }
            Outgoing::Copy { bytes, taken } => &bytes[*taken..],
            Outgoing::File(_) => &[],
        }
    }

    /// `bytes` of the last front were taken.
    pub(crate) fn advance(&mut self, bytes: usize) {
        match self {
            Outgoing::One { range, .. } => range.start += bytes,
            Outgoing::Many { parts, next } => {
                if let Some((_, range)) = parts.get_mut(*next) {
                    range.start += bytes;
                }
            }
            Outgoing::Copy { taken, .. } => *taken += bytes,
            Outgoing::File(cursor) => cursor.advance(bytes),
        }
    }

    /// Whether what was taken is still what it was: a file may have been cut.
    pub(crate) fn check(&self) -> Result<(), FileFault> {
        match self {
            Outgoing::File(cursor) => cursor.check(),
            _ => Ok(()),
        }
    }

    /// The buffers that moved into the operation: the only one, or all of several.
    pub(crate) fn into_buffers(self) -> (Option<Buffer>, Vec<Buffer>) {
        match self {
            Outgoing::One { buffer, .. } => (Some(buffer), Vec::new()),
            Outgoing::Many { parts, .. } => (None, parts.into_iter().map(|(buffer, _)| buffer).collect()),
            Outgoing::Copy { .. } | Outgoing::File(_) => (None, Vec::new()),
        }
    }
}

/// The first part that is not empty, from `next` on.
fn skip_empty<'a>(
    parts: &'a [(Buffer, Range<usize>)],
    next: &mut usize,
) -> Option<&'a (Buffer, Range<usize>)> {
    while parts.get(*next).is_some_and(|(_, range)| range.is_empty()) {
        *next += 1;
    }
    parts.get(*next)
}
