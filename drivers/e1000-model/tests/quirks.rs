//! Each emulator's deviations, one by one, and the faults of the script.

mod bench;
use bench::*;
use naio_device::Doorbell;
use naio_e1000_model::faults::{LengthFault, MdicFault, ResetFault, TxFault};
use naio_e1000_model::regs::*;
use naio_e1000_model::{Checks, Frame, Options, Profile};

fn profile(profile: Profile) -> Bench {
    Bench::new(Options { quirks: profile.quirks(), checks: Checks::Light, ..Options::default() })
}

#[test]
fn qemu_resets_nothing_and_sends_inside_the_tail_write() {
    let mut bench = profile(Profile::Qemu).running(BAM);
    bench.write(MTA, 7);
    bench.write(CTRL, bench.read(CTRL) | 1 << 26);
    assert_eq!((bench.read(MTA), bench.read(CTRL) & 1 << 26), (7, 0));
    let at = bench.load(0, &frame(BROADCAST, 50));
    let index = bench.post(at, 50 | EOP | IFCS | RS);
    bench.tx_doorbell.ring(bench.tx_tail);
    assert!(bench.tx.done(index, DD).is_some(), "at once");
    assert_eq!(bench.sent().expect("sent").bytes.len(), 50, "unpadded");
    bench.write(EERD, 1 << 2 | 1);
    assert_eq!(bench.read(EERD) & 2, 2, "layout B, at once");
    assert_eq!(bench.read(0x4038), 0);
}

#[test]
fn qemu_waits_a_second_after_rctl_unless_rdt_follows() {
    let mut bench = profile(Profile::Qemu).running(BAM | SECRC);
    bench.write(RCTL, BAM | SECRC | EN);
    bench.put(&frame(BROADCAST, 20));
    assert!(bench.receive_frame().is_none());
    bench.delay_us(999_000);
    assert!(bench.receive_frame().is_none());
    bench.delay_us(2_000);
    let (bytes, last) = bench.receive_frame().expect("after a second");
    assert_eq!((bytes.len(), last.status() & 0x84), (60, 4), "padded, IXSM");
    bench.write(RCTL, BAM | EN);
    bench.rx_doorbell.ring(bench.rx_tail);
    bench.put(&frame(BROADCAST, 100));
    assert!(bench.receive_frame().is_some(), "RDT opens it");
}

#[test]
fn qemu_keeps_frames_at_the_backend_while_the_ring_is_empty() {
    let mut bench = profile(Profile::Qemu);
    bench.link_up();
    bench.set_up_rings();
    bench.write(RCTL, EN | BAM);
    bench.rx_doorbell.ring(0);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!((bench.script.waiting(), bench.count(0x40a0)), (1, 0));
    bench.post_receive(4);
    bench.card.run();
    assert!(bench.receive_frame().is_some());
}

#[test]
fn virtualbox_has_its_own_eerd_tail_and_pif() {
    let mut bench = profile(Profile::VirtualBox);
    bench.write(EERD, 2 << 8 | 1);
    assert_eq!(bench.read(EERD) & 0x10, 0x10, "layout A, at once");
    bench.link_up();
    bench.set_up_rings();
    bench.rx_tail = 0;
    bench.post_receive(RING - 1);
    bench.rx_doorbell.ring(RING);
    assert!(bench.card.violations().is_empty(), "RDT may be the size");
    bench.post_receive(0);
    bench.rx_doorbell.ring(bench.rx_tail);
    bench.write(RCTL, EN | BAM | SECRC);
    bench.put(&frame(BROADCAST, 100));
    assert_eq!(bench.receive_frame().expect("received").1.status() & 0x84, 0x84);
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert_eq!(bench.card.causes() & 2, 0, "TXQE never");
}

#[test]
fn vmware_loads_no_address() {
    let bench = profile(Profile::Vmware);
    assert_eq!(bench.read(RA + 4), 0);
}

#[test]
fn a_card_that_is_gone_answers_all_ones_and_may_come_back() {
    let mut bench = Bench::silicon().running(BAM);
    bench.card.inject(|f| f.gone = true);
    assert_eq!(bench.read(STATUS), u32::MAX);
    let index = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.tx.done(index, DD).is_none());
    bench.card.inject(|f| f.gone = false);
    assert_ne!(bench.read(STATUS), u32::MAX);
}

#[test]
fn units_that_never_finish() {
    let bench = Bench::silicon();
    bench.card.inject(|f| {
        f.mdic = MdicFault::NeverReady;
        f.eerd_never_done = true;
        f.eecd_never_grants = true;
        f.reset = ResetFault::Never;
    });
    bench.write(MDIC, 2 << 26 | 1 << 21 | 2 << 16);
    bench.write(EERD, 1);
    bench.write(EECD, 64);
    bench.delay_us(1_000_000);
    assert_eq!(bench.read(MDIC) & 1 << 28, 0);
    assert_eq!(bench.read(EERD) & 0x12, 0);
    assert_eq!(bench.read(EECD) & 0x80, 0);
    bench.card.inject(|f| f.mdic = MdicFault::AlwaysError);
    bench.write(MDIC, 2 << 26 | 1 << 21 | 2 << 16);
    bench.delay_us(100);
    assert_eq!(bench.read(MDIC) >> 28 & 5, 5);
    bench.write(CTRL, bench.read(CTRL) | 1 << 26);
    bench.delay_us(1_000_000);
    assert_ne!(bench.read(CTRL) & 1 << 26, 0);
}

#[test]
fn transmit_faults() {
    let mut bench = Bench::new(Options { checks: Checks::Light, ..Options::default() }).running(BAM);
    let bytes = frame(BROADCAST, 100);
    bench.card.inject(|f| f.tx = TxFault::StallsAfter(1));
    let first = bench.send(&bytes, EOP | IFCS | RS);
    let second = bench.send(&bytes, EOP | IFCS | RS);
    assert!(bench.tx.done(first, DD).is_some() && bench.tx.done(second, DD).is_none());
    bench.card.inject(|f| f.tx = TxFault::NeverDone);
    bench.card.run();
    assert!(bench.tx.done(second, DD).is_none());
    assert_eq!(std::iter::from_fn(|| bench.sent()).count(), 2, "sent nevertheless");
    bench.card.inject(|f| f.tx = TxFault::DoneUnasked);
    let third = bench.send(&bytes, EOP | IFCS);
    assert!(bench.tx.done(third, DD).is_some());
    bench.card.inject(|f| f.tx = TxFault::OutOfOrder);
    let fourth = bench.send(&bytes, EOP | IFCS | RS);
    assert!(bench.tx.done(fourth, DD).is_none(), "waits for the next to go first");
    let fifth = bench.send(&bytes, EOP | IFCS | RS);
    assert!(bench.tx.done(fourth, DD).is_some() && bench.tx.done(fifth, DD).is_some());
    bench.card.inject(|f| f.tx = TxFault::DoneEarly);
    let at = bench.load(0, &bytes);
    let sixth = bench.post(at, 100 | EOP | IFCS | RS);
    bench.tx_doorbell.ring(bench.tx_tail);
    let _ = std::iter::from_fn(|| bench.sent()).count();
    bench.card.step(1);
    assert!(bench.tx.done(sixth, DD).is_some());
    assert!(bench.sent().is_none(), "done before its data was fetched");
    bench.card.run();
    assert!(bench.sent().is_some());
}

#[test]
fn receive_lies() {
    let mut bench = Bench::new(Options { checks: Checks::Light, ..Options::default() }).running(BAM | SECRC);
    let one = |bench: &mut Bench| {
        bench.put(&frame(BROADCAST, 100));
        bench.receive().expect("done").word
    };
    bench.card.inject(|f| f.rx_length = LengthFault::BeyondBuffer(5));
    assert_eq!(one(&mut bench) & 0xffff, 2053);
    bench.card.inject(|f| f.rx_length = LengthFault::Always(0));
    assert_eq!(one(&mut bench) & 0xffff, 0);
    bench.card.inject(|f| {
        f.rx_length = LengthFault::None;
        f.rx_without_eop = 1;
        f.rx_status = 4;
        f.rx_errors = 0x60;
    });
    assert_eq!(one(&mut bench) >> 32 & 0xffff, 0x6005);
    assert_eq!(one(&mut bench) >> 32 & 0xff, 7, "one only");
    bench.card.inject(|f| f.rx_empty_eop = 1);
    assert_eq!(one(&mut bench) & 0xffff, 100);
    let empty = bench.receive().expect("one more").word;
    assert_eq!((empty & 0xffff, empty >> 32 & 3), (0, 3));
    bench.card.inject(|f| f.overruns = 3);
    for _ in 0..3 {
        one(&mut bench);
    }
    assert_eq!((bench.count(0x4010), bench.count(0x40a0)), (3, 3));
    bench.card.inject(|f| {
        f.rdh = Some(0xffff);
        f.ring_len = Some(8);
        f.icr = Some(u32::MAX);
    });
    assert_eq!((bench.read(RDH), bench.read(RDLEN), bench.read(ICR)), (0xffff, 8, u32::MAX));
}

#[test]
fn torn_write_backs_show_done_before_the_length() {
    let bench = Bench::new(Options { checks: Checks::Light, ..Options::default() }).running(BAM | SECRC);
    bench.card.inject(|f| f.rx_torn = true);
    bench.script.put(Frame::good(&frame(BROADCAST, 100)));
    bench.card.step(1);
    assert!(bench.rx.done(0, DD).is_none(), "in the FIFO");
    bench.card.step(1);
    let first = bench.rx.done(0, DD).expect("done").word();
    bench.card.step(1);
    let second = bench.rx.done(0, DD).expect("done").word();
    assert_eq!((first & 0xffff, second & 0xffff), (0, 100));
}

#[test]
fn held_write_backs_come_all_at_once() {
    let mut bench = Bench::new(Options { checks: Checks::Light, ..Options::default() }).running(BAM | SECRC);
    bench.card.inject(|f| f.held = true);
    bench.put(&frame(BROADCAST, 100));
    bench.put(&frame(BROADCAST, 100));
    let sent = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.receive().is_none() && bench.tx.done(sent, DD).is_none());
    bench.card.inject(|f| f.held = false);
    bench.card.run();
    assert!(bench.receive().is_some() && bench.receive().is_some() && bench.tx.done(sent, DD).is_some());
}

fn of(profile: Profile) -> Bench {
    Bench::new(Options { quirks: profile.quirks(), ..Options::default() })
}

#[test]
fn qemu_leaves_registers_out_and_has_its_own_values() {
    let bench = of(Profile::Qemu);
    for at in [CTRL_EXT, FCAL, FCT, FCTTV, TXCW, FCRTH, RXDCTL, TIPG, RSRPD, TIDV, TSPMT, RXCSUM] {
        bench.write(at, 0x0000_0770);
        assert_eq!(bench.read(at), 0, "{at:#x} is not there");
    }
    assert_eq!((bench.read(MANC), bench.read(LEDCTL)), (0x0022_2300, 0x602));
    assert_eq!(bench.read(STATUS), 0x8008_0783, "up from the start, with bits of later parts");
    for (register, error) in
        [(0, 0), (1, 0), (5, 0), (10, 0), (0x11, 0), (0x15, 0), (7, 1), (8, 1), (15, 1), (0x12, 1)]
    {
        bench.write(MDIC, 2 << 26 | 1 << 21 | register << 16);
        assert_eq!(bench.read(MDIC) >> 28 & 0xd, 1 | error << 2, "PHY register {register:#x}");
    }
}

#[test]
fn qemu_always_adds_an_fcs_and_counts_descriptors_by_level() {
    let mut bench = of(Profile::Qemu).running(BAM | SECRC);
    bench.send(&frame(BROADCAST, 100), EOP | RS);
    let sent = bench.sent().expect("sent");
    assert_eq!((sent.bytes.len(), sent.fcs), (100, naio_e1000_model::wire::Fcs::Good));
    let _ = bench.read(ICR);
    // Half of 64 or fewer: the cause comes with every frame.
    for n in 0..40 {
        bench.script.put(Frame::good(&frame(BROADCAST, 60)));
        bench.card.run();
        let low = bench.read(ICR) & 0x10 != 0;
        assert_eq!(low, RING - 1 - (n + 1) <= RING / 2, "after frame {n}");
    }
}

#[test]
fn emulators_have_no_receive_timers_and_virtualbox_no_throttle() {
    for profile in [Profile::Qemu, Profile::VirtualBox] {
        let mut bench = of(profile).running(BAM);
        bench.write(RDTR, 100);
        bench.put(&frame(BROADCAST, 100));
        assert!(bench.receive().is_some() && bench.read(ICR) & 0x80 != 0, "{profile:?}: at once");
    }
    let bench = of(Profile::VirtualBox);
    bench.write(ITR, 0xffff);
    bench.write(IMS, 4);
    for _ in 0..3 {
        bench.write(ICS, 4);
        let _ = bench.read(ICR);
    }
    assert_eq!(bench.card.assertions(), 3);
}

#[test]
fn virtualbox_has_its_own_phy_and_negotiates_faster_the_second_time() {
    let bench = of(Profile::VirtualBox);
    let at_start = [STATUS, EECD, CTRL, TSPMT].map(|at| bench.read(at));
    // Our EEPROM pulls DO (bit 3) up while nobody drives it.
    assert_eq!(at_start, [0x81, 0x108, 0x0a09, 0x0100_0400]);
    let phy = |op: u32, register: u32, value: u32| {
        bench.write(MDIC, op << 26 | 1 << 21 | register << 16 | value);
        bench.read(MDIC) & 0xffff
    };
    for (register, value) in [(4, 0x01e1), (9, 0x1e00), (0x10, 0x0068), (0x14, 0x0d60)] {
        assert_eq!(phy(2, register, 0), value, "PHY register {register:#x}");
    }
    bench.write(CTRL, bench.read(CTRL) | 0x40);
    let after = |seconds: u64| {
        bench.delay_us(seconds * 1_000_000);
        bench.read(STATUS) & 2 != 0
    };
    assert!(!after(4) && after(1), "five seconds after power-on");
    phy(1, 0, 0x1340);
    assert!(!after(1) && after(1), "two after a restart");
    for at in [RDFH, TDFT, TXDMAC, WUFC, IPAV] {
        bench.write(at, 1);
        assert_eq!(bench.read(at), 0, "{at:#x} is not there");
    }
}

#[test]
fn a_context_inside_a_packet_spoils_it_on_virtualbox_only() {
    for (profile, sent) in [(Profile::Silicon, true), (Profile::VirtualBox, false)] {
        let mut bench = of(profile).running(BAM);
        let at = bench.load(0, &frame(BROADCAST, 100));
        bench.post(at, 50 | DATA | IFCS);
        bench.post(0, DEXT);
        bench.post(at + 50, 50 | DATA | IFCS | EOP | RS);
        bench.ring();
        assert_eq!(bench.sent().is_some(), sent, "{profile:?}");
    }
}
