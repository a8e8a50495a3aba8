//! A SYN flood beside real work, in virtual time: what was connected goes on, and who is real still connects.

use crate::common::{PORT, Peer, connected, joined};
use aio_api::{EventQueue, RecvOptions, SocketId};
use naio_testkit::{Segment, Wire, WireOptions};

/// Bytes of the transfer beside the flood.
const BYTES: usize = 24 << 20;
/// SYNs of every turn of 50 µs: 40 000 a second. On this wire every frame takes as long as a full one, so their
/// answers take half of the way back.
const SYNS_PER_TURN: u32 = 2;
const PATIENCE: usize = 200_000;

/// A SYN from nobody; every one looks different.
fn forged(n: u32) -> Vec<u8> {
    let [_, b, c, d] = n.wrapping_mul(2_654_435_761).to_be_bytes();
    let mut syn =
        Segment::new([10, 0, 0, 100 + b % 100], u16::from_be_bytes([c, d]) | 1, [10, 0, 0, 1], PORT)
            .seq(n)
            .syn(1460, Some(7));
    syn.flags.ack = false;
    syn.ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
}

struct Flooded {
    queue: EventQueue,
    peer: Peer,
    wire: Wire,
    socket: SocketId,
    next: u32,
}

/// Names the accept among the completions.
const ACCEPTED: u64 = 77;

/// The transfer's turns with `syns` forged SYNs in each; and everything it was made of.
fn transfer(syns: u32) -> (usize, Flooded) {
    // A gigabit: 12 µs for a full frame.
    let options = WireOptions { frame_us: 12, latency_us: 100, ..WireOptions::default() };
    let (mut queue, mut peer, wire) = joined(256, &options);
    let socket = connected(&mut queue, &mut peer);
    let listener = queue.listen(PORT, 64).expect("a free port");
    queue.accept(listener, ACCEPTED).expect("room");
    for buffer in queue.buffers(8, 65_536).expect("memory") {
        queue.recv(socket, buffer, RecvOptions::default(), 0).expect("room");
    }
    let mut flooded = Flooded { queue, peer, wire, socket, next: 1 };
    let data = vec![0x5a; BYTES];
    let (mut left, mut received) = (&data[..], 0);
    for turn in 0..PATIENCE {
        flooded.turn(syns);
        flooded.peer.send(&mut left);
        let mut done = Vec::new();
        flooded.queue.poll(&mut done);
        for done in done {
            received += done.bytes as usize;
            let buffer = done.buffer.expect("a receive has one");
            flooded.queue.recv(flooded.socket, buffer, RecvOptions::default(), 0).expect("room");
        }
        if received == BYTES {
            return (turn, flooded);
        }
    }
    panic!("{received} bytes after {PATIENCE} turns: {:#?}", flooded.queue.counters());
}

impl Flooded {
    fn turn(&mut self, syns: u32) {
        for _ in 0..syns {
            self.wire.inject(1, &forged(self.next));
            self.next += 1;
        }
        self.peer.pump();
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures, for whoever asks with --nocapture")]
fn a_transfer_keeps_its_pace_under_a_syn_flood() {
    let (quiet, _) = transfer(0);
    let (flooded, mut world) = transfer(SYNS_PER_TURN);
    let counters = world.queue.counters().stack;
    println!(
        "{BYTES} bytes: {quiet} turns of 50 µs without, {flooded} with {} SYNs; {} cookies, {} dropped at the backlog",
        world.next - 1,
        counters.cookies_sent,
        counters.drop_tcp_backlog
    );
    assert!(counters.cookies_sent > 500, "{counters:#?}");
    assert!(quiet * 10 >= flooded * 9, "less than nine tenths: {quiet} and {flooded} turns");
    let census = world.queue.census();
    assert!(census.flows <= 1 + 64, "{census:?}");
}

#[test]
fn a_real_client_connects_and_is_served_under_a_syn_flood() {
    let (_, mut world) = transfer(SYNS_PER_TURN);
    let client = world.peer.connect(([10, 0, 0, 1], PORT).into());
    let (mut sent, mut got) = (false, None);
    for _ in 0..PATIENCE {
        world.turn(SYNS_PER_TURN);
        let mut done = Vec::new();
        world.queue.poll(&mut done);
        if let Some(accepted) = done.iter().find_map(|done| done.socket) {
            let buffer = world.queue.buffers(1, 100).expect("memory").remove(0);
            world.queue.recv(accepted, buffer, RecvOptions::at_least(9), ACCEPTED).expect("room");
        }
        got = got.or(done.into_iter().find(|done| done.user_data == ACCEPTED && done.bytes > 0));
        sent = sent || world.peer.stack.send(client, b"let me in").is_ok_and(|len| len == 9);
        if got.is_some() {
            break;
        }
    }
    let got = got.unwrap_or_else(|| panic!("not served: {:#?}", world.queue.counters()));
    assert_eq!(&got.buffer.expect("a receive has one")[..9], b"let me in");
    assert_eq!(world.queue.counters().stack.cookies_taken, 1);
}
