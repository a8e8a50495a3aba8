//! Transmission: descriptors, checksums, padding, tags, FCS, reports, stopping, counts.

mod bench;
use bench::*;
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use naio_device::Doorbell;
use naio_e1000_model::regs::*;
use naio_e1000_model::wire::Fcs;
use naio_e1000_model::{Checks, Options, Wrong};

const GPTC: u32 = 0x4080;

#[test]
fn a_frame_of_many_pieces_leaves_whole() {
    let mut bench = Bench::silicon().running(BAM);
    let whole = frame(BROADCAST, 1400);
    for pieces in 1..=16 {
        let mut from = 0;
        for n in 0..pieces {
            let to = if n + 1 == pieces { whole.len() } else { from + whole.len() / pieces };
            let at = bench.load(n, &whole[from..to]);
            let last = if n + 1 == pieces { EOP | IFCS | RS } else { 0 };
            bench.post(at, (to - from) as u64 | last);
            from = to;
        }
        bench.ring();
        let sent = bench.sent().expect("sent");
        assert_eq!((sent.bytes, sent.fcs), (whole.clone(), Fcs::Good), "{pieces} pieces");
    }
    assert_eq!(bench.count(GPTC), 16);
    assert_eq!(bench.count(0x4090), 16 * 1404);
    assert_eq!(bench.count(0x40f4), 16, "broadcasts");
    bench.innocent();
}

#[test]
fn done_is_written_where_it_was_asked_for_and_nothing_else_changes() {
    let mut bench = Bench::silicon().running(BAM);
    let at = bench.load(0, &frame(BROADCAST, 100));
    let first = bench.post(at, 50 | IFCS | 0x1234 << 48);
    let second = bench.post(at + 50, 50 | EOP | IFCS | RS | 0x1234 << 48);
    bench.ring();
    assert!(bench.tx.done(first, DD).is_none(), "no RS, no DD");
    let word = bench.tx.done(second, DD).expect("done").word();
    assert_eq!(word, DD | 50 | EOP | IFCS | RS | 0x1234 << 48);
    assert_eq!(bench.read(TDH), bench.tx_tail);
}

#[test]
fn short_frames_are_padded_when_asked() {
    let mut bench = Bench::silicon().running(BAM);
    bench.send(&frame(BROADCAST, 50), EOP | IFCS | RS);
    let sent = bench.sent().expect("sent").bytes;
    assert_eq!((sent.len(), &sent[50..]), (60, &[0u8; 10][..]));
    bench.innocent();
    bench.send(&frame(BROADCAST, 47), EOP | IFCS | RS);
    assert_eq!(bench.card.take_violations()[0].wrong, Wrong::PacketTooShort { len: 47 });
    bench.write(TCTL, TCTL_ON & !8);
    let _ = bench.sent();
    bench.send(&frame(BROADCAST, 50), EOP | IFCS | RS);
    assert_eq!(bench.sent().expect("sent").bytes.len(), 50, "PSP is off");
}

#[test]
fn without_ifcs_software_gives_the_fcs() {
    let mut bench = Bench::silicon().running(BAM);
    let mut bytes = frame(BROADCAST, 100);
    bytes.extend(naio_e1000_model::fcs::fcs(&bytes));
    bench.send(&bytes, EOP | RS);
    let sent = bench.sent().expect("sent");
    assert_eq!((sent.bytes.len(), sent.fcs), (100, Fcs::Good));
    bytes[103] ^= 1;
    bench.send(&bytes, EOP | RS);
    assert!(matches!(bench.sent().expect("sent").fcs, Fcs::Wrong(_)));
}

#[test]
fn tags_are_inserted_only_with_vme() {
    let mut bench = Bench::silicon().running(BAM);
    let bytes = frame(BROADCAST, 100);
    bench.send(&bytes, EOP | IFCS | RS | VLE | 0x2064 << 48);
    assert_eq!(bench.sent().expect("sent").bytes, bytes);
    bench.write(CTRL, bench.read(CTRL) | 1 << 30);
    bench.send(&bytes, EOP | IFCS | RS | VLE | 0x2064 << 48);
    let sent = bench.sent().expect("sent").bytes;
    assert_eq!(sent[12..16], [0x81, 0x00, 0x20, 0x64]);
    assert_eq!((&sent[..12], &sent[16..]), (&bytes[..12], &bytes[12..]));
}

#[test]
fn the_legacy_checksum_is_stored_and_its_range_rules_hold() {
    let mut bench = Bench::silicon().running(BAM);
    let bytes = frame(BROADCAST, 101);
    let ic = 1 << 26;
    bench.send(&bytes, EOP | IFCS | RS | ic | 50 << 16 | 34 << 40);
    let sent = bench.sent().expect("sent").bytes;
    let expected = bytes[34..].chunks(2).fold(0u32, |sum, w| {
        let sum = sum + u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)]));
        (sum & 0xffff) + (sum >> 16)
    });
    assert_eq!(u16::from_be_bytes([sent[50], sent[51]]), !(expected as u16));
    bench.send(&bytes, EOP | IFCS | RS | ic | 100 << 16 | 34 << 40);
    assert_eq!(bench.sent().expect("sent").bytes, bytes, "CSO is the last byte: ignored");
    assert_eq!(bench.card.take_violations()[0].wrong, Wrong::OffloadOutside);
}

fn udp_frame(payload: &[u8], v6: bool) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = if v6 {
        ethernet.ipv6([1; 16], [2; 16], 64)
    } else {
        ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    };
    let mut bytes = Vec::new();
    ip.udp(53, 53).write(&mut bytes, payload).expect("a packet");
    bytes
}

/// The sum of a pseudo-header, folded, not inverted.
fn pseudo(addresses: &[u8], protocol: u16, len: usize) -> u16 {
    let sum = addresses
        .chunks(2)
        .fold(u32::from(protocol) + len as u32, |sum, w| sum + u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[test]
fn a_context_inserts_both_checksums_and_stays() {
    let mut bench = Bench::silicon().running(BAM);
    let right = udp_frame(&[7; 301], false);
    let mut bytes = right.clone();
    bytes[24..26].fill(0);
    let seed = pseudo(&bytes[26..34], 17, 309);
    bytes[40..42].copy_from_slice(&seed.to_be_bytes());
    let low = 14 | 24 << 8 | 33 << 16 | (34 | 40 << 8) << 32;
    bench.post(low, DEXT | 1 << 25 | RS);
    for _ in 0..2 {
        let at = bench.load(0, &bytes);
        let len = bytes.len() as u64;
        bench.post(at, len | DATA | EOP | IFCS | RS | IXSM | TXSM);
        bench.ring();
        assert_eq!(bench.sent().expect("sent").bytes, right);
    }
    assert!(bench.tx.done(0, DD).is_some(), "a context reports too");
    bench.innocent();
}

#[test]
fn ipv6_udp_and_the_zero_rule() {
    let mut bench = Bench::silicon().running(BAM);
    let right = udp_frame(&[9; 40], true);
    let mut bytes = right.clone();
    let seed = pseudo(&bytes[22..54], 17, 48);
    bytes[60..62].copy_from_slice(&seed.to_be_bytes());
    bench.post(14 | 24 << 8 | (54 | 60 << 8) << 32, DEXT | RS);
    let at = bench.load(0, &bytes);
    bench.post(at, bytes.len() as u64 | DATA | EOP | IFCS | RS | TXSM);
    bench.ring();
    let sent = bench.sent().expect("sent").bytes;
    assert_eq!(sent, right);
    let parsed = SlicedPacket::from_ethernet(&sent).expect("a packet");
    assert!(matches!(parsed.transport, Some(TransportSlice::Udp(_))));
}

#[test]
fn popts_count_in_the_first_descriptor_only() {
    let mut bench = Bench::silicon().running(BAM);
    let bytes = udp_frame(&[7; 100], false);
    bench.post(14 | 24 << 8 | 33 << 16 | (34 | 40 << 8) << 32, DEXT | 1 << 25);
    let at = bench.load(0, &bytes);
    bench.post(at, 60 | DATA);
    bench.post(at + 60, (bytes.len() as u64 - 60) | DATA | EOP | IFCS | RS | IXSM | TXSM);
    bench.ring();
    assert_eq!(bench.sent().expect("sent").bytes, bytes, "nothing inserted");
}

#[test]
fn null_and_empty_descriptors_are_consumed() {
    let mut bench = Bench::silicon().running(BAM);
    let bytes = frame(BROADCAST, 100);
    let at = bench.load(0, &bytes);
    let null = bench.post(0, 40 | RS);
    let empty = bench.post(at, RS);
    bench.post(at, 100 | EOP | IFCS | RS);
    bench.ring();
    assert_eq!(bench.sent().expect("sent").bytes, bytes);
    assert!(bench.tx.done(null, DD).is_some() && bench.tx.done(empty, DD).is_some());
    bench.innocent();
}

#[test]
fn disabling_finishes_the_packet_in_progress() {
    let mut bench = Bench::new(Options { checks: Checks::Light, ..Options::default() }).running(BAM);
    let bytes = frame(BROADCAST, 100);
    let at = bench.load(0, &bytes);
    bench.post(at, 50 | IFCS);
    bench.ring();
    bench.write(TCTL, TCTL_ON & !EN);
    bench.post(at + 50, 50 | EOP | IFCS | RS);
    bench.post(at, 100 | EOP | IFCS | RS);
    bench.ring();
    assert_eq!(bench.sent().map(|f| f.bytes), Some(bytes));
    assert!(bench.sent().is_none(), "the next one waits");
    bench.write(TCTL, TCTL_ON);
    bench.card.run();
    assert!(bench.sent().is_some());
}

#[test]
fn the_engine_is_asynchronous_and_the_wire_can_hold_it() {
    let mut bench = Bench::silicon().running(BAM);
    bench.script.block(true);
    let index = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.tx.done(index, DD).is_none());
    assert_eq!(bench.read(TDH), index);
    bench.script.block(false);
    assert!(bench.tx.done(index, DD).is_none(), "nothing moves by itself");
    bench.card.step(1);
    assert!(bench.tx.done(index, DD).is_some());
}

#[test]
fn too_long_and_mixed_packets_are_refused_and_noticed() {
    let mut bench = Bench::new(Options { checks: Checks::Light, ..Options::default() }).running(BAM);
    let at = bench.load(0, &[0x55; 16_000]);
    bench.post(at, 16_000 | IFCS);
    bench.post(at, 300 | EOP | IFCS | RS);
    bench.post(at, 100 | IFCS);
    bench.post(at, 100 | DATA | EOP | IFCS | RS);
    bench.post(at, 100 | DEXT | 5 << 20 | RS);
    bench.ring();
    assert!(bench.sent().is_none());
    let wrongs: Vec<Wrong> = bench.card.violations().into_iter().map(|v| v.wrong).collect();
    let expected =
        [Wrong::PacketTooLong { len: 16_300 }, Wrong::MixedPacket, Wrong::UnknownDescriptor { kind: 0x25 }];
    assert_eq!(wrongs, expected);
    assert_eq!(bench.read(TDH), bench.tx_tail, "everything was consumed");
}

#[test]
fn wthresh_batches_reports_until_the_timer() {
    let mut bench = Bench::silicon().running(BAM);
    bench.write(TXDCTL, 1 << 24 | 4 << 16);
    let first = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.tx.done(first, DD).is_none());
    bench.delay_us(10);
    assert!(bench.tx.done(first, DD).is_some(), "TIDV");
    let next = bench.tx_tail;
    for _ in 0..4 {
        bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    }
    assert!((0..4).all(|n| bench.tx.done(next + n, DD).is_some()), "four together");
}

#[test]
fn low_water_fires_once() {
    let mut bench = Bench::silicon().running(BAM);
    bench.write(TXDCTL, 1 << 24 | 1 << 25);
    bench.script.block(true);
    for _ in 0..10 {
        bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    }
    bench.script.block(false);
    bench.card.step(1);
    assert_eq!(bench.card.causes() & 1 << 15, 0);
    bench.card.step(1);
    assert_ne!(bench.card.causes() & 1 << 15, 0, "eight are left");
}

#[test]
fn pacing_keeps_frames_apart_by_their_time_on_the_line() {
    let mut bench = Bench::new(Options { paced: true, ..Options::default() }).running(BAM);
    for _ in 0..10 {
        let at = bench.load(0, &frame(BROADCAST, 1514));
        bench.post(at, 1514 | EOP | IFCS | RS);
    }
    bench.ring();
    let mut sent = 0;
    for _ in 0..5 {
        sent += std::iter::from_fn(|| bench.sent()).count();
        bench.delay_us(25);
    }
    assert!((8..=10).contains(&sent), "12.3 µs each: {sent} in 100 µs");
}

#[test]
fn a_frame_takes_exactly_its_bits_at_every_speed() {
    use naio_e1000_model::Partner;
    for (anar, gigabit, mbit) in [(0, true, 1000u64), (0x0101, false, 100), (0x0041, false, 10)] {
        let partner = Partner { anar, gigabit, negotiates: true };
        let mut bench = Bench::new(Options { paced: true, partner, ..Options::default() }).running(BAM);
        for len in [60usize, 500, 1514] {
            let at = bench.load(0, &frame(BROADCAST, len));
            for _ in 0..10 {
                bench.post(at, len as u64 | EOP | IFCS | RS);
            }
            bench.ring();
            // Preamble and start 8, FCS 4, gap 12; the clock counts whole microseconds.
            let bits = (len as u64 + 24) * 8;
            let mut times = Vec::new();
            for now in 0..10 * bits / mbit.min(1000) + 10 {
                times.extend(std::iter::from_fn(|| bench.sent()).map(|_| now));
                bench.delay_us(1);
            }
            let expected: Vec<u64> = (0..10).map(|n| (n * bits).div_ceil(mbit)).collect();
            let off = times.iter().zip(&expected).map(|(got, want)| got.abs_diff(*want)).max();
            assert!(times.len() == 10 && off <= Some(1), "{len} at {mbit}: {times:?}, not {expected:?}");
            bench.delay_us(10_000);
        }
    }
}

#[test]
fn rps_reports_when_the_frame_has_left_and_only_on_the_82544() {
    const RPS: u64 = 1 << 28;
    for (id, waits) in [(0x1008, true), (0x100e, false)] {
        let options = Options { device_id: id, paced: true, ..Options::default() };
        let mut bench = Bench::new(options).running(BAM);
        let rps = bench.send(&frame(BROADCAST, 1514), EOP | IFCS | RPS | if waits { 0 } else { RS });
        assert_eq!(bench.tx.done(rps, DD).is_none(), waits, "{id:#x}");
        bench.delay_us(13);
        assert!(bench.tx.done(rps, DD).is_some(), "{id:#x}: 12.3 µs on the line");
    }
}

#[test]
fn descriptors_are_fetched_in_bursts_as_the_thresholds_say() {
    let bursts = |txdctl: u32| {
        let mut bench = Bench::silicon().running(BAM);
        bench.write(TXDCTL, txdctl);
        let at = bench.load(0, &frame(BROADCAST, 100));
        for _ in 0..32 {
            bench.post(at, 100 | EOP | IFCS | RS);
        }
        bench.tx_doorbell.ring(16);
        bench.card.step(4);
        bench.tx_doorbell.ring(32);
        bench.card.step(1);
        let ahead = bench.card.descriptor_bursts().1;
        bench.card.run();
        assert_eq!(std::iter::from_fn(|| bench.sent()).count(), 32);
        bench.innocent();
        (ahead, bench.card.descriptor_bursts().1)
    };
    assert_eq!(bursts(0), (1, 2), "only when the store is empty: 16, then the rest");
    assert_eq!(bursts(1 << 24 | 4 << 8 | 15), (2, 2), "ahead, because few are stored and many wait");
    assert_eq!(bursts(4 << 8 | 8), (2, 2), "the same in cache lines of two");
    assert_eq!(bursts(1 << 24 | 32 << 8 | 15), (1, 2), "not ahead: too few wait in memory");
}
