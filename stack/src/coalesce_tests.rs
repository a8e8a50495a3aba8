//! Merging changes what it costs, and nothing that a peer or a user could see.

use crate::tests::{Bench, OUR_MAC, Peer, THEIR_MAC};
use crate::{RingLen, SocketOptions};
use naio_testkit::Segment;
use std::time::Duration;

fn frame(segment: &Segment) -> Vec<u8> {
    segment.ethernet(THEIR_MAC.0, OUR_MAC.0)
}

/// Byte `n` of the peer's stream.
fn byte(n: u32) -> u8 {
    (n.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

fn stretch(peer: &Peer, start: u32, len: u32) -> Segment {
    let data: Vec<u8> = (start..start + len).map(byte).collect();
    peer.segment().seq(peer.seq.wrapping_add(start)).payload(&data)
}

fn segments_received(bench: &Bench, peer: &Peer) -> u64 {
    bench.stack.info(peer.socket).expect("known").segments_received
}

fn drain(bench: &mut Bench, peer: &Peer) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 5_000];
    while let Ok(len @ 1..) = bench.stack.recv(peer.socket, &mut buffer) {
        all.extend_from_slice(&buffer[..len]);
    }
    all
}

#[test]
fn a_run_becomes_one_segment_and_one_acknowledgment() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let burst: Vec<_> = (0..40).map(|n| frame(&stretch(&peer, n * 1_460, 1_460))).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp, 1 + 40);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 39);
    assert_eq!(segments_received(&bench, &peer), 1 + 40, "each as it came");
    let acks = bench.segments();
    assert_eq!((acks.len(), acks[0].ack), (1, peer.seq.wrapping_add(40 * 1_460)));
    assert_eq!(drain(&mut bench, &peer), (0..40 * 1_460).map(byte).collect::<Vec<_>>());
    // The next run is recognised although the window has been updated in between.
    let burst: Vec<_> = (40..44).map(|n| frame(&stretch(&peer, n * 1_460, 1_460))).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 39 + 3);
}

#[test]
fn more_than_a_packet_can_say_is_two_packets() {
    let mut bench = Bench::new(|_| {});
    let peer =
        bench.connected(SocketOptions { rx_ring: RingLen::at_least(1 << 20), ..SocketOptions::default() });
    let burst: Vec<_> = (0..50).map(|n| frame(&stretch(&peer, n * 1_460, 1_460))).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 48);
    assert_eq!(drain(&mut bench, &peer).len(), 50 * 1_460);
}

/// The sender recovers by duplicate acknowledgments: one for each segment behind a gap.
#[test]
fn segments_behind_a_gap_are_not_merged() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let burst: Vec<_> = (1..6).map(|n| frame(&stretch(&peer, n * 1_000, 1_000))).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 0);
    let acks = bench.segments();
    assert_eq!(acks.len(), 5);
    assert!(acks.iter().all(|s| s.ack == peer.seq));
    bench.feed(&stretch(&peer, 0, 1_000));
    assert_eq!(drain(&mut bench, &peer), (0..6_000).map(byte).collect::<Vec<_>>());
}

#[test]
fn push_fin_and_strangers_keep_their_meaning() {
    let mut bench = Bench::new(|_| {});
    let first = bench.connected(SocketOptions::default());
    let second = bench.connected(SocketOptions::default());
    let mut pushed = stretch(&first, 100, 100);
    pushed.flags.psh = true;
    let burst = [
        frame(&stretch(&first, 0, 100)),
        frame(&pushed),
        frame(&stretch(&first, 200, 100)),
        frame(&stretch(&second, 0, 100)),
        frame(&stretch(&first, 300, 100).fin()),
        frame(&stretch(&second, 100, 100).window(7)),
    ];
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 1);
    assert_eq!(drain(&mut bench, &first).len(), 400);
    assert_eq!(drain(&mut bench, &second).len(), 200);
    assert!(bench.status(first.socket).recv_finished);
    let acks = bench.segments();
    assert_eq!(acks.iter().filter(|s| s.destination_port == first.segment().source_port).count(), acks.len());
    assert!(acks.iter().any(|s| s.ack == first.seq.wrapping_add(401)));
}

/// Numbers that would fit are not enough: a run is of one connection.
#[test]
fn connections_are_not_mixed() {
    let mut bench = Bench::new(|_| {});
    let first = bench.connected(SocketOptions::default());
    let second = bench.connected(SocketOptions::default());
    let follower = Segment {
        destination_port: second.port,
        ..first.segment().seq(first.seq.wrapping_add(100)).payload(&[9; 50])
    };
    bench.feed_burst(&[frame(&stretch(&first, 0, 100)), frame(&follower)]);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 0);
    assert_eq!(drain(&mut bench, &first).len(), 100);
}

/// The same segments, in bursts and one by one: the same bytes, the same last acknowledgment. (The
/// sender keeps to the window. Of one that does not, a run that begins inside may be taken in part
/// where a single segment that covers the whole window is refused, RFC 9293 3.4.)
#[test]
fn bursts_and_single_frames_come_to_the_same() {
    for seed in naio_testkit::seeds(1, 200) {
        let mut random = fastrand::Rng::with_seed(seed);
        let ring = RingLen::at_least(random.choice([3_000, 20_000, 65_535, 200_000]).expect("some"));
        let options = SocketOptions { rx_ring: ring, ..SocketOptions::default() };
        let mut benches = [(); 2].map(|()| Bench::new(|_| {}));
        let peers = benches.each_mut().map(|bench| bench.connected(options));
        let mut totals = [Vec::new(), Vec::new()];
        let shift = if ring.bytes() > 65_535 { 2 } else { 0 };
        let mut edge = ring.bytes() as u32;
        for _ in 0..30 {
            let mut at = totals[0].len() as u32;
            let mut burst = Vec::new();
            for _ in 0..random.u32(1..30) {
                let len = random.u32(1..1_400);
                let start = match random.u32(0..10) {
                    0 => at.saturating_sub(random.u32(0..3_000)),
                    1 => at + random.u32(0..3_000),
                    _ => at,
                };
                if start + len > edge {
                    continue;
                }
                let mut segment = stretch(&peers[0], start, len);
                segment.flags.psh = random.u32(0..8) == 0;
                burst.push(frame(&segment));
                if start == at {
                    at += len;
                }
            }
            benches[0].feed_burst(&burst);
            for one in &burst {
                benches[1].feed_frame(one);
            }
            let acks = benches.each_mut().map(|bench| bench.segments().pop().map(|s| (s.ack, s.window)));
            assert_eq!(acks[0], acks[1], "NAIO_SEED={seed}");
            if let Some((ack, window)) = acks[0] {
                edge = ack.wrapping_sub(peers[0].seq) + (u32::from(window) << shift);
            }
            for n in 0..2 {
                totals[n].extend(drain(&mut benches[n], &peers[n]));
            }
            assert_eq!(totals[0], totals[1], "NAIO_SEED={seed}");
        }
        assert!(benches[0].stack.counters().rx_tcp_merged > 0, "NAIO_SEED={seed}");
        assert!(totals[0].iter().zip(0..).all(|(&b, n)| b == byte(n)), "NAIO_SEED={seed}");
    }
}

/// Bursts that follow each other are one, as long as none is empty, PSH is not set, and the time is not over.
#[test]
fn a_run_goes_on_from_burst_to_burst_while_there_is_more() {
    let mut bench = Bench::new(|config| config.rx_coalesce = Duration::from_micros(50));
    let peer = bench.connected(SocketOptions::default());
    let burst =
        |n: u32| [frame(&stretch(&peer, n * 1_000, 500)), frame(&stretch(&peer, n * 1_000 + 500, 500))];
    bench.feed_burst(&burst(0));
    assert!(bench.stack.is_gathering());
    assert_eq!(bench.stack.next_deadline(), Some(bench.now()), "somebody has to look whether there is more");
    assert_eq!((bench.status(peer.socket).readable, bench.segments().len()), (0, 0));
    bench.now_us += 49;
    bench.feed_burst(&burst(1));
    assert_eq!(bench.status(peer.socket).readable, 0);
    bench.feed_burst(&[]);
    let acks = bench.segments();
    assert_eq!((acks.len(), acks[0].ack), (1, peer.seq.wrapping_add(2_000)), "one for all four");
    assert_eq!(bench.stack.counters().rx_tcp_merged, 3);
    // When the time is over, what comes is no part of it any more.
    bench.feed_burst(&burst(2));
    bench.now_us += 50;
    bench.feed_burst(&burst(3));
    assert_eq!(bench.status(peer.socket).readable, 3_000);
    bench.feed_burst(&[]);
    assert_eq!(bench.status(peer.socket).readable, 4_000);
    // The end of a message waits for nothing, nor does a connection that ends.
    let mut last = stretch(&peer, 4_000, 10);
    last.flags.psh = true;
    bench.feed_burst(&[frame(&last)]);
    assert_eq!(bench.status(peer.socket).readable, 4_010);
    bench.feed_burst(&[frame(&stretch(&peer, 4_010, 90))]);
    bench.feed_burst(&[frame(&peer.segment().seq(peer.seq.wrapping_add(4_100)).fin())]);
    assert_eq!(drain(&mut bench, &peer), (0..4_100).map(byte).collect::<Vec<_>>());
    assert!(bench.status(peer.socket).recv_finished && !bench.stack.is_gathering());
}

/// Timestamps (RFC 7323), as everybody pads them.
fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}

#[test]
fn the_time_in_segments_may_differ_but_no_other_option() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let with = |n: u32, options: Vec<u8>| {
        let mut segment = stretch(&peer, n * 100, 100);
        segment.options = options;
        frame(&segment)
    };
    let burst: Vec<_> = (0..6).map(|n| with(n, timestamps(1_000 + n, 7))).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 5);
    // Another option of the same length, and then none.
    bench.feed_burst(&[
        with(6, timestamps(9, 9)),
        with(7, vec![1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
        with(8, vec![]),
    ]);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 5);
    assert_eq!(drain(&mut bench, &peer), (0..900).map(byte).collect::<Vec<_>>());
}

#[test]
fn what_follows_may_acknowledge_more_and_the_last_word_counts() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    assert_eq!(bench.stack.send(peer.socket, &[7; 300]), Ok(300));
    assert_eq!(bench.segments().len(), 1);
    let burst: Vec<_> = [0, 100, 100, 300, 250]
        .into_iter()
        .zip(0..)
        .map(|(ack, n)| frame(&stretch(&peer, n * 50, 50).ack(peer.ack.wrapping_add(ack))))
        .collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 3, "the last one acknowledges less");
    assert_eq!(segments_received(&bench, &peer), 1 + 5);
    assert_eq!(bench.status(peer.socket).unacknowledged, 0);
    // smoltcp takes nothing of a segment that acknowledges less than it knows.
    assert_eq!(drain(&mut bench, &peer), (0..200).map(byte).collect::<Vec<_>>());
}

/// The short way looks at checksums as the long way does.
#[test]
fn a_damaged_frame_in_a_run_is_counted_and_never_received() {
    for at in [24, 60] {
        let mut bench = Bench::new(|_| {});
        let peer = bench.connected(SocketOptions::default());
        let mut burst: Vec<_> = (0..5).map(|n| frame(&stretch(&peer, n * 100, 100))).collect();
        burst[2][at] ^= 0x10;
        bench.feed_burst(&burst);
        let counters = *bench.stack.counters();
        let dropped = (counters.drop_ip_checksum, counters.drop_tcp_checksum);
        assert_eq!(dropped, if at == 24 { (1, 0) } else { (0, 1) });
        assert_eq!((counters.rx_tcp_merged, counters.ahead_kept), (1, 2), "behind the gap nothing is merged");
        assert_eq!(
            bench.segments().len(),
            2,
            "one for each segment behind the gap, the first for the run as well"
        );
        bench.feed(&stretch(&peer, 200, 100));
        assert_eq!(drain(&mut bench, &peer), (0..500).map(byte).collect::<Vec<_>>());
    }
}

/// Connections that take turns frame by frame are merged each for itself.
#[test]
fn interleaved_connections_are_merged_each_for_itself() {
    let mut bench = Bench::new(|_| {});
    let peers: Vec<_> = (0..4).map(|_| bench.connected(SocketOptions::default())).collect();
    let burst: Vec<_> =
        (0..10).flat_map(|n| peers.iter().map(move |peer| frame(&stretch(peer, n * 90, 90)))).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged, 4 * 9);
    for peer in &peers {
        assert_eq!(segments_received(&bench, peer), 1 + 10);
        assert_eq!(drain(&mut bench, peer), (0..900).map(byte).collect::<Vec<_>>());
    }
}
