//! Windows without a queue: files to send, and what an operation gets to see of them.

use super::*;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) const LEN: usize = FileWindow::LEN;

/// With these, the polling thread does the work in `drain`: everything happens in a known order.
pub(super) const INLINE: WindowLimits =
    WindowLimits { windows_max: 8, pinned_max: usize::MAX, pieces_max: 32, workers: 0 };

pub(super) fn content(range: Range<usize>) -> Vec<u8> {
    range.map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect()
}

/// A file without a name whose last change is long enough ago to be told from the next one.
pub(super) fn file_in(folder: &Path, len: usize) -> Arc<File> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("naio-file-{}-{next}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a temporary file");
    std::fs::remove_file(&path).expect("ours");
    file.write_all_at(&content(0..len), 0).expect("room for it");
    std::thread::sleep(Duration::from_millis(80));
    Arc::new(file)
}

pub(super) fn file(len: usize) -> Arc<File> {
    file_in(&std::env::temp_dir(), len)
}

pub(super) struct Bench {
    pub(super) domain: Domain,
    pub(super) windows: Windows<u32>,
    pub(super) woken: Vec<u32>,
}

/// What an operation got to see.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) copied: bool,
    pub(super) fault: Option<FileFault>,
}

impl Bench {
    pub(super) fn new(limits: WindowLimits) -> Bench {
        let domain = Domain::new();
        Bench { windows: Windows::new(&domain, limits), domain, woken: Vec::new() }
    }

    pub(super) fn open(&mut self, file: &Arc<File>, offset: u64, len: u64) -> FileCursor {
        self.windows.open(file.clone(), offset, len)
    }

    /// What a card reads there.
    pub(super) fn card(&self, slice: DmaSlice) -> Vec<u8> {
        let mut bytes = vec![0; slice.len() as usize];
        self.domain.bus().read(slice.iova().as_u64(), &mut bytes).expect("visible");
        bytes
    }

    /// Until the waiter has something to look at; gives up after a while that no disk needs.
    pub(super) fn ready(&mut self, cursor: &mut FileCursor, waiter: u32) -> Front {
        for _ in 0..20_000 {
            match self.windows.front(cursor, waiter) {
                Front::Pending => {}
                front => return front,
            }
            self.windows.drain(&mut self.woken);
            if !std::mem::take(&mut self.woken).contains(&waiter) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        panic!("nobody woke {waiter}: {:?}", self.windows.counters());
    }

    /// Sends a range as the queue does, taking at most `most` bytes of a slice.
    pub(super) fn send(&mut self, file: &Arc<File>, offset: u64, len: u64, most: usize) -> Sent {
        let mut cursor = self.open(file, offset, len);
        let mut sent = Sent::default();
        loop {
            match self.ready(&mut cursor, 1) {
                Front::Ready { slice, window, copied } => {
                    let taken = (slice.len() as usize).min(most);
                    sent.bytes.extend_from_slice(&self.card(slice)[..taken]);
                    sent.copied |= copied;
                    cursor.advance(taken);
                    let token = self.windows.lend(window, 77);
                    assert_eq!(self.windows.take_back(token), Some(77));
                    assert_eq!(self.windows.take_back(token), None, "a token comes back once");
                }
                Front::End => break,
                Front::Failed(fault) => {
                    sent.fault = Some(fault);
                    break;
                }
                Front::Pending => unreachable!("`ready` waits"),
            }
        }
        if sent.fault.is_none() {
            sent.fault = cursor.check().err();
        }
        self.windows.forget(&mut cursor);
        sent
    }

    /// One window, held by a slice.
    pub(super) fn hold(&mut self, file: &Arc<File>, offset: u64) -> (FileCursor, WindowId, DmaSlice) {
        let mut cursor = self.open(file, offset, 100);
        match self.ready(&mut cursor, 2) {
            Front::Ready { window, slice, .. } => (cursor, window, slice),
            front => panic!("{front:?}"),
        }
    }
}
