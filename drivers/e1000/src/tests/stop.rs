//! However a driver ends, the card is off the bus before its memory goes.

use super::card::{Card, Event, TestCard};
use super::{pattern, rings, up};
use crate::regs::*;
use crate::{Config, E1000};
use naio_nic::{Nic, TxPacket};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn stopped_in_order(card: &Card) {
    let mut state = card.lock();
    assert!(!state.master);
    assert_eq!(state.hurried, 0);
    assert_eq!(state.memory_at_stop, Some(true), "rings still mapped when the bus went off");
    assert!(!state.sees_rings(), "and gone in the end");
    let trace = std::mem::take(&mut state.trace);
    let last = |wanted: &dyn Fn(&Event) -> bool| trace.iter().rposition(wanted).expect("happened");
    let rx_off = last(&|e| *e == Event::Write(RCTL, 0));
    let tx_off = last(&|e| matches!(e, Event::Write(TCTL, v) if v & tctl::EN == 0));
    let masked = last(&|e| *e == Event::Write(IMC, ALL_ONES));
    let reset = last(&|e| matches!(e, Event::Write(CTRL, v) if v & ctrl::RST != 0));
    last(&|e| *e == Event::Write(WUC, 0));
    let off = last(&|e| *e == Event::BusMaster(false));
    assert!(rx_off < reset && tx_off < reset && reset < off && masked < off);
    assert_eq!(trace[off + 1..], [Event::Dropped], "no access after the bus is off");
}

#[test]
fn dropping_stops_both_units_then_the_bus_then_frees() {
    let (mut driver, card) = up(&rings(80, 80, 8));
    let packet = TxPacket { header: pattern(60, 0).into_iter().collect(), ..TxPacket::default() };
    driver.post_tx(&mut vec![packet]);
    driver.ring();
    assert!(card.lock().deliver(&pattern(60, 0)));
    drop(driver);
    stopped_in_order(&card);
    assert!(!card.lock().deliver(&pattern(60, 0)));
}

#[test]
fn a_panic_above_stops_the_card_the_same_way() {
    let (driver, card) = up(&rings(80, 80, 8));
    let above = move || {
        let _driver = driver;
        panic!("somebody else's bug");
    };
    let outcome = catch_unwind(AssertUnwindSafe(above));
    assert!(outcome.is_err());
    stopped_in_order(&card);
}

#[test]
fn a_failed_start_stops_the_card_the_same_way() {
    let (device, card) = TestCard::new();
    card.lock().lies.no_link = true;
    assert!(E1000::open(device, &Config::default()).is_err());
    stopped_in_order(&card);
}

#[test]
fn a_reset_that_never_ends_does_not_hold_up_the_end() {
    let (driver, card) = up(&Config::default());
    card.lock().lies.reset_never_ends = true;
    drop(driver);
    stopped_in_order(&card);
}

#[test]
fn a_card_can_be_opened_again() {
    for _ in 0..3 {
        let (mut driver, card) = up(&Config::default());
        assert!(card.lock().deliver(&pattern(60, 0)));
        assert_eq!(super::take_frames(&mut driver, 8).len(), 1);
    }
}

#[test]
fn frames_held_above_outlive_the_driver() {
    let (mut driver, card) = up(&rings(80, 80, 8));
    assert!(card.lock().deliver(&pattern(99, 3)));
    let mut frames = Vec::new();
    driver.reap_rx(&mut frames, 8);
    let pool = driver.rx_pool().clone();
    drop(driver);
    assert_eq!(pool.bytes(&frames[0].page)[..99], pattern(99, 3));
}
