//! An allocator that counts: for tests that show what a data path allocates, and how much a thing holds.
//!
//! Receives requests for memory and hands them to the system's allocator. It changes nothing about the memory.
#![allow(unsafe_code, reason = "an allocator is unsafe by nature; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// Made without an allocation and without anything to drop, so that an allocator may use it.
    static OF_THREAD: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted. To be made the `#[global_allocator]` of a test program.
#[derive(Debug, Default)]
pub struct Counting {
    allocations: AtomicU64,
    /// Bytes held, wrapping: what was allocated before is given back as well.
    held: AtomicU64,
}

impl Counting {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Counting {
        Counting { allocations: AtomicU64::new(0), held: AtomicU64::new(0) }
    }

    /// Allocations so far, those that only grew counted.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::Relaxed)
    }

    /// Allocations of the thread that asks: what others do meanwhile, the test harness for one, is not in it.
    #[must_use]
    pub fn allocations_of_thread(&self) -> u64 {
        OF_THREAD.with(Cell::get)
    }

    /// Bytes that are allocated now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn note(&self, allocated: usize, freed: usize) {
        self.allocations.fetch_add(u64::from(allocated > 0), Ordering::Relaxed);
        // A thread that ends may have no counter any more, and nobody who asks for it.
        let _ = OF_THREAD.try_with(|count| count.set(count.get() + u64::from(allocated > 0)));
        self.held.fetch_add((allocated as u64).wrapping_sub(freed as u64), Ordering::Relaxed);
    }
}

// SAFETY: (the conditions of `GlobalAlloc`)
// 1. the methods do not unwind: counting with atomics cannot panic, and `System` keeps to this itself.
// 2. layouts are passed on unchanged, and memory comes from and goes to `System` alone, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size(), 0);
        // SAFETY:
        // 1. the caller's layout has a size that is not zero: its promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size(), 0);
        // SAFETY:
        // 1. as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.note(0, layout.size());
        // SAFETY:
        // 1. `pointer` came from this allocator, and so from `System`.
        // 2. `layout` is the one it was allocated with: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        self.note(len, layout.size());
        // SAFETY:
        // 1. `pointer` came from this allocator, and so from `System`, with this layout.
        // 2. `len` is not zero and does not overflow when rounded up: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_held_until_it_is_freed() {
        let counting = Counting::new();
        let layout = Layout::array::<u8>(100).expect("small");
        // SAFETY:
        // 1. the layout is not of size zero.
        let first = unsafe { counting.alloc(layout) };
        assert!(!first.is_null());
        assert_eq!((counting.allocations(), counting.held()), (1, 100));
        // SAFETY:
        // 1. `first` came from there with that layout.
        // 2. 300 is neither zero nor near an overflow.
        let second = unsafe { counting.realloc(first, layout, 300) };
        assert_eq!((counting.allocations(), counting.held()), (2, 300));
        // SAFETY:
        // 1. `second` came from there.
        // 2. its layout is that of 300 bytes.
        unsafe { counting.dealloc(second, Layout::array::<u8>(300).expect("small")) };
        assert_eq!(counting.held(), 0);
    }
}
