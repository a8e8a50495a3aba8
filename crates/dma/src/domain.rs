//! The domain: one IO virtual address space for the whole process.
//!
//! Receives regions of memory and cards; makes every region visible to every card, and takes it
//! from all of them before the memory is freed. It never looks at what the memory holds.
#![allow(unsafe_code, reason = "a Mapper lets a device write memory: implementing it is a promise")]

use crate::bus::Bus;
use crate::iova::{Iova, IovaAllocator, IovaExhausted};
use std::collections::BTreeMap;
use std::fs::File;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// An IOMMU (or the kernel in front of it) refused to map or unmap.
#[derive(Debug, thiserror::Error)]
#[error("the IOMMU refused {len} bytes at {iova:#x}{}", advice(.memlock))]
pub struct MapRefused {
    /// The card-side address.
    pub iova: u64,
    /// Length in bytes.
    pub len: usize,
    /// The limit on pinned memory, if that is the likely reason.
    pub memlock: Option<u64>,
    /// The reason as the kernel gave it.
    #[source]
    pub source: std::io::Error,
}

fn advice(memlock: &Option<u64>) -> String {
    match memlock {
        Some(limit) => format!(
            ": this process may pin {} KiB (RLIMIT_MEMLOCK); raise it with `ulimit -l` or \
             LimitMEMLOCK=, give CAP_IPC_LOCK, or ask for less memory",
            limit / 1024
        ),
        None => String::new(),
    }
}

/// What a card may do with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads only: memory that is sent from, and windows of files. A write faults.
    Read,
    /// It reads and writes: rings, and pages it receives into.
    ReadWrite,
}

/// Whatever translates a card's addresses: an IOMMU container, or nothing for a card of software.
///
/// # Safety
/// An implementation promises that after a successful [`unmap`](Mapper::unmap) the card can no
/// longer reach that range, that `map` makes nothing visible but the range it was given, that a range of
/// [`Access::Read`] cannot be written by the card, and that nothing at `start` is ever read or written by `map` itself
/// (it may lie behind the end of a file).
pub unsafe trait Mapper: Send + Sync {
    /// Lets the card reach `len` bytes at `start` under the address `iova`, as `access` says.
    ///
    /// # Safety
    /// 1. `start..start + len` stays mapped memory until `unmap` of the same range returned.
    /// 2. Nobody reads or writes it meanwhile but under the rules of HW-1.
    ///
    /// # Errors
    /// The refusal; nothing is mapped then.
    unsafe fn map(
        &self,
        iova: Iova,
        start: NonNull<u8>,
        len: usize,
        access: Access,
    ) -> Result<(), MapRefused>;

    /// Takes the range from the card again.
    ///
    /// # Errors
    /// The refusal; the range must then be treated as still visible.
    fn unmap(&self, iova: Iova, len: usize) -> Result<(), MapRefused>;
}

/// A card could not be attached; it sees nothing of the domain.
#[derive(Debug, thiserror::Error)]
#[error("cannot attach a card to the memory of this process")]
pub struct AttachError(#[from] pub MapRefused);

/// One IO virtual address space; clones name the same one.
///
/// Everything that a card may touch is mapped here once, at the same address for every card.
#[derive(Clone, Default)]
pub struct Domain {
    shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The card's view, for [`Bus`]: looked up far more often than it changes.
    visible: RwLock<BTreeMap<u64, Visible>>,
    /// Times a card of software read where a file had ended, or could not be read.
    file_faults: AtomicU64,
}

/// A range as the domain shows it.
#[derive(Clone)]
pub(crate) struct Visible {
    pub(crate) start: NonNull<u8>,
    pub(crate) len: usize,
    pub(crate) access: Access,
    /// The file that the range maps, and the offset in it: then `start` is for the kernel alone, since a load from
    /// behind the end of a file kills the process.
    pub(crate) file: Option<(Arc<File>, u64)>,
}

/// Where a card's address leads.
pub(crate) enum Place<'a> {
    /// Memory.
    Memory(NonNull<u8>),
    /// A file, from this offset.
    File(&'a Arc<File>, u64),
}

// SAFETY:
// 1. `Visible` is an address and a length; using the address is `Bus`'s affair, argued there.
unsafe impl Send for Visible {}
// SAFETY:
// 1. As above: shared reads of two plain fields.
unsafe impl Sync for Visible {}

struct State {
    addresses: IovaAllocator,
    mappers: Vec<(u64, Arc<dyn Mapper>)>,
    next_mapper: u64,
}

impl State {
    /// From here on the mapper is asked about every range that comes and goes.
    fn register(&mut self, mapper: Arc<dyn Mapper>) -> u64 {
        let id = self.next_mapper;
        self.next_mapper += 1;
        self.mappers.push((id, mapper));
        id
    }
}

impl Default for State {
    fn default() -> State {
        State { addresses: IovaAllocator::new(), mappers: Vec::new(), next_mapper: 0 }
    }
}

/// Why a range could not be added to the domain.
#[derive(Debug)]
pub(crate) enum AddError {
    Exhausted(IovaExhausted),
    Refused(MapRefused),
    /// Refused, and a card that was shown the range may still see it.
    Stuck(MapRefused),
}

impl Domain {
    /// A domain with nothing in it and no card.
    #[must_use]
    pub fn new() -> Domain {
        Domain::default()
    }

    /// Shows everything in the domain, and everything to come, to one more card.
    ///
    /// The card sees the memory until the returned [`Attachment`] is dropped. Drop it only after
    /// the card can no longer start a transfer (bus master off).
    ///
    /// # Errors
    /// The IOMMU's refusal; whatever had been mapped for this card is unmapped again.
    pub fn attach(&self, mapper: Arc<dyn Mapper>) -> Result<Attachment, AttachError> {
        let mut state = self.shared.state();
        let visible = self.shared.visible.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut done: Vec<(Iova, usize)> = Vec::new();
        for (&iova, range) in &visible {
            let iova = Iova::new(iova as u32);
            // SAFETY:
            // 1. `visible` holds ranges that `add` was promised to stay mapped until `remove`,
            //    and `remove` unmaps them from this mapper too, because it is registered below
            //    under the same lock.
            // 2. HW-1 is what the owners of the ranges go by.
            if let Err(refused) = unsafe { mapper.map(iova, range.start, range.len, range.access) } {
                if !unmap_all(&*mapper, done) {
                    // As when an attachment is dropped.
                    state.register(mapper);
                }
                return Err(refused.into());
            }
            done.push((iova, range.len));
        }
        let id = state.register(mapper);
        Ok(Attachment { domain: self.clone(), id })
    }

    /// The card's side of the domain, for cards made of software and for tests. Whoever writes through
    /// it is the card of HW-1, and everything that is said of memory there rests on what it does.
    #[must_use]
    pub fn bus(&self) -> Bus {
        Bus::new(self.shared.clone())
    }

    /// Whether some card's memory is pinned by an IOMMU, which counts against RLIMIT_MEMLOCK; a card of software
    /// pins nothing.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        !self.shared.state().mappers.is_empty()
    }

    /// How often a card of software read a part of a [`FileWindow`](crate::FileWindow) that the file no longer had,
    /// or that could not be read. It saw zeros there.
    #[must_use]
    pub fn file_faults(&self) -> u64 {
        self.shared.file_faults.load(Ordering::Relaxed)
    }

    /// Makes a range visible to every card.
    ///
    /// # Safety
    /// 1. The range stays mapped until `remove` returned `Ok`, for ever after [`AddError::Stuck`].
    /// 2. Its owner goes by HW-1.
    /// 3. If it maps a file, `range.file` says so.
    pub(crate) unsafe fn add(&self, range: Visible) -> Result<Iova, AddError> {
        let (start, len, access) = (range.start, range.len, range.access);
        let mut state = self.shared.state();
        let iova = state.addresses.take(len as u64).map_err(AddError::Exhausted)?;
        for (n, (_, mapper)) in state.mappers.iter().enumerate() {
            // SAFETY:
            // 1. and 2. are the caller's promise, word for word.
            if let Err(refused) = unsafe { mapper.map(iova, start, len, access) } {
                let mut hidden = true;
                for (_, earlier) in &state.mappers[..n] {
                    hidden &= unmap_all(&**earlier, [(iova, len)]);
                }
                if !hidden {
                    // Its address is never used again.
                    return Err(AddError::Stuck(refused));
                }
                state.addresses.give(iova, len as u64);
                return Err(AddError::Refused(refused));
            }
        }
        self.shared.visible_mut(|map| map.insert(iova.as_u64(), range));
        Ok(iova)
    }

    /// Takes a range from every card. On `Err` some card may still see it: it must not be freed,
    /// and its address is never used again.
    pub(crate) fn remove(&self, iova: Iova, len: usize) -> Result<(), MapRefused> {
        let mut state = self.shared.state();
        self.shared.visible_mut(|map| map.remove(&iova.as_u64()));
        let mut outcome = Ok(());
        for (_, mapper) in &state.mappers {
            outcome = outcome.and(mapper.unmap(iova, len));
        }
        if outcome.is_ok() {
            state.addresses.give(iova, len as u64);
        }
        outcome
    }
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ranges = self.shared.visible.read().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Domain").field("ranges", &ranges).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement that can panic, so a poisoned lock is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visible_mut<R>(&self, change: impl FnOnce(&mut BTreeMap<u64, Visible>) -> R) -> R {
        change(&mut self.visible.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `use_it` on the place of the `len` bytes at `iova`, if one range holds them all and may be touched in
    /// this way; the range cannot leave the domain meanwhile.
    pub(crate) fn with_range<R>(
        &self,
        iova: u64,
        len: usize,
        access: Access,
        use_it: impl FnOnce(Place<'_>) -> R,
    ) -> Option<R> {
        let map = self.visible.read().unwrap_or_else(PoisonError::into_inner);
        let (&base, range) = map.range(..=iova).next_back()?;
        let offset = (iova - base) as usize;
        if len > range.len || offset > range.len - len {
            return None;
        }
        if access == Access::ReadWrite && range.access == Access::Read {
            return None;
        }
        if let Some((file, start)) = &range.file {
            return Some(use_it(Place::File(file, start + offset as u64)));
        }
        // SAFETY:
        // 1. `offset <= range.len`, and the range is one allocation.
        Some(use_it(Place::Memory(unsafe { range.start.add(offset) })))
    }

    /// A card of software found less in a file than a window showed.
    pub(crate) fn count_file_fault(&self) {
        self.file_faults.fetch_add(1, Ordering::Relaxed);
    }
}

/// A card's sight of a domain; ends when dropped.
#[must_use = "the card sees the memory only as long as this lives"]
pub struct Attachment {
    domain: Domain,
    id: u64,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = self.domain.shared.state();
        let Some(at) = state.mappers.iter().position(|(id, _)| *id == self.id) else { return };
        let (_, mapper) = state.mappers.swap_remove(at);
        let ranges: Vec<(Iova, usize)> = {
            let map = self.domain.shared.visible.read().unwrap_or_else(PoisonError::into_inner);
            map.iter().map(|(&iova, range)| (Iova::new(iova as u32), range.len)).collect()
        };
        if !unmap_all(&*mapper, ranges) {
            // The card may still see something: keep the mapper among those that `remove` asks, so
            // that the memory is not freed under the card.
            state.mappers.push((self.id, mapper));
        }
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Takes ranges from a card; false if it may still see some of them.
fn unmap_all(mapper: &dyn Mapper, ranges: impl IntoIterator<Item = (Iova, usize)>) -> bool {
    let mut all = true;
    for (iova, len) in ranges {
        if let Err(refused) = mapper.unmap(iova, len) {
            log::error!("{refused}: {}; the memory will not be freed", refused.source);
            all = false;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Buffer, Pool, RegionError};
    use std::io::{Error, ErrorKind};

    /// An IOMMU that remembers what it shows, and refuses beyond `limit` ranges.
    #[derive(Default)]
    struct Recorder {
        shown: Mutex<BTreeMap<u64, usize>>,
        limit: usize,
        /// Where the last range lies for the program.
        start: Mutex<Option<usize>>,
        /// How each range was shown.
        writable: Mutex<Vec<Access>>,
        /// Refuses to take anything back.
        stuck: bool,
    }

    impl Recorder {
        fn shown(&self) -> usize {
            self.shown.lock().expect("no test panics here").len()
        }
    }

    // SAFETY:
    // 1. No device stands behind it: nothing is ever made visible.
    unsafe impl Mapper for Recorder {
        unsafe fn map(
            &self,
            iova: Iova,
            start: NonNull<u8>,
            len: usize,
            access: Access,
        ) -> Result<(), MapRefused> {
            let mut shown = self.shown.lock().expect("no test panics here");
            if shown.len() == self.limit {
                let source = Error::from(ErrorKind::OutOfMemory);
                return Err(MapRefused { iova: iova.as_u64(), len, memlock: Some(65_536), source });
            }
            *self.start.lock().expect("no test panics here") = Some(start.as_ptr() as usize);
            assert!(shown.insert(iova.as_u64(), len).is_none(), "mapped twice");
            self.writable.lock().expect("no test panics here").push(access);
            Ok(())
        }

        fn unmap(&self, iova: Iova, len: usize) -> Result<(), MapRefused> {
            if self.stuck {
                let source = Error::from(ErrorKind::Other);
                return Err(MapRefused { iova: iova.as_u64(), len, memlock: None, source });
            }
            let shown = self.shown.lock().expect("no test panics here").remove(&iova.as_u64());
            assert_eq!(shown, Some(len), "unmapped as it was mapped");
            Ok(())
        }
    }

    #[test]
    fn every_card_sees_everything_and_nothing_once_it_is_detached() {
        let domain = Domain::new();
        let before = Pool::new(&domain, 2, 2048).expect("memory");
        let mmu = Arc::new(Recorder { limit: 10, ..Recorder::default() });
        let attachment = domain.attach(mmu.clone()).expect("room for ten");
        assert_eq!(mmu.shown(), 1, "what was there before");
        let after = Buffer::allocate(&domain, 1, 64).expect("memory");
        assert_eq!(mmu.shown(), 2, "what came after");
        drop(before);
        assert_eq!(mmu.shown(), 1, "freed memory is taken from the card first");
        drop(attachment);
        assert_eq!(mmu.shown(), 0);
        drop(after);
    }

    #[test]
    fn a_refusal_says_what_to_do_and_leaves_nothing_behind() {
        let domain = Domain::new();
        let mmu = Arc::new(Recorder { limit: 1, ..Recorder::default() });
        let _attachment = domain.attach(mmu.clone()).expect("nothing to map yet");
        let _first = Pool::new(&domain, 2, 2048).expect("the one that fits");
        let refused = Pool::new(&domain, 2, 2048).expect_err("the one too many");
        assert!(matches!(refused, RegionError::Refused(_)));
        assert!(refused.to_string().contains("ulimit -l"), "{refused}");
        assert_eq!(domain.shared.visible.read().expect("not poisoned").len(), 1);
    }

    #[test]
    fn a_window_that_the_iommu_refuses_is_an_error_and_sends_may_not_be_written() {
        use crate::{FileWindow, WindowError};
        let domain = Domain::new();
        let mmu = Arc::new(Recorder { limit: 2, ..Recorder::default() });
        let _attachment = domain.attach(mmu.clone()).expect("nothing to map yet");
        assert!(domain.is_pinned());
        let file = Arc::new(File::open("/proc/self/exe").expect("this program"));
        let _pool = Pool::new(&domain, 2, 2048).expect("memory");
        let window = FileWindow::map(&domain, &file, 0).expect("the one that fits");
        let writable = mmu.writable.lock().expect("not poisoned").clone();
        assert_eq!(writable, [Access::ReadWrite, Access::Read]);
        let refused = FileWindow::map(&domain, &file, 0).expect_err("the one too many");
        assert!(matches!(refused, WindowError::Refused(RegionError::Refused(_))));
        assert!(refused.to_string().contains("ulimit -l"), "{refused}");
        drop(window);
        assert_eq!(mmu.shown(), 1);
        assert_eq!(Arc::strong_count(&file), 1, "nobody keeps the file open");
    }

    #[test]
    fn a_card_that_cannot_see_everything_is_not_attached() {
        let domain = Domain::new();
        let _a = Pool::new(&domain, 2, 2048).expect("memory");
        let _b = Pool::new(&domain, 2, 2048).expect("memory");
        let mmu = Arc::new(Recorder { limit: 1, ..Recorder::default() });
        assert!(domain.attach(mmu.clone()).is_err());
        assert_eq!(mmu.shown(), 0, "what was mapped on the way is unmapped");
    }

    /// Whether the process has memory at this address.
    fn is_there(start: usize) -> bool {
        let at = start as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").expect("a Linux process");
        let range = |line: &str| {
            let (from, to) = line.split_once(' ')?.0.split_once('-')?;
            Some(u64::from_str_radix(from, 16).ok()?..u64::from_str_radix(to, 16).ok()?)
        };
        maps.lines().filter_map(range).any(|range| range.contains(&at))
    }

    #[test]
    fn memory_that_a_half_attached_card_may_see_is_not_freed() {
        let domain = Domain::new();
        let first = Pool::new(&domain, 2, 2048).expect("memory");
        let _second = Pool::new(&domain, 2, 2048).expect("memory");
        let mmu = Arc::new(Recorder { limit: 1, stuck: true, ..Recorder::default() });
        assert!(domain.attach(mmu.clone()).is_err());
        assert_eq!(mmu.shown(), 1, "it will not let go");
        let start = mmu.start.lock().expect("not poisoned").expect("mapped");
        drop(first);
        assert!(is_there(start), "a card can still write it");
    }

    #[test]
    fn a_region_that_one_of_two_cards_keeps_seeing_is_not_freed() {
        let domain = Domain::new();
        let keeps = Arc::new(Recorder { limit: 1, stuck: true, ..Recorder::default() });
        let _keeps = domain.attach(keeps.clone()).expect("nothing to map yet");
        let _full = domain.attach(Arc::new(Recorder::default())).expect("nothing to map yet");
        assert!(Pool::new(&domain, 2, 2048).is_err(), "the second card sees nothing at all");
        let at = *keeps.shown.lock().expect("not poisoned").keys().next().expect("one");
        assert!(!domain.shared.state().addresses.is_free(at), "its address is never used again");
        let start = keeps.start.lock().expect("not poisoned").take().expect("mapped");
        assert!(is_there(start), "a card can still write it");
    }
}
