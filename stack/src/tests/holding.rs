//! What is received and not read: where it lies, and how much of it there may be.

use super::{Bench, OUR_MAC, Peer, THEIR_MAC};
use crate::{RingLen, SocketOptions};
use naio_testkit::Segment;
use naio_testkit::packets::cut;
use std::time::Duration;

fn byte(n: u32) -> u8 {
    (n.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

fn stretch(peer: &Peer, start: u32, len: u32) -> Segment {
    let data: Vec<u8> = (start..start + len).map(byte).collect();
    peer.segment().seq(peer.seq.wrapping_add(start)).payload(&data)
}

fn large() -> SocketOptions {
    SocketOptions { rx_ring: RingLen::at_least(1 << 20), ..SocketOptions::default() }
}

#[test]
fn readers_who_do_not_come_hold_no_pages_for_long() {
    let mut bench = Bench::new(|_| {});
    let peers: Vec<_> = (0..3).map(|_| bench.connected(large())).collect();
    for n in 0..60 {
        let frames: Vec<_> = peers
            .iter()
            .flat_map(|peer| (0..10).map(move |k| stretch(peer, (10 * n + k) * 500, 500)))
            .map(|segment| segment.ethernet(THEIR_MAC.0, OUR_MAC.0))
            .collect();
        bench.feed_burst(&frames);
        assert_eq!(bench.segments().len(), 3, "what is there is acknowledged");
        let held = bench.stack.census().held_pages;
        // 128 pages, of which the ring of the bench needs 8: half of the rest may be kept.
        assert!(held <= 60, "{held} pages are held after {n} bursts");
    }
    assert!(bench.stack.counters().pages_copied > 1_000);
    for peer in &peers {
        let mut all = vec![0; 400_000];
        assert_eq!(bench.stack.recv(peer.socket, &mut all), Ok(300_000));
        assert!(all.iter().zip(0..300_000).all(|(&b, n)| b == byte(n)));
    }
    assert_eq!(bench.stack.census().held_pages, 0);
}

/// A packet that came in fragments lies in no page; those that continue its run do.
#[test]
fn pages_behind_a_copy_are_given_back_too() {
    let mut bench = Bench::new(|config| config.rx_coalesce = Duration::from_secs(1));
    let peers: Vec<_> = (0..4).map(|_| bench.connected(large())).collect();
    for peer in &peers {
        bench.feed_burst(&cut(&stretch(peer, 0, 500).ethernet(THEIR_MAC.0, OUR_MAC.0), 256, 7));
        assert!(bench.stack.is_gathering(), "a run has begun");
        bench.segments();
        let more: Vec<_> =
            (1..21).map(|n| stretch(peer, n * 500, 500).ethernet(THEIR_MAC.0, OUR_MAC.0)).collect();
        bench.feed_burst(&more);
        bench.feed_burst(&[]);
        bench.segments();
        assert_eq!(bench.status(peer.socket).readable, 10_500);
    }
    assert!(bench.stack.census().held_pages <= 60, "{} pages", bench.stack.census().held_pages);
    for peer in &peers {
        let mut all = vec![0; 20_000];
        assert_eq!(bench.stack.recv(peer.socket, &mut all), Ok(10_500));
        assert!(all.iter().zip(0..10_500).all(|(&b, n)| b == byte(n)));
    }
}

#[test]
fn one_slow_reader_keeps_half_of_what_all_may() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(large());
    for n in 0..8 {
        let burst: Vec<_> =
            (0..5).map(|k| stretch(&peer, (5 * n + k) * 10, 10).ethernet(THEIR_MAC.0, OUR_MAC.0)).collect();
        bench.feed_burst(&burst);
        bench.segments();
    }
    assert!(bench.stack.counters().pages_copied > 0, "forty pages for four hundred bytes");
    assert!(bench.stack.census().held_pages <= 30);
}

#[test]
fn what_comes_ahead_is_bounded_over_all_connections_and_what_is_in_order_goes_on() {
    let mut bench = Bench::new(|config| config.rx_ahead_bytes_max = 5_000);
    let [first, second] = [(); 2].map(|()| bench.connected(large()));
    for n in 0..4 {
        bench.feed(&stretch(&first, 1_000 + n * 1_000, 1_000));
    }
    bench.feed(&stretch(&second, 1_000, 1_000));
    assert_eq!((bench.stack.census().ahead_bytes, bench.stack.counters().drop_tcp_ahead), (5_000, 0));
    bench.segments();
    bench.feed(&stretch(&second, 2_000, 1));
    assert_eq!((bench.stack.census().ahead_bytes, bench.stack.counters().drop_tcp_ahead), (5_000, 1));
    assert!(bench.segments().is_empty(), "as if the network had lost it");
    // The gaps can be closed, and then there is room again.
    bench.feed(&stretch(&second, 0, 1_000));
    assert_eq!(bench.status(second.socket).readable, 2_000);
    bench.feed(&stretch(&second, 2_001, 999));
    bench.feed(&stretch(&first, 0, 1_000));
    assert_eq!(bench.status(first.socket).readable, 5_000);
    bench.feed(&stretch(&second, 2_000, 1));
    assert_eq!(bench.status(second.socket).readable, 3_000);
    assert_eq!(bench.stack.census().ahead_bytes, 0);
    for (peer, len) in [(first, 5_000), (second, 3_000)] {
        let mut all = vec![0; 10_000];
        assert_eq!(bench.stack.recv(peer.socket, &mut all), Ok(len));
        assert!(all[..len].iter().zip(0..).all(|(&b, n)| b == byte(n)));
    }
}

#[test]
fn closing_gives_back_what_nobody_read() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(large());
    bench.feed(&stretch(&peer, 0, 1_000));
    bench.feed(&stretch(&peer, 2_000, 1_000));
    let census = bench.stack.census();
    assert_eq!((census.held_pages, census.ahead_bytes), (1, 1_000));
    bench.stack.close(peer.socket).expect("open");
    let census = bench.stack.census();
    assert_eq!((census.held_pages, census.ahead_bytes), (0, 0));
    assert!(bench.segments().iter().any(|segment| segment.flags.rst), "the peer is told (RFC 2525 2.17)");
}

#[test]
fn datagrams_that_nobody_fetches_give_their_pages_back() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let socket = bench.stack.udp_bind(7).expect("a free port");
    for n in 0..200_u16 {
        let [high, low] = n.to_be_bytes();
        let mut frame = Segment::new([10, 0, 0, 2], 9, [10, 0, 0, 1], 7).ethernet(THEIR_MAC.0, OUR_MAC.0);
        frame.truncate(34);
        frame[16..18].copy_from_slice(&30_u16.to_be_bytes());
        frame[23] = 17;
        // No checksum: IPv4 allows that of a datagram.
        frame.extend([0, 9, 0, 7, 0, 10, 0, 0, high, low]);
        frame[24..26].fill(0);
        let checksum = naio_sys::checksum::Sum::ZERO.bytes(&frame[14..34]).checksum();
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        bench.feed_frame(&frame);
        bench.segments();
        assert!(bench.stack.census().held_pages <= 60, "after {n}");
    }
    assert!(bench.stack.counters().pages_copied > 0);
    for n in 0..200_u16 {
        let mut bytes = [0; 4];
        let datagram = bench.stack.udp_recv(socket, &mut bytes).expect("all are there");
        assert_eq!((datagram.len, [bytes[0], bytes[1]]), (2, n.to_be_bytes()));
    }
    assert_eq!(bench.stack.census().held_pages, 0);
}
