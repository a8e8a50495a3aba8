//! Rings for a protocol engine that insists on memory it does not need.
//!
//! Receives a length and hands on as many zero bytes, to be counted and at most copied from. What is only read
//! costs address space and page tables, but no memory: all of it is the kernel's one page of zeros. It never
//! gives anything back; whoever asks keeps the ring and uses it again.
#![allow(unsafe_code, reason = "a slice over a mapping of its own")]

use crate::mapping::{MappingError, PAGE_LEN};
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Longest ring: what a smoltcp socket can number, 65 535 << 14 (RFC 7323 2.3), fits in 1 GiB.
const GHOST_LEN_MAX: usize = 1 << 30;

/// `len` zero bytes that take no memory as long as nobody writes them.
///
/// Each call makes a mapping of its own that is never unmapped: keep what was returned, and use it again. Bytes that
/// are written stay written, are nobody else's, and cost a page of memory for each page touched.
///
/// # Errors
/// The kernel's refusal: too little address space, too many mappings, or strict accounting of memory
/// (`vm.overcommit_memory=2`), which counts the ring in full. `len` of zero or beyond 1 GiB is refused as well.
pub fn ghost_ring(len: usize) -> Result<&'static mut [u8], MappingError> {
    let refused = |source: rustix::io::Errno| MappingError { len, source: source.into() };
    if len == 0 || len > GHOST_LEN_MAX {
        return Err(refused(rustix::io::Errno::INVAL));
    }
    let mapped = len.next_multiple_of(PAGE_LEN);
    // SAFETY:
    // 1. The kernel chooses the address (null hint, no MAP_FIXED): nothing mapped is replaced.
    // 2. `mapped` is a whole number of pages and not zero.
    let start = unsafe {
        rustix::mm::mmap_anonymous(
            std::ptr::null_mut(),
            mapped,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }
    .map_err(refused)?;
    if start.is_null() {
        return Err(refused(rustix::io::Errno::NOMEM));
    }
    // SAFETY:
    // 1. The range is exactly the mapping just made.
    // 2. The advice changes how the kernel backs the range, not what is in it.
    let advised = unsafe { rustix::mm::madvise(start, mapped, Advice::LinuxNoHugepage) };
    // A kernel without huge pages refuses the advice and does not need it: it keeps a collapse into a real huge
    // page from making memory of zeros.
    let _ = advised;
    // SAFETY: `from_raw_parts_mut` asks that
    // 1. `start` is not null (checked) and `len` bytes from it are one allocation: one mapping, `len <= mapped`;
    // 2. they are initialised: anonymous memory is zero;
    // 3. nobody else reads or writes them while the slice lives: the mapping is private, made in this call, its
    //    address goes nowhere else, and it is never unmapped, so no later mapping can lie there ('static);
    // 4. the length is below isize::MAX: at most 1 GiB.
    Ok(unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of memory that back this process's mapping at `at`, as the kernel counts them.
    fn resident(at: usize) -> Option<u64> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut inside = false;
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next()?;
            if let Some((from, to)) = first.split_once('-') {
                let bound = |text| usize::from_str_radix(text, 16).ok();
                inside = (bound(from)?..bound(to)?).contains(&at);
            } else if inside && first == "Anonymous:" {
                return words.next()?.parse::<u64>().ok().map(|kib| kib * 1024);
            }
        }
        None
    }

    #[test]
    fn a_ring_that_is_only_read_is_zero_and_takes_no_memory() {
        let ring = ghost_ring(8 << 20).expect("address space");
        assert_eq!(ring.len(), 8 << 20);
        assert!(ring.iter().all(|&byte| byte == 0));
        let Some(resident) = resident(ring.as_ptr() as usize) else {
            eprintln!("skipped: no /proc/self/smaps");
            return;
        };
        // Neighbours that other tests write may have merged with it.
        assert!(resident <= 2 << 20, "{resident} bytes for zeros");
    }

    #[test]
    fn what_is_written_into_one_ring_is_in_no_other() {
        let rings: Vec<&mut [u8]> = (0..64).map(|_| ghost_ring(5000).expect("address space")).collect();
        let mut ranges: Vec<_> = rings.iter().map(|ring| ring.as_ptr_range()).collect();
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "no two share an address");
        for (n, ring) in rings.into_iter().enumerate() {
            assert!(ring.iter().all(|&byte| byte == 0), "ring {n} shows what was written elsewhere");
            ring.fill(n as u8 + 1);
        }
    }

    #[test]
    fn an_empty_or_impossible_ring_is_an_error() {
        for len in [0, GHOST_LEN_MAX + 1, usize::MAX] {
            assert_eq!(ghost_ring(len).expect_err("no such ring").len, len);
        }
    }
}
