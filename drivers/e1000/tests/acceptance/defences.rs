//! Defences of 8254x fact sheet 7.4 that are more than one fault at a time: each test names its row.

use crate::bench::{Bench, Closed, Memory, PROFILES, of_profile, rings};
use naio_e1000::Config;
use naio_e1000_model::faults::{Faults, LengthFault, TxFault};
use naio_e1000_model::{Options, Profile};
use naio_nic::{Health, Link, Nic, TxPacket};
use std::time::Duration;

const RING: u32 = 80;
/// DD and EOP of a received descriptor, and a length of 60, as the second quadword.
const DONE_FRAME: u64 = 3 << 32 | 60;

fn small() -> Bench {
    Bench::with(Options::default(), &rings(RING, RING))
}

/// "DD without EOP forever", "EOP missing and ring wraps onto itself".
#[test]
fn a_frame_that_never_ends_costs_a_lap_at_most_and_is_one_lost_frame() {
    let mut bench = small();
    bench.card.inject(|faults| faults.rx_without_eop = u32::MAX);
    for lap in 0..5 {
        let frames: Vec<Vec<u8>> = (0..60).map(|n| bench.frame(100, n)).collect();
        bench.arrive(&frames);
        let (got, _) = bench.hold(1_000);
        bench.nic.ring();
        assert!(got.is_empty(), "lap {lap}");
        assert_eq!(bench.counters().rx_length_errors, 1, "lap {lap}");
    }
    bench.card.inject(|faults| *faults = Faults::default());
    // The rest of what never ended ends with the first good frame.
    bench.arrive(&[bench.frame(100, 1), bench.frame(100, 2), bench.frame(100, 3)]);
    assert_eq!(bench.taken(), [bench.frame(100, 2), bench.frame(100, 3)]);
    bench.innocent("endless frame");
}

/// "RX length > buffer size": however long the lie, never a byte beyond the page, and the next frame is right.
#[test]
fn every_length_that_a_descriptor_can_say_is_bounded_by_the_page() {
    let mut bench = small();
    for len in (0..64).chain(1500..1530).chain(2040..2060).chain([4095, 9000, 16_384, 32_768, u16::MAX]) {
        bench.card.inject(|faults| faults.rx_length = LengthFault::Always(len));
        bench.arrive(&[bench.frame(100, 1)]);
        let got = bench.taken();
        // 14: two addresses and a type. 2048: the page.
        let possible = (14..=2048).contains(&len);
        assert_eq!(
            got.iter().map(Vec::len).collect::<Vec<_>>(),
            vec![usize::from(len); usize::from(possible)]
        );
        bench.card.inject(|faults| *faults = Faults::default());
        bench.exchange_in(&[bench.frame(200, 2)], "the next one");
    }
    bench.innocent("lengths");
}

/// "Status or length updated after DD was observed (torn write-back)".
#[test]
fn a_write_back_in_two_steps_is_read_once_and_its_second_half_never() {
    let mut bench = small();
    bench.card.inject(|faults| faults.rx_torn = true);
    let laps = u64::from(3 * RING);
    for n in 0..laps {
        bench.wire.put(naio_e1000_model::Frame::good(&bench.frame(100, n)));
        // One step: the first half, which says a length of 0.
        while bench.card.counter(0x4074).is_some_and(|count| count <= n) && bench.card.step(1) {}
        bench.card.step(1);
        let (got, _) = bench.hold(10);
        bench.nic.ring();
        assert!(got.is_empty(), "frame {n}: half a write-back is no frame");
        bench.card.run();
    }
    assert_eq!(bench.counters().rx_length_errors, laps);
    bench.card.inject(|faults| *faults = Faults::default());
    bench.card.run();
    bench.exchange_in(&[bench.frame(100, 1), bench.frame(100, 2)], "after");
    bench.innocent("torn");
}

/// "DD set in descriptors not given to hardware": the slot that is kept back, written at any time.
#[test]
fn a_frame_in_the_slot_that_was_kept_back_is_never_seen() {
    let mut bench = small();
    let (bus, base) = (bench.domain.bus(), u64::from(bench.card.peek(0x2800)));
    for n in 0..u64::from(3 * RING) {
        let kept_back = u64::from(bench.card.peek(0x2818));
        bus.store(base + 16 * kept_back + 8, DONE_FRAME).expect("the ring is there");
        bench.exchange_in(&[bench.frame(100, n)], "behind a lie");
    }
    let counted = bench.counters();
    assert_eq!((counted.rx_frames, counted.rx_length_errors), (u64::from(3 * RING), 0));
    bench.innocent("kept back");
}

/// "Buffer address in write-back changed", "same buffer completed twice".
#[test]
fn no_page_is_handed_up_twice_whatever_addresses_come_back() {
    let mut bench = small();
    bench.card.inject(|faults| (faults.rx_address_changed, faults.rx_done_again) = (true, u32::MAX));
    let mut held = Vec::new();
    for n in 0..50 {
        bench.arrive(&[bench.frame(100, n)]);
        held.extend(bench.hold(10).1);
        bench.nic.ring();
    }
    let mut at: Vec<u64> = held.iter().map(|page| bench.nic.rx_pool().iova(page).as_u64()).collect();
    at.sort_unstable();
    at.dedup();
    assert_eq!((at.len(), held.len()), (50, 50));
    bench.nic.post_rx(&mut held);
    bench.nic.ring();
    bench.innocent("addresses");
}

/// "TX DD on unmarked or future descriptors": only what was asked about, in order, stopping at the first that is clear.
#[test]
fn reports_that_nobody_asked_for_or_that_come_early_release_nothing() {
    let mut bench = small();
    let mut memory = Memory::new(&bench.domain);
    bench.card.inject(|faults| faults.tx = TxFault::Stalled);
    let mut packets: Vec<TxPacket> = (0..20).map(|n| memory.packet(bench.mac(), 100 + n)).collect();
    assert_eq!(bench.post(&mut packets), 20);
    let (bus, base) = (bench.domain.bus(), u64::from(bench.card.peek(0x3800)));
    let words: Vec<u64> =
        (0..u64::from(RING)).map(|slot| bus.load(base + 16 * slot + 8).expect("the ring")).collect();
    // RS is bit 27, DD bit 32: all but the first asked-for report claim to be done.
    let first = words.iter().position(|word| word & 1 << 27 != 0).expect("a report was asked for");
    for (slot, word) in words.iter().enumerate().filter(|(slot, _)| *slot != first) {
        bus.store(base + 16 * slot as u64 + 8, word | 1 << 32).expect("the ring");
    }
    assert!(bench.released().is_empty(), "everything waits for the first");
    assert_eq!(bench.counters().tx_frames, 0);
    let _ = bench.card.take_violations();
    for (slot, word) in words.iter().enumerate() {
        bus.store(base + 16 * slot as u64 + 8, *word).expect("the ring");
    }
    bench.card.inject(|faults| *faults = Faults::default());
    bench.card.run();
    assert_eq!((bench.sent().len(), bench.released().len()), (20, 20));
    bench.innocent("early reports");
}

/// "TDH or RDH beyond the ring, or moving": nothing that is done per frame reads a register at all.
#[test]
fn the_data_path_reads_no_register() {
    let mut bench = small();
    let mut memory = Memory::new(&bench.domain);
    let socket = bench.socket.clone();
    let read = socket.trace_reads(|| {
        for round in 0..10 {
            bench.exchange_in(&[bench.frame(100, round), bench.frame(1514, round)], "silent");
            bench.exchange_out(&mut memory, 5, "silent");
        }
    });
    assert_eq!(read, [0; 0]);
}

/// A card that takes no packets: the ring fills, the driver refuses more, and all leaves once it moves again.
#[test]
fn a_transmit_engine_that_hangs_costs_nobody_anything_but_time() {
    for fault in [TxFault::Stalled, TxFault::StallsAfter(33), TxFault::NeverDone] {
        let mut bench = small();
        let mut memory = Memory::new(&bench.domain);
        bench.card.inject(|faults| faults.tx = fault);
        let mut packets: Vec<TxPacket> = (0..200).map(|n| memory.packet(bench.mac(), 64 + n % 60)).collect();
        let wanted: Vec<Vec<u8>> = packets.iter().map(|packet| memory.flat(packet)).collect();
        let mut taken = 0;
        for _ in 0..50 {
            taken += bench.post(&mut packets);
            bench.released();
        }
        assert!(taken > 20 && packets.len() + taken == 200 && bench.nic.tx_room() == 0, "{fault:?}: {taken}");
        assert_eq!(bench.nic.health(), Health::Alive);
        if fault == TxFault::NeverDone {
            // What was not reported never will be: this needs a reset (8254x fact sheet 5.1).
            let mut bench = bench.reopen();
            bench.card.inject(|faults| *faults = Faults::default());
            let _ = bench.sent();
            bench.exchange_out(&mut memory, 10, "after a reset");
            bench.innocent("after a reset");
            continue;
        }
        bench.card.inject(|faults| *faults = Faults::default());
        bench.card.run();
        let mut sent = bench.sent();
        while !packets.is_empty() {
            bench.released();
            assert!(bench.post(&mut packets) > 0, "{fault:?}: it goes on");
            sent.extend(bench.sent());
        }
        assert!(sent[sent.len() - (200 - taken)..] == wanted[taken..], "{fault:?}: in order");
        bench.innocent("hang");
    }
}

/// "All-ones MMIO" (8254x fact sheet 5.6): at any moment of opening, and between any two verbs.
#[test]
fn a_card_that_is_pulled_at_any_moment_of_opening_is_said_to_be_gone() {
    let gone = Faults { gone: true, ..Faults::default() };
    let mut said = 0;
    for after_us in (0..2_000).map(|n| n * 397) {
        let closed = Closed::new(Options { autoneg: Duration::from_millis(20), ..Options::default() });
        closed.card.inject_after(Duration::from_micros(after_us), gone.clone());
        match closed.open(&rings(RING, RING)) {
            Err(naio_e1000::OpenError::Gone) => said += 1,
            Err(other) => panic!("after {after_us} µs: {other:?}"),
            // It lived long enough.
            Ok(_) => break,
        }
        closed.innocent("pulled");
    }
    assert!(said > 100, "opening takes longer than {said} steps");
}

#[test]
fn a_card_that_is_pulled_in_the_middle_of_traffic_is_left_alone_and_keeps_no_page() {
    for profile in PROFILES {
        let mut bench = Bench::with(of_profile(0x100e, profile), &rings(RING, RING));
        let mut memory = Memory::new(&bench.domain);
        bench.exchange_in(&[bench.frame(100, 1)], "before");
        let mut packets: Vec<TxPacket> = (0..5).map(|n| memory.packet(bench.mac(), 100 + n)).collect();
        bench.nic.post_tx(&mut packets);
        let counted = bench.counters();
        bench.card.inject(|faults| faults.gone = true);
        bench.nic.ring();
        bench.arrive(&[bench.frame(100, 2)]);
        assert!(bench.hold(10).0.is_empty() && bench.released().is_empty(), "{profile:?}");
        assert_eq!(bench.nic.link(), Link::Down);
        assert_eq!(bench.counters(), naio_nic::Counters { doorbells: bench.counters().doorbells, ..counted });
        assert_eq!(bench.nic.health(), Health::Gone);
        let (closed, config) = bench.close();
        assert!(matches!(closed.open(&config), Err(naio_e1000::OpenError::Gone)), "{profile:?}");
        // Plugged in again it works.
        closed.card.inject(|faults| faults.gone = false);
        closed.card.port().reset();
        closed.card.port().config_write(4, 2, 1 << 1);
        closed.card.advance(Duration::from_secs(1));
        while closed.wire.take().is_some() {}
        let mut bench = closed.open(&config).unwrap_or_else(|e| panic!("{profile:?}: {e}"));
        bench.taken();
        bench.exchange_in(&[bench.frame(100, 3)], "again");
        bench.innocent("again");
    }
}

/// "Interrupt storm" and "spurious interrupt": one interrupt for each time that one was asked for.
#[test]
fn an_interrupt_is_asked_for_one_at_a_time_and_a_storm_is_as_slow_as_who_asks() {
    let mut bench = Bench::new(Options::default());
    assert!(!bench.card.interrupt_pin());
    assert!(bench.nic.arm_irq(true) && bench.nic.irq_fd().is_some());
    bench.arrive(&[bench.frame(100, 1)]);
    assert!(bench.card.interrupt_pin(), "a frame ends a sleep");
    assert!(bench.nic.arm_irq(true) && !bench.card.interrupt_pin(), "asking again acknowledges");
    bench.card.inject(|faults| faults.cause_storm = 0x1_ffff);
    for _ in 0..100 {
        bench.card.advance(Duration::from_millis(1));
    }
    bench.card.spurious_interrupt();
    assert!(bench.nic.arm_irq(false));
    let before = bench.card.assertions();
    bench.card.advance(Duration::from_millis(100));
    assert_eq!((bench.card.assertions(), bench.card.interrupt_pin()), (before, false), "masked");
    bench.card.inject(|faults| *faults = Faults { icr: Some(0), ..Faults::default() });
    assert!(bench.nic.arm_irq(true), "a cause register of 0 is no reason to stop");
    bench.take();
    bench.exchange_in(&[bench.frame(100, 2)], "polling goes on");
    bench.innocent("interrupts");
}

#[test]
fn without_an_interrupt_arming_says_so_and_polling_works() {
    let mut bench = Bench::new(Options::default());
    bench.socket.without_interrupt();
    for armed in [true, false, true] {
        assert!(!bench.nic.arm_irq(armed) && bench.nic.irq_fd().is_none());
        bench.exchange_in(&[bench.frame(100, 1)], "polled");
    }
    bench.innocent("no interrupt");
}

/// "IOVA overlap, DMA after free": a card that would still write after the driver has gone writes nothing.
#[test]
fn a_card_that_does_not_end_its_reset_is_off_the_bus_all_the_same() {
    for profile in PROFILES {
        let config = Config { rx_spare: 8, ..rings(RING, RING) };
        let bench = Bench::with(of_profile(0x100e, profile), &config);
        let frames: Vec<Vec<u8>> = (0..70).map(|n| bench.frame(100, n)).collect();
        frames.iter().for_each(|frame| bench.wire.put(naio_e1000_model::Frame::good(frame)));
        bench.card.inject(|faults| {
            faults.reset = naio_e1000_model::faults::ResetFault::Never;
            faults.held = true;
            faults.write_back_delay_us = 5_000;
        });
        bench.card.step(40);
        let (closed, _) = bench.close();
        closed.card.inject(|faults| faults.held = false);
        closed.card.advance(Duration::from_secs(1));
        assert_eq!(
            (closed.card.dma_faults(), closed.card.port().config_read(4, 2) & 4),
            (0, 0),
            "{profile:?}"
        );
        closed.innocent(&format!("{profile:?}"));
    }
}

/// "MMIO reads that change": the link is what STATUS says at that moment, and nothing hangs on it.
#[test]
fn a_link_that_flaps_costs_no_frame() {
    let mut bench = Bench::new(of_profile(0x100e, Profile::Silicon));
    let mut memory = Memory::new(&bench.domain);
    bench.card.inject(|faults| faults.status_flaps = true);
    let mut seen = [0, 0];
    for round in 0..200 {
        seen[usize::from(bench.nic.link().is_up())] += 1;
        assert_eq!(bench.nic.health(), Health::Alive);
        bench.exchange_in(&[bench.frame(100, round)], "flapping");
        bench.exchange_out(&mut memory, 1, "flapping");
    }
    assert!(seen[0] > 20 && seen[1] > 20, "{seen:?}");
    bench.innocent("flapping");
}
