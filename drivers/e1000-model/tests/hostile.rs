//! No bytes of a driver, random or nearly right, make the card panic, hang or reach outside.

mod bench;
use bench::*;
use naio_device::Doorbell;
use naio_e1000_model::parts::PARTS;
use naio_e1000_model::regs::*;
use naio_e1000_model::wire::{Fcs, LineError};
use naio_e1000_model::{Checks, Frame, Options, Profile};
use naio_testkit::seeds;

fn word(random: &mut fastrand::Rng, bench: &Bench) -> u64 {
    match random.u8(0..6) {
        0 => random.u64(..),
        1 => 0,
        2 => u64::MAX,
        3 => bench.buffer_iova(random.u32(0..RING)) + random.u64(0..64),
        // A descriptor that is nearly right.
        _ => {
            let command = random.u64(0..256) << 24 | random.u64(0..3) << 20;
            random.u64(0..2_000) | command | random.u64(..) << 40
        }
    }
}

fn arriving(random: &mut fastrand::Rng) -> Frame {
    let len = match random.u8(0..4) {
        0 => random.usize(0..80),
        1 => random.usize(0..20_000),
        _ => random.usize(14..1_600),
    };
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    if random.bool() && len > 60 {
        bytes[..6].fill(0xff);
        bytes[12..16].copy_from_slice(
            &[[0x08, 0x00, 0x45, 0], [0x86, 0xdd, 0x60, 0], [0x88, 0x08, 0, 1]][random.usize(0..3)],
        );
    }
    let errors = [
        LineError::None,
        LineError::None,
        LineError::Symbol,
        LineError::Alignment,
        LineError::Sequence,
        LineError::CarrierExtension,
    ];
    let fcs = if random.u8(0..4) == 0 { Fcs::Wrong([9; 4]) } else { Fcs::Good };
    Frame { bytes, fcs, error: errors[random.usize(0..6)] }
}

fn storm(bench: &mut Bench, random: &mut fastrand::Rng, steps: u32) {
    const REGISTERS: &[u32] = &[
        CTRL, CTRL_EXT, EECD, EERD, MDIC, ICR, ICS, IMS, IMC, ITR, RCTL, TCTL, PBA, RDBAL, RDBAH, RDLEN, RDH,
        RDTR, RXDCTL, RADV, RSRPD, TDBAL, TDBAH, TDLEN, TDH, TIDV, TXDCTL, TADV, RXCSUM, FCRTL, FCRTH, FCTTV,
        VET, RA, 0x5404, TXCW, FCAL, FCT,
    ];
    for _ in 0..steps {
        match random.u8(0..12) {
            0 => bench.write(REGISTERS[random.usize(..REGISTERS.len())], random.u32(..)),
            1 => bench.write(random.u32(0..0x2_1000), random.u32(..)),
            2 => {
                let _ = bench.read(random.u32(0..0x2_1000));
            }
            3 => bench.rx_doorbell.ring(random.u32(0..RING + 2)),
            4 => bench.tx_doorbell.ring(random.u32(0..RING + 2)),
            5 => bench.script.put(arriving(random)),
            6 => bench.delay_us(random.u64(0..3_000)),
            7 => {
                let (low, high) = (word(random, bench), word(random, bench));
                bench.rx.store(random.u32(..RING), low, high);
            }
            8 | 9 => {
                let (low, high) = (word(random, bench), word(random, bench));
                bench.tx.store(random.u32(..RING), low, high);
            }
            10 => {
                bench.card.step(random.usize(0..20));
            }
            _ => set_right(bench),
        }
        while bench.sent().is_some() {}
    }
}

/// Registers that make the engines run, so that the storm gets somewhere.
fn set_right(bench: &Bench) {
    for (first, ring) in [(RDBAL, &bench.rx), (TDBAL, &bench.tx)] {
        bench.write(first, ring.iova().low());
        bench.write(first + 4, 0);
        bench.write(first + 8, ring.byte_len());
    }
    bench.write(CTRL, 0x40);
    bench.write(RCTL, EN | BAM | UPE | MPE | SBP | LPE);
    bench.write(TCTL, TCTL_ON);
}

#[test]
fn random_drivers_do_not_break_the_card() {
    for seed in seeds(1, 60) {
        let mut random = fastrand::Rng::with_seed(seed);
        let part = PARTS[random.usize(..PARTS.len())];
        let profiles = [Profile::Silicon, Profile::Qemu, Profile::VirtualBox, Profile::Vmware];
        let options = Options {
            device_id: part.id,
            quirks: profiles[random.usize(..4)].quirks(),
            checks: if random.bool() { Checks::Full } else { Checks::Light },
            paced: random.bool(),
            seed,
            ..Options::default()
        };
        let mut bench = Bench::new(options).running(BAM);
        storm(&mut bench, &mut random, 3_000);
        let _ = bench.card.take_violations();
    }
}

#[test]
fn a_storm_leaves_memory_outside_the_buffers_alone() {
    use naio_dma::Pool;
    for seed in seeds(100, 10) {
        let mut random = fastrand::Rng::with_seed(seed);
        let bench = Bench::silicon().running(BAM);
        let guard = Pool::new(&bench.domain, 1, 4096).expect("memory");
        let untouched = guard.take().expect("one page");
        for n in 0..RING {
            bench.rx.store(n, bench.buffer_iova(n), 0);
        }
        for _ in 0..2_000 {
            bench.script.put(arriving(&mut random));
            bench.rx_doorbell.ring(random.u32(0..RING));
            bench.card.step(8);
        }
        assert!(guard.bytes(&untouched).iter().all(|byte| *byte == 0), "seed {seed}");
    }
}

#[test]
fn random_transactions_at_the_connector_do_not_break_the_card() {
    for seed in seeds(1, 40) {
        let mut random = fastrand::Rng::with_seed(seed);
        let part = PARTS[random.usize(..PARTS.len())];
        let flash_kb = random.u32(0..600);
        let options = Options { device_id: part.id, flash_kb, seed, errata: true, ..Options::default() };
        let mut bench = Bench::new(options);
        let port = bench.card.port();
        for _ in 0..2_000 {
            let (bar, len) = (random.usize(0..7), random.usize(0..17));
            let offset = match random.u8(0..3) {
                0 => random.u32(..),
                1 => random.u32(0..16),
                _ => random.u32(0..0x2_0010),
            };
            let mut bytes = [0; 17];
            random.fill(&mut bytes);
            match random.u8(0..8) {
                0 => port.config_write(random.usize(0..300), [1, 2, 4][random.usize(..3)], random.u32(..)),
                1 => port.config_write(4, 2, 7),
                2 => port.config_write(0xe0, 2, random.u32(0..4)),
                3 => {
                    let _ = port.config_read(random.usize(..), random.usize(0..9));
                }
                4 => port.read(bar, offset, &mut bytes[..len]),
                5 => port.write(bar, offset, &bytes[..len]),
                6 => bench.script.put(arriving(&mut random)),
                _ => storm(&mut bench, &mut random, 5),
            }
            if random.u16(..) == 0 {
                port.reset();
            }
            bench.card.step(4);
        }
        assert_eq!(port.config_read(0, 4), u32::from(part.id) << 16 | 0x8086, "seed {seed}");
    }
}
