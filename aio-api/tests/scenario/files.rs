//! Files over lines of every kind arrive as they are on disk, and no window stays in use: whatever is lost, repeated,
//! reset, and however many sockets share a part.

use crate::endpoint::{End, Program, World, world};
use crate::talk::PORT;
use aio_api::{Completion, EventQueue, Kind, OpError, RecvOptions, SocketId, SocketOptions, When};
use naio_dma::FileWindow;
use naio_e1000_model::wire::impair::Harm;
use naio_testkit::seeds;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

const SERVER: [u8; 4] = [10, 9, 0, 1];
/// User data of the timeout after which a connection is aborted, plus its number.
const ABORTS: u64 = 1_000;
/// Virtual time for one scenario: retransmission timeouts double.
const WITHIN: Duration = Duration::from_secs(3_600);

fn content(range: Range<u64>) -> Vec<u8> {
    range.map(|n| ((n as u32).wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

/// A file without a name, three windows long, whose last change is long enough ago to be told from the next one: else
/// those who come later do not share its windows.
fn file(name: &str) -> Arc<File> {
    let path = std::env::temp_dir().join(format!("naio-scenario-{name}-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a temporary file");
    std::fs::remove_file(&path).expect("ours");
    file.write_all_at(&content(0..2 * FileWindow::LEN as u64 + 50_000), 0).expect("room for it");
    std::thread::sleep(Duration::from_millis(80));
    Arc::new(file)
}

/// One connection: the ranges it sends, and whether it is aborted after so many milliseconds.
#[derive(Clone)]
struct Line {
    ranges: Vec<Range<u64>>,
    aborted_ms: Option<u64>,
}

struct Client {
    file: Arc<File>,
    lines: Vec<Line>,
    sockets: Vec<SocketId>,
    open: usize,
    aborts: usize,
}

impl Program for Client {
    fn begin(&mut self, queue: &mut EventQueue) {
        for n in 0..self.lines.len() {
            let socket = queue.socket(SocketOptions::default()).expect("room");
            queue.connect(socket, (SERVER, PORT).into(), n as u64).expect("room for it");
            self.sockets.push(socket);
            self.open += 1;
        }
    }

    fn completed(&mut self, queue: &mut EventQueue, done: Completion) {
        if let Kind::Timeout { .. } = done.kind {
            // It may be over already.
            queue.abort(self.sockets[(done.user_data - ABORTS) as usize]);
            self.aborts -= 1;
            return;
        }
        let line = &self.lines[done.user_data as usize];
        let socket = self.sockets[done.user_data as usize];
        assert!(done.result == Ok(()) || line.aborted_ms.is_some(), "{done:?}");
        match done.kind {
            Kind::Connect => {
                for range in &line.ranges {
                    let (file, len) = (self.file.clone(), range.end - range.start);
                    queue.sendfile(socket, file, range.start, len, done.user_data).expect("room for it");
                }
                queue.close(socket, done.user_data).expect("room for it");
                if let Some(ms) = line.aborted_ms {
                    let at = When::After(Duration::from_millis(ms));
                    queue.timeout(at, ABORTS + done.user_data).expect("room for it");
                    self.aborts += 1;
                }
            }
            Kind::Send => assert!(matches!(done.result, Ok(()) | Err(OpError::Closed)), "{done:?}"),
            Kind::Close => self.open -= 1,
            _ => panic!("{done:?}"),
        }
    }

    fn is_done(&self) -> bool {
        self.open == 0 && self.aborts == 0
    }
}

struct Server {
    expected: usize,
    got: Vec<(SocketId, Vec<u8>)>,
    whole: Vec<Vec<u8>>,
    ended: usize,
}

impl Program for Server {
    fn begin(&mut self, queue: &mut EventQueue) {
        let listener = queue.listen(PORT, self.expected).expect("a free port");
        for _ in 0..self.expected {
            queue.accept(listener, 0).expect("room for it");
        }
    }

    fn completed(&mut self, queue: &mut EventQueue, done: Completion) {
        match done.kind {
            Kind::Accept => {
                let socket = done.socket.expect("an accept has one");
                let buffer = queue.buffers(1, 20_000).expect("memory").remove(0);
                queue
                    .recv(socket, buffer, RecvOptions::default(), self.got.len() as u64)
                    .expect("room for it");
                self.got.push((socket, Vec::new()));
            }
            Kind::Recv => {
                let (socket, got) = &mut self.got[done.user_data as usize];
                let buffer = done.buffer.expect("a receive has one");
                got.extend_from_slice(&buffer[..done.bytes as usize]);
                if done.result.is_ok() && !done.flags.is_eof() {
                    queue.recv(*socket, buffer, RecvOptions::default(), done.user_data).expect("room for it");
                    return;
                }
                if done.result.is_ok() {
                    self.whole.push(std::mem::take(got));
                }
                queue.close(*socket, 0).expect("room for it");
            }
            Kind::Close => self.ended += 1,
            _ => panic!("{done:?}"),
        }
    }

    fn is_done(&self) -> bool {
        self.ended == self.expected
    }
}

/// Ranges that often lie across the edge of a window.
fn any_range(random: &mut fastrand::Rng) -> Range<u64> {
    let edge = FileWindow::LEN as u64 * random.u64(0..3);
    let start = edge.saturating_sub(random.u64(0..60_000));
    let end = (edge + random.u64(1..50_000)).max(start + 1);
    start..end
}

fn play(seed: u64, file: &Arc<File>, ends: [End; 2], lines: Vec<Line>) {
    let expected = lines.len();
    let mut whole: Vec<Vec<u8>> = lines
        .iter()
        .filter(|line| line.aborted_ms.is_none())
        .map(|line| line.ranges.iter().flat_map(|range| content(range.clone())).collect())
        .collect();
    let client = Client { file: file.clone(), lines, sockets: Vec::new(), open: 0, aborts: 0 };
    let server = Server { expected, got: Vec::new(), whole: Vec::new(), ended: 0 };
    let mut world: World<Server, Client> = world(seed, ends, (server, client));
    world.play(WITHIN);
    world.assert_clean(seed, [0, 0]);
    world.assert_innocent(seed);
    let mut got = world.programs.0.borrow_mut().whole.clone();
    // Connections that were to be aborted may have been faster.
    got.retain(|bytes| {
        whole.contains(bytes) || world.programs.1.borrow().lines.iter().all(|l| l.aborted_ms.is_none())
    });
    whole.sort();
    got.sort();
    got.dedup();
    whole.dedup();
    assert!(got == whole, "seed {seed}");
    world.queues[1].borrow_mut().release_files();
    world.pass(Duration::from_secs(1));
    let files = world.queues[1].borrow_mut().counters().files;
    assert!(files.mapped > 0 && files.mapped <= 3 + files.refused, "seed {seed}: shared by all: {files:?}");
    assert_eq!((files.windows, files.pinned_bytes, files.faults), (0, 0, 0), "seed {seed}: {files:?}");
    drop(world);
    assert_eq!(Arc::strong_count(file), 1, "seed {seed}: nobody keeps the file open");
}

#[test]
fn files_over_harmful_lines_are_exact_and_every_window_is_given_back() {
    let file = file("harmful");
    for seed in seeds(1, 25) {
        let mut random = fastrand::Rng::with_seed(seed);
        let harm = Harm {
            loss: random.u32(0..200),
            duplicate: random.u32(0..200),
            reorder: random.u32(0..300),
            reorder_us: random.u64(1..5_000),
            corrupt: random.u32(0..100),
            delay_us: random.u64(0..10_000),
            ..Harm::default()
        };
        let ends = [0; 2].map(|_| End { harm, ..End::any(&mut random) });
        let lines = (0..random.usize(1..6)).map(|_| Line {
            ranges: (0..random.usize(1..3)).map(|_| any_range(&mut random)).collect(),
            aborted_ms: None,
        });
        let lines = lines.collect();
        play(seed, &file, ends, lines);
    }
}

#[test]
fn connections_that_are_aborted_with_windows_under_way_leave_none_in_use() {
    let file = file("aborted");
    for seed in seeds(1, 25) {
        let mut random = fastrand::Rng::with_seed(seed);
        let harm = Harm { delay_us: random.u64(0..10_000), rate_kbit: 100_000, ..Harm::default() };
        let ends = [0; 2].map(|_| End { harm, ..End::any(&mut random) });
        let lines = (0..random.usize(2..6)).map(|n| Line {
            ranges: (0..random.usize(1..3)).map(|_| any_range(&mut random)).collect(),
            aborted_ms: (n > 0 && random.bool()).then(|| random.u64(1..30)),
        });
        let lines = lines.collect();
        play(seed, &file, ends, lines);
    }
}
