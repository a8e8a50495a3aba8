//! What the RFCs ask of every host, one test for each clause that no other test has: `docs/conformance.md` is the list.

use super::{Bench, OUR_MAC, PEER_ISN, PORT, Peer, THEIR_MAC, THEM, US};
use crate::{Failure, Phase, RingLen, SocketOptions};
use naio_testkit::{Segment, packets::ip, sum};
use std::net::Ipv4Addr;

fn bench() -> (Bench, Peer) {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    (bench, peer)
}

/// A TCP segment of the peer's with these options; sums are right.
fn with_options(peer: Peer, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = peer.segment().ethernet(THEIR_MAC.0, OUR_MAC.0);
    let mut tcp = frame.split_off(34);
    tcp.truncate(20);
    tcp[12] = ((20 + options.len()) as u8 / 4) << 4;
    tcp[16..18].fill(0);
    tcp.extend_from_slice(options);
    tcp.extend_from_slice(payload);
    let mut pseudo = [THEM.octets(), US.octets()].concat();
    pseudo.extend([0, 6]);
    pseudo.extend((tcp.len() as u16).to_be_bytes());
    let checksum = !sum::folded(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    ip((THEIR_MAC.0, OUR_MAC.0), (THEM.into(), US.into()), (6, 64), &tcp)
}

#[test]
fn a_segment_with_a_wrong_checksum_is_dropped() {
    let (mut bench, peer) = bench();
    let mut frame = peer.segment().payload(b"data").ethernet(THEIR_MAC.0, OUR_MAC.0);
    *frame.last_mut().expect("bytes") ^= 1;
    bench.feed_frame(&frame);
    assert_eq!((bench.stack.counters().drop_tcp_checksum, bench.status(peer.socket).readable), (1, 0));
}

/// Unknown options, and options in any segment, are skipped; lengths that make no sense take nothing along.
#[test]
fn options_that_nobody_knows_do_not_matter() {
    let known: [&[u8]; 5] =
        [&[], &[1, 1, 1, 1], &[253, 4, 9, 9], &[2, 4, 5, 0xb4], &[30, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]];
    for options in known {
        let (mut bench, peer) = bench();
        bench.feed_frame(&with_options(peer, options, b"data"));
        assert_eq!(bench.status(peer.socket).readable, 4, "{options:?}");
    }
    for options in [&[253, 0, 9, 9][..], &[253, 40, 9, 9], &[8, 3, 0, 0], &[5, 2, 0, 0]] {
        let (mut bench, peer) = bench();
        bench.feed_frame(&with_options(peer, options, b"data"));
        bench.feed(&peer.segment().payload(b"data"));
        assert_eq!(bench.status(peer.socket).readable, 4, "and the connection goes on after {options:?}");
    }
}

#[test]
fn our_syn_says_what_we_take_and_nothing_after_it_does() {
    let mut bench = Bench::new(|_| {});
    let (_, syn) = bench.connecting(SocketOptions::default());
    assert!(syn.options.starts_with(&[2, 4, 5, 0xb4]), "{syn:?}");
    let (mut bench, peer) = self::bench();
    bench.stack.send(peer.socket, b"data").expect("connected");
    assert!(bench.segments().iter().all(|segment| segment.options.is_empty()));
}

#[test]
fn a_peer_that_says_no_segment_size_gets_no_more_than_536_bytes() {
    let mut bench = Bench::new(|_| {});
    let (socket, syn) = bench.connecting(SocketOptions::default());
    let peer = Peer { socket, port: syn.source_port, seq: 1, ack: syn.seq.wrapping_add(1) };
    let mut answer = peer.segment().seq(0);
    answer.flags.syn = true;
    bench.feed(&answer);
    bench.segments();
    bench.stack.send(socket, &[1; 4_000]).expect("connected");
    let sent = bench.segments();
    assert!(!sent.is_empty() && sent.iter().all(|segment| segment.payload.len() <= 536), "{sent:?}");
}

#[test]
fn a_window_scale_beyond_the_limit_is_no_overflow() {
    let mut bench = Bench::new(|_| {});
    let (socket, syn) = bench.connecting(SocketOptions::default());
    let peer = Peer { socket, port: syn.source_port, seq: 1, ack: syn.seq.wrapping_add(1) };
    bench.feed(&peer.segment().seq(0).syn(1_460, Some(255)));
    bench.segments();
    bench.stack.send(socket, &[1; 4_000]).expect("connected");
    bench.feed(&peer.segment().window(u16::MAX));
    assert!(!bench.segments().is_empty());
    assert_eq!(bench.status(socket).phase, Phase::Established);
}

/// The timeout is a second at first and doubles (RFC 6298 2.1, 5.5).
#[test]
fn timeouts_double() {
    let (mut bench, peer) = bench();
    bench.stack.send(peer.socket, b"nobody answers").expect("connected");
    let start = bench.now_us;
    let mut at = Vec::new();
    for _ in 0..160 {
        if bench.wait_ms(100).iter().any(|segment| !segment.payload.is_empty()) {
            at.push((bench.now_us - start) / 1_000_000);
        }
    }
    let after_the_first: Vec<u64> = at.into_iter().filter(|at| *at >= 1).collect();
    assert_eq!(after_the_first, [1, 3, 7, 15]);
}

/// The last byte of what a program has sent is pushed (RFC 9293 3.9.1.2, MUST-61).
#[test]
fn the_last_segment_of_what_was_sent_is_pushed() {
    let (mut bench, peer) = bench();
    bench.stack.send(peer.socket, &[1; 2_000]).expect("connected");
    let sent = bench.segments();
    assert!(sent.last().expect("data").flags.psh, "{sent:?}");
}

#[test]
fn two_full_segments_are_acknowledged_at_once_and_one_soon() {
    let (mut bench, mut peer) = bench();
    for _ in 0..2 {
        bench.feed(&peer.segment().payload(&[1; 1_460]));
        peer.seq = peer.seq.wrapping_add(1_460);
    }
    assert_eq!(bench.segments().last().map(|segment| segment.ack), Some(peer.seq));
    bench.feed(&peer.segment().payload(b"x"));
    let soon = bench.wait_ms(499);
    assert_eq!(soon.last().map(|segment| segment.ack), Some(peer.seq.wrapping_add(1)));
}

/// Out of order: the acknowledgment of what is missing leaves at once (RFC 5681 4.2).
#[test]
fn a_gap_is_told_at_once() {
    let (mut bench, peer) = bench();
    let ahead = Peer { seq: peer.seq.wrapping_add(1_460), ..peer };
    bench.feed(&ahead.segment().payload(&[1; 1_460]));
    assert_eq!(bench.segments().first().map(|segment| segment.ack), Some(peer.seq));
}

/// A reader that takes a byte at a time does not open the window byte by byte (RFC 9293 3.8.6.2.2).
#[test]
fn a_window_does_not_open_in_crumbs() {
    let mut bench = Bench::new(|_| {});
    let options = SocketOptions { rx_ring: RingLen::at_least(4_000), ..SocketOptions::default() };
    let mut peer = bench.connected(options);
    for len in [1_460, 1_460, 1_080] {
        bench.feed(&peer.segment().payload(&vec![1; len]));
        peer.seq = peer.seq.wrapping_add(len as u32);
    }
    assert_eq!(bench.wait_ms(500).last().map(|segment| segment.window), Some(0));
    let mut byte = [0];
    for _ in 0..20 {
        bench.stack.recv(peer.socket, &mut byte).expect("connected");
        let told: Vec<u16> = bench.segments().iter().map(|segment| segment.window).collect();
        assert!(
            told.iter().all(|window| *window == 0 || *window >= 1_460 / 2) || told.len() <= 1,
            "{told:?}"
        );
    }
}

#[test]
fn a_reset_counts_even_while_our_window_is_closed() {
    let mut bench = Bench::new(|_| {});
    let options = SocketOptions { rx_ring: RingLen::at_least(1_000), ..SocketOptions::default() };
    let mut peer = bench.connected(options);
    bench.feed(&peer.segment().payload(&[1; 1_000]));
    bench.segments();
    peer.seq = peer.seq.wrapping_add(1_000);
    bench.feed(&peer.segment().rst());
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::Reset));
}

#[test]
fn data_behind_a_reset_is_answered_by_a_reset() {
    let (mut bench, peer) = bench();
    bench.feed(&peer.segment().rst());
    bench.feed(&peer.segment().payload(b"too late"));
    let answer = bench.segments();
    assert!(answer.len() == 1 && answer[0].flags.rst && answer[0].seq == peer.ack, "{answer:?}");
    assert_eq!(bench.status(peer.socket).readable, 0);
}

/// Sources that no host can have: broadcast, groups, loopback, nobody, ourselves (RFC 1122 3.2.1.3, RFC 9293 MUST-63).
#[test]
fn a_syn_from_an_impossible_source_is_dropped_in_silence() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    bench.stack.listen(PORT, 4).expect("a free port");
    let sources = [
        [255, 255, 255, 255],
        [10, 0, 0, 255],
        [10, 0, 0, 0],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [127, 0, 0, 1],
        [0, 0, 0, 0],
        US.octets(),
    ];
    for source in sources {
        let mut syn = Segment::new(source, 7, US.octets(), PORT).seq(PEER_ISN).syn(1_460, None);
        syn.flags.ack = false;
        bench.feed(&syn);
    }
    assert!(bench.segments().is_empty());
    assert_eq!(bench.stack.counters().drop_ip_source, sources.len() as u64);
    assert_eq!(bench.stack.census().flows, 0);
}

#[test]
fn what_is_addressed_to_loopback_or_to_many_opens_nothing() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    bench.stack.listen(PORT, 4).expect("a free port");
    for destination in [[127, 0, 0, 1], [10, 0, 0, 255], [255; 4], [224, 0, 0, 1]] {
        let mut syn = Segment::new(THEM.octets(), 7, destination, PORT).seq(PEER_ISN).syn(1_460, None);
        syn.flags.ack = false;
        bench.feed(&syn);
    }
    assert!(bench.segments().is_empty());
    assert_eq!(bench.stack.counters().drop_ip_destination, 4);
}

/// Source quench and redirects (RFC 6633, RFC 1122 3.2.2.2).
#[test]
fn quenches_and_redirects_change_nothing() {
    let (mut bench, peer) = bench();
    bench.stack.send(peer.socket, b"data").expect("connected");
    let sent = bench.segments().remove(0).ethernet(OUR_MAC.0, THEIR_MAC.0);
    for kind in [4, 5] {
        let mut message = vec![kind, 0, 0, 0];
        message.extend(Ipv4Addr::new(10, 0, 0, 99).octets());
        message.extend_from_slice(&sent[14..14 + 28]);
        let checksum = !sum::folded(&[&message]);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        bench.feed_frame(&ip((THEIR_MAC.0, OUR_MAC.0), (THEM.into(), US.into()), (1, 64), &message));
    }
    assert_eq!(bench.stack.counters().drop_icmp_ignored, 2);
    assert_eq!(bench.stack.network_error(peer.socket), None);
    bench.feed(&Peer { ack: peer.ack.wrapping_add(4), ..peer }.segment());
    assert_eq!(bench.stack.info(peer.socket).expect("known").bytes_acknowledged, 4);
}

/// Probes of a closed window: the first after a timeout, then ever more rarely, and never none (RFC 9293 3.8.6.1).
#[test]
fn a_closed_window_is_probed_ever_more_rarely() {
    let (mut bench, peer) = bench();
    bench.feed(&peer.segment().window(0));
    bench.stack.send(peer.socket, b"waits").expect("connected");
    let (mut at, start) = (Vec::new(), bench.now_us);
    for _ in 0..1_200 {
        if !bench.wait_ms(100).is_empty() {
            at.push((bench.now_us - start) / 100_000);
            bench.feed(&peer.segment().window(0));
        }
    }
    let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(at.len() > 3 && gaps.windows(2).all(|pair| pair[1] + 1 >= pair[0]), "{at:?}");
    assert!(gaps.last() > gaps.first(), "{gaps:?}");
    bench.feed(&peer.segment());
    assert!(bench.segments().iter().any(|segment| !segment.payload.is_empty()), "and then it leaves");
}
