//! EEPROM by pins and by EERD, PHY by MDIC and by pins, autonegotiation and link.

mod bench;
use bench::*;
use naio_e1000_model::regs::*;
use naio_e1000_model::{EepromKind, Options, Partner};

const SK: u32 = 1;
const CS: u32 = 2;
const DI: u32 = 4;
const DO: u32 = 8;
const REQ: u32 = 64;

fn pins(bench: &Bench, value: u32) -> u32 {
    bench.write(EECD, value);
    let read = bench.read(EECD);
    bench.delay_us(50);
    read
}

/// Shifts `count` bits in, most significant first, and as many out.
fn shift(bench: &Bench, base: u32, bits: u32, count: u32) -> u32 {
    let mut out = 0;
    for n in (0..count).rev() {
        let di = if bits >> n & 1 != 0 { DI } else { 0 };
        pins(bench, base | di);
        let high = pins(bench, base | di | SK);
        out = out << 1 | u32::from(high & DO != 0);
        pins(bench, base | di);
    }
    out
}

fn microwire(bench: &Bench, command: u32, count: u32) -> u32 {
    pins(bench, REQ);
    assert_eq!(bench.read(EECD) & 0x80, 0x80, "granted");
    pins(bench, REQ | CS);
    shift(bench, REQ | CS, command, count);
    let word = shift(bench, REQ | CS, 0, 16);
    pins(bench, REQ);
    pins(bench, REQ | SK);
    pins(bench, 0);
    word
}

#[test]
fn microwire_reads_every_word_and_they_sum_up() {
    for (kind, bits) in [(EepromKind::Microwire64, 6), (EepromKind::Microwire256, 8)] {
        let bench = Bench::new(Options { eeprom: kind, ..Options::default() });
        assert_eq!(bench.read(EECD) & 0x300, if bits == 8 { 0x300 } else { 0x100 }, "PRES and SIZE");
        let words: Vec<u16> =
            (0..64).map(|n| microwire(&bench, 0b110 << bits | n, 3 + bits) as u16).collect();
        assert_eq!(words[..], bench.card.eeprom()[..64]);
        assert_eq!(words.iter().fold(0u16, |sum, w| sum.wrapping_add(*w)), 0xbaba);
        bench.innocent();
    }
}

#[test]
fn microwire_writes_only_when_enabled() {
    let bench = Bench::silicon();
    let write = |enable: bool| {
        pins(&bench, REQ);
        if enable {
            pins(&bench, REQ | CS);
            shift(&bench, REQ | CS, 0b1_0011_0000, 9);
            pins(&bench, REQ);
        }
        pins(&bench, REQ | CS);
        shift(&bench, REQ | CS, 0b101 << 6 | 5, 9);
        shift(&bench, REQ | CS, 0xbeef, 16);
        pins(&bench, REQ);
        bench.card.eeprom()[5]
    };
    assert_ne!(write(false), 0xbeef);
    assert_eq!(write(true), 0xbeef);
}

#[test]
fn pins_without_a_grant_do_nothing() {
    let bench = Bench::silicon();
    bench.write(EECD, CS);
    bench.write(EECD, CS | SK);
    assert!(!bench.card.violations().is_empty());
    let old = Bench::id(0x1004);
    old.write(EECD, CS);
    old.write(EECD, CS | SK);
    old.innocent();
}

#[test]
fn spi_reads_words_low_byte_first() {
    let bench = Bench::new(Options { device_id: 0x1076, eeprom: EepromKind::Spi, ..Options::default() });
    assert_eq!(bench.read(EECD) & 0x2400, 0x2400, "TYPE and ADDR_BITS");
    pins(&bench, REQ | CS);
    for n in [0u32, 2, 0x3f] {
        pins(&bench, REQ);
        shift(&bench, REQ, 0x03, 8);
        shift(&bench, REQ, n * 2, 16);
        let word = shift(&bench, REQ, 0, 16) as u16;
        pins(&bench, REQ | CS);
        assert_eq!(word.swap_bytes(), bench.card.eeprom()[n as usize], "word {n:#x}");
    }
}

#[test]
fn eerd_answers_in_the_layout_of_the_part_and_late() {
    for (id, word, shift, done) in [(0x100e, 2, 8, 0x10), (0x1076, 2, 2, 2), (0x1008, 1, 8, 0x10)] {
        let bench = Bench::id(id);
        bench.write(EERD, word << shift | 1);
        assert_eq!(bench.read(EERD) & done, 0, "{id:#x} takes its time");
        bench.delay_us(100);
        let value = bench.read(EERD);
        assert_eq!(value & done, done);
        assert_eq!((value >> 16) as u16, bench.card.eeprom()[word as usize]);
    }
}

fn mdic(bench: &Bench, value: u32) -> u32 {
    bench.write(MDIC, value);
    assert_eq!(bench.read(MDIC) & 1 << 28, 0, "not ready at once");
    bench.delay_us(64);
    bench.read(MDIC)
}

#[test]
fn mdic_reads_and_writes_and_says_what_is_not_there() {
    let bench = Bench::silicon();
    let phy = 1 << 21;
    assert_eq!(mdic(&bench, 2 << 26 | phy | 2 << 16) & 0xffff, 0x0141);
    assert_eq!(mdic(&bench, 2 << 26 | phy | 3 << 16) & 0xfff0, 0x0c20);
    mdic(&bench, 1 << 26 | phy | 4 << 16 | 0x01e1);
    let value = mdic(&bench, 2 << 26 | phy | 4 << 16);
    assert_eq!(value & 0xffff, 0x01e1);
    assert_eq!(value >> 16 & 0x3ff, 4 | 1 << 5, "REG and PHY are echoed");
    assert_ne!(mdic(&bench, 2 << 26 | 2 << 21 | 2 << 16) & 1 << 30, 0, "another address: E");
    assert_ne!(mdic(&bench, 2 << 26 | phy | 11 << 16) & 1 << 30, 0, "another register: E");
    bench.write(IMS, 1 << 9);
    mdic(&bench, 2 << 26 | phy | 2 << 16 | 1 << 29);
    assert!(bench.card.interrupt_pin(), "MDAC");
    bench.innocent();
}

fn phy(bench: &Bench, register: u32) -> u32 {
    mdic(bench, 2 << 26 | 1 << 21 | register << 16) & 0xffff
}

#[test]
fn autonegotiation_takes_its_time_and_the_link_bit_latches_low() {
    let bench = Bench::silicon();
    bench.write(CTRL, bench.read(CTRL) | 0x40);
    assert_eq!(bench.read(STATUS) & 2, 0);
    assert_eq!(phy(&bench, 1) & 0x24, 0, "no link, not complete");
    bench.delay_us(2_000_000);
    assert_eq!(bench.read(STATUS) & 0xc3, 0x83, "1000 Mb/s, full duplex, up");
    assert_ne!(bench.read(ICR) & 4, 0, "LSC");
    assert_eq!(phy(&bench, 1) & 0x24, 0x24, "complete and up");
    bench.script.plug(false);
    bench.card.run();
    assert_eq!(bench.read(STATUS) & 2, 0);
    assert_ne!(bench.read(ICR) & 4, 0);
    bench.script.plug(true);
    bench.delay_us(2_000_000);
    assert_eq!(bench.read(STATUS) & 2, 2);
    assert_eq!(phy(&bench, 1) & 4, 0, "it was down meanwhile");
    assert_eq!(phy(&bench, 1) & 4, 4);
}

#[test]
fn without_slu_the_mac_sees_no_link() {
    let bench = Bench::silicon();
    bench.delay_us(3_000_000);
    assert_eq!(bench.read(STATUS) & 2, 0);
    bench.write(CTRL, bench.read(CTRL) | 0x40);
    assert_eq!(bench.read(STATUS) & 2, 2);
}

#[test]
fn a_slower_partner_makes_a_slower_link() {
    for (anar, gigabit, status) in
        [(0x01e1, true, 0x81), (0x01e1, false, 0x41), (0x00a1, false, 0x40), (0x0061, false, 0x01)]
    {
        let partner = Partner { anar, gigabit, negotiates: true };
        let bench = Bench::new(Options { partner, ..Options::default() });
        bench.link_up();
        assert_eq!(bench.read(STATUS) & 0xc1, status, "{partner:?}");
    }
}

#[test]
fn the_82543_reaches_its_phy_over_pins() {
    let bench = Bench::id(0x1004);
    let control = bench.read(CTRL) & !(0xf << 20) & !(0xf << 22);
    let (mdio, mdc, out, clock) = (1 << 20, 1 << 21, 1 << 24, 1 << 25);
    let bit = |one: bool| {
        let base = control | clock | out | if one { mdio } else { 0 };
        bench.write(CTRL, base);
        bench.write(CTRL, base | mdc);
        bench.write(CTRL, base);
    };
    let word = |register: u32| {
        (0..32).for_each(|_| bit(true));
        let head = 0b0110 << 10 | 1 << 5 | register;
        (0..14).rev().for_each(|n| bit(head >> n & 1 != 0));
        let mut value = 0;
        for n in 0..18 {
            bench.write(CTRL, control | clock);
            bench.write(CTRL, control | clock | mdc);
            let read = bench.read(CTRL);
            bench.write(CTRL, control | clock);
            if (1..17).contains(&n) {
                value = value << 1 | u32::from(read & mdio != 0);
            }
        }
        value
    };
    assert_eq!(word(2), 0x0141);
    assert_eq!(word(3) & 0xfff0, 0x0c50);
}

#[test]
fn the_igp_phy_has_pages() {
    let bench = Bench::id(0x1076);
    assert_eq!(phy(&bench, 2), 0x02a8);
    mdic(&bench, 1 << 26 | 1 << 21 | 0x1f << 16 | 0x2f40);
    mdic(&bench, 1 << 26 | 1 << 21 | 0x1b << 16 | 0x0003);
    assert_eq!(phy(&bench, 0x1b), 3);
    mdic(&bench, 1 << 26 | 1 << 21 | 0x1f << 16);
    assert_eq!(phy(&bench, 0x1b), 0, "another page");
}

#[test]
fn fibre_negotiates_on_the_ten_bit_interface() {
    for id in [0x1000, 0x1001, 0x1027, 0x1028] {
        let bench = Bench::id(id);
        assert_eq!(bench.read(STATUS) & 0x22, 0x20, "TBIMODE, down");
        bench.write(TXCW, 0x8000_01a0);
        bench.write(CTRL, bench.read(CTRL) & !8 | 0x40);
        bench.delay_us(50_000);
        assert_eq!(bench.read(STATUS) & 2, 2, "{id:#x}");
        assert_ne!(bench.read(RXCW) & 1 << 30, 0, "synchronised");
    }
}

#[test]
fn the_82543_shows_the_speed_that_software_copied() {
    let bench = Bench::id(0x1004);
    bench.write(CTRL, bench.read(CTRL) & !0x301 | 0x40 | 0x100 | 0x1800);
    bench.delay_us(6_000_000);
    assert_eq!(bench.read(STATUS) & 0xc3, 0x42, "100 Mb/s, half duplex");
}

#[test]
fn both_kinds_of_spi_chips_read_and_write_all_their_words() {
    for (kind, address_bits, words) in [(EepromKind::Spi, 16, 4096), (EepromKind::SpiSmall, 8, 256)] {
        let bench = Bench::new(Options { device_id: 0x1076, eeprom: kind, ..Options::default() });
        assert_eq!(bench.read(EECD) >> 10 & 1, u32::from(address_bits == 16), "ADDR_BITS");
        assert_eq!((bench.read(EECD) >> 13 & 1, bench.card.eeprom().len()), (1, words));
        let transfer = |opcode: u32, word: Option<u32>, data: Option<u16>| {
            pins(&bench, REQ);
            // The small chip has the ninth address bit in bit 3 of the opcode.
            let high = word.is_some_and(|word| address_bits == 8 && word >= 128);
            shift(&bench, REQ, opcode | u32::from(high) << 3, 8);
            if let Some(word) = word {
                shift(&bench, REQ, word * 2, address_bits);
            }
            let got = shift(&bench, REQ, data.map_or(0, |data| data.swap_bytes().into()), 16);
            pins(&bench, REQ | CS);
            (got as u16).swap_bytes()
        };
        pins(&bench, REQ | CS);
        for word in [0, 127, 128, 200, 255] {
            let before = transfer(0x03, Some(word), None);
            assert_eq!(before, bench.card.eeprom()[word as usize]);
            transfer(0x02, Some(word), Some(0x1234));
            assert_eq!(transfer(0x03, Some(word), None), before, "writing is not enabled");
            pins(&bench, REQ);
            shift(&bench, REQ, 0x06, 8);
            pins(&bench, REQ | CS);
            pins(&bench, REQ);
            shift(&bench, REQ, 0x05, 8);
            assert_eq!(shift(&bench, REQ, 0, 8) & 3, 2, "write enabled, ready");
            pins(&bench, REQ | CS);
            transfer(0x02, Some(word), Some(0x1200 | word as u16));
            assert_eq!(transfer(0x03, Some(word), None), 0x1200 | word as u16, "{kind:?} word {word}");
        }
    }
}
