//! What is nobody's, malformed, or for other protocols.

use super::*;
use crate::ipv4;

fn echo(len: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 8 + len];
    frame[..6].copy_from_slice(&OUR_MAC.0);
    frame[6..12].copy_from_slice(&THEIR_MAC.0);
    frame[12] = 8;
    for (n, byte) in frame[42..].iter_mut().enumerate() {
        *byte = n as u8;
    }
    frame[34..42].copy_from_slice(&[8, 0, 0, 0, 0x12, 0x34, 0, 7]);
    let checksum = !sum::folded(&[&frame[34..]]);
    frame[36..38].copy_from_slice(&checksum.to_be_bytes());
    ipv4::write_header(&mut frame[14..], THEM, US, 1);
    frame
}

#[test]
fn echoes_of_every_size_come_back() {
    for len in [0, 1, 56, 72, 86, 87, 500, 1471, 1472] {
        let mut bench = Bench::new(|_| {});
        let request = echo(len);
        bench.feed_frame(&request);
        let replies = bench.frames();
        assert_eq!(replies.len(), 1, "{len}");
        let reply = &replies[0];
        assert_eq!((&reply[..6], &reply[6..12]), (&THEIR_MAC.0[..], &OUR_MAC.0[..]));
        assert_eq!((&reply[26..30], &reply[30..34]), (&US.octets()[..], &THEM.octets()[..]));
        assert_eq!(reply[34..36], [0, 0]);
        assert_eq!(reply[38..], request[38..], "{len}");
    }
}

#[test]
fn echoes_are_limited_and_checked() {
    let mut bench = Bench::new(|config| config.echoes_per_s = 50);
    let mut bad = echo(10);
    bad[50] ^= 1;
    bench.feed_frame(&bad);
    assert_eq!(bench.stack.counters().drop_icmp_malformed, 1);
    let mut replies = 0;
    for _ in 0..1_000 {
        bench.feed_frame(&echo(10));
        replies += bench.frames().len();
        bench.now_us += 1_000;
    }
    assert!((50..=56).contains(&replies), "{replies}");
    assert_eq!(bench.stack.counters().drop_icmp_limit, 1_000 - replies as u64);
}

#[test]
fn strangers_get_the_reset_of_the_rfc() {
    let mut bench = Bench::new(|_| {});
    let from = Segment::new(THEM.octets(), 7, US.octets(), 9);
    bench.feed(&from.clone().seq(100).ack(4_000).payload(b"abc"));
    let reset = bench.segments().pop().expect("a reset");
    assert!(reset.flags.rst && !reset.flags.ack && reset.seq == 4_000, "{reset:?}");
    assert_eq!((reset.source_port, reset.destination_port), (9, 7));
    bench.feed(&from.clone().seq(100).syn(1460, None));
    let reset = bench.segments().pop().expect("a reset");
    assert!(reset.flags.rst && reset.flags.ack && reset.seq == 0 && reset.ack == 101, "{reset:?}");
    bench.feed(&from.rst());
    assert!(bench.segments().is_empty(), "never a reset for a reset");
}

#[test]
fn resets_are_limited() {
    let mut bench = Bench::new(|config| config.resets_per_s = 10);
    for port in 1..500 {
        bench.feed(&Segment::new(THEM.octets(), port, US.octets(), 9).ack(1));
    }
    assert!(bench.segments().len() <= 2);
    assert_eq!(bench.stack.counters().drop_tcp_unknown, 499);
    assert!(bench.stack.counters().tx_reset_limited >= 497);
}

#[test]
fn answers_that_nobody_fetches_stay_bounded() {
    let mut bench = Bench::new(|config| config.replies_max = 16);
    for _ in 0..100 {
        bench.feed_frame(&arp([0xff; 6], 1, (THEIR_MAC.0, THEM.octets()), ([0; 6], US.octets())));
    }
    assert_eq!(bench.packets(1_000).len(), 16);
    assert_eq!(bench.stack.counters().tx_replies_full, 84);
}

#[test]
fn what_is_not_for_us_falls_into_its_own_counter() {
    let mut bench = Bench::new(|_| {});
    let good = Segment::new(THEM.octets(), 7, US.octets(), 9).ack(1);
    let frame = good.ethernet(THEIR_MAC.0, OUR_MAC.0);
    let mut with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = frame.clone();
        change(&mut frame);
        bench.feed_frame(&frame);
        *bench.stack.counters()
    };
    assert_eq!(with(&|f| f.truncate(13)).drop_ether_length, 1);
    assert_eq!(with(&|f| f[5] = 9).drop_ether_address, 1);
    assert_eq!(with(&|f| f[12] = 0x86).drop_ether_type, 1);
    assert_eq!(with(&|f| f.truncate(40)).drop_ip_header, 1);
    assert_eq!(with(&|f| f[24] ^= 0xff).drop_ip_checksum, 1);
    assert_eq!(with(&|f| f[..6].fill(0xff)).drop_ip_destination, 1, "unicast in broadcast");
    assert_eq!(with(&|f| f[50] ^= 0xff).drop_tcp_checksum, 1);
    let mut other = |source: [u8; 4], destination: [u8; 4]| {
        let segment = Segment { source, destination, ..good.clone() };
        bench.feed(&segment);
        *bench.stack.counters()
    };
    assert_eq!(other(THEM.octets(), [10, 0, 0, 3]).drop_ip_destination, 2);
    assert_eq!(other([127, 0, 0, 1], US.octets()).drop_ip_source, 1);
    assert_eq!(other([10, 0, 0, 255], US.octets()).drop_ip_source, 2);
    assert_eq!(other(US.octets(), US.octets()).drop_ip_source, 3);
    assert!(bench.frames().is_empty(), "nothing of that is answered");
}

#[test]
fn padding_is_not_data() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let mut frame = peer.segment().payload(b"ab").ethernet(THEIR_MAC.0, OUR_MAC.0);
    frame.resize(60, 0xee);
    bench.feed_frame(&frame);
    assert_eq!(bench.status(peer.socket).readable, 2);
}
