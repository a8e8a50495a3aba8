//! Every injection that the card knows (8254x fact sheet 7.3), each with what it must end in: the table below names
//! every field of [`Faults`], and a test fails when one is missing.

use crate::bench::{Bench, Closed, Memory, innocent, of_profile, rings};
use crate::open_faults::{Ends, OPENING};
use naio_e1000_model::faults::{Chaos, Faults, HalfDuplex, LengthFault, TxFault};
use naio_e1000_model::{Options, Partner, Profile};
use naio_nic::{Counters, Health, Link, Nic, TxPacket};
use naio_testkit::seeds;
use std::collections::BTreeSet;
use std::time::Duration;

/// A change of the card's script.
type Inject = fn(&mut Faults);

/// What traffic under a fault comes to.
#[derive(Clone, Copy)]
enum Means {
    /// Every frame arrives and every packet leaves; nothing is counted.
    Nothing,
    /// The same, and the card's own counters are wrong or grow for a reason.
    OnlyHardwareCounters,
    /// Of the frames so many arrive; the counter says this for the others.
    Loses { arrive: usize, counter: fn(&Counters) -> u64, counts: u64 },
    /// Packets do not leave, or are not reported, until the fault ends.
    HoldsPackets,
    /// Packets leave and are never reported: their memory is with the card until it is reset.
    NeverReports,
    /// Frames and packets become visible when the fault ends.
    HoldsEverything,
    /// Packets are lost on the line, as the card reports.
    LosesOnTheLine(u64),
    /// The driver says [`Health::Gone`] and touches nothing any more.
    Gone,
    /// Random answers: bounded, no page lost, and a driver that opens the card afterwards works.
    Bounded,
}

/// Frames that come in while a fault is on: two laps and more of a ring of 80, and an even number, for those in pairs.
const FRAMES: usize = 200;
/// Packets that go out meanwhile: no more than the ring holds, should none be reported.
const PACKETS: usize = 16;
const N: u64 = FRAMES as u64;

struct Row {
    /// The field of [`Faults`], or its beginning.
    field: &'static str,
    inject: Inject,
    means: Means,
}

const fn row(field: &'static str, inject: Inject, means: Means) -> Row {
    Row { field, inject, means }
}

const fn length(arrive: usize, counts: u64) -> Means {
    Means::Loses { arrive, counter: |c| c.rx_length_errors, counts }
}

const fn damaged(arrive: usize) -> Means {
    Means::Loses { arrive, counter: |c| c.rx_frame_errors, counts: N - arrive as u64 }
}

use Means::{Bounded, Gone, HoldsEverything, HoldsPackets, NeverReports, Nothing, OnlyHardwareCounters};

/// What happens at run time. Frames come one by one: the driver looks after each.
const TABLE: &[Row] = &[
    row("gone", |f| f.gone = true, Gone),
    row("bmsr_low", |f| f.bmsr_low = true, Nothing),
    row("status_flaps", |f| f.status_flaps = true, Nothing),
    row("tx", |f| f.tx = TxFault::Stalled, HoldsPackets),
    row("tx", |f| f.tx = TxFault::StallsAfter(5), HoldsPackets),
    row("tx", |f| f.tx = TxFault::NeverDone, NeverReports),
    row("tx", |f| f.tx = TxFault::OutOfOrder, Nothing),
    row("tx", |f| f.tx = TxFault::DoneUnasked, Nothing),
    row("tx", |f| f.tx = TxFault::DoneEarly, Nothing),
    row("rx_length", |f| f.rx_length = LengthFault::Always(0), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::Always(3), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::Always(13), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::Always(u16::MAX), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::BeyondBuffer(1), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::BeyondBuffer(u16::MAX), length(0, N)),
    // Three pieces and the frame that ends them: one broken frame.
    row("rx_without_eop", |f| f.rx_without_eop = 3, length(FRAMES - 4, 1)),
    row("rx_without_eop", |f| f.rx_without_eop = u32::MAX, length(0, 1)),
    row("rx_empty_eop", |f| f.rx_empty_eop = 3, length(FRAMES, 3)),
    row("rx_done_again", |f| f.rx_done_again = u32::MAX, Nothing),
    row("rx_done_unposted", |f| f.rx_done_unposted = u32::MAX, Nothing),
    // IXSM with garbage beside it; VP and PIF, which nobody asked about.
    row("rx_status", |f| f.rx_status = 0xff, Nothing),
    row("rx_errors", |f| f.rx_errors = 0x01, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x02, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x04, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x10, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x80, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0xff, damaged(0)),
    // Reserved, TCPE and IPE: no reason to drop anything.
    row("rx_errors", |f| f.rx_errors = 0x08 | 0x20 | 0x40, Nothing),
    row("rx_address_changed", |f| f.rx_address_changed = true, Nothing),
    // Whole again before anybody looks; `defences` looks in between.
    row("rx_torn", |f| f.rx_torn = true, Nothing),
    row("rx_out_of_order", |f| f.rx_out_of_order = true, Nothing),
    row("held", |f| f.held = true, HoldsEverything),
    row("rdh", |f| f.rdh = Some(u32::MAX), Nothing),
    row("tdh", |f| f.tdh = Some(u32::MAX), Nothing),
    row("ring_len", |f| f.ring_len = Some(u32::MAX), Nothing),
    row("icr", |f| f.icr = Some(0), Nothing),
    row("icr", |f| f.icr = Some(u32::MAX), Nothing),
    row("icr", |f| f.icr = Some(1 << 20), Nothing),
    row("unmask_lost", |f| f.unmask_lost = true, Nothing),
    row("overruns", |f| f.overruns = 1_000, OnlyHardwareCounters),
    row("heads_jump", |f| f.heads_jump = true, Nothing),
    row("counters_lie", |f| f.counters_lie = true, OnlyHardwareCounters),
    row("cause_storm", |f| f.cause_storm = 0x1_ffff, Nothing),
    row("slow_mmio_us", |f| f.slow_mmio_us = 1_000, Nothing),
    row("write_back_delay_us", |f| f.write_back_delay_us = 100, Nothing),
    row("combined", |f| f.combined = true, Nothing),
    row("rx_fcs_apart", |f| f.rx_fcs_apart = 1, length(0, N)),
    row("rx_fcs_apart", |f| f.rx_fcs_apart = 3, length(0, N)),
    row("rx_fcs_apart", |f| f.rx_fcs_apart = 4, length(0, N)),
    row(
        "rx_extra_byte",
        |f| f.rx_extra_byte = true,
        Means::Loses { arrive: 0, counter: |c| c.hw_rx_errors, counts: N },
    ),
    row("rx_strays", |f| f.rx_strays = 1_000, Nothing),
    row("half_duplex", |f| f.half_duplex = HalfDuplex { single: 2, multiple: 2, ..NONE }, Nothing),
    row("half_duplex", |f| f.half_duplex = HalfDuplex { deferred: 2, no_carrier: 2, ..NONE }, Nothing),
    row("half_duplex", |f| f.half_duplex = HalfDuplex { excessive: 3, ..NONE }, Means::LosesOnTheLine(3)),
    // TCTL.RTLC: sent again.
    row("half_duplex", |f| f.half_duplex = HalfDuplex { late: 3, ..NONE }, Nothing),
    // Sent again too, for TCTL.NRTU is 0.
    row("tx_underruns", |f| f.tx_underruns = 3, Nothing),
    row("fifo_stall", |f| f.fifo_stall = true, Nothing),
    row("chaos", |f| f.chaos = Chaos { read: 10_000, write_back: 0, interrupt: 10_000 }, Bounded),
    row("chaos", |f| f.chaos = Chaos { read: 0, write_back: 5_000, interrupt: 100 }, Bounded),
];

const NONE: HalfDuplex =
    HalfDuplex { single: 0, multiple: 0, excessive: 0, late: 0, deferred: 0, no_carrier: 0 };

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
