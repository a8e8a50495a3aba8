//! Frames both ways, over every part and every emulator: each arrives, in order, as it left.

use crate::sides::{Side, exchange, expected, innocent, packet, sides, sides_with_rings, take, udp_packet};
use naio_dma::{Buffer, Domain};
use naio_e1000::{Config, E1000};
use naio_e1000_model::parts::PARTS;
use naio_e1000_model::wire::pair::pair;
use naio_e1000_model::{Model, Options, Profile, Slot, advance_together};
use naio_nic::{Nic, RxChecksum, RxFrame};
use naio_sys::clock::Clock;
use naio_testkit::seeds;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[test]
fn the_driver_brings_up_every_id_it_claims_and_moves_thousands_of_frames() {
    let mut claimed = 0;
    for part in PARTS {
        let options = Options { device_id: part.id, ..Options::default() };
        let Ok((mut sides, _cable)) = sides(&options) else { continue };
        claimed += 1;
        for seed in seeds(1, 1) {
            exchange(&mut sides, 4_000, seed);
        }
        sides.iter().for_each(|side| innocent(side, part.name));
    }
    assert!(claimed >= 16, "the driver claims the copper parts from 82544 on: {claimed}");
}

#[test]
fn the_driver_lives_with_every_emulator() {
    for profile in [Profile::Qemu, Profile::VirtualBox, Profile::Vmware] {
        for device_id in [0x100e, 0x100f] {
            let options = Options { device_id, quirks: profile.quirks(), ..Options::default() };
            let (mut sides, _cable) = sides(&options).unwrap_or_else(|e| panic!("{profile:?}: {e}"));
            exchange(&mut sides, 2_000, 7);
            sides.iter().for_each(|side| innocent(side, &format!("{profile:?}")));
        }
    }
}

#[test]
fn the_driver_works_around_the_errata_of_every_part_it_claims() {
    let mut claimed = 0;
    for part in PARTS {
        for slot in [Slot::Pci33, Slot::Pci66, Slot::PciX133] {
            let options = Options { device_id: part.id, errata: true, slot, ..Options::default() };
            let Ok((mut sides, _cable)) = sides(&options) else { continue };
            claimed += 1;
            exchange(&mut sides, 200, 3);
            sides.iter().for_each(|side| innocent(side, &format!("{} in {slot:?}", part.name)));
        }
    }
    assert!(claimed > 40, "parts and slots that the driver claims: {claimed}");
}

#[test]
fn rings_of_every_size_wrap() {
    for ring in [80, 88, 256, 1000, 4096] {
        let (mut sides, _cable) = sides_with_rings(&Options::default(), ring).expect("a size it takes");
        exchange(&mut sides, 6_000, u64::from(ring));
        sides.iter().for_each(|side| innocent(side, "rings"));
    }
}

#[test]
fn offloaded_packets_arrive_right_and_vouched_for() {
    for (device_id, slot) in [(0x100e, Slot::Pci66), (0x100f, Slot::PciX133)] {
        offloads(&Options { device_id, slot, errata: true, ..Options::default() });
    }
}

fn offloads(options: &Options) {
    let (mut sides, _cable) = sides(options).expect("a part that the driver claims");
    let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
    let mut buffers = Buffer::allocate(&sides[0].domain, 64, 2048).expect("memory");
    for round in 0..40u64 {
        let mut packets = Vec::new();
        let mut wanted = Vec::new();
        for (n, buffer) in buffers.iter_mut().enumerate() {
            let (packet, whole) = udp_packet(
                buffer,
                macs[1],
                macs[0],
                18 + (round as usize * 64 + n) % 1455,
                round * 64 + n as u64,
            );
            packets.push(packet);
            wanted.push(whole);
        }
        let mut got = Vec::new();
        let mut vouched = 0;
        for _ in 0..1_000 {
            sides[0].nic.post_tx(&mut packets);
            sides[0].nic.ring();
            sides[0].card.step(100);
            sides[1].card.step(100);
            let mut frames: Vec<RxFrame> = Vec::new();
            sides[1].nic.reap_rx(&mut frames, 64);
            vouched += frames.iter().filter(|frame| frame.checksum == RxChecksum::Good).count();
            let mut pages = Vec::new();
            for frame in frames {
                let bytes = sides[1].nic.rx_pool().bytes(&frame.page);
                got.push(bytes[frame.offset.into()..(frame.offset + frame.len).into()].to_vec());
                pages.push(frame.page);
            }
            sides[1].nic.post_rx(&mut pages);
            sides[1].nic.ring();
            let mut released = Vec::new();
            sides[0].nic.reap_tx(&mut released);
            if got.len() == wanted.len() && packets.is_empty() {
                break;
            }
        }
        assert!(got == wanted, "round {round}");
        assert_eq!(vouched, wanted.len(), "round {round}");
    }
    sides.iter().for_each(|side| innocent(side, "offload"));
}

#[test]
fn a_cable_pulled_a_hundred_times_is_seen_every_time() {
    let (mut sides, cable) = sides(&Options::default()).expect("the default part");
    for round in 0..100 {
        cable.plug(false);
        sides.iter().for_each(|side| side.card.run());
        assert!(!sides[0].nic.link().is_up() && !sides[1].nic.link().is_up(), "round {round}");
        cable.plug(true);
        for _ in 0..2 {
            sides.iter().for_each(|side| side.card.advance(Duration::from_secs(2)));
        }
        assert!(sides[0].nic.link().is_up() && sides[1].nic.link().is_up(), "round {round}");
    }
    exchange(&mut sides, 500, 3);
    sides.iter().for_each(|side| innocent(side, "after a hundred pulls"));
}

#[test]
fn both_ways_over_a_cable_that_delays_and_spaces() {
    use naio_e1000_model::wire::impair::{Harm, Impair};
    let clock = Arc::new(AtomicU64::new(0));
    let (a, b, _cable) = pair();
    let harm = Harm { delay_us: 300, jitter_us: 50, rate_kbit: 100_000, ..Harm::default() };
    let (a, _) = Impair::new(a, harm, 1);
    let (b, _) = Impair::new(b, harm, 2);
    let side = |wire: Impair<_>, last| {
        let mut options = Options { clock: Clock::Manual(clock.clone()), ..Options::default() };
        options.mac[5] = last;
        let domain = Domain::new();
        let model = Model::new(options, &domain, wire).expect("the default part");
        let card = model.card();
        let nic = E1000::open(model, &Config::default()).expect("comes up");
        Side { nic, card, domain }
    };
    let mut sides = [side(a, 1), side(b, 2)];
    let cards = [sides[0].card.clone(), sides[1].card.clone()];
    let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
    let mut wanted = Vec::new();
    let mut got = Vec::new();
    for round in 0..500 {
        let mut packets = vec![packet(macs[1], macs[0], 100, round)];
        wanted.push(expected(&packets[0]));
        sides[0].nic.post_tx(&mut packets);
        sides[0].nic.ring();
        advance_together(&cards, Duration::from_micros(100));
        take(&mut sides[0], &mut Vec::new());
        take(&mut sides[1], &mut got);
    }
    assert!(got.len() < wanted.len(), "the last ones are on the way");
    advance_together(&cards, Duration::from_millis(1));
    take(&mut sides[1], &mut got);
    assert!(got == wanted);
    sides.iter().for_each(|side| innocent(side, "delay"));
}
