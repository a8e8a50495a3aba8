//! UDP, fragments both ways, and what ICMP says about either.

use super::*;
use crate::{BindError, NetworkError, UdpError, UdpId, UdpSendError};
use naio_testkit::Udp;
use naio_testkit::packets::{cut, ip};
use std::net::IpAddr;

const DNS: u16 = 53;

fn them(port: u16) -> SocketAddr {
    (THEM, port).into()
}

fn us(port: u16) -> SocketAddr {
    (US, port).into()
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 / 7) as u8).collect()
}

fn datagram(to: u16, bytes: &[u8]) -> Vec<u8> {
    Udp::new(them(DNS), us(to), bytes).ethernet(THEIR_MAC.0, OUR_MAC.0)
}

fn recv(bench: &mut Bench, socket: UdpId) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 70_000];
    let datagram = bench.stack.udp_recv(socket, &mut buffer)?;
    assert_eq!((datagram.from, datagram.truncated), (them(DNS), 0));
    buffer.truncate(datagram.len);
    Some(buffer)
}

/// An ICMP message about `about`, a frame of ours.
fn icmp_about(kind: u8, code: u8, about: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&about[14..about.len().min(14 + 28)]);
    let checksum = !sum::folded(&[&message]);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    ip((THEIR_MAC.0, OUR_MAC.0), (THEM.into(), US.into()), (1, 64), &message)
}

#[test]
fn datagrams_of_every_size_arrive_and_leave_whole() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let socket = bench.stack.udp_bind(9_000).expect("free");
    for len in [0, 1, 7, 86, 87, 500, 1_471, 1_472] {
        bench.feed_frame(&datagram(9_000, &payload(len)));
        assert_eq!(recv(&mut bench, socket), Some(payload(len)));
        bench.stack.udp_send(socket, them(DNS), &payload(len)).expect("a neighbour");
        let sent: Vec<_> = bench.frames().iter().filter_map(|f| Udp::parse(f)).collect();
        assert_eq!(sent, [Udp::new(us(9_000), them(DNS), &payload(len))]);
    }
    assert_eq!(recv(&mut bench, socket), None);
    assert_eq!((bench.stack.counters().rx_udp, bench.stack.counters().tx_udp), (8, 8));
    assert_eq!(bench.stack.next_deadline(), None);
}

#[test]
fn readiness_names_a_socket_once_and_never_a_closed_one() {
    let mut bench = Bench::new(|_| {});
    let [a, b] = [1, 2].map(|port| bench.stack.udp_bind(port).expect("free"));
    bench.feed_frame(&datagram(2, b"x"));
    bench.feed_frame(&datagram(1, b"x"));
    bench.feed_frame(&datagram(2, b"y"));
    let mut ready = Vec::new();
    bench.stack.udp_ready(&mut ready);
    assert_eq!(ready, [b, a]);
    ready.clear();
    bench.stack.udp_ready(&mut ready);
    assert!(ready.is_empty());
    bench.feed_frame(&datagram(1, b"z"));
    bench.stack.udp_close(a).expect("open");
    let again = bench.stack.udp_bind(1).expect("free again");
    bench.stack.udp_ready(&mut ready);
    assert!(ready.is_empty(), "{ready:?}");
    assert_eq!(bench.stack.udp_recv(a, &mut []), None, "a stale name");
    assert_eq!(bench.stack.udp_waiting(again), Some(0));
    assert_eq!(bench.stack.udp_send(a, them(1), b""), Err(UdpSendError::Stale));
    assert!(bench.stack.udp_close(a).is_err());
}

#[test]
fn ports_are_exclusive_and_ephemeral_ones_differ() {
    let mut bench = Bench::new(|config| config.udp_sockets_max = 3);
    let [a, b] = [0, 0].map(|port| bench.stack.udp_bind(port).expect("free"));
    let [pa, pb] = [a, b].map(|socket| bench.stack.udp_port(socket).expect("open"));
    assert!(pa != pb && pa >= 32_768 && pb >= 32_768);
    assert_eq!(bench.stack.udp_bind(pa), Err(BindError::Port(pa)));
    bench.stack.udp_bind(7).expect("the third");
    assert_eq!(bench.stack.udp_bind(8), Err(BindError::TooMany));
}

#[test]
fn a_short_buffer_loses_the_rest_and_says_so() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.udp_bind(9).expect("free");
    bench.feed_burst(&[datagram(9, b"first one"), datagram(9, b"second")]);
    let mut buffer = [0; 5];
    let datagram = bench.stack.udp_recv(socket, &mut buffer).expect("arrived");
    assert_eq!((&buffer, datagram.len, datagram.truncated), (b"first", 5, 4));
    assert_eq!(recv(&mut bench, socket).as_deref(), Some(&b"second"[..]));
}

#[test]
fn a_full_queue_drops_the_newest() {
    let mut bench = Bench::new(|config| config.udp_queue_bytes = 10 * (100 + crate::DATAGRAM_COST));
    let socket = bench.stack.udp_bind(9).expect("free");
    for n in 0..30 {
        bench.feed_frame(&datagram(9, &[n; 100]));
    }
    assert_eq!(bench.stack.counters().drop_udp_full, 20);
    let got: Vec<u8> = std::iter::from_fn(|| recv(&mut bench, socket)).map(|bytes| bytes[0]).collect();
    assert_eq!(got, (0..10).collect::<Vec<u8>>());
    // Around the end of the ring.
    for n in 0..200 {
        bench.feed_frame(&datagram(9, &payload(n)));
        assert_eq!(recv(&mut bench, socket), Some(payload(n)));
    }
}

#[test]
fn checksums_are_looked_at_and_zero_means_none() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.udp_bind(9).expect("free");
    let mut frame = datagram(9, b"text");
    frame[45] ^= 1;
    bench.feed_frame(&frame);
    assert_eq!(bench.stack.counters().drop_udp_checksum, 1);
    frame[40..42].fill(0);
    bench.feed_frame(&frame);
    assert!(recv(&mut bench, socket).is_some());
    // A length beyond the packet, and one shorter than the header.
    for len in [200, 7] {
        frame[39] = len;
        bench.feed_frame(&frame);
    }
    assert_eq!(bench.stack.counters().drop_udp_header, 2);
    // Shorter than the packet: what is behind it is nobody's.
    frame[39] = 10;
    bench.feed_frame(&frame);
    assert_eq!(recv(&mut bench, socket).map(|bytes| bytes.len()), Some(2));
}

#[test]
fn a_port_that_nobody_has_is_unreachable_within_limits() {
    let mut bench = Bench::new(|config| config.errors_per_s = 20);
    bench.feed_frame(&datagram(77, &payload(1_000)));
    let errors = bench.frames();
    assert_eq!(errors.len(), 1);
    let error = &errors[0];
    assert_eq!((&error[..6], error[23], &error[30..34]), (&THEIR_MAC.0[..], 1, &THEM.octets()[..]));
    assert_eq!(error[34..36], [3, 3]);
    assert_eq!(error.len(), 14 + 576);
    assert_eq!(error[42..], datagram(77, &payload(1_000))[14..14 + 576 - 28]);
    for _ in 0..50 {
        bench.feed_frame(&datagram(77, b""));
    }
    assert_eq!(bench.frames().len(), 1, "a burst of two, one of them used");
    assert_eq!(bench.stack.counters().tx_icmp_error_limited, 49);
    // Never for what was meant for everybody.
    bench.now_us += 10_000_000;
    let everybody = Udp::new(them(DNS), (Ipv4Addr::BROADCAST, 77), b"x").ethernet(THEIR_MAC.0, [0xff; 6]);
    bench.feed_frame(&everybody);
    assert!(bench.frames().is_empty());
}

#[test]
fn broadcast_reaches_sockets_and_nothing_else() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.udp_bind(68).expect("free");
    for to in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 0, 255)] {
        bench.feed_frame(&Udp::new(them(DNS), (to, 68), b"all").ethernet(THEIR_MAC.0, [0xff; 6]));
        assert!(recv(&mut bench, socket).is_some(), "{to}");
        bench.stack.udp_send(socket, (to, 67).into(), b"who").expect("broadcast");
        let frames = bench.frames();
        assert_eq!((frames.len(), &frames[0][..6]), (1, &[0xff; 6][..]));
    }
    let ping = ip((THEIR_MAC.0, [0xff; 6]), (THEM.into(), Ipv4Addr::BROADCAST.into()), (1, 64), &[8; 8]);
    bench.feed_frame(&ping);
    assert_eq!(bench.stack.counters().drop_ip_destination, 1);
}

#[test]
fn what_cannot_be_sent_says_why() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.udp_bind(9).expect("free");
    let far: SocketAddr = ([8, 8, 8, 8], 53).into();
    assert_eq!(bench.stack.udp_send(socket, far, b""), Err(UdpSendError::NoRoute(far)));
    for to in ["10.0.0.2:0", "127.0.0.1:5", "10.0.0.1:5", "0.0.0.0:5", "[fe80::1]:5"] {
        let to: SocketAddr = to.parse().expect("an address");
        assert_eq!(bench.stack.udp_send(socket, to, b""), Err(UdpSendError::Address(to)), "{to}");
    }
    let long = vec![0; 65_508];
    assert_eq!(bench.stack.udp_send(socket, them(5), &long), Err(UdpSendError::TooLong(65_508)));
}

#[test]
fn datagrams_wait_for_the_next_hop_in_order_and_boundedly() {
    let mut bench = Bench::new(|config| config.unresolved_bytes_max = 10_000);
    let socket = bench.stack.udp_bind(9).expect("free");
    let mut taken = 0;
    while bench.stack.udp_send(socket, them(DNS), &[taken; 1_000]).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 9);
    assert_eq!(bench.stack.counters().tx_udp_busy, 1);
    assert!(bench.frames().iter().all(|frame| frame[12..14] == [8, 6]), "only a question");
    bench.answer_arp();
    let sent: Vec<u8> = bench.frames().iter().filter_map(|f| Udp::parse(f)).map(|u| u.payload[0]).collect();
    assert_eq!(sent, (0..9).collect::<Vec<u8>>());
    bench.wait_ms(2_000);
    assert_eq!(bench.stack.next_deadline(), None);
}

#[test]
fn nobody_at_the_next_hop_is_loss_and_then_an_error() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.udp_bind(9).expect("free");
    bench.stack.udp_send(socket, them(DNS), b"lost").expect("it waits");
    bench.wait_ms(3_500);
    assert_eq!(bench.stack.counters().tx_unresolved, 1);
    assert_eq!(bench.stack.udp_send(socket, them(DNS), b"x"), Err(UdpSendError::Unreachable));
}

#[test]
fn datagrams_leave_pages_to_tcp_and_come_again() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let socket = bench.stack.udp_bind(9).expect("free");
    let mut taken = 0;
    while bench.stack.udp_send(socket, them(DNS), &[0; 1_000]).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 48, "three quarters of the pages");
    assert_eq!(bench.stack.next_deadline(), Some(bench.now()));
    assert_eq!(bench.frames().len(), 48);
    bench.stack.udp_send(socket, them(DNS), &[0; 1_000]).expect("pages are back");
}

#[test]
fn large_datagrams_cross_in_fragments_both_ways() {
    for len in [1_473, 3_000, 20_000, 65_507] {
        let mut bench = Bench::new(|_| {});
        bench.introduce();
        let socket = bench.stack.udp_bind(9).expect("free");
        bench.stack.udp_send(socket, them(DNS), &payload(len)).expect("a neighbour");
        let frames = bench.frames();
        assert_eq!(frames.len(), (len + 8).div_ceil(1_480));
        assert_eq!(bench.stack.counters().tx_fragments, frames.len() as u64);
        // They are whole again in a stack that swaps the addresses: our own, as the other end.
        let mut other = Bench::new(|config| config.address = THEM);
        let receiver = other.stack.udp_bind(DNS).expect("free");
        for frame in frames.iter().rev() {
            let mut frame = frame.clone();
            frame[..6].copy_from_slice(&OUR_MAC.0);
            other.feed_frame(&frame);
        }
        let mut buffer = vec![0; 70_000];
        let got = other.stack.udp_recv(receiver, &mut buffer).expect("whole");
        assert_eq!((got.from, &buffer[..got.len]), (us(9), &payload(len)[..]));
        assert_eq!(other.stack.counters().rx_ip_fragment, frames.len() as u64 - 1);
        assert_eq!(other.stack.next_deadline(), None);
        // And what somebody else has cut.
        let whole = datagram(9, &payload(len.min(20_000)));
        for piece in cut(&whole, 1_480, 77) {
            bench.feed_frame(&piece);
        }
        assert_eq!(recv(&mut bench, socket), Some(payload(len.min(20_000))));
    }
}

#[test]
fn fragments_of_tcp_and_of_pings_are_taken_too() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    let segment = peer.segment().payload(&payload(1_000)).ethernet(THEIR_MAC.0, OUR_MAC.0);
    bench.feed_burst(&cut(&segment, 512, 5));
    assert_eq!(bench.status(peer.socket).readable, 1_000);
    peer.seq = peer.seq.wrapping_add(1_000);
    bench.feed(&peer.segment().payload(b"more"));
    assert_eq!(bench.status(peer.socket).readable, 1_004);
    bench.frames();
    let mut ping = vec![8, 0, 0, 0, 1, 2, 3, 4];
    ping.extend(payload(4_000));
    let checksum = !sum::folded(&[&ping]);
    ping[2..4].copy_from_slice(&checksum.to_be_bytes());
    let frame = ip((THEIR_MAC.0, OUR_MAC.0), (THEM.into(), US.into()), (1, 64), &ping);
    bench.feed_burst(&cut(&frame, 1_480, 6));
    let answer: Vec<_> = bench.frames();
    assert_eq!(answer.len(), 3, "the answer is cut as well");
    let answer: Vec<u8> = answer.iter().flat_map(|frame| frame[34..].to_vec()).collect();
    assert_eq!((answer[0], &answer[4..], sum::folded(&[&answer])), (0, &ping[4..], 0xffff));
}

#[test]
fn a_refusal_reaches_the_socket_that_sent() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let socket = bench.stack.udp_bind(9).expect("free");
    bench.stack.udp_send(socket, them(DNS), b"hello").expect("a neighbour");
    let sent = bench.frames().pop().expect("sent");
    for (kind, code, error) in [
        (3, 3, NetworkError::Refused),
        (3, 1, NetworkError::Unreachable),
        (3, 13, NetworkError::Prohibited),
        (11, 0, NetworkError::TimeExceeded),
    ] {
        bench.feed_frame(&icmp_about(kind, code, &sent));
        let mut ready = Vec::new();
        bench.stack.udp_ready(&mut ready);
        assert_eq!(ready, [socket]);
        assert_eq!(bench.stack.udp_take_error(socket), Some(UdpError { to: them(DNS), error }));
        assert_eq!(bench.stack.udp_take_error(socket), None);
    }
    for _ in 0..40 {
        bench.feed_frame(&icmp_about(3, 3, &sent));
    }
    assert_eq!(bench.stack.counters().udp_errors_forgotten, 24);
    bench.feed_frame(&icmp_about(4, 0, &sent));
    bench.feed_frame(&icmp_about(5, 1, &sent));
    assert_eq!(bench.stack.counters().drop_icmp_ignored, 2);
    bench.stack.udp_close(socket).expect("open");
    bench.feed_frame(&icmp_about(3, 3, &sent));
    assert_eq!(bench.stack.counters().drop_icmp_unmatched, 1);
}

#[test]
fn errors_end_connections_only_while_they_open_and_only_if_they_quote_the_syn() {
    for (code, failure) in [(3, crate::Failure::Refused), (1, crate::Failure::Unreachable)] {
        let mut bench = Bench::new(|_| {});
        let (socket, syn) = bench.connecting(SocketOptions::default());
        let frame = syn.ethernet(OUR_MAC.0, THEIR_MAC.0);
        let blind = Segment { seq: syn.seq.wrapping_add(1), ..syn.clone() };
        bench.feed_frame(&icmp_about(3, code, &blind.ethernet(OUR_MAC.0, THEIR_MAC.0)));
        assert_eq!(bench.status(socket).phase, Phase::Connecting);
        assert_eq!(bench.stack.counters().drop_icmp_unmatched, 1);
        bench.feed_frame(&icmp_about(11, 0, &frame));
        assert_eq!(bench.status(socket).phase, Phase::Connecting);
        assert_eq!(bench.stack.network_error(socket), Some(NetworkError::TimeExceeded));
        bench.feed_frame(&icmp_about(3, code, &frame));
        let status = bench.status(socket);
        assert_eq!((status.phase, status.failure), (Phase::Closed, Some(failure)));
        let mut ready = Vec::new();
        bench.stack.ready(&mut ready);
        assert_eq!(ready, [socket]);
    }
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, b"hello").expect("connected");
    let sent = bench.segments().pop().expect("data");
    bench.feed_frame(&icmp_about(3, 1, &sent.ethernet(OUR_MAC.0, THEIR_MAC.0)));
    assert_eq!(bench.status(peer.socket).phase, Phase::Established);
    assert_eq!(bench.stack.network_error(peer.socket), Some(NetworkError::Unreachable));
    let past = Segment { seq: sent.seq.wrapping_sub(1), ..sent };
    bench.feed_frame(&icmp_about(3, 3, &past.ethernet(OUR_MAC.0, THEIR_MAC.0)));
    assert_eq!(bench.stack.network_error(peer.socket), Some(NetworkError::Unreachable));
    // Nothing more is heard: the reason is what the network had said.
    bench.wait_ms(400_000);
    assert_eq!(bench.status(peer.socket).failure, Some(crate::Failure::Unreachable));
}

#[test]
fn an_error_about_somebody_elses_packet_is_nobodys() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.udp_bind(9).expect("free");
    let other: IpAddr = [10, 0, 0, 3].into();
    let foreign = Udp::new((other, 9), them(DNS), b"12345678").ethernet(OUR_MAC.0, THEIR_MAC.0);
    bench.feed_frame(&icmp_about(3, 3, &foreign));
    assert_eq!(bench.stack.udp_take_error(socket), None);
    assert_eq!(bench.stack.counters().drop_icmp_malformed, 1);
}
