//! How operations end where something else went wrong first, and what waiting says when nothing more can come.

use crate::common::{complete, connected, joined_with, queue_and_peer};
use aio_api::{Builder, Clock, Kind, OpError, Wait, WaitError, When};
use naio_dma::Domain;
use naio_stack::Failure;
use naio_testkit::{Wire, WireOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn a_tick_that_nobody_has_collected_does_not_promise_another() {
    let (mut queue, mut peer) = queue_and_peer();
    queue.timeout(When::Every(Duration::from_millis(1)), 1).expect("submitted");
    for _ in 0..40 {
        peer.pump();
    }
    let mut completions = Vec::new();
    // The first turn finds one tick; the second would come only after that one was collected.
    assert_eq!(queue.wait(&mut completions, Wait::for_at_least(2)), Ok(1));
    assert!(matches!(completions[0].kind, Kind::Timeout { .. }));
}

#[test]
fn what_has_completed_is_handed_out_before_waiting_is_called_hopeless() {
    let (mut queue, _peer) = queue_and_peer();
    queue.post(1, 7).expect("submitted");
    let mut completions = Vec::new();
    assert_eq!(queue.wait(&mut completions, Wait::for_at_least(2)), Ok(1));
    assert_eq!(completions[0].kind, Kind::Posted { value: 7 });
    assert_eq!(queue.wait(&mut completions, Wait::for_at_least(2)), Err(WaitError::NothingOutstanding));
}

#[test]
fn a_shutdown_that_the_peer_answers_with_a_reset_has_not_succeeded() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    queue.shutdown(socket, 1).expect("submitted");
    let connection = peer.connection();
    peer.stack.abort(connection).expect("connected");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].kind, done[0].result), (Kind::Shutdown, Err(OpError::Reset)));
}

#[test]
fn what_arrived_before_a_reset_is_received_first() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    peer.send(&mut &[7; 250][..]);
    for _ in 0..8 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    let connection = peer.connection();
    peer.stack.abort(connection).expect("connected");
    for _ in 0..8 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    for (buffer, user_data) in queue.buffers(4, 100).expect("memory").into_iter().zip(1..) {
        queue.recv(socket, buffer, aio_api::RecvOptions::wait_all(), user_data).expect("submitted");
    }
    let done = complete(&mut queue, &mut peer, 4);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.bytes, done.result)).collect();
    let reset = Err(OpError::Reset);
    assert_eq!(ends, [(1, 100, Ok(())), (2, 100, Ok(())), (3, 50, reset), (4, 0, reset)]);
    let bytes = done.iter().flat_map(|done| &done.buffer.as_ref().expect("back")[..done.bytes as usize]);
    assert!(bytes.eq(&[7; 250]));
}

#[test]
fn a_cancelled_shutdown_leaves_the_stream_open() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let key = queue.shutdown(socket, 1).expect("submitted");
    assert!(queue.cancel(key), "no turn has been made since");
    let mut buffer = queue.buffers(1, 5).expect("memory").remove(0);
    buffer.copy_from_slice(b"still");
    queue.send(socket, buffer, 0..5, 2).expect("nothing was shut down");
    let done = complete(&mut queue, &mut peer, 2);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    assert_eq!(ends, [(1, Err(OpError::Canceled)), (2, Ok(()))]);
}

#[test]
fn a_socket_that_waits_to_send_is_tried_once_a_turn_however_much_arrives() {
    // No datagram may wait for a neighbour, so each try is refused until ARP gives up.
    let (mut queue, mut peer, _) = joined_with(64, &WireOptions::default(), |builder| {
        builder.network(|config| config.unresolved_bytes_max = 1)
    });
    let socket = queue.udp_bind(7000).expect("a free port");
    let [out, into] = <[_; 2]>::try_from(queue.buffers(2, 100).expect("memory")).expect("two");
    queue.recv_from(socket, into, 1).expect("submitted");
    let theirs = peer.stack.udp_bind(0).expect("a free port");
    let ours = ([10, 0, 0, 1], 7000).into();
    peer.stack.udp_send(theirs, ours, b"first").expect("room");
    complete(&mut queue, &mut peer, 1);
    queue.send_to(socket, out, 0..100, ([10, 0, 0, 9], 9).into(), 2).expect("submitted");
    for _ in 0..100 {
        peer.stack.udp_send(theirs, ours, b"more").expect("room");
        peer.pump();
        let before = queue.counters().stack.tx_udp_busy;
        assert_eq!(queue.poll(&mut Vec::new()), 0, "nobody answers for 10.0.0.9 yet");
        assert!(queue.counters().stack.tx_udp_busy - before <= 1);
    }
}

#[test]
fn a_period_that_was_missed_for_months_is_counted_once() {
    // More periods than 32 bits can count pass in one step.
    const MONTHS: Duration = Duration::from_secs(60 * 24 * 3600);
    let time = Arc::new(AtomicU64::new(0));
    let (ours, theirs) = (Domain::new(), Domain::new());
    let (card, _other, _wire) = Wire::pair(&ours, &theirs, &WireOptions::default());
    let mut queue = Builder::new("10.0.0.1/24".parse().expect("an address"))
        .clock(Clock::Manual(time.clone()))
        .build(Box::new(card), ours)
        .expect("a queue");
    queue.timeout(When::Every(Duration::from_millis(1)), 1).expect("submitted");
    time.store(MONTHS.as_micros() as u64, Ordering::Relaxed);
    let mut completions = Vec::new();
    for _ in 0..2 {
        queue.poll(&mut completions);
    }
    let kinds: Vec<_> = completions.iter().map(|done| done.kind).collect();
    assert_eq!(kinds, [Kind::Timeout { expirations: MONTHS.as_millis() as u64 }]);
}

/// A close of a connection with that much to be sent to a peer that reads `chunk` bytes now and then: the ends of the
/// send and of the close, how many were cut short, and what became of the peer's end.
fn close_slowly(len: usize, chunk: usize) -> (Vec<Result<(), OpError>>, u64, Option<Failure>) {
    let (mut queue, mut peer, _) = joined_with(64, &WireOptions::default(), |builder| {
        builder.network(|config| config.linger = Duration::from_millis(500))
    });
    let socket = connected(&mut queue, &mut peer);
    let buffer = queue.buffers(1, len).expect("memory").remove(0);
    queue.send(socket, buffer, 0..len, 1).expect("submitted");
    queue.close(socket, 2).expect("submitted");
    let mut into = vec![0; chunk.max(1)];
    let mut turns = 0;
    let read_now_and_then = |peer: &mut crate::common::Peer| {
        turns += 1;
        if turns % 100 == 0 && chunk > 0 {
            let _ = peer.stack.recv(peer.connection(), &mut into);
        }
    };
    let done = crate::common::run(&mut queue, &mut peer, read_now_and_then, |done| done.len() == 2);
    let failure = peer.stack.status(peer.connection()).and_then(|status| status.failure);
    (done.iter().map(|done| done.result).collect(), queue.counters().stack.lingers_cut, failure)
}

#[test]
fn a_close_does_not_wait_for_ever_for_a_peer_that_does_not_read() {
    // All of it under way at the close, and more than there is room for.
    for len in [300_000, 4 << 20] {
        let (ends, cut, _) = close_slowly(len, 0);
        assert_eq!((ends, cut), (vec![Err(OpError::TimedOut); 2], 1), "{len} bytes");
    }
}

#[test]
fn a_close_waits_as_long_as_the_peer_reads() {
    let (ends, cut, failure) = close_slowly(4 << 20, 32 << 10);
    assert_eq!((ends, cut, failure), (vec![Ok(()); 2], 0, None));
}

#[test]
fn a_receive_posted_for_bytes_that_are_there_is_due_at_once() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    peer.send(&mut &b"early"[..]);
    for _ in 0..8 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    let buffer = queue.buffers(1, 10).expect("memory").remove(0);
    queue.recv(socket, buffer, aio_api::RecvOptions::default(), 1).expect("submitted");
    assert_eq!(
        queue.next_deadline(),
        Some(queue.now()),
        "a program that sleeps until then would wait for nothing"
    );
    assert_eq!(complete(&mut queue, &mut peer, 1)[0].bytes, 5);
}
