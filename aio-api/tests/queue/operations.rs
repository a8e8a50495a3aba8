//! What the documentation of the queue promises, over a wire in memory.

use crate::common::{complete, connected, joined, listener, pattern, queue_and_peer, run};
use aio_api::{
    Kind, OpError, RecvNowError, RecvOptions, SocketError, SocketOptions, SubmitReason, Taken, Wait,
    WaitError,
};
use naio_stack::Phase;
use naio_testkit::WireOptions;
use std::time::Duration;

#[test]
fn receives_fill_their_buffers_in_the_order_they_were_posted() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    for (n, buffer) in queue.buffers(4, 3000).expect("memory").into_iter().enumerate() {
        queue.recv(socket, buffer, RecvOptions::wait_all(), n as u64).expect("submitted");
    }
    let data = pattern(12_000);
    let mut rest = &data[..];
    let done = run(&mut queue, &mut peer, |peer| peer.send(&mut rest), |done| done.len() == 4);
    for (n, done) in done.iter().enumerate() {
        assert_eq!((done.kind, done.user_data, done.result), (Kind::Recv, n as u64, Ok(())));
        let buffer = done.buffer.as_ref().expect("it comes back");
        assert_eq!(&buffer[..done.bytes as usize], &data[n * 3000..(n + 1) * 3000]);
        assert!(!done.flags.is_eof() && done.flags.is_copied() && !done.flags.has_more());
    }
}

#[test]
fn a_program_may_look_and_copy_instead_of_posting() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let mut bytes = [0; 4];
    assert_eq!(queue.recv_now(socket, &mut bytes), Ok(Taken::Nothing));
    assert_eq!(queue.recv_now(socket, &mut []), Err(RecvNowError::NoRoom));
    assert!(!queue.is_readable(socket));
    let mut left = &b"sixbyte"[..];
    peer.send(&mut left);
    for _ in 0..8 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    assert!(queue.is_readable(socket));
    assert_eq!((queue.recv_now(socket, &mut bytes), &bytes), (Ok(Taken::Bytes(4)), b"sixb"));
    assert_eq!((queue.recv_now(socket, &mut bytes), &bytes[..3]), (Ok(Taken::Bytes(3)), &b"yte"[..]));
    // What arrives belongs to the receive that is posted.
    let buffer = queue.buffers(1, 10).expect("memory").remove(0);
    let key = queue.recv(socket, buffer, RecvOptions::default(), 0).expect("room");
    assert_eq!(queue.recv_now(socket, &mut bytes), Err(RecvNowError::Posted));
    assert!(queue.cancel(key));
    let end = peer.connection();
    peer.stack.shutdown(end).expect("connected");
    for _ in 0..8 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    assert!(queue.is_readable(socket));
    assert_eq!(queue.recv_now(socket, &mut bytes), Ok(Taken::End));
    queue.abort(socket);
    assert_eq!(queue.recv_now(socket, &mut bytes), Err(RecvNowError::Stale));
}

#[test]
fn the_end_of_the_stream_is_no_error_and_carries_the_last_bytes() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    for buffer in queue.buffers(2, 1000).expect("memory") {
        queue.recv(socket, buffer, RecvOptions::wait_all(), 0).expect("submitted");
    }
    peer.send(&mut &b"the end"[..]);
    let connection = peer.connection();
    peer.stack.shutdown(connection).expect("connected");
    let done = complete(&mut queue, &mut peer, 2);
    assert_eq!((done[0].result, done[0].bytes, done[0].flags.is_eof()), (Ok(()), 7, true));
    assert_eq!(&done[0].buffer.as_ref().expect("back")[..7], b"the end");
    assert_eq!((done[1].result, done[1].bytes, done[1].flags.is_eof()), (Ok(()), 0, true));
}

#[test]
fn a_receive_completes_with_the_least_it_asked_for() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let buffer = queue.buffers(1, 1000).expect("memory").remove(0);
    queue.recv(socket, buffer, RecvOptions::at_least(10), 0).expect("submitted");
    peer.send(&mut &b"12345"[..]);
    let mut completions = Vec::new();
    for _ in 0..50 {
        peer.pump();
        assert_eq!(queue.poll(&mut completions), 0, "five bytes are not ten");
    }
    peer.send(&mut &b"67890ab"[..]);
    assert_eq!(complete(&mut queue, &mut peer, 1)[0].bytes, 12);
}

#[test]
fn sends_arrive_in_order_and_complete_when_acknowledged() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(600_000);
    for (n, mut buffer) in queue.buffers(3, 200_000).expect("memory").into_iter().enumerate() {
        buffer.copy_from_slice(&data[n * 200_000..(n + 1) * 200_000]);
        queue.send(socket, buffer, 0..200_000, n as u64).expect("submitted");
    }
    let mut got = Vec::new();
    let mut acknowledged = 0;
    let done = run(
        &mut queue,
        &mut peer,
        |peer| peer.receive(&mut got),
        |done| {
            acknowledged = done.len();
            acknowledged == 3
        },
    );
    assert!(got == data, "every byte, in order");
    let order: Vec<(u64, u64)> = done.iter().map(|done| (done.user_data, done.bytes)).collect();
    assert_eq!(order, [(0, 200_000), (1, 200_000), (2, 200_000)]);
    assert!(done.iter().all(|done| done.buffer.as_ref().is_some_and(|buffer| buffer.len() == 200_000)));
}

#[test]
fn a_close_sends_what_was_submitted_and_ends_waiting_receives() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let [mut out, wait] = <[_; 2]>::try_from(queue.buffers(2, 100_000).expect("memory")).expect("two");
    let data = pattern(100_000);
    out.copy_from_slice(&data);
    queue.recv(socket, wait, RecvOptions::default(), 1).expect("submitted");
    queue.send(socket, out, 0..100_000, 2).expect("submitted");
    queue.close(socket, 3).expect("submitted");
    let late = queue.buffers(1, 10).expect("memory").remove(0);
    let refused = queue.recv(socket, late, RecvOptions::default(), 4).expect_err("closing");
    assert_eq!(refused.reason, SubmitReason::NoSocket);
    assert_eq!(refused.buffer.expect("comes back").len(), 10);
    let mut got = Vec::new();
    let done = run(&mut queue, &mut peer, |peer| peer.receive(&mut got), |done| done.len() == 3);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    assert_eq!(ends, [(1, Err(OpError::Closed)), (2, Ok(())), (3, Ok(()))]);
    assert!(got == data);
    assert_eq!(peer.stack.status(peer.connection()).expect("known").phase, Phase::CloseWait);
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn half_a_connection_goes_on_after_shutdown() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    queue.shutdown(socket, 1).expect("submitted");
    let buffer = queue.buffers(1, 10).expect("memory").remove(0);
    let refused = queue.send(socket, buffer, 0..10, 2).expect_err("the end was said");
    assert_eq!(refused.reason, SubmitReason::ShutDown);
    assert_eq!(complete(&mut queue, &mut peer, 1)[0].kind, Kind::Shutdown);
    let buffer = refused.buffer.expect("comes back");
    queue.recv(socket, buffer, RecvOptions::default(), 3).expect("submitted");
    peer.send(&mut &b"still"[..]);
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].user_data, done[0].bytes), (3, 5));
}

#[test]
fn a_cancelled_receive_gives_the_buffer_back_and_loses_no_byte() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let [first, second] = <[_; 2]>::try_from(queue.buffers(2, 100).expect("memory")).expect("two");
    let key = queue.recv(socket, first, RecvOptions::wait_all(), 1).expect("submitted");
    peer.send(&mut &b"abc"[..]);
    for _ in 0..50 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    assert!(queue.cancel(key));
    assert!(!queue.cancel(key), "the second comes too late");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].result, done[0].bytes), (Err(OpError::Canceled), 3));
    assert_eq!(&done[0].buffer.as_ref().expect("back")[..3], b"abc");
    queue.recv(socket, second, RecvOptions::default(), 2).expect("submitted");
    peer.send(&mut &b"def"[..]);
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!(&done[0].buffer.as_ref().expect("back")[..3], b"def", "the stream goes on where it was");
}

#[test]
fn nobody_listening_is_refused_and_the_socket_can_be_closed() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = queue.socket(SocketOptions::default()).expect("room");
    queue.connect(socket, ([10, 0, 0, 2], 9).into(), 5).expect("submitted");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].kind, done[0].result), (Kind::Connect, Err(OpError::Refused)));
    assert!(queue.connect(socket, listener(), 6).is_err(), "a socket connects once");
    queue.close(socket, 7).expect("submitted");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].kind, done[0].user_data), (Kind::Close, 7));
}

#[test]
fn a_socket_closed_before_it_was_connected_ends_everything() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = queue.socket(SocketOptions::default()).expect("room");
    let buffer = queue.buffers(1, 10).expect("memory").remove(0);
    queue.recv(socket, buffer, RecvOptions::default(), 1).expect("submitted early");
    queue.close(socket, 2).expect("submitted");
    let done = complete(&mut queue, &mut peer, 2);
    let mut ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    ends.sort_by_key(|end| end.0);
    assert_eq!(ends, [(1, Err(OpError::Closed)), (2, Ok(()))]);
}

#[test]
fn a_reset_by_the_peer_ends_what_waits() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let buffer = queue.buffers(1, 10).expect("memory").remove(0);
    queue.recv(socket, buffer, RecvOptions::default(), 1).expect("submitted");
    let connection = peer.connection();
    peer.stack.abort(connection).expect("connected");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!(done[0].result, Err(OpError::Reset));
    assert!(done[0].buffer.is_some());
}

#[test]
fn a_queue_out_of_sockets_names_its_limit() {
    let (mut queue, _peer) = queue_and_peer();
    let mut sockets = Vec::new();
    let refused = loop {
        match queue.socket(SocketOptions::default()) {
            Ok(socket) => sockets.push(socket),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, SocketError::TooMany { limit: sockets.len() });
    assert!(queue.abort(sockets.remove(0)));
    queue.socket(SocketOptions::default()).expect("room again");
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let (mut queue, mut peer, _) = joined(3, &WireOptions::default());
    for n in 0..3 {
        queue.post(n, n * 10).expect("room for three");
    }
    let refused = queue.post(9, 9).expect_err("no room for the completion of a fourth");
    assert_eq!(refused.reason, SubmitReason::QueueFull { limit: 3 });
    let done = complete(&mut queue, &mut peer, 3);
    let values: Vec<_> = done.iter().map(|done| done.kind).collect();
    assert_eq!(values, [0, 10, 20].map(|value| Kind::Posted { value }));
    queue.post(4, 4).expect("room again");
    let counters = queue.counters().queue;
    assert_eq!((counters.submitted, counters.completed, counters.refused_full), (4, 4, 1));
}

#[test]
fn timeouts_come_in_their_order_and_can_be_cancelled() {
    let (mut queue, mut peer) = queue_and_peer();
    queue.timeout(Duration::from_millis(4), 2).expect("submitted");
    queue.timeout(Duration::from_millis(2), 1).expect("submitted");
    let never = queue.timeout(Duration::from_secs(3600), 3).expect("submitted");
    assert!(queue.cancel(never));
    let done = run(&mut queue, &mut peer, |_| {}, |done| done.len() == 3);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    assert_eq!(ends, [(3, Err(OpError::Canceled)), (1, Ok(())), (2, Ok(()))]);
}

#[test]
fn waiting_for_what_cannot_come_is_an_error() {
    let (mut queue, _) = queue_and_peer();
    let mut completions = Vec::new();
    assert_eq!(queue.wait(&mut completions, Wait::for_one()), Err(WaitError::NothingOutstanding));
    let now = Wait::for_one().within(Duration::ZERO);
    assert_eq!(queue.wait(&mut completions, now), Ok(0), "with a deadline it is just nothing");
}

#[test]
fn a_card_that_goes_away_ends_every_operation() {
    let (mut queue, mut peer, wire) = joined(64, &WireOptions::default());
    let socket = connected(&mut queue, &mut peer);
    for buffer in queue.buffers(3, 10).expect("memory") {
        queue.recv(socket, buffer, RecvOptions::default(), 1).expect("submitted");
    }
    queue.timeout(Duration::from_secs(3600), 2).expect("submitted");
    wire.pull_out(0);
    let mut completions = complete(&mut queue, &mut peer, 4);
    assert!(completions.iter().all(|done| done.result == Err(OpError::CardGone)));
    assert_eq!(completions.iter().filter(|done| done.buffer.is_some()).count(), 3);
    assert_eq!(queue.wait(&mut completions, Wait::for_one()), Err(WaitError::CardGone));
    assert_eq!(queue.post(3, 0).expect_err("nothing could complete").reason, SubmitReason::CardGone);
}

#[test]
fn impossible_submissions_give_the_buffer_back() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let buffer = queue.buffers(1, 10).expect("memory").remove(0);
    let refused = queue.send(socket, buffer, 5..11, 1).expect_err("beyond the buffer");
    assert_eq!(refused.reason, SubmitReason::Range);
    let refused = queue.send(socket, refused.buffer.expect("back"), 3..3, 1).expect_err("nothing");
    assert_eq!(refused.reason, SubmitReason::Range);
    assert!(queue.abort(socket));
    let refused = queue.recv(socket, refused.buffer.expect("back"), RecvOptions::default(), 1);
    assert_eq!(refused.expect_err("gone").reason, SubmitReason::NoSocket);
    assert!(!queue.abort(socket));
}
