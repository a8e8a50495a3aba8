//! The remote and the kernel arm against each other over loopback, as processes.
#![allow(missing_docs, reason = "a test has no readers of its documentation")]

use naio_bench::protocol::Request;
use naio_bench::report::Report;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running `naio-remote`, killed when the test is over.
struct Remote {
    child: Child,
    source: String,
    sink: String,
}

impl Remote {
    fn start(extra: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_naio-remote"))
            .args([
                "--listen",
                "127.0.0.1",
                "--source-port",
                "0",
                "--sink-port",
                "0",
                "--payload-size",
                "100k",
            ])
            .args(extra)
            .stdout(Stdio::piped())
            .spawn()
            .expect("naio-remote was built for this test");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split([' ', ',', '\n']).collect();
        let after = |name| words[words.iter().position(|w| *w == name).unwrap() + 1].to_owned();
        Self { child, source: after("source"), sink: after("sink") }
    }

    fn connect(address: &str) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sync_recv(remote: &Remote, extra: &[&str]) -> (Option<Report>, String, bool) {
    let out = Command::new(env!("CARGO_BIN_EXE_sync-recv"))
        .args(["--remote", &remote.source, "--json"])
        .args(extra)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&out.stdout).ok();
    (report, String::from_utf8_lossy(&out.stderr).into_owned(), out.status.success())
}

#[test]
fn the_payload_arrives_whole_and_hashed() {
    let remote = Remote::start(&[]);
    // Over several repetitions of the payload, with a buffer that fits neither a page nor a repetition.
    let (report, errors, ok) = sync_recv(&remote, &["--size", "777777", "--sha256", "--buffer", "4099"]);
    assert!(ok, "{errors}");
    let report = report.unwrap();
    assert_eq!((report.bytes, report.sha256_ok), (777_777, Some(true)));
    assert!(report.calls >= 777_777 / 4099);
    // Unhashed, nothing may claim a hash.
    let (report, _, ok) = sync_recv(&remote, &["--size", "100k"]);
    assert!(ok);
    assert_eq!(report.unwrap().sha256, None);
}

#[test]
fn both_kernel_senders_are_hashed_by_the_remote() {
    let remote = Remote::start(&[]);
    let sender = |program: &str, extra: &[&str]| {
        let out = Command::new(program)
            .args(["--remote", &remote.sink, "--json", "--sha256", "--sockets", "3", "--size", "777777"])
            .args(extra)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let report: Report = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((report.bytes, report.sockets, report.sha256_ok), (777_777, Some(3), Some(true)));
    };
    sender(env!("CARGO_BIN_EXE_sync-send"), &["--buffer", "4099"]);
    // Shares longer than the file, so that its repetition is sent too.
    sender(env!("CARGO_BIN_EXE_sync-sendfile"), &["--file-size", "100k", "--buffer", "4099"]);
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that cannot run says why")]
fn sends_without_copy_arrive_exactly_and_every_one_completes() {
    let remote = Remote::start(&[]);
    // More sends than buffers on each connection, with a last one that is shorter.
    let out = Command::new(env!("CARGO_BIN_EXE_sync-send"))
        .args(["--remote", &remote.sink, "--json", "--sha256", "--sockets", "3", "--size", "7777777"])
        .args(["--zerocopy", "--buffer", "20000"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    if errors.contains("no MSG_ZEROCOPY") {
        println!("skipped: {errors}");
        return;
    }
    assert!(out.status.success(), "{errors}");
    let report: Report = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((report.bytes, report.sockets, report.sha256_ok), (7_777_777, Some(3), Some(true)));
    // Over loopback the kernel hands the pages to a receiver of its own, and so copies.
    let counter = |name: &str| report.counters[name];
    assert_eq!(counter("zerocopy_completed"), report.calls);
    assert_eq!(counter("zerocopy_copied"), report.calls);
}

#[test]
fn a_request_over_the_limit_gets_no_byte() {
    let remote = Remote::start(&["--max-bytes", "1MiB"]);
    let (report, errors, ok) = sync_recv(&remote, &["--size", "2MiB"]);
    assert!(!ok && report.is_none());
    assert!(errors.contains("error: ") && errors.contains("help: "), "{errors}");
}

#[test]
fn foreign_bytes_are_answered_by_closing() {
    let remote = Remote::start(&[]);
    for address in [&remote.source, &remote.sink] {
        let mut stream = Remote::connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // Closing with unread bytes is a reset; either way no byte comes back.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
    // And the remote still serves.
    assert!(sync_recv(&remote, &["--size", "1k"]).2);
}

#[test]
fn the_sink_counts_and_hashes_several_senders_at_once() {
    let remote = Remote::start(&[]);
    let mut streams: Vec<TcpStream> = (0..10).map(|_| Remote::connect(&remote.sink)).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&Request { bytes: 0, sha256: i == 3 }.encode()).unwrap();
        stream.write_all(&vec![b'x'; 1000 * i]).unwrap();
    }
    for (i, mut stream) in streams.into_iter().enumerate() {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer[..8], (1000 * i as u64).to_le_bytes());
        assert_eq!(answer.len(), if i == 3 { 40 } else { 8 });
    }
}

#[test]
fn more_connections_than_the_limit_are_closed_at_once() {
    let remote = Remote::start(&["--limit", "1"]);
    for address in [&remote.source, &remote.sink] {
        let mut first = Remote::connect(address);
        // One byte of a request: the first connection is being served from here on.
        first.write_all(b"N").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let mut second = Remote::connect(address);
        let mut answer = Vec::new();
        let _ = second.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
}

#[test]
fn once_means_once() {
    let mut remote = Remote::start(&["--once"]);
    assert!(sync_recv(&remote, &["--size", "1k"]).2);
    assert!(remote.child.wait().unwrap().success());
}
