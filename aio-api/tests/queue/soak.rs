//! Random operations over a bad wire: every operation ends once, every byte is right.

use crate::common::{Peer, connected, joined, pattern};
use aio_api::{Completion, EventQueue, Kind, OpError, OpKey, RecvOptions, SocketId};
use naio_testkit::{Faults, WireOptions};
use std::collections::HashMap;

/// Bytes in each direction.
const BYTES: usize = 300_000;
/// Turns after which a run has gone wrong.
const PATIENCE: usize = 3_000_000;

struct Run {
    queue: EventQueue,
    peer: Peer,
    socket: SocketId,
    random: fastrand::Rng,
    /// Submitted and not yet ended.
    open: HashMap<OpKey, Kind>,
    received: Vec<u8>,
    submitted: usize,
    eof: bool,
}

impl Run {
    fn submit(&mut self, data: &[u8]) {
        let receives = self.open.values().filter(|kind| **kind == Kind::Recv).count();
        if receives < 4 && !self.eof {
            let len = self.random.usize(1..9000);
            let buffer = self.queue.buffers(1, len).expect("memory").remove(0);
            let options = RecvOptions::at_least(self.random.u32(0..12_000));
            let key = self.queue.recv(self.socket, buffer, options, 0).expect("room");
            assert!(self.open.insert(key, Kind::Recv).is_none(), "a key names one operation");
        }
        let sends = self.open.len() - receives;
        if self.submitted < data.len() && sends < 16 && self.random.bool() {
            let len = self.random.usize(1..9000).min(data.len() - self.submitted);
            let mut buffer = self.queue.buffers(1, len + 3).expect("memory").remove(0);
            buffer[3..].copy_from_slice(&data[self.submitted..self.submitted + len]);
            let key = self.queue.send(self.socket, buffer, 3..len + 3, 0).expect("room");
            self.open.insert(key, Kind::Send);
            self.submitted += len;
        }
        if self.random.u8(..) < 8 {
            let victim = self.open.iter().find(|(_, kind)| **kind == Kind::Recv).map(|(key, _)| *key);
            if let Some(victim) = victim {
                assert!(self.queue.cancel(victim), "a receive that is open can be cancelled");
            }
        }
    }

    fn take(&mut self, done: Completion) {
        let kind = self.open.remove(&done.key).expect("an operation ends once, and was submitted");
        assert_eq!(kind, done.kind);
        if kind == Kind::Recv {
            let cancelled = done.result == Err(OpError::Canceled);
            assert!(done.result.is_ok() || cancelled, "{:?}", done.result);
            let buffer = done.buffer.expect("the buffer comes back");
            self.received.extend_from_slice(&buffer[..done.bytes as usize]);
            self.eof |= done.flags.is_eof();
        } else {
            done.result.expect("sent");
        }
    }
}

fn soak(seed: u64) {
    let bad = Faults { loss: 100, duplicate: 100, reorder: 200, reorder_us: 500, corrupt: 50 };
    let options = WireOptions { seed, ..WireOptions::default() };
    let (mut queue, mut peer, wire) = joined(32, &options);
    let socket = connected(&mut queue, &mut peer);
    wire.set_faults(0, bad);
    wire.set_faults(1, bad);
    let random = fastrand::Rng::with_seed(seed);
    let mut run = Run {
        queue,
        peer,
        socket,
        random,
        open: HashMap::new(),
        received: Vec::new(),
        submitted: 0,
        eof: false,
    };
    let (out, back) = (pattern(BYTES), pattern(BYTES + 1));
    let (mut rest, mut arrived, mut completions) = (&back[..], Vec::new(), Vec::new());
    let mut shut_down = false;
    for _ in 0..PATIENCE {
        run.submit(&out);
        run.queue.poll(&mut completions);
        for done in completions.drain(..) {
            run.take(done);
        }
        run.peer.pump();
        run.peer.receive(&mut arrived);
        if !rest.is_empty() {
            run.peer.send(&mut rest);
        } else if !shut_down {
            let connection = run.peer.connection();
            run.peer.stack.shutdown(connection).expect("connected");
            shut_down = true;
        }
        if run.eof && arrived.len() == BYTES && run.open.is_empty() {
            break;
        }
    }
    same(&run.received, &back, seed, "received");
    same(&arrived, &out, seed, "sent");
    let counters = run.queue.counters();
    assert_eq!(counters.queue.submitted, counters.queue.completed, "seed {seed}");
    assert_eq!(counters.stack.frames, counters.stack.accounted(), "seed {seed}");
}

fn same(got: &[u8], wanted: &[u8], seed: u64, what: &str) {
    let differs = got.iter().zip(wanted).position(|(a, b)| a != b);
    let (len, all) = (got.len(), wanted.len());
    assert!(got == wanted, "seed {seed}: {len} of {all} bytes {what}; the first wrong one is at {differs:?}");
}

#[test]
fn every_operation_ends_once_and_every_byte_is_right() {
    for seed in naio_testkit::seeds(1, 20) {
        soak(seed);
    }
}
