use super::*;
use crate::tests::{Bench, OUR_MAC, PORT, THEIR_MAC, THEM, US};
use crate::{ListenerId, SocketId};
use naio_testkit::{Segment, seeds};
use std::net::Ipv4Addr;

const BACKLOG: usize = 8;

fn syn(from: Ipv4Addr, port: u16, seq: u32) -> Segment {
    let mut syn = Segment::new(from.octets(), port, US.octets(), PORT).seq(seq).syn(1400, Some(7));
    syn.flags.ack = false;
    syn
}

/// A listener whose backlog is half-open connections of nobody.
fn flooded() -> (Bench, ListenerId) {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(PORT, BACKLOG).expect("a free port");
    for n in 0..BACKLOG as u16 {
        bench.feed(&syn(Ipv4Addr::new(10, 0, 0, 77), 1_000 + n, 5));
    }
    bench.now_us += 200_000;
    bench.segments();
    (bench, listener)
}

/// The client's side of a handshake; its socket if the server accepted.
fn handshake(bench: &mut Bench, listener: ListenerId, port: u16, data: &[u8]) -> (Segment, Option<SocketId>) {
    bench.feed(&syn(THEM, port, 900));
    let answers = bench.segments();
    let answer = answers.into_iter().find(|answer| answer.destination_port == port).expect("an answer");
    assert!(answer.flags.syn && answer.flags.ack && answer.ack == 901, "{answer:?}");
    let ack = Segment::new(THEM.octets(), port, US.octets(), PORT).seq(901).ack(answer.seq.wrapping_add(1));
    bench.feed(&ack.payload(data));
    let socket = bench.stack.accept(listener);
    (answer, socket)
}

#[test]
fn a_real_client_connects_through_a_flood_and_talks_both_ways() {
    let (mut bench, listener) = flooded();
    let (answer, socket) = handshake(&mut bench, listener, 4_000, b"hello");
    let socket = socket.expect("established");
    assert_eq!(bench.stack.counters().cookies_taken, 1);
    let mut bytes = [0; 16];
    // The data came with the acknowledgment.
    assert_eq!(bench.stack.recv(socket, &mut bytes), Ok(5), "{:?}", bench.stack.counters());
    assert_eq!(bench.stack.send(socket, &[7; 3_000]), Ok(3_000));
    let sent = bench.segments();
    let first = sent.iter().find(|segment| !segment.payload.is_empty()).expect("data");
    assert_eq!((first.seq, first.ack, first.payload.len()), (answer.seq.wrapping_add(1), 906, 1_400));
}

#[test]
fn a_client_that_waits_for_the_server_to_speak_first_hears_it() {
    let (mut bench, listener) = flooded();
    let (answer, socket) = handshake(&mut bench, listener, 4_000, b"");
    assert_eq!(bench.stack.send(socket.expect("established"), b"220 ready"), Ok(9));
    let sent = bench.segments().pop().expect("data");
    assert_eq!((sent.seq, sent.ack, &sent.payload[..]), (answer.seq.wrapping_add(1), 901, &b"220 ready"[..]));
}

#[test]
fn cookies_take_no_place() {
    let (mut bench, _) = flooded();
    let before = bench.stack.census();
    for n in 0..2_000_u16 {
        bench.feed(&syn(Ipv4Addr::new(10, 0, 0, (n % 200) as u8 + 30), 2_000 + n, n.into()));
        if n % 64 == 0 {
            bench.segments();
        }
    }
    bench.segments();
    assert_eq!(bench.stack.census(), before);
    assert_eq!(bench.stack.counters().cookies_sent, 2_000);
}

#[test]
fn an_invented_cookie_opens_nothing_and_is_reset() {
    let (mut bench, listener) = flooded();
    bench.feed(&syn(THEM, 4_000, 900));
    bench.segments();
    for seed in seeds(1, 200) {
        let ack = fastrand::Rng::with_seed(seed).u32(..);
        let forged = Segment::new(THEM.octets(), 4_000, US.octets(), PORT).seq(901).ack(ack);
        bench.feed(&forged);
        assert_eq!(bench.stack.accept(listener), None);
    }
    let counters = bench.stack.counters();
    assert_eq!((counters.cookies_taken, counters.cookies_strange), (0, 200));
    assert!(bench.segments().iter().any(|segment| segment.flags.rst));
}

#[test]
fn a_cookie_is_good_for_its_tuple_and_its_time_only() {
    let key = Key::new([9; 16]);
    let flow =
        |port| FlowKey::of_received(crate::packet::Ends::V4 { source: THEM, destination: US }, port, PORT);
    let now = Time::from_micros(1_000_000_000);
    let made = cookie(key, flow(7), 900, period(now), mss_index(1_450));
    assert_eq!(open(key, now, flow(7), 900, made), Some(1_440));
    assert_eq!(open(key, now.after(PERIOD), flow(7), 900, made), Some(1_440));
    assert_eq!(open(key, now.after(PERIOD * 2), flow(7), 900, made), None, "too old");
    assert_eq!(open(key, now, flow(8), 900, made), None, "another port");
    assert_eq!(open(key, now, flow(7), 901, made), None, "another number of the peer's");
    assert_eq!(open(Key::new([8; 16]), now, flow(7), 900, made), None, "another secret");
}

#[test]
fn without_a_flood_there_are_no_cookies() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    bench.stack.listen(PORT, BACKLOG).expect("a free port");
    for n in 0..30 {
        bench.feed(&syn(THEM, 3_000 + n, 5));
    }
    let counters = bench.stack.counters();
    assert_eq!((counters.cookies_sent, counters.drop_tcp_backlog), (0, 30 - BACKLOG as u64));
}

#[test]
fn an_acceptor_that_is_slow_loses_no_client_with_a_cookie() {
    let (mut bench, listener) = flooded();
    let mut sockets = 0;
    for n in 0..2 * BACKLOG as u16 {
        bench.feed(&syn(THEM, 5_000 + n, 900));
        let Some(answer) = bench.segments().into_iter().find(|answer| answer.destination_port == 5_000 + n)
        else {
            continue;
        };
        let ack = Segment::new(THEM.octets(), 5_000 + n, US.octets(), PORT)
            .seq(901)
            .ack(answer.seq.wrapping_add(1));
        bench.feed(&ack);
        // What found no room comes again with its data, when there is some.
        while bench.stack.accept(listener).is_some() {
            sockets += 1;
        }
        let again = ack.payload(b"again").ethernet(THEIR_MAC.0, OUR_MAC.0);
        bench.feed_frame(&again);
        while bench.stack.accept(listener).is_some() {
            sockets += 1;
        }
    }
    assert_eq!(sockets, 2 * BACKLOG);
}
