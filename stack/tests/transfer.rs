//! Whole transfers between two stacks over bad wires: every byte arrives, in order, once, and the
//! connection ends in order on both sides.

mod harness;

use harness::{Stream, World};
use naio_stack::{Phase, RingLen, SocketOptions};
use naio_testkit::{Faults, WireOptions};

/// Sends `len` bytes both ways at once and closes; returns the virtual milliseconds it took.
fn both_ways(options: &WireOptions, tx_pages: u32, rings: SocketOptions, len: u64, bite: usize) -> u64 {
    let mut world = World::with(options, tx_pages, |config| config.accepted = rings);
    let (client, server) = world.connect(rings);
    let start = world.clock.micros();
    let mut up = Stream::new(len, 1);
    let mut down = Stream::new(len / 2, 2);
    let done = world.run_until(3_000, |[a, b]| {
        up.pump(&mut a.stack, client);
        down.pump(&mut b.stack, server);
        up.drain(&mut b.stack, server, bite);
        down.drain(&mut a.stack, client, bite);
        let phases = [a.stack.status(client), b.stack.status(server)].map(|s| s.expect("ours").phase);
        up.finished
            && down.finished
            && phases.iter().all(|phase| matches!(phase, Phase::Closed | Phase::TimeWait))
    });
    let state = [world.hosts[0].stack.status(client), world.hosts[1].stack.status(server)];
    assert!(done, "stuck at {} and {} of {len}: {state:#?}", up.received, down.received);
    for (end, host) in world.hosts.iter().enumerate() {
        let (wire, counters) = (world.wire.counters(end), host.stack.counters());
        assert_eq!((wire.bad_checksum, wire.bad_offload), (0, 0));
        assert_eq!((counters.tx_too_long, counters.tx_strange_extent, counters.tx_no_page), (0, 0, 0));
    }
    (world.clock.micros() - start) / 1_000
}

fn rings(rx: usize, tx: usize) -> SocketOptions {
    SocketOptions {
        rx_ring: RingLen::at_least(rx),
        tx_ring: RingLen::at_least(tx),
        ..SocketOptions::default()
    }
}

#[test]
fn a_perfect_wire() {
    let ms = both_ways(&WireOptions::default(), 64, SocketOptions::default(), 4_000_000, usize::MAX);
    // Virtual time: nothing was lost, so nothing may have waited for a timer.
    assert!(ms < 1_000, "{ms} ms");
}

#[test]
fn without_offloads_and_with_verdicts() {
    let mut options = WireOptions { tx_checksum: false, latency_us: 200, ..WireOptions::default() };
    both_ways(&options, 64, SocketOptions::default(), 1_000_000, usize::MAX);
    options.rx_checksum = true;
    both_ways(&options, 64, SocketOptions::default(), 1_000_000, usize::MAX);
}

#[test]
fn loss_reordering_duplication_and_damage() {
    for seed in naio_testkit::seeds(1_000, 24) {
        let faults = Faults { loss: 150, duplicate: 100, reorder: 200, reorder_us: 900, corrupt: 60 };
        let options = WireOptions {
            seed,
            faults: [faults; 2],
            latency_us: 300,
            frame_us: 12,
            tx_checksum: seed % 2 == 0,
            ..WireOptions::default()
        };
        let rings = [rings(4_000, 6_000), rings(65_535, 65_535), rings(200_000, 100_000)][seed as usize % 3];
        both_ways(&options, 40, rings, 300_000, usize::MAX);
    }
}

/// Guard (b), as the stack as a whole keeps it: few pages, given back late, and losses.
#[test]
fn few_pages_that_come_back_late() {
    for seed in 1..6 {
        let faults = Faults { loss: 100, ..Faults::NONE };
        let options = WireOptions {
            seed,
            faults: [faults; 2],
            latency_us: 500,
            tx_lag: 3,
            ring: 8,
            ..WireOptions::default()
        };
        both_ways(&options, 4, SocketOptions::default(), 200_000, usize::MAX);
    }
}

#[test]
fn a_slow_reader_holds_the_sender_back_and_loses_nothing() {
    let options = WireOptions { latency_us: 100, ..WireOptions::default() };
    both_ways(&options, 64, rings(8_000, 65_535), 300_000, 700);
}

#[test]
fn a_reader_that_comes_late_reopens_the_window() {
    let options = WireOptions { latency_us: 100, ..WireOptions::default() };
    let rings = rings(20_000, 100_000);
    let mut world = World::with(&options, 64, |config| config.accepted = rings);
    let (client, server) = world.connect(rings);
    let mut up = Stream::new(90_000, 1);
    let start = world.clock.micros();
    world.run_until(5, |[a, _]| {
        up.pump(&mut a.stack, client);
        false
    });
    assert_eq!(world.hosts[1].stack.status(server).expect("ours").readable, 20_000);
    let woken = world.clock.micros();
    assert!(woken - start >= 4_000_000);
    let done = world.run_until(60, |[a, b]| {
        up.pump(&mut a.stack, client);
        up.drain(&mut b.stack, server, usize::MAX);
        up.finished
    });
    assert!(done, "{} of {}", up.received, up.len);
    // The window update leaves at once; nobody waits for the sender's next probe.
    assert!(world.clock.micros() - woken < 100_000, "{} us", world.clock.micros() - woken);
}
