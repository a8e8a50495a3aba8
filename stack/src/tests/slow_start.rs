//! How a connection begins: ten segments, more with every acknowledgment, and what its first loss makes of that.

use super::*;
use crate::{Congestion, TcpOptions};
use naio_testkit::seeds;

const MSS: u32 = 1_460;
const RTT_US: u64 = 4_000;
/// Ten segments.
const FIRST: u32 = 10 * MSS;

fn frame(segment: &Segment) -> Vec<u8> {
    segment.ethernet(THEIR_MAC.0, OUR_MAC.0)
}

fn with(congestion: Congestion) -> SocketOptions {
    let tcp = TcpOptions { congestion, ..TcpOptions::default() };
    SocketOptions { tcp, tx_ring: crate::RingLen::at_least(1 << 20), ..SocketOptions::default() }
}

/// A connection to a peer that takes segments of `mss` bytes and has room for a megabyte.
fn connected(options: SocketOptions, mss: u16) -> (Bench, Peer) {
    let mut bench = Bench::new(|_| {});
    let (socket, syn) = bench.connecting(options);
    let (seq, ack) = (PEER_ISN.wrapping_add(1), syn.seq.wrapping_add(1));
    let peer = Peer { socket, port: syn.source_port, seq, ack };
    bench.feed(&peer.segment().seq(PEER_ISN).syn(mss, Some(7)).window(u16::MAX));
    assert_eq!(bench.segments().len(), 1);
    (bench, peer)
}

impl Peer {
    fn acknowledges(&self, bytes: u32) -> Peer {
        Peer { ack: self.ack.wrapping_add(bytes), ..*self }
    }

    fn roomy(&self) -> Segment {
        self.segment().window(0x2000)
    }
}

impl Bench {
    /// The program sends as much as is taken; data that leaves, as offset behind `peer.ack` and length.
    fn flight(&mut self, peer: &Peer) -> Vec<(u32, u32)> {
        let mut data = Vec::new();
        loop {
            let taken = self.stack.send(peer.socket, &[7; 44 * MSS as usize]).expect("connected");
            // The bench has fewer pages than a large window.
            let left = self.segments();
            data.extend(
                left.iter()
                    .filter(|segment| !segment.payload.is_empty())
                    .map(|segment| (segment.seq.wrapping_sub(peer.ack), segment.payload.len() as u32)),
            );
            if taken == 0 && left.is_empty() {
                return data;
            }
        }
    }

    fn window(&self, peer: &Peer) -> Option<u32> {
        self.stack.info(peer.socket).expect("known").congestion_window
    }

    /// A round trip later the peer acknowledges a flight, every second segment of it.
    fn acknowledge(&mut self, peer: &mut Peer, flight: &[(u32, u32)]) {
        self.now_us += RTT_US;
        let start = *peer;
        for (n, (offset, len)) in flight.iter().enumerate() {
            *peer = start.acknowledges(offset + len);
            if n % 2 == 1 || n + 1 == flight.len() {
                self.feed(&peer.roomy());
            }
        }
    }
}

fn bytes(flight: &[(u32, u32)]) -> u32 {
    flight.iter().map(|(_, len)| len).sum()
}

#[test]
fn the_first_flight_is_ten_segments() {
    for congestion in [Congestion::Cubic, Congestion::Reno] {
        for (mss, segments) in [(1_460, 10), (1_400, 10), (1_100, 10), (9_000, 10)] {
            let (mut bench, peer) = connected(with(congestion), mss);
            let flight = bench.flight(&peer);
            let len = u32::from(mss).min(MSS);
            assert_eq!((flight.len(), bytes(&flight)), (segments, 10 * len), "{congestion:?} {mss}");
            assert_eq!(bench.window(&peer), Some(10 * len));
        }
    }
    let (mut bench, peer) = connected(with(Congestion::None), 1_460);
    assert!(bench.flight(&peer).len() > 40, "nobody limits it");
}

#[test]
fn a_connection_that_is_accepted_begins_with_ten_segments_too() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(PORT, 4).expect("a free port");
    let theirs = Segment::new(THEM.octets(), 999, US.octets(), PORT);
    bench.feed(&theirs.clone().seq(PEER_ISN).syn(1_460, Some(7)));
    let answer = bench.segments().pop().expect("a SYN");
    bench.feed(&theirs.seq(PEER_ISN.wrapping_add(1)).ack(answer.seq.wrapping_add(1)).window(0x2000));
    let socket = bench.stack.accept(listener).expect("established");
    let peer = Peer { socket, port: 999, seq: 0, ack: answer.seq.wrapping_add(1) };
    assert_eq!(bytes(&bench.flight(&peer)), FIRST);
}

/// Where smoltcp's controllers would take the wrong number for a segment after a loss, they are there from the start.
#[test]
fn peers_of_short_segments_begin_as_smoltcp_does() {
    let (mut bench, peer) = connected(with(Congestion::Cubic), 536);
    assert_eq!(bytes(&bench.flight(&peer)), 2_048);
}

#[test]
fn the_window_doubles_with_every_round_trip_however_it_is_acknowledged() {
    for merges in [false, true] {
        let (mut bench, mut peer) = connected(with(Congestion::Cubic), 1_460);
        for round in 0..5 {
            let flight = bench.flight(&peer);
            assert_eq!(bytes(&flight), FIRST << round, "round {round}");
            assert_eq!(bench.window(&peer), Some(FIRST << round));
            if merges {
                bench.now_us += RTT_US;
                peer = peer.acknowledges(bytes(&flight));
                bench.feed(&peer.roomy());
            } else {
                bench.acknowledge(&mut peer, &flight);
            }
        }
    }
}

/// RFC 5681 3.1: never more than the window under way, which grows by no more than what is acknowledged.
#[test]
fn there_is_never_more_under_way_than_the_window_allows() {
    for seed in seeds(1, 40) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut bench, mut peer) = connected(with(Congestion::Cubic), 1_460);
        let (mut allowed, mut end) = (FIRST, peer.ack);
        for _ in 0..200 {
            let len = random.usize(1..20_000);
            bench.stack.send(peer.socket, &vec![7; len]).expect("connected");
            for segment in bench.segments() {
                assert_eq!(segment.seq, end, "seed {seed}: nothing is lost here");
                end = segment.seq.wrapping_add(segment.payload.len() as u32);
            }
            let flight = end.wrapping_sub(peer.ack);
            assert!(flight <= allowed, "seed {seed}: {flight} bytes where {allowed} are allowed");
            bench.now_us += random.u64(1..3_000);
            let acknowledged = random.u32(0..=flight);
            if acknowledged > 0 {
                peer = peer.acknowledges(acknowledged);
                bench.feed(&peer.roomy());
                allowed += acknowledged;
            }
        }
    }
}

/// RFC 7661: what was never tried is not known.
#[test]
fn a_program_that_sends_little_opens_no_window() {
    let (mut bench, mut peer) = connected(with(Congestion::Cubic), 1_460);
    for _ in 0..100 {
        bench.stack.send(peer.socket, &[1; 4_000]).expect("connected");
        assert_eq!(bench.segments().len(), 3);
        bench.now_us += RTT_US;
        peer = peer.acknowledges(4_000);
        bench.feed(&peer.roomy());
    }
    assert_eq!(bytes(&bench.flight(&peer)), FIRST);
}

/// RFC 5681 4.1.
#[test]
fn after_a_silence_it_begins_with_ten_segments_again() {
    let (mut bench, mut peer) = connected(with(Congestion::Cubic), 1_460);
    for _ in 0..3 {
        let flight = bench.flight(&peer);
        bench.acknowledge(&mut peer, &flight);
    }
    assert_eq!(bench.window(&peer), Some(8 * FIRST));
    bench.wait_ms(900);
    let flight = bench.flight(&peer);
    assert_eq!(bytes(&flight), 8 * FIRST, "less than the timeout");
    bench.acknowledge(&mut peer, &flight);
    bench.wait_ms(1_100);
    assert_eq!(bytes(&bench.flight(&peer)), FIRST);
}

/// RFC 5681 3.1: a SYN that was lost says something about the path.
#[test]
fn after_a_lost_syn_it_begins_with_one_segment() {
    let mut bench = Bench::new(|_| {});
    let (socket, syn) = bench.connecting(with(Congestion::Cubic));
    assert!(bench.wait_ms(1_100).pop().expect("again").flags.syn);
    let (seq, ack) = (PEER_ISN.wrapping_add(1), syn.seq.wrapping_add(1));
    let mut peer = Peer { socket, port: syn.source_port, seq, ack };
    bench.feed(&peer.segment().seq(PEER_ISN).syn(1_460, Some(7)).window(u16::MAX));
    bench.segments();
    for expected in [MSS, 2 * MSS, 4 * MSS] {
        let flight = bench.flight(&peer);
        assert_eq!(bytes(&flight), expected);
        bench.acknowledge(&mut peer, &flight);
    }
}

/// The first segment of the first flight is lost: it is sent again, and smoltcp's controller goes on with its share of
/// what was under way (RFC 5681 3.2, RFC 9438 4.6).
#[test]
fn a_loss_in_the_first_flight_is_repaired_and_takes_its_share_of_the_window() {
    for (congestion, share) in [(Congestion::Reno, FIRST / 2), (Congestion::Cubic, FIRST / 10 * 7)] {
        for by_sack in [false, true] {
            let (mut bench, peer) = connected(with(congestion), 1_460);
            assert_eq!(bytes(&bench.flight(&peer)), FIRST);
            bench.now_us += RTT_US;
            if by_sack {
                let mut sack = peer.roomy();
                let block = [peer.ack.wrapping_add(MSS), peer.ack.wrapping_add(FIRST)].map(u32::to_be_bytes);
                sack.options = [vec![1, 1, 5, 10], block.concat()].concat();
                bench.feed(&sack);
            } else {
                bench.feed_burst(&[(); 4].map(|()| frame(&peer.roomy())));
            }
            let again = bench.segments();
            assert_eq!((again.len(), again[0].seq), (1, peer.ack), "{congestion:?}: {again:?}");
            let counters = bench.stack.counters();
            assert_eq!((counters.losses_by_sack, counters.losses_by_silence), (u64::from(by_sack), 0));
            bench.now_us += RTT_US;
            let peer = peer.acknowledges(FIRST);
            bench.feed(&peer.roomy());
            let flight = bytes(&bench.flight(&peer));
            assert!(
                flight.abs_diff(share) <= MSS,
                "{congestion:?}: {flight} bytes where {share} are its share"
            );
            assert_eq!(bench.window(&peer), Some(flight), "smoltcp's own is seen");
        }
    }
}

/// After a timeout one segment leaves, not the whole flight at once (RFC 5681 3.1), and half of what was under way is
/// where slow start ends: also while the peer sends data, which hides smoltcp's timer from us.
#[test]
fn a_first_flight_that_is_lost_as_a_whole_is_not_repeated_in_a_burst() {
    for talks in [false, true] {
        let (mut bench, mut peer) = connected(with(Congestion::Cubic), 1_460);
        assert_eq!(bytes(&bench.flight(&peer)), FIRST);
        let start = bench.now_us;
        let mut last = start;
        while bench.now_us < start + 1_500_000 {
            bench.now_us += 7_000;
            if talks {
                let data = peer.roomy().payload(b"hello");
                bench.feed(&data);
                peer.seq = peer.seq.wrapping_add(5);
            }
            let mut data = bench.flight(&peer);
            data.retain(|(offset, _)| *offset < FIRST);
            assert!(bytes(&data) <= MSS, "{talks}: {data:?} after {} us", bench.now_us - start);
            last = if data.is_empty() { last } else { bench.now_us };
        }
        assert!(
            (900_000..1_100_000).contains(&(last - start)),
            "{talks}: the timeout, at {} us",
            last - start
        );
        // What arrived of it is acknowledged; slow start goes on from one segment.
        peer = peer.acknowledges(1_024);
        bench.feed(&peer.roomy());
        let flight = bytes(&bench.flight(&peer));
        assert!(flight <= 2 * MSS, "{talks}: {flight}");
    }
}

/// What follows a loss grows by the byte too: one acknowledgment for a flight is as good as one for each segment.
#[test]
fn merged_acknowledgments_let_smoltcps_window_grow_as_others_do() {
    let grown = [false, true].map(|merges| {
        let (mut bench, mut peer) = connected(with(Congestion::Reno), 1_460);
        bench.flight(&peer);
        bench.feed_burst(&[(); 4].map(|()| frame(&peer.roomy())));
        bench.segments();
        peer = peer.acknowledges(FIRST);
        bench.feed(&peer.roomy());
        for _ in 0..20 {
            let flight = bench.flight(&peer);
            if merges {
                bench.now_us += RTT_US;
                peer = peer.acknowledges(bytes(&flight));
                bench.feed(&peer.roomy());
            } else {
                bench.acknowledge(&mut peer, &flight);
            }
        }
        bytes(&bench.flight(&peer))
    });
    let [plain, merged] = grown;
    // Twenty round trips of about 1024 bytes more, from half of the first flight on.
    assert!(plain > 20_000 && plain.abs_diff(merged) <= 2 * MSS, "{grown:?}");
    assert!(merged <= FIRST / 2 + 22 * MSS, "{grown:?}: no more than a segment for each round trip");
}

/// Duplicates that a peer sends while nothing is under way are none (RFC 5681 2).
#[test]
fn acknowledgments_repeated_while_nothing_is_under_way_are_no_loss() {
    let (mut bench, peer) = connected(with(Congestion::Cubic), 1_460);
    for _ in 0..10 {
        bench.feed(&peer.roomy());
    }
    let flight = bench.flight(&peer);
    assert_eq!(bytes(&flight), FIRST);
    bench.feed(&peer.acknowledges(FIRST).roomy());
    assert_eq!(bytes(&bench.flight(&peer.acknowledges(FIRST))), 2 * FIRST);
}

#[test]
fn another_controller_can_be_asked_for_while_it_begins() {
    let (mut bench, mut peer) = connected(with(Congestion::Cubic), 1_460);
    let flight = bench.flight(&peer);
    bench.stack.set_options(peer.socket, with(Congestion::Reno).tcp).expect("known");
    bench.acknowledge(&mut peer, &flight);
    assert_eq!(bytes(&bench.flight(&peer)), 2 * FIRST);
    bench.stack.set_options(peer.socket, with(Congestion::None).tcp).expect("known");
    assert!(bytes(&bench.flight(&peer)) > 4 * FIRST, "nobody limits it any more");
}
