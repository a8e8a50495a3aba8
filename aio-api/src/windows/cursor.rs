//! Where one `sendfile` stands in its file, and which version of the file it means.
//!
//! Receives a file and a range and hands on positions. It asks the file for its length and its age, once at the
//! beginning and once at the end, and never reads it.

use super::WindowId;
use crate::outgoing::FileFault;
use naio_sys::clock;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// A change this long after the last one gets another time stamp: several ticks of the slowest kernel (100 Hz).
const DISTINCT_NS: i128 = 50_000_000;

/// A file as it is at one moment. A file that is cut and written anew is another version: windows of the old one name
/// pages that are not the file's any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Version {
    device: u64,
    inode: u64,
    pub(super) len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(metadata: &Metadata) -> Version {
        Version {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change now could leave the version as it is, because time stamps are coarse.
    fn is_fresh(&self) -> bool {
        let changed = i128::from(self.changed.0) * 1_000_000_000 + i128::from(self.changed.1);
        i128::from(clock::file_time_ns()) - changed < DISTINCT_NS
    }
}

/// What one operation has left of its file.
///
/// It counts as one user of the window it stands in or waits for: end it with
/// [`Windows::forget`](super::Windows::forget), whatever became of the operation.
#[derive(Debug)]
#[must_use = "a cursor holds a window until it is forgotten"]
pub(crate) struct FileCursor {
    pub(super) file: Arc<File>,
    pub(super) version: Version,
    /// Whether the version might not notice a change that comes at once.
    pub(super) is_fresh: bool,
    /// When it was opened, in the order of all cursors.
    pub(super) opened: u64,
    pub(super) next: u64,
    pub(super) end: u64,
    pub(super) hold: Option<WindowId>,
    /// The file cannot be shown to the card, or is none: read it.
    pub(super) copies: bool,
    /// Windows before this offset have been asked for ahead.
    pub(super) ahead: u64,
    /// The last time it was put among those who wait for room.
    pub(super) starved: Option<u64>,
}

impl FileCursor {
    pub(super) fn new(file: Arc<File>, offset: u64, len: u64, opened: u64) -> FileCursor {
        let metadata = file.metadata();
        let version = metadata.as_ref().map(Version::of).unwrap_or_default();
        FileCursor {
            // What has no length may have bytes all the same (/proc).
            copies: version.len == 0 || !metadata.is_ok_and(|metadata| metadata.is_file()),
            is_fresh: version.is_fresh(),
            file,
            version,
            opened,
            next: offset,
            end: offset.saturating_add(len),
            hold: None,
            ahead: 0,
            starved: None,
        }
    }

    /// Bytes that nobody has taken yet.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.next
    }

    /// `bytes` of the last slice were taken; never more than it had.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.next = self.next.saturating_add(bytes as u64).min(self.end);
    }

    /// Whether the file still has everything that was taken: asked when the operation ends. Bytes that the card read
    /// after the file was cut were zeros, or older than the file. Asks the file system; what is no regular file has
    /// no length to be checked.
    ///
    /// # Errors
    /// [`FileFault::Truncated`], or why the file cannot be asked.
    pub(crate) fn check(&self) -> Result<(), FileFault> {
        let metadata = self.file.metadata().map_err(|e| FileFault::Io(e.kind()))?;
        if metadata.is_file() && self.version.len > 0 && metadata.len() < self.next {
            return Err(FileFault::Truncated);
        }
        Ok(())
    }
}
