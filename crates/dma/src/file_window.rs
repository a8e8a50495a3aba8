//! A window of a file that cards may read: page-cache pages as transmit memory, without a copy.
//!
//! Receives a file and an offset and hands on [`DmaSlice`]s. Nothing in the program ever looks through a window: if
//! somebody cuts the file, a load from behind its end would kill the process. A card on hardware reads pages that stay
//! pinned; a card of software goes through [`Bus`](crate::Bus), which asks the file.
//!
//! Whoever changes the file while its bytes are being sent changes what is sent: old, new or a mixture, again in each
//! retransmission. That is the price of sending without a copy, as for sendfile(2). A file that is cut sends zeros or
//! what was there before; [`FileWindow::is_whole`] tells afterwards.

use crate::domain::Domain;
use crate::iova::DmaSlice;
use crate::region::{Region, RegionError};
use naio_sys::mapping::{FileMapping, HUGE_PAGE_LEN, MappingError};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A part of a file could not be shown to the cards. Only [`Ended`](WindowError::Ended) says that there is nothing to
/// send; for all the others the bytes may still be had by reading the file.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// Windows begin at multiples of [`FileWindow::LEN`].
    #[error("a window of a file begins at a multiple of {}, not at {offset}", FileWindow::LEN)]
    Offset {
        /// Where it was to begin.
        offset: u64,
    },
    /// The file has no byte there.
    #[error("the file ends at {size}, before byte {offset}")]
    Ended {
        /// Where the window was to begin.
        offset: u64,
        /// The file's length.
        size: u64,
    },
    /// A pipe, a directory, a device: there are no page-cache pages of known length behind it.
    #[error("this is no regular file")]
    NotAFile,
    /// The file cannot be asked for its length.
    #[error("the file does not tell its length")]
    Size(#[source] io::Error),
    /// The file system does not map files, or the process has too many mappings.
    #[error("the file cannot be mapped")]
    Unmappable(#[source] MappingError),
    /// The bytes could not be read, or the file was cut just now.
    #[error("the file cannot be read into the page cache")]
    Unreadable(#[source] MappingError),
    /// The cards cannot be shown these pages: a file system that forbids it, RLIMIT_MEMLOCK, the address space.
    #[error(transparent)]
    Refused(#[from] RegionError),
}

/// A window of a file, visible to every card of the domain for reading, until it is dropped.
pub struct FileWindow {
    region: Region,
    file: Arc<File>,
    offset: u64,
    len: usize,
}

impl FileWindow {
    /// Bytes of a window, and what its offset is a multiple of. One entry of the card's address translation where the
    /// page cache has 2 MB pages.
    pub const LEN: usize = HUGE_PAGE_LEN;

    /// Shows the bytes of `file` from `offset`, a multiple of [`LEN`](FileWindow::LEN), to every card: as many as that,
    /// or up to the present end of the file. Reads them into the page cache first, so it takes as long as the disk
    /// does: not for a thread that polls.
    ///
    /// # Errors
    /// Nothing there, or no way to show it: see [`WindowError`].
    pub fn map(domain: &Domain, file: &Arc<File>, offset: u64) -> Result<FileWindow, WindowError> {
        if !offset.is_multiple_of(FileWindow::LEN as u64) {
            return Err(WindowError::Offset { offset });
        }
        let metadata = file.metadata().map_err(WindowError::Size)?;
        if !metadata.is_file() {
            return Err(WindowError::NotAFile);
        }
        let size = metadata.len();
        let left = size.checked_sub(offset).filter(|&left| left > 0);
        let left = left.ok_or(WindowError::Ended { offset, size })?;
        // At most LEN, so it fits.
        let len = left.min(FileWindow::LEN as u64) as usize;
        let mapping = FileMapping::new(file, offset, len).map_err(WindowError::Unmappable)?;
        // Before the domain's lock is taken: from here on the IOMMU finds every page at hand.
        mapping.populate().map_err(WindowError::Unreadable)?;
        let region = Region::of_file(domain, mapping, file, offset)?;
        Ok(FileWindow { region, file: file.clone(), offset, len })
    }

    /// Bytes of the file that the window showed when it was made; more than none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a window is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are pinned for it: the length in whole pages.
    #[must_use]
    pub fn pinned_len(&self) -> usize {
        self.region.len()
    }

    /// Where in the file it begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// A part of the window as a transmit descriptor names it, `None` if `range` is not inside.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Option<DmaSlice> {
        let len = range.end.checked_sub(range.start)?;
        if range.end > self.len || range.start == self.len {
            return None;
        }
        // A window is at most 2 MiB.
        Some(DmaSlice::new(self.region.iova(range.start), len as u32))
    }

    /// Whether the file still has all the bytes that the window showed. Asks the file system.
    ///
    /// # Errors
    /// The file cannot be asked any more.
    pub fn is_whole(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() >= self.offset + self.len as u64)
    }
}

impl std::fmt::Debug for FileWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWindow")
            .field("offset", &self.offset)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
