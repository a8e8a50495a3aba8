//! A card may vanish between any two accesses; every register then reads all ones.

use super::card::{Card, Event, TestCard};
use super::{pattern, rings, take_frames, up};
use crate::{Config, E1000, OpenError};
use naio_device::Attention;
use naio_nic::{Health, Link, Nic, TxPacket};
use std::time::Duration;

fn accesses(card: &Card) -> u64 {
    card.lock().accesses
}

fn vanish(card: &Card) {
    let mut state = card.lock();
    state.lies.gone_from = Some(state.accesses);
}

#[test]
fn a_card_may_vanish_at_any_moment_of_its_bring_up() {
    let (driver, card) = up(&rings(80, 80, 8));
    let total = accesses(&card);
    drop(driver);
    // Each of the first and the last accesses, and some on the long way through the EEPROM.
    let moments = (0..20).chain((20..total - 60).step_by(97)).chain(total - 60..total);
    for moment in moments {
        let (device, card) = TestCard::new();
        card.lock().lies.gone_from = Some(moment);
        let error = E1000::open(device, &rings(80, 80, 8)).err().expect("it is gone");
        assert!(matches!(error, OpenError::Gone), "at {moment}: {error:?}");
        let state = card.lock();
        assert!(state.now < Duration::from_secs(8), "every wait ends");
        assert!(!state.master, "off the bus");
        assert_eq!(state.trace.last(), Some(&Event::Dropped));
    }
}

#[test]
fn nobody_talks_to_a_card_that_is_gone() {
    let (device, card) = TestCard::new();
    let mut driver = E1000::open(device.with_line(), &Config::default()).expect("up");
    assert_eq!(driver.health(), Health::Alive);
    (0..5).for_each(|n| assert!(card.lock().deliver(&pattern(60, n))));
    let packet = TxPacket { header: pattern(60, 0).into_iter().collect(), ..TxPacket::default() };
    assert_eq!(driver.post_tx(&mut vec![packet.clone()]), 1);
    assert_eq!(take_frames(&mut driver, 3).len(), 3);
    let before = driver.counters();
    vanish(&card);
    assert_eq!(driver.health(), Health::Gone);
    let quiet = accesses(&card);
    driver.ring();
    assert_eq!(driver.link(), Link::Down);
    assert_eq!(driver.counters(), before, "all ones are no counts");
    assert_eq!(take_frames(&mut driver, 64).len(), 2, "what had come before is not lost");
    driver.post_tx(&mut vec![packet]);
    driver.reap_tx(&mut Vec::new());
    driver.ring();
    assert!(!driver.arm_irq(true));
    assert!(!driver.arm_irq(false));
    assert_eq!(driver.health(), Health::Gone);
    drop(driver);
    assert_eq!(accesses(&card), quiet, "not even while it is dropped");
    let mut state = card.lock();
    assert_eq!(state.memory_at_stop, Some(true));
    let trace = std::mem::take(&mut state.trace);
    assert!(trace.ends_with(&[Event::BusMaster(false), Event::Dropped]));
}

#[test]
fn a_card_that_comes_back_stays_gone() {
    let (mut driver, card) = up(&Config::default());
    vanish(&card);
    assert_eq!(driver.health(), Health::Gone);
    card.lock().lies.gone_from = None;
    assert_eq!(driver.health(), Health::Gone, "it has lost its rings");
}

#[test]
fn counters_notice_that_the_card_is_gone_and_believe_nothing() {
    let (mut driver, card) = up(&Config::default());
    let before = driver.counters();
    for moment in [0, 1, 5, 11, 12, 15] {
        let (mut driver, card) = up(&Config::default());
        let from = accesses(&card) + moment;
        card.lock().lies.gone_from = Some(from);
        assert_eq!(driver.counters(), before, "after {moment} registers");
        let quiet = accesses(&card);
        driver.counters();
        assert_eq!(accesses(&card), quiet);
    }
    vanish(&card);
    assert_eq!(driver.counters(), before);
}

#[test]
fn dropping_a_card_that_vanished_unnoticed_ends() {
    for moment in 0..12 {
        let (driver, card) = up(&rings(80, 80, 8));
        let then = card.lock().now;
        let from = accesses(&card) + moment;
        card.lock().lies.gone_from = Some(from);
        drop(driver);
        let state = card.lock();
        assert!(state.now - then < Duration::from_millis(200), "{moment}: {:?}", state.now - then);
        assert!(!state.master);
        assert_eq!(state.memory_at_stop, Some(true));
    }
}

#[test]
fn one_register_of_all_ones_is_no_death() {
    let (mut driver, card) = up(&Config::default());
    card.lock().lies.stuck = Some((crate::regs::STATUS, crate::regs::ALL_ONES));
    assert_eq!(driver.health(), Health::Alive);
    assert_eq!(driver.link(), Link::Down);
}

#[test]
fn the_owner_may_want_the_card_back() {
    let (mut device, _card) = TestCard::new();
    device.attention = Attention::Release;
    let mut driver = E1000::open(device, &Config::default()).expect("up");
    assert_eq!(driver.health(), Health::ReleaseRequested);
}
