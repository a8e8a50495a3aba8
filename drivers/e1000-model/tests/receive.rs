//! Reception: filters, lengths, chains, FCS, checksums, tags, the FIFO, and every count.

mod bench;
use bench::*;
use naio_e1000_model::regs::*;
use naio_e1000_model::wire::{Fcs, LineError};
use naio_e1000_model::{Checks, Frame, Options, Wrong};

const GPRC: u32 = 0x4074;
const MULTICAST: [u8; 6] = [0x01, 0xaa, 0x00, 0x12, 0x34, 0x56];

fn light() -> Bench {
    Bench::new(Options { checks: Checks::Light, ..Options::default() })
}

#[test]
fn every_length_arrives_whole_through_every_buffer_size() {
    let sizes =
        [(0, 0, 2048), (1, 0, 1024), (2, 0, 512), (3, 0, 256), (1, 1, 16384), (2, 1, 8192), (3, 1, 4096)];
    for (code, bsex, size) in sizes {
        for strip in [0, SECRC] {
            let mut bench = light().running(BAM | LPE | strip | code << 16 | bsex << 25);
            for len in (60..300).chain((300..15_000).step_by(731)).chain([size - 4, size - 1, size, size + 1])
            {
                let len = len.clamp(60, 15_000);
                let sent = frame(BROADCAST, len);
                bench.put(&sent);
                let (bytes, last) = bench.receive_frame().unwrap_or_else(|| panic!("{len} into {size}"));
                assert_eq!(bytes.len(), len + if strip == 0 { 4 } else { 0 }, "{len} into {size}");
                assert_eq!(bytes[..len], sent[..]);
                if strip == 0 {
                    assert_eq!(bytes[len..], naio_e1000_model::fcs::fcs(&sent));
                }
                assert_eq!(last.errors(), 0);
            }
            bench.innocent();
        }
    }
}

#[test]
fn only_the_last_descriptor_of_a_chain_says_more_than_done() {
    let mut bench = light().running(BAM | LPE | 3 << 16);
    bench.put(&frame(BROADCAST, 254));
    let first = bench.receive().expect("done");
    assert_eq!((first.len(), first.status()), (256, 1));
    let last = bench.receive().expect("done");
    assert_eq!(last.len(), 2, "the FCS straddles the buffers");
    assert_eq!(last.status() & 3, 3);
}

#[test]
fn the_filter_matrix() {
    let own = frame(STATION, 80);
    let other = frame([0x02, 1, 2, 3, 4, 5], 80);
    let broadcast = frame(BROADCAST, 80);
    let multicast = frame(MULTICAST, 80);
    let cases: [(u32, [bool; 4]); 5] = [
        (0, [true, false, false, false]),
        (BAM, [true, false, true, false]),
        (UPE, [true, true, false, false]),
        (MPE, [true, false, false, true]),
        (UPE | MPE | BAM, [true; 4]),
    ];
    for (rctl, expected) in cases {
        let mut bench = Bench::silicon().running(rctl);
        for (bytes, accepted) in [&own, &other, &broadcast, &multicast].into_iter().zip(expected) {
            bench.put(bytes);
            let got = bench.receive_frame();
            assert_eq!(got.is_some(), accepted, "RCTL {rctl:#x}, to {:x?}", &bytes[..6]);
            assert!(got.is_none_or(|(_, last)| last.status() & 0x80 == 0), "exact");
        }
    }
}

#[test]
fn the_hash_table_is_inexact_and_has_four_offsets() {
    for (mo, hash) in [(0, 0x563_u32), (1, 0xac6), (2, 0x58d), (3, 0x634)] {
        let mut bench = Bench::silicon().running(mo << 12);
        bench.put(&frame(MULTICAST, 80));
        assert!(bench.receive_frame().is_none());
        bench.write(MTA + (hash >> 5) * 4, 1 << (hash & 31));
        bench.put(&frame(MULTICAST, 80));
        let (_, last) = bench.receive_frame().expect("a hit");
        assert_eq!(last.status() & 0x80, 0x80, "PIF");
    }
}

#[test]
fn a_second_address_register_filters_too_and_av_counts() {
    let mut bench = Bench::silicon().running(0);
    let other = frame([0x02, 1, 2, 3, 4, 5], 80);
    bench.write(RA + 24, u32::from_le_bytes([0x02, 1, 2, 3]));
    let _ = bench.read(STATUS);
    bench.write(RA + 28, 0x0504);
    bench.put(&other);
    assert!(bench.receive_frame().is_none(), "AV is clear");
    let _ = bench.read(STATUS);
    bench.write(RA + 28, 0x8000_0504);
    bench.put(&other);
    assert!(bench.receive_frame().is_some());
    bench.innocent();
}

fn tagged(tag: u16) -> Vec<u8> {
    let mut bytes = frame(BROADCAST, 80);
    bytes.splice(12..12, [0x81, 0x00, (tag >> 8) as u8, tag as u8]);
    bytes
}

#[test]
fn tags_are_stripped_and_filtered() {
    let mut bench = Bench::silicon().running(BAM | SECRC);
    bench.put(&tagged(0x6064));
    let (bytes, last) = bench.receive_frame().expect("kept");
    assert_eq!((bytes.len(), last.status() & 8), (84, 0), "without VME the tag stays");
    bench.write(CTRL, bench.read(CTRL) | 1 << 30);
    bench.put(&tagged(0x6064));
    let (bytes, last) = bench.receive_frame().expect("kept");
    assert_eq!(bytes, frame(BROADCAST, 80));
    assert_eq!((last.status() & 8, last.special()), (8, 0x6064));
    bench.write(RCTL, bench.read(RCTL) | 1 << 18);
    bench.put(&tagged(0x6064));
    assert!(bench.receive_frame().is_none(), "VFE, and not in VFTA");
    bench.put(&frame(BROADCAST, 80));
    assert!(bench.receive_frame().is_some(), "untagged frames pass");
    bench.write(VFTA + (0x64 >> 5) * 4, 1 << (0x64 & 31));
    bench.put(&tagged(0x6064));
    assert!(bench.receive_frame().is_some());
    bench.write(RCTL, bench.read(RCTL) | 1 << 19);
    bench.put(&tagged(0x7064));
    assert!(bench.receive_frame().is_none(), "CFI is set and 0 expected");
}

#[test]
fn wrong_lengths_and_bad_frames_are_counted_and_dropped() {
    let mut bench = Bench::silicon().running(BAM);
    let bad = |len| Frame { fcs: Fcs::Wrong([1, 2, 3, 4]), ..Frame::good(&frame(BROADCAST, len)) };
    let cases = [
        (Frame::good(&frame(BROADCAST, 59)), 0x40a4),
        (bad(59), 0x40a8),
        (Frame::good(&frame(BROADCAST, 1519)), 0x40ac),
        (bad(1519), 0x40b0),
        (bad(100), 0x4000),
        (Frame { error: LineError::Symbol, ..Frame::good(&frame(BROADCAST, 100)) }, 0x4008),
        (Frame { error: LineError::Alignment, ..Frame::good(&frame(BROADCAST, 100)) }, 0x4004),
    ];
    for (bytes, counter) in cases {
        let before = bench.count(counter);
        bench.script.put(bytes);
        bench.card.run();
        assert_eq!(bench.count(counter), before + 1, "{counter:#x}");
        assert!(bench.receive_frame().is_none(), "{counter:#x}");
    }
    assert_eq!(bench.count(GPRC), 0);
    bench.put(&frame(BROADCAST, 1518));
    assert!(bench.receive_frame().is_some(), "1522 with FCS is fine");
}

#[test]
fn store_bad_packets_marks_them() {
    let mut bench = Bench::silicon().running(BAM | SBP);
    bench.script.put(Frame { fcs: Fcs::Wrong([1, 2, 3, 4]), ..Frame::good(&frame(BROADCAST, 100)) });
    bench.card.run();
    let (bytes, last) = bench.receive_frame().expect("stored");
    assert_eq!(bytes[100..], [1, 2, 3, 4], "the FCS as it was");
    assert_eq!(last.errors(), 1, "CE");
}

#[test]
fn size_bins_octets_and_kinds() {
    let mut bench = Bench::silicon().running(BAM | MPE);
    for len in [60, 61, 123, 124, 251, 252, 507, 508, 1019, 1020, 1514] {
        bench.put(&frame(if len == 60 { MULTICAST } else { BROADCAST }, len));
        assert!(bench.receive_frame().is_some());
    }
    let bins: Vec<u64> = (0..6).map(|n| bench.count(0x405c + n * 4)).collect();
    assert_eq!(bins, [1, 2, 2, 2, 2, 2]);
    assert_eq!((bench.count(GPRC), bench.count(0x4078), bench.count(0x407c)), (11, 10, 1));
    assert_eq!(bench.count(0x4088), bench.count(0x40c0), "good octets are all octets here");
}

#[test]
fn the_fifo_keeps_what_fits_and_counts_what_does_not() {
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    bench.write(RCTL, EN | BAM);
    let room = 48 * 1024;
    let each = (1004_usize).next_multiple_of(8) + 16;
    let fits = room / each;
    for _ in 0..fits + 5 {
        bench.script.put(Frame::good(&frame(BROADCAST, 1000)));
    }
    bench.card.run();
    assert_eq!(bench.card.fifo_frames(), fits);
    assert_eq!(bench.count(0x4010), 5, "MPC");
    assert_eq!(bench.count(0x40a0), fits as u64 + 5, "RNBC: no descriptor at any arrival");
    assert_ne!(bench.card.causes() & 0x40, 0, "RXO");
    bench.post_receive(RING - 1);
    bench.card.run();
    assert_eq!((0..fits).filter(|_| bench.receive_frame().is_some()).count(), fits);
    assert_eq!(bench.count(GPRC), fits as u64, "missed frames are not good frames");
}

#[test]
fn the_packet_buffer_split_counts_from_the_next_reset_on() {
    let mut bench = Bench::silicon();
    bench.write(PBA, 8);
    let fill = |bench: &mut Bench| {
        bench.link_up();
        bench.set_up_rings();
        bench.write(RCTL, EN | BAM);
        for _ in 0..60 {
            bench.script.put(Frame::good(&frame(BROADCAST, 1000)));
        }
        bench.card.run();
        bench.card.fifo_frames()
    };
    assert_eq!(fill(&mut bench), 48);
    bench.write(CTRL, bench.read(CTRL) | 1 << 26);
    bench.delay_us(5_000);
    assert_eq!(fill(&mut bench), 8);
}

#[test]
fn without_enable_or_link_nothing_is_taken_or_counted() {
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    bench.post_receive(8);
    bench.put(&frame(BROADCAST, 100));
    bench.write(RCTL, EN | BAM);
    bench.card.run();
    assert!(bench.receive().is_none());
    assert_eq!(bench.count(0x40d0), 0);
    bench.write(CTRL, bench.read(CTRL) & !0x40);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.count(0x40d0), 0);
    assert_eq!(bench.script.waiting(), 0, "a wire does not wait");
}

#[test]
fn a_null_descriptor_is_done_without_data_and_noticed() {
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    bench.rx.store(0, 0, 0);
    bench.rx_tail = 1;
    bench.post_receive(4);
    bench.write(RCTL, EN | BAM | SECRC);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.rx.done(0, DD).map(|d| d.word() & !0xffff_0000), Some(DD));
    assert_eq!(bench.rx.done(1, DD).map(|d| d.word() & 0xffff), Some(100));
    assert_eq!(bench.card.violations()[0].wrong, Wrong::NullBuffer);
}

#[test]
fn memory_outside_is_reported_with_ring_and_descriptor() {
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    bench.rx.store(0, 0x1000, 0);
    bench.rx_tail = 1;
    bench.post_receive(4);
    bench.write(RCTL, EN | BAM | SECRC);
    bench.put(&frame(BROADCAST, 100));
    let found = bench.card.violations()[0];
    assert_eq!(found.wrong, Wrong::DmaOutside { iova: 0x1000, len: 100 });
    assert_eq!(found.place, Some((naio_e1000_model::violation::Ring::Receive, 0)));
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.rx.done(1, DD).map(|d| d.word() & 0xffff), Some(100), "the next frame passes");
}

#[test]
fn what_the_card_owns_must_not_be_touched() {
    let bench = Bench::silicon().running(BAM);
    let at = bench.buffer_iova(0);
    bench.bus.write(at + 7, &[0x77]).expect("inside");
    bench.put(&frame(BROADCAST, 100));
    bench.rx.store(1, bench.buffer_iova(9), 0);
    bench.put(&frame(BROADCAST, 100));
    let wrongs: Vec<Wrong> = bench.card.violations().into_iter().map(|v| v.wrong).collect();
    assert_eq!(wrongs, [Wrong::BufferTouched, Wrong::DescriptorTouched]);
}

#[test]
fn tails_outside_and_buffers_posted_twice_are_noticed() {
    use naio_device::Doorbell;
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    let at = bench.buffer_iova(0);
    bench.rx.store(0, at, 0);
    bench.rx.store(1, at, 0);
    bench.rx_doorbell.ring(2);
    bench.write(RCTL, EN);
    bench.rx_doorbell.ring(RING);
    bench.card.run();
    bench.rx_doorbell.ring(1);
    let wrongs: Vec<Wrong> = bench.card.violations().into_iter().map(|v| v.wrong).collect();
    assert_eq!(wrongs[0], Wrong::BufferTwice { iova: at });
    assert_eq!(wrongs[1], Wrong::TailOutside { value: RING, len: RING });
}
