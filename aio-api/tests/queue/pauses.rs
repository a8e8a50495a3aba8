//! What was received between two pauses of the queue. The clock is the machine's, since the queue pauses only by a clock
//! that runs; no test asserts how long anything took.

use crate::common::{Peer, connected, joined_with, pattern};
use aio_api::{Builder, Completion, EventQueue, Pace, RecvOptions, Wait};
use naio_sys::clock::Clock;
use naio_testkit::WireOptions;
use std::time::Duration;

const PACE: Pace = Pace { rx_coalesce: Duration::from_millis(1), yield_when_empty: true };
/// The end of the wire that the peer has.
const PEER_END: usize = 1;
/// In which the peer sends all that it may.
const TURNS: usize = 10;
/// Of a TCP segment over IPv4, both without options (RFC 9293 3.1), and what is set in plain data.
const FLAGS_AT: usize = 14 + 20 + 13;
const ACK: u8 = 0x10;

/// A queue that asks for bytes, and a burst of them on the wire but for its last segment, which has the PSH.
fn burst_under_way() -> (EventQueue, Peer) {
    let change = |builder: Builder| builder.pace(PACE).clock(Clock::Monotonic);
    let (mut queue, mut peer, wire) = joined_with(64, &WireOptions::default(), change);
    let socket = connected(&mut queue, &mut peer);
    let buffer = queue.buffers(1, 1_000).expect("memory").remove(0);
    queue.recv(socket, buffer, RecvOptions::default(), 7).expect("submitted");
    let data = pattern(60_000);
    peer.send(&mut &data[..]);
    wire.tap(PEER_END);
    wire.set_link(false);
    for _ in 0..TURNS {
        peer.pump();
    }
    wire.set_link(true);
    let mut burst = wire.tapped(PEER_END);
    burst.pop();
    assert!(burst.len() > 1 && burst.iter().all(|frame| frame[FLAGS_AT] == ACK));
    burst.iter().for_each(|frame| wire.inject(PEER_END, frame));
    (queue, peer)
}

fn is_received(done: &[Completion]) -> bool {
    matches!(done, [done] if (done.user_data, done.result, done.bytes) == (7, Ok(()), 1_000))
}

#[test]
fn a_burst_that_a_pause_follows_is_received_in_the_turn_that_found_it() {
    let (mut queue, _peer) = burst_under_way();
    let mut done = Vec::new();
    // One turn: it is not asked to find anything.
    queue.wait(&mut done, Wait::for_at_least(0)).expect("a turn");
    assert!(is_received(&done), "{done:?}");
}

#[test]
fn a_burst_that_no_pause_follows_waits_for_more_until_a_turn_finds_none() {
    let (mut queue, _peer) = burst_under_way();
    let mut done = Vec::new();
    assert_eq!(queue.poll(&mut done), 0, "{done:?}");
    queue.poll(&mut done);
    assert!(is_received(&done), "{done:?}");
}
