//! Sleeping and waking, the software-definable pins, and the packet buffer's pointers.

mod bench;

use bench::*;
use naio_e1000_model::Options;
use naio_e1000_model::regs::*;

const PMCSR: usize = 0xe0;
const GROUP: [u8; 6] = [0x01, 0, 0x5e, 0, 0, 1];

/// A card with wake-up filters that goes to sleep.
fn asleep(filters: u32) -> Bench {
    let bench = Bench::silicon().running(BAM);
    // The hash of GROUP with MO 00 is 0x010.
    bench.write(MTA, 1 << 0x10);
    bench.write(WUFC, filters);
    bench.write(WUC, 2);
    bench.write(IPAV, 0x1_0001);
    bench.write(IP4AT, u32::from_le_bytes([10, 0, 0, 1]));
    for n in 0..4 {
        bench.write(IP6AT + 4 * n, u32::from_le_bytes([n as u8; 4]));
    }
    // Filter 2 wants 0x88 at byte 12 and 0xb5 at byte 13 of at least 14 bytes.
    bench.write(FFLT + 16, 14);
    bench.write(FFMT + 8 * 12, 1 << 2);
    bench.write(FFMT + 8 * 13, 1 << 2);
    bench.write(FFVT + 8 * 12, 0x0088_0000);
    bench.write(FFVT + 8 * 13, 0x00b5_0000);
    bench.card.port().config_write(PMCSR, 2, 0x0103);
    bench
}

fn wake(bench: &Bench) -> (u32, bool) {
    let woken = bench.card.port().power_event();
    (bench.card.peek(WUS), woken)
}

fn typed(to: [u8; 6], kind: u16, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut whole = frame(to, 80);
    whole[12..14].copy_from_slice(&kind.to_be_bytes());
    whole[at..at + bytes.len()].copy_from_slice(bytes);
    whole
}

#[test]
fn each_wake_up_filter_wakes_for_its_frame_and_no_other() {
    let magic = [&frame(BROADCAST, 30)[..], &[0xff; 6], &STATION.repeat(16), &[0; 20]].concat();
    let v6: Vec<u8> = (0..4u8).flat_map(|n| [n; 4]).collect();
    for (bit, bytes) in [
        (1, magic),
        (2, typed(STATION, 0x9000, 14, &[1])),
        (3, typed(GROUP, 0x9000, 14, &[1])),
        (4, typed(BROADCAST, 0x9000, 14, &[1])),
        (5, typed(BROADCAST, 0x0806, 38, &[10, 0, 0, 1])),
        (6, typed(STATION, 0x0800, 30, &[10, 0, 0, 1])),
        (7, typed(STATION, 0x86dd, 38, &v6)),
        (18, frame([2, 9, 9, 9, 9, 9], 60)),
    ] {
        let bench = asleep(1 << bit);
        bench.put(&bytes);
        assert_eq!(wake(&bench), (1 << bit, true), "bit {bit}");
        let bench = asleep(1 << bit);
        bench.put(&typed([2, 9, 9, 9, 9, 9], 0x9000, 14, &[1]));
        assert_eq!(wake(&bench), (0, false), "bit {bit}: a stranger's frame");
        let bench = asleep(0);
        bench.put(&bytes);
        assert_eq!(wake(&bench), (0, false), "bit {bit}: not asked for");
    }
}

#[test]
fn the_frame_that_woke_is_kept_and_survives_the_way_back() {
    let bench = asleep(1 << 4);
    let bytes = frame(BROADCAST, 200);
    bench.put(&bytes);
    let port = bench.card.port();
    assert_eq!(port.config_read(PMCSR, 2), 0x8103);
    port.config_write(PMCSR, 2, 0x8100);
    port.config_write(4, 2, 6);
    bench.delay_us(10_000);
    assert!(!port.power_event(), "PME status is cleared by a one");
    assert_eq!(bench.read(WUPL), 200);
    let kept: Vec<u8> = (0..32).flat_map(|n| bench.read(WUPM + 4 * n).to_le_bytes()).collect();
    assert_eq!(kept, bytes[..128]);
    assert_eq!(bench.read(WUS), 1 << 4);
    bench.write(WUS, 1 << 4);
    assert_eq!(bench.read(WUS), 0);
}

#[test]
fn a_link_that_goes_wakes_if_asked() {
    for (filters, expected) in [(1, (1, true)), (0, (0, false))] {
        let bench = asleep(filters);
        bench.script.plug(false);
        bench.card.advance(std::time::Duration::from_millis(1));
        assert_eq!(wake(&bench), expected);
    }
}

#[test]
fn wuc_status_is_cleared_by_a_one_and_its_other_bits_are_stored() {
    let bench = Bench::silicon();
    bench.write(WUC, 0xffff_ffff);
    assert_eq!(bench.read(WUC), 0x8000_000b);
    bench.write(WUC, 0);
    assert_eq!(bench.read(WUC), 0);
}

#[test]
fn inputs_show_their_pins_and_edges_interrupt() {
    for (id, pins, causes) in [
        (0x1008, [4, 5, 6, 7], [1 << 11, 1 << 12, 1 << 13, 1 << 14]),
        (0x100e, [4, 5, 6, 7], [0, 0, 1 << 13, 1 << 14]),
    ] {
        let bench = Bench::id(id);
        bench.write(CTRL_EXT, 0xf);
        for (pin, cause) in pins.into_iter().zip(causes) {
            bench.card.drive_pin(pin, true);
            assert_eq!(bench.read(CTRL_EXT) >> pin & 1, 1, "{id:#x} pin {pin}");
            assert_eq!(bench.read(ICR), cause, "{id:#x} pin {pin}");
            bench.card.drive_pin(pin, true);
            assert_eq!(bench.read(ICR), 0, "only an edge");
            bench.card.drive_pin(pin, false);
            assert_eq!((bench.read(CTRL_EXT) >> pin & 1, bench.read(ICR)), (0, 0));
        }
        bench.write(CTRL_EXT, 0xf | 1 << 7 | 1 << 11);
        assert_eq!((bench.card.driven_pin(7), bench.card.driven_pin(6)), (Some(true), None));
        bench.card.drive_pin(7, true);
        assert_eq!(bench.read(ICR), 0, "an output does not interrupt");
        bench.write(CTRL, bench.read(CTRL) & !(0xf << 22) | 1 << 22 | 1 << 18);
        assert_eq!(bench.card.driven_pin(0), Some(true));
        bench.card.drive_pin(1, true);
        assert_eq!(bench.read(CTRL) >> 18 & 3, 3);
        bench.card.drive_pin(1, false);
        assert_eq!(bench.read(CTRL) >> 18 & 3, 1);
    }
}

#[test]
fn fifo_pointers_differ_only_while_something_is_in_the_fifo() {
    let mut bench = Bench::silicon();
    bench.link_up();
    bench.set_up_rings();
    bench.write(RCTL, EN | BAM);
    let rx = |bench: &Bench| [RDFH, RDFT, RDFHS, RDFTS, RDFPC].map(|at| bench.read(at));
    assert_eq!(rx(&bench), [0; 5]);
    bench.put(&frame(BROADCAST, 100));
    bench.put(&frame(BROADCAST, 100));
    let [head, tail, saved_head, saved_tail, packets] = rx(&bench);
    assert_eq!((packets, head, saved_head, tail == saved_tail), (2, 0, 0, true));
    assert_eq!(tail, 2 * (104 + 16) / 8, "in words of 8 bytes");
    bench.post_receive(4);
    bench.card.run();
    assert_eq!(rx(&bench), [0; 5]);

    let mut bench = Bench::new(Options { device_id: 0x1075, ..Options::default() }).running(BAM);
    let at = bench.load(0, &frame(BROADCAST, 80));
    bench.post(at, 80 | IFCS);
    bench.ring();
    assert_ne!(bench.read(TDFT), bench.read(TDFH), "half a packet");
    bench.post(at, 80 | EOP | IFCS);
    bench.ring();
    assert_eq!([TDFT, TDFH, TDFTS, TDFHS, TDFPC].map(|at| bench.read(at)), [0; 5]);
    for pointer in [TDFT, TDFH, TDFTS, TDFHS] {
        bench.write(pointer, 0xffff_ff00);
        assert_eq!(bench.read(pointer), 0x1f00, "13 bits");
    }
}
