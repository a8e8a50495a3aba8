//! Configuration space and the regions behind it, as each part has them.

mod bench;

use bench::*;
use naio_device::{Device, Irq, Registers};
use naio_e1000_model::parts::{Mac, PARTS};
use naio_e1000_model::regs::*;
use naio_e1000_model::{Options, Profile, Slot, Space, Wrong};

/// The ids and places of the capability list.
fn chain(bench: &Bench) -> Vec<(usize, u32)> {
    let port = bench.card.port();
    let mut at = port.config_read(0x34, 1) as usize;
    let mut found = Vec::new();
    while at != 0 {
        assert!(found.len() < 8, "the chain ends");
        found.push((at, port.config_read(at, 1)));
        at = port.config_read(at + 1, 1) as usize;
    }
    found
}

#[test]
fn every_part_shows_its_identity_and_class() {
    for part in PARTS {
        let bench = Bench::id(part.id);
        let port = bench.card.port();
        assert_eq!(port.config_read(0, 4), u32::from(part.id) << 16 | 0x8086);
        assert_eq!(port.config_read(8, 4), 0x0200_0000 | u32::from(part.revision()), "class, revision");
        assert_eq!(port.config_read(0x2c, 4), 0x1008_8086, "subsystem");
        assert_eq!(port.config_read(0x3c, 4), 0x00ff_0100, "INTA#, Min_Gnt, Max_Lat");
        assert_eq!(port.config_read(0x0e, 1), if part.is_dual() { 0x80 } else { 0 });
        let identity = bench.model.identity();
        assert_eq!((identity.device, identity.subsystem), (part.id, 0x1008));
        assert_eq!(port.config_read(0x40, 4), 0);
        assert_eq!((port.config_read(254, 4), port.config_read(usize::MAX, 2)), (0xffff_0000, 0xffff));
    }
    let second = Bench::new(Options { device_id: 0x1010, function: 1, ..Options::default() });
    assert_eq!(second.card.port().config_read(0x3d, 1), 2, "INTB#");
}

#[test]
fn the_subsystem_comes_from_a_valid_eeprom_only() {
    let with = |control: u16| {
        let mut words = vec![0; 64];
        (words[0x0a], words[0x0b], words[0x0c]) = (control, 0x1234, 0x5678);
        let bench = Bench::new(Options { eeprom_words: Some(words), ..Options::default() });
        bench.card.port().config_read(0x2c, 4)
    };
    assert_eq!(with(0x4400), 0x1234_5678);
    assert_eq!(with(0xffff), 0x1008_8086, "no signature: the chip's own");
}

#[test]
fn the_capability_list_of_each_part() {
    for part in PARTS {
        let bench = Bench::id(part.id);
        let expected: &[(usize, u32)] = match part.mac {
            Mac::I82542 | Mac::I82543 => &[],
            Mac::I82547 | Mac::I82547Rev2 => &[(0xdc, 1)],
            Mac::I82541 | Mac::I82541Rev2 => &[(0xdc, 1), (0xe4, 7)],
            _ => &[(0xdc, 1), (0xe4, 7), (0xf0, 5)],
        };
        assert_eq!(chain(&bench), expected, "{}", part.name);
        let listed = bench.card.port().config_read(6, 2) & 0x10 != 0;
        assert_eq!(listed, !expected.is_empty(), "{}: STATUS says whether there is a list", part.name);
    }
}

#[test]
fn sizes_of_base_address_registers_can_be_probed() {
    for (id, flash_kb, expected) in [
        (0x1000, 64, vec![(0, 0x2_0000, Space::Registers)]),
        (0x100e, 0, vec![(0, 0x2_0000, Space::Registers), (2, 64, Space::Io)]),
        (0x100e, 128, vec![(0, 0x2_0000, Space::Registers), (1, 0x2_0000, Space::Flash), (2, 64, Space::Io)]),
        (0x100f, 64, vec![(0, 0x2_0000, Space::Registers), (2, 0x1_0000, Space::Flash), (4, 64, Space::Io)]),
        (0x1019, 0, vec![(0, 0x2_0000, Space::Registers)]),
    ] {
        let bench = Bench::new(Options { device_id: id, flash_kb, ..Options::default() });
        let port = bench.card.port();
        let bars: Vec<_> = port.bars().iter().map(|bar| (bar.index, bar.len, bar.space)).collect();
        assert_eq!(bars, expected, "{id:#x}");
        let taken: Vec<usize> =
            port.bars().iter().flat_map(|bar| bar.index..=bar.index + usize::from(bar.wide)).collect();
        for index in 0..6 {
            let at = 0x10 + index * 4;
            port.config_write(at, 4, u32::MAX);
            let probe = port.config_read(at, 4);
            match port.bars().iter().find(|bar| bar.index == index) {
                Some(bar) if bar.space == Space::Io => assert_eq!(probe, !(bar.len - 1) | 1),
                Some(bar) => assert_eq!(probe, !(bar.len - 1) | u32::from(bar.wide) << 2),
                None if taken.contains(&index) => assert_eq!(probe, u32::MAX, "the upper half"),
                None => assert_eq!(probe, 0, "{id:#x} has no BAR {index}"),
            }
        }
    }
}

#[test]
fn command_keeps_its_bits_and_status_is_cleared_by_ones() {
    let mut bench = Bench::silicon();
    let port = bench.card.port();
    port.config_write(4, 2, 0xffff);
    assert_eq!(port.config_read(4, 2), 0x0157, "15:10 are reserved: no INTx disable");
    bench.model.set_bus_master(false).expect("always");
    assert_eq!(port.config_read(4, 2), 0x0153);
    bench.model.set_bus_master(true).expect("always");
    let mut bench = bench.running(EN | BAM);
    bench.post(0xdead_0000, 60 | EOP | IFCS | RS);
    bench.ring();
    assert_eq!(bench.card.dma_faults(), 1, "reported as an IOMMU would");
    assert_eq!(port.config_read(6, 2), 0x2230, "received master abort");
    port.config_write(7, 1, 0x20);
    assert_eq!(port.config_read(6, 2), 0x0230);
}

#[test]
fn without_memory_decoding_or_in_d3_the_card_does_not_answer() {
    let bench = Bench::silicon().running(EN | BAM);
    let port = bench.card.port();
    bench.write(MTA, 0x1234);
    let status = bench.read(STATUS);
    port.config_write(4, 2, 4);
    bench.write(MTA, 0x5555);
    assert_eq!((bench.read(STATUS), bench.read(MTA)), (u32::MAX, u32::MAX));
    port.config_write(4, 2, 6);
    assert_eq!((bench.read(STATUS), bench.read(MTA)), (status, 0x1234), "nothing was lost or written");

    port.config_write(0xe0, 2, 3);
    assert_eq!(bench.read(STATUS), u32::MAX);
    let frames = bench.count(STATS + 0x74);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.count(STATS + 0x74), frames, "nothing is received into memory in D3");
    assert!(!port.interrupt_pin());
    port.config_write(0xe0, 2, 0);
    assert_eq!(port.config_read(4, 2), 0, "back in D0 the space is uninitialised");
    port.config_write(4, 2, 6);
    bench.delay_us(10_000);
    assert_eq!(bench.read(MTA), 0, "and the card was reset");
    assert_eq!(bench.read(RA + 4) >> 31, 1, "with its address read again");
}

#[test]
fn the_emulators_show_their_own_space() {
    let of = |profile: Profile, device_id| {
        Bench::new(Options { device_id, quirks: profile.quirks(), ..Options::default() })
    };
    let qemu = of(Profile::Qemu, 0x100e);
    assert_eq!(chain(&qemu), []);
    let port = qemu.card.port();
    assert_eq!((port.config_read(0x2c, 4), port.config_read(8, 1)), (0x1100_1af4, 3));
    assert_eq!(port.bars().last().map(|bar| (bar.index, bar.len)), Some((1, 64)));
    port.write(1, 0, &STATUS.to_le_bytes());
    let mut word = [0xff; 4];
    port.read(1, 4, &mut word);
    assert_eq!(word, [0; 4], "the window is dead");

    for (id, subsystem) in [(0x100e, 0x001e_8086), (0x1004, 0x1004_8086), (0x100f, 0x0750_15ad)] {
        assert_eq!(of(Profile::VirtualBox, id).card.port().config_read(0x2c, 4), subsystem);
    }
    assert_eq!(chain(&of(Profile::VirtualBox, 0x100e)), [(0xdc, 1), (0xe4, 7)]);
    assert_eq!(of(Profile::Vmware, 0x100f).card.port().config_read(0x2c, 4), 0x0750_15ad);
}

#[test]
fn status_tells_the_slot() {
    let status = |device_id, slot| {
        let bench = Bench::new(Options { device_id, slot, ..Options::default() });
        bench.read(STATUS) >> 11 & 0x1f
    };
    assert_eq!(status(0x100e, Slot::Pci33), 0);
    assert_eq!(status(0x100e, Slot::Pci66), 1);
    assert_eq!(status(0x100e, Slot::PciX133), 1, "an 82540 does not know PCI-X mode");
    assert_eq!(status(0x100f, Slot::PciX66), 0b0_0111);
    assert_eq!(status(0x100f, Slot::PciX100), 0b0_1111);
    assert_eq!(status(0x100f, Slot::PciX133), 0b1_0111);
}

#[test]
fn narrow_and_unaligned_accesses_meet_their_dword() {
    let bench = Bench::silicon();
    let port = bench.card.port();
    let read = |offset: u32, len: usize| {
        let mut bytes = vec![0; len];
        port.read(0, offset, &mut bytes);
        bytes
    };
    port.write(0, MTA, &0x4433_2211u32.to_le_bytes());
    assert_eq!(read(MTA, 4), [0x11, 0x22, 0x33, 0x44]);
    assert_eq!(
        (read(MTA, 1), read(MTA + 3, 1), read(MTA + 2, 2)),
        (vec![0x11], vec![0x44], vec![0x33, 0x44])
    );
    for offset in [MTA, MTA + 1, MTA + 2] {
        port.write(0, offset, &[0xee]);
        port.write(0, offset, &[0xee, 0xee]);
    }
    assert_eq!(bench.read(MTA), 0x4433_2211, "narrow writes are ignored");
    assert_eq!(bench.card.take_violations().len(), 6);
    assert_eq!(bench.read(STATUS), bench.read(STATUS + 3), "an unaligned address means its dword");
    port.write(0, MTA, &[1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!((bench.read(MTA), bench.read(MTA + 4)), (1, 2), "a wide write is two dwords");
    assert_eq!(read(MTA, 8), [1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(bench.read(ICS), 0);
    bench.write(ICS, 4);
    assert_eq!(read(ICR, 1), [4], "one byte of ICR");
    assert_eq!(bench.read(ICS), 0, "and it is cleared as a whole");
    port.write(0, MTA, &[1]);
    let wrong: Vec<_> = bench.card.take_violations().iter().map(|violation| violation.wrong).collect();
    assert!(wrong.contains(&Wrong::NarrowWrite { offset: MTA, len: 1 }));
}

#[test]
fn beyond_the_window_and_in_unknown_regions_nobody_answers() {
    let bench = Bench::silicon();
    for offset in [0x2_0000, 0x2_0004, 0xffff_fffc] {
        bench.write(offset, 1);
        assert_eq!(bench.read(offset), u32::MAX);
    }
    let mut bytes = [0; 4];
    bench.card.port().read(3, 0, &mut bytes);
    assert_eq!(bytes, [0xff; 4]);
    bench.card.port().write(3, 0, &bytes);
    let flash = Bench::new(Options { flash_kb: 64, ..Options::default() });
    flash.card.port().read(1, 0x100, &mut bytes);
    assert_eq!(bytes, [0xff; 4], "a blank flash");
}

#[test]
fn the_io_window_reaches_every_register() {
    let bench = Bench::silicon();
    let port = bench.card.port();
    let dword = |offset: u32| {
        let mut bytes = [0; 4];
        port.read(2, offset, &mut bytes);
        u32::from_le_bytes(bytes)
    };
    port.write(2, 0, &(0xfff0_0000 | MTA).to_le_bytes());
    assert_eq!(dword(0), MTA, "bits 31:20 are zero");
    port.write(2, 4, &7u32.to_le_bytes());
    assert_eq!((bench.read(MTA), dword(4)), (7, 7));
    port.write(2, 0, &[0x08]);
    assert_eq!(dword(0), MTA, "narrow writes are ignored");
    port.write(2, 0, &0x2_0000u32.to_le_bytes());
    port.write(2, 4, &9u32.to_le_bytes());
    assert_eq!((dword(4), dword(8)), (0, 0), "only the registers are behind it");
    // A reset through the window, as for parts that cannot complete it otherwise.
    port.write(2, 0, &CTRL.to_le_bytes());
    port.write(2, 4, &(1u32 << 26).to_le_bytes());
    bench.delay_us(5_000);
    assert_eq!(bench.model.read(MTA), 0);
    port.config_write(4, 1, 2);
    assert_eq!(dword(0), u32::MAX, "without COMMAND.IO nobody answers");
}

#[test]
fn a_message_is_sent_once_until_icr_is_read() {
    let mut bench = Bench::silicon();
    bench.model.enable_irq().expect("an event descriptor");
    let port = bench.card.port();
    assert_eq!(port.message(), None);
    port.config_write(0xf4, 4, 0xfee0_0003);
    port.config_write(0xfc, 2, 0x41);
    port.config_write(0xf2, 2, 1);
    assert_eq!((port.message(), port.config_read(0xf2, 2)), (Some((0xfee0_0000, 0x41)), 0x81));
    bench.write(IMS, 4);
    let sent = |bench: &Bench| bench.card.assertions();
    bench.write(ICS, 4);
    assert_eq!((sent(&bench), port.interrupt_pin()), (1, false), "the pin is silent");
    bench.write(ICS, 4);
    bench.write(IMC, 4);
    bench.write(IMS, 4);
    assert_eq!(sent(&bench), 1, "nothing new before ICR is read");
    let _ = bench.read(ICR);
    assert_eq!(sent(&bench), 1);
    bench.write(ICS, 4);
    assert_eq!(sent(&bench), 2);
    bench.model.irq().map(Irq::acknowledge);
    port.config_write(0xf2, 2, 0);
    assert!(port.interrupt_pin(), "back to the pin");
}

#[test]
fn a_bus_reset_clears_more_than_the_cards_own() {
    for profile in [Profile::Silicon, Profile::Qemu] {
        let bench = Bench::new(Options { quirks: profile.quirks(), ..Options::default() }).running(EN | BAM);
        let port = bench.card.port();
        bench.write(PBA, 0x28);
        bench.write(MTA, 1);
        port.config_write(0x10, 4, 0xfeb0_0000);
        port.reset();
        assert_eq!((port.config_read(4, 2), port.config_read(0x10, 4)), (0, 0));
        assert_eq!(bench.read(STATUS), u32::MAX, "nobody decodes");
        port.config_write(4, 2, 6);
        bench.delay_us(10_000);
        assert_eq!(
            (bench.read(PBA) & 0xffff, bench.read(MTA), bench.read(RCTL)),
            (0x30, 0, 0),
            "{profile:?}"
        );
        assert_eq!(port.config_read(2, 2), 0x100e, "what is wired in stays");
    }
}
