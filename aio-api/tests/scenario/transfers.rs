//! Bytes over lines of every kind arrive as they left, whatever the cards and the harm.

use crate::endpoint::{End, World, world};
use crate::talk::{Plan, SERVER_V6, Talker};
use aio_api::{Builder, Ipv6Config};
use naio_e1000_model::wire::impair::Harm;
use naio_testkit::seeds;
use std::net::Ipv6Addr;
use std::time::Duration;

/// Virtual time for one scenario: retransmission timeouts double, and a line may lose a tenth.
const WITHIN: Duration = Duration::from_secs(3_600);

/// A line that does anything a line does.
fn any_harm(random: &mut fastrand::Rng) -> Harm {
    let mut upto = |max: u32| if random.bool() { random.u32(0..=max) } else { 0 };
    let (loss, duplicate, reorder, corrupt) = (upto(300), upto(300), upto(500), upto(200));
    Harm {
        loss,
        duplicate,
        reorder,
        reorder_us: random.u64(1..5_000),
        corrupt,
        delay_us: if random.bool() { random.u64(0..20_000) } else { 0 },
        jitter_us: if random.bool() { random.u64(0..2_000) } else { 0 },
        rate_kbit: if random.bool() { random.u64(10_000..1_000_000) } else { 0 },
        queue_frames: if random.bool() { random.usize(50..1_000) } else { 0 },
        ..Harm::default()
    }
}

fn conversation(plan: Plan, ends: [End; 2]) -> World<Talker, Talker> {
    let seed = plan.seed;
    let mut world = world(seed, ends, (Talker::new(plan, false), Talker::new(plan, true)));
    world.play(WITHIN);
    // The server waits for the next peer for ever.
    world.assert_clean(seed, [1, 0]);
    world.assert_innocent(seed);
    world.assert_whole(seed);
    world
}

#[test]
fn conversations_over_harmful_lines_are_exact_and_leave_nothing_behind() {
    let (mut cut, mut worlds) = (0, 0);
    for seed in seeds(1, 150) {
        let mut random = fastrand::Rng::with_seed(seed);
        let ends = [0; 2].map(|_| End { harm: any_harm(&mut random), ..End::any(&mut random) });
        let connections = random.usize(1..6);
        let plan = Plan {
            seed,
            connections,
            bytes_max: random.u64(1..150_000),
            buffer_len: random.usize(100..30_000),
            at_once: random.usize(1..=connections),
            may_fail: false,
            ipv6: false,
        };
        let world = conversation(plan, ends);
        cut += world.queues[0].borrow_mut().counters().nic.tx_cut_by_card;
        worlds += 1;
    }
    assert!(cut > 0 || worlds == 1, "no packet was long");
}

/// A server or a client with an IPv6 address of its own.
fn with_ipv6(builder: Builder, address: Ipv6Addr) -> Builder {
    let ipv6 = Ipv6Config { addresses: vec![(address, 64)], ..Ipv6Config::default() };
    builder.network(|config| config.ipv6 = Some(ipv6))
}

#[test]
fn conversations_over_ipv6_are_as_exact_and_long_packets_are_cut_by_the_driver() {
    let (mut cut, mut worlds) = (0, 0);
    for seed in seeds(1, 30) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut end = |tune| {
            let harm = if random.bool() { any_harm(&mut random) } else { Harm::default() };
            End { harm, tune, ..End::any(&mut random) }
        };
        let server = end(|builder| with_ipv6(builder, SERVER_V6));
        let client = end(|builder| with_ipv6(builder, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)));
        let plan = Plan {
            seed,
            connections: 3,
            bytes_max: 300_000,
            buffer_len: random.usize(1_000..60_000),
            at_once: 2,
            may_fail: false,
            ipv6: true,
        };
        let world = conversation(plan, [server, client]);
        let counters = world.queues[0].borrow_mut().counters().nic;
        assert_eq!(counters.tx_cut_by_card, 0, "seed {seed}: no part cuts IPv6");
        cut += counters.tx_cut_by_driver;
        worlds += 1;
    }
    assert!(cut > 50 || worlds == 1, "{cut} packets were cut");
}

#[test]
fn hundreds_of_connections_come_and_go_on_one_line() {
    for seed in seeds(1, 3) {
        let mut random = fastrand::Rng::with_seed(seed);
        let ends = [0; 2].map(|_| End { completion_entries: 4_096, ..End::any(&mut random) });
        let plan = Plan {
            seed,
            connections: 300,
            bytes_max: 20_000,
            buffer_len: 4_096,
            at_once: 60,
            may_fail: false,
            ipv6: false,
        };
        drop(conversation(plan, ends));
    }
}

#[test]
fn jumbo_frames_carry_the_same_bytes_as_others() {
    let (mut frames, mut bytes, mut worlds) = (0, 0, 0);
    for seed in seeds(1, 30) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mtu = [9_000, random.usize(1_501..16_110)][random.usize(..2)];
        let harm = if random.bool() { any_harm(&mut random) } else { Harm::default() };
        let ends = [0; 2].map(|_| End { harm, mtu: Some(mtu), ..End::any(&mut random) });
        let plan = Plan {
            seed,
            connections: random.usize(1..4),
            bytes_max: 300_000,
            buffer_len: random.usize(1_000..60_000),
            at_once: 2,
            may_fail: false,
            ipv6: false,
        };
        let world = conversation(plan, ends);
        let counters = world.queues[0].borrow_mut().counters().nic;
        assert_eq!((counters.rx_length_errors, counters.hw_rx_length_errors), (0, 0), "seed {seed}");
        frames += counters.rx_frames;
        bytes += counters.rx_bytes;
        worlds += 1;
    }
    assert!(bytes / frames > 1_518 || worlds == 1, "{} bytes in a frame", bytes / frames);
}
