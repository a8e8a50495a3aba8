//! What the offline self-test of a classic driver demands of a card: registers, EEPROM, interrupt,
//! loopback, link, one after the other on the same card, with resets between (levels A and B of the
//! register check-list, fact sheet 7.1).

mod bench;

use bench::*;
use naio_device::{Device, Doorbell, Registers};
use naio_e1000_model::parts::{Mac, Media, PARTS, Part};
use naio_e1000_model::regs::*;

/// Patterns of the register test.
const PATTERNS: [u32; 4] = [0x5a5a_5a5a, 0xa5a5_a5a5, 0, u32::MAX];
const RST: u32 = 1 << 26;
/// EECD pins.
const SK: u32 = 1;
const CS: u32 = 2;
const DI: u32 = 4;
const DO: u32 = 8;
const REQ: u32 = 64;

fn reset(bench: &Bench) {
    bench.write(IMC, u32::MAX);
    bench.write(RCTL, 0);
    bench.write(TCTL, 8);
    let _ = bench.read(STATUS);
    bench.delay_us(10_000);
    bench.write(CTRL, bench.read(CTRL) | RST);
    bench.delay_us(25_000);
    bench.write(IMC, u32::MAX);
    let _ = bench.read(ICR);
}

/// Each pattern reads back under the mask.
fn pattern(bench: &Bench, at: u32, mask: u32, writable: u32) {
    let before = bench.read(at);
    for pattern in PATTERNS {
        bench.write(at, pattern & writable);
        assert_eq!(bench.read(at) & mask, pattern & writable & mask, "register {at:#x}, {pattern:#x}");
    }
    bench.write(at, before);
}

/// What is written reads back, and zero does too.
fn set_and_check(bench: &Bench, at: u32, mask: u32, value: u32) {
    for value in [0, value] {
        bench.write(at, value & mask);
        assert_eq!(bench.read(at) & mask, value & mask, "register {at:#x}, {value:#x}");
    }
}

fn registers(bench: &Bench, part: Part) {
    let toggle = 0xffff_f833;
    let before = bench.read(STATUS);
    for value in [toggle, 0] {
        bench.write(STATUS, value);
        assert_eq!(bench.read(STATUS) & toggle, before & toggle, "STATUS is read-only");
    }
    for (at, mask) in [(FCAL, u32::MAX), (FCAH, 0xffff), (FCT, 0xffff), (VET, 0xffff)] {
        pattern(bench, at, mask, u32::MAX);
    }
    for (at, mask) in [
        (RDTR, 0xffff),
        (RDBAH, u32::MAX),
        (RDLEN, 0x000f_ff80),
        (RDH, 0xffff),
        (RDT, 0xffff),
        (FCRTH, 0xfff8),
        (FCTTV, 0xffff),
        (TIPG, 0x3fff_ffff),
        (TDBAH, u32::MAX),
        (TDLEN, 0x000f_ff80),
    ] {
        pattern(bench, at, mask, u32::MAX);
    }
    set_and_check(bench, RCTL, u32::MAX, 0);
    set_and_check(bench, RCTL, 0x06df_b3fe, 0x003f_fffb);
    set_and_check(bench, TCTL, u32::MAX, 0);
    if part.mac >= Mac::I82543 {
        set_and_check(bench, RCTL, 0x06df_b3fe, u32::MAX);
        for (at, mask) in [(RDBAL, 0xffff_fff0), (TXCW, 0xc000_ffff), (TDBAL, 0xffff_fff0), (TIDV, 0xffff)] {
            pattern(bench, at, mask, u32::MAX);
        }
        for n in 0..15 {
            pattern(bench, RA + 8 * n + 4, 0x8003_ffff, u32::MAX);
        }
    } else {
        set_and_check(bench, RCTL, u32::MAX, 0x01ff_ffff);
    }
    for n in 0..128 {
        pattern(bench, MTA + 4 * n, u32::MAX, u32::MAX);
    }
}

fn pins(bench: &Bench, value: u32) -> bool {
    bench.write(EECD, value);
    let high = bench.read(EECD) & DO != 0;
    bench.delay_us(50);
    high
}

/// One word over the Microwire pins.
fn word(bench: &Bench, address: u32) -> u16 {
    pins(bench, REQ);
    pins(bench, REQ | CS);
    let mut word = 0;
    for n in (0..25u32).rev() {
        let di = if n >= 16 && (0b110 << 6 | address) >> (n - 16) & 1 != 0 { DI } else { 0 };
        pins(bench, REQ | CS | di);
        let high = pins(bench, REQ | CS | di | SK);
        word = word << 1 | u16::from(n < 16 && high);
    }
    pins(bench, REQ | CS);
    pins(bench, REQ);
    pins(bench, 0);
    word
}

fn eeprom(bench: &Bench) {
    let sum = (0..64).fold(0u16, |sum, n| sum.wrapping_add(word(bench, n)));
    assert_eq!(sum, 0xbaba);
}

/// What an interrupt handler saw: the causes, if the interrupt fired.
fn handler(bench: &Bench) -> u32 {
    let irq = bench.model.irq().expect("enabled");
    let fd = irq.fd();
    let mut poll = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    if rustix::event::poll(&mut poll, Some(&rustix::event::Timespec::default())) != Ok(1) {
        return 0;
    }
    let causes = bench.read(ICR);
    irq.acknowledge();
    causes
}

fn flushed(bench: &Bench, micros: u64) {
    let _ = bench.read(STATUS);
    bench.delay_us(micros);
}

fn interrupts(bench: &Bench) {
    bench.write(IMC, u32::MAX);
    let _ = bench.read(STATUS);
    bench.delay_us(10_000);
    for n in 0..10 {
        let mask = 1 << n;
        bench.write(IMC, mask);
        bench.write(ICS, mask);
        flushed(bench, 10_000);
        assert_eq!(handler(bench) & mask, 0, "cause {n} fired while masked");
        bench.write(IMS, mask);
        bench.write(ICS, mask);
        flushed(bench, 10_000);
        assert_eq!(handler(bench) & mask, mask, "cause {n} did not fire");
        bench.write(IMC, !mask & 0x7fff);
        bench.write(ICS, !mask & 0x7fff);
        flushed(bench, 10_000);
        assert_eq!(handler(bench), 0, "others than {n} fired while masked");
    }
    bench.write(IMC, u32::MAX);
    let _ = bench.read(STATUS);
}

fn phy(bench: &Bench, register: u32, value: u32) {
    bench.write(MDIC, 1 << 26 | 1 << 21 | register << 16 | value);
    bench.delay_us(200);
    assert_eq!(bench.read(MDIC) >> 28 & 5, 1, "PHY register {register}: ready, no error");
}

/// Makes every frame come back, as the media of the part want it.
fn loop_up(bench: &Bench, part: Part) -> u32 {
    if part.media != Media::Copper {
        return 3 << 6;
    }
    if part.is_82541_or_82547() {
        phy(bench, 0, 0x4140);
        bench.delay_us(250_000);
    } else {
        phy(bench, 0x10, 0x0808);
        phy(bench, 0, 0x9140);
        phy(bench, 0, 0x8140);
        phy(bench, 0, 0x4140);
    }
    let control = bench.read(CTRL) & !(3 << 8) | 1 << 11 | 1 << 12 | 2 << 8 | 1 | 1 << 7;
    bench.write(CTRL, control);
    if !part.is_82541_or_82547() {
        for (register, value) in [(29, 0x001f), (30, 0x8ffc), (29, 0x001a), (30, 0x8ff0)] {
            phy(bench, register, value);
        }
        bench.delay_us(500);
    }
    0
}

fn loopback(bench: &mut Bench, part: Part) {
    bench.set_up_rings();
    let mode = loop_up(bench, part);
    bench.post_receive(RING - 1);
    bench.write(RCTL, EN | BAM | mode);
    bench.rx_doorbell.ring(bench.rx_tail);
    bench.write(TCTL, TCTL_ON);
    flushed(bench, 500_000);
    // All ones, from the middle on another pattern, two bytes that no other place has.
    let mut sent = vec![0xff; 1024];
    sent[512..].fill(0xaa);
    (sent[522], sent[524]) = (0xbe, 0xaf);
    for round in 0..3 {
        for n in 0..20 {
            sent[3] = 0xff - n;
            sent[0..3].fill(0xff);
            sent[3..6].fill(0xff);
            sent[20] = round * 20 + n;
            let at = bench.load(usize::from(n), &sent);
            // RPS, as the old self-test has it, is a report only on the 82544.
            bench.post(at, 1024 | EOP | IFCS | 1 << 28 | RS);
        }
        bench.ring();
        for n in 0..20 {
            sent[20] = round * 20 + n;
            let (bytes, last) = bench.receive_frame().expect("came back");
            assert_eq!((&bytes[..1024], last.errors(), bytes.len()), (&sent[..], 0, 1028));
        }
    }
    assert!(bench.sent().is_none(), "nothing left by the wire");
    bench.write(RCTL, bench.read(RCTL) & !EN & !(3 << 6));
    bench.write(TCTL, 8);
    let _ = bench.read(STATUS);
    if part.media == Media::Copper {
        phy(bench, 0, 0x9140);
    }
}

#[test]
fn every_part_with_mdic_or_its_own_serialiser_passes_the_whole_self_test() {
    for part in PARTS.iter().copied() {
        if part.mac == Mac::I82542 || part.media == Media::Copper && !part.has_mdic() {
            // Another map; a PHY on pins: their parts of the test are in registers.rs and serial.rs.
            continue;
        }
        let mut bench = Bench::id(part.id);
        bench.model.enable_irq().expect("an event descriptor");
        if part.media != Media::Copper {
            bench.write(TXCW, 0x8000_01a0);
        }
        bench.link_up();
        reset(&bench);
        registers(&bench, part);
        reset(&bench);
        eeprom(&bench);
        reset(&bench);
        interrupts(&bench);
        reset(&bench);
        loopback(&mut bench, part);
        reset(&bench);
        if part.media != Media::Copper {
            bench.write(TXCW, 0x8000_01a0);
        }
        bench.link_up();
        assert_eq!(bench.card.unknown_registers(), [], "{}", part.name);
    }
}

#[test]
fn a_broken_card_fails_it() {
    // The test above would be worth nothing if everything passed.
    let bench = Bench::silicon();
    bench.card.edit_eeprom(|words| words[5] ^= 1);
    let sum = (0..64).fold(0u16, |sum, n| sum.wrapping_add(word(&bench, n)));
    assert_ne!(sum, 0xbaba);
    bench.card.inject(|faults| faults.icr = Some(0));
    bench.write(ICS, 1);
    assert_eq!(bench.model.read(ICR), 0, "no cause would be seen");
}
