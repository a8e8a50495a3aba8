//! Registers: identities, masks, reset values, clear-on-read, self-clearing bits, violations.

mod bench;
use bench::*;
use naio_device::{Device, Registers};
use naio_e1000_model::parts::PARTS;
use naio_e1000_model::regs::*;
use naio_e1000_model::{Options, Wrong};

#[test]
fn every_id_of_the_family_comes_up_and_links() {
    for part in PARTS {
        let bench = Bench::id(part.id).running(BAM);
        assert_eq!(bench.model.identity().device, part.id);
        bench.put(&frame(BROADCAST, 100));
        let mut bench = bench;
        let (bytes, last) = bench.receive_frame().unwrap_or_else(|| panic!("{} receives", part.name));
        assert_eq!(bytes.len(), 104, "{}: FCS is counted without SECRC", part.name);
        assert_eq!(last.status() & 3, 3);
        bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
        assert_eq!(bench.sent().map(|f| f.bytes.len()), Some(100), "{} sends", part.name);
        bench.innocent();
    }
}

#[test]
fn the_masks_of_the_linux_register_test_hold() {
    let bench = Bench::silicon();
    let masks = [
        (FCAL, 0xffff_ffff),
        (FCAH, 0xffff),
        (FCT, 0xffff),
        (VET, 0xffff),
        (RDTR, 0xffff),
        (RDBAH, 0xffff_ffff),
        (RDBAL, 0xffff_fff0),
        (RDLEN, 0x000f_ff80),
        (RDH, 0xffff),
        (FCRTH, 0xfff8),
        (FCTTV, 0xffff),
        (TIPG, 0x3fff_ffff),
        (TDBAH, 0xffff_ffff),
        (TDBAL, 0xffff_fff0),
        (TDLEN, 0x000f_ff80),
        (TXCW, 0xc000_ffff),
        (TIDV, 0xffff),
        (RA, 0xffff_ffff),
        (RA + 4, 0x8003_ffff),
        (MTA, 0xffff_ffff),
        (MTA + 0x1fc, 0xffff_ffff),
        (VFTA + 0x1fc, 0xffff_ffff),
        (RCTL, 0x06df_b3fe & !EN),
        (RXCSUM, 0x7ff),
        (ITR, 0xffff),
    ];
    for (offset, mask) in masks {
        for pattern in [0x5a5a_5a5a_u32, 0xa5a5_a5a5, 0, u32::MAX] {
            bench.write(
                offset,
                pattern & !(u32::from(offset == RCTL) * EN) & !(u32::from(offset == RDTR) << 31),
            );
            let expected = pattern & mask;
            assert_eq!(bench.read(offset), expected, "{offset:#x} with {pattern:#x}");
        }
    }
    let before = bench.read(STATUS);
    bench.write(STATUS, 0xffff_f833);
    assert_eq!(bench.read(STATUS), before, "STATUS is read-only");
}

#[test]
fn reset_values_and_what_survives() {
    let bench = Bench::silicon();
    assert_eq!(bench.read(PBA), 0x0010_0030);
    assert_eq!(bench.read(TSPMT), 0x0100_0400);
    assert_eq!(bench.read(RA), u32::from_le_bytes([0x02, 0x00, 0x5e, 0x10]));
    assert_eq!(bench.read(RA + 4), 0x8000_0100, "AV is set, the address comes from the EEPROM");
    bench.write(PBA, 0x28);
    bench.write(MTA, 7);
    bench.write(RA, 5);
    bench.write(IMS, 4);
    bench.write(CTRL, bench.read(CTRL) | 1 << 26);
    bench.delay_us(5_000);
    assert_eq!(bench.read(CTRL) & 1 << 26, 0, "RST clears itself");
    assert_eq!(bench.read(PBA), 0x0018_0028, "PBA survives, its other half is computed");
    assert_eq!((bench.read(MTA), bench.read(IMS)), (0, 0));
    assert_eq!(bench.read(RA), u32::from_le_bytes([0x02, 0x00, 0x5e, 0x10]), "loaded again");
    bench.innocent();
}

#[test]
fn a_register_access_during_reset_is_noticed() {
    let bench = Bench::silicon();
    bench.write(CTRL, bench.read(CTRL) | 1 << 26);
    assert_eq!(bench.read(STATUS), u32::MAX);
    assert_eq!(bench.card.violations()[0].wrong, Wrong::AccessInReset { offset: STATUS });
}

#[test]
fn unknown_registers_read_zero_and_are_counted() {
    let bench = Bench::silicon();
    bench.write(0x5b50, 1);
    assert_eq!(bench.read(0x5b50), 0);
    assert_eq!(bench.card.unknown_registers(), [(0x5b50, 2)]);
    assert_eq!(bench.read(WINDOW_LEN), u32::MAX, "beyond the window");
}

#[test]
fn unknown_registers_read_a_poison_if_asked() {
    let bench = Bench::new(Options { unknown_reads: 0xdead_beef, ..Options::default() });
    assert_eq!((bench.read(0x5b50), bench.read(0x0004)), (0xdead_beef, bench.read(CTRL)));
    let old = Bench::new(Options { device_id: 0x1000, unknown_reads: 1, ..Options::default() });
    assert_eq!((old.read(RDT), old.read(0x128)), (1, 0), "the 82542 has its tail elsewhere");
}

#[test]
fn older_parts_lack_what_came_later() {
    for (id, missing) in [(0x1000, RXCSUM), (0x1000, MDIC), (0x1004, MDIC), (0x1008, ITR), (0x100c, LEDCTL)] {
        let bench = Bench::id(id);
        bench.write(missing, 0x55);
        assert_eq!(bench.read(missing), 0, "{id:#x} {missing:#x}");
        assert!(!bench.card.unknown_registers().is_empty());
    }
}

#[test]
fn a_delay_after_an_unflushed_write_and_reserved_bits_are_noticed() {
    let bench = Bench::silicon();
    bench.write(IMC, u32::MAX);
    bench.delay_us(10);
    bench.write(RCTL, 1 << 31);
    bench.write(MTA, 1);
    bench.write(MTA + 4, 1);
    let wrongs: Vec<Wrong> = bench.card.take_violations().into_iter().map(|v| v.wrong).collect();
    assert_eq!(
        wrongs,
        [
            Wrong::MissingFlush { offset: IMC },
            Wrong::ReservedBits { offset: RCTL, bits: 1 << 31 },
            Wrong::MissingFlush { offset: MTA + 4 }
        ]
    );
    bench.write(IMC, u32::MAX);
    let _ = bench.read(STATUS);
    bench.delay_us(10);
    bench.innocent();
}

#[test]
fn a_dual_part_tells_its_ports_apart() {
    let bench = Bench::new(Options { device_id: 0x1010, function: 1, ..Options::default() });
    assert_eq!(bench.read(STATUS) >> 2 & 3, 1);
    assert_eq!(bench.model.read(RA + 4) & 0xffff, 0x0000, "the second port's address differs in one bit");
}

#[test]
fn sixty_four_bit_statistics_clear_with_their_high_half() {
    let mut bench = Bench::silicon().running(BAM);
    bench.put(&frame(BROADCAST, 96));
    assert!(bench.receive_frame().is_some());
    assert_eq!((bench.read(0x40c0), bench.read(0x40c0)), (100, 100));
    assert_eq!(bench.read(0x40c4), 0);
    assert_eq!(bench.read(0x40c0), 0);
    bench.card.saturate_counters();
    bench.put(&frame(BROADCAST, 96));
    assert_eq!(bench.read(0x4074), u32::MAX, "GPRC sticks");
}

/// Does something wrong on a running card; hands on what was noticed first.
fn noticed(wrong: impl FnOnce(&mut Bench)) -> Option<Wrong> {
    let mut bench = Bench::silicon().running(BAM);
    bench.innocent();
    wrong(&mut bench);
    bench.card.violations().first().map(|violation| violation.wrong)
}

#[test]
fn each_rule_of_the_rings_is_watched() {
    use naio_device::Doorbell;
    let tail = noticed(|bench| bench.write(RDT, 5));
    assert_eq!(tail, Some(Wrong::TailWithoutDoorbell { offset: RDT }));
    let base = noticed(|bench| bench.write(TDBAL, 0x10_0000));
    assert_eq!(base, Some(Wrong::RingWhileEnabled { offset: TDBAL }));
    let head = noticed(|bench| bench.write(RDH, 1));
    assert_eq!(head, Some(Wrong::RingWhileEnabled { offset: RDH }));
    let overrun = noticed(|bench| bench.rx_doorbell.ring(0));
    assert_eq!(overrun, Some(Wrong::TailOverrun { value: 0 }));
    let read_only = noticed(|bench| bench.write(0x4074, 1));
    assert_eq!(read_only, Some(Wrong::ReadOnly { offset: 0x4074 }));
    let mdic = noticed(|bench| {
        bench.write(MDIC, 2 << 26 | 1 << 21);
        bench.write(MDIC, 2 << 26 | 1 << 21);
    });
    assert_eq!(mdic, Some(Wrong::MdicBusy));
    let master = noticed(|bench| {
        bench.write(RCTL, 0);
        bench.model.set_bus_master(false).expect("always");
        bench.write(RCTL, EN);
    });
    assert_eq!(master, Some(Wrong::NotBusMaster));
    let no_ring = noticed(|bench| {
        bench.write(TCTL, 0);
        bench.write(TDLEN, 0);
        bench.write(TCTL, TCTL_ON);
    });
    assert!(matches!(no_ring, Some(Wrong::NotARing { len: 0, .. })));
    let timer = noticed(|bench| {
        bench.write(TCTL, 0);
        bench.write(TIDV, 0);
        bench.write(TCTL, TCTL_ON);
    });
    assert_eq!(timer, Some(Wrong::TidvZero));
}

#[test]
fn a_transmit_buffer_must_stay_as_it_was() {
    let touched = noticed(|bench| {
        bench.script.block(true);
        bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
        bench.tx_buffers[0][99] ^= 1;
        bench.script.block(false);
        bench.card.run();
    });
    assert_eq!(touched, Some(Wrong::BufferTouched));
}
