//! Segments that somebody beside the path invents, and segments that make no sense: what a connection does about
//! them (RFC 5961, RFC 9293 3.10.7.4).

use super::{Bench, PEER_ISN, Peer, THEIR_MAC, THEM, US};
use crate::{Failure, Phase, RingLen, SocketOptions, TcpOptions};
use naio_testkit::Segment;
use std::time::Duration;

fn bench() -> (Bench, Peer) {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    (bench, peer)
}

fn is_alive(bench: &mut Bench, peer: Peer) {
    assert_eq!(bench.status(peer.socket).phase, Phase::Established);
    bench.feed(&peer.segment().payload(b"still here"));
    let mut bytes = [0; 64];
    assert_eq!(bench.stack.recv(peer.socket, &mut bytes), Ok(10), "and bytes arrive");
}

/// The one segment that asks back: what we have sent, and what has really arrived.
fn assert_challenge(segments: &[Segment], peer: Peer) {
    assert_eq!(segments.len(), 1, "{segments:?}");
    let ack = &segments[0];
    assert_eq!((ack.seq, ack.ack), (peer.ack, peer.seq), "{ack:?}");
    assert!(ack.flags.ack && !ack.flags.rst && !ack.flags.syn && ack.window > 0, "{ack:?}");
}

#[test]
fn a_reset_with_the_next_number_ends_the_connection() {
    let (mut bench, peer) = bench();
    bench.feed(&peer.segment().rst());
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::Reset));
}

#[test]
fn a_reset_in_the_window_is_asked_back_about_and_ends_nothing() {
    for ahead in [1, 2, 1_000, 200_000] {
        let (mut bench, peer) = bench();
        let forged = Peer { seq: peer.seq.wrapping_add(ahead), ..peer };
        bench.feed(&forged.segment().rst());
        assert_challenge(&bench.segments(), peer);
        assert_eq!(bench.stack.counters().drop_tcp_challenged, 1);
        is_alive(&mut bench, peer);
    }
}

#[test]
fn a_reset_outside_of_the_window_is_dropped_in_silence() {
    for ahead in [-1_i32, -70_000, 300_000, i32::MAX] {
        let (mut bench, peer) = bench();
        let forged = Peer { seq: peer.seq.wrapping_add(ahead as u32), ..peer };
        bench.feed(&forged.segment().rst());
        assert!(bench.segments().is_empty());
        assert_eq!(bench.stack.counters().drop_tcp_reset, 1);
        is_alive(&mut bench, peer);
    }
}

#[test]
fn a_reset_behind_data_of_the_same_burst_ends_the_connection() {
    let (mut bench, peer) = bench();
    let frame = |segment: Segment| segment.ethernet(THEIR_MAC.0, super::OUR_MAC.0);
    let last = Peer { seq: peer.seq.wrapping_add(3), ..peer };
    bench.feed_burst(&[frame(peer.segment().payload(b"end")), frame(last.segment().rst())]);
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::Reset));
}

#[test]
fn a_syn_inside_a_connection_is_asked_back_about_and_ends_nothing() {
    for (seq, with_ack) in [(0_u32, false), (5, false), (5, true), (0x8000_0000, false)] {
        let (mut bench, peer) = bench();
        let forged = Peer { seq: peer.seq.wrapping_add(seq), ..peer };
        let mut syn = forged.segment().syn(1460, Some(7));
        syn.flags.ack = with_ack;
        bench.feed(&syn);
        assert_challenge(&bench.segments(), peer);
        is_alive(&mut bench, peer);
    }
}

/// A peer that has restarted: its SYN is asked back about, its reset has the right number, the next SYN is new.
#[test]
fn a_peer_that_has_restarted_gets_rid_of_the_old_connection() {
    let (mut bench, peer) = bench();
    let restarted = Peer { seq: 77, ack: 0, ..peer };
    let mut syn = restarted.segment().syn(1460, None);
    syn.flags.ack = false;
    bench.feed(&syn);
    let challenge = bench.segments().remove(0);
    bench.feed(&Peer { seq: challenge.ack, ..peer }.segment().rst());
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::Reset));
}

#[test]
fn challenges_of_one_connection_are_limited() {
    let (mut bench, peer) = bench();
    let forged = Peer { seq: peer.seq.wrapping_add(9), ..peer };
    let mut sent = 0;
    for _ in 0..1_000 {
        bench.feed(&forged.segment().rst());
        sent += bench.segments().len();
        bench.now_us += 1_000;
    }
    assert_eq!(sent, 2, "one in half a second");
    let counters = bench.stack.counters();
    assert_eq!((counters.tx_challenge, counters.tx_challenge_limited), (2, 998));
}

#[test]
fn an_acknowledgment_of_what_was_never_sent_is_no_acknowledgment() {
    let (mut bench, peer) = bench();
    bench.stack.send(peer.socket, &[7; 50_000]).expect("connected");
    let sent: u32 = bench.segments().iter().map(|segment| segment.payload.len() as u32).sum();
    assert!(sent < 50_000, "the congestion window holds the rest back");
    let forged = Peer { ack: peer.ack.wrapping_add(sent + 1), ..peer };
    bench.feed(&forged.segment());
    let answer = bench.segments();
    assert_eq!((answer[0].seq, answer[0].ack), (peer.ack.wrapping_add(sent), peer.seq));
    assert_eq!(bench.stack.info(peer.socket).expect("known").bytes_acknowledged, 0);
    assert_eq!(bench.stack.counters().drop_tcp_challenged, 1);
}

#[test]
fn an_acknowledgment_from_long_ago_brings_no_data_in() {
    let (mut bench, peer) = bench();
    let forged = Peer { ack: peer.ack.wrapping_sub(9_000_000), ..peer };
    bench.feed(&forged.segment().window(65_535).payload(b"blind injection"));
    assert_eq!(bench.status(peer.socket).readable, 0);
    assert_eq!(bench.stack.counters().drop_tcp_challenged, 1);
    is_alive(&mut bench, peer);
}

#[test]
fn a_segment_without_ack_is_dropped() {
    let (mut bench, peer) = bench();
    let mut segment = peer.segment().payload(b"no ack");
    segment.flags.ack = false;
    bench.feed(&segment);
    assert_eq!(bench.status(peer.socket).readable, 0);
    assert_eq!(bench.stack.counters().drop_tcp_no_ack, 1);
    is_alive(&mut bench, peer);
}

#[test]
fn a_fin_that_comes_before_missing_data_is_remembered() {
    let (mut bench, peer) = bench();
    let tail = Peer { seq: peer.seq.wrapping_add(4), ..peer };
    bench.feed(&tail.segment().payload(b"tail").fin());
    assert!(!bench.status(peer.socket).recv_finished);
    bench.feed(&peer.segment().payload(b"head"));
    let status = bench.status(peer.socket);
    assert_eq!((status.readable, status.recv_finished, status.phase), (8, true, Phase::CloseWait));
    let ack = bench.segments().pop().expect("an acknowledgment").ack;
    assert_eq!(ack, peer.seq.wrapping_add(9), "of eight bytes and the FIN");
    assert_eq!(bench.stack.counters().fins_recalled, 1);
}

#[test]
fn a_fin_without_data_that_overtakes_is_remembered_too() {
    let (mut bench, peer) = bench();
    let end = Peer { seq: peer.seq.wrapping_add(4), ..peer };
    bench.feed(&end.segment().fin());
    bench.feed(&peer.segment().payload(b"head"));
    assert!(bench.status(peer.socket).recv_finished);
}

#[test]
fn a_syn_that_comes_again_is_answered_once_more_by_the_timer() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    bench.stack.listen(9, 4).expect("a free port");
    let mut syn = Segment::new(THEM.octets(), 5_000, US.octets(), 9).seq(PEER_ISN).syn(1460, Some(7));
    syn.flags.ack = false;
    bench.feed(&syn);
    let first = bench.segments().remove(0);
    bench.feed(&syn);
    assert!(bench.segments().is_empty());
    assert_eq!(bench.stack.counters().drop_tcp_repeated_syn, 1);
    let again = bench.wait_ms(1_500).remove(0);
    assert_eq!((again.seq, again.flags.syn), (first.seq, true));
}

#[test]
fn a_window_that_stays_closed_ends_the_connection_in_the_end() {
    let mut bench = Bench::new(|_| {});
    let tcp = TcpOptions { persist_limit: Duration::from_secs(600), ..TcpOptions::default() };
    let mut peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
    bench.stack.send(peer.socket, &[1; 3_000]).expect("connected");
    let first = bench.segments();
    peer.ack = peer.ack.wrapping_add(first[0].payload.len() as u32);
    for _ in 0..590 {
        bench.feed(&peer.segment().window(0));
        bench.wait_ms(1_000);
    }
    assert_eq!(bench.status(peer.socket).failure, None, "it answers every probe");
    for _ in 0..20 {
        bench.feed(&peer.segment().window(0));
        bench.wait_ms(1_000);
    }
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::TimedOut));
}

#[test]
fn a_silent_peer_is_given_up_where_that_is_asked_for() {
    let mut bench = Bench::new(|_| {});
    let tcp = TcpOptions { idle_timeout: Some(Duration::from_secs(30)), ..TcpOptions::default() };
    let peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
    bench.wait_ms(29_000);
    bench.feed(&peer.segment().payload(b"."));
    bench.wait_ms(29_000);
    assert_eq!(bench.status(peer.socket).phase, Phase::Established);
    let last = bench.wait_ms(2_000);
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::TimedOut));
    assert!(last.iter().any(|segment| segment.flags.rst), "the peer is told");
}

/// What any window does to a sender: shrinking, closing, one byte wide; everything arrives in the end.
#[test]
fn windows_of_any_size_carry_the_bytes() {
    for windows in [&[1_u16][..], &[3, 0, 1], &[512, 2, 100, 0, 0, 1], &[65_535, 1, 65_535]] {
        let mut bench = Bench::new(|_| {});
        let options = SocketOptions { tx_ring: RingLen::at_least(8_192), ..SocketOptions::default() };
        let mut peer = bench.connected(options);
        let wanted: Vec<u8> = (0..300_u32).map(|n| n as u8).collect();
        assert_eq!(bench.stack.send(peer.socket, &wanted), Ok(300));
        let mut got = Vec::new();
        let start = peer.ack;
        for round in 0..3_000 {
            for segment in bench.wait_ms(500) {
                let offset = segment.seq.wrapping_sub(start) as usize;
                if offset == got.len() {
                    got.extend_from_slice(&segment.payload);
                }
            }
            peer.ack = start.wrapping_add(got.len() as u32);
            // The test's peer announced a scale of 7: the smallest window is 128 bytes wide, or closed.
            bench.feed(&peer.segment().window(windows[round % windows.len()]));
            if got.len() >= wanted.len() {
                break;
            }
        }
        assert_eq!(got[..300], wanted, "{windows:?}");
    }
}

/// MSS options of 0 and 1 do not make segments of a byte each (and a division by zero).
#[test]
fn an_absurd_segment_size_is_not_kept_to() {
    for mss in [0, 1, 7] {
        let mut bench = Bench::new(|_| {});
        let (socket, syn) = bench.connecting(SocketOptions::default());
        let peer = Peer { socket, port: syn.source_port, seq: 1, ack: syn.seq.wrapping_add(1) };
        bench.feed(&peer.segment().seq(0).syn(mss, None));
        bench.segments();
        bench.stack.send(socket, &[1; 1_000]).expect("connected");
        let segments = bench.segments();
        assert!(!segments.is_empty() && segments.len() < 25, "mss {mss}: {} segments", segments.len());
    }
}

#[test]
fn urgent_data_is_data() {
    let (mut bench, peer) = bench();
    let mut frame = peer.segment().payload(b"urgent").ethernet(THEIR_MAC.0, super::OUR_MAC.0);
    // URG and its pointer, behind Ethernet and IPv4; the sum is repaired for the two words.
    frame[34 + 13] |= 0x20;
    frame[34 + 19] = 3;
    let sum = u32::from(u16::from_be_bytes([frame[50], frame[51]]));
    let sum = !(((!sum & 0xffff) + 0x20 + 3) % 0xffff) as u16;
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    bench.feed_frame(&frame);
    assert_eq!(bench.status(peer.socket).readable, 6, "{:?}", bench.stack.counters());
}

/// The first copy of a byte counts, whatever a later one says.
#[test]
fn contradicting_segments_do_not_change_what_has_arrived() {
    let (mut bench, peer) = bench();
    let at = |offset: u32| Peer { seq: peer.seq.wrapping_add(offset), ..peer };
    bench.feed(&peer.segment().payload(b"first"));
    bench.feed(&peer.segment().payload(b"FIRSTmore"));
    bench.feed(&at(20).segment().payload(b"xx"));
    bench.feed(&at(9).segment().payload(b"..........."));
    let mut bytes = [0; 64];
    let len = bench.stack.recv(peer.socket, &mut bytes).expect("connected");
    assert_eq!(&bytes[..len], b"firstmore...........xx");
}
