//! Losses that a peer's acknowledgments, or its silence, show before smoltcp's timeout; and peers that invent them.

use super::six::{THEM6, US6, introduce};
use super::*;
use crate::{Congestion, TcpOptions};
use naio_testkit::packets::ip;
use naio_testkit::seeds;

const MSS: u32 = 1_460;
/// The round trip of these benches.
const RTT_US: u64 = 4_000;

/// Data under way without a congestion window in the way, its round trip known.
fn sending(bench: &mut Bench, bytes: usize) -> Peer {
    let tcp = TcpOptions { congestion: Congestion::None, ..TcpOptions::default() };
    let mut peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
    // The handshake took no time here; a few exchanges later nothing is left of it.
    for _ in 0..40 {
        bench.stack.send(peer.socket, &[1; 100]).expect("connected");
        assert_eq!(bench.segments().len(), 1);
        bench.now_us += RTT_US;
        peer.ack = peer.ack.wrapping_add(100);
        bench.feed(&peer.segment());
        assert!(bench.segments().is_empty());
    }
    bench.stack.send(peer.socket, &vec![2; bytes]).expect("connected");
    assert_eq!(bench.segments().len(), bytes.div_ceil(MSS as usize));
    peer
}

impl Peer {
    /// An acknowledgment with SACK blocks: offsets from what it acknowledges.
    fn sack(&self, blocks: &[(u32, u32)]) -> Segment {
        let mut segment = self.segment();
        segment.options = vec![1, 1, 5, (2 + 8 * blocks.len()) as u8];
        for (left, right) in blocks {
            let number = |offset: &u32| self.ack.wrapping_add(*offset).to_be_bytes();
            segment.options.extend([number(left), number(right)].concat());
        }
        segment
    }
}

/// Sequence numbers of what leaves now.
fn leaving(bench: &mut Bench) -> Vec<u32> {
    bench.segments().iter().filter(|segment| !segment.payload.is_empty()).map(|segment| segment.seq).collect()
}

#[test]
fn one_selective_acknowledgment_of_three_segments_repeats_the_lost_one() {
    for (behind, repeats) in [(2 * MSS, 0), (3 * MSS, 1)] {
        let mut bench = Bench::new(|_| {});
        let peer = sending(&mut bench, 10 * MSS as usize);
        bench.now_us += RTT_US;
        bench.feed(&peer.sack(&[(MSS, MSS + behind)]));
        let seqs = leaving(&mut bench);
        assert_eq!(seqs, vec![peer.ack; repeats], "{behind} bytes arrived behind it");
        assert_eq!(bench.stack.counters().losses_by_sack, repeats as u64);
        bench.feed(&peer.sack(&[(MSS, MSS + behind)]));
        assert!(leaving(&mut bench).is_empty(), "once");
    }
}

#[test]
fn three_stretches_with_gaps_before_them_are_as_good_as_three_segments() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 10 * MSS as usize);
    bench.feed(&peer.sack(&[(10, 20), (30, 40)]));
    assert!(leaving(&mut bench).is_empty());
    bench.feed(&peer.sack(&[(10, 20), (30, 40), (50, 60)]));
    assert_eq!(leaving(&mut bench), [peer.ack]);
}

#[test]
fn a_partial_acknowledgment_repeats_the_next_lost_segment_at_once() {
    let mut bench = Bench::new(|_| {});
    let mut peer = sending(&mut bench, 10 * MSS as usize);
    bench.feed(&peer.sack(&[(MSS, 4 * MSS), (5 * MSS, 6 * MSS)]));
    assert_eq!(leaving(&mut bench), [peer.ack]);
    peer.ack = peer.ack.wrapping_add(4 * MSS);
    bench.feed(&peer.sack(&[(MSS, 2 * MSS)]));
    assert_eq!(leaving(&mut bench), [peer.ack], "one segment behind it is enough now");
    peer.ack = peer.ack.wrapping_add(2 * MSS);
    bench.feed(&peer.segment());
    assert!(leaving(&mut bench).is_empty(), "nothing says that this one is lost");
}

/// A peer without SACK (RFC 6582).
#[test]
fn without_selective_acknowledgments_a_partial_one_after_three_duplicates_is_enough() {
    let mut bench = Bench::new(|_| {});
    let mut peer = sending(&mut bench, 10 * MSS as usize);
    bench.feed_burst(&[(); 3].map(|()| peer.segment().ethernet(THEIR_MAC.0, OUR_MAC.0)));
    assert_eq!(leaving(&mut bench), [peer.ack]);
    peer.ack = peer.ack.wrapping_add(3 * MSS);
    bench.feed(&peer.segment());
    assert_eq!(leaving(&mut bench), [peer.ack]);
}

#[test]
fn blocks_of_what_was_never_sent_repeat_nothing() {
    let right = (MSS, 4 * MSS);
    for blocks in [(MSS, 4 * MSS + 1), (0, 4 * MSS), (u32::MAX - 5_000, u32::MAX), (5 * MSS, MSS), right] {
        let mut bench = Bench::new(|_| {});
        let peer = sending(&mut bench, 4 * MSS as usize);
        bench.feed(&peer.sack(&[blocks]));
        assert_eq!(leaving(&mut bench).len(), usize::from(blocks == right), "{blocks:?}");
    }
}

#[test]
fn silence_repeats_the_first_segment_twice_and_then_waits_for_the_timeout() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 4 * MSS as usize);
    let start = bench.now_us;
    let mut times = Vec::new();
    while bench.now_us < start + 900_000 {
        let seqs = leaving(&mut bench);
        assert!(seqs.iter().all(|seq| *seq == peer.ack));
        times.extend(seqs.iter().map(|_| (bench.now_us - start) / 1_000));
        bench.now_us += 1_000;
    }
    // A round trip of 4 ms asks for the shortest silence, 10 ms, and twice that from there on.
    assert!(times.len() == 2 && (10..=12).contains(&times[0]) && (30..=33).contains(&times[1]), "{times:?}");
    assert!(bench.wait_ms(1_000).len() > 2, "smoltcp sends all of it again");
    assert_eq!(bench.stack.counters().losses_by_silence, 2);
}

#[test]
fn a_lone_segment_is_not_repeated_while_its_acknowledgment_may_be_delayed() {
    let mut bench = Bench::new(|_| {});
    sending(&mut bench, MSS as usize);
    let start = bench.now_us;
    assert!(bench.wait_ms(200).is_empty());
    assert_eq!(bench.wait_ms(20).len(), 1);
    assert!(bench.now_us - start < 1_000_000, "long before smoltcp's timeout");
}

/// Guard (c): of three duplicate acknowledgments smoltcp would forget the FIN, so it is sent without smoltcp.
#[test]
fn silence_repeats_a_fin_alone_boundedly() {
    for closes_first in [true, false] {
        let mut bench = Bench::new(|_| {});
        let mut peer = sending(&mut bench, MSS as usize);
        peer.ack = peer.ack.wrapping_add(MSS);
        bench.feed(&peer.segment());
        if !closes_first {
            bench.feed(&peer.segment().fin());
            peer.seq = peer.seq.wrapping_add(1);
            bench.segments();
        }
        bench.stack.shutdown(peer.socket).expect("connected");
        let first = bench.segments().pop().expect("a FIN");
        assert!(first.flags.fin);
        let start = bench.now_us;
        let mut waits = Vec::new();
        while bench.now_us < start + 950_000 {
            bench.now_us += 1_000;
            for segment in bench.segments() {
                assert_eq!(segment, first, "the same again");
                waits.push((bench.now_us - start) / 1_000);
            }
        }
        // 10 ms, 20 ms, 40 ms, 80 ms and what an acknowledgment may be delayed by each.
        let expected = [210, 430, 670, 950];
        let is_near = |(wait, expected): (&u64, u64)| wait.abs_diff(expected) <= 5;
        assert!(waits.len() == 4 && waits.iter().zip(expected).all(is_near), "{waits:?}");
        let info = bench.stack.info(peer.socket).expect("known");
        assert_eq!((bench.stack.counters().losses_by_silence, info.retransmits), (4, 4));
        assert!(
            bench.wait_ms(100).iter().any(|segment| segment.flags.fin),
            "smoltcp's timeout comes as well"
        );
        assert_eq!(bench.wait_ms(1_500).len(), 0, "and nothing but that");
        peer.ack = peer.ack.wrapping_add(1);
        bench.feed(&peer.segment());
        let after = if closes_first { Phase::FinWait2 } else { Phase::Closed };
        assert_eq!(bench.status(peer.socket).phase, after);
    }
}

#[test]
fn a_closed_window_is_left_to_smoltcp() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 4 * MSS as usize);
    bench.feed(&peer.segment().window(0));
    bench.wait_ms(900);
    bench.feed(&Segment { window: 0, ..peer.sack(&[(MSS, 4 * MSS)]) });
    assert!(leaving(&mut bench).is_empty());
    let counters = bench.stack.counters();
    assert_eq!((counters.losses_by_sack, counters.losses_by_silence), (0, 0));
}

/// A handshake of this round trip, and no congestion window.
fn slowly_connected(bench: &mut Bench, rtt_us: u64) -> Peer {
    let tcp = TcpOptions { congestion: Congestion::None, ..TcpOptions::default() };
    let (socket, syn) = bench.connecting(SocketOptions { tcp, ..SocketOptions::default() });
    let (seq, ack) = (PEER_ISN.wrapping_add(1), syn.seq.wrapping_add(1));
    let peer = Peer { socket, port: syn.source_port, seq, ack };
    bench.now_us += rtt_us;
    bench.feed(&peer.segment().seq(PEER_ISN).syn(1460, Some(7)));
    bench.segments();
    peer
}

/// An answer that comes sooner than any ever did answers the first copy (compare RFC 6298 3, Karn).
#[test]
fn a_segment_repeated_in_vain_makes_the_next_silence_longer() {
    let mut bench = Bench::new(|_| {});
    let mut peer = slowly_connected(&mut bench, 8_000);
    let mut waits = Vec::new();
    // Five answers that come too soon, then one that was caused by the repetition.
    for answer_us in [1_000, 1_000, 1_000, 1_000, 1_000, 9_000, 9_000] {
        bench.stack.send(peer.socket, &[1; 2 * MSS as usize]).expect("connected");
        assert_eq!(bench.segments().len(), 2);
        let start = bench.now_us;
        while leaving(&mut bench).is_empty() {
            bench.now_us += 500;
        }
        waits.push((bench.now_us - start) / 1_000);
        bench.now_us += answer_us;
        peer.ack = peer.ack.wrapping_add(2 * MSS);
        bench.feed(&peer.segment());
        assert!(bench.segments().is_empty());
    }
    assert_eq!(bench.stack.counters().losses_in_vain, 5);
    let is_near = |n: usize, factor: u64| waits[n].abs_diff(factor * waits[0]) <= 8;
    let doubled = [(1, 2), (2, 4), (3, 8), (4, 8), (5, 8), (6, 4)];
    assert!(doubled.into_iter().all(|(n, factor)| is_near(n, factor)), "{waits:?} ms");
}

/// The options of a TCP segment are not where most packets have them.
#[test]
fn selective_acknowledgments_are_found_behind_options_of_ipv4() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 10 * MSS as usize);
    let mut frame = frame(&peer.sack(&[(MSS, 4 * MSS)]));
    // Four bytes that mean nothing, behind the IPv4 header.
    frame.splice(34..34, [1; 4]);
    frame[14] = 0x46;
    frame[17] += 4;
    frame[24..26].fill(0);
    let checksum = !sum::folded(&[&frame[14..38]]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    bench.feed_frame(&frame);
    assert_eq!(leaving(&mut bench), [peer.ack]);
}

/// A segment of the peer's over IPv6.
fn over_ipv6(segment: &Segment) -> Vec<u8> {
    let mut tcp = frame(segment).split_off(34);
    tcp[16..18].fill(0);
    let len = (tcp.len() as u16).to_be_bytes();
    let checksum = !sum::folded(&[&THEM6.octets(), &US6.octets(), &[0, 6], &len, &tcp]);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    ip((THEIR_MAC.0, OUR_MAC.0), (THEM6.into(), US6.into()), (6, 64), &tcp)
}

#[test]
fn selective_acknowledgments_count_over_ipv6() {
    let mut bench = super::six::six(|_| {});
    introduce(&mut bench);
    let listener = bench.stack.listen(PORT, 1).expect("a free port");
    let seq_of = |frame: &Vec<u8>| u32::from_be_bytes(frame[58..62].try_into().expect("four bytes"));
    let theirs = Segment::new(THEM.octets(), 999, US.octets(), PORT);
    bench.feed_frame(&over_ipv6(&theirs.clone().seq(PEER_ISN).syn(1_440, Some(7))));
    let isn = seq_of(&bench.frames()[0]);
    let (seq, ack) = (PEER_ISN.wrapping_add(1), isn.wrapping_add(1));
    let theirs = theirs.seq(seq).ack(ack);
    bench.feed_frame(&over_ipv6(&theirs));
    let socket = bench.stack.accept(listener).expect("established");
    bench.stack.send(socket, &[1; 6 * 1_440]).expect("connected");
    assert_eq!(bench.frames().len(), 6);
    let mut sack = Peer { socket, port: 0, seq, ack }.sack(&[(1_440, 6 * 1_440)]);
    (sack.source_port, sack.destination_port) = (999, PORT);
    bench.feed_frame(&over_ipv6(&sack));
    assert_eq!(bench.frames().iter().map(seq_of).collect::<Vec<_>>(), [ack]);
}

/// Whatever a peer says, what it makes us send again stays below what it acknowledges, and a few.
#[test]
fn a_peer_that_invents_losses_does_not_make_us_repeat_more_than_it_acknowledges() {
    for seed in seeds(1, 60) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new(|_| {});
        let mut peer = bench.connected(SocketOptions::default());
        let start = peer.ack;
        let (mut end, mut repeated, mut packets, mut received) = (peer.ack, 0_u32, 0_u32, 0_u32);
        let kind = seed % 4;
        for _ in 0..400 {
            while bench.stack.send(peer.socket, &[7; 65_536]).expect("connected") > 0 {}
            for segment in bench.segments() {
                let behind = segment.seq.wrapping_add(segment.seq_len());
                packets += 1;
                if behind.wrapping_sub(end) as i32 > 0 {
                    end = behind;
                } else {
                    repeated += u32::from(!segment.payload.is_empty());
                }
            }
            bench.now_us += random.u64(0..3_000);
            let flight = end.wrapping_sub(peer.ack);
            let step = match kind {
                0 => random.u32(0..2),
                1 => random.u32(0..MSS),
                2 => random.u32(0..3 * MSS),
                _ => 0,
            };
            peer.ack = peer.ack.wrapping_add(step.min(flight));
            let left = end.wrapping_sub(peer.ack);
            let mut edge = || random.u32(0..left + 2);
            let blocks = [(edge(), edge()), (1, left), (edge(), left)];
            bench.feed(&peer.sack(&blocks));
            received += 1;
        }
        let acknowledged = peer.ack.wrapping_sub(start);
        let counters = bench.stack.counters();
        let told = counters.losses_by_sack + counters.losses_by_silence;
        let allowed = 3 * (acknowledged / MSS + 1);
        assert!(told <= allowed.into(), "seed {seed}: told {told} times for {acknowledged} bytes");
        assert!(kind != 2 || counters.losses_by_sack > 0, "seed {seed}: it is tried");
        // Up to three segments of new data for what it acknowledges, and one again.
        assert!(packets <= 4 * received + 10, "seed {seed}: {packets} packets for {received}");
        assert!(repeated <= received, "seed {seed}: {repeated} packets again for {received}");
    }
}

fn frame(segment: &Segment) -> Vec<u8> {
    segment.ethernet(THEIR_MAC.0, OUR_MAC.0)
}

impl Peer {
    /// It acknowledges so many segments more.
    fn plus(&self, segments: u32) -> Peer {
        Peer { ack: self.ack.wrapping_add(segments * MSS), ..*self }
    }
}

#[test]
fn of_growing_acknowledgments_in_one_burst_the_last_is_enough() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 20 * MSS as usize);
    let merged = bench.stack.counters().rx_tcp_merged;
    let burst: Vec<_> = (1..=20).map(|n| frame(&peer.plus(n).segment())).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged - merged, 19);
    assert_eq!(bench.status(peer.socket).unacknowledged, 0);
    assert!(bench.segments().is_empty());
}

#[test]
fn acknowledgments_that_say_anything_else_are_all_handed_on() {
    let growing = |peer: &Peer| peer.plus(1).segment();
    let others: [fn(&Peer) -> Segment; 6] = [
        // A duplicate, one that goes back, a window update, a selective one, data, a FIN.
        |peer| peer.plus(1).segment(),
        |peer| peer.segment(),
        |peer| peer.plus(2).segment().window(0xfff0),
        |peer| peer.plus(2).sack(&[(MSS, 2 * MSS)]),
        |peer| peer.plus(2).segment().payload(b"data"),
        |peer| peer.plus(2).segment().fin(),
    ];
    for (n, other) in others.iter().enumerate() {
        let mut bench = Bench::new(|_| {});
        let peer = sending(&mut bench, 5 * MSS as usize);
        let before = bench.stack.info(peer.socket).expect("known").segments_received;
        bench.feed_burst(&[frame(&growing(&peer)), frame(&other(&peer))]);
        let after = bench.stack.info(peer.socket).expect("known").segments_received;
        assert_eq!((bench.stack.counters().rx_tcp_merged, after - before), (0, 2), "{n}");
    }
}

/// Guard (c) looks at what was acknowledged before: three duplicates of an acknowledgment that waits must not pass it.
#[test]
fn once_our_fin_is_out_no_acknowledgment_waits() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 2 * MSS as usize);
    bench.stack.shutdown(peer.socket).expect("connected");
    assert!(bench.segments()[0].flags.fin);
    bench.feed_burst(&[(); 5].map(|()| frame(&peer.plus(2).segment())));
    assert_eq!(bench.stack.counters().drop_tcp_repeated_ack, 4);
    assert!(bench.wait_ms(1_100).iter().any(|segment| segment.flags.fin), "its timer runs");
}

/// smoltcp's controllers grow by the acknowledgment.
#[test]
fn a_connection_that_its_congestion_window_limits_hears_each_acknowledgment() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 14_600]).expect("connected");
    assert_eq!(bench.segments().len(), 10);
    // The first is lost, which smoltcp learns: from here on the window is its own.
    bench.feed_burst(&[(); 4].map(|()| frame(&peer.segment())));
    assert_eq!(leaving(&mut bench), [peer.ack]);
    peer.ack = peer.ack.wrapping_add(10 * MSS);
    bench.feed(&peer.segment());
    let merged = bench.stack.counters().rx_tcp_merged;
    let mut flights = Vec::new();
    for _ in 0..5 {
        bench.stack.send(peer.socket, &[1; 65_535]).expect("connected");
        let flight = bench.segments();
        flights.push(flight.len());
        bench.now_us += RTT_US;
        let mut burst = Vec::new();
        for segment in flight {
            peer.ack = segment.seq.wrapping_add(segment.seq_len());
            burst.push(frame(&peer.segment()));
        }
        bench.feed_burst(&burst);
    }
    assert_eq!(bench.stack.counters().rx_tcp_merged, merged);
    assert!(flights[0] >= 7 && flights[4] > flights[0], "congestion avoidance: {flights:?}");
}

#[test]
fn a_burst_of_data_is_acknowledged_once_and_at_once() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let data = |n: u32| {
        let mut segment = peer.segment().seq(peer.seq.wrapping_add(n * 100)).payload(&[3; 100]);
        // Nothing merges behind a push.
        segment.flags.psh = true;
        frame(&segment)
    };
    bench.feed_burst(&(0..6).map(data).collect::<Vec<_>>());
    let acks = bench.segments();
    assert_eq!((acks.len(), acks[0].ack), (1, peer.seq.wrapping_add(600)));
}

/// A flight that is lost as a whole: the answer to the first segment, sent again, shows that the next is lost as well.
#[test]
fn the_answer_to_a_repeated_segment_shows_that_those_behind_it_are_lost() {
    let probed = |bytes: usize| {
        let mut bench = Bench::new(|_| {});
        let peer = slowly_connected(&mut bench, RTT_US);
        bench.stack.send(peer.socket, &vec![2; bytes]).expect("connected");
        assert_eq!(leaving(&mut bench).len(), bytes / MSS as usize);
        while leaving(&mut bench).is_empty() {
            bench.now_us += 500;
        }
        (bench, peer)
    };
    let (mut bench, mut peer) = probed(6 * MSS as usize);
    for _ in 0..5 {
        bench.now_us += RTT_US;
        peer = peer.plus(1);
        bench.feed(&peer.segment());
        assert_eq!(leaving(&mut bench), [peer.ack], "one, for each answer");
    }
    assert_eq!(bench.stack.counters().losses_by_silence, 1);
    assert_eq!(bench.stack.counters().losses_by_sack, 5);

    // Sooner than any answer ever came, or for more than was repeated: the first copies have arrived after all.
    for (after_us, segments) in [(RTT_US / 2, 1), (RTT_US, 2)] {
        let (mut bench, peer) = probed(6 * MSS as usize);
        bench.now_us += after_us;
        bench.feed(&peer.plus(segments).segment());
        assert!(leaving(&mut bench).is_empty(), "{after_us} us {segments}");
    }
    // One that looked like it, and the others right behind it.
    let (mut bench, peer) = probed(6 * MSS as usize);
    bench.now_us += RTT_US;
    bench.feed(&peer.plus(1).segment());
    assert_eq!(leaving(&mut bench).len(), 1);
    for n in 2..6 {
        bench.now_us += 100;
        bench.feed(&peer.plus(n).segment());
        assert!(leaving(&mut bench).is_empty(), "no more than that one");
    }
    assert_eq!(bench.stack.counters().losses_in_vain, 1);
}

/// After its timeout smoltcp sends everything again by itself; what the peer says meanwhile asks for nothing more.
#[test]
fn what_the_timeout_sends_again_is_not_sent_twice() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 10 * MSS as usize);
    while leaving(&mut bench).len() < 10 {
        bench.now_us += 1_000;
    }
    bench.now_us += RTT_US;
    bench.feed(&peer.plus(1).sack(&[(MSS, 5 * MSS)]));
    assert!(leaving(&mut bench).is_empty());
    bench.now_us += 100;
    bench.feed(&peer.plus(6).sack(&[(MSS, 4 * MSS)]));
    assert!(leaving(&mut bench).is_empty());
}

/// One segment that is sent again says nothing about the congestion window.
#[test]
fn a_repeated_segment_is_not_taken_for_the_congestion_window() {
    let mut bench = Bench::new(|_| {});
    let tcp = TcpOptions { congestion: Congestion::Reno, ..TcpOptions::default() };
    let mut peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
    let window = |bench: &Bench| bench.stack.info(peer.socket).expect("known").congestion_window;
    for loss in 0..2 {
        bench.stack.send(peer.socket, &[7; 40 * MSS as usize]).expect("connected");
        let flight = leaving(&mut bench).len() as u32;
        let before = window(&bench);
        bench.now_us += RTT_US;
        bench.feed(&peer.sack(&[(MSS, flight.min(4) * MSS)]));
        assert_eq!(leaving(&mut bench), [peer.ack]);
        if loss > 0 {
            assert_eq!(window(&bench), before, "as it was last seen");
        }
        peer.ack = peer.ack.wrapping_add(flight * MSS);
        bench.feed(&peer.segment());
    }
}
