//! Errata that a driver must work around: noticed where they are asked for, on the parts that have
//! them, and nowhere else.

mod bench;

use bench::*;
use naio_e1000_model::regs::*;
use naio_e1000_model::{Erratum, Options, Slot, Wrong};

fn strict(device_id: u16, slot: Slot) -> Bench {
    Bench::new(Options { device_id, slot, errata: true, ..Options::default() })
}

fn noticed(bench: &Bench) -> Vec<Erratum> {
    let erratum = |wrong: Wrong| if let Wrong::Erratum { what } = wrong { Some(what) } else { None };
    bench.card.take_violations().into_iter().filter_map(|violation| erratum(violation.wrong)).collect()
}

#[test]
fn what_the_first_82545_writes_must_not_cross_64_kb() {
    for (id, expected) in [(0x100f, vec![Erratum::Crosses64K]), (0x1026, vec![]), (0x100e, vec![])] {
        let bench = strict(id, Slot::Pci66).running(BAM);
        assert_eq!(noticed(&bench), []);
        // A buffer of 2048 bytes that begins just below a multiple of 64 KB.
        let edge = (bench.buffer_iova(0) | 0xffff) + 1 - 64;
        let head = bench.read(RDH);
        bench.rx.store(head, edge, 0);
        bench.put(&frame(BROADCAST, 60));
        assert_eq!(noticed(&bench), expected, "{id:#x}");
    }
}

#[test]
fn pci_x_mode_limits_first_buffers_and_their_ends() {
    for (id, slot, expected) in [
        (0x1008, Slot::PciX133, vec![Erratum::LongFirstBuffer, Erratum::EndsInEvenDword]),
        (0x100f, Slot::PciX133, vec![Erratum::LongFirstBuffer]),
        (0x1008, Slot::Pci66, vec![]),
    ] {
        let mut bench = strict(id, slot).running(BAM);
        let at = bench.load(0, &frame(BROADCAST, 2_100));
        let end = (at + 2_016 - 1) & 7;
        // Ends in byte 3 of a quadword: an even dword.
        let len = 2_016 + (3 + 8 - end) % 8;
        bench.post(at, len | EOP | IFCS | RS);
        bench.ring();
        assert_eq!(noticed(&bench), expected, "{id:#x} {slot:?}");
    }
}

#[test]
fn a_segmentation_and_the_packet_after_it_want_a_sentinel() {
    let mut bench = strict(0x100e, Slot::Pci66).running(BAM);
    let tse = |bench: &mut Bench, last: u64| {
        bench.post(
            14 | 24 << 8 | 33 << 16 | (34 | 50 << 8) << 32,
            DEXT | TSE | 3 << 24 | 1000 | 54 << 40 | 500 << 48,
        );
        let at = bench.load(0, &frame(BROADCAST, 1054));
        bench.post(at, (1054 - last) | DATA | TSE | IFCS);
        bench.post(at + 1054 - last, last | DATA | TSE | IFCS | EOP | RS);
        bench.ring();
    };
    tse(&mut bench, 4);
    assert_eq!(noticed(&bench), []);
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert_eq!(noticed(&bench), [Erratum::NoSentinel], "the first packet after");
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert_eq!(noticed(&bench), [], "only the first");
    tse(&mut bench, 500);
    assert_eq!(noticed(&bench), [Erratum::NoSentinel]);
}

#[test]
fn padding_and_the_receive_timer_are_noticed() {
    let mut bench = strict(0x100e, Slot::Pci66).running(BAM);
    bench.send(&frame(BROADCAST, 59), EOP | IFCS | RS);
    assert_eq!(noticed(&bench), [Erratum::HardwarePadding]);
    bench.write(RDTR, 1);
    assert_eq!(noticed(&bench), [Erratum::ReceiveTimer]);
    bench.post(1 << 32, 100 | EOP | IFCS | RS);
    bench.ring();
    assert!(noticed(&bench).contains(&Erratum::HighAddress));
}

#[test]
fn the_82544_corrupts_the_even_entry_of_a_table() {
    for (id, expected) in [(0x1008, 0x2222), (0x100e, 0x1111)] {
        let bench = strict(id, Slot::Pci66);
        for table in [MTA, VFTA] {
            bench.write(table, 0x1111);
            let _ = bench.read(STATUS);
            bench.write(table + 4, 0x2222);
            assert_eq!((bench.read(table), bench.read(table + 4)), (expected, 0x2222), "{id:#x}");
        }
    }
    let lucky = Bench::id(0x1008);
    lucky.write(MTA, 0x1111);
    let _ = lucky.read(STATUS);
    lucky.write(MTA + 4, 0x2222);
    assert_eq!(lucky.read(MTA), 0x1111, "not unless asked for");
}

#[test]
fn buffers_of_a_segmentation_are_short_and_its_end_is_not_too_short() {
    // MSS 1500: up to 4096 bytes in a buffer; MSS 500: up to 2000.
    for (mss, body, last, expected) in [
        (1_500, 4_096, 4, vec![]),
        (1_500, 4_097, 4, vec![Erratum::LongSegmentedBuffer]),
        (500, 2_000, 4, vec![]),
        (500, 2_001, 4, vec![Erratum::LongSegmentedBuffer]),
        (500, 1_000, 3, vec![Erratum::NoSentinel]),
    ] {
        let mut bench = strict(0x100e, Slot::Pci66).running(BAM);
        let payload = body + 100 + last;
        bench.post(
            14 | 24 << 8 | 33 << 16 | (34 | 50 << 8) << 32,
            DEXT | TSE | 3 << 24 | payload | 54 << 40 | mss << 48,
        );
        let at = bench.load(0, &frame(BROADCAST, 54 + payload as usize));
        bench.post(at, 54 | DATA | TSE | IFCS);
        bench.post(at + 54, body | DATA | TSE | IFCS);
        bench.post(at + 54 + body, 100 | DATA | TSE | IFCS);
        bench.post(at + 154 + body, last | DATA | TSE | IFCS | EOP | RS);
        bench.ring();
        assert_eq!(noticed(&bench), expected, "MSS {mss}, {body} and {last} bytes");
    }
}

#[test]
fn buffers_that_are_sent_must_not_cross_64_kb_either() {
    for (id, expected) in [(0x1010, vec![Erratum::Crosses64K]), (0x1079, vec![])] {
        let mut bench = strict(id, Slot::Pci66).running(BAM);
        let edge = (bench.load(0, &[]) | 0xffff) + 1;
        bench.post(edge - 50, 100 | EOP | IFCS | RS);
        bench.ring();
        assert_eq!(noticed(&bench), expected, "{id:#x}");
    }
}
