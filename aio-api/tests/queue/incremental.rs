//! Large buffers that are used little by little.

use crate::common::{Peer, complete, connected, joined, pattern, queue_and_peer, run};
use aio_api::{Completion, EventQueue, OpError, RecvOptions, SubmitReason, TcpOptions, Wait};
use naio_dma::Buffer;
use naio_testkit::{Faults, WireOptions};

/// Turns in which everything that is under way arrives.
const SETTLE: usize = 50;

/// Lets everything arrive, of which nothing may complete.
fn settle(queue: &mut EventQueue, peer: &mut Peer) {
    let mut none = Vec::new();
    for _ in 0..SETTLE {
        peer.pump();
        assert_eq!(queue.poll(&mut none), 0, "{none:?}");
    }
}

fn buffer(queue: &EventQueue, len: usize) -> Buffer {
    let mut buffer = queue.buffers(1, len).expect("memory").remove(0);
    buffer.fill(0xee);
    buffer
}

fn bytes(done: &Completion) -> &[u8] {
    &done.buffer.as_ref().expect("each part is a buffer")[..done.bytes as usize]
}

fn rejoin(parts: Vec<Completion>) -> Buffer {
    let parts = parts.into_iter().map(|done| done.buffer.expect("each part is a buffer"));
    parts.reduce(|front, rest| front.unsplit(rest).expect("neighbours")).expect("parts")
}

#[test]
fn parts_lie_side_by_side_and_become_the_buffer_again() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let whole = buffer(&queue, 10_000);
    let at = whole.as_ptr_range();
    queue.recv(socket, whole, RecvOptions::default().incremental(), 7).expect("submitted");
    let data = pattern(10_000);
    let (mut rest, mut turn) = (&data[..], 0);
    let trickle = |peer: &mut Peer| {
        turn += 1;
        let (mut now, later) = rest.split_at(rest.len().min(turn * 37 % 500));
        peer.send(&mut now);
        assert!(now.is_empty(), "the window is large enough");
        rest = later;
    };
    let is_over = |done: &[Completion]| done.last().is_some_and(|done| !done.flags.has_more());
    let parts = run(&mut queue, &mut peer, trickle, is_over);
    assert!(parts.len() > 10, "{} parts", parts.len());
    let mut next = 0;
    for (n, part) in parts.iter().enumerate() {
        assert_eq!((part.user_data, part.result, part.key), (7, Ok(()), parts[0].key));
        assert!(!part.flags.is_eof() && part.flags.has_more() == (n + 1 < parts.len()));
        assert_eq!(bytes(part), &data[next..next + part.bytes as usize]);
        assert_eq!(bytes(part).len(), part.buffer.as_ref().expect("there").len(), "a part is filled");
        next += part.bytes as usize;
    }
    assert_eq!((next, queue.outstanding()), (10_000, 0));
    let whole = rejoin(parts);
    assert!(whole.as_ptr_range() == at && whole[..] == data);
}

#[test]
fn while_a_part_is_not_collected_what_arrives_gathers_in_the_rest() {
    const FRAMES_OF_A_TURN: usize = 256;
    const FRAMES: usize = 600;
    let options =
        WireOptions { queue_frames: 2 * FRAMES, ring: 1024, rx_pages: 4096, ..WireOptions::default() };
    let (mut queue, mut peer, wire) = joined(64, &options);
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(FRAMES * 20);
    let whole = buffer(&queue, data.len());
    queue.recv(socket, whole, RecvOptions::default().incremental(), 1).expect("submitted");
    let connection = peer.connection();
    let each_at_once = TcpOptions { nodelay: true, ..TcpOptions::default() };
    peer.stack.set_options(connection, each_at_once).expect("connected");
    for piece in data.chunks(20) {
        peer.send(&mut &piece[..]);
        peer.pump();
    }
    let mut parts = Vec::new();
    (0..8).for_each(|_| peer.pump());
    assert_eq!(wire.under_way(), FRAMES, "each piece is a frame, and waits");
    assert_eq!(queue.wait(&mut parts, Wait::for_at_least(2)), Ok(2));
    // Nothing was told of the second turn, although it brought enough.
    assert!(parts[0].flags.has_more() && !parts[1].flags.has_more());
    assert_eq!(parts[0].bytes, 20 * FRAMES_OF_A_TURN as u64);
    assert_eq!(rejoin(parts)[..], data);
}

#[test]
fn a_part_has_as_many_bytes_as_were_asked_for() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let whole = buffer(&queue, 2_500);
    queue.recv(socket, whole, RecvOptions::at_least(1_000).incremental(), 1).expect("submitted");
    let data = pattern(2_500);
    let mut parts = Vec::new();
    for (n, piece) in data.chunks(300).enumerate() {
        peer.send(&mut &piece[..]);
        for _ in 0..SETTLE {
            peer.pump();
            queue.poll(&mut parts);
        }
        // 1200, 2400 and, with less than 1000 bytes left in the buffer, all of it.
        let expected = [0, 0, 0, 1, 1, 1, 1, 2, 3][n];
        assert_eq!(parts.len(), expected, "after {} bytes", 300 * (n + 1));
    }
    let lens: Vec<_> = parts.iter().map(|part| part.bytes).collect();
    assert_eq!(lens, [1_200, 1_200, 100]);
    assert_eq!(rejoin(parts)[..], data);
}

#[test]
fn the_end_of_the_stream_is_one_terminal_part_with_the_last_bytes() {
    for rest in [0, 7] {
        let (mut queue, mut peer) = queue_and_peer();
        let socket = connected(&mut queue, &mut peer);
        let whole = buffer(&queue, 1_000);
        queue.recv(socket, whole, RecvOptions::at_least(10).incremental(), 1).expect("submitted");
        peer.send(&mut &[1; 20][..]);
        let mut parts = complete(&mut queue, &mut peer, 1);
        peer.send(&mut &[2; 7][..rest]);
        let connection = peer.connection();
        peer.stack.shutdown(connection).expect("connected");
        parts.extend(complete(&mut queue, &mut peer, 1));
        assert_eq!((parts[0].bytes, parts[0].flags.has_more(), parts[0].flags.is_eof()), (20, true, false));
        let last = &parts[1];
        assert_eq!((last.bytes, last.flags.has_more(), last.flags.is_eof()), (rest as u64, false, true));
        assert_eq!(bytes(last), &[2; 7][..rest]);
        assert_eq!((queue.outstanding(), rejoin(parts).len()), (0, 1_000));
    }
}

#[test]
fn a_cancel_a_close_and_a_reset_each_give_the_rest_back_once() {
    for way in 0..3 {
        let (mut queue, mut peer) = queue_and_peer();
        let socket = connected(&mut queue, &mut peer);
        let whole = buffer(&queue, 1_000);
        let options = RecvOptions::at_least(10).incremental();
        let key = queue.recv(socket, whole, options, 1).expect("submitted");
        peer.send(&mut &[1; 20][..]);
        let mut parts = complete(&mut queue, &mut peer, 1);
        peer.send(&mut &[2; 5][..]);
        settle(&mut queue, &mut peer);
        let expected = match way {
            0 => {
                assert!(queue.cancel(key) && !queue.cancel(key));
                OpError::Canceled
            }
            1 => {
                assert!(queue.abort(socket));
                OpError::Closed
            }
            _ => {
                let connection = peer.connection();
                peer.stack.abort(connection).expect("connected");
                OpError::Reset
            }
        };
        parts.extend(complete(&mut queue, &mut peer, 1));
        let last = &parts[1];
        assert_eq!((last.result, last.bytes, last.flags.has_more()), (Err(expected), 5, false));
        assert_eq!(bytes(last), [2; 5]);
        assert_eq!((parts.len(), rejoin(parts).len(), queue.outstanding()), (2, 1_000, 0));
        // And nothing ends twice.
        settle(&mut queue, &mut peer);
    }
}

#[test]
fn a_receive_behind_an_incremental_one_waits_until_that_is_full() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let (first, second, third) = (buffer(&queue, 100), buffer(&queue, 50), buffer(&queue, 30));
    queue.recv(socket, first, RecvOptions::default().incremental(), 1).expect("submitted");
    queue.recv(socket, second, RecvOptions::wait_all(), 2).expect("submitted");
    queue.recv(socket, third, RecvOptions::at_least(20), 3).expect("submitted");
    let data = pattern(175);
    let mut got = Vec::new();
    for piece in data.chunks(35) {
        peer.send(&mut &piece[..]);
        for _ in 0..SETTLE {
            peer.pump();
            queue.poll(&mut got);
        }
    }
    let ends: Vec<_> = got.iter().map(|done| (done.user_data, done.bytes, done.flags.has_more())).collect();
    assert_eq!(ends, [(1, 35, true), (1, 35, true), (1, 30, false), (2, 50, false), (3, 25, false)]);
    assert_eq!(got.iter().flat_map(bytes).copied().collect::<Vec<_>>(), data);
}

#[test]
fn an_incremental_receive_keeps_two_places_in_the_queue_and_no_more() {
    let (mut queue, mut peer, _) = joined(4, &WireOptions::default());
    let socket = connected(&mut queue, &mut peer);
    let options = RecvOptions::default().incremental();
    let whole = buffer(&queue, 1_000);
    queue.recv(socket, whole, options, 1).expect("two places");
    queue.post(2, 0).expect("the third");
    let late = buffer(&queue, 10);
    let refused = queue.recv(socket, late, options, 3).expect_err("one place is left, two are needed");
    assert_eq!(refused.reason, SubmitReason::QueueFull { limit: 4 });
    queue.post(4, 0).expect("the fourth");
    queue.post(5, 0).expect_err("the part of the receive may still come");
    peer.send(&mut &[1; 20][..]);
    let done = complete(&mut queue, &mut peer, 3);
    assert_eq!(done.iter().filter(|done| done.flags.has_more()).count(), 1);
    // Two are free again, the two of the receive are not.
    queue.post(6, 0).expect("room");
    queue.post(7, 0).expect("room");
    assert_eq!(queue.post(8, 0).expect_err("no more").reason, SubmitReason::QueueFull { limit: 4 });
}

#[test]
fn waiting_counts_a_part_and_the_end_as_two_that_may_come() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let whole = buffer(&queue, 40);
    queue.recv(socket, whole, RecvOptions::default().incremental(), 1).expect("submitted");
    peer.send(&mut &[1; 20][..]);
    (0..8).for_each(|_| peer.pump());
    let mut done = Vec::new();
    assert_eq!(
        queue.wait(&mut done, Wait::for_at_least(3)),
        Ok(1),
        "three cannot come before one is collected"
    );
    assert!(done[0].flags.has_more());
}

#[test]
fn over_a_bad_wire_every_byte_of_every_part_is_right() {
    for seed in naio_testkit::seeds(1, 20) {
        let bad = Faults { loss: 200, duplicate: 100, reorder: 300, reorder_us: 500, corrupt: 50 };
        let (mut queue, mut peer, wire) = joined(32, &WireOptions { seed, ..WireOptions::default() });
        let socket = connected(&mut queue, &mut peer);
        wire.set_faults(0, bad);
        wire.set_faults(1, bad);
        let mut random = fastrand::Rng::with_seed(seed);
        let data = pattern(200_000);
        let (mut rest, mut received, mut parts) = (&data[..], Vec::new(), Vec::<Buffer>::new());
        let mut post = |queue: &mut EventQueue| {
            let options = RecvOptions::at_least(random.u32(1..3_000)).incremental();
            let whole = buffer(queue, random.usize(1..20_000));
            let len = whole.len();
            queue.recv(socket, whole, options, len as u64).expect("room");
        };
        (0..3).for_each(|_| post(&mut queue));
        let mut completions = Vec::new();
        let mut turns = 0;
        let mut eof = false;
        while !eof {
            turns += 1;
            assert!(turns < 1_000_000, "seed {seed}: {} bytes", received.len());
            queue.poll(&mut completions);
            peer.pump();
            if !rest.is_empty() {
                peer.send(&mut rest);
            } else {
                let connection = peer.connection();
                // Again is no error.
                peer.stack.shutdown(connection).expect("connected");
            }
            for done in completions.drain(..) {
                received.extend_from_slice(bytes(&done));
                eof = done.flags.is_eof();
                let is_over = !done.flags.has_more();
                parts.push(done.buffer.expect("each part is a buffer"));
                if is_over {
                    let whole =
                        parts.drain(..).reduce(|front, rest| front.unsplit(rest).expect("neighbours"));
                    assert_eq!(whole.expect("parts").len() as u64, done.user_data, "seed {seed}");
                    post(&mut queue);
                }
                if eof {
                    break;
                }
            }
        }
        assert!(received == data, "seed {seed}");
    }
}
