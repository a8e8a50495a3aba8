//! What `open` does to a card, in which order, and what stops it.

use super::card::{Card, Event, MAC, TestCard};
use super::{rings, up};
use crate::regs::*;
use crate::{Config, E1000, EepromError, OpenError, PhyError};
use naio_nic::{Link, Mac, Nic};
use std::time::Duration;

fn fails(prepare: impl FnOnce(&mut TestCard, &Card)) -> (OpenError, Card) {
    let (mut device, card) = TestCard::new();
    prepare(&mut device, &card);
    match E1000::open(device, &Config::default()) {
        Ok(_) => panic!("this card must not come up"),
        Err(e) => (e, card),
    }
}

/// Position of the first event that `wanted` accepts, at or after `from`.
fn find(trace: &[Event], from: usize, wanted: impl Fn(&Event) -> bool) -> usize {
    from + trace[from..].iter().position(wanted).expect("this happens, and in this order")
}

fn write_to(offset: u32) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Write(at, _) if *at == offset)
}

#[test]
fn steps_are_in_the_order_of_the_datasheet() {
    let (_driver, card) = up(&Config::default());
    let trace = std::mem::take(&mut card.lock().trace);
    let masked = find(&trace, 0, |e| *e == Event::Write(IMC, ALL_ONES));
    let stopped = find(&trace, masked, |e| *e == Event::Write(RCTL, 0));
    let drained = find(&trace, stopped, |e| *e == Event::Write(TCTL, tctl::PSP));
    let reset = find(&trace, drained, |e| matches!(e, Event::Write(CTRL, v) if v & ctrl::RST != 0));
    let eeprom = find(&trace, reset, write_to(EECD));
    let address = find(&trace, eeprom, write_to(RAH0));
    let multicast = find(&trace, address, write_to(MTA));
    let slu = find(&trace, multicast, |e| matches!(e, Event::Write(CTRL, v) if v & ctrl::SLU != 0));
    let phy = find(&trace, slu, write_to(MDIC));
    let tx = find(&trace, phy, write_to(TDLEN));
    let tdh = find(&trace, tx, write_to(TDH));
    let rx = find(&trace, tdh, write_to(RDLEN));
    let rdh = find(&trace, rx, write_to(RDH));
    let master = find(&trace, rdh, |e| *e == Event::BusMaster(true));
    let rx_on = find(&trace, master, |e| matches!(e, Event::Write(RCTL, v) if v & rctl::EN != 0));
    let tx_on = find(&trace, rx_on, |e| matches!(e, Event::Write(TCTL, v) if v & tctl::EN != 0));
    // RDT comes after RCTL, or QEMU stays silent for a second.
    find(&trace, tx_on, |e| *e == Event::Ring(RDT, Config::default().rx_ring - 1));

    let enabled = |e: &Event| match e {
        Event::Write(RCTL, v) => v & rctl::EN != 0,
        Event::Write(TCTL, v) => v & tctl::EN != 0,
        Event::BusMaster(on) => *on,
        _ => false,
    };
    assert!(!trace[..master].iter().any(enabled), "nothing runs before the rings stand");
    let touched = trace[reset + 1..].first();
    assert_eq!(
        touched,
        Some(&Event::Read(CTRL)),
        "the first thing after the reset is to ask whether it is over"
    );
}

#[test]
fn registers_end_up_the_same_whether_reset_clears_them_or_not() {
    for keeps in [false, true] {
        let (device, card) = TestCard::new();
        card.lock().lies.reset_keeps_registers = keeps;
        let driver = E1000::open(device, &rings(128, 80, 8)).expect("up");
        assert_eq!(driver.caps().mac, Mac(MAC));
        assert_eq!((driver.caps().rx_ring, driver.caps().tx_ring, driver.caps().mtu), (128, 80, 1500));
        let state = card.lock();
        for (offset, value) in [
            (RCTL, 0x0400_8002),
            (TCTL, 0x0104_00fa),
            (TIPG, 0x0060_2008),
            (RDLEN, 128 * 16),
            (TDLEN, 80 * 16),
            (RDBAH, 0),
            (TDBAH, 0),
            (RDH, 0),
            (RDT, 127),
            (TDH, 0),
            (TDT, 0),
            (RDTR, 0),
            (RADV, 0),
            (ITR, 0),
            (TXDCTL, 0x0100_0000),
            (RXCSUM, 0x300),
            (IMS, 0),
            (ICR, 0),
            (RAL0, 0x3322_1102),
            (RAH0, 0x8000_5644),
            (RAL0 + 8, 0),
            (RAH0 + 8, 0),
            (FCAL, 0x00c2_8001),
            (FCAH, 0x100),
            (FCT, 0x8808),
            (FCTTV, 0),
            (FCRTL, 0),
            (FCRTH, 0),
            (PBA, 48),
            (VET, 0),
        ] {
            assert_eq!(state.reg(offset), value, "register {offset:#x}, keeps: {keeps}");
        }
        assert_ne!(state.reg(TIDV), 0, "a zero is not allowed");
        assert_eq!(state.reg(MANC) & manc::ARP_EN, 0);
        let control = state.reg(CTRL);
        let forced = ctrl::FRCSPD | ctrl::FRCDPX | ctrl::RFCE | ctrl::TFCE | ctrl::VME | ctrl::ILOS;
        assert_eq!((control & forced, control & ctrl::SLU), (0, ctrl::SLU));
        let tables = (MTA..MTA + 512).chain(VFTA..VFTA + 512).step_by(4);
        assert!(tables.into_iter().all(|word| state.reg(word) == 0));
        assert!((0x4000..0x4100).step_by(4).all(|counter| state.reg(counter) == 0));
        assert_eq!(state.hurried, 0, "transfers drain before the reset, nothing is touched in it");
        assert!(state.eeprom.half_clock >= Duration::from_micros(50), "Microwire parts are slow");
        assert_eq!((state.phy.regs[4], state.phy.regs[9]), (0x01e1, 0x0200), "what is advertised");
        assert_eq!(state.phy.regs[0x10], 0x0860, "crossover on, polarity on, carrier sense on");
        assert_eq!(state.phy.regs[0x14], 0x0170, "what early PHYs want");
    }
}

#[test]
fn a_large_eeprom_has_longer_addresses() {
    let (device, card) = TestCard::new();
    card.lock().eeprom.words.resize(256, 0xffff);
    let driver = E1000::open(device, &Config::default()).expect("up");
    assert_eq!(driver.caps().mac, Mac(MAC));
}

#[test]
fn the_second_port_has_its_own_address() {
    let (mut device, card) = TestCard::new();
    device.identity.device = 0x1010;
    card.lock().lies.status = status::FUNC_1;
    let driver = E1000::open(device, &Config::default()).expect("up");
    assert_eq!(driver.caps().mac.0[5], MAC[5] ^ 1);
}

#[test]
fn an_old_part_is_reset_by_its_own_recipe() {
    let (mut device, card) = TestCard::new();
    device.identity.device = 0x100c;
    card.lock().phy.regs[3] = 0x0c30;
    // This part has no grant to ask for; the card of these tests wants to be asked.
    card.lock().lies.reset_keeps_registers = true;
    card.lock().set(RAL0, 0x0403_0202);
    card.lock().set(RAH0, rah::AV | 0x0605);
    let driver = E1000::open(device, &Config::default()).expect("up, with the address of RA0");
    assert_eq!(driver.caps().mac, Mac([2, 2, 3, 4, 5, 6]));
    let trace = std::mem::take(&mut card.lock().trace);
    let reset = find(&trace, 0, |e| matches!(e, Event::Write(CTRL, v) if v & ctrl::RST != 0));
    find(&trace, reset, |e| matches!(e, Event::Write(CTRL_EXT, v) if v & ctrl_ext::EE_RST != 0));
    assert!(!trace.iter().any(|e| matches!(e, Event::Write(MANC | TADV | RADV | ITR, _))), "not there");
    let descending = [Event::Write(MTA + 508, 0), Event::Read(STATUS), Event::Write(MTA + 504, 0)];
    assert!(trace.windows(3).any(|w| w == descending), "82544 erratum");
}

#[test]
fn a_bad_eeprom_leaves_receive_address_0() {
    let spoil = |card: &Card, av: u32| {
        let mut state = card.lock();
        state.eeprom.words[1] ^= 1;
        state.lies.reset_keeps_registers = true;
        state.set(RAL0, 0x4433_2206);
        state.set(RAH0, 0x6655 | av);
    };
    let (device, card) = TestCard::new();
    spoil(&card, rah::AV);
    let driver = E1000::open(device, &Config::default()).expect("up");
    assert_eq!(driver.caps().mac, Mac([6, 0x22, 0x33, 0x44, 0x55, 0x66]));
    let (error, _) = fails(|_, card| spoil(card, 0));
    assert!(
        matches!(error, OpenError::NoAddress(EepromError::Checksum { sum: 0xbabb | 0xbab9 })),
        "{error:?}"
    );
    assert!(error.to_string().contains("0xbaba"), "{error}");
}

#[test]
fn addresses_that_no_station_has_are_refused() {
    for bad in [[1, 2, 3, 4, 5, 6], [0; 6], [0xff; 6]] {
        let (error, _) = fails(|_, card| {
            let mut state = card.lock();
            for (word, pair) in state.eeprom.words.iter_mut().zip(bad.chunks(2)) {
                *word = u16::from_le_bytes([pair[0], pair[1]]);
            }
            state.eeprom.seal();
        });
        let OpenError::NoAddress(EepromError::Address(mac)) = error else { panic!("{error:?}") };
        assert_eq!(mac, Mac(bad));
    }
}

#[test]
fn ring_lengths_are_checked_before_the_card_is_touched() {
    for (rx, tx, words) in [
        (72, 512, "receive ring of 72 descriptors: it must have 80 to 4096 and a multiple of 8"),
        (84, 512, "receive ring of 84 descriptors: it must have 80 to 4096 and a multiple of 8"),
        (4104, 512, "receive ring of 4104 descriptors: it must have 80 to 4096 and a multiple of 8"),
        (0, 512, "receive ring of 0 descriptors: it must have 80 to 4096 and a multiple of 8"),
        (
            512,
            u32::MAX,
            "transmit ring of 4294967295 descriptors: it must have 80 to 4096 and a multiple of 8",
        ),
    ] {
        let (device, card) = TestCard::new();
        let error = E1000::open(device, &rings(rx, tx, 8)).err().expect("refused");
        assert_eq!(error.to_string(), words);
        assert_eq!(card.lock().trace, [Event::Dropped]);
    }
}

#[test]
fn the_link_has_a_deadline() {
    let (error, card) = fails(|_, card| card.lock().lies.no_link = true);
    let OpenError::NoLink(timeout) = &error else { panic!("{error:?}") };
    assert_eq!(timeout.within, Duration::from_secs(6));
    assert_eq!(error.to_string(), "no link: the card did not get a link within 6000 ms; is the cable in?");
    let mut state = card.lock();
    assert!((6..8).contains(&state.now.as_secs()), "{:?}", state.now);
    assert_eq!(state.memory_at_stop, Some(true), "the rings outlive bus mastering");
    assert!(!state.master);
    assert_eq!(state.trace.pop(), Some(Event::Dropped));
}

#[test]
fn a_link_is_reported_as_the_card_says() {
    let (mut driver, card) = up(&Config::default());
    assert_eq!(driver.link(), Link::Up { mbit_per_s: 1000, full_duplex: true });
    for (bits, mbit_per_s) in [(0, 10), (1, 100), (2, 1000), (3, 1000)] {
        card.lock().lies.stuck = Some((STATUS, bits << 6 | status::LU));
        assert_eq!(driver.link(), Link::Up { mbit_per_s, full_duplex: false });
    }
    card.lock().lies.stuck = Some((STATUS, status::FD));
    assert_eq!(driver.link(), Link::Down);
}

#[test]
fn waiting_for_the_card_ends() {
    let (error, card) = fails(|_, card| card.lock().lies.reset_never_ends = true);
    assert!(matches!(error, OpenError::Timeout(_)), "{error:?}");
    assert!(error.to_string().contains("leave its reset"), "{error}");
    assert!(card.lock().now < Duration::from_millis(100));

    let (error, card) = fails(|_, card| card.lock().lies.grants_never = true);
    let OpenError::NoAddress(EepromError::Busy(timeout)) = error else { panic!("{error:?}") };
    assert_eq!(timeout.what, "grant its EEPROM");
    assert!(card.lock().now < Duration::from_millis(200));

    let (error, _) = fails(|_, card| card.lock().lies.mdic_never = true);
    assert!(matches!(error, OpenError::Phy(PhyError::Silent(_))), "{error:?}");

    let (error, _) = fails(|_, card| card.lock().lies.mdic_fails = true);
    assert!(matches!(error, OpenError::Phy(PhyError::Refused { register: 2 })), "{error:?}");
}

#[test]
fn a_phy_that_is_a_stranger_or_none_is_refused() {
    for id in [0x0000_0000, 0xffff_ffff, 0x02a8_0380] {
        let (error, _) = fails(|_, card| {
            (card.lock().phy.regs[2], card.lock().phy.regs[3]) = ((id >> 16) as u16, id as u16);
        });
        let OpenError::Phy(PhyError::Stranger { found, .. }) = error else { panic!("{error:?}") };
        assert_eq!(found, id);
    }
    let (error, _) = fails(|_, card| card.lock().lies.stuck = Some((MDIC, mdic::READY | 0x0141)));
    assert!(matches!(error, OpenError::Phy(PhyError::Refused { .. })), "answers another question: {error:?}");
}

#[test]
fn a_card_that_forgets_its_ring_never_gets_the_bus() {
    for (register, name) in [(RDLEN, "receive"), (RDBAL, "receive"), (TDLEN, "transmit"), (TDBAL, "transmit")]
    {
        let (error, card) = fails(|_, card| card.lock().lies.stuck = Some((register, 0x80)));
        assert!(matches!(error, OpenError::RingRefused { ring } if ring == name), "{error:?}");
        assert!(!card.lock().trace.contains(&Event::BusMaster(true)));
    }
}

#[test]
fn the_interrupt_is_acknowledged_before_it_is_let_loose() {
    let (device, card) = TestCard::new();
    let mut driver = E1000::open(device.with_line(), &Config::default()).expect("up");
    assert!(driver.irq_fd().is_none(), "polling until asked");
    card.lock().trace.clear();
    assert!(driver.arm_irq(true));
    assert!(driver.irq_fd().is_some());
    let trace = std::mem::take(&mut card.lock().trace);
    assert!(
        matches!(trace[..], [Event::Read(ICR), Event::Acknowledge, Event::Write(IMS, 0xd5)]),
        "{trace:?}"
    );
    assert!(driver.arm_irq(false));
    assert_eq!(card.lock().reg(IMS), 0);

    let (mut driver, _) = up(&Config::default());
    assert!(!driver.arm_irq(true), "no interrupt on this platform");
}

/// QEMU has the layout of the 82541 on every part, VirtualBox that of the 82544.
#[test]
fn an_eeprom_without_pins_is_read_by_its_register_in_either_layout() {
    for layout in [(4, 8), (1, 2)] {
        let (device, card) = TestCard::new();
        card.lock().lies.grants_never = true;
        card.lock().lies.eerd = Some(layout);
        let driver = E1000::open(device, &Config::default()).expect("up");
        assert_eq!(driver.caps().mac, Mac(MAC), "layout {layout:?}");
    }
}

#[test]
fn the_multicast_table_lets_in_what_is_wanted_and_forgets_the_rest() {
    let (mut driver, card) = up(&Config::default());
    let table = |card: &Card| -> Vec<(u32, u32)> {
        let state = card.lock();
        (0..128).map(|n| (n, state.reg(MTA + 4 * n))).filter(|(_, word)| *word != 0).collect()
    };
    // 224.0.0.1 and the solicited-node group of an address that ends in 12:34:56.
    let groups = [Mac([1, 0, 0x5e, 0, 0, 1]), Mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56])];
    driver.set_multicast(&groups);
    assert_eq!(table(&card), [(0, 1 << 16), (0x563 >> 5, 1 << (0x563 & 31))]);
    driver.set_multicast(&groups[..1]);
    assert_eq!(table(&card), [(0, 1 << 16)]);
    driver.set_multicast(&[]);
    assert_eq!(table(&card), []);
}
