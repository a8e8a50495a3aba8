//! The card's counters (8254x fact sheet 2.13, 7.5 item 8): read in the right order, added up over reads, said to be
//! too small where they stood at their ceiling.

use crate::bench::{Bench, CLAIMED, Memory, PROFILES, of_profile};
use naio_e1000_model::faults::Faults;
use naio_e1000_model::{Options, Profile};
use naio_nic::Counters;

/// Low halves of the 64-bit counters that the driver reads: GORCL and GOTCL.
const PAIRS: [u32; 2] = [0x4088, 0x4090];
/// 32-bit counters that it reads: CRCERRS, ALGNERRC, SYMERRS, RXERRC, MPC, RNBC, GPRC, GPTC, RUC, RFC, ROC, RJC.
const WORDS: [u32; 12] =
    [0x4000, 0x4004, 0x4008, 0x400c, 0x4010, 0x40a0, 0x4074, 0x4080, 0x40a4, 0x40a8, 0x40ac, 0x40b0];
const MPC: u32 = 0x4010;
const CEILING: u64 = u32::MAX as u64;

/// 8254x fact sheet 2.13: reading the high half clears both, so the low half comes first.
#[test]
fn of_every_pair_the_low_half_is_read_first_and_the_high_half_next() {
    let mut bench = Bench::new(Options::default());
    let socket = bench.socket.clone();
    let read = socket.trace_reads(|| {
        bench.counters();
    });
    for low in PAIRS {
        let at = read.iter().position(|offset| *offset == low).expect("it is read");
        assert_eq!(read.get(at + 1), Some(&(low + 4)), "{low:#x}");
        assert_eq!(read.iter().filter(|offset| **offset == low + 4).count(), 1, "cleared once");
    }
    assert!(WORDS.iter().all(|offset| read.contains(offset)));
}

#[test]
fn counts_are_exact_however_often_they_are_collected_on_every_emulator() {
    for (device_id, profile) in CLAIMED.into_iter().flat_map(|id| PROFILES.map(|profile| (id, profile))) {
        for every in [1, 7, usize::MAX] {
            let mut bench = Bench::new(of_profile(device_id, profile));
            let mut memory = Memory::new(&bench.domain);
            let (mut bytes_in, mut bytes_out) = (0, 0);
            for n in 0..21 {
                let len = 60 + n * 61;
                bench.exchange_in(&[bench.frame(len, 1)], "counted");
                bench.exchange_out(&mut memory, 2, "counted");
                // Of 64 and 65 bytes, and an FCS each.
                (bytes_in, bytes_out) = (bytes_in + len as u64 + 4, bytes_out + 68 + 69);
                if n % every == 0 {
                    bench.counters();
                }
            }
            let counted = bench.counters();
            let what = format!("{device_id:#x} {profile:?}, read every {every}");
            assert_eq!((counted.hw_rx_good, counted.hw_tx_good), (21, 42), "{what}");
            assert_eq!((counted.hw_rx_bytes, counted.hw_tx_bytes), (bytes_in, bytes_out), "{what}");
            assert_eq!(counted.hw_saturated, 0, "{what}");
            assert_eq!(bench.counters(), counted, "{what}: nothing happened since");
        }
    }
}

#[test]
fn registers_at_their_ceiling_are_believed_as_far_as_they_go_and_said_to_be_too_small() {
    for device_id in CLAIMED {
        let mut bench = Bench::new(Options { device_id, ..Options::default() });
        bench.card.saturate_counters();
        let counted = bench.counters();
        assert_eq!(counted.hw_saturated, (WORDS.len() + PAIRS.len()) as u64, "{device_id:#x}");
        assert_eq!((counted.hw_missed, counted.hw_rx_good, counted.hw_tx_good), (CEILING, CEILING, CEILING));
        assert_eq!((counted.hw_rx_errors, counted.hw_rx_length_errors), (4 * CEILING, 4 * CEILING));
        assert_eq!((counted.hw_rx_bytes, counted.hw_tx_bytes), (0, 0), "2^64 - 1 octets say nothing");
        // They were cleared by reading, and count on from zero.
        bench.exchange_in(&[bench.frame(100, 1)], "after");
        let later = bench.counters();
        assert_eq!((later.hw_rx_good, later.hw_rx_bytes), (CEILING + 1, 104));
        assert_eq!(later.hw_saturated, counted.hw_saturated);
        for _ in 0..3 {
            bench.card.saturate_counters();
            bench.counters();
        }
        assert_eq!(bench.counters().hw_saturated, 4 * counted.hw_saturated);
        bench.innocent("saturated");
    }
}

/// 8254x fact sheet 4.3, step 25, and 6.1: QEMU's registers survive a reset.
#[test]
fn what_was_counted_for_the_driver_before_is_forgotten() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        bench.exchange_in(&[bench.frame(100, 1), bench.frame(100, 2)], "before");
        bench.card.saturate_counters();
        let mut bench = bench.reopen();
        // QEMU's MPC and RNBC still stand at their ceiling, and count no more.
        let hw_saturated = if profile == Profile::Qemu { 2 } else { 0 };
        let expected = Counters { hw_saturated, doorbells: 1, ..Counters::default() };
        assert_eq!(bench.counters(), expected, "{profile:?}");
        bench.exchange_in(&[bench.frame(100, 1)], "after");
        assert_eq!(bench.counters().hw_rx_good, 1, "{profile:?}");
    }
}

/// 8254x fact sheet 6.1: MPC, RNBC and others of QEMU's are not cleared by reading.
#[test]
fn registers_that_keep_their_count_are_added_up_once() {
    let mut bench = Bench::new(of_profile(0x100e, Profile::Qemu));
    bench.card.inject(|faults| faults.overruns = 2);
    bench.exchange_in(&[bench.frame(100, 1), bench.frame(100, 2)], "overruns");
    assert_eq!((bench.counters().hw_missed, bench.card.counter(MPC)), (2, Some(2)), "the card keeps it");
    // What stands there from before the next driver is not the next driver's.
    let mut bench = bench.reopen();
    let before = bench.counters();
    for round in 1..=5 {
        bench.card.inject(|faults| faults.overruns = 3);
        bench.exchange_in(&[bench.frame(100, 1), bench.frame(100, 2), bench.frame(100, 3)], "overruns");
        let counted = bench.counters();
        assert_eq!(counted.hw_missed - before.hw_missed, 3 * round);
        assert_eq!(bench.counters(), counted, "nothing happened since");
    }
}

/// 8254x fact sheet 7.4, "statistics wrong or decreasing".
#[test]
fn counters_only_grow_whatever_the_card_says() {
    for seed in naio_testkit::seeds(1, 20) {
        let mut bench = Bench::new(Options { seed, ..Options::default() });
        bench.card.inject(|faults| faults.counters_lie = true);
        let fields = |c: &Counters| {
            [c.hw_missed, c.hw_no_buffer, c.hw_rx_errors, c.hw_rx_length_errors, c.hw_rx_good]
                .into_iter()
                .chain([c.hw_tx_good, c.hw_rx_bytes, c.hw_tx_bytes, c.hw_saturated])
                .collect::<Vec<u64>>()
        };
        let mut before = fields(&bench.counters());
        for _ in 0..50 {
            bench.exchange_in(&[bench.frame(100, 1)], "all the same");
            let now = fields(&bench.counters());
            assert!(before.iter().zip(&now).all(|(before, now)| before <= now), "seed {seed}: {now:?}");
            before = now;
        }
        bench.card.inject(|faults| *faults = Faults::default());
        let counted = bench.counters();
        assert_eq!(counted.rx_frames, 50, "what the driver counts itself is right");
        bench.innocent("lying counters");
    }
}
