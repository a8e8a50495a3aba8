//! Rings of every size, filled and emptied until they have wrapped many times (8254x fact sheet 7.5 item 4).

use crate::bench::{Bench, Closed, PEER, PROFILES, bytes, inline, of_profile, rings};
use naio_e1000::{Config, OpenError, RING_LEN_MIN, RING_LEN_STEP};
use naio_e1000_model::{Frame, Options};
use naio_nic::{Nic, TxPacket};
use naio_testkit::seeds;

/// Largest ring of the parts that the driver claims (8254x fact sheet 1.6).
const RING_LEN_MAX: u32 = 4096;
const SIZES: [u32; 8] = [80, 88, 96, 256, 1000, 1024, 4088, RING_LEN_MAX];
/// Packets of the test over all sizes, unless NAIO_PACKETS says otherwise.
const PACKETS: usize = 1_000_000;

fn packets_wanted() -> usize {
    let asked = std::env::var("NAIO_PACKETS").ok();
    asked.map_or(PACKETS, |text| text.parse().expect("NAIO_PACKETS is a number"))
}

/// Frame number `n`, in either direction.
fn numbered(to: [u8; 6], from: [u8; 6], n: u32) -> Vec<u8> {
    let mut frame = vec![0; 60 + n as usize % 5];
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame[14..18].copy_from_slice(&n.to_be_bytes());
    frame
}

/// Both rings at once, in bursts of any size, until `total` packets have passed each of them.
fn wrap(bench: &mut Bench, random: &mut fastrand::Rng, total: u32, what: &str) {
    let mac = bench.mac();
    let ring = bench.config.rx_ring.min(bench.config.tx_ring);
    let (mut arrived, mut taken, mut posted, mut sent) = (0, 0, 0, 0);
    while taken < total || sent < total {
        // No more under way than the ring has descriptors for: this is no test of overruns.
        let room = bench.config.rx_ring - 1 - (arrived - taken);
        let burst = random.u32(..ring).min(total - arrived).min(room);
        (arrived..arrived + burst).for_each(|n| bench.wire.put(Frame::good(&numbered(mac, PEER, n))));
        arrived += burst;
        let burst = random.u32(..ring).min(total - posted);
        let mut packets: Vec<TxPacket> =
            (posted..posted + burst).map(|n| inline(&numbered(PEER, mac, n))).collect();
        posted += bench.nic.post_tx(&mut packets) as u32;
        bench.nic.ring();
        bench.card.step(random.usize(..2 * ring as usize));
        assert!(bench.released().is_empty(), "no fragment, no extent");
        let budget = random.usize(1..256);
        let (frames, mut pages) = bench.hold(budget);
        for (frame, _) in frames {
            assert!(frame == numbered(mac, PEER, taken), "{what}: received frame {taken}");
            taken += 1;
        }
        bench.nic.post_rx(&mut pages);
        for frame in bench.sent() {
            assert!(frame == numbered(PEER, mac, sent), "{what}: sent frame {sent}");
            sent += 1;
        }
    }
    bench.nic.ring();
    bench.card.run();
    bench.released();
    let counted = bench.counters();
    assert_eq!((counted.rx_frames, counted.tx_frames), (u64::from(total), u64::from(total)), "{what}");
    assert_eq!((counted.hw_missed, counted.rx_no_page, counted.rx_length_errors), (0, 0, 0), "{what}");
    bench.innocent(what);
}

#[test]
fn rings_of_every_size_wrap_many_times_without_losing_a_frame() {
    let each = (packets_wanted() / SIZES.len() / 2) as u32;
    for (n, size) in SIZES.into_iter().enumerate() {
        let other = SIZES[(n + 3) % SIZES.len()];
        let config = Config { rx_spare: 256, ..rings(size, other) };
        let mut bench = Bench::with(Options::default(), &config);
        let mut random = fastrand::Rng::with_seed(size.into());
        wrap(&mut bench, &mut random, each, &format!("rings of {size} and {other}"));
    }
}

#[test]
fn any_ring_takes_any_bursts() {
    for seed in seeds(1, 30) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut size = || RING_LEN_MIN + RING_LEN_STEP * random.u32(..24);
        let (rx_ring, tx_ring) = (size(), size());
        let config = Config { rx_spare: random.u32(256..300), ..rings(rx_ring, tx_ring) };
        let profile = PROFILES[random.usize(..PROFILES.len())];
        let mut bench = Bench::with(of_profile(0x100f, profile), &config);
        wrap(&mut bench, &mut random, 1_000, &format!("seed {seed}: {profile:?}, {rx_ring} and {tx_ring}"));
    }
}

#[test]
fn rings_that_no_part_has_are_refused_by_name() {
    let good = 256;
    for bad in [0, 8, RING_LEN_MIN - RING_LEN_STEP, 81, 100, RING_LEN_MAX + RING_LEN_STEP, u32::MAX] {
        for (config, ring) in [(rings(bad, good), "receive"), (rings(good, bad), "transmit")] {
            let closed = Closed::new(Options::default());
            match closed.open(&config).err() {
                Some(OpenError::RingLen { ring: named, len, max: RING_LEN_MAX }) => {
                    assert_eq!((named, len), (ring, bad));
                }
                other => panic!("{ring} of {bad}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_user_that_keeps_every_page_loses_frames_and_no_slot() {
    for ring in [80, 256] {
        let spare = 16;
        let mut bench = Bench::with(Options::default(), &Config { rx_spare: spare, ..rings(ring, 80) });
        let frames: Vec<Vec<u8>> = (0..u64::from(spare) + 30).map(|n| bench.frame(100, n)).collect();
        bench.arrive(&frames);
        let (held, mut pages) = bench.hold(1_000);
        assert_eq!((held.len(), pages.len()), (spare as usize, spare as usize));
        assert_eq!(bench.counters().rx_no_page, 30);
        // Two laps more without a page to spare: the card always has somewhere to write.
        for n in 0..u64::from(2 * ring) {
            bench.nic.ring();
            bench.arrive(&[bench.frame(100, 1_000 + n)]);
            assert!(bench.hold(1_000).0.is_empty());
        }
        assert_eq!(bench.counters().rx_no_page, 30 + 2 * u64::from(ring));
        assert_eq!((bench.counters().hw_missed, bench.card.fifo_frames()), (0, 0));
        bench.nic.post_rx(&mut pages);
        bench.nic.ring();
        bench.exchange_in(&[bytes(bench.mac(), PEER, 100, 1)], "with pages again");
        bench.innocent("no page");
    }
}

#[test]
fn a_driver_that_is_not_asked_for_a_while_loses_what_the_card_cannot_keep_and_counts_it() {
    let mut bench = Bench::new(Options::default());
    // 48 KB of FIFO (8254x fact sheet 2.9) and 127 descriptors cannot hold this.
    let frames: Vec<Vec<u8>> = (0..400).map(|n| bench.frame(1_000, n)).collect();
    bench.arrive(&frames);
    let got = bench.taken();
    let counted = bench.counters();
    assert!(got.len() > 127 && got.len() < 400 && got[..] == frames[..got.len()], "{}", got.len());
    assert_eq!(got.len() as u64 + counted.hw_missed, 400, "each frame is in one counter");
    assert_eq!((counted.rx_frames, counted.hw_no_buffer), (got.len() as u64, 400 - 127));
    bench.innocent("overrun");
}
