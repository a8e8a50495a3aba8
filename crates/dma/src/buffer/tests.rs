#![allow(unsafe_code, reason = "registering memory is a promise")]
use super::*;
use crate::Bus;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn a_buffer_may_go_to_another_thread() {
    fn may_go<T: Send + Sync>() {}
    may_go::<Buffer>();
}

#[test]
fn buffers_do_not_overlap_and_outlive_each_other() {
    let domain = Domain::new();
    let mut all = Buffer::allocate(&domain, 3, 100).expect("memory");
    for (n, b) in all.iter_mut().enumerate() {
        b.fill(n as u8 + 1);
    }
    let last = all.pop().expect("three");
    drop(all);
    assert_eq!(last.len(), 100);
    assert!(last.iter().all(|&b| b == 3));
}

#[test]
fn a_slice_names_the_bytes_that_the_card_reads() {
    let domain = Domain::new();
    let mut all = Buffer::allocate(&domain, 2, 4096).expect("memory");
    all[1][10..14].copy_from_slice(b"naio");
    let part = all[1].slice(10..14).expect("inside");
    let mut seen = [0; 4];
    domain.bus().read(part.iova().as_u64(), &mut seen).expect("visible");
    assert_eq!(&seen, b"naio");
    assert!(all[1].slice(4090..4097).is_none());
}

#[test]
fn the_registration_ends_with_the_last_buffer() {
    let domain = Domain::new();
    let buffer = Buffer::allocate(&domain, 1, 64).expect("memory").pop().expect("one");
    let at = buffer.slice(0..64).expect("inside").iova().as_u64();
    assert!(domain.bus().load(at).is_ok());
    drop(buffer);
    assert!(domain.bus().load(at).is_err(), "a card must not reach freed memory");
}

fn seen(bus: &Bus, buffer: &Buffer) -> Vec<u8> {
    let slice = buffer.slice(0..buffer.len()).expect("all of it");
    let mut bytes = vec![0; buffer.len()];
    bus.read(slice.iova().as_u64(), &mut bytes).expect("visible");
    bytes
}

#[test]
fn pages_that_the_program_brings_along_keep_their_contents() {
    let domain = Domain::new();
    let mut pages = vec![AlignedPage::ZERO; 3].into_boxed_slice();
    pages[1].0[7] = 42;
    let mut buffer = Buffer::from_pages(&domain, pages).expect("registered");
    assert_eq!((buffer.len(), buffer[4096 + 7]), (3 * 4096, 42));
    buffer[0] = 1;
    assert_eq!(seen(&domain.bus(), &buffer), buffer.to_vec());
    assert!(matches!(Buffer::from_pages(&domain, Box::new([])), Err(RegionError::Size { .. })));
}

#[test]
fn parts_of_a_buffer_go_their_own_ways() {
    let domain = Domain::new();
    let mut whole = Buffer::from_pages(&domain, vec![AlignedPage::ZERO; 2].into()).expect("registered");
    for (n, byte) in whole.iter_mut().enumerate() {
        *byte = (n % 251) as u8;
    }
    let whole = whole.split_at(0).expect_err("an empty part");
    let whole = whole.split_at(8192).expect_err("an empty part");
    let (head, rest) = whole.split_at(5).expect("two parts");
    let (mut middle, tail) = rest.split_at(4000).expect("three parts");
    middle.fill(0xff);
    drop(middle);
    assert_eq!(*head, [0, 1, 2, 3, 4]);
    assert_eq!((tail.len(), tail[0]), (8192 - 4005, (4005 % 251) as u8));
    drop(head);
    assert_eq!(seen(&domain.bus(), &tail), tail.to_vec(), "the last part keeps the registration");
}

#[test]
fn parts_of_one_buffer_become_one_again_in_their_order() {
    let domain = Domain::new();
    let mut whole = Buffer::allocate(&domain, 1, 1000).expect("memory").remove(0);
    for (n, byte) in whole.iter_mut().enumerate() {
        *byte = (n % 251) as u8;
    }
    let (bytes, at) = (whole.to_vec(), whole.slice(0..1).expect("inside").iova());
    let (head, rest) = whole.split_at(10).expect("two parts");
    let (middle, tail) = rest.split_at(500).expect("three parts");
    let (tail, middle) = tail.unsplit(middle).expect_err("in the wrong order");
    let (head, tail) = head.unsplit(tail).expect_err("something is missing between them");
    assert_eq!((head.len(), middle.len(), tail.len()), (10, 500, 490), "refused parts stay what they were");
    let front = head.unsplit(middle).expect("neighbours");
    assert_eq!(front[..], bytes[..510]);
    let whole = front.unsplit(tail).expect("neighbours");
    assert_eq!((&whole[..], whole.slice(0..1).expect("inside").iova()), (&bytes[..], at));
}

#[test]
fn buffers_that_were_never_one_do_not_become_one() {
    let domain = Domain::new();
    // A multiple of the alignment: each ends where the next begins.
    let mut all = Buffer::allocate(&domain, 2, 4096).expect("memory").into_iter();
    let (first, second) = (all.next().expect("two"), all.next().expect("two"));
    let ends = |buffer: &Buffer| buffer.as_ptr_range();
    assert_eq!(ends(&first).end, ends(&second).start, "they are neighbours");
    let (first, second) = first.unsplit(second).expect_err("two buffers");
    let (head, tail) = first.split_at(4000).expect("two parts");
    let (front, _back) = second.split_at(4000).expect("two parts");
    let (tail, front) = tail.unsplit(front).expect_err("parts of two buffers");
    assert_eq!((tail.len(), front.len()), (96, 4000));
    let other = Buffer::allocate(&domain, 1, 4096).expect("memory").remove(0);
    let (_, end) = other.split_at(4000).expect("two parts");
    head.unsplit(end).expect_err("parts of two registrations, at the same place in each");
}

/// Counts how often the memory it stands for was freed.
struct Freed(Box<[AlignedPage]>, &'static AtomicU32);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0[0].0[0] = 0xee;
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Registers `len` bytes of two pages, `offset` bytes from their start.
fn register(
    domain: &Domain,
    offset: usize,
    len: usize,
    freed: &'static AtomicU32,
) -> Result<Buffer, RegionError> {
    let mut pages = vec![AlignedPage::ZERO; 2].into_boxed_slice();
    let start = NonNull::from(&mut pages[0]).cast::<u8>();
    let owner = Freed(pages, freed);
    // SAFETY:
    // 1. Both pages are valid until `owner` is dropped; where `offset` and `len` name others, it is refused.
    // 2. `owner` touches them only when it is dropped.
    // 3. They are the allocator's.
    unsafe { Buffer::register(domain, start.add(offset), len, Box::new(owner)) }
}

#[test]
fn the_owner_of_registered_memory_goes_when_no_card_sees_it_any_more() {
    static FREED: AtomicU32 = AtomicU32::new(0);
    let domain = Domain::new();
    let (head, tail) = register(&domain, 0, 8192, &FREED).expect("registered").split_at(100).expect("parts");
    let at = tail.slice(0..1).expect("inside").iova().as_u64();
    drop(head);
    assert_eq!(FREED.load(Ordering::Relaxed), 0);
    drop(tail);
    assert_eq!(FREED.load(Ordering::Relaxed), 1);
    assert!(domain.bus().read(at, &mut [0]).is_err(), "used after it was unregistered");
}

#[test]
fn memory_that_no_iommu_takes_is_refused_by_name_and_freed() {
    static FREED: AtomicU32 = AtomicU32::new(0);
    let domain = Domain::new();
    let refused = |offset, len| register(&domain, offset, len, &FREED).expect_err("refused");
    assert!(matches!(refused(0, 0), RegionError::Size { len: 0, .. }));
    assert!(matches!(refused(0, 1 << 32), RegionError::Size { .. }));
    let error = refused(8, 4096);
    assert!(matches!(error, RegionError::Alignment { len: 4096, .. }));
    assert!(error.to_string().contains("multiples of 4096"), "{error}");
    assert!(matches!(refused(0, 5000), RegionError::Alignment { len: 5000, .. }));
    assert_eq!(FREED.load(Ordering::Relaxed), 4);
    assert!(matches!(Buffer::allocate(&domain, 0, 64), Err(RegionError::Size { .. })));
    assert!(matches!(Buffer::allocate(&domain, usize::MAX, 64), Err(RegionError::Size { .. })));
    assert!(matches!(Buffer::allocate_memfd(&domain, 1 << 20, 4096), Err(RegionError::Size { .. })));
}

#[test]
fn another_process_can_read_the_buffers_of_a_memfd() {
    let domain = Domain::new();
    let (mut all, fd) = Buffer::allocate_memfd(&domain, 2, 100).expect("memory");
    all[1].copy_from_slice(&[7; 100]);
    assert_eq!(seen(&domain.bus(), &all[1]), [7; 100]);
    let file = std::fs::File::from(fd);
    let mut bytes = [0; 100];
    file.read_exact_at(&mut bytes, 128).expect("readable");
    assert_eq!(bytes, [7; 100]);
    assert!(file.write_at(b"x", 128).is_err(), "and nobody but the buffer's owner writes");
}

#[test]
fn reserved_huge_pages_are_used_or_it_is_said_why_not() {
    let domain = Domain::new();
    match Buffer::allocate_huge(&domain, 3, 1 << 20) {
        Ok(mut all) => {
            all[2].fill(9);
            assert_eq!(seen(&domain.bus(), &all[2])[..10], [9; 10]);
        }
        Err(RegionError::Memory(e)) => eprintln!("skipped: no huge pages are reserved here: {e}"),
        Err(e) => panic!("{e}"),
    }
}
