//! Injected faults, one by one: what the card then does, and that it does it only when asked.

mod bench;

use bench::*;
use naio_e1000_model::faults::{EepromFault, Faults, HalfDuplex};
use naio_e1000_model::regs::*;
use naio_e1000_model::{Options, Partner};
use naio_testkit::seeds;
use std::time::Duration;

const CRCERRS: u32 = 0x4000;
const SCC: u32 = 0x4014;
const ECOL: u32 = 0x4018;
const MCC: u32 = 0x401c;
const LATECOL: u32 = 0x4020;
const COLC: u32 = 0x4028;
const DC: u32 = 0x4030;
const TNCRS: u32 = 0x4034;
const GPTC: u32 = 0x4080;

/// A card on a line of 100 Mb/s in half duplex.
fn half_duplex(device_id: u16) -> Bench {
    let partner = Partner { anar: 0x00a1, gigabit: false, negotiates: false };
    let bench = Bench::new(Options { device_id, partner, ..Options::default() }).running(BAM);
    assert_eq!(bench.read(STATUS) & 0xc1, 0x40, "100 Mb/s, half duplex");
    bench
}

fn sta(bench: &Bench, index: u32) -> u64 {
    bench.tx.done(index, DD).expect("done").word() >> 32 & 0xf
}

#[test]
fn collisions_are_counted_and_reported_as_the_line_has_them() {
    let mut bench = half_duplex(0x100e);
    let bytes = frame(BROADCAST, 100);
    let script = HalfDuplex { single: 1, multiple: 1, excessive: 1, late: 2, deferred: 1, no_carrier: 1 };
    bench.card.inject(|faults| faults.half_duplex = script);
    let mut states = Vec::new();
    for n in 0..5 {
        // The second late collision is retransmitted: TCTL.RTLC.
        bench.write(TCTL, if n == 2 { TCTL_ON | 1 << 24 } else { TCTL_ON & !(1 << 24) });
        let index = bench.send(&bytes, EOP | IFCS | RS);
        states.push((sta(&bench, index), bench.sent().is_some()));
    }
    assert_eq!(states, [(0b11, false), (0b101, false), (1, true), (1, true), (1, true)]);
    let counts = [SCC, ECOL, MCC, LATECOL, DC, TNCRS].map(|counter| bench.count(counter));
    assert_eq!(counts, [1, 1, 1, 2, 1, 1]);
    assert!((16 + 2 + 1 + 2..=16 + 2 + 1 + 15).contains(&bench.count(COLC)), "{}", bench.count(COLC));
    assert_eq!(bench.count(GPTC), 3, "lost frames are not good frames");
    bench.innocent();
}

#[test]
fn in_full_duplex_nothing_collides() {
    let mut bench = Bench::silicon().running(BAM);
    bench.card.inject(|faults| faults.half_duplex = HalfDuplex { excessive: 1, ..HalfDuplex::default() });
    bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.sent().is_some());
    assert_eq!((bench.count(ECOL), bench.count(COLC)), (0, 0));
}

#[test]
fn an_underrun_shows_on_the_82544_and_nrtu_gives_the_frame_up() {
    for (id, nrtu, expected) in
        [(0x1008, 0, (0b1001, true)), (0x1008, 1 << 25, (0b1001, false)), (0x100e, 0, (1, true))]
    {
        let mut bench = Bench::id(id).running(BAM);
        bench.write(TCTL, TCTL_ON | nrtu);
        bench.card.inject(|faults| faults.tx_underruns = 1);
        let index = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
        assert_eq!((sta(&bench, index), bench.sent().is_some()), expected, "{id:#x}");
    }
}

#[test]
fn the_82547_stalls_in_half_duplex_until_its_fifo_is_rewound() {
    let mut bench = half_duplex(0x1075);
    bench.write(TIDV, 8);
    bench.card.inject(|faults| faults.fifo_stall = true);
    // 10 KB of FIFO: seven frames of 1514 + 16, rounded to 1536, reach beyond its end by 512 bytes;
    // a packet must reach 0x3E0 beyond to hang.
    let mut sent = 0;
    for _ in 0..6 {
        bench.send(&frame(BROADCAST, 1514), EOP | IFCS | RS);
        sent += usize::from(bench.sent().is_some());
    }
    assert_eq!(sent, 6);
    // 10240 - 6 * 1536 = 1024 left: 3072 goes 2048 beyond.
    let index = bench.send(&frame(BROADCAST, 3050), EOP | IFCS | RS);
    assert!(bench.sent().is_none() && bench.tx.done(index, DD).is_none(), "it hangs");
    let after = bench.send(&frame(BROADCAST, 60), EOP | IFCS | RS);
    assert!(bench.tx.done(after, DD).is_none(), "and nothing follows");
    assert_eq!(bench.read(TDFT), bench.read(TDFH), "the work-around waits for this");
    bench.write(TCTL, TCTL_ON & !2);
    for pointer in [TDFT, TDFH, TDFTS, TDFHS] {
        bench.write(pointer, 0x1e << 7);
    }
    bench.write(TCTL, TCTL_ON);
    bench.card.run();
    assert!(bench.tx.done(after, DD).is_some() && bench.sent().is_some(), "it goes on");
    let mut full = Bench::id(0x1075).running(BAM);
    full.card.inject(|faults| faults.fifo_stall = true);
    for _ in 0..30 {
        full.send(&frame(BROADCAST, 3050), EOP | IFCS | RS);
        assert!(full.sent().is_some(), "full duplex needs no work-around");
    }
}

#[test]
fn the_end_of_the_fcs_can_come_in_a_descriptor_of_its_own() {
    for apart in 1..=4u8 {
        for (strip, len) in [(0, 100), (0, 2044), (SECRC, 100)] {
            let mut bench = Bench::silicon().running(BAM | strip);
            bench.card.inject(|faults| faults.rx_fcs_apart = apart);
            let sent = frame(BROADCAST, len.min(1518));
            bench.put(&sent);
            let mut whole = sent.clone();
            if strip == 0 {
                whole.extend(naio_e1000_model::fcs::fcs(&sent));
            }
            let mut parts = Vec::new();
            while let Some(part) = bench.receive() {
                parts.push(part);
            }
            let last = parts.last().expect("a descriptor");
            assert_eq!((last.len(), last.status() & 3), (apart.into(), 3));
            assert!(parts[..parts.len() - 1].iter().all(|part| part.status() == 1));
            assert_eq!(parts.iter().flat_map(|part| part.bytes.clone()).collect::<Vec<_>>(), whole);
        }
    }
}

#[test]
fn the_extra_byte_of_the_ten_bit_interface_breaks_nothing_but_the_fcs() {
    let mut bench = Bench::id(0x1001);
    bench.write(TXCW, 0x8000_01a0);
    let mut bench = bench_running(&mut bench, BAM | SBP);
    bench.card.inject(|faults| faults.rx_extra_byte = true);
    let sent = frame(BROADCAST, 100);
    bench.put(&sent);
    let (bytes, last) = bench.receive_frame().expect("stored, for SBP is on");
    assert_eq!(last.errors(), 1, "CE and nothing else");
    assert_eq!((bytes.len(), bytes.last()), (105, Some(&0x0f)));
    assert_eq!((&bytes[..100], &bytes[100..104]), (&sent[..], &naio_e1000_model::fcs::fcs(&sent)[..]));
    assert_eq!(bench.count(CRCERRS), 1);
}

fn bench_running(bench: &mut Bench, rctl: u32) -> Bench {
    std::mem::replace(bench, Bench::silicon()).running(rctl)
}

#[test]
fn a_write_beyond_a_buffer_is_an_iommu_fault_and_not_done() {
    let mut bench = Bench::silicon().running(BAM);
    bench.card.inject(|faults| faults.rx_strays = 2);
    for _ in 0..3 {
        bench.put(&frame(BROADCAST, 100));
    }
    assert_eq!(bench.card.dma_faults(), 2);
    assert_eq!(bench.card.port().config_read(7, 1) & 0x20, 0x20);
    let mut after = [1; 1900];
    bench.bus.read(bench.buffer_iova(0) + 104, &mut after).expect("inside");
    assert_eq!(after, [0; 1900], "nothing beyond the frame");
    assert!(bench.receive().is_some());
}

#[test]
fn late_write_backs_come_in_order_with_their_interrupt() {
    let mut bench = Bench::silicon().running(BAM);
    bench.card.inject(|faults| faults.write_back_delay_us = 100);
    bench.put(&frame(BROADCAST, 100));
    let index = bench.send(&frame(BROADCAST, 70), EOP | IFCS | RS);
    let _ = bench.read(ICR);
    bench.delay_us(98);
    assert!(bench.rx.done(0, DD).is_none() && bench.tx.done(index, DD).is_none());
    assert_eq!(bench.read(ICR), 0);
    bench.delay_us(3);
    assert!(bench.rx.done(0, DD).is_some() && bench.tx.done(index, DD).is_some());
    assert_eq!(bench.read(ICR) & 0x81, 0x81, "told again when it can be seen");
    bench.card.inject(|faults| faults.write_back_delay_us = 0);
    bench.put(&frame(BROADCAST, 100));
    assert!(bench.receive().is_some());
    bench.innocent();
}

#[test]
fn combined_write_backs_come_in_pairs() {
    let mut bench = Bench::silicon().running(BAM);
    bench.card.inject(|faults| faults.combined = true);
    bench.put(&frame(BROADCAST, 100));
    assert!(bench.rx.done(0, DD).is_none());
    bench.put(&frame(BROADCAST, 101));
    assert!(bench.rx.done(0, DD).is_some() && bench.rx.done(1, DD).is_some());
    let first = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.tx.done(first, DD).is_none());
    let second = bench.send(&frame(BROADCAST, 100), EOP | IFCS | RS);
    assert!(bench.tx.done(first, DD).is_some() && bench.tx.done(second, DD).is_some());
}

#[test]
fn slow_registers_take_their_time_on_the_clock() {
    let bench = Bench::silicon().running(BAM);
    bench.write(MDIC, 2 << 26 | 1 << 21 | 2 << 16);
    assert_eq!(bench.read(MDIC) >> 28 & 1, 0);
    bench.card.inject(|faults| faults.slow_mmio_us = 40);
    let _ = bench.read(STATUS);
    assert_eq!(bench.read(MDIC) >> 28 & 1, 1, "80 µs have passed");
}

#[test]
fn registers_can_lie_and_causes_can_storm() {
    let bench = Bench::silicon().running(BAM);
    bench.card.inject(|faults| {
        faults.heads_jump = true;
        faults.counters_lie = true;
        faults.cause_storm = 4;
    });
    let heads: Vec<u32> = (0..8).map(|_| bench.read(RDH)).collect();
    assert!(heads.windows(2).any(|pair| pair[0] != pair[1]) && heads.iter().any(|head| *head >= RING));
    assert_ne!(bench.read(0x4074), bench.read(0x4074));
    for _ in 0..5 {
        bench.card.run();
        assert_eq!(bench.read(ICR) & 4, 4, "LSC again and again");
    }
}

#[test]
fn an_eeprom_can_be_wrong_in_four_ways() {
    let words = |fault: EepromFault| {
        let bench = Bench::silicon();
        bench.card.edit_eeprom(|words| fault.apply(words));
        // What the card makes of it at the next reset.
        bench.write(CTRL, bench.read(CTRL) | 1 << 26);
        bench.delay_us(5_000);
        let words = bench.card.eeprom();
        let sum = words[..64].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        (sum == 0xbaba, words[0], bench.read(RA + 4) >> 31)
    };
    assert_eq!(words(EepromFault::Checksum), (false, 0x0002, 1), "hardware does not check the sum");
    assert_eq!(words(EepromFault::Blank), (false, 0xffff, 0), "no signature, no address");
    assert_eq!(words(EepromFault::Zero), (false, 0, 0));
    assert_eq!(words(EepromFault::MulticastAddress), (true, 0x0003, 1));
}

#[test]
fn a_script_changes_the_faults_at_its_time() {
    let bench = Bench::silicon().running(BAM);
    let gone = Faults { gone: true, ..Faults::default() };
    bench.card.inject_after(Duration::from_millis(20), Faults::default());
    bench.card.inject_after(Duration::from_millis(10), Faults { icr: Some(7), ..Faults::default() });
    bench.delay_us(9_999);
    assert_eq!(bench.read(ICR), 0);
    bench.delay_us(2);
    assert_eq!(bench.read(ICR), 7);
    bench.delay_us(10_000);
    assert_eq!(bench.read(ICR), 0);
    bench.card.inject_after(Duration::ZERO, gone);
    bench.delay_us(1);
    assert_eq!(bench.read(STATUS), u32::MAX);
    bench.card.inject_after(Duration::from_millis(1), Faults::default());
    bench.delay_us(1_000);
    assert_ne!(bench.read(STATUS), u32::MAX, "and it comes back");
}

#[test]
fn a_seed_draws_the_same_faults_again_and_none_breaks_the_card() {
    let (mut kinds, mut count) = (std::collections::BTreeSet::new(), 0);
    for seed in seeds(1, 200) {
        let faults = Faults::seeded(seed);
        assert_eq!(faults, Faults::seeded(seed));
        assert_ne!(faults, Faults::default());
        kinds.insert(format!("{faults:?}"));
        count += 1;
        let mut bench = Bench::silicon().running(BAM);
        bench.card.inject(|now| *now = faults);
        for n in 0..20 {
            bench.put(&frame(BROADCAST, 60 + n));
            bench.send(&frame(BROADCAST, 70), EOP | IFCS | RS);
            bench.delay_us(500);
            let _ = (bench.read(ICR), bench.read(STATUS), bench.read(RDH));
        }
        bench.card.inject(|now| *now = Faults::default());
        bench.delay_us(10_000);
    }
    assert!(kinds.len() * 3 >= count, "{} different cards of {count}", kinds.len());
}
