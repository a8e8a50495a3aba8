//! Memory from the kernel, in 2 MB pages where the system has them, and windows of files.
//!
//! Hands on a [`Mapping`] or a [`FileMapping`]: address and length, unmapped on drop. It never looks at the contents.
#![allow(unsafe_code, reason = "mmap and munmap are unsafe by nature; this is their only place")]

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

/// The small page of x86-64, the unit in which memory is mapped and pinned.
pub const PAGE_LEN: usize = 4096;
/// The 2 MB page of x86-64: one entry of the card's address translation cache instead of 512.
pub const HUGE_PAGE_LEN: usize = 2 << 20;

/// The kernel gave no memory.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused to map {len} bytes of memory")]
pub struct MappingError {
    /// What was asked for, in bytes, rounded up to whole pages.
    pub len: usize,
    /// The kernel's reason.
    #[source]
    pub source: std::io::Error,
}

/// Zeroed memory that nobody else writes, owned; unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    huge: bool,
}

// SAFETY:
// 1. `Mapping` owns its address range alone and offers no access to the bytes, only the address.
// 2. munmap may be called from any thread.
unsafe impl Send for Mapping {}
// SAFETY:
// 1. Every method that takes `&self` reads plain fields that never change after construction.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes (rounded up to whole pages; 2 MB pages if `len` is at least one and the
    /// system has any reserved, otherwise small ones with a hint to the kernel).
    ///
    /// # Errors
    /// The kernel's refusal. `len == 0` is refused as well.
    pub fn anonymous(len: usize) -> Result<Mapping, MappingError> {
        if let Some(rounded) = len.checked_next_multiple_of(HUGE_PAGE_LEN)
            && len >= HUGE_PAGE_LEN
            && let Ok(start) = map(rounded, MapFlags::HUGETLB)
        {
            return Ok(Mapping { start, len: rounded, huge: true });
        }
        // What cannot be rounded up is no multiple of a page: the kernel refuses it.
        let rounded = len.checked_next_multiple_of(PAGE_LEN).unwrap_or(len);
        let start =
            map(rounded, MapFlags::empty()).map_err(|e| MappingError { len: rounded, source: e.into() })?;
        let mapping = Mapping { start, len: rounded, huge: false };
        mapping.advise_huge();
        Ok(mapping)
    }

    /// Maps `len` bytes, a multiple of 2 MB, in reserved 2 MB pages and nothing else.
    ///
    /// # Errors
    /// The kernel's refusal: ENOMEM where too few are reserved (`vm.nr_hugepages`). Other lengths are refused.
    pub fn huge(len: usize) -> Result<Mapping, MappingError> {
        let refused = |e: rustix::io::Errno| MappingError { len, source: e.into() };
        if len == 0 || !len.is_multiple_of(HUGE_PAGE_LEN) {
            return Err(refused(rustix::io::Errno::INVAL));
        }
        let start = map(len, MapFlags::HUGETLB | MapFlags::HUGE_2MB).map_err(refused)?;
        Ok(Mapping { start, len, huge: true })
    }

    /// Maps `len` bytes (rounded up to whole pages) of a new memfd, which comes along for other processes: they can
    /// map and read it, but only this mapping can ever write it, and nobody can change its size.
    ///
    /// # Errors
    /// The kernel's refusal; a kernel before 5.1 cannot seal like that.
    pub fn memfd(len: usize) -> Result<(Mapping, OwnedFd), MappingError> {
        let refused = |e: rustix::io::Errno| MappingError { len, source: e.into() };
        let len = len
            .checked_next_multiple_of(PAGE_LEN)
            .filter(|&len| len > 0)
            .ok_or(refused(rustix::io::Errno::INVAL))?;
        let fd = rustix::fs::memfd_create("naio", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(refused)?;
        rustix::fs::ftruncate(&fd, len as u64).map_err(refused)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY:
        // 1. The kernel chooses the address (null hint, no MAP_FIXED): nothing mapped is replaced.
        // 2. `len` is a whole number of pages, not zero, and the length of the file.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, &fd, 0) }
                .map_err(refused)?;
        let start = NonNull::new(start.cast()).ok_or(refused(rustix::io::Errno::NOMEM))?;
        let mapping = Mapping { start, len, huge: false };
        let seals = SealFlags::FUTURE_WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&fd, seals).map_err(refused)?;
        Ok((mapping, fd))
    }

    /// Gives every page its memory now, instead of at the first write.
    ///
    /// A device that may only read must not be shown pages that nobody wrote yet: it would go on seeing the kernel's
    /// page of zeros (before Linux 6.2) when the program writes.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn populate(&self) -> Result<(), MappingError> {
        // SAFETY:
        // 1. The range is exactly the mapping that `self` owns, mapped for reading and writing.
        unsafe { populate(self.start, self.len) }
    }

    fn advise_huge(&self) {
        if self.len < HUGE_PAGE_LEN {
            return;
        }
        // SAFETY:
        // 1. The range is exactly the mapping that `self` owns.
        // 2. The advice changes how the kernel backs the range, not what is in it.
        let advised =
            unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.len, Advice::LinuxHugepage) };
        // A kernel without transparent huge pages refuses; small pages work as well, only slower.
        let _ = advised;
    }

    /// First byte of the range; page-aligned.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes: what was asked for, rounded up to whole pages.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether reserved 2 MB pages back the range.
    #[must_use]
    pub fn is_huge(&self) -> bool {
        self.huge
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY:
        // 1. The range was mapped by a constructor and is unmapped once, here.
        // 2. Whoever used the address kept the `Mapping` alive meanwhile; that is their contract.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        // Only a wrong range can be refused, and the range is the one we were given.
        debug_assert!(unmapped.is_ok());
    }
}

/// Gives every page of a range its own memory, as a write would; the contents stay as they are.
///
/// # Safety
/// 1. The range consists of whole pages, mapped for reading and writing for the time of the call.
///
/// # Errors
/// There is not enough memory.
pub unsafe fn populate(start: NonNull<u8>, len: usize) -> Result<(), MappingError> {
    // SAFETY:
    // 1. The caller's promise: whole pages, mapped.
    // 2. The advice changes how the kernel backs the range, not what is in it.
    let populated = unsafe { rustix::mm::madvise(start.as_ptr().cast(), len, Advice::LinuxPopulateWrite) };
    match populated {
        // Before Linux 5.14 there is no such advice.
        Err(rustix::io::Errno::INVAL) => {
            for offset in (0..len).step_by(PAGE_LEN) {
                // SAFETY:
                // 1. Byte `offset` is inside the range; an atomic of one byte has no alignment, and adding zero
                //    to it changes nothing that anybody could see.
                let byte = unsafe { start.add(offset).cast::<std::sync::atomic::AtomicU8>().as_ref() };
                byte.fetch_add(0, std::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        }
        Err(e) => Err(MappingError { len, source: e.into() }),
        Ok(()) => Ok(()),
    }
}

/// A window of a file, mapped shared and for reading; unmapped on drop. There is no way to the bytes: a load from
/// behind the end of a file that somebody cuts kills the process. The address is for the kernel, which answers such
/// an access with an error.
#[derive(Debug)]
pub struct FileMapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY:
// 1. `FileMapping` owns its address range alone and offers no access to the bytes, only the address.
// 2. munmap may be called from any thread.
unsafe impl Send for FileMapping {}
// SAFETY:
// 1. Every method that takes `&self` reads plain fields that never change after construction, or asks the kernel.
unsafe impl Sync for FileMapping {}

impl FileMapping {
    /// Maps `len` bytes (rounded up to whole pages) from `offset`, a multiple of the page size.
    ///
    /// # Errors
    /// The kernel's refusal: what cannot be mapped (a pipe, a directory, some file systems), or not be read.
    pub fn new(file: &File, offset: u64, len: usize) -> Result<FileMapping, MappingError> {
        let refused = |e: rustix::io::Errno| MappingError { len, source: e.into() };
        let len = len
            .checked_next_multiple_of(PAGE_LEN)
            .filter(|&len| len > 0)
            .ok_or(refused(rustix::io::Errno::INVAL))?;
        // SAFETY:
        // 1. The kernel chooses the address (null hint, no MAP_FIXED): nothing mapped is replaced.
        // 2. `len` is a whole number of pages and not zero; the kernel checks the offset.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, file, offset)
        }
        .map_err(refused)?;
        let start = NonNull::new(start.cast()).ok_or(refused(rustix::io::Errno::NOMEM))?;
        Ok(FileMapping { start, len })
    }

    /// Reads the whole window into the page cache; takes as long as the disk does.
    ///
    /// # Errors
    /// The file ends inside the window, or its bytes cannot be read (the kernel says EFAULT to both).
    pub fn populate(&self) -> Result<(), MappingError> {
        // SAFETY:
        // 1. The range is exactly the mapping that `self` owns.
        // 2. The advice changes how the kernel backs the range, not what is in it; where the file has ended it is
        //    an error, not a signal.
        let populated =
            unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.len, Advice::LinuxPopulateRead) };
        match populated {
            // Before Linux 5.14 there is no such advice; what comes next then reads the file itself.
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(e) => Err(MappingError { len: self.len, source: e.into() }),
        }
    }

    /// First byte of the range, page-aligned. Not to be dereferenced.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes: what was asked for, rounded up to whole pages.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for FileMapping {
    fn drop(&mut self) {
        // SAFETY:
        // 1. The range was mapped by `new` and is unmapped once, here.
        // 2. Whoever used the address kept the `FileMapping` alive meanwhile; that is their contract.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        // Only a wrong range can be refused, and the range is the one we were given.
        debug_assert!(unmapped.is_ok());
    }
}

fn map(len: usize, extra: MapFlags) -> rustix::io::Result<NonNull<u8>> {
    // SAFETY:
    // 1. The kernel chooses the address (null hint, no MAP_FIXED): nothing mapped is replaced.
    // 2. `len` is not zero after rounding, or the kernel answers EINVAL.
    let start = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | extra,
        )
    }?;
    NonNull::new(start.cast()).ok_or(rustix::io::Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_to_whole_pages() {
        let m = Mapping::anonymous(1).expect("one page of memory");
        assert_eq!(m.len(), PAGE_LEN);
        assert_eq!(m.start().as_ptr() as usize % PAGE_LEN, 0);
    }

    #[test]
    fn an_empty_or_impossible_mapping_is_an_error() {
        assert!(Mapping::anonymous(0).is_err());
        let refused = Mapping::anonymous(1 << 60).expect_err("an exbibyte is not to be had");
        assert_eq!(refused.len, 1 << 60);
        assert!(Mapping::anonymous(usize::MAX).is_err());
        assert!(Mapping::memfd(0).is_err() && Mapping::memfd(usize::MAX).is_err());
        assert!(Mapping::huge(PAGE_LEN).is_err());
    }

    #[test]
    fn nobody_else_can_write_or_cut_a_memfd_that_was_handed_out() {
        use std::os::unix::fs::FileExt;
        let (mapping, fd) = Mapping::memfd(5000).expect("a memfd");
        mapping.populate().expect("two pages of memory");
        let file = File::from(fd);
        assert_eq!(file.metadata().expect("a file").len(), 8192);
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
        let mut seen = [1; 8192];
        file.read_exact_at(&mut seen, 0).expect("readable");
        assert!(seen.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_window_behind_the_end_of_a_file_is_an_error_when_it_is_read_and_never_a_signal() {
        let fd = rustix::fs::memfd_create("cut", MemfdFlags::CLOEXEC).expect("a memfd");
        let file = File::from(fd);
        file.set_len(3 * PAGE_LEN as u64).expect("three pages");
        let window = FileMapping::new(&file, 0, 3 * PAGE_LEN).expect("mapped");
        window.populate().expect("all there");
        file.set_len(PAGE_LEN as u64).expect("cut");
        assert!(window.populate().is_err(), "Linux 5.14 or newer says so");
        assert!(FileMapping::new(&file, 1, PAGE_LEN).is_err(), "not the beginning of a page");
    }
}
