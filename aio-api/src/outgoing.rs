//! What a send operation has left to hand to the stack: one buffer, several, or a part of a file.
//!
//! Hands out the next stretch of bytes and is told how many of them were taken. Files are read here,
//! a piece at a time, with `pread`: copying, and blocking while the page cache is cold.

use naio_dma::{Buffer, DmaSlice};
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Pieces of a `sendv` that are shorter are copied: naming them costs the card more than copying costs us, and a
/// packet cannot name many.
pub const REFERENCE_LEN_MIN: usize = 256;

/// Bytes of a file held in memory for one operation.
const FILE_PIECE_LEN: usize = 64 * 1024;

/// The file gave fewer bytes than were asked for, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFault {
    Truncated,
    Io(ErrorKind),
}

/// Bytes on their way into the stack.
#[derive(Debug)]
pub(crate) enum Outgoing {
    One { buffer: Buffer, range: Range<usize> },
    Many { parts: Vec<(Buffer, Range<usize>)>, next: usize },
    Copy { bytes: Box<[u8]>, taken: usize },
    File { file: Arc<File>, offset: u64, left: u64, piece: Vec<u8>, taken: usize },
}

impl Outgoing {
    pub(crate) fn file(file: Arc<File>, offset: u64, len: u64) -> Outgoing {
        Outgoing::File { file, offset, left: len, piece: Vec::new(), taken: 0 }
    }

    /// Whether everything was taken.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Outgoing::One { range, .. } => range.is_empty(),
            Outgoing::Many { parts, next } => parts[*next..].iter().all(|(_, range)| range.is_empty()),
            Outgoing::Copy { bytes, taken } => bytes.len() == *taken,
            Outgoing::File { left, piece, taken, .. } => *left == 0 && piece.len() == *taken,
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
            Outgoing::Copy { .. } | Outgoing::File { .. } => None,
        }
    }

    /// The next bytes; none if everything was taken.
    pub(crate) fn front(&mut self) -> Result<&[u8], FileFault> {
        match self {
            Outgoing::One { buffer, range } => Ok(&buffer[range.clone()]),
            Outgoing::Many { parts, next } => {
                Ok(skip_empty(parts, next).map_or(&[], |(buffer, range)| &buffer[range.clone()]))
            }
            Outgoing::Copy { bytes, taken } => Ok(&bytes[*taken..]),
            Outgoing::File { file, offset, left, piece, taken } => {
                if *taken == piece.len() && *left > 0 {
                    let want = (*left).min(FILE_PIECE_LEN as u64) as usize;
                    piece.resize(want, 0);
                    let got = read(file, piece, *offset)?;
                    piece.truncate(got);
                    *taken = 0;
                    *offset += got as u64;
                    *left -= got as u64;
                }
                Ok(&piece[*taken..])
            }
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
            Outgoing::File { taken, .. } | Outgoing::Copy { taken, .. } => *taken += bytes,
        }
    }

    /// The buffers that moved into the operation: the only one, or all of several.
    pub(crate) fn into_buffers(self) -> (Option<Buffer>, Vec<Buffer>) {
        match self {
            Outgoing::One { buffer, .. } => (Some(buffer), Vec::new()),
            Outgoing::Many { parts, .. } => (None, parts.into_iter().map(|(buffer, _)| buffer).collect()),
            Outgoing::Copy { .. } | Outgoing::File { .. } => (None, Vec::new()),
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

/// Reads at least one byte; the end of the file is a fault here, because more was promised.
fn read(file: &File, into: &mut [u8], offset: u64) -> Result<usize, FileFault> {
    loop {
        match file.read_at(into, offset) {
            Ok(0) => return Err(FileFault::Truncated),
            Ok(bytes) => return Ok(bytes),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(FileFault::Io(e.kind())),
        }
    }
}
