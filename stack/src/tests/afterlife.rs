//! What a connection leaves behind, what is asked of it while it lives, and what is known of it.

use super::*;
use crate::{Congestion, Failure, TcpOptions};
use std::time::Duration;

/// We close first, the peer follows, the user is gone: a tombstone is left.
fn buried(bench: &mut Bench) -> Peer {
    bench.stack.listen(PORT, 4).expect("a free port");
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.close(peer.socket).expect("known");
    assert!(bench.segments()[0].flags.fin);
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment().fin());
    peer.seq = peer.seq.wrapping_add(1);
    let last = bench.segments().pop().expect("the last acknowledgment");
    assert_eq!((last.ack, last.seq), (peer.seq, peer.ack));
    let census = bench.stack.census();
    assert_eq!(
        (census.flows, census.keys, census.timers, census.tombstones),
        (0, 0, 0, 1),
        "no socket, no rings"
    );
    peer
}

#[test]
fn a_late_fin_is_acknowledged_again_without_a_socket() {
    let mut bench = Bench::new(|_| {});
    let mut peer = buried(&mut bench);
    peer.seq = peer.seq.wrapping_sub(1);
    bench.feed(&peer.segment().fin());
    let again = bench.segments();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].ack, again[0].seq), (peer.seq.wrapping_add(1), peer.ack));
    assert!(again[0].flags.ack && !again[0].flags.rst);
    bench.feed(&peer.segment().rst());
    assert!(bench.segments().is_empty(), "RFC 1337: a reset ends no TIME-WAIT");
    assert_eq!(bench.stack.counters().rx_time_wait, 2);
    bench.wait_ms(61_000);
    bench.feed(&peer.segment().fin());
    assert!(bench.segments()[0].flags.rst, "a minute later nobody remembers");
}

/// The peer's client opens the same 4-tuple again (it reuses its port).
#[test]
fn a_valid_new_syn_opens_a_connection_over_a_tombstone() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(PORT, 4).expect("a free port");
    let dial = |seq: u32| Segment::new(THEM.octets(), 1234, US.octets(), PORT).seq(seq);
    bench.feed(&dial(100).syn(1460, None));
    let first = bench.segments().pop().expect("SYN-ACK");
    bench.feed(&dial(101).ack(first.seq.wrapping_add(1)));
    let socket = bench.stack.accept(listener).expect("a connection");
    bench.stack.close(socket).expect("known");
    bench.segments();
    bench.feed(&dial(101).ack(first.seq.wrapping_add(2)).fin());
    bench.segments();
    assert_eq!(bench.stack.flows.len(), 0);
    bench.feed(&dial(90).syn(1460, None));
    let answer = bench.segments().pop().expect("an answer");
    assert!(!answer.flags.syn && answer.flags.ack, "an old SYN is no new connection");
    bench.feed(&dial(5_000).syn(1460, None));
    let second = bench.segments().pop().expect("SYN-ACK");
    assert!(second.flags.syn && second.flags.ack && second.ack == 5_001);
    let distance = second.seq.wrapping_sub(first.seq.wrapping_add(2)) as i32;
    assert!(distance > 65_535, "behind everything of the connection before: {distance}");
}

#[test]
fn tombstones_are_bounded_and_ports_in_them_are_not_used() {
    let mut bench = Bench::new(|config| config.time_waits_max = 1);
    buried(&mut bench);
    assert_eq!(bench.stack.counters().time_waits_evicted, 0);
    let peer = bench.connected(SocketOptions::default());
    bench.stack.close(peer.socket).expect("known");
    bench.segments();
    let ack = peer.ack.wrapping_add(1);
    bench.feed(&Peer { ack, ..peer }.segment().fin());
    bench.segments();
    assert_eq!(bench.stack.counters().time_waits_evicted, 1);
}

#[test]
fn keep_alive_probes_a_silent_peer_and_gives_it_up() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let options = TcpOptions { keep_alive: Some(Duration::from_secs(1)), ..TcpOptions::default() };
    bench.stack.set_options(peer.socket, options).expect("known");
    let probes = bench.wait_ms(3_500);
    assert!((3..=4).contains(&probes.len()), "{probes:?}");
    assert!(probes.iter().all(|probe| probe.seq == peer.ack.wrapping_sub(1)));
    bench.feed(&peer.segment());
    bench.wait_ms(9_000);
    assert_eq!(bench.status(peer.socket).phase, Phase::Established, "it has answered");
    let rest = bench.wait_ms(3_000);
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::TimedOut));
    assert!(rest.last().is_some_and(|segment| segment.flags.rst), "the peer is told");
}

#[test]
fn the_user_timeout_is_the_sockets_own() {
    let mut bench = Bench::new(|_| {});
    let tcp = TcpOptions { user_timeout: Some(Duration::from_secs(2)), ..TcpOptions::default() };
    let peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
    bench.wait_ms(600_000);
    assert_eq!(bench.status(peer.socket).phase, Phase::Established, "nothing is waited for");
    bench.stack.send(peer.socket, b"hello?").expect("connected");
    bench.wait_ms(1_900);
    assert_eq!(bench.status(peer.socket).failure, None);
    let last = bench.wait_ms(200);
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::TimedOut));
    assert!(last.iter().any(|segment| segment.flags.rst), "the peer is told: {last:?}");
}

/// Nagle: the second small write waits for the acknowledgment of the first.
#[test]
fn delay_is_an_option() {
    for (nodelay, segments) in [(true, 2), (false, 1)] {
        let mut bench = Bench::new(|_| {});
        let tcp = TcpOptions { nodelay, congestion: Congestion::None, ..TcpOptions::default() };
        let peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
        let mut sent = 0;
        for _ in 0..2 {
            bench.stack.send(peer.socket, b"small").expect("connected");
            sent += bench.segments().len();
        }
        assert_eq!(sent, segments, "nodelay {nodelay}");
    }
}

#[test]
fn the_meter_sees_times_bytes_and_repetitions() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 1_000]).expect("connected");
    bench.segments();
    let info = bench.stack.info(peer.socket).expect("known");
    assert_eq!((info.bytes_sent, info.bytes_acknowledged, info.bytes_in_flight), (1_000, 0, 1_000));
    bench.now_us += 7_000;
    peer.ack = peer.ack.wrapping_add(1_000);
    bench.feed(&peer.segment().payload(b"answer"));
    let info = bench.stack.info(peer.socket).expect("known");
    assert_eq!((info.bytes_acknowledged, info.bytes_received, info.bytes_in_flight), (1_000, 6, 0));
    assert_eq!(info.rtt_min, Some(Duration::ZERO), "the handshake, at once");
    assert!(info.rtt.is_some_and(|rtt| rtt > Duration::ZERO && rtt < Duration::from_millis(7)), "{info:?}");
    assert_eq!(info.retransmits, 0);
    bench.stack.send(peer.socket, &[1; 100]).expect("connected");
    bench.wait_ms(1_500);
    let info = bench.stack.info(peer.socket).expect("known");
    assert!(info.retransmits >= 1, "{info:?}");
    assert!(info.segments_sent >= 5 && info.segments_received == 2, "{info:?}");
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let mut bench = Bench::new(|_| {});
    let held = bench.connected(SocketOptions::default());
    let before = bench.stack.census();
    for n in 0..1_000 {
        let mut peer = bench.connected(SocketOptions::default());
        bench.stack.send(peer.socket, b"data").expect("connected");
        bench.segments();
        if n % 3 == 0 {
            bench.stack.abort(peer.socket).expect("connected");
        } else {
            bench.stack.shutdown(peer.socket).expect("connected");
            bench.segments();
            peer.ack = peer.ack.wrapping_add(5);
            bench.feed(&peer.segment().fin());
        }
        bench.segments();
        bench.stack.close(peer.socket).expect("known");
        bench.segments();
    }
    bench.wait_ms(120_000);
    assert_eq!(bench.stack.census(), before);
    assert_eq!(bench.status(held.socket).phase, Phase::Established);
}

/// Segments out of order are acknowledged at once; a burst of more of them than replies may wait loses
/// acknowledgments, which is counted under its own name.
#[test]
fn acknowledgments_beyond_the_replies_that_may_wait_are_counted_as_such() {
    let mut bench = Bench::new(|config| config.replies_max = 4);
    let peer = bench.connected(SocketOptions::default());
    let ahead = Peer { seq: peer.seq.wrapping_add(10_000), ..peer };
    for n in 0..9 {
        let segment = Peer { seq: ahead.seq.wrapping_add(n * 100), ..ahead };
        bench.feed(&segment.segment().payload(&[1; 100]));
    }
    let counters = bench.stack.counters();
    assert_eq!((counters.tx_replies_full, counters.tx_unresolved), (5, 0));
    assert_eq!(bench.segments().len(), 4);
}

impl Bench {
    /// Where the segments that leave now end.
    fn ends(&mut self) -> Vec<u32> {
        self.segments().iter().map(|segment| segment.seq.wrapping_add(segment.seq_len())).collect()
    }
}

/// What smoltcp says of itself when it is printed; `None` while it has no controller.
fn window_of_smoltcp(bench: &Bench, socket: crate::SocketId) -> Option<u32> {
    let index = bench.stack.flows.index(socket.0).expect("known");
    let printed = format!("{:?}", bench.stack.flows.at(index).expect("known").socket());
    let (_, controller) = printed.split_once("congestion_controller: ").expect("it has one");
    if controller.starts_with("None") {
        return None;
    }
    let (_, rest) = controller.split_once(" cwnd: ").expect("it has a window");
    rest.split(',').next().expect("a number").parse().ok()
}

/// Slow start, a fast retransmit and a retransmission timeout, as long as the program has more to send.
#[test]
fn the_congestion_window_is_what_smoltcp_keeps_to_itself() {
    for congestion in [Congestion::Reno, Congestion::Cubic] {
        let mut bench = Bench::new(|_| {});
        let tcp = TcpOptions { congestion, ..TcpOptions::default() };
        let ring = crate::RingLen::at_least(1 << 20);
        let mut peer = bench.connected(SocketOptions { tcp, tx_ring: ring, ..SocketOptions::default() });
        let (mut compared, mut seen) = (0, std::collections::BTreeSet::new());
        let mut highest = peer.ack;
        for round in 0..72 {
            while bench.stack.send(peer.socket, &[7; 65_536]).expect("connected") > 0 {}
            // The bench has fewer pages than a large window.
            let mut ends: Vec<u32> = (0..8).flat_map(|_| bench.ends()).collect();
            let behind = |end: &u32, start: u32| end.wrapping_sub(start) as i32 > 0;
            if ends.iter().any(|end| behind(end, highest)) {
                let info = bench.stack.info(peer.socket).expect("known");
                let window = info.congestion_window;
                match window_of_smoltcp(&bench, peer.socket) {
                    // The window is ours until the first loss, and all of it is used.
                    None => {
                        let room = window.expect("sent").checked_sub(info.bytes_in_flight).expect("kept to");
                        assert!(round < 6 && room < 1_460, "{congestion:?} round {round}: {info:?}");
                    }
                    truth => assert_eq!(window, truth, "{congestion:?} round {round}"),
                }
                seen.insert(window);
                compared += 1;
                highest = ends.iter().copied().max_by_key(|end| end.wrapping_sub(peer.ack)).expect("some");
            }
            bench.now_us += 3_000;
            match round % 12 {
                // The first of the flight is lost: the others show as repeated acknowledgments.
                5 => (0..4).for_each(|_| bench.feed(&peer.segment())),
                // All of it is lost, and what is sent again before the timeout, too.
                9 => {
                    let last = bench.wait_ms(1_500).pop().expect("a retransmission");
                    ends = vec![last.seq.wrapping_add(last.seq_len())];
                    highest = *ends.last().expect("a retransmission");
                }
                _ => ends.push(highest),
            }
            if round % 12 != 5 {
                for end in ends {
                    if behind(&end, peer.ack) {
                        peer.ack = end;
                        bench.feed(&peer.segment());
                    }
                }
            }
        }
        assert!(compared > 30 && seen.len() > 20, "{congestion:?}: {compared} rounds, windows {seen:?}");
    }
}
