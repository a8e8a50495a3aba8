use super::*;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file without a name in `folder`, with byte `n` being `n % 251`.
fn file_in(folder: &Path, len: usize) -> Arc<File> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = folder.join(format!("naio-window-{}-{next}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a temporary file");
    std::fs::remove_file(&path).expect("ours");
    let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
    file.write_all_at(&bytes, 0).expect("room for it");
    Arc::new(file)
}

fn file(len: usize) -> Arc<File> {
    file_in(&std::env::temp_dir(), len)
}

fn read(domain: &Domain, slice: DmaSlice) -> Vec<u8> {
    let mut bytes = vec![0xaa; slice.len() as usize];
    domain.bus().read(slice.iova().as_u64(), &mut bytes).expect("visible");
    bytes
}

fn expected(range: Range<usize>) -> Vec<u8> {
    range.map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_card_reads_the_bytes_of_the_file_and_can_write_none() {
    for folder in [std::env::temp_dir(), "/dev/shm".into()] {
        if !folder.is_dir() {
            eprintln!("skipped: no {}", folder.display());
            continue;
        }
        let (domain, file) = (Domain::new(), file_in(&folder, FileWindow::LEN + 5000));
        let first = FileWindow::map(&domain, &file, 0).expect("a window");
        let tail = FileWindow::map(&domain, &file, FileWindow::LEN as u64).expect("the rest");
        assert_eq!((first.len(), tail.len(), tail.pinned_len()), (FileWindow::LEN, 5000, 8192));
        let part = FileWindow::LEN - 10..FileWindow::LEN;
        assert_eq!(read(&domain, first.slice(part.clone()).expect("inside")), expected(part));
        let part = tail.slice(4000..5000).expect("inside");
        assert_eq!(read(&domain, part), expected(FileWindow::LEN + 4000..FileWindow::LEN + 5000));
        let at = part.iova().as_u64();
        let bus = domain.bus();
        assert!(bus.write(at, b"x").is_err() && bus.store(at & !7, 1).is_err());
        assert!(bus.load(at & !7).is_err(), "there is no ring in a file");
        assert!(tail.slice(4000..5001).is_none() && tail.slice(5000..5000).is_none());
        assert_eq!(domain.file_faults(), 0);
    }
}

#[test]
fn a_file_that_is_cut_under_a_window_reads_as_zeros_and_is_counted() {
    let (domain, file) = (Domain::new(), file(20_000));
    let window = FileWindow::map(&domain, &file, 0).expect("a window");
    assert!(window.is_whole().expect("asked"));
    file.set_len(10_000).expect("cut");
    let seen = read(&domain, window.slice(9000..11_000).expect("inside"));
    assert_eq!(seen[..1000], expected(9000..10_000));
    assert_eq!(seen[1000..], [0; 1000]);
    assert_eq!(domain.file_faults(), 1);
    assert!(!window.is_whole().expect("asked"));
    assert_eq!(read(&domain, window.slice(0..10).expect("inside")), expected(0..10), "the rest goes on");
}

#[test]
fn a_window_that_is_dropped_is_out_of_sight() {
    let (domain, file) = (Domain::new(), file(4096));
    let window = FileWindow::map(&domain, &file, 0).expect("a window");
    let at = window.slice(0..1).expect("inside").iova().as_u64();
    drop(window);
    assert!(domain.bus().read(at, &mut [0]).is_err());
    assert_eq!(Arc::strong_count(&file), 1, "nobody keeps the file open");
}

#[test]
fn each_kind_of_refusal_has_a_name() {
    let (domain, file) = (Domain::new(), file(4096));
    let map = |file: &Arc<File>, offset| FileWindow::map(&domain, file, offset).expect_err("refused");
    assert!(matches!(map(&file, 4096), WindowError::Offset { offset: 4096 }));
    let far = u64::MAX - (FileWindow::LEN as u64 - 1);
    assert!(matches!(map(&file, far), WindowError::Ended { size: 4096, .. }));
    let folder = Arc::new(File::open(std::env::temp_dir()).expect("a folder"));
    assert!(matches!(map(&folder, 0), WindowError::NotAFile));
    let device = Arc::new(File::open("/dev/zero").expect("a device"));
    assert!(matches!(map(&device, 0), WindowError::NotAFile));
    let deaf = File::options().write(true).open(format!("/proc/self/fd/{}", {
        use std::os::fd::AsRawFd;
        file.as_raw_fd()
    }));
    let deaf = Arc::new(deaf.expect("the same file, for writing"));
    assert!(matches!(map(&deaf, 0), WindowError::Unmappable(_)), "not open for reading");
    let status = Arc::new(File::open("/proc/self/status").expect("a Linux process"));
    assert!(matches!(map(&status, 0), WindowError::Ended { size: 0, .. }), "its length is not known");
}

#[test]
fn beyond_four_gibibytes_offsets_are_not_cut_short() {
    let (domain, file) = (Domain::new(), file(0));
    let offset = 5 << 30;
    file.write_all_at(b"far away", offset).expect("a hole and eight bytes");
    let window = FileWindow::map(&domain, &file, offset).expect("a window");
    assert_eq!((window.len(), window.offset()), (8, offset));
    assert_eq!(read(&domain, window.slice(0..8).expect("inside")), b"far away");
}
