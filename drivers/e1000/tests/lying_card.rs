//! The driver meets a card that lies about everything, a bounded number of times; `fuzz/` has the endless version.
#![forbid(unsafe_code)]

mod lying;

use lying::{Outcome, play};
use naio_testkit::seeds;

/// Scripts that a test run plays.
const SCRIPTS: u64 = 2_000;
const SCRIPT_LEN_MAX: usize = 3_000;

/// A script in which lies are as rare as `rarity` says: a card that only lies never comes up.
fn script(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let rarity = random.u8(1..);
    let len = random.usize(1..SCRIPT_LEN_MAX);
    std::iter::repeat_with(|| if random.u8(..) < rarity { random.u8(..200) } else { random.u8(..) })
        .take(len)
        .collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "how far the scripts came, for whoever asks with --nocapture")]
fn whatever_the_card_says_the_driver_stays_within_its_bounds() {
    let mut sum = Outcome::default();
    let mut opened = 0;
    for seed in seeds(1, SCRIPTS) {
        let outcome = play(&script(seed));
        opened += u64::from(outcome.opened);
        sum.frames += outcome.frames;
        sum.released += outcome.released;
    }
    println!("{opened} of {SCRIPTS} cards came up; {} frames, {} extents", sum.frames, sum.released);
    // A test that no card comes up in would prove little. One seed alone may well be such a card.
    if std::env::var_os("NAIO_SEED").is_none() {
        assert!(opened > SCRIPTS / 10 && sum.frames > 1_000 && sum.released > 1_000, "{opened} {sum:?}");
    }
}

#[test]
fn a_card_that_tells_the_truth_comes_up() {
    assert!(play(&[0, 0, 0, 0, 8, 1]).opened);
}
