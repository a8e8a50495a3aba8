//! TCP segmentation: lengths, sequence numbers, flags, checksums, odd ends, and what is refused.

mod bench;
use bench::*;
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use naio_e1000_model::{Checks, Options, Wrong};

const TSCTC: u32 = 0x40f8;
const TSCTFC: u32 = 0x40fc;

/// A header as the recipe wants it (fact sheet 3.7): lengths zero, seed without length.
fn header() -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1000, 80, 0xffff_ff00, 4000)
        .psh()
        .fin()
        .ack(77)
        .write(&mut bytes, &[])
        .expect("a packet");
    bytes[16..18].fill(0);
    bytes[18..20].copy_from_slice(&0xfffe_u16.to_be_bytes());
    bytes[24..26].fill(0);
    let sum = bytes[26..34].chunks(2).fold(6u32, |sum, w| sum + u32::from(u16::from_be_bytes([w[0], w[1]])));
    let seed = ((sum & 0xffff) + (sum >> 16)) as u16;
    bytes[50..52].copy_from_slice(&seed.to_be_bytes());
    bytes
}

fn context(payload: u64, mss: u64, header: u64) -> (u64, u64) {
    let low = 14 | 24 << 8 | 33 << 16 | (34 | 50 << 8) << 32;
    (low, DEXT | TSE | 1 << 24 | 1 << 25 | payload | header << 40 | mss << 48)
}

fn light(id: u16) -> Bench {
    Bench::new(Options { device_id: id, checks: Checks::Light, ..Options::default() }).running(BAM)
}

#[test]
fn segments_are_valid_packets_and_carry_every_byte() {
    for (mss, len) in
        [(1460, 1460 * 5), (1460, 1460 * 5 + 1), (1460, 1460 * 5 - 1), (536, 10_000), (9000, 15_000), (1, 40)]
    {
        let mut bench = light(0x100e);
        let payload: Vec<u8> = (0..len).map(|n| ((n * 13) >> 2) as u8).collect();
        let (low, high) = context(len as u64, mss as u64, 54);
        bench.post(low, high);
        let at = bench.load(0, &header());
        bench.post(at, 54 | DATA | TSE | IFCS | IXSM | TXSM);
        // The payload in odd pieces, the last of four bytes as drivers cut it.
        for (n, piece) in payload[..len - 4].chunks(3333).enumerate() {
            let at = bench.load(n + 1, piece);
            bench.post(at, piece.len() as u64 | DATA | TSE | IFCS | IXSM | TXSM);
        }
        let at = bench.load(60, &payload[len - 4..]);
        bench.post(at, 4 | DATA | TSE | IFCS | EOP | RS | IXSM | TXSM);
        bench.ring();
        check(&bench, &payload, mss);
        assert_eq!((bench.count(TSCTC), bench.count(TSCTFC)), (1, 0));
        if mss > 1 {
            bench.innocent();
        }
    }
}

fn check(bench: &Bench, payload: &[u8], mss: usize) {
    let mut got: Vec<u8> = Vec::new();
    let count = payload.len().div_ceil(mss);
    for n in 0..count {
        let sent = bench.sent().expect("a segment").bytes;
        let packet = SlicedPacket::from_ethernet(&sent).expect("a packet");
        let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net else { panic!("IPv4") };
        assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
        assert_eq!(ip.header().identification(), 0xfffe_u16.wrapping_add(n as u16));
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("TCP") };
        assert_eq!(tcp.sequence_number(), 0xffff_ff00_u32.wrapping_add(got.len() as u32));
        assert_eq!((tcp.psh(), tcp.fin()), (n + 1 == count, n + 1 == count), "segment {n}");
        let right = tcp.to_header().calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], tcp.payload());
        assert_eq!(right, Ok(tcp.checksum()), "segment {n}");
        got.extend(tcp.payload());
    }
    assert_eq!(got, payload);
    assert!(bench.sent().is_none());
}

#[test]
fn the_header_may_come_with_payload_and_in_pieces() {
    let mut bench = light(0x100e);
    let payload: Vec<u8> = (0..3000).map(|n| n as u8).collect();
    let (low, high) = context(3000, 1000, 54);
    bench.post(low, high);
    let at = bench.load(0, &header()[..34]);
    bench.post(at, 34 | DATA | TSE | IFCS | IXSM | TXSM);
    let rest: Vec<u8> = header()[34..].iter().chain(&payload).copied().collect();
    let at = bench.load(1, &rest);
    bench.post(at, rest.len() as u64 | DATA | TSE | IFCS | EOP | RS | IXSM | TXSM);
    bench.ring();
    check(&bench, &payload, 1000);
    bench.innocent();
}

#[test]
fn lengths_that_do_not_add_up_end_the_context_abnormally() {
    for payload_len in [2000_u64, 4000] {
        let mut bench = light(0x100e);
        let (low, high) = context(payload_len, 1000, 54);
        bench.post(low, high);
        let bytes: Vec<u8> = header().into_iter().chain((0..3000).map(|n| n as u8)).collect();
        let at = bench.load(0, &bytes);
        let last = bench.post(at, bytes.len() as u64 | DATA | TSE | IFCS | EOP | RS | IXSM | TXSM);
        bench.ring();
        assert_eq!(bench.count(TSCTFC), 1, "PAYLEN {payload_len}");
        assert!(bench.tx.done(last, DD).is_some(), "the ring goes on");
        assert!(matches!(bench.card.violations()[0].wrong, Wrong::BadSegmentation { .. }));
    }
}

#[test]
fn parts_without_segmentation_refuse_it() {
    for id in [0x1004, 0x1019] {
        let mut bench = light(id);
        let (low, high) = context(3000, 1000, 54);
        bench.post(low, high);
        let at = bench.load(0, &[0; 3054]);
        bench.post(at, 3054 | DATA | TSE | IFCS | EOP | RS | IXSM | TXSM);
        bench.ring();
        assert!(bench.sent().is_none());
        assert!(matches!(bench.card.violations()[0].wrong, Wrong::BadSegmentation { .. }), "{id:#x}");
    }
}

#[test]
fn udp_contexts_get_their_own_length() {
    let mut bench = light(0x100e);
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(53, 53)
        .write(&mut bytes, &[5; 2000])
        .expect("a packet");
    let low = 14 | 24 << 8 | 33 << 16 | (34 | 40 << 8) << 32;
    bench.post(low, DEXT | TSE | 1 << 25 | 2000 | 42 << 40 | 1000 << 48);
    let at = bench.load(0, &bytes);
    bench.post(at, bytes.len() as u64 | DATA | TSE | IFCS | EOP | RS | IXSM);
    bench.ring();
    for _ in 0..2 {
        let sent = bench.sent().expect("a segment").bytes;
        assert_eq!(sent[38..40], 1008_u16.to_be_bytes(), "MSS + HDRLEN - TUCSS");
        assert_eq!(sent[16..18], 1028_u16.to_be_bytes());
    }
}

/// Which rule a segmentation broke whose headers come in these pieces.
fn blamed(mss: u64, ipv4: bool, header: &[u8], cuts: &[usize]) -> Vec<Wrong> {
    let mut bench = light(0x100e);
    let (low, high) = context(3_000, mss, 54);
    bench.post(low, if ipv4 { high } else { high & !(1 << 25) });
    let at = bench.load(0, &[header, &[7; 3_000]].concat());
    let ends = cuts.iter().copied().chain([54, 3_054]);
    let mut from = 0;
    for end in ends {
        let last = if end == 3_054 { EOP | RS } else { 0 };
        bench.post(at + from as u64, (end - from) as u64 | DATA | TSE | IFCS | IXSM | TXSM | last);
        from = end;
    }
    bench.ring();
    bench.card.violations().iter().map(|violation| violation.wrong).collect()
}

#[test]
fn a_driver_that_does_not_keep_the_recipe_is_told_so() {
    let good = header();
    assert_eq!(blamed(1_000, true, &good, &[]), []);
    assert_eq!(blamed(1_000, true, &good, &[14, 34]), [], "whole headers in buffers of their own");
    assert_eq!(blamed(1_000, true, &good, &[30]), [Wrong::HeaderCut { at: 30 }]);
    assert!(blamed(1_000, false, &good, &[]).contains(&Wrong::SegmentationOfIpv6));
    for (at, len, checksum) in [(16, 9, 0), (24, 0, 9)] {
        let mut bad = good.clone();
        bad[at + 1] = 9;
        assert_eq!(blamed(1_000, true, &bad, &[]), [Wrong::SegmentationHeader { len, checksum }]);
    }
}

#[test]
fn a_segment_that_does_not_fit_the_fifo_is_refused() {
    // 10 KB, of which 80 bytes stay free.
    let most = 10 * 1024 - 80 - 54;
    for (mss, cut) in [(most, true), (most + 1, false)] {
        let mut bench = light(0x1075);
        let (low, high) = context(3_000, mss, 54);
        bench.post(low, high);
        let at = bench.load(0, &[header(), vec![7; 3_000]].concat());
        bench.post(at, 3_054 | DATA | TSE | IFCS | EOP | RS | IXSM | TXSM);
        bench.ring();
        assert_eq!((bench.sent().is_some(), bench.card.violations().is_empty()), (cut, cut), "MSS {mss}");
    }
}
