//! Multishot receives, whose buffers come from a group when bytes are there.

use crate::common::{Peer, complete, connected, joined, listener, pattern, queue_and_peer};
use aio_api::{BufferGroupId, Completion, EventQueue, OpError, RecvOptions, SocketId, SubmitReason, Wait};
use aio_api::{Kind, SocketOptions};
use naio_testkit::WireOptions;
use std::net::SocketAddr;

/// Turns in which everything that is under way arrives.
const SETTLE: usize = 50;

/// Lets everything arrive; what completes meanwhile.
fn settle(queue: &mut EventQueue, peer: &mut Peer) -> Vec<Completion> {
    let mut done = Vec::new();
    for _ in 0..SETTLE {
        peer.pump();
        queue.poll(&mut done);
    }
    done
}

/// A group of `count` buffers of `len` bytes.
fn group(queue: &mut EventQueue, count: usize, len: usize) -> BufferGroupId {
    let group = queue.buffer_group();
    if count > 0 {
        for buffer in queue.buffers(count, len).expect("memory") {
            queue.provide(group, buffer).expect("room");
        }
    }
    group
}

fn bytes(done: &Completion) -> &[u8] {
    &done.buffer.as_ref().expect("bytes lie in a buffer")[..done.bytes as usize]
}

/// User data, bytes and whether more follows, of each.
fn shape(done: &[Completion]) -> Vec<(u64, u64, bool)> {
    done.iter().map(|done| (done.user_data, done.bytes, done.flags.has_more())).collect()
}

/// A second connection; the peer's end of it.
fn connected_again(queue: &mut EventQueue, peer: &mut Peer) -> (SocketId, naio_stack::SocketId) {
    let socket = queue.socket(SocketOptions::default()).expect("room for a socket");
    queue.connect(socket, listener(), 1).expect("submitted");
    let before = peer.accepted.len();
    complete(queue, peer, 1);
    settle(queue, peer);
    (socket, peer.accepted[before])
}

#[test]
fn a_buffer_is_taken_when_bytes_arrive_and_not_before() {
    let (mut queue, mut peer) = queue_and_peer();
    let first = connected(&mut queue, &mut peer);
    let (second, other) = connected_again(&mut queue, &mut peer);
    let group = group(&mut queue, 2, 100);
    queue.recv_multishot(first, group, RecvOptions::default(), 1).expect("submitted");
    queue.recv_multishot(second, group, RecvOptions::default(), 2).expect("submitted");
    assert!(settle(&mut queue, &mut peer).is_empty());
    assert_eq!(queue.buffers_provided(group), Some(2), "two quiet receives hold nothing");
    // Both buffers go to the one that has something.
    peer.stack.send(other, &[7; 130]).expect("connected");
    let done = settle(&mut queue, &mut peer);
    assert_eq!(shape(&done), [(2, 100, true), (2, 30, true)]);
    assert!(done.iter().all(|done| done.kind == Kind::Recv && bytes(done).iter().all(|byte| *byte == 7)));
    assert_eq!((queue.buffers_provided(group), queue.outstanding()), (Some(0), 2));
}

#[test]
fn an_empty_group_waits_and_goes_on_where_it_was() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let group = group(&mut queue, 1, 1_000);
    queue.recv_multishot(socket, group, RecvOptions::default(), 1).expect("submitted");
    // More than the window takes.
    let data = pattern(300_000);
    let (mut rest, mut received, mut rounds) = (&data[..], Vec::<u8>::new(), 0);
    let mut spare = Vec::new();
    while received.len() < data.len() {
        for _ in 0..SETTLE {
            if !rest.is_empty() {
                peer.send(&mut rest);
            }
            peer.pump();
            queue.poll(&mut spare);
        }
        assert_eq!(spare.len(), 1, "one buffer, one completion");
        let done = spare.pop().expect("one");
        assert!(done.flags.has_more() && done.result.is_ok());
        received.extend_from_slice(bytes(&done));
        rounds += 1;
        queue.provide(group, done.buffer.expect("it is there")).expect("room");
        assert_eq!(
            queue.next_deadline() == Some(queue.now()),
            received.len() < data.len(),
            "due if bytes wait"
        );
    }
    assert!(received == data);
    assert_eq!(queue.counters().queue.empty_group_waits, rounds - 1);
}

#[test]
fn those_who_wait_for_a_buffer_get_one_each_in_their_order() {
    let (mut queue, mut peer) = queue_and_peer();
    let first = connected(&mut queue, &mut peer);
    let (second, other) = connected_again(&mut queue, &mut peer);
    let group = group(&mut queue, 0, 0);
    queue.recv_multishot(first, group, RecvOptions::default(), 1).expect("submitted");
    queue.recv_multishot(second, group, RecvOptions::default(), 2).expect("submitted");
    peer.stack.send(other, &[2; 300]).expect("connected");
    assert!(settle(&mut queue, &mut peer).is_empty());
    peer.send(&mut &[1; 300][..]);
    assert!(settle(&mut queue, &mut peer).is_empty());
    let mut buffers = queue.buffers(6, 100).expect("memory");
    for (count, expected) in [(2, vec![2, 1]), (1, vec![2]), (1, vec![1]), (2, vec![2, 1])] {
        for buffer in buffers.drain(..count) {
            queue.provide(group, buffer).expect("room");
        }
        // What arrives now does not overtake those who wait.
        peer.send(&mut &[1; 10][..]);
        let order: Vec<_> = settle(&mut queue, &mut peer).iter().map(|done| done.user_data).collect();
        assert_eq!(order, expected);
    }
}

#[test]
fn a_cancel_of_whoever_is_first_in_the_line_lets_the_next_have_the_buffer() {
    let (mut queue, mut peer) = queue_and_peer();
    let first = connected(&mut queue, &mut peer);
    let (second, other) = connected_again(&mut queue, &mut peer);
    let group = group(&mut queue, 0, 0);
    let key = queue.recv_multishot(first, group, RecvOptions::default(), 1).expect("submitted");
    queue.recv_multishot(second, group, RecvOptions::default(), 2).expect("submitted");
    peer.send(&mut &[1; 30][..]);
    settle(&mut queue, &mut peer);
    peer.stack.send(other, &[2; 30]).expect("connected");
    settle(&mut queue, &mut peer);
    let buffer = queue.buffers(1, 100).expect("memory").remove(0);
    queue.provide(group, buffer).expect("room");
    assert!(queue.cancel(key));
    assert_eq!(shape(&settle(&mut queue, &mut peer)), [(1, 0, false), (2, 30, true)]);
}

#[test]
fn every_end_is_one_terminal_completion_and_every_buffer_comes_back_once() {
    const BUFFERS: usize = 6;
    for way in 0..6 {
        let (mut queue, mut peer) = queue_and_peer();
        let socket = connected(&mut queue, &mut peer);
        let group = group(&mut queue, BUFFERS, 100);
        let key = queue.recv_multishot(socket, group, RecvOptions::at_least(50), 1).expect("submitted");
        let data = pattern(220);
        peer.send(&mut &data[..]);
        let mut done = settle(&mut queue, &mut peer);
        assert_eq!(shape(&done), [(1, 100, true), (1, 100, true)], "20 bytes are not 50");
        let connection = peer.connection();
        let mut back = Vec::new();
        let expected = match way {
            0 => peer.stack.shutdown(connection).map(|()| Ok(())).expect("connected"),
            1 => peer.stack.abort(connection).map(|()| Err(OpError::Reset)).expect("connected"),
            2 => {
                assert!(queue.cancel(key) && !queue.cancel(key));
                Err(OpError::Canceled)
            }
            3 => {
                assert!(queue.abort(socket));
                Err(OpError::Closed)
            }
            4 => {
                queue.close(socket, 1).expect("submitted");
                Err(OpError::Closed)
            }
            _ => {
                back = queue.remove_buffer_group(group);
                assert_eq!(queue.buffers_provided(group), None);
                Err(OpError::Canceled)
            }
        };
        done.extend(settle(&mut queue, &mut peer).into_iter().filter(|done| done.kind == Kind::Recv));
        assert_eq!(done.len(), 3, "way {way}: {done:?}");
        let last = &done[2];
        assert_eq!((last.result, last.flags.has_more(), last.flags.is_eof()), (expected, false, way == 0));
        let received: Vec<u8> = done.iter().flat_map(bytes).copied().collect();
        assert_eq!(received, data, "way {way}: what was half filled is in the last");
        back.extend(queue.reclaim(group));
        back.extend(done.into_iter().filter_map(|done| done.buffer));
        assert_eq!(back.len(), BUFFERS, "way {way}");
        let mut places: Vec<_> = back.iter().map(|buffer| buffer.as_ptr()).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), BUFFERS, "way {way}: each once");
        if way != 4 {
            let free = (0..).take_while(|n| queue.post(*n, 0).is_ok()).count();
            assert_eq!(free, 64, "way {way}: every place is free again");
        }
    }
}

#[test]
fn what_arrived_before_a_reset_is_received_first_however_empty_the_group_is() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let group = group(&mut queue, 1, 100);
    queue.recv_multishot(socket, group, RecvOptions::default(), 1).expect("submitted");
    let [behind, out] = <[_; 2]>::try_from(queue.buffers(2, 50).expect("memory")).expect("two");
    queue.recv(socket, behind, RecvOptions::default(), 2).expect("submitted");
    let data = pattern(250);
    peer.send(&mut &data[..]);
    let mut done = settle(&mut queue, &mut peer);
    assert_eq!(shape(&done), [(1, 100, true)]);
    let connection = peer.connection();
    peer.stack.abort(connection).expect("connected");
    assert!(settle(&mut queue, &mut peer).is_empty(), "150 bytes wait for buffers");
    // Whoever sends hears of it at once.
    queue.send(socket, out, 0..50, 3).expect("submitted");
    let sends = settle(&mut queue, &mut peer);
    assert_eq!(
        sends.iter().map(|done| (done.kind, done.result)).collect::<Vec<_>>(),
        [(Kind::Send, Err(OpError::Reset))]
    );
    for buffer in queue.buffers(2, 100).expect("memory") {
        queue.provide(group, buffer).expect("room");
        done.extend(settle(&mut queue, &mut peer));
    }
    assert_eq!(shape(&done), [(1, 100, true), (1, 100, true), (1, 50, false), (2, 0, false)]);
    assert_eq!(done[..3].iter().flat_map(bytes).copied().collect::<Vec<_>>(), data);
    assert!(done[..2].iter().all(|done| done.result.is_ok()));
    assert!(done[2..].iter().all(|done| done.result == Err(OpError::Reset)), "{done:?}");
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn a_socket_closed_while_bytes_of_a_reset_connection_wait_for_a_buffer_is_gone() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let group = group(&mut queue, 0, 0);
    queue.recv_multishot(socket, group, RecvOptions::default(), 1).expect("submitted");
    peer.send(&mut &[1; 150][..]);
    settle(&mut queue, &mut peer);
    let connection = peer.connection();
    peer.stack.abort(connection).expect("connected");
    assert!(settle(&mut queue, &mut peer).is_empty());
    queue.close(socket, 2).expect("submitted");
    let done = settle(&mut queue, &mut peer);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    assert_eq!(ends, [(1, Err(OpError::Closed)), (2, Err(OpError::Reset))]);
    assert_eq!((queue.outstanding(), queue.census().flows, queue.census().held_pages), (0, 0, 0));
}

#[test]
fn the_end_of_the_stream_needs_no_buffer() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let group = group(&mut queue, 1, 100);
    queue.recv_multishot(socket, group, RecvOptions::default(), 1).expect("submitted");
    peer.send(&mut &b"last"[..]);
    assert_eq!(shape(&settle(&mut queue, &mut peer)), [(1, 4, true)]);
    assert_eq!(queue.buffers_provided(group), Some(0));
    let connection = peer.connection();
    peer.stack.shutdown(connection).expect("connected");
    let done = settle(&mut queue, &mut peer);
    assert_eq!((done.len(), done[0].flags.is_eof(), done[0].buffer.is_none()), (1, true, true));
}

#[test]
fn a_receive_behind_a_multishot_one_gets_what_comes_after_it() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let [first, last] = <[_; 2]>::try_from(queue.buffers(2, 50).expect("memory")).expect("two");
    let group = group(&mut queue, 4, 100);
    queue.recv(socket, first, RecvOptions::wait_all(), 1).expect("submitted");
    let key = queue.recv_multishot(socket, group, RecvOptions::wait_all(), 2).expect("submitted");
    queue.recv(socket, last, RecvOptions::at_least(30), 3).expect("submitted");
    let data = pattern(330);
    peer.send(&mut &data[..270]);
    let mut done = settle(&mut queue, &mut peer);
    assert_eq!(shape(&done), [(1, 50, false), (2, 100, true), (2, 100, true)]);
    assert!(queue.cancel(key));
    peer.send(&mut &data[270..]);
    done.extend(settle(&mut queue, &mut peer));
    assert_eq!(shape(&done[3..]), [(2, 20, false), (3, 50, false)]);
    // Ten bytes are left for nobody.
    assert_eq!(done.iter().flat_map(bytes).copied().collect::<Vec<_>>(), data[..320]);
}

#[test]
fn a_card_that_goes_away_leaves_the_buffers_of_a_group_to_be_reclaimed() {
    let (mut queue, mut peer, wire) = joined(64, &WireOptions::default());
    let socket = connected(&mut queue, &mut peer);
    let group = group(&mut queue, 3, 100);
    queue.recv_multishot(socket, group, RecvOptions::at_least(50), 1).expect("submitted");
    peer.send(&mut &[1; 20][..]);
    assert!(settle(&mut queue, &mut peer).is_empty());
    wire.pull_out(0);
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].result, bytes(&done[0])), (Err(OpError::CardGone), &[1; 20][..]));
    let mut back = queue.reclaim(group);
    assert_eq!(back.len(), 2);
    let refused = queue.provide(group, back.remove(0)).expect_err("nobody would take it");
    assert_eq!((refused.reason, refused.buffer.is_some()), (SubmitReason::CardGone, true));
}

#[test]
fn impossible_groups_and_options_are_refused_by_name() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let (old, kept) = (group(&mut queue, 1, 10), group(&mut queue, 1, 10));
    assert_eq!(queue.remove_buffer_group(old).len(), 1);
    let new = queue.buffer_group();
    assert_ne!(old, new, "a name is never used again");
    let options = RecvOptions::default();
    let refused = queue.recv_multishot(socket, old, options, 1).expect_err("removed");
    assert_eq!(refused.reason, SubmitReason::NoGroup);
    let refused = queue.recv_multishot(socket, new, options.incremental(), 1).expect_err("whole buffers");
    assert_eq!(refused.reason, SubmitReason::Incremental);
    let buffer = queue.reclaim(kept).remove(0);
    let refused = queue.provide(old, buffer).expect_err("removed");
    assert_eq!((refused.reason, refused.buffer.is_some()), (SubmitReason::NoGroup, true));
    assert!(queue.remove_buffer_group(old).is_empty() && queue.reclaim(old).is_empty());
}

const PORT: u16 = 7000;

fn ours() -> SocketAddr {
    ([10, 0, 0, 1], PORT).into()
}

#[test]
fn a_burst_of_datagrams_comes_out_of_one_wait() {
    const BURST: usize = 40;
    let (mut queue, mut peer) = queue_and_peer();
    let socket = queue.udp_bind(PORT).expect("a free port");
    let other = peer.stack.udp_bind(PORT).expect("a free port");
    let group = group(&mut queue, BURST, 64);
    let key = queue.recv_from_multishot(socket, group, 9).expect("submitted");
    peer.stack.udp_send(other, ours(), b"hello").expect("room");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((bytes(&done[0]), done[0].peer), (&b"hello"[..], Some(([10, 0, 0, 2], PORT).into())));
    for buffer in done.into_iter().filter_map(|done| done.buffer) {
        queue.provide(group, buffer).expect("room");
    }
    for n in 0..BURST as u8 {
        peer.stack.udp_send(other, ours(), &[n; 100][..usize::from(n % 30) * 3]).expect("room");
    }
    (0..8).for_each(|_| peer.pump());
    let mut done = Vec::new();
    assert_eq!(queue.wait(&mut done, Wait::for_one()), Ok(BURST));
    for (n, done) in done.iter().enumerate() {
        let len = n % 30 * 3;
        assert_eq!((done.user_data, done.key, done.result), (9, key, Ok(())));
        assert_eq!((done.flags.has_more(), done.flags.is_truncated()), (true, len > 64));
        assert_eq!(bytes(done), &[n as u8; 70][..len.min(64)]);
    }
    assert!(queue.udp_close(socket));
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].result, done[0].flags.has_more()), (Err(OpError::Closed), false));
}

#[test]
fn datagrams_wait_for_a_buffer_and_an_error_for_one_ends_nothing() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = queue.udp_bind(PORT).expect("a free port");
    let other = peer.stack.udp_bind(PORT).expect("a free port");
    let group = group(&mut queue, 1, 64);
    let key = queue.recv_from_multishot(socket, group, 1).expect("submitted");
    for text in [b"one", b"two"] {
        peer.stack.udp_send(other, ours(), text).expect("room");
    }
    let done = settle(&mut queue, &mut peer);
    assert_eq!((done.len(), bytes(&done[0])), (1, &b"one"[..]));
    assert_eq!(queue.counters().queue.empty_group_waits, 1);
    // Two errors, which need no buffer; a turn tells one.
    let nobody: SocketAddr = ([10, 0, 0, 2], 9).into();
    for out in queue.buffers(2, 10).expect("memory") {
        queue.send_to(socket, out, 0..10, nobody, 2).expect("submitted");
    }
    let errors: Vec<_> =
        settle(&mut queue, &mut peer).into_iter().filter(|done| done.kind == Kind::RecvFrom).collect();
    let seen: Vec<_> = errors.iter().map(|done| (done.result, done.peer, done.flags.has_more())).collect();
    assert_eq!(seen, [(Err(OpError::Refused), Some(nobody), true); 2]);
    queue.provide(group, done.into_iter().next().and_then(|done| done.buffer).expect("one")).expect("room");
    let done = settle(&mut queue, &mut peer);
    assert_eq!(bytes(&done[0]), b"two");
    assert!(queue.cancel(key));
    assert_eq!(shape(&settle(&mut queue, &mut peer)), [(1, 0, false)]);
}
