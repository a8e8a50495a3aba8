//! Received bytes that are lent where the card put them.

use crate::common::{Peer, complete, connected, joined, pattern, queue_and_peer, run};
use aio_api::{Completion, EventQueue, Lent, OpError, RecvOptions, SocketId, SubmitReason};
use naio_testkit::WireOptions;
use std::net::SocketAddr;

/// Bytes that one receive may lend.
const MOST: usize = 256 << 10;

fn lent(done: &Completion) -> &Lent {
    done.lent.as_ref().expect("a receive that lends")
}

/// Receives all of `data` with `posted` receives at a time; `keep` says how many completions are held back.
fn transfer(
    queue: &mut EventQueue,
    peer: &mut Peer,
    socket: SocketId,
    data: &[u8],
    keep: usize,
) -> (Vec<u8>, usize, usize) {
    let (mut received, mut copied, mut held) = (Vec::new(), 0, Vec::new());
    let mut rest = data;
    for _ in 0..4 {
        queue.recv_lent(socket, MOST, RecvOptions::default(), 5).expect("submitted");
    }
    while received.len() < data.len() {
        let done = run(queue, peer, |peer| peer.send(&mut rest), |done| !done.is_empty());
        for done in done {
            assert_eq!((done.user_data, done.result), (5, Ok(())));
            assert_eq!(done.bytes as usize, lent(&done).len());
            received.extend(lent(&done).to_vec());
            copied += usize::from(done.flags.is_copied());
            held.extend(done.lent.filter(|_| held.len() < keep));
            queue.recv_lent(socket, MOST, RecvOptions::default(), 5).expect("submitted");
        }
    }
    (received, copied, held.len())
}

#[test]
fn what_arrives_in_order_is_lent_and_never_copied() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(2 << 20);
    let (received, copied, _) = transfer(&mut queue, &mut peer, socket, &data, 0);
    assert!(received == data);
    assert_eq!((copied, queue.counters().stack.pages_copied), (0, 0), "{:?}", queue.census());
}

#[test]
fn each_part_is_what_one_frame_brought() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(3_000);
    queue.recv_lent(socket, MOST, RecvOptions::at_least(3_000), 5).expect("submitted");
    let mut rest = &data[..];
    let done = run(&mut queue, &mut peer, |peer| peer.send(&mut rest), |done| !done.is_empty());
    let parts: Vec<&[u8]> = lent(&done[0]).parts().collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [1_460, 1_460, 80]);
    assert_eq!(parts.concat(), data);
    assert!(!lent(&done[0]).is_empty());
}

/// Whoever keeps everything gets copies in the end, and the card goes on.
#[test]
fn a_program_that_gives_nothing_back_does_not_starve_the_card() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(4 << 20);
    let (received, copied, held) = transfer(&mut queue, &mut peer, socket, &data, usize::MAX);
    assert!(received == data);
    assert!(copied > 0 && held > copied, "{copied} of {held} were copies");
    assert_eq!(queue.counters().nic.rx_no_page, 0, "the card always had pages");
}

#[test]
fn what_is_dropped_elsewhere_comes_home() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(200_000);
    for stretch in data.chunks(20_000) {
        queue.recv_lent(socket, 20_000, RecvOptions::wait_all(), 5).expect("submitted");
        let mut rest = stretch;
        let done = run(&mut queue, &mut peer, |peer| peer.send(&mut rest), |done| !done.is_empty());
        assert!(queue.census().lent_rx_pages >= 13);
        let seen = std::thread::spawn(move || lent(&done[0]).to_vec()).join().expect("it only reads");
        assert_eq!(seen, stretch);
        queue.poll(&mut Vec::new());
        assert_eq!(queue.census().lent_rx_pages, 0);
    }
}

#[test]
fn lent_bytes_outlive_their_queue() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(5_000);
    queue.recv_lent(socket, MOST, RecvOptions::at_least(5_000), 5).expect("submitted");
    let mut rest = &data[..];
    let mut done = run(&mut queue, &mut peer, |peer| peer.send(&mut rest), |done| !done.is_empty());
    let kept = done.remove(0).lent.expect("lent");
    drop(queue);
    assert_eq!(kept.to_vec(), data);
}

#[test]
fn copied_and_lent_receives_are_served_in_their_order() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let mut buffers = queue.buffers(2, 1_000).expect("memory");
    let (last, first) = (buffers.remove(1), buffers.remove(0));
    queue.recv(socket, first, RecvOptions::wait_all(), 1).expect("submitted");
    queue.recv_lent(socket, 1, RecvOptions::default(), 2).expect("submitted");
    queue.recv(socket, last, RecvOptions::wait_all(), 3).expect("submitted");
    let data = pattern(2_920);
    let mut rest = &data[..];
    let done = run(&mut queue, &mut peer, |peer| peer.send(&mut rest), |done| done.len() == 3);
    assert_eq!(done.iter().map(|done| done.user_data).collect::<Vec<_>>(), [1, 2, 3]);
    let whole = [&done[0].buffer.as_ref().expect("back")[..], &lent(&done[1]).to_vec()].concat();
    assert_eq!(whole, data[..1_460], "the rest of the first frame, as it lies");
    assert_eq!(done[2].buffer.as_ref().expect("back")[..], data[1_460..2_460]);
}

#[test]
fn the_end_of_the_stream_and_a_cancelled_receive_are_told_once() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let key = queue.recv_lent(socket, MOST, RecvOptions::at_least(100), 1).expect("submitted");
    let mut some = &[7; 10][..];
    peer.send(&mut some);
    for _ in 0..50 {
        peer.pump();
        assert_eq!(queue.poll(&mut Vec::new()), 0, "ten bytes are not enough");
    }
    assert!(queue.cancel(key));
    queue.recv_lent(socket, MOST, RecvOptions::default(), 2).expect("submitted");
    let connection = peer.connection();
    peer.stack.shutdown(connection).expect("connected");
    let done = complete(&mut queue, &mut peer, 2);
    assert_eq!((done[0].user_data, done[0].result, done[0].bytes), (1, Err(OpError::Canceled), 10));
    assert_eq!(lent(&done[0]).to_vec(), [7; 10], "what had come is not lost");
    assert_eq!((done[1].user_data, done[1].result, done[1].bytes), (2, Ok(()), 0));
    assert!(done[1].flags.is_eof() && lent(&done[1]).is_empty());
    let refused = queue.recv_lent(socket, 0, RecvOptions::default(), 3).expect_err("nothing to lend");
    assert!(matches!(refused.reason, SubmitReason::Range));
}

#[test]
fn what_arrived_before_a_reset_is_lent_first() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(5_000);
    peer.send(&mut &data[..]);
    for _ in 0..50 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    let connection = peer.connection();
    peer.stack.abort(connection).expect("connected");
    for _ in 0..50 {
        peer.pump();
        queue.poll(&mut Vec::new());
    }
    queue.recv_lent(socket, 2_000, RecvOptions::wait_all(), 1).expect("submitted");
    queue.recv_lent(socket, MOST, RecvOptions::wait_all(), 2).expect("submitted");
    queue.recv_lent(socket, MOST, RecvOptions::default(), 3).expect("submitted");
    let done = complete(&mut queue, &mut peer, 3);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    assert_eq!(ends, [(1, Ok(())), (2, Err(OpError::Reset)), (3, Err(OpError::Reset))]);
    // One that asked for more has what there was.
    assert_eq!(done.iter().flat_map(|done| lent(done).to_vec()).collect::<Vec<_>>(), data);
}

#[test]
fn datagrams_are_lent_in_one_batch_and_those_of_fragments_copied() {
    let (mut queue, mut peer, wire) = joined(64, &WireOptions::default());
    let _ = wire;
    let ours: SocketAddr = ([10, 0, 0, 1], 7_000).into();
    let socket = queue.udp_bind(7_000).expect("a free port");
    let other = peer.stack.udp_bind(7_000).expect("a free port");
    for n in 0..20 {
        queue.recv_from_lent(socket, n).expect("submitted");
    }
    // The first one asks who we are.
    peer.stack.udp_send(other, ours, &[0; 5]).expect("room");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!(lent(&done[0]).to_vec(), [0; 5]);
    for n in 1..19_u8 {
        peer.stack.udp_send(other, ours, &vec![n; 50 * usize::from(n)]).expect("room");
    }
    let done = complete(&mut queue, &mut peer, 18);
    assert_eq!(done.len(), 18, "a burst of datagrams is one batch");
    for (n, done) in (1..).zip(&done) {
        assert_eq!((done.user_data, done.bytes), (u64::from(n), 50 * u64::from(n)));
        assert_eq!(lent(done).to_vec(), vec![n; 50 * usize::from(n)]);
        assert!(!done.flags.is_copied());
        assert_eq!(done.peer.map(|peer| peer.port()), Some(7_000));
    }
    peer.stack.udp_send(other, ours, &pattern(9_000)).expect("room");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!(lent(&done[0]).to_vec(), pattern(9_000));
    assert!(done[0].flags.is_copied());
}
