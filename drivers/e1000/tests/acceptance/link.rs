//! A cable that comes and goes, and drivers that come and go in the middle of traffic (8254x fact sheet 7.5 item 6).

use crate::bench::{Bench, Closed, FRAME_LEN_MAX, Memory, PEER, PROFILES, inline, of_profile, rings};
use naio_e1000::{Config, OpenError};
use naio_e1000_model::{Options, Partner, Profile};
use naio_nic::{Health, Link, Nic, TxPacket};
use naio_testkit::seeds;
use std::time::Duration;

/// Enough for autonegotiation anywhere (8254x fact sheet 6.2).
const NEGOTIATION: Duration = Duration::from_secs(6);
const COMMAND: usize = 4;
const BUS_MASTER: u32 = 1 << 2;
const RDBAL: u32 = 0x2800;
const TDBAL: u32 = 0x3800;

/// The cable goes in, the card notices, and there is time for it to negotiate.
fn plug_in(bench: &Bench) {
    bench.wire.plug(true);
    bench.card.run();
    bench.card.advance(NEGOTIATION);
}

#[test]
fn a_cable_pulled_a_hundred_times_is_seen_every_time_and_costs_no_page() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        let mut memory = Memory::new(&bench.domain);
        let before = bench.counters();
        for round in 0..100 {
            let what = format!("{profile:?}, round {round}");
            bench.wire.plug(false);
            bench.card.run();
            assert_eq!((bench.nic.link(), bench.nic.health()), (Link::Down, Health::Alive), "{what}");
            assert!(bench.taken().is_empty(), "{what}");
            plug_in(&bench);
            assert!(bench.nic.link().is_up(), "{what}");
            bench.exchange_in(&[bench.frame(60 + round, 1), bench.frame(1514, 2)], &what);
            bench.exchange_out(&mut memory, 2, &what);
        }
        let after = bench.counters();
        assert_eq!((after.rx_frames, after.tx_frames), (before.rx_frames + 200, before.tx_frames + 200));
        bench.innocent(&format!("{profile:?}"));
    }
}

/// 8254x fact sheet 6.1, "TX with link down": silicon holds what it was given, QEMU sends it.
#[test]
fn packets_posted_without_a_link_leave_when_it_is_back_and_none_twice() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        let mut memory = Memory::new(&bench.domain);
        bench.wire.plug(false);
        bench.card.run();
        let mut packets: Vec<TxPacket> = (0..10).map(|n| memory.packet(bench.mac(), 100 + n)).collect();
        let wanted: Vec<Vec<u8>> = packets.iter().map(|packet| memory.flat(packet)).collect();
        assert_eq!(bench.post(&mut packets), 10);
        let sent_at_once = bench.sent();
        assert_eq!(sent_at_once.len(), if profile == Profile::Qemu { 10 } else { 0 }, "{profile:?}");
        plug_in(&bench);
        let sent = [sent_at_once, bench.sent()].concat();
        assert!(sent == wanted, "{profile:?}: {} sent", sent.len());
        assert_eq!(bench.released().len(), 10);
        bench.innocent(&format!("{profile:?}"));
    }
}

/// As often as the queue asks in the two seconds after which nobody waits any longer.
const LOOKS: usize = 21;

/// 8254x fact sheet 5.1: what waits for a link holds memory that its owner wants back.
#[test]
fn packets_that_find_no_link_for_long_come_back_and_the_card_works_afterwards() {
    for (round, device) in [0x100e, 0x1008, 0x1026, 0x1010].into_iter().enumerate() {
        let mut bench = Bench::new(of_profile(device, Profile::Silicon));
        let mut memory = Memory::new(&bench.domain);
        bench.nic.set_multicast(&[naio_nic::Mac([1, 0, 0x5e, 0, 0, 1])]);
        bench.wire.plug(false);
        bench.card.run();
        let mut packets: Vec<TxPacket> = (0..10).map(|n| memory.packet(bench.mac(), 100 + n)).collect();
        assert_eq!(bench.post(&mut packets), 10);
        bench.nic.ring();
        assert!((0..LOOKS - 1).all(|_| bench.nic.health() == Health::Alive));
        assert_eq!(bench.released().len(), 0, "somebody may plug it in again at once");
        assert_eq!(bench.nic.health(), Health::Alive);
        assert_eq!(bench.released().len(), 10, "{device:#x}");
        let counters = bench.counters();
        assert_eq!((counters.resets, counters.tx_reset, counters.tx_frames), (1, 10, 0));
        plug_in(&bench);
        assert_eq!(bench.sent().len(), 0, "what was given up never leaves");
        let what = format!("{device:#x}");
        bench.exchange_in(&[bench.frame(60 + round, 1), bench.frame(1514, 2)], &what);
        bench.exchange_out(&mut memory, 40, &what);
        (0..2 * LOOKS).for_each(|_| assert_eq!(bench.nic.health(), Health::Alive));
        assert_eq!(bench.counters().resets, 1, "nothing is pending");
        bench.innocent(&what);
    }
}

#[test]
fn every_speed_and_duplex_that_a_partner_offers_is_reported() {
    let up = |mbit_per_s, full_duplex| Link::Up { mbit_per_s, full_duplex };
    let partners = [
        (Partner::default(), up(1000, true)),
        (Partner { anar: 0x0101, gigabit: false, negotiates: true }, up(100, true)),
        (Partner { anar: 0x0081, gigabit: false, negotiates: true }, up(100, false)),
        (Partner { anar: 0x0041, gigabit: false, negotiates: true }, up(10, true)),
        (Partner { anar: 0x0021, gigabit: false, negotiates: true }, up(10, false)),
        // No negotiation: the speed is sensed, the duplex is half (IEEE 802.3 28.2.3.1).
        (Partner { anar: 0x0081, gigabit: false, negotiates: false }, up(100, false)),
    ];
    for (partner, expected) in partners {
        let mut bench = Bench::new(Options { partner, ..Options::default() });
        assert_eq!(bench.nic.link(), expected, "{partner:?}");
        let mut memory = Memory::new(&bench.domain);
        bench.exchange_in(&[bench.frame(100, 1)], "at any speed");
        bench.exchange_out(&mut memory, 3, "at any speed");
        // The partner is another one after the cable was moved.
        bench.wire.plug(false);
        bench.card.run();
        bench.card.set_partner(Partner::default());
        plug_in(&bench);
        assert_eq!(bench.nic.link(), up(1000, true), "after {partner:?}");
        bench.innocent("speeds");
    }
}

#[test]
fn without_a_cable_opening_ends_in_time_and_the_card_is_off_the_bus() {
    for profile in PROFILES {
        let closed = Closed::new(of_profile(0x100e, profile));
        closed.wire.plug(false);
        closed.card.run();
        let config = Config { link_within: Duration::from_millis(200), ..rings(80, 80) };
        let refused = closed.open(&config).err();
        assert!(matches!(refused, Some(OpenError::NoLink(_))), "{profile:?}: {refused:?}");
        assert_eq!(closed.card.port().config_read(COMMAND, 2) & BUS_MASTER, 0);
        closed.innocent("no cable");
        closed.wire.plug(true);
        let mut bench = closed.open(&rings(80, 80)).expect("with the cable in");
        bench.exchange_in(&[bench.frame(100, 1)], "with the cable in");
    }
}

/// A card under load in both directions: frames in the FIFO and in the ring, packets not sent yet.
fn load(bench: &mut Bench, memory: &mut Memory, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..20) {
        for _ in 0..random.usize(..60) {
            let frame = bench.frame(random.usize(60..FRAME_LEN_MAX), random.u64(..1 << 20));
            bench.wire.put(naio_e1000_model::Frame::good(&frame));
        }
        let mut packets: Vec<TxPacket> =
            (0..random.usize(..40)).map(|n| memory.packet(bench.mac(), 64 + n)).collect();
        packets.push(inline(&[&PEER[..], &bench.mac(), &[0x88, 0xb5]].concat()));
        bench.nic.post_tx(&mut packets);
        if random.bool() {
            bench.nic.ring();
        }
        bench.card.step(random.usize(..64));
        let (frames, mut pages) = bench.hold(random.usize(1..32));
        drop(frames);
        bench.nic.post_rx(&mut pages);
        bench.released();
    }
}

/// 8254x fact sheet 4.12 and 7.4, "DMA after free": the card is off the bus before memory goes.
#[test]
fn a_reset_in_the_middle_of_traffic_leaves_no_memory_with_the_card_and_the_next_driver_works() {
    for seed in seeds(1, 24) {
        let mut random = fastrand::Rng::with_seed(seed);
        let profile = PROFILES[random.usize(..PROFILES.len())];
        let config = Config { rx_spare: random.u32(32..200), ..rings(80 + 8 * random.u32(..20), 80) };
        let mut bench = Bench::with(of_profile(0x100e, profile), &config);
        for round in 0..4 {
            let what = format!("seed {seed}, {profile:?}, round {round}");
            let mut memory = Memory::new(&bench.domain);
            load(&mut bench, &mut memory, &mut random);
            let bus = bench.domain.bus();
            let areas = [RDBAL, TDBAL].map(|base| u64::from(bench.card.peek(base)));
            assert!(areas.iter().all(|at| bus.load(*at).is_ok()), "{what}: rings in use");
            let (closed, config) = bench.close();
            assert!(areas.iter().all(|at| bus.load(*at).is_err()), "{what}: rings that stay visible");
            assert_eq!(closed.card.port().config_read(COMMAND, 2) & BUS_MASTER, 0, "{what}");
            // What the card still had in mind goes nowhere.
            closed.card.advance(Duration::from_millis(50));
            assert_eq!(closed.card.dma_faults(), 0, "{what}");
            while closed.wire.take().is_some() {}
            bench = closed.open(&config).unwrap_or_else(|e| panic!("{what}: {e}"));
            // Frames that came before the ring was there may have waited on the wire.
            bench.taken();
            bench.sent();
            bench.exchange_in(&[bench.frame(60, 1), bench.frame(1514, 2)], &what);
            let mut memory = Memory::new(&bench.domain);
            bench.exchange_out(&mut memory, 5, &what);
            bench.innocent(&what);
        }
    }
}

#[test]
fn frames_that_are_held_above_outlive_their_driver_unchanged() {
    let mut bench = Bench::new(Options::default());
    let frames: Vec<Vec<u8>> = (0..20).map(|n| bench.frame(200, n)).collect();
    bench.arrive(&frames);
    let mut held = Vec::new();
    assert_eq!(bench.nic.reap_rx(&mut held, 20), 20);
    let pool = bench.nic.rx_pool().clone();
    let Bench { nic, card, wire, socket, .. } = bench;
    drop(nic);
    wire.put(naio_e1000_model::Frame::good(&frames[0]));
    card.advance(Duration::from_secs(1));
    for (frame, wanted) in held.iter().zip(&frames) {
        let start = usize::from(frame.offset);
        assert!(pool.bytes(&frame.page)[start..start + usize::from(frame.len)] == wanted[..]);
    }
    crate::bench::innocent(&card, "after the driver");
    drop(socket);
}
