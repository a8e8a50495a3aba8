//! Frames come up as they arrived, once, in order, and the ring stays full.

use super::card::Event;
use super::{pattern, rings, rng, take_frames, up};
use crate::desc::rx::*;
use crate::regs::*;
use naio_nic::{Nic, RxChecksum};

#[test]
fn frames_of_every_length_arrive_through_several_wraps() {
    for ring in [80, 4096] {
        let (mut driver, card) = up(&rings(ring, 80, 256));
        let total = 2 * ring as usize + 2035;
        let (mut sent, mut seen) = (0, 0);
        while seen < total {
            let burst = sent + 200;
            while sent < burst.min(total) && card.lock().deliver(&pattern(14 + sent % 2035, sent)) {
                sent += 1;
            }
            for frame in take_frames(&mut driver, 64) {
                assert_eq!(frame, pattern(14 + seen % 2035, seen), "frame {seen}");
                seen += 1;
            }
            driver.ring();
        }
        let counters = driver.counters();
        assert_eq!(card.lock().faults, 0);
        assert_eq!(counters.rx_frames, total as u64);
        assert_eq!(counters.rx_bytes, (0..total).map(|n| 14 + n as u64 % 2035).sum::<u64>());
        assert_eq!((counters.rx_length_errors, counters.rx_frame_errors, counters.rx_no_page), (0, 0, 0));
    }
}

#[test]
fn every_slot_gets_its_turn_and_one_is_kept_back() {
    let (mut driver, card) = up(&rings(80, 80, 100));
    for lap in 0..5 {
        let mut filled = 0;
        while card.lock().deliver(&pattern(60, filled)) {
            filled += 1;
        }
        assert_eq!(filled, 79, "lap {lap}: RDT == RDH would mean an empty ring");
        assert_eq!(take_frames(&mut driver, 1000).len(), 79);
        assert!(take_frames(&mut driver, 1000).is_empty());
        driver.ring();
        assert_eq!(card.lock().rx_owned(), 79);
    }
}

#[test]
fn a_batch_costs_one_write_and_an_idle_turn_none() {
    let (mut driver, card) = up(&rings(80, 80, 100));
    let rings_before = driver.counters().doorbells;
    for _ in 0..30 {
        assert!(card.lock().deliver(&pattern(60, 0)));
    }
    card.lock().trace.clear();
    while !take_frames(&mut driver, 7).is_empty() {}
    driver.ring();
    driver.ring();
    let trace = std::mem::take(&mut card.lock().trace);
    assert_eq!(trace, [Event::Ring(RDT, 29)], "and no register is read on the way");
    assert_eq!(driver.counters().doorbells, rings_before + 1);
}

#[test]
fn the_budget_is_kept() {
    let (mut driver, card) = up(&rings(80, 80, 100));
    (0..20).for_each(|n| assert!(card.lock().deliver(&pattern(60, n))));
    let mut frames = Vec::new();
    assert_eq!(driver.reap_rx(&mut frames, 0), 0);
    assert_eq!(driver.reap_rx(&mut frames, 13), 13);
    assert_eq!(driver.reap_rx(&mut frames, 13), 7);
    assert_eq!(frames.len(), 20);
}

#[test]
fn without_a_spare_page_the_frame_is_lost_and_the_slot_is_not() {
    let (mut driver, card) = up(&rings(80, 80, 3));
    (0..10).for_each(|n| assert!(card.lock().deliver(&pattern(60, n))));
    let mut frames = Vec::new();
    assert_eq!(driver.reap_rx(&mut frames, 64), 3, "as many as there are spare pages");
    driver.ring();
    let counters = driver.counters();
    assert_eq!((counters.rx_frames, counters.rx_no_page), (3, 7));
    assert_eq!(card.lock().rx_owned(), 79, "the card is not starved");

    let mut pages = frames.drain(..).map(|f| f.page).collect();
    driver.post_rx(&mut pages);
    assert!(pages.is_empty());
    for round in 0..100 {
        assert!(card.lock().deliver(&pattern(60, round)));
        assert_eq!(take_frames(&mut driver, 64), [pattern(60, round)]);
        driver.ring();
    }
}

#[test]
fn a_verdict_counts_only_where_the_card_gives_one() {
    let (mut driver, card) = up(&rings(80, 80, 100));
    let both = TCPCS | IPCS;
    for (bits, wanted) in [
        (both, RxChecksum::Good),
        (both | IXSM, RxChecksum::Unknown),
        (TCPCS, RxChecksum::Unknown),
        (IPCS, RxChecksum::Unknown),
        (both | TCPE, RxChecksum::Unknown),
        (both | IPE, RxChecksum::Unknown),
        (0, RxChecksum::Unknown),
    ] {
        // Raw checksum and special are no business of ours.
        let noise = 0xbeef << 16 | 0xface << 48;
        assert!(card.lock().write_back(&pattern(60, 0), DD | EOP | 60 | bits | noise));
        let mut frames = Vec::new();
        assert_eq!(driver.reap_rx(&mut frames, 8), 1, "a wrong checksum is for software to confirm");
        assert_eq!((frames[0].checksum, frames[0].len), (wanted, 60), "{bits:#x}");
        driver.post_rx(&mut frames.into_iter().map(|f| f.page).collect());
    }
}

#[test]
fn bursts_of_any_size_arrive_whole() {
    let mut rng = rng();
    let (mut driver, card) = up(&rings(88, 80, 40));
    let (mut sent, mut seen) = (0, 0);
    for _ in 0..2000 {
        for _ in 0..rng.usize(0..50) {
            sent += usize::from(card.lock().deliver(&pattern(14 + sent % 1500, sent)));
        }
        for frame in take_frames(&mut driver, rng.usize(0..40)) {
            assert_eq!(frame, pattern(14 + seen % 1500, seen));
            seen += 1;
        }
        if rng.bool() {
            driver.ring();
        }
    }
    assert!(seen > 88 * 10, "{seen}");
}
