//! Losses that only a peer's silence shows, and what follows it: answers to what was sent again, and the timeout.

use super::recovery::{MSS, RTT_US, leaving, sending};
use super::*;
use crate::{Congestion, TcpOptions};

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
