//! Every injection that the card knows (8254x fact sheet 7.3), each with what it must end in: the tables of
//! [`run_faults`](crate::run_faults) and [`open_faults`](crate::open_faults) name every field of [`Faults`], and a test
//! fails when one is missing.

use crate::bench::{Bench, Closed, Memory, innocent, of_profile, rings};
use crate::open_faults::{Ends, OPENING};
use crate::run_faults::Means::{
    self, Bounded, Gone, HoldsEverything, HoldsPackets, NeverReports, OnlyHardwareCounters,
};
use crate::run_faults::{FRAMES, Inject, PACKETS, Row, TABLE};
use naio_e1000_model::faults::Faults;
use naio_e1000_model::{Options, Partner, Profile};
use naio_nic::{Counters, Health, Link, Nic, TxPacket};
use naio_testkit::seeds;
use std::collections::BTreeSet;
use std::time::Duration;

/// A card on which the fault can show: half duplex for collisions, an 82544 for underruns.
fn options_for(field: &str) -> Options {
    let half = Partner { anar: 0x0081, gigabit: false, negotiates: true };
    match field {
        "half_duplex" | "fifo_stall" => Options { partner: half, ..Options::default() },
        "tx_underruns" => Options { device_id: 0x1008, ..Options::default() },
        _ => Options::default(),
    }
}

/// The fields of [`Faults`] as their names.
fn fields() -> Vec<(String, String)> {
    let shown = format!("{:#?}", Faults::default());
    let field = |line: &str| {
        let (name, value) = line.strip_prefix("    ")?.split_once(": ")?;
        (!name.starts_with(' ')).then(|| (name.to_owned(), value.to_owned()))
    };
    shown.lines().filter_map(field).collect()
}

#[test]
fn every_field_of_the_card_s_faults_has_a_row_that_sets_it() {
    let rows = TABLE.iter().map(|row| (row.field, row.inject));
    let all: Vec<(&str, Inject)> = rows
        .chain(OPENING.iter().filter(|row| row.eeprom.is_none()).map(|row| (row.field, row.inject)))
        .collect();
    let names: BTreeSet<String> = fields().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in &names {
        assert!(all.iter().any(|(field, _)| field == name), "no row for `{name}`");
    }
    for (field, inject) in all {
        let mut faults = Faults::default();
        inject(&mut faults);
        assert!(names.contains(field), "no field `{field}`");
        assert_ne!(faults, Faults::default(), "{field}");
    }
}

/// Frames come in one by one, packets go out one by one, while the driver also looks at everything else.
struct Traffic {
    wanted_in: Vec<Vec<u8>>,
    wanted_out: Vec<Vec<u8>>,
    extents: Vec<u32>,
    got: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    released: Vec<u32>,
    posted: usize,
}

/// Rounds between two questions after the card's health.
const ASKED_EVERY: usize = 16;

impl Traffic {
    fn run(bench: &mut Bench, memory: &mut Memory, seed: u64) -> Traffic {
        let wanted_in: Vec<Vec<u8>> = (0..FRAMES).map(|n| bench.frame(100 + n, seed)).collect();
        let mut packets: Vec<TxPacket> =
            (0..PACKETS).map(|n| memory.packet(bench.mac(), 64 + 50 * n)).collect();
        packets.reverse();
        let wanted_out = packets.iter().rev().map(|packet| memory.flat(packet)).collect();
        let extents = packets.iter().rev().map(|packet| packet.fragments[0].extent.0).collect();
        let (got, sent, released) = (Vec::new(), Vec::new(), Vec::new());
        let mut traffic = Traffic { wanted_in, wanted_out, extents, got, sent, released, posted: 0 };
        for frame in traffic.wanted_in.clone() {
            bench.arrive(&[frame]);
            let mut packet: Vec<TxPacket> = packets.pop().into_iter().collect();
            assert_eq!(bench.post(&mut packet), usize::from(traffic.posted < PACKETS), "there is room");
            traffic.posted += 1;
            traffic.collect(bench);
            let _ = (bench.nic.link(), bench.counters());
            // All of it together is no two seconds: the watchdog counts how often it is asked.
            let alive = !traffic.posted.is_multiple_of(ASKED_EVERY) || bench.nic.health() != Health::Gone;
            let armed = bench.nic.arm_irq(true);
            assert!(armed == alive || !traffic.posted.is_multiple_of(ASKED_EVERY));
        }
        traffic.settle(bench);
        traffic
    }

    fn collect(&mut self, bench: &mut Bench) {
        self.got.extend(bench.taken());
        self.sent.extend(bench.sent());
        self.released.extend(bench.released());
    }

    /// Whatever takes its time has passed.
    fn settle(&mut self, bench: &mut Bench) {
        for _ in 0..4 {
            bench.card.advance(Duration::from_millis(1));
            self.collect(bench);
        }
    }

    fn all_in(&self, what: &str) {
        assert!(self.got == self.wanted_in, "{what}: {} of {FRAMES} frames, or other ones", self.got.len());
    }

    fn all_out(&self, what: &str) {
        assert!(self.sent == self.wanted_out, "{what}: {} of {PACKETS} packets", self.sent.len());
        assert_eq!(self.released, self.extents, "{what}: each extent once, in order");
    }
}

/// Counters of things that went wrong.
fn drops(c: &Counters) -> [u64; 7] {
    let [a, b, d, _] = software(c);
    [a, b, d, c.hw_missed, c.hw_rx_errors, c.hw_rx_length_errors, c.hw_saturated]
}

fn software(c: &Counters) -> [u64; 4] {
    [c.rx_frame_errors, c.rx_length_errors, c.rx_no_page, c.tx_refused]
}

fn play(row: &Row) {
    let what = row.field;
    let mut bench = Bench::with(options_for(row.field), &rings(80, 128));
    let mut memory = Memory::new(&bench.domain);
    bench.card.inject(row.inject);
    let mut traffic = Traffic::run(&mut bench, &mut memory, 1);
    let counted = bench.counters();
    if !matches!(row.means, Gone | NeverReports | Bounded) {
        check_frames(row, &traffic, &counted);
        check_packets(row, &mut bench, &mut traffic);
        bench.innocent(what);
        return end(bench, what);
    }
    match row.means {
        Gone => {
            assert_eq!((bench.nic.health(), bench.nic.link()), (Health::Gone, Link::Down));
            assert!(traffic.got.is_empty() && traffic.sent.is_empty() && traffic.released.is_empty());
            let _ = bench.socket.take_cost();
            assert_eq!(bench.counters(), counted, "counters stay as they are");
            assert_eq!((bench.nic.link(), bench.nic.arm_irq(true)), (Link::Down, false));
            bench.nic.set_multicast(&[]);
            bench.nic.ring();
            assert_eq!(bench.socket.take_cost().0, 0, "nobody reads a card that is gone");
        }
        NeverReports => {
            traffic.all_in(what);
            assert!(traffic.sent == traffic.wanted_out && traffic.released.is_empty(), "{what}");
            assert_eq!(counted.tx_frames, 0);
        }
        _ => assert!(traffic.got.len() <= 2 * FRAMES && traffic.released.len() <= PACKETS, "{what}"),
    }
    end(bench, what);
}

fn check_frames(row: &Row, traffic: &Traffic, counted: &Counters) {
    let what = row.field;
    match row.means {
        Means::Loses { arrive, counter, counts } => {
            let mut inside = traffic.wanted_in.iter();
            let known = traffic.got.iter().all(|got| inside.any(|wanted| wanted == got));
            assert!(known && traffic.got.len() == arrive, "{what}: {} frames", traffic.got.len());
            assert_eq!(counter(counted), counts, "{what}: {counted:?}");
        }
        HoldsEverything => assert!(traffic.got.is_empty(), "{what}"),
        OnlyHardwareCounters => {
            traffic.all_in(what);
            assert_eq!(software(counted), [0; 4], "{what}: {counted:?}");
        }
        _ => {
            traffic.all_in(what);
            assert_eq!(drops(counted), [0; 7], "{what}: {counted:?}");
        }
    }
}

fn check_packets(row: &Row, bench: &mut Bench, traffic: &mut Traffic) {
    let what = row.field;
    match row.means {
        HoldsPackets | HoldsEverything => {
            assert!(traffic.released.len() < PACKETS, "{what}");
            bench.card.inject(|faults| *faults = Faults::default());
            traffic.settle(bench);
            traffic.all_in(what);
            traffic.all_out(what);
        }
        Means::LosesOnTheLine(lost) => {
            assert_eq!(traffic.sent.len() as u64, PACKETS as u64 - lost, "{what}");
            assert_eq!(traffic.released, traffic.extents, "{what}: the card is done with them");
            assert_eq!(bench.counters().hw_tx_good, PACKETS as u64 - lost, "{what}");
        }
        _ => traffic.all_out(what),
    }
}

/// The fault ends; a new driver on the same card finds everything in order.
fn end(bench: Bench, what: &str) {
    let card = bench.card.clone();
    let (closed, config) = bench.close();
    card.inject(|faults| *faults = Faults::default());
    let _ = card.take_violations();
    card.advance(Duration::from_millis(50));
    let mut bench = closed.open(&config).unwrap_or_else(|e| panic!("after {what}: {e}"));
    let mut memory = Memory::new(&bench.domain);
    bench.taken();
    bench.sent();
    let traffic = Traffic::run(&mut bench, &mut memory, 2);
    traffic.all_in(what);
    traffic.all_out(what);
    bench.innocent(what);
}

#[test]
fn each_fault_at_run_time_ends_in_what_the_table_says() {
    TABLE.iter().for_each(play);
}

#[test]
fn each_fault_while_opening_ends_in_what_the_table_says() {
    for row in OPENING {
        let what = format!("{} on {:#x} {:?}", row.field, row.device_id, row.profile);
        let options = of_profile(row.device_id, row.profile);
        let closed = Closed::new(options);
        closed.card.inject(row.inject);
        if let Some(fault) = row.eeprom {
            closed.card.edit_eeprom(|words| fault.apply(words));
        }
        match (closed.open(&rings(80, 80)), row.ends) {
            (Ok(mut bench), Ends::Up) => {
                assert!(bench.nic.health() == Health::Alive && bench.nic.caps().mac.is_station(), "{what}");
                assert_eq!(bench.mac(), Options::default().mac, "{what}");
                // A link that flaps may have been believed a little early.
                bench.card.advance(Duration::from_secs(6));
                bench.exchange_in(&[bench.frame(100, 1)], &what);
                bench.innocent(&what);
            }
            (Err(e), Ends::With(expected)) => {
                assert!(expected(&e), "{what}: {e:?}");
                assert!(!e.to_string().is_empty());
                assert_eq!(closed.card.port().config_read(4, 2) & 4, 0, "{what}: off the bus");
                innocent(&closed.card, &what);
            }
            (Ok(_), Ends::With(_)) => panic!("{what}: it came up"),
            (Err(e), Ends::Up) => panic!("{what}: {e:?}"),
        }
    }
}

/// 8254x fact sheet 7.5 item 7: one to three faults at once, drawn from a seed, at any time.
#[test]
fn any_faults_at_any_time_are_bounded_and_over_when_they_end() {
    for seed in seeds(1, 120) {
        let mut random = fastrand::Rng::with_seed(seed);
        let profile = [Profile::Silicon, Profile::Qemu, Profile::VirtualBox][random.usize(..3)];
        let closed = Closed::new(Options { seed, ..of_profile(0x100e, profile) });
        let during_open = random.bool();
        if during_open {
            closed.card.inject(|faults| *faults = Faults::seeded(seed));
        }
        let opened = closed.open(&rings(80, 80));
        let refused = opened.is_err();
        assert!(during_open || !refused, "seed {seed}");
        if let Ok(mut bench) = opened {
            bench.card.inject(|faults| *faults = Faults::seeded(seed));
            let mut memory = Memory::new(&bench.domain);
            for _ in 0..60 {
                any_turn(&mut bench, &mut memory, &mut random);
            }
            bench.close();
        }
        closed.card.inject(|faults| *faults = Faults::default());
        closed.card.advance(Duration::from_secs(10));
        let _ = closed.card.take_violations();
        // A PHY that was renamed stays so: that is its card, not the fault.
        let Ok(mut bench) = closed.open(&rings(80, 80)) else {
            assert!(Faults::seeded(seed).phy_id.is_some(), "seed {seed}: it does not come back");
            continue;
        };
        bench.taken();
        bench.sent();
        bench.exchange_in(&[bench.frame(100, 1), bench.frame(1514, 2)], &format!("seed {seed}"));
        let mut memory = Memory::new(&bench.domain);
        bench.exchange_out(&mut memory, 5, &format!("seed {seed}"));
        bench.innocent(&format!("seed {seed}"));
    }
}

fn any_turn(bench: &mut Bench, memory: &mut Memory, random: &mut fastrand::Rng) {
    let frames: Vec<Vec<u8>> =
        (0..random.usize(..20)).map(|_| bench.frame(random.usize(40..2_000), 1)).collect();
    bench.arrive(&frames);
    let mut packets: Vec<TxPacket> =
        (0..random.usize(..10)).map(|n| memory.packet(bench.mac(), 64 + n)).collect();
    bench.post(&mut packets);
    bench.released();
    let (_, mut pages) = bench.hold(random.usize(1..64));
    bench.nic.post_rx(&mut pages);
    bench.nic.ring();
    bench.card.advance(Duration::from_micros(random.u64(..2_000)));
    match random.u8(..6) {
        0 => {
            let _ = bench.nic.health();
        }
        1 => drop(bench.counters()),
        2 => drop(bench.nic.link()),
        3 => drop(bench.nic.arm_irq(random.bool())),
        _ => {}
    }
}
