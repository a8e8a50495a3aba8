//! IPv6: finding neighbours and routers, and then everything that IPv4 does.

use super::*;
use crate::{Ipv6Config, NetworkError};
use naio_testkit::Udp;
use naio_testkit::packets::ip;
use std::net::{IpAddr, Ipv6Addr};

pub(crate) const US6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub(crate) const THEM6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6: u8 = 58;

/// An ICMPv6 message in a frame, its checksum right.
pub(crate) fn icmpv6(to: [u8; 6], ends: (Ipv6Addr, Ipv6Addr), hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[2..4].fill(0);
    let len = (message.len() as u16).to_be_bytes();
    let sum = sum::folded(&[&ends.0.octets(), &ends.1.octets(), &[0, ICMPV6], &len, &message]);
    message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    ip((THEIR_MAC.0, to), (ends.0.into(), ends.1.into()), (ICMPV6, hop_limit), &message)
}

fn neighbor(kind: u8, flags: u8, target: Ipv6Addr, option: u8) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    if option > 0 {
        message.extend([option, 1]);
        message.extend(THEIR_MAC.0);
    }
    message
}

pub(crate) fn six(tune: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::new(|config| {
        config.ipv6 = Some(Ipv6Config { addresses: vec![(US6, 64)], ..Ipv6Config::default() });
        tune(config);
    });
    bench.wait_ms(3_000);
    assert!(bench.stack.addresses().contains(&US6.into()));
    bench
}

/// The peer asks for us, so that it is known.
pub(crate) fn introduce(bench: &mut Bench) -> Vec<Vec<u8>> {
    let [.., a, b, c] = US6.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let question = neighbor(135, 0, US6, 1);
    bench.feed_frame(&icmpv6([0x33, 0x33, 0xff, a, b, c], (THEM6, group), 255, &question));
    bench.frames()
}

#[test]
fn a_neighbour_that_asks_is_answered_and_known() {
    let mut bench = six(|_| {});
    let answers = introduce(&mut bench);
    assert_eq!(answers.len(), 1);
    let answer = &answers[0];
    assert_eq!((&answer[..6], answer[21], &answer[38..54]), (&THEIR_MAC.0[..], 255, &THEM6.octets()[..]));
    assert_eq!((answer[54], answer[58]), (136, 0x60));
    assert_eq!((&answer[62..78], &answer[80..86]), (&US6.octets()[..], &OUR_MAC.0[..]));
    let socket = bench.stack.udp_bind(9).expect("free");
    bench.stack.udp_send(socket, (THEM6, 53).into(), b"hello").expect("known");
    assert_eq!(Udp::parse(&bench.frames()[0]), Some(Udp::new((US6, 9), (THEM6, 53), b"hello")));
}

#[test]
fn a_neighbour_is_asked_for_by_its_group_and_its_answer_lets_datagrams_go() {
    let mut bench = six(|_| {});
    let socket = bench.stack.udp_bind(9).expect("free");
    bench.stack.udp_send(socket, (THEM6, 53).into(), &[7; 3_000]).expect("waits");
    let frames = bench.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!((&frames[0][..6], frames[0][54]), (&[0x33, 0x33, 0xff, 0, 0, 2][..], 135));
    let answer = |hop_limit| icmpv6(OUR_MAC.0, (THEM6, US6), hop_limit, &neighbor(136, 0x60, THEM6, 2));
    bench.feed_frame(&answer(64));
    assert!(bench.frames().is_empty(), "from beyond the link");
    bench.feed_frame(&answer(255));
    let sent = bench.frames();
    assert_eq!(sent.len(), 3, "fragments");
    // The same bytes, back to a stack that is the other end.
    let mut other = six(|config| {
        config.ipv6 = Some(Ipv6Config { addresses: vec![(THEM6, 64), (US6, 128)], ..Ipv6Config::default() });
    });
    other.stack.udp_bind(53).expect("free");
    for mut frame in sent {
        frame[..6].copy_from_slice(&OUR_MAC.0);
        frame[37] = 9;
        other.feed_frame(&frame);
    }
    assert_eq!(other.stack.counters().reassembled, 1);
}

#[test]
fn datagrams_errors_and_echoes() {
    let mut bench = six(|_| {});
    introduce(&mut bench);
    let socket = bench.stack.udp_bind(9).expect("free");
    let to_us =
        |port, bytes: &[u8]| Udp::new((THEM6, 53), (US6, port), bytes).ethernet(THEIR_MAC.0, OUR_MAC.0);
    bench.feed_frame(&to_us(9, b"text"));
    let mut buffer = [0; 10];
    assert_eq!(
        bench.stack.udp_recv(socket, &mut buffer).map(|d| (d.from, d.len)),
        Some(((THEM6, 53).into(), 4))
    );
    let mut bad = to_us(9, b"text");
    bad[60] = 0;
    bad[61] = 0;
    bench.feed_frame(&bad);
    assert_eq!(bench.stack.counters().drop_udp_checksum, 1, "none is not allowed");
    bench.feed_frame(&to_us(99, &[1; 1_400]));
    let error = bench.frames().pop().expect("unreachable");
    assert_eq!((error.len(), error[54], error[55]), (14 + 1_280, 1, 4));
    // And one about a datagram of ours.
    bench.stack.udp_send(socket, (THEM6, 53).into(), b"12345").expect("known");
    let sent = bench.frames().pop().expect("sent");
    let mut message = vec![1, 4, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&sent[14..]);
    bench.feed_frame(&icmpv6(OUR_MAC.0, (THEM6, US6), 64, &message));
    assert_eq!(bench.stack.udp_take_error(socket).map(|e| e.error), Some(NetworkError::Refused));
    bench.feed_frame(&icmpv6(OUR_MAC.0, (THEM6, US6), 64, &[128, 0, 0, 0, 1, 2, 3, 4, 5]));
    let reply = bench.frames().pop().expect("an echo");
    assert_eq!((reply[54], &reply[58..63]), (129, &[1, 2, 3, 4, 5][..]));
}

#[test]
fn nobody_takes_an_address_that_somebody_has() {
    let mut bench = Bench::new(|config| {
        config.ipv6 = Some(Ipv6Config { addresses: vec![(US6, 64)], ..Ipv6Config::default() });
    });
    let first = bench.frames();
    let questions: Vec<_> = first.iter().filter(|f| f[12..14] == [0x86, 0xdd] && f[54] == 135).collect();
    assert_eq!(questions.len(), 2, "the link-local one, and ours");
    assert!(questions.iter().all(|q| q[22..38] == [0; 16]));
    bench.feed_frame(&icmpv6(
        [0x33, 0x33, 0, 0, 0, 1],
        (THEM6, ALL_NODES),
        255,
        &neighbor(136, 0x20, US6, 2),
    ));
    bench.wait_ms(3_000);
    assert!(!bench.stack.addresses().contains(&US6.into()));
    assert_eq!(bench.stack.counters().ipv6_duplicates, 1);
    let socket = bench.stack.udp_bind(9).expect("free");
    assert!(bench.stack.udp_send(socket, (THEM6, 53).into(), b"x").is_err());
}

#[test]
fn a_router_gives_an_address_and_a_way_out() {
    let mut bench = Bench::new(|config| config.ipv6 = Some(Ipv6Config::automatic()));
    bench.wait_ms(1_500);
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([1, 1]);
    message.extend(THEIR_MAC.0);
    message.extend([3, 4, 64, 0xc0, 0, 0, 0x1c, 0x20, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    message.extend(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0).octets());
    bench.feed_frame(&icmpv6([0x33, 0x33, 0, 0, 0, 1], (ROUTER, ALL_NODES), 255, &message));
    bench.wait_ms(3_000);
    let ours: Vec<_> = bench.stack.addresses();
    assert_eq!(ours.len(), 3, "{ours:?}");
    let socket = bench.stack.udp_bind(9).expect("free");
    let far = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1);
    bench.stack.udp_send(socket, (far, 53).into(), b"x").expect("by the router");
    let sent = bench.frames();
    assert_eq!((sent.len(), &sent[0][..6]), (1, &THEIR_MAC.0[..]));
    // It ends with its lifetime, and so does the way out.
    bench.wait_ms(7_300_000);
    assert_eq!(bench.stack.addresses().len(), 2);
}

#[test]
fn extension_headers_are_walked_over_within_limits() {
    let mut bench = six(|_| {});
    let socket = bench.stack.udp_bind(9).expect("free");
    let plain = Udp::new((THEM6, 53), (US6, 9), b"text").ethernet(THEIR_MAC.0, OUR_MAC.0);
    let with = |headers: &[[u8; 8]], first: u8| {
        let payload = [&headers.concat()[..], &plain[54..]].concat();
        ip((THEIR_MAC.0, OUR_MAC.0), (THEM6.into(), US6.into()), (first, 64), &payload)
    };
    let pad = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    bench.feed_frame(&with(&[pad(60), pad(17)], 0));
    assert!(bench.stack.udp_recv(socket, &mut []).is_some());
    bench.feed_frame(&with(&[[17, 0, 0, 0, 0, 0, 0, 0]], 43));
    assert!(bench.stack.udp_recv(socket, &mut []).is_some());
    let dropped = bench.stack.counters().drop_ip_extension;
    for (n, frame) in [
        with(&[[17, 0, 0, 1, 0, 0, 0, 0]], 43),
        with(&[pad(0), pad(17)], 60),
        with(&[[17, 0, 0xc2, 4, 0, 0, 0, 0]], 60),
        with(&[[17, 200, 1, 4, 0, 0, 0, 0]], 60),
        with(&[pad(60); 12], 60),
    ]
    .iter()
    .enumerate()
    {
        bench.feed_frame(frame);
        assert_eq!(bench.stack.counters().drop_ip_extension, dropped + n as u64 + 1);
    }
}

#[test]
fn groups_are_joined_reported_and_asked_about() {
    let mut bench = six(|_| {});
    assert!(bench.stack.take_multicast_change());
    assert!(!bench.stack.take_multicast_change());
    let group: IpAddr = [239, 1, 2, 3].into();
    let socket = bench.stack.udp_bind(5_353).expect("free");
    let frame = |to: [u8; 6]| Udp::new((THEM, 9), ([239, 1, 2, 3], 5_353), b"all").ethernet(THEIR_MAC.0, to);
    let station = [0x01, 0, 0x5e, 1, 2, 3];
    bench.feed_frame(&frame(station));
    assert_eq!(bench.stack.udp_waiting(socket), Some(0));
    bench.stack.join(group).expect("a group");
    assert!(bench.stack.take_multicast_change());
    assert!(bench.stack.multicast_groups().contains(&Mac(station)));
    let reports = |frames: Vec<Vec<u8>>| {
        frames.iter().filter(|f| f[23] == 2 && f[12..14] == [8, 0]).cloned().collect::<Vec<_>>()
    };
    let first = reports(bench.frames());
    assert_eq!(
        (first.len(), first[0][14], first[0][38], &first[0][50..54]),
        (1, 0x46, 0x22, &[239, 1, 2, 3][..])
    );
    assert_eq!(sum::folded(&[&first[0][38..]]), 0xffff);
    bench.now_us += 1_100_000;
    assert_eq!(reports(bench.frames()).len(), 1, "once more");
    bench.feed_frame(&frame(station));
    assert_eq!(bench.stack.udp_waiting(socket), Some(1));
    // A query is answered within its time.
    let mut query = vec![0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
    let checksum = !sum::folded(&[&query]);
    query[2..4].copy_from_slice(&checksum.to_be_bytes());
    let ends = (THEM.into(), Ipv4Addr::new(224, 0, 0, 1).into());
    bench.feed_frame(&ip((THEIR_MAC.0, [1, 0, 0x5e, 0, 0, 1]), ends, (2, 1), &query));
    bench.now_us += 1_100_000;
    assert_eq!(reports(bench.frames()).len(), 1);
    // An older router gets the older reports.
    let mut query = vec![0x11, 10, 0, 0, 0, 0, 0, 0];
    let checksum = !sum::folded(&[&query]);
    query[2..4].copy_from_slice(&checksum.to_be_bytes());
    bench.feed_frame(&ip((THEIR_MAC.0, [1, 0, 0x5e, 0, 0, 1]), ends, (2, 1), &query));
    bench.now_us += 1_100_000;
    let older = reports(bench.frames());
    assert_eq!((older.len(), older[0][38], &older[0][30..34]), (1, 0x16, &[239, 1, 2, 3][..]));
    bench.stack.leave(group).expect("joined");
    assert!(bench.stack.leave(group).is_err());
    assert_eq!(reports(bench.frames())[0][38], 0x17);
    bench.feed_frame(&frame(station));
    assert_eq!(bench.stack.udp_waiting(socket), Some(1));
    // The same for IPv6.
    let six: IpAddr = "ff15::1234".parse().expect("an address");
    bench.stack.join(six).expect("a group");
    let report = bench.frames().pop().expect("a report");
    assert_eq!((&report[..6], report[20], report[62]), (&[0x33, 0x33, 0, 0, 0, 0x16][..], 0, 143));
    let to = Udp::new((THEM6, 9), (SocketAddr::new(six, 5_353).ip(), 5_353), b"x");
    bench.feed_frame(&to.ethernet(THEIR_MAC.0, [0x33, 0x33, 0, 0, 0x12, 0x34]));
    assert_eq!(bench.stack.udp_waiting(socket), Some(2));
    assert!(bench.stack.join([10, 0, 0, 9].into()).is_err());
}

#[test]
fn an_address_that_goes_takes_its_connections_along() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    assert!(bench.stack.set_address(Ipv4Addr::new(127, 0, 0, 1), 8, None).is_err());
    assert_eq!(bench.status(peer.socket).phase, Phase::Established);
    bench.stack.set_address(Ipv4Addr::new(10, 0, 0, 77), 24, Some(THEM)).expect("a good address");
    assert_eq!(bench.status(peer.socket).failure, Some(crate::Failure::Unreachable));
    bench.feed_frame(&arp([0xff; 6], 1, (THEIR_MAC.0, THEM.octets()), ([0; 6], [10, 0, 0, 77])));
    assert!(bench.frames().iter().any(|f| f[12..14] == [8, 6] && f[28..32] == [10, 0, 0, 77]));
    bench.stack.set_address(Ipv4Addr::UNSPECIFIED, 0, None).expect("none");
    assert!(bench.stack.addresses().is_empty());
}
