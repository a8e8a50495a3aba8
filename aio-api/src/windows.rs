//! Windows of files that cards read from: what `sendfile` sends without a copy.
//!
//! Receives a cursor in a file and hands on card-visible slices of it, shared by all sockets that send the same part
//! of the same file; what cannot be shown to the card comes as pieces that were read. It never reads a file or maps
//! one in the thread that polls: [`worker`] does. It never touches a socket either; it says who should be looked at.
//!
//! # How to drive it
//!
//! - Submission: [`open`](Windows::open) makes the [`FileCursor`] of an operation.
//! - When the stack has room: [`front`](Windows::front) with whatever names the waiter.
//!   - [`Front::Ready`]: `let token = windows.lend(window, owner)`, and hand `slice` to the stack under that token.
//!     If it takes `n > 0` bytes, `cursor.advance(n)`; if none, `windows.take_back(token)` at once. A shorter prefix than
//!     the slice is fine: ask `front` again for the rest. `copied` belongs into the completion's flags.
//!   - [`Front::Pending`]: return; the waiter comes out of [`drain`](Windows::drain) once there is something to see.
//!     It may come out without need; then `front` says `Pending` again, and the waiter is noted still.
//!   - [`Front::End`]: every byte was taken. [`Front::Failed`]: the operation ends with that fault.
//! - The stack wants copies only: [`copy_only`](Windows::copy_only), then each `Ready` has its
//!   [`bytes`](Windows::bytes); `advance` by what was taken, and [`done`](Windows::done) in any case.
//! - A token comes back: [`take_back`](Windows::take_back) gives its owner, or `None` if the token is none of these.
//! - Once a turn, before the operations: `drain`, and look at each waiter that it names.
//! - When the operation completes: [`FileCursor::check`], then, as for one that is cancelled or fails,
//!   [`forget`](Windows::forget). Tokens that are still out come back later.
//! - When the queue is dropped: the card first, then this. The threads end by themselves.

mod cursor;
mod outcome;
mod slot;
#[cfg(test)]
mod tests;
mod worker;

use crate::outgoing::FileFault;
pub(crate) use cursor::FileCursor;
use naio_dma::{Buffer, DmaSlice, Domain, FileWindow};
use slot::{Key, Place, Slot};
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use worker::{Job, PIECE_LEN, PIECES_AT_ONCE, Workers};

/// Most windows at once: 1 GiB of the card's 4 GiB of addresses, far below the 65 535 mappings of a VFIO container.
const WINDOWS_LIMIT: usize = 512;
/// Windows that a file is shown ahead of the one that is being sent.
const WINDOWS_AHEAD: u64 = 1;

/// How much may be held, and who does the slow work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowLimits {
    /// Windows at once; at most [`WINDOWS_LIMIT`].
    pub(crate) windows_max: usize,
    /// Bytes that they pin; counted against RLIMIT_MEMLOCK of a process without CAP_IPC_LOCK.
    pub(crate) pinned_max: usize,
    /// Pieces of [`PIECE_LEN`] bytes for files that cannot be shown to the card.
    pub(crate) pieces_max: usize,
    /// Threads; with none, `drain` does the work (for tests in virtual time).
    pub(crate) workers: usize,
}

impl WindowLimits {
    /// 512 MiB in windows, or half of what the process may pin if there is an IOMMU that pins; 16 MiB in pieces; two
    /// threads, so that a slow disk does not hold up a fast one.
    pub(crate) fn of_process(domain: &Domain) -> WindowLimits {
        let memlock = if domain.is_pinned() { naio_sys::limits::pinnable() } else { None };
        let half = memlock.map_or(usize::MAX, |bytes| usize::try_from(bytes / 2).unwrap_or(usize::MAX));
        WindowLimits { windows_max: 256, pinned_max: half, pieces_max: 256, workers: 2 }
    }
}

/// What was counted, and what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowCounters {
    /// Windows of files that were shown to the card.
    pub mapped: u64,
    /// Of these, asked for ahead of their use.
    pub ahead: u64,
    /// Times an operation found its window there already.
    pub shared: u64,
    /// Windows taken from the card again to make room.
    pub evicted: u64,
    /// Windows that a file system or the IOMMU refused: the file was copied instead.
    pub refused: u64,
    /// Pieces that were read because the file cannot be shown, or there was no room to.
    pub pieces: u64,
    /// Bytes in them.
    pub copied_bytes: u64,
    /// Reads that failed, or found less than the operation was to send.
    pub faults: u64,
    /// Times an operation had to wait for room.
    pub no_room: u64,
    /// CPU time that mapping, unmapping and reading took, most of it the kernel's, in other threads.
    pub worker_cpu_us: u64,
    /// Windows that are shown now, or on their way in or out.
    pub windows: u64,
    /// Bytes that these pin.
    pub pinned_bytes: u64,
}

/// A window or piece that a slice lies in, and which use of its place that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowId {
    slot: u32,
    generation: u32,
}

/// The next bytes of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// There they are, with one reference counted.
    Ready { slice: DmaSlice, window: WindowId, copied: bool },
    /// Not yet; the waiter will come out of [`Windows::drain`].
    Pending,
    /// Every byte was taken.
    End,
    /// There are none.
    Failed(FileFault),
}

/// A token that names a loan; no operation's own has this bit.
const IS_LOAN: u64 = 1 << 63;

/// What `acquire` found.
enum Room {
    Slot(usize),
    /// Something is on its way out.
    Soon,
    None,
}

/// The windows of one queue. `W` names who waits, a socket for example.
pub(crate) struct Windows<W> {
    limits: WindowLimits,
    workers: Workers,
    slots: Vec<Slot<W>>,
    free: Vec<usize>,
    /// The window that new users of a part of a file get.
    index: HashMap<Key, usize>,
    /// Windows that are shown, or on their way in or out, and bytes that they pin.
    windows: usize,
    pinned: usize,
    /// Windows on their way out.
    leaving: usize,
    /// Slices that the stack has, and on whose behalf; the places that are free.
    loans: Vec<Option<(u64, WindowId)>>,
    idle_loans: Vec<usize>,
    idle_pieces: Vec<Buffer>,
    pieces: usize,
    /// Who waits for room, and how often they were all told to look again.
    starved: Vec<W>,
    epoch: u64,
    woken: Vec<W>,
    /// Counts cursors, and orders uses.
    tick: u64,
    counters: WindowCounters,
}

impl<W: Copy> Windows<W> {
    pub(crate) fn new(domain: &Domain, limits: WindowLimits) -> Windows<W> {
        // Without a single piece, a file that cannot be shown would wait for ever.
        let pieces_max = limits.pieces_max.max(PIECES_AT_ONCE);
        let windows_max = limits.windows_max.min(WINDOWS_LIMIT);
        let limits = WindowLimits { windows_max, pieces_max, ..limits };
        // Each slot has one job at most.
        let slots_max = limits.windows_max + limits.pieces_max;
        Windows {
            workers: Workers::new(domain, limits.workers, slots_max),
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            windows: 0,
            pinned: 0,
            leaving: 0,
            loans: Vec::new(),
            idle_loans: Vec::new(),
            idle_pieces: Vec::new(),
            pieces: 0,
            starved: Vec::new(),
            epoch: 0,
            woken: Vec::new(),
            tick: 0,
            counters: WindowCounters::default(),
        }
    }

    /// A cursor over `len` bytes of `file` from `offset`. Asks the file for its length and age, which no disk is
    /// needed for (a file system on a network may need its network). A file that cannot be asked is read, which tells
    /// what is wrong with it.
    pub(crate) fn open(&mut self, file: Arc<File>, offset: u64, len: u64) -> FileCursor {
        self.tick += 1;
        FileCursor::new(file, offset, len, self.tick)
    }

    /// The next bytes, if they are at hand; else they are sent for, and `waiter` is told by [`drain`](Windows::drain).
    pub(crate) fn front(&mut self, cursor: &mut FileCursor, waiter: W) -> Front {
        loop {
            if cursor.left() == 0 {
                return Front::End;
            }
            let Some(hold) = cursor.hold else {
                match self.acquire(cursor, waiter) {
                    Some(slot) => cursor.hold = Some(self.id(slot)),
                    None => return self.starve(cursor, waiter),
                }
                continue;
            };
            let slot = &mut self.slots[hold.slot as usize];
            if let Some(range) = slot.covers(cursor.next, cursor.left()) {
                let Some(slice) = slot.slice(range) else { return Front::Failed(FileFault::Truncated) };
                slot.refs += 1;
                slot.used = self.tick;
                let copied = slot.is_piece();
                if !copied {
                    self.map_ahead(cursor);
                }
                return Front::Ready { slice, window: hold, copied };
            }
            match &slot.place {
                Place::Mapping { .. } | Place::Reading => return Front::Pending,
                Place::Failed(fault) => {
                    let fault = *fault;
                    self.forget(cursor);
                    return Front::Failed(fault);
                }
                Place::Refused => cursor.copies = true,
                // The window is shorter than it should be: the file ended there.
                Place::Window(window) if slot.spans(cursor.next) && window.len() > 0 => {
                    self.counters.faults += 1;
                    self.forget(cursor);
                    return Front::Failed(FileFault::Truncated);
                }
                Place::Window(_) | Place::Piece { .. } | Place::Empty | Place::Leaving { .. } => {}
            }
            self.forget(cursor);
        }
    }

    /// Moves the reference of a [`Front::Ready`] into a token: whoever has it, has the window. As many are out as the
    /// stack has slices.
    pub(crate) fn lend(&mut self, window: WindowId, owner: u64) -> u64 {
        let at = self.idle_loans.pop().unwrap_or_else(|| {
            self.loans.push(None);
            self.loans.len() - 1
        });
        self.loans[at] = Some((owner, window));
        at as u64 | IS_LOAN
    }

    /// The stack is through with a slice: the owner that was named when it was lent, `None` for a token that `lend` did
    /// not give, or that has come back already.
    pub(crate) fn take_back(&mut self, token: u64) -> Option<u64> {
        let at = usize::try_from(token & !IS_LOAN).ok().filter(|_| token & IS_LOAN != 0)?;
        let (owner, window) = self.loans.get_mut(at)?.take()?;
        self.idle_loans.push(at);
        self.done(window);
        Some(owner)
    }

    /// From here on the file is read for this cursor: the stack takes no references.
    pub(crate) fn copy_only(&mut self, cursor: &mut FileCursor) {
        if !cursor.copies {
            self.forget(cursor);
            cursor.copies = true;
        }
    }

    /// The next bytes themselves; only of what was read, and only after a [`Front::Ready`].
    pub(crate) fn bytes(&self, cursor: &FileCursor) -> Option<&[u8]> {
        let slot = self.slots.get(cursor.hold?.slot as usize)?;
        slot.bytes(slot.covers(cursor.next, cursor.left())?)
    }

    /// One reference to a window less: the stack has taken nothing of the slice, or is through with it.
    pub(crate) fn done(&mut self, window: WindowId) {
        let Some(slot) = self.slots.get_mut(window.slot as usize) else { return };
        if slot.generation != window.generation || slot.refs == 0 {
            debug_assert!(false, "a reference is given back once");
            return;
        }
        slot.refs -= 1;
        if slot.refs == 0 {
            self.unreferenced(window.slot as usize);
        }
    }

    /// Ends a cursor's use of its window, whatever became of the operation. The cursor can go on with `front`.
    pub(crate) fn forget(&mut self, cursor: &mut FileCursor) {
        if let Some(hold) = cursor.hold.take() {
            self.done(hold);
        }
    }

    /// Collects what the threads have done, and names those who should be looked at. Costs next to nothing when
    /// nothing is under way.
    pub(crate) fn drain(&mut self, waiters: &mut Vec<W>) {
        while let Some((slot, outcome, cost)) = self.workers.outcome() {
            // A duration of a thread fits in 64 bits of microseconds.
            self.counters.worker_cpu_us += cost.as_micros() as u64;
            self.collect(slot, outcome);
        }
        waiters.append(&mut self.woken);
    }

    /// Whether `drain` has something to collect, or soon will.
    pub(crate) fn is_busy(&self) -> bool {
        self.workers.is_busy() || !self.woken.is_empty()
    }

    /// Lets go of every window that nobody uses, so that a deleted file gives its space back, or a file system can be
    /// unmounted. They are gone some turns later.
    pub(crate) fn release_unused(&mut self) {
        while self.evict() {}
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> WindowCounters {
        let (windows, pinned_bytes) = (self.windows as u64, self.pinned as u64);
        WindowCounters { windows, pinned_bytes, ..self.counters }
    }

    fn id(&self, slot: usize) -> WindowId {
        // At most WINDOWS_LIMIT windows and a bounded number of pieces.
        WindowId { slot: slot as u32, generation: self.slots[slot].generation }
    }

    /// A slot that holds the cursor's next bytes or will, with a reference for the cursor.
    fn acquire(&mut self, cursor: &mut FileCursor, waiter: W) -> Option<usize> {
        if !cursor.copies {
            let key = Key::of(cursor);
            if let Some(&at) = self.index.get(&key)
                && self.slots[at].may_serve(cursor)
            {
                self.counters.shared += 1;
                self.join(at, waiter);
                return Some(at);
            }
            match self.map(key, cursor) {
                Room::Slot(at) => {
                    self.join(at, waiter);
                    return Some(at);
                }
                Room::Soon => return None,
                Room::None => {}
            }
        }
        let at = self.read(cursor)?;
        self.join(at, waiter);
        Some(at)
    }

    fn join(&mut self, at: usize, waiter: W) {
        let slot = &mut self.slots[at];
        slot.refs += 1;
        if matches!(slot.place, Place::Mapping { .. } | Place::Reading) {
            slot.waiters.push(waiter);
        }
    }

    fn starve(&mut self, cursor: &mut FileCursor, waiter: W) -> Front {
        if cursor.starved != Some(self.epoch) {
            cursor.starved = Some(self.epoch);
            self.counters.no_room += 1;
            self.starved.push(waiter);
        }
        Front::Pending
    }

    /// There may be room now: everybody who waits for some is to look again.
    fn feed_starved(&mut self) {
        if !self.starved.is_empty() {
            self.epoch += 1;
            self.woken.append(&mut self.starved);
        }
    }

    /// Has a window mapped, with nobody's reference yet.
    fn map(&mut self, key: Key, cursor: &FileCursor) -> Room {
        let pins = key.pins(cursor);
        if pins > self.limits.pinned_max || self.limits.windows_max == 0 {
            return Room::None;
        }
        if self.pinned + pins > self.limits.pinned_max || self.windows >= self.limits.windows_max {
            // What is on its way out makes room in a moment; nothing else is sent after it until then.
            return if self.leaving > 0 || self.evict() { Room::Soon } else { Room::None };
        }
        self.windows += 1;
        self.pinned += pins;
        let at = self.occupy(Place::Mapping { pins });
        let slot = &mut self.slots[at];
        slot.key = Some(key);
        slot.fresh_since = cursor.is_fresh.then_some(self.tick);
        self.index.insert(key, at);
        self.workers.submit(Job::Map { slot: at, file: cursor.file.clone(), offset: key.offset });
        Room::Slot(at)
    }

    /// Has the window behind the cursor's mapped, if it will be needed and there is room.
    fn map_ahead(&mut self, cursor: &mut FileCursor) {
        let len = FileWindow::LEN as u64;
        let current = cursor.next - cursor.next % len;
        if cursor.ahead > current {
            return;
        }
        cursor.ahead = current + len;
        let last = cursor.end.min(cursor.version.len);
        for offset in (1..=WINDOWS_AHEAD).filter_map(|n| current.checked_add(n * len)) {
            let key = Key::at(cursor, offset);
            if offset >= last || self.index.contains_key(&key) {
                continue;
            }
            if let Room::Slot(_) = self.map(key, cursor) {
                self.counters.ahead += 1;
            }
        }
    }

    /// Has a piece read, if there is memory for it.
    fn read(&mut self, cursor: &FileCursor) -> Option<usize> {
        let buffer = self.idle_pieces.pop();
        if buffer.is_none() {
            if self.pieces + PIECES_AT_ONCE > self.limits.pieces_max {
                return None;
            }
            self.pieces += PIECES_AT_ONCE;
        }
        // At most PIECE_LEN, so it fits.
        let len = cursor.left().min(PIECE_LEN as u64) as usize;
        let at = self.occupy(Place::Reading);
        let slot = &mut self.slots[at];
        slot.start = cursor.next;
        slot.registers = buffer.is_none();
        let file = cursor.file.clone();
        self.workers.submit(Job::Read { slot: at, file, offset: cursor.next, len, buffer });
        Some(at)
    }

    fn occupy(&mut self, place: Place) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slots[at].place = place;
        self.slots[at].used = self.tick;
        at
    }

    /// Empties a slot that nobody refers to and no job is under way for.
    fn vacate(&mut self, at: usize) {
        self.unlist(at);
        let slot = &mut self.slots[at];
        self.woken.append(&mut slot.waiters);
        let generation = slot.generation.wrapping_add(1);
        *slot = Slot { generation, ..Slot::default() };
        self.free.push(at);
    }

    /// New users of that part of the file get another window.
    fn unlist(&mut self, at: usize) {
        if let Some(key) = self.slots[at].key
            && self.index.get(&key) == Some(&at)
        {
            self.index.remove(&key);
        }
    }

    /// The last reference to a slot is gone.
    fn unreferenced(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        match &slot.place {
            // Kept for the next user, unless there can be none.
            Place::Window(_) => {
                let listed = slot.key.is_some_and(|key| self.index.get(&key) == Some(&at));
                if !listed {
                    self.leave(at);
                }
                self.feed_starved();
            }
            Place::Piece { .. } => {
                if let Place::Piece { buffer, .. } = std::mem::replace(&mut slot.place, Place::Empty) {
                    self.idle_pieces.push(buffer);
                }
                self.vacate(at);
                self.feed_starved();
            }
            Place::Failed(_) | Place::Refused => self.vacate(at),
            // Their outcome finds nobody waiting.
            Place::Mapping { .. } | Place::Reading | Place::Leaving { .. } | Place::Empty => {}
        }
    }

    /// Sends the window that was used longest ago, of those that nobody uses, on its way out.
    fn evict(&mut self) -> bool {
        let idle = |slot: &Slot<W>| slot.refs == 0 && matches!(slot.place, Place::Window(_));
        let oldest =
            (0..self.slots.len()).filter(|&at| idle(&self.slots[at])).min_by_key(|&at| self.slots[at].used);
        let Some(oldest) = oldest else { return false };
        self.counters.evicted += 1;
        self.leave(oldest);
        true
    }

    fn leave(&mut self, at: usize) {
        self.unlist(at);
        let slot = &mut self.slots[at];
        match std::mem::replace(&mut slot.place, Place::Empty) {
            Place::Window(window) => {
                slot.place = Place::Leaving { pins: window.pinned_len() };
                self.leaving += 1;
                self.workers.submit(Job::Unmap { slot: at, window });
            }
            other => slot.place = other,
        }
    }
}
