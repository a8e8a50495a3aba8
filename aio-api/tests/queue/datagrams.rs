//! UDP operations: whole datagrams, their senders, their errors.

use crate::common::{Peer, complete, queue_and_peer, run};
use aio_api::{EventQueue, Kind, OpError, SubmitReason, UdpId};
use naio_stack::UdpId as PeerUdp;
use std::net::SocketAddr;

const PORT: u16 = 7000;

fn ours() -> SocketAddr {
    ([10, 0, 0, 1], PORT).into()
}

fn theirs() -> SocketAddr {
    ([10, 0, 0, 2], PORT).into()
}

fn pair() -> (EventQueue, UdpId, Peer, PeerUdp) {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = queue.udp_bind(PORT).expect("a free port");
    let other = peer.stack.udp_bind(PORT).expect("a free port");
    (queue, socket, peer, other)
}

#[test]
fn datagrams_keep_their_bounds_and_name_their_sender() {
    let (mut queue, socket, mut peer, other) = pair();
    for (n, buffer) in queue.buffers(3, 100).expect("memory").into_iter().enumerate() {
        queue.recv_from(socket, buffer, n as u64).expect("submitted");
    }
    let long = [9u8; 150];
    for text in [&b"one"[..], b"", &long] {
        peer.stack.udp_send(other, ours(), text).expect("room");
    }
    let done = complete(&mut queue, &mut peer, 3);
    let seen: Vec<_> =
        done.iter().map(|d| (d.kind, d.user_data, d.bytes, d.peer, d.flags.is_truncated())).collect();
    let from = Some(theirs());
    assert_eq!(
        seen,
        [
            (Kind::RecvFrom, 0, 3, from, false),
            (Kind::RecvFrom, 1, 0, from, false),
            (Kind::RecvFrom, 2, 100, from, true)
        ]
    );
    assert_eq!(&done[0].buffer.as_ref().expect("back")[..3], b"one");
}

#[test]
fn a_datagram_of_many_fragments_goes_and_comes() {
    let (mut queue, socket, mut peer, other) = pair();
    let [mut out, back] = <[_; 2]>::try_from(queue.buffers(2, 40_000).expect("memory")).expect("two");
    for (n, byte) in out.iter_mut().enumerate() {
        *byte = (n / 7) as u8;
    }
    let sent = out.to_vec();
    queue.send_to(socket, out, 0..40_000, theirs(), 1).expect("submitted");
    queue.recv_from(socket, back, 2).expect("submitted");
    let mut echo = vec![0; 65_536];
    let done = run(
        &mut queue,
        &mut peer,
        |peer| {
            if let Some(datagram) = peer.stack.udp_recv(other, &mut echo) {
                peer.stack.udp_send(other, datagram.from, &echo[..datagram.len]).expect("room");
            }
        },
        |done| done.len() == 2,
    );
    assert_eq!((done[0].kind, done[0].bytes), (Kind::SendTo, 40_000));
    assert!(done[1].buffer.as_ref().expect("back")[..] == sent[..]);
}

#[test]
fn a_closed_port_comes_back_as_an_error_with_its_address() {
    let (mut queue, socket, mut peer, _) = pair();
    let [out, wait] = <[_; 2]>::try_from(queue.buffers(2, 10).expect("memory")).expect("two");
    queue.recv_from(socket, wait, 1).expect("submitted");
    let nobody = ([10, 0, 0, 2], 9).into();
    queue.send_to(socket, out, 0..10, nobody, 2).expect("submitted");
    let done = complete(&mut queue, &mut peer, 2);
    assert_eq!((done[0].kind, done[0].result), (Kind::SendTo, Ok(())), "it left");
    assert_eq!((done[1].result, done[1].peer), (Err(OpError::Refused), Some(nobody)));
    assert!(done[1].buffer.is_some());
}

#[test]
fn closing_ends_what_waits_and_frees_the_port() {
    let (mut queue, socket, mut peer, _) = pair();
    assert!(queue.udp_bind(PORT).is_err(), "taken");
    let [first, second] = <[_; 2]>::try_from(queue.buffers(2, 10).expect("memory")).expect("two");
    let key = queue.recv_from(socket, first, 1).expect("submitted");
    queue.recv_from(socket, second, 2).expect("submitted");
    assert!(queue.cancel(key));
    assert!(queue.udp_close(socket) && !queue.udp_close(socket));
    let done = complete(&mut queue, &mut peer, 2);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    assert_eq!(ends, [(1, Err(OpError::Canceled)), (2, Err(OpError::Closed))]);
    let buffer = queue.buffers(1, 10).expect("memory").remove(0);
    assert_eq!(queue.recv_from(socket, buffer, 3).expect_err("closed").reason, SubmitReason::NoSocket);
    queue.udp_bind(PORT).expect("free again");
}

#[test]
fn a_datagram_beyond_64_kib_is_refused_and_nothing_else() {
    let (mut queue, socket, mut peer, _) = pair();
    let [large, small] = <[_; 2]>::try_from(queue.buffers(2, 70_000).expect("memory")).expect("two");
    queue.send_to(socket, large, 0..70_000, theirs(), 1).expect("submitted");
    queue.send_to(socket, small, 0..10, theirs(), 2).expect("submitted");
    let done = complete(&mut queue, &mut peer, 2);
    assert_eq!((done[0].result, done[0].bytes), (Err(OpError::TooLong), 0));
    assert_eq!((done[1].result, done[1].bytes), (Ok(()), 10));
}
