//! Every length that the wire can bring (8254x fact sheet 7.5 item 1, for buffers of 2048 bytes with SECRC): what fits
//! is handed up as it is, what does not is in exactly one drop counter.

use crate::bench::{Bench, CLAIMED, FRAME_LEN_MAX, FRAME_LEN_MIN, PEER, PROFILES, bytes, of_profile, rings};
use naio_e1000_model::wire::{Fcs, LineError};
use naio_e1000_model::{Frame, Options, Profile};
use naio_nic::Nic;
use naio_testkit::seeds;

/// Bytes of the FCS, which the card's own counters include (8254x fact sheet 2.13).
const FCS_LEN: usize = 4;
/// Longest frame that a part could store at all (8254x fact sheet 1.3).
const LONGEST: usize = 16_380;

#[test]
fn every_length_from_60_to_1518_arrives_on_every_claimed_id() {
    for device_id in CLAIMED {
        let mut bench = Bench::new(Options { device_id, ..Options::default() });
        let frames: Vec<Vec<u8>> = (FRAME_LEN_MIN..=FRAME_LEN_MAX).map(|len| bench.frame(len, 7)).collect();
        let total: usize = frames.iter().map(Vec::len).sum();
        bench.exchange_in(&frames, &format!("{device_id:#x}"));
        let counted = bench.counters();
        assert_eq!((counted.rx_frames, counted.rx_bytes), (frames.len() as u64, total as u64));
        let with_fcs = (total + frames.len() * FCS_LEN) as u64;
        assert_eq!((counted.hw_rx_good, counted.hw_rx_bytes), (frames.len() as u64, with_fcs));
        let dropped = counted.rx_frame_errors + counted.rx_length_errors + counted.rx_no_page;
        assert_eq!((dropped, counted.hw_missed, counted.hw_rx_length_errors), (0, 0, 0));
        bench.innocent(&format!("{device_id:#x}"));
    }
}

#[test]
fn longer_frames_are_dropped_and_each_is_counted_once() {
    let lengths = (FRAME_LEN_MAX + 1..FRAME_LEN_MAX + 40).chain([2047, 2048, 2049, 4096, 9018, LONGEST]);
    let lengths: Vec<usize> = lengths.collect();
    for device_id in CLAIMED {
        let mut bench = Bench::new(Options { device_id, ..Options::default() });
        for len in &lengths {
            bench.arrive(&[bench.frame(*len, 1), bench.frame(100, *len as u64)]);
            assert_eq!(bench.taken(), [bench.frame(100, *len as u64)], "{device_id:#x}: {len}");
        }
        let counted = bench.counters();
        assert_eq!(counted.hw_rx_length_errors, lengths.len() as u64, "{device_id:#x}: ROC");
        assert_eq!((counted.rx_frames, counted.rx_length_errors), (lengths.len() as u64, 0));
        bench.innocent("long frames");
    }
}

#[test]
fn shorter_frames_are_dropped_by_silicon_and_padded_by_emulators() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        // 8254x fact sheet 6.1 and 6.2: both pad before delivery.
        let pads = matches!(profile, Profile::Qemu | Profile::VirtualBox);
        for len in 14..FRAME_LEN_MIN {
            let frame = bench.frame(len, 3);
            bench.arrive(std::slice::from_ref(&frame));
            let mut padded = frame;
            padded.resize(FRAME_LEN_MIN, 0);
            let expected = if pads { vec![padded] } else { Vec::new() };
            assert!(bench.taken() == expected, "{profile:?}: {len}");
        }
        let dropped = if pads { 0 } else { (FRAME_LEN_MIN - 14) as u64 };
        assert_eq!(bench.counters().hw_rx_length_errors, dropped, "{profile:?}: RUC");
        bench.innocent("short frames");
    }
}

#[test]
fn damaged_frames_are_in_one_hardware_counter_each_and_never_handed_up() {
    let bad = Fcs::Wrong([1, 2, 3, 4]);
    // A symbol error is in SYMERRS and RXERRC (8254x fact sheet 2.13), so twice in the sum.
    let cases = [
        (bad, LineError::None, (1, 0)),
        (Fcs::Good, LineError::Alignment, (1, 0)),
        (Fcs::Good, LineError::Symbol, (2, 0)),
        (bad, LineError::None, (1, 0)),
    ];
    for device_id in CLAIMED {
        for (fcs, error, expected) in cases {
            let mut bench = Bench::new(Options { device_id, ..Options::default() });
            bench.wire.put(Frame { bytes: bench.frame(100, 1), fcs, error });
            bench.card.run();
            assert!(bench.taken().is_empty(), "{device_id:#x}: {error:?}");
            let counted = bench.counters();
            assert_eq!((counted.hw_rx_errors, counted.hw_rx_length_errors), expected, "{error:?}");
            assert_eq!(counted.rx_frames + counted.rx_frame_errors, 0);
        }
    }
    // Short or long and damaged as well: RFC and RJC.
    let mut bench = Bench::new(Options::default());
    for len in [40, FRAME_LEN_MAX + 1] {
        bench.wire.put(Frame { bytes: bench.frame(len, 1), fcs: bad, error: LineError::None });
    }
    bench.card.run();
    assert!(bench.taken().is_empty());
    assert_eq!(bench.counters().hw_rx_length_errors, 2);
    bench.innocent("damaged frames");
}

#[test]
fn frames_to_others_are_not_taken_and_those_to_all_or_to_a_wanted_group_are() {
    const GROUP: [u8; 6] = [1, 0, 0x5e, 1, 2, 3];
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100f, profile));
        let other = bytes([0x02, 9, 9, 9, 9, 9], PEER, 100, 1);
        let (all, group) = (bytes([0xff; 6], PEER, 100, 2), bytes(GROUP, PEER, 100, 3));
        let stream = [other, all.clone(), group.clone()];
        bench.arrive(&stream);
        assert!(bench.taken() == [all.clone()], "{profile:?}: no group is wanted yet");
        bench.nic.set_multicast(&[naio_nic::Mac(GROUP)]);
        bench.arrive(&stream);
        assert!(bench.taken() == [all.clone(), group], "{profile:?}: one is");
        bench.nic.set_multicast(&[]);
        bench.arrive(&stream);
        assert!(bench.taken() == [all], "{profile:?}: none any more");
        bench.innocent("filters");
    }
}

#[test]
fn any_sequence_of_lengths_is_split_into_what_fits_and_what_does_not() {
    for seed in seeds(1, 60) {
        let mut random = fastrand::Rng::with_seed(seed);
        let device_id = CLAIMED[random.usize(..CLAIMED.len())];
        let ring = 80 + 8 * random.u32(..16);
        let mut bench = Bench::with(Options { device_id, ..Options::default() }, &rings(ring, 80));
        let (mut long, mut short) = (0, 0);
        for _ in 0..40 {
            let burst: Vec<Vec<u8>> = (0..random.usize(1..40))
                .map(|_| {
                    let limit = if random.u8(..8) == 0 { LONGEST } else { FRAME_LEN_MAX + 8 };
                    bench.frame(random.usize(40..=limit), random.u64(..1 << 40))
                })
                .collect();
            bench.arrive(&burst);
            long += burst.iter().filter(|frame| frame.len() > FRAME_LEN_MAX).count();
            short += burst.iter().filter(|frame| frame.len() < FRAME_LEN_MIN).count();
            let fits = |frame: &&Vec<u8>| (FRAME_LEN_MIN..=FRAME_LEN_MAX).contains(&frame.len());
            assert!(bench.taken().iter().eq(burst.iter().filter(fits)), "seed {seed}");
        }
        assert_eq!(bench.counters().hw_rx_length_errors, (long + short) as u64, "seed {seed}");
        bench.innocent(&format!("seed {seed}"));
    }
}
