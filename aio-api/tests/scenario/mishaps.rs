//! What goes wrong in a user's life, in virtual time: cables, cards and peers that are there no more. Transfers go
//! on where they can, and where they cannot every operation ends, once, with an error that says why.

use crate::endpoint::{End, World, world};
use crate::talk::{Plan, Talker};
use aio_api::OpError;
use naio_e1000_model::wire::impair::Harm;
use naio_testkit::seeds;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(3_600);
/// A line slow enough that something can go wrong while it carries the bytes.
const RATE_KBIT: u64 = 20_000;

fn slow(random: &mut fastrand::Rng) -> End {
    End { harm: Harm { rate_kbit: RATE_KBIT, ..Harm::default() }, ..End::any(random) }
}

fn bulk(seed: u64, may_fail: bool) -> World<Talker, Talker> {
    let mut random = fastrand::Rng::with_seed(seed);
    let ends = [slow(&mut random), slow(&mut random)];
    let plan = Plan {
        seed,
        connections: 3,
        bytes_max: 2_000_000,
        buffer_len: 16_384,
        at_once: 3,
        may_fail,
        ipv6: false,
    };
    world(seed, ends, (Talker::new(plan, false), Talker::new(plan, true)))
}

#[test]
fn a_cable_that_is_pulled_and_plugged_in_again_costs_time_only() {
    for seed in seeds(1, 20) {
        let mut world = bulk(seed, false);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut at = 0;
        for _ in 0..random.u32(1..5) {
            // Not while they ask for each other: that is no mishap but nobody there.
            at += random.u64(100..2_000);
            let down = random.u64(1..3_000);
            let (pulled, plugged) = (world.cable.clone(), world.cable.clone());
            world.after(Duration::from_millis(at), move || pulled.plug(false));
            world.after(Duration::from_millis(at + down), move || plugged.plug(true));
            at += down;
        }
        world.play(WITHIN);
        world.assert_clean(seed, [1, 0]);
        world.assert_innocent(seed);
        world.assert_whole(seed);
    }
}

#[test]
fn a_card_that_is_pulled_out_ends_every_operation() {
    for seed in seeds(1, 20) {
        let mut world = bulk(seed, true);
        let card = world.cards[1].clone();
        let at = Duration::from_millis(fastrand::Rng::with_seed(seed).u64(0..1_000));
        let cable = world.cable.clone();
        world.after(at, move || {
            card.inject(|faults| faults.gone = true);
            cable.plug(false);
        });
        world.play(WITHIN);
        let client = world.programs.1.borrow();
        let ended = |error: &OpError| *error == OpError::CardGone;
        assert!(client.errors.iter().all(ended), "seed {seed}: {:?}", client.errors);
        assert_eq!(world.queues[1].borrow().outstanding(), 0, "seed {seed}");
        // The other end hears nothing any more; its patience has an end.
        let errors = &world.programs.0.borrow().errors;
        let patience = |error: &OpError| matches!(error, OpError::TimedOut | OpError::Unreachable);
        assert!(errors.iter().all(patience), "seed {seed}: {errors:?}");
    }
}

#[test]
fn a_peer_that_vanishes_is_given_up_by_everybody_who_waits_for_it() {
    for seed in seeds(1, 20) {
        let mut world = bulk(seed, true);
        let knobs = world.knobs.clone();
        let at = Duration::from_millis(fastrand::Rng::with_seed(seed).u64(0..1_000));
        let nothing = Harm { loss: 10_000, ..Harm::default() };
        world.after(at, move || knobs.iter().for_each(|knob| knob.set(nothing)));
        world.play(WITHIN);
        for errors in [&world.programs.0.borrow().errors, &world.programs.1.borrow().errors] {
            let patience = |error: &OpError| matches!(error, OpError::TimedOut | OpError::Unreachable);
            assert!(errors.iter().all(patience), "seed {seed}: {errors:?}");
        }
        world.assert_clean(seed, [1, 0]);
        world.assert_innocent(seed);
        world.assert_whole(seed);
    }
}

#[test]
fn cards_and_pools_that_are_too_small_cost_frames_and_nothing_else() {
    for seed in seeds(1, 20) {
        let mut random = fastrand::Rng::with_seed(seed);
        let ends = [0; 2].map(|_| {
            // Frames one after the other: of a burst at once the same ones would be lost each time.
            let harm = Harm { rate_kbit: 10 * RATE_KBIT, ..Harm::default() };
            let mut end = End { harm, tune: |builder| builder.tx_pages(4), ..End::any(&mut random) };
            end.rings.rx_spare = Some(random.u32(1..8));
            end
        });
        let plan = Plan {
            seed,
            connections: 8,
            bytes_max: 100_000,
            buffer_len: 16_384,
            at_once: 8,
            may_fail: false,
            ipv6: false,
        };
        let mut world = world(seed, ends, (Talker::new(plan, false), Talker::new(plan, true)));
        world.play(WITHIN);
        world.assert_clean(seed, [1, 0]);
        world.assert_innocent(seed);
        world.assert_whole(seed);
    }
}
