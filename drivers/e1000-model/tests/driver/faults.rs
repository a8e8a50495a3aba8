//! Cards that are broken or lie: the driver gives an error, or lives with it.

use crate::sides::{exchange, innocent, packet, sides, take};
use naio_dma::Domain;
use naio_e1000::{Config, E1000};
use naio_e1000_model::faults::{Chaos, Faults, LengthFault, ResetFault, TxFault};
use naio_e1000_model::wire::pair::pair;
use naio_e1000_model::{Model, Options};
use naio_nic::Nic;
use naio_testkit::seeds;

#[test]
fn hardware_that_never_finishes_is_an_error_and_no_hang() {
    type Break = fn(&mut Faults);
    let breaks: [(&str, Break); 5] = [
        ("gone", |f| f.gone = true),
        ("reset", |f| f.reset = ResetFault::Never),
        ("PHY id 0", |f| f.phy_id = Some(0)),
        ("PHY id all ones", |f| f.phy_id = Some(u32::MAX)),
        ("ring length", |f| f.ring_len = Some(0x80)),
    ];
    for (name, inject) in breaks {
        let (wire, _other, _cable) = pair();
        let model = Model::new(Options::default(), &Domain::new(), wire).expect("the default part");
        model.card().inject(inject);
        assert!(E1000::open(model, &Config::default()).is_err(), "{name}");
    }
    // Without EEPROM pins the address register, which the card loaded itself, is the fallback.
    let (wire, _other, _cable) = pair();
    let model = Model::new(Options::default(), &Domain::new(), wire).expect("the default part");
    model.card().inject(|f| f.eecd_never_grants = true);
    let opened = E1000::open(model, &Config::default());
    assert!(opened.is_ok_and(|nic| nic.caps().mac.0 == Options::default().mac));
}

#[test]
fn an_eeprom_of_garbage_gives_an_error_or_a_station_address() {
    for seed in seeds(1, 50) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut words = vec![0xffff; 64];
        match seed % 3 {
            0 => words.iter_mut().for_each(|word| *word = random.u16(..)),
            1 => words.fill(0),
            _ => {}
        }
        let (wire, _other, _cable) = pair();
        let options = Options { eeprom_words: Some(words), ..Options::default() };
        let model = Model::new(options, &Domain::new(), wire).expect("the default part");
        if let Ok(nic) = E1000::open(model, &Config::default()) {
            assert!(nic.caps().mac.is_station(), "seed {seed}: {}", nic.caps().mac);
        }
    }
}

#[test]
fn faults_that_break_nothing_cost_the_driver_no_frame() {
    type Break = fn(&mut Faults);
    let breaks: [(&str, Break); 8] = [
        ("slow registers", |f| f.slow_mmio_us = 3),
        ("late write-backs", |f| f.write_back_delay_us = 17),
        ("heads that jump", |f| f.heads_jump = true),
        ("heads outside", |f| (f.rdh, f.tdh) = (Some(0xffff), Some(0x8000))),
        ("a storm of causes", |f| f.cause_storm = 0x1ffff),
        ("overruns for nothing", |f| f.overruns = 200),
        ("done unasked", |f| f.tx = TxFault::DoneUnasked),
        ("strays that the IOMMU stops", |f| f.rx_strays = 1_000),
    ];
    for (name, break_it) in breaks {
        let (mut sides, _cable) = sides(&Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        for side in &sides {
            side.card.inject(break_it);
        }
        exchange(&mut sides, 1_000, 3);
        sides.iter().for_each(|side| innocent(side, name));
    }
}

#[test]
fn the_driver_survives_a_card_that_lies_about_everything() {
    for seed in seeds(1, 30) {
        let options = Options { seed, ..Options::default() };
        let (mut sides, _cable) = sides(&options).expect("nothing lies yet");
        let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..300 {
            let lie = random.clone().u32(0..30);
            sides[0].card.inject(|faults| lies(faults, lie, &mut random));
            for n in 0..2 {
                let mut packets = vec![packet(macs[1 - n], macs[n], 100, round)];
                sides[n].nic.post_tx(&mut packets);
                sides[n].nic.ring();
                sides[n].card.step(8);
                let mut got = Vec::new();
                take(&mut sides[n], &mut got);
                assert!(got.len() <= 64);
            }
            if round % 50 == 0 {
                let _ = (sides[0].nic.link(), sides[0].nic.counters(), sides[0].nic.health());
            }
        }
    }
}

fn lies(faults: &mut Faults, lie: u32, random: &mut fastrand::Rng) {
    *faults = Faults::default();
    faults.chaos = Chaos { read: 0, write_back: random.u32(0..5_000), interrupt: 100 };
    match lie {
        0 => faults.rx_length = LengthFault::BeyondBuffer(random.u16(..)),
        1 => faults.rx_length = LengthFault::Always(random.u16(0..4)),
        2 => faults.rx_without_eop = random.u32(0..300),
        3 => faults.rx_empty_eop = 3,
        4 => faults.rx_done_again = 4,
        5 => faults.rx_done_unposted = 4,
        6 => faults.rx_errors = 0xff,
        7 => faults.rx_address_changed = true,
        8 => faults.rx_torn = true,
        9 => faults.rx_out_of_order = true,
        10 => faults.tx = TxFault::OutOfOrder,
        11 => faults.tx = TxFault::DoneUnasked,
        12 => faults.tx = TxFault::DoneEarly,
        13 => faults.tx = TxFault::NeverDone,
        14 => faults.tx = TxFault::Stalled,
        15 => faults.overruns = 50,
        16 => faults.chaos.read = 5_000,
        17 => (faults.rdh, faults.tdh) = (Some(random.u32(..)), Some(random.u32(..))),
        18 => faults.status_flaps = true,
        19 => {}
        _ => *faults = Faults::seeded(random.u64(..)),
    }
}
