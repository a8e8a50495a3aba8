//! Opening connections, from here and from there.

use super::*;
use crate::{ConnectError, Failure, ListenError, RecvError, SendError, SocketError};

#[test]
fn a_refused_connection_says_so() {
    let mut bench = Bench::new(|_| {});
    let (socket, syn) = bench.connecting(SocketOptions::default());
    let peer = Peer { socket, port: syn.source_port, seq: 0, ack: syn.seq.wrapping_add(1) };
    bench.feed(&peer.segment().rst());
    let status = bench.status(socket);
    assert_eq!((status.phase, status.failure), (Phase::Closed, Some(Failure::Refused)));
    let mut ready = Vec::new();
    bench.stack.ready(&mut ready);
    assert_eq!(ready, [socket]);
    assert_eq!(bench.stack.send(socket, b"x"), Err(SendError::Failed(Failure::Refused)));
    assert_eq!(bench.stack.recv(socket, &mut [0; 4]), Err(RecvError::Failed(Failure::Refused)));
    bench.stack.close(socket).expect("ours");
    assert_eq!(bench.stack.close(socket), Err(SocketError::Stale));
}

#[test]
fn a_forged_reset_does_not_refuse() {
    let mut bench = Bench::new(|_| {});
    let (socket, syn) = bench.connecting(SocketOptions::default());
    let peer = Peer { socket, port: syn.source_port, seq: 0, ack: syn.seq.wrapping_add(2) };
    bench.feed(&peer.segment().rst());
    assert_eq!(bench.status(socket).phase, Phase::Connecting);
}

#[test]
fn the_syn_is_repeated_and_in_the_end_given_up() {
    let mut bench = Bench::new(|_| {});
    let (socket, syn) = bench.connecting(SocketOptions::default());
    let repeated = bench.wait_ms(179_000);
    assert!((5..=8).contains(&repeated.len()), "{} repetitions", repeated.len());
    assert!(repeated.iter().all(|again| again.seq == syn.seq && again.flags == syn.flags));
    assert_eq!(bench.status(socket).phase, Phase::Connecting);
    bench.wait_ms(2_000);
    assert_eq!(bench.status(socket).failure, Some(Failure::TimedOut));
    assert!(bench.wait_ms(100_000).is_empty(), "a peer that never answered needs no reset");
}

#[test]
fn nobody_at_the_next_hop_is_unreachable() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.socket(SocketOptions::default()).expect("room");
    bench.stack.connect(bench.now(), socket, SocketAddr::new(THEM.into(), PORT)).expect("good");
    assert!(bench.wait_ms(2_900).is_empty(), "no SYN before there is a station address");
    assert_eq!(bench.stack.counters().tx_arp_request, 3);
    assert_eq!(bench.status(socket).phase, Phase::Connecting);
    bench.wait_ms(200);
    let status = bench.status(socket);
    assert_eq!((status.phase, status.failure), (Phase::Closed, Some(Failure::Unreachable)));
}

#[test]
fn the_syn_leaves_once_the_next_hop_answers() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.socket(SocketOptions::default()).expect("room");
    bench.stack.connect(bench.now(), socket, SocketAddr::new(THEM.into(), PORT)).expect("good");
    assert!(bench.wait_ms(1_500).is_empty());
    bench.answer_arp();
    assert_eq!(bench.segments().len(), 1);
}

#[test]
fn impossible_addresses_are_refused_at_once() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.socket(SocketOptions::default()).expect("room");
    let mut connect =
        |address: &str| bench.stack.connect(Time::ZERO, socket, address.parse().expect("address"));
    for bad in [
        "10.0.0.2:0",
        "255.255.255.255:1",
        "224.0.0.1:1",
        "0.0.0.0:1",
        "10.0.0.255:1",
        "10.0.0.1:1",
        "[::1]:1",
    ] {
        assert!(matches!(connect(bad), Err(ConnectError::Address(_))), "{bad}");
    }
    assert!(matches!(connect("192.0.2.1:1"), Err(ConnectError::NoRoute(_))));
    assert!(connect("10.0.0.2:1").is_ok());
    assert_eq!(connect("10.0.0.2:1"), Err(ConnectError::InUse));
}

#[test]
fn sequence_numbers_and_ports_cannot_be_foreseen() {
    let mut bench = Bench::new(|_| {});
    let (_, first) = bench.connecting(SocketOptions::default());
    let (_, second) = bench.connecting(SocketOptions::default());
    assert_ne!(first.source_port, second.source_port);
    // Same time, other tuple: unrelated numbers, not neighbours.
    assert!(first.seq.abs_diff(second.seq) > 1 << 16);
}

fn syn_from(port: u16) -> Segment {
    Segment::new(THEM.octets(), port, US.octets(), PORT).seq(PEER_ISN).syn(1460, Some(7))
}

fn complete(bench: &mut Bench, port: u16) {
    let answer = bench.segments().into_iter().find(|s| s.destination_port == port).expect("a SYN-ACK");
    assert!(answer.flags.syn && answer.flags.ack && answer.ack == PEER_ISN.wrapping_add(1));
    let ack = Segment::new(THEM.octets(), port, US.octets(), PORT);
    bench.feed(&ack.seq(PEER_ISN.wrapping_add(1)).ack(answer.seq.wrapping_add(1)));
}

#[test]
fn a_listener_accepts_in_order_and_keeps_to_its_backlog() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(PORT, 2).expect("free");
    assert_eq!(bench.stack.listen(PORT, 2), Err(ListenError::Port(PORT)));
    for port in [1001, 1002, 1003] {
        bench.feed(&syn_from(port));
    }
    assert_eq!(bench.stack.counters().drop_tcp_backlog, 1);
    assert_eq!(bench.stack.accept(listener), None, "not established yet");
    let answers = bench.packets(10);
    assert_eq!(answers.len(), 2);
    // The answers were lost; they are repeated.
    bench.now_us += 1_500_000;
    bench.feed(&syn_from(1002));
    complete(&mut bench, 1002);
    let socket = bench.stack.accept(listener).expect("established");
    assert_eq!(bench.status(socket).remote, Some(SocketAddr::new(THEM.into(), 1002)));
    assert_eq!(bench.stack.accept(listener), None);
    bench.feed(&syn_from(1003));
    complete(&mut bench, 1003);
    assert!(bench.stack.accept(listener).is_some(), "there is room again");
}

/// Guard (q). Without it the connection takes data by numbers that we do not know of.
#[test]
fn an_answer_that_has_not_left_cannot_be_acknowledged() {
    let opened = || {
        let mut bench = Bench::new(|_| {});
        bench.introduce();
        let listener = bench.stack.listen(PORT, 2).expect("free");
        bench.feed(&syn_from(1001));
        (bench, listener)
    };
    // The same number each time: the key and the time are.
    let answer = opened().0.segments().remove(0);
    let (mut bench, listener) = opened();
    let data = Segment::new(THEM.octets(), 1001, US.octets(), PORT)
        .seq(PEER_ISN.wrapping_add(1))
        .ack(answer.seq.wrapping_add(1))
        .payload(b"too early");
    bench.feed(&data);
    assert_eq!(bench.stack.counters().drop_tcp_early, 1);
    assert_eq!(bench.stack.accept(listener), None);
    let answers = bench.segments();
    assert_eq!((answers.len(), answers[0].seq), (1, answer.seq), "the answer alone");
    bench.feed(&data);
    let socket = bench.stack.accept(listener).expect("established");
    assert_eq!(bench.status(socket).readable, 9);
}

#[test]
fn half_open_connections_are_forgotten() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(PORT, 1).expect("free");
    bench.feed(&syn_from(1001));
    let repeated = bench.wait_ms(19_000).len();
    assert!((3..=6).contains(&repeated), "{repeated} SYN-ACKs");
    bench.wait_ms(2_000);
    assert!(bench.wait_ms(60_000).is_empty());
    bench.feed(&syn_from(1002));
    complete(&mut bench, 1002);
    assert!(bench.stack.accept(listener).is_some());
}

#[test]
fn a_reset_in_syn_received_frees_the_backlog() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let _listener = bench.stack.listen(PORT, 1).expect("free");
    bench.feed(&syn_from(1001));
    assert_eq!(bench.segments().len(), 1);
    bench.feed(&Segment::new(THEM.octets(), 1001, US.octets(), PORT).seq(PEER_ISN.wrapping_add(1)).rst());
    bench.feed(&syn_from(1002));
    assert_eq!(bench.segments().len(), 1);
    assert_eq!(bench.stack.counters().drop_tcp_backlog, 0);
}

#[test]
fn closing_a_listener_resets_whom_nobody_accepted() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(PORT, 4).expect("free");
    bench.feed(&syn_from(1001));
    complete(&mut bench, 1001);
    bench.stack.close_listener(listener).expect("open");
    let resets = bench.segments();
    assert!(resets.len() == 1 && resets[0].flags.rst, "{resets:?}");
    bench.feed(&syn_from(1002));
    let resets = bench.segments();
    assert!(resets.len() == 1 && resets[0].flags.rst && resets[0].flags.ack, "{resets:?}");
    assert_eq!(bench.stack.close_listener(listener), Err(SocketError::Stale));
}

#[test]
fn sockets_are_bounded() {
    let mut bench = Bench::new(|config| config.sockets_max = 2);
    let first = bench.stack.socket(SocketOptions::default()).expect("room");
    bench.stack.socket(SocketOptions::default()).expect("room");
    assert_eq!(bench.stack.socket(SocketOptions::default()), Err(SocketError::TooMany));
    bench.stack.close(first).expect("ours");
    let again = bench.stack.socket(SocketOptions::default()).expect("room again");
    assert_ne!(first, again);
    assert_eq!(bench.stack.status(first), None, "a stale name is no stranger's");
}
