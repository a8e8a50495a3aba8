//! The driver against a small card made for it, which can be told to misbehave.
//!
//! The card is no model of the 8254x: it knows what these tests need and shares the driver's register
//! names. The faithful one is `e1000-model`, written by somebody who does not look in here.

mod bring_up;
mod card;
mod counters;
mod gone;
mod hostile;
mod parts;
mod property;
mod receive;
mod stop;
mod transmit;

use crate::{Config, E1000};
use card::{Card, TestCard};
use naio_nic::Nic;

/// A driver over a well-behaved card, and the card.
fn up(config: &Config) -> (E1000<TestCard>, Card) {
    let (device, card) = TestCard::new();
    let driver = E1000::open(device, config).expect("a good card comes up");
    (driver, card)
}

fn rings(rx_ring: u32, tx_ring: u32, rx_spare: u32) -> Config {
    Config { rx_ring, tx_ring, rx_spare, ..Config::default() }
}

/// Bytes that differ from place to place and from frame to frame.
fn pattern(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + (n >> 8) + salt * 31) as u8).collect()
}

/// Seeded from NAIO_SEED, or by chance; the seed is printed and so shown when the test fails.
fn rng() -> fastrand::Rng {
    let seed = std::env::var("NAIO_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("NAIO_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Reaps everything, copies it out, and gives the pages back.
fn take_frames(driver: &mut E1000<TestCard>, budget: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    driver.reap_rx(&mut frames, budget);
    let copy = |f: &naio_nic::RxFrame| driver.rx_pool().bytes(&f.page)[..usize::from(f.len)].to_vec();
    let bytes = frames.iter().map(copy).collect();
    let mut pages = frames.into_iter().map(|f| f.page).collect();
    driver.post_rx(&mut pages);
    bytes
}
