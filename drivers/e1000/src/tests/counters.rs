//! The card's statistics: cleared by reading, 32 and 64 bits, stuck at their ceiling.

use super::up;
use crate::Config;
use crate::regs::ALL_ONES;
use naio_nic::Nic;

#[test]
fn what_was_counted_before_the_start_is_forgotten() {
    let (mut driver, _card) = up(&Config::default());
    let counters = driver.counters();
    assert_eq!((counters.hw_rx_good, counters.hw_missed, counters.hw_rx_bytes), (0, 0, 0));
}

#[test]
fn registers_add_up_over_reads_each_into_its_counter() {
    let (mut driver, card) = up(&Config::default());
    for round in 1..=3 {
        let mut state = card.lock();
        for (n, offset) in (0..).zip([0x4000, 0x4004, 0x4008, 0x400c, 0x40a4, 0x40a8, 0x40ac, 0x40b0]) {
            state.set(offset, 1 << n);
        }
        for (offset, value) in [(0x4010, 3), (0x40a0, 5), (0x4074, 7), (0x4080, 11)] {
            state.set(offset, value);
        }
        drop(state);
        let c = driver.counters();
        assert_eq!((c.hw_rx_errors, c.hw_rx_length_errors), (round * 0x0f, round * 0xf0));
        assert_eq!((c.hw_missed, c.hw_no_buffer), (round * 3, round * 5));
        assert_eq!((c.hw_rx_good, c.hw_tx_good), (round * 7, round * 11));
        assert_eq!(c.hw_saturated, 0);
    }
}

#[test]
fn octets_have_64_bits_and_are_read_low_half_first() {
    let (mut driver, card) = up(&Config::default());
    for round in 1..=2 {
        let mut state = card.lock();
        for (offset, value) in [(0x4088, 0xffff_ffff), (0x408c, 1), (0x4090, 5), (0x4094, 2)] {
            state.set(offset, value);
        }
        drop(state);
        let counters = driver.counters();
        assert_eq!(counters.hw_rx_bytes, round * 0x1_ffff_ffff);
        assert_eq!(counters.hw_tx_bytes, round * 0x2_0000_0005);
        assert_eq!(counters.hw_saturated, 0, "a low half of all ones is an ordinary number");
    }
}

#[test]
fn a_register_at_its_ceiling_is_said_to_be_one() {
    let (mut driver, card) = up(&Config::default());
    card.lock().set(0x4074, ALL_ONES);
    let counters = driver.counters();
    assert_eq!((counters.hw_rx_good, counters.hw_saturated), (u64::from(ALL_ONES), 1));
    (0x4088..0x4098).step_by(4).for_each(|half| card.lock().set(half, ALL_ONES));
    let counters = driver.counters();
    assert_eq!((counters.hw_rx_bytes, counters.hw_tx_bytes, counters.hw_saturated), (0, 0, 3));
}

#[test]
fn sums_stop_at_the_largest_number() {
    let (mut driver, card) = up(&Config::default());
    for _ in 0..3 {
        card.lock().set(0x4088, 0xffff_fffe);
        card.lock().set(0x408c, ALL_ONES);
        driver.counters();
    }
    assert_eq!(driver.counters().hw_rx_bytes, u64::MAX);
}

/// QEMU 7.2: MPC and RNBC stay when read, and count on from there.
#[test]
fn a_register_that_reading_does_not_clear_is_counted_once() {
    let (mut driver, card) = up(&Config::default());
    card.lock().lies.keeps_statistics = true;
    for (missed, sum) in [(3, 3), (3, 3), (10, 10), (0, 10), (4, 14), (5, 15)] {
        card.lock().set(0x4010, missed);
        assert_eq!(driver.counters().hw_missed, sum, "MPC at {missed}");
    }
}
