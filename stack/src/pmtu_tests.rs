use super::*;
use crate::tests::{Bench, OUR_MAC, Peer, THEIR_MAC, THEM, US};
use crate::{Congestion, RingLen, SocketOptions, TcpOptions};
use naio_testkit::{Segment, packets::ip, sum};

/// Bytes of headers in front of the payload.
const HEADERS: usize = 40;

/// "Fragmentation needed" about a segment of ours, from a router that takes `mtu` bytes.
fn too_big(about: &Segment, mtu: u16) -> Vec<u8> {
    let frame = about.ethernet(OUR_MAC.0, THEIR_MAC.0);
    let [high, low] = mtu.to_be_bytes();
    let mut message = vec![3, 4, 0, 0, 0, 0, high, low];
    message.extend_from_slice(&frame[14..14 + 28]);
    let checksum = !sum::folded(&[&message]);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    ip((THEIR_MAC.0, OUR_MAC.0), (THEM.into(), US.into()), (1, 64), &message)
}

fn sending(bytes: usize) -> (Bench, Peer, Vec<Segment>) {
    let mut bench = Bench::new(|_| {});
    // All at once.
    let tcp = TcpOptions { congestion: Congestion::None, ..TcpOptions::default() };
    let options = SocketOptions { tcp, tx_ring: RingLen::at_least(bytes), ..SocketOptions::default() };
    let peer = bench.connected(options);
    assert_eq!(bench.stack.send(peer.socket, &vec![7; bytes]), Ok(bytes));
    let sent = bench.segments();
    assert_eq!(sent[0].payload.len(), 1_460);
    (bench, peer, sent)
}

#[test]
fn a_router_that_says_what_it_takes_is_kept_to() {
    let (mut bench, mut peer, sent) = sending(60_000);
    bench.feed_frame(&too_big(&sent[0], 1_400));
    assert_eq!(bench.stack.counters().path_mtu_lowered, 1);
    let again = bench.wait_ms(1_500);
    assert!(!again.is_empty() && again.iter().all(|s| s.payload.len() <= 1_400 - HEADERS), "{again:?}");
    peer.ack = again[0].seq.wrapping_add(again[0].payload.len() as u32);
    bench.feed(&peer.segment());
    bench.stack.send(peer.socket, &[8; 20_000]).expect("connected");
    let more = bench.wait_ms(1_500);
    assert!(more.iter().any(|s| s.payload.len() == 1_400 - HEADERS), "{more:?}");
}

#[test]
fn a_router_that_does_not_say_how_much_gets_the_next_smaller_size() {
    let (mut bench, _, sent) = sending(10_000);
    bench.feed_frame(&too_big(&sent[0], 0));
    let again = bench.wait_ms(1_500);
    assert_eq!(again[0].payload.len(), 1_492 - HEADERS);
}

#[test]
fn only_errors_about_what_is_under_way_are_believed() {
    let (mut bench, peer, sent) = sending(10_000);
    let last = sent.last().expect("some");
    for seq in [peer.ack.wrapping_sub(1), last.seq.wrapping_add(last.payload.len() as u32)] {
        bench.feed_frame(&too_big(&Segment { seq, ..sent[0].clone() }, 600));
    }
    // No news, and too little to be true.
    for mtu in [1_500, 9_000, 551, 68, 1] {
        bench.feed_frame(&too_big(&sent[0], mtu));
    }
    let counters = bench.stack.counters();
    assert_eq!((counters.path_mtu_lowered, counters.path_mtu_ignored), (0, 5));
    assert_eq!(counters.drop_icmp_unmatched, 7);
    assert_eq!(bench.wait_ms(1_500)[0].payload.len(), 1_460);
}

/// A path that swallows what is longer than `takes` bytes, and never says so.
fn through_a_black_hole(takes: usize) -> (u64, usize) {
    let (mut bench, mut peer, mut segments) = sending(30_000);
    let (start, mut received) = (peer.ack, 0_usize);
    for _ in 0..400 {
        for segment in &segments {
            let fits = segment.payload.len() + HEADERS <= takes;
            if fits && segment.seq.wrapping_sub(start) as usize == received {
                received += segment.payload.len();
            }
        }
        if received == 30_000 {
            return (bench.stack.counters().path_mtu_black_holes, received);
        }
        peer.ack = start.wrapping_add(received as u32);
        bench.feed(&peer.segment());
        segments = bench.wait_ms(500);
    }
    (bench.stack.counters().path_mtu_black_holes, received)
}

#[test]
fn paths_that_swallow_large_packets_in_silence_are_found_out() {
    assert_eq!(through_a_black_hole(1_500), (0, 30_000));
    assert_eq!(through_a_black_hole(1_300), (1, 30_000));
    assert_eq!(through_a_black_hole(600), (2, 30_000));
}

#[test]
fn sizes_are_those_of_the_list() {
    assert_eq!(known(1_499, false), Some(1_492));
    assert_eq!(known(1_279, true), Some(1_280), "IPv6 has a least size");
    assert_eq!(known(1_279, false), Some(1_006));
    assert_eq!(known(552, false), Some(552));
    assert_eq!(known(551, false), None);
    assert_eq!(known(u32::MAX, true), Some(1_492));
}

#[test]
fn there_are_never_more_interfaces_than_sizes() {
    let (mut bench, _, sent) = sending(10_000);
    for mtu in (552..1_499).rev() {
        bench.feed_frame(&too_big(&sent[0], mtu));
        bench.segments();
    }
    assert!(bench.stack.paths.made.len() <= SIZES.len());
    assert_eq!(bench.stack.counters().path_mtu_lowered, SIZES.len() as u64);
}
