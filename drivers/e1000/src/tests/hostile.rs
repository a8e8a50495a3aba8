//! A card that writes nonsense back costs frames and counts, never memory or a panic.

use super::card::{Card, TestCard};
use super::transmit::Bench;
use super::{pattern, rings, take_frames, up};
use crate::E1000;
use crate::desc::{rx::*, tx};
use crate::regs::*;
use naio_nic::Nic;

fn lie(card: &Card, word: u64) {
    assert!(card.lock().write_back(&pattern(60, 0), word));
}

/// The card tells the truth again, and the driver still listens.
fn recovers(driver: &mut E1000<TestCard>, card: &Card) {
    for n in 0..200 {
        assert!(card.lock().deliver(&pattern(100, n)));
        assert_eq!(take_frames(driver, 64), [pattern(100, n)]);
        driver.ring();
    }
    assert_eq!(card.lock().rx_owned(), 79);
}

#[test]
fn impossible_lengths_are_counted_and_dropped() {
    let (mut driver, card) = up(&rings(80, 80, 64));
    for len in [0, 1, 13, 2049, 4096, 65535] {
        lie(&card, DD | EOP | len);
    }
    assert!(take_frames(&mut driver, 64).is_empty());
    driver.ring();
    let counters = driver.counters();
    assert_eq!((counters.rx_length_errors, counters.rx_frames, counters.rx_bytes), (6, 0, 0));
    recovers(&mut driver, &card);
}

#[test]
fn frames_the_card_calls_bad_are_dropped() {
    let (mut driver, card) = up(&rings(80, 80, 64));
    for bit in [0, 1, 2, 4, 7] {
        lie(&card, DD | EOP | 60 | 1 << (40 + bit));
    }
    assert!(take_frames(&mut driver, 64).is_empty());
    assert_eq!(driver.counters().rx_frame_errors, 5);
    driver.ring();
    recovers(&mut driver, &card);
}

#[test]
fn a_chain_is_one_lost_frame_up_to_its_end() {
    let (mut driver, card) = up(&rings(80, 80, 64));
    for len in [2049, 4096, 9000, 16_384] {
        assert!(card.lock().deliver(&pattern(len, 1)));
        assert!(card.lock().deliver(&pattern(77, len)));
        // One slot at a time, so that the chain spans calls.
        let frames: Vec<_> = (0..12).flat_map(|_| take_frames(&mut driver, 1)).collect();
        assert_eq!(frames, [pattern(77, len)], "{len}");
        driver.ring();
    }
    assert_eq!(driver.counters().rx_length_errors, 4);
    recovers(&mut driver, &card);
}

#[test]
fn a_frame_that_never_ends_does_not_hold_anybody_up() {
    let (mut driver, card) = up(&rings(80, 80, 64));
    for _ in 0..1000 {
        while card.lock().write_back(&[0xaa; 2048], DD | 2048) {}
        assert!(take_frames(&mut driver, usize::MAX).is_empty(), "and returns");
        driver.ring();
        assert_eq!(card.lock().rx_owned(), 79, "the ring is full again");
    }
    assert_eq!(driver.counters().rx_length_errors, 1, "one frame, however long");
    lie(&card, DD | EOP | 60);
    assert!(take_frames(&mut driver, 8).is_empty(), "its end");
    driver.ring();
    recovers(&mut driver, &card);
}

#[test]
fn slots_the_card_does_not_own_are_not_looked_at() {
    let (mut driver, card) = up(&rings(80, 80, 200));
    let mark_all = || {
        let state = card.lock();
        for index in 0..80 {
            state.bus.store(state.slot(RDBAL, index) + 8, DD | EOP | 60).expect("ring");
        }
    };
    mark_all();
    assert_eq!(take_frames(&mut driver, usize::MAX).len(), 79, "what it was given and no more");
    mark_all();
    assert_eq!(take_frames(&mut driver, usize::MAX).len(), 0, "nothing was given since");
    driver.ring();
    // Marked before it was the card's to mark: whatever it holds, it is memory-safe and bounded.
    assert!(take_frames(&mut driver, usize::MAX).len() <= 79);
}

#[test]
fn addresses_in_written_back_descriptors_are_not_believed() {
    let (mut driver, card) = up(&rings(80, 80, 64));
    let scribble = |word: u64| {
        let mut state = card.lock();
        let slot = state.slot(RDBAL, state.reg(RDH));
        let address = state.bus.load(slot).expect("ring");
        assert!(state.write_back(&pattern(60, 9), word));
        state.bus.store(slot, 0xdead_beef_0000_0000).expect("ring");
        (slot, address)
    };
    let _ = scribble(DD | EOP | 60);
    assert_eq!(take_frames(&mut driver, 8), [pattern(60, 9)], "from where the page really is");
    let (slot, address) = scribble(DD | EOP | 3);
    assert!(take_frames(&mut driver, 8).is_empty());
    assert_eq!(card.lock().bus.load(slot), Ok(address), "posted again where it was");
    driver.ring();
    recovers(&mut driver, &card);
}

#[test]
fn heads_are_diagnostics_and_nothing_depends_on_them() {
    let mut bench = Bench::new(80, 80);
    for value in [79, 80, 0xffff, 0xffff_ffff] {
        bench.card.lock().lies.stuck = Some((RDH, value));
        bench.card.lock().lies.stuck = Some((TDH, value));
        let packet = bench.packet(60, &[]);
        assert_eq!(bench.driver.post_tx(&mut vec![packet]), 1);
        bench.driver.ring();
        bench.driver.reap_tx(&mut Vec::new());
        assert!(take_frames(&mut bench.driver, 8).is_empty());
    }
}

#[test]
fn done_bits_nobody_asked_for_release_nothing() {
    let mut bench = Bench::new(80, 80);
    bench.card.lock().lies.tx_frozen = true;
    let mut batch: Vec<_> = (0..10).map(|n| bench.packet(60, &[(0..100, n)])).collect();
    assert_eq!(bench.driver.post_tx(&mut batch), 10);
    bench.driver.ring();
    let mark = |index: u32| {
        let state = bench.card.lock();
        let slot = state.slot(TDBAL, index) + 8;
        let word = state.bus.load(slot).expect("ring");
        state.bus.store(slot, word | tx::DD).expect("ring");
    };
    // Every slot but that of the one report, and some that hold nothing.
    (0..19).chain(20..80).for_each(&mark);
    let mut released = Vec::new();
    bench.driver.reap_tx(&mut released);
    assert!(released.is_empty(), "{released:?}");
    mark(19);
    bench.driver.reap_tx(&mut released);
    assert_eq!(released.len(), 10);
    assert_eq!(bench.driver.counters().tx_frames, 10);
}

#[test]
fn reports_out_of_order_wait_for_the_first() {
    let mut bench = Bench::new(80, 80);
    bench.card.lock().lies.tx_frozen = true;
    for n in 0..3 {
        let packet = bench.packet(60, &[(0..100, n)]);
        bench.driver.post_tx(&mut vec![packet]);
    }
    bench.driver.ring();
    let mut released = Vec::new();
    for (slot, total) in [(5, 0), (3, 0), (1, 3)] {
        let state = bench.card.lock();
        state.bus.store(state.slot(TDBAL, slot) + 8, tx::DD).expect("ring");
        drop(state);
        bench.driver.reap_tx(&mut released);
        assert_eq!(released.len(), total);
    }
    assert_eq!(released.iter().map(|e| e.0).collect::<Vec<u32>>(), [0, 1, 2]);
}

#[test]
fn a_card_that_never_sends_fills_its_ring_and_that_is_all() {
    let mut bench = Bench::new(80, 80);
    bench.card.lock().lies.tx_frozen = true;
    let mut batch: Vec<_> = (0..100).map(|n| bench.packet(60, &[(0..100, n)])).collect();
    let taken = bench.driver.post_tx(&mut batch);
    for _ in 0..100 {
        assert_eq!(bench.driver.post_tx(&mut batch), 0);
        bench.driver.ring();
        bench.driver.reap_tx(&mut Vec::new());
    }
    assert_eq!((batch.len(), bench.driver.tx_room()), (100 - taken, 0));
    assert_eq!(bench.driver.counters().tx_frames, 0);
}
