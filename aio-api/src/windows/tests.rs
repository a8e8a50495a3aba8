mod bench;

use self::bench::{Bench, INLINE, LEN, content, file, file_in};
use super::*;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::time::Duration;

#[test]
fn ranges_at_the_edges_of_windows_arrive_whole_from_disk_and_from_memory() {
    for folder in [std::env::temp_dir(), "/dev/shm".into()] {
        if !folder.is_dir() {
            eprintln!("skipped: no {}", folder.display());
            continue;
        }
        let size = 2 * LEN + 5001;
        let file = file_in(&folder, size);
        let mut bench = Bench::new(WindowLimits { workers: 2, ..INLINE });
        for (from, to, most) in [
            (0, size, LEN),
            (0, size, 100_000),
            (LEN - 1, LEN + 1, 1),
            (LEN, 2 * LEN, LEN),
            (1, 2, 1),
            (2 * LEN + 5000, size, 1),
            (4095, 4097, 7),
        ] {
            let sent = bench.send(&file, from as u64, (to - from) as u64, most);
            assert_eq!(sent.fault, None);
            assert!(sent.bytes == content(from..to), "{from}..{to}");
            assert!(!sent.copied);
        }
        assert_eq!(bench.windows.counters().mapped, 3, "each window once");
        assert_eq!(bench.windows.counters().pinned_bytes, (2 * LEN + 8192) as u64);
    }
}

#[test]
fn the_thread_that_polls_touches_no_file_and_learns_what_the_others_did() {
    let file = file(3 * LEN);
    let mut bench = Bench::new(INLINE);
    let mut cursor = bench.open(&file, 0, 3 * LEN as u64);
    assert_eq!(bench.windows.front(&mut cursor, 7), Front::Pending, "cold");
    assert_eq!(bench.windows.front(&mut cursor, 7), Front::Pending, "still");
    bench.windows.drain(&mut bench.woken);
    assert_eq!(bench.woken, [7], "told once");
    let Front::Ready { window, .. } = bench.windows.front(&mut cursor, 7) else { panic!("warm") };
    bench.windows.done(window);
    bench.windows.drain(&mut bench.woken);
    assert_eq!(bench.windows.counters().ahead, 1, "the next window came along");
    assert_eq!(bench.woken, [7], "and nobody needed to be told");
    cursor.advance(LEN);
    assert!(matches!(bench.windows.front(&mut cursor, 7), Front::Ready { .. }), "no waiting at the edge");
    bench.windows.forget(&mut cursor);
}

#[test]
fn two_users_of_one_part_share_its_window() {
    let file = file(10_000);
    let again = Arc::new(file.try_clone().expect("a second descriptor"));
    let mut bench = Bench::new(INLINE);
    let (mut a, mut b) = (bench.open(&file, 0, 100), bench.open(&again, 5000, 100));
    assert_eq!(bench.windows.front(&mut a, 1), Front::Pending);
    assert_eq!(bench.windows.front(&mut b, 2), Front::Pending);
    bench.windows.drain(&mut bench.woken);
    assert_eq!(bench.woken, [1, 2]);
    let Front::Ready { window: one, .. } = bench.windows.front(&mut a, 1) else { panic!("there") };
    let Front::Ready { window: two, .. } = bench.windows.front(&mut b, 2) else { panic!("there") };
    assert_eq!(one, two);
    let counters = bench.windows.counters();
    assert_eq!((counters.mapped, counters.shared, counters.windows), (1, 1, 1));
    for window in [one, two] {
        bench.windows.done(window);
    }
    bench.windows.forget(&mut a);
    bench.windows.forget(&mut b);
    assert_eq!(bench.windows.counters().windows, 1, "kept for the next");
}

#[test]
fn room_is_made_by_what_was_used_longest_ago_and_never_by_what_is_in_use() {
    let file = file(4 * LEN);
    let mut bench = Bench::new(WindowLimits { windows_max: 2, ..INLINE });
    let (mut cursor, held, slice) = bench.hold(&file, 0);
    let sent = bench.send(&file, LEN as u64, 3 * LEN as u64, LEN);
    assert!(sent.bytes == content(LEN..4 * LEN) && !sent.copied && sent.fault.is_none());
    let counters = bench.windows.counters();
    assert!(counters.evicted >= 2, "{counters:?}");
    assert!(counters.windows <= 2 && counters.pinned_bytes <= 2 * LEN as u64, "{counters:?}");
    assert_eq!(bench.card(slice), content(0..100), "the one in use stays");
    bench.windows.done(held);
    bench.windows.forget(&mut cursor);
    drop(cursor);
    bench.windows.release_unused();
    bench.windows.drain(&mut bench.woken);
    bench.windows.drain(&mut bench.woken);
    let counters = bench.windows.counters();
    assert_eq!((counters.windows, counters.pinned_bytes), (0, 0));
    assert!(bench.domain.bus().read(slice.iova().as_u64(), &mut [0]).is_err(), "gone from the card's sight");
    assert_eq!(Arc::strong_count(&file), 1);
}

#[test]
fn with_every_window_in_use_the_others_copy_and_say_so() {
    let (a, b) = (file(10_000), file(200_000));
    for limits in [WindowLimits { windows_max: 1, ..INLINE }, WindowLimits { pinned_max: 12_288, ..INLINE }] {
        let mut bench = Bench::new(limits);
        let (mut cursor, held, _) = bench.hold(&a, 0);
        let sent = bench.send(&b, 0, 200_000, LEN);
        assert!(sent.bytes == content(0..200_000) && sent.copied && sent.fault.is_none());
        assert_eq!(bench.windows.counters().copied_bytes, 200_000);
        assert_eq!(bench.windows.counters().windows, 1);
        bench.windows.done(held);
        bench.windows.forget(&mut cursor);
    }
}

#[test]
fn whoever_waits_for_a_piece_gets_it_when_another_is_through() {
    let device = Arc::new(File::open("/dev/zero").expect("a device"));
    let mut bench = Bench::new(WindowLimits { pieces_max: PIECES_AT_ONCE, ..INLINE });
    let held: Vec<_> = (0..PIECES_AT_ONCE).map(|_| bench.hold(&device, 0)).collect();
    let mut cursor = bench.open(&device, 0, 10);
    for _ in 0..3 {
        assert_eq!(bench.windows.front(&mut cursor, 9), Front::Pending);
        bench.windows.drain(&mut bench.woken);
    }
    assert!(!bench.woken.contains(&9) && bench.windows.counters().no_room == 1, "nothing to tell");
    for (mut cursor, window, _) in held {
        bench.windows.done(window);
        bench.windows.forget(&mut cursor);
    }
    assert!(matches!(bench.ready(&mut cursor, 9), Front::Ready { copied: true, .. }));
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_ends_that_operation_and_no_other() {
    let (cut, whole) = (file(2 * LEN), file(10_000));
    let mut bench = Bench::new(INLINE);
    let (mut cursor, window, _) = bench.hold(&cut, 0);
    cursor.advance(100);
    cut.set_len(50).expect("cut");
    assert_eq!(cursor.check(), Err(FileFault::Truncated), "what was taken is not there any more");
    bench.windows.done(window);
    bench.windows.forget(&mut cursor);
    let sent = bench.send(&cut, 0, 2 * LEN as u64, LEN);
    assert_eq!((sent.bytes, sent.fault), (content(0..50), Some(FileFault::Truncated)));
    let sent = bench.send(&cut, 5 << 40, 1, LEN);
    assert_eq!(sent.fault, Some(FileFault::Truncated), "far behind the end");
    assert_eq!(bench.send(&whole, 0, 10_000, LEN).bytes, content(0..10_000));
}

#[test]
fn a_file_that_is_written_anew_is_sent_anew() {
    let file = file(10_000);
    let mut bench = Bench::new(INLINE);
    assert_eq!(bench.send(&file, 0, 10_000, LEN).bytes, content(0..10_000));
    for round in 0..20_u8 {
        // At once, within one tick of the clock that stamps files.
        file.set_len(0).expect("cut");
        file.write_all_at(&[round; 10_000], 0).expect("written");
        let sent = bench.send(&file, 0, 10_000, LEN);
        assert!(sent.bytes == [round; 10_000], "round {round}");
    }
}

#[test]
fn a_window_of_a_file_that_changed_just_now_is_shared_with_nobody_who_comes_later() {
    let file = file(10_000);
    let mut bench = Bench::new(INLINE);
    let (mut first, mut same) = (bench.open(&file, 0, 10), bench.open(&file, 0, 10));
    first.is_fresh = true;
    assert_eq!(bench.windows.front(&mut first, 1), Front::Pending);
    let mut later = bench.open(&file, 0, 10);
    assert_eq!(bench.windows.front(&mut same, 2), Front::Pending);
    assert_eq!(bench.windows.front(&mut later, 3), Front::Pending);
    assert_eq!(bench.windows.counters().windows, 2, "the time stamps would not tell a change in between");
    bench.windows.drain(&mut bench.woken);
    assert_eq!(bench.woken, [1, 2, 3]);
    for cursor in [&mut first, &mut same, &mut later] {
        bench.windows.forget(cursor);
    }
    bench.windows.drain(&mut bench.woken);
    assert_eq!(bench.windows.counters().windows, 1, "and the older one goes with its last user");
}

#[test]
fn what_cannot_be_shown_is_read_and_what_cannot_be_read_is_an_error() {
    let mut bench = Bench::new(INLINE);
    let folder = Arc::new(File::open(std::env::temp_dir()).expect("a folder"));
    assert_eq!(bench.send(&folder, 0, 10, LEN).fault, Some(FileFault::Io(ErrorKind::IsADirectory)));
    let (pipe, _writer) = std::io::pipe().expect("a pipe");
    let pipe = Arc::new(File::from(std::os::fd::OwnedFd::from(pipe)));
    assert_eq!(bench.send(&pipe, 0, 10, LEN).fault, Some(FileFault::Io(ErrorKind::NotSeekable)));
    let zeros = Arc::new(File::open("/dev/zero").expect("a device"));
    let sent = bench.send(&zeros, 1 << 40, 300_000, LEN);
    assert!(sent.bytes == vec![0; 300_000] && sent.copied && sent.fault.is_none());
    let status = Arc::new(File::open("/proc/self/status").expect("a Linux process"));
    let sent = bench.send(&status, 0, 5, LEN);
    assert_eq!((sent.bytes.as_slice(), sent.copied, sent.fault), (b"Name:".as_slice(), true, None));
}

#[test]
fn a_stack_that_takes_no_references_gets_the_bytes() {
    let file = file(100_000);
    let mut bench = Bench::new(INLINE);
    let mut cursor = bench.open(&file, 10, 90_000);
    let Front::Ready { window, .. } = bench.ready(&mut cursor, 1) else { panic!("there") };
    assert_eq!(bench.windows.bytes(&cursor), None, "nobody looks into a window");
    bench.windows.done(window);
    bench.windows.copy_only(&mut cursor);
    let mut seen = Vec::new();
    while let Front::Ready { window, copied, .. } = bench.ready(&mut cursor, 1) {
        assert!(copied);
        let bytes = bench.windows.bytes(&cursor).expect("it was read");
        let taken = bytes.len().min(50_000);
        seen.extend_from_slice(&bytes[..taken]);
        bench.windows.done(window);
        cursor.advance(taken);
    }
    assert!(seen == content(10..90_010));
    assert_eq!(bench.windows.take_back(77), None, "somebody else's token");
    bench.windows.forget(&mut cursor);
}

#[test]
fn a_file_system_that_maps_nothing_is_copied_from() {
    // Its files have a length, and cannot be mapped.
    let Ok(file) = File::open("/sys/kernel/mm/transparent_hugepage/enabled").map(Arc::new) else {
        eprintln!("skipped: no sysfs");
        return;
    };
    let mut bench = Bench::new(INLINE);
    let sent = bench.send(&file, 0, 4, LEN);
    assert_eq!((sent.bytes.len(), sent.copied, sent.fault), (4, true, None));
    assert_eq!(bench.windows.counters().refused, 1);
    assert_eq!(bench.windows.counters().windows, 0);
}

#[test]
fn cancelled_operations_leave_nothing_behind() {
    let (file, device) = (file(LEN), Arc::new(File::open("/dev/zero").expect("a device")));
    let mut bench = Bench::new(INLINE);
    for source in [&file, &device] {
        let mut cursor = bench.open(source, 0, 100);
        assert_eq!(bench.windows.front(&mut cursor, 3), Front::Pending);
        bench.windows.forget(&mut cursor);
    }
    for _ in 0..3 {
        bench.windows.drain(&mut bench.woken);
    }
    let (cursor, window, _) = bench.hold(&device, 0);
    let mut cursor = cursor;
    bench.windows.forget(&mut cursor);
    bench.windows.done(window);
    assert_eq!(bench.windows.idle_pieces.len(), PIECES_AT_ONCE, "every piece is back");
    assert!(bench.windows.slots.iter().all(|slot| slot.refs == 0 && slot.waiters.is_empty()));
    assert_eq!(bench.windows.slots.len() - bench.windows.free.len(), 1, "one window stays");
}

#[test]
fn a_panic_in_a_thread_ends_one_operation_and_the_threads_end_with_the_queue() {
    let file = file(5000);
    let mut bench = Bench::new(WindowLimits { workers: 1, ..INLINE });
    for _ in 0..3 {
        let at = bench.windows.occupy(Place::Reading);
        bench.windows.join(at, 5);
        bench.windows.workers.submit(Job::Panic { slot: at });
        let mut cursor = bench.open(&file, 0, 1);
        cursor.hold = Some(bench.windows.id(at));
        let front = bench.ready(&mut cursor, 5);
        assert_eq!(front, Front::Failed(FileFault::Io(ErrorKind::Other)));
    }
    assert_eq!(bench.send(&file, 0, 5000, LEN).bytes, content(0..5000), "the thread goes on");
    let watch = bench.windows.workers.watch();
    drop(bench);
    for _ in 0..20_000 {
        if watch.strong_count() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("a thread goes on without its queue");
}

#[test]
fn a_card_of_software_pins_nothing_and_needs_no_limit_on_it() {
    let limits = WindowLimits::of_process(&Domain::new());
    assert_eq!(limits.pinned_max, usize::MAX);
    assert!(limits.windows_max <= WINDOWS_LIMIT && limits.workers > 0);
}

#[test]
fn many_users_of_many_files_never_hold_more_than_the_limits_say() {
    let seed =
        std::env::var("NAIO_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    eprintln!("NAIO_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let files: Vec<Arc<File>> = (0..4).map(|n| file(LEN + n * 70_000)).collect();
    let limits = WindowLimits { windows_max: 3, pinned_max: 3 * LEN, pieces_max: 16, workers: 2 };
    let mut bench = Bench::new(limits);
    let mut users: Vec<(FileCursor, usize)> = Vec::new();
    let mut out: Vec<WindowId> = Vec::new();
    for _ in 0..5_000 {
        match random.u32(0..10) {
            0 if users.len() < 20 => {
                let n = random.usize(0..files.len());
                let from = random.u64(0..(LEN as u64));
                let len = random.u64(1..=(LEN + n * 70_000) as u64 - from);
                users.push((bench.open(&files[n], from, len), n));
            }
            1 if !users.is_empty() => {
                let (mut cursor, _) = users.swap_remove(random.usize(0..users.len()));
                bench.windows.forget(&mut cursor);
            }
            2..=4 if !out.is_empty() => bench.windows.done(out.swap_remove(random.usize(0..out.len()))),
            5 => {
                bench.windows.drain(&mut bench.woken);
                std::thread::yield_now();
            }
            _ if !users.is_empty() => {
                let at = random.usize(0..users.len());
                let (cursor, _) = &mut users[at];
                let next = cursor.next as usize;
                if let Front::Ready { slice, window, .. } = bench.windows.front(cursor, at as u32) {
                    let taken = random.usize(1..=slice.len() as usize);
                    cursor.advance(taken);
                    out.push(window);
                    let sample = slice.split_at(slice.len().min(64)).expect("inside").0;
                    let len = sample.len() as usize;
                    assert!(bench.card(sample) == content(next..next + len), "seed {seed}");
                }
            }
            _ => {}
        }
        let counters = bench.windows.counters();
        assert!(
            counters.windows <= 3 && counters.pinned_bytes <= 3 * LEN as u64,
            "seed {seed}: {counters:?}"
        );
        assert!(bench.windows.pieces <= 16, "seed {seed}");
    }
    assert!(bench.windows.counters().mapped > 0);
    out.into_iter().for_each(|window| bench.windows.done(window));
    users.iter_mut().for_each(|(cursor, _)| bench.windows.forget(cursor));
    assert_eq!(bench.send(&files[3], 0, 1000, LEN).bytes, content(0..1000), "seed {seed}: all is free again");
}
