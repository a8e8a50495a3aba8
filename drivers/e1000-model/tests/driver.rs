//! The real driver, unchanged, over the model: two readings of one datasheet meet. It is used
//! through its public face only.

use naio_dma::Domain;
use naio_e1000::{Config, E1000};
use naio_e1000_model::parts::PARTS;
use naio_e1000_model::wire::pair::{Cable, pair};
use naio_e1000_model::{Card, Model, Options, Profile};
use naio_nic::{ExtentId, Nic, RxFrame, TxPacket};
use naio_sys::clock::Clock;
use naio_testkit::seeds;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

struct Side {
    nic: E1000<Model>,
    card: Card,
}

/// Two drivers over two cards on one cable, in one virtual time.
fn sides(options: &Options) -> Result<([Side; 2], Cable), naio_e1000::OpenError> {
    let (a, b, cable) = pair();
    let options = Options { clock: Clock::Manual(Arc::new(AtomicU64::new(0))), ..options.clone() };
    let side = |wire, last| {
        let mut options = options.clone();
        options.mac[5] = last;
        let model = Model::new(options, &Domain::new(), wire).expect("an id of the family");
        let card = model.card();
        let config = Config { rx_ring: 128, tx_ring: 128, rx_spare: 256, ..Config::default() };
        E1000::open(model, &config).map(|nic| Side { nic, card })
    };
    // Both models must exist before either opens, or the first finds no partner.
    let sides = [side(a, 1)?, side(b, 2)?];
    Ok((sides, cable))
}

fn packet(to: [u8; 6], from: [u8; 6], len: usize, seed: u64) -> TxPacket {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut packet = TxPacket::default();
    packet.header.extend(to);
    packet.header.extend(from);
    packet.header.extend([0x88, 0xb5]);
    packet.header.extend(std::iter::repeat_with(|| random.u8(..)).take(len.min(128) - 14));
    packet
}

fn expected(packet: &TxPacket) -> Vec<u8> {
    let mut bytes = packet.header.to_vec();
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

fn take(side: &mut Side, into: &mut Vec<Vec<u8>>) {
    let mut frames: Vec<RxFrame> = Vec::new();
    side.nic.reap_rx(&mut frames, 64);
    let mut pages = Vec::new();
    for frame in frames {
        let bytes = side.nic.rx_pool().bytes(&frame.page);
        into.push(bytes[frame.offset.into()..(frame.offset + frame.len).into()].to_vec());
        pages.push(frame.page);
    }
    side.nic.post_rx(&mut pages);
    let mut released: Vec<ExtentId> = Vec::new();
    side.nic.reap_tx(&mut released);
    side.nic.ring();
}

/// Thousands of frames both ways; every one arrives, in order, as it left.
fn exchange(sides: &mut [Side; 2], frames: usize, seed: u64) {
    let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
    let mut got: [Vec<Vec<u8>>; 2] = Default::default();
    for round in 0..frames {
        for n in 0..2 {
            let burst = random.usize(0..24);
            let mut packets: Vec<TxPacket> = (0..burst)
                .map(|_| packet(macs[1 - n], macs[n], random.usize(14..128), random.u64(..)))
                .collect();
            let wanted: Vec<Vec<u8>> = packets.iter().map(expected).collect();
            let count = sides[n].nic.post_tx(&mut packets);
            sent[n].extend_from_slice(&wanted[..count]);
            sides[n].nic.ring();
        }
        for n in 0..2 {
            sides[n].card.step(random.usize(0..64));
            take(&mut sides[n], &mut got[n]);
        }
        if round % 64 == 0 {
            sides[0].card.advance(Duration::from_micros(50));
        }
        if sent[0].len() + sent[1].len() >= frames {
            break;
        }
    }
    for _ in 0..200 {
        for n in 0..2 {
            sides[n].card.advance(Duration::from_micros(20));
            take(&mut sides[n], &mut got[n]);
        }
    }
    for n in 0..2 {
        assert_eq!(got[1 - n].len(), sent[n].len(), "seed {seed}: every frame of side {n}");
        assert!(got[1 - n] == sent[n], "seed {seed}: as they left");
    }
}

fn innocent(side: &Side, name: &str) {
    let violations = side.card.violations();
    let shown: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{name}: {shown:#?}");
}

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
        println!("{} {:#06x}: fine", part.name, part.id);
    }
    assert!(claimed > 0, "the driver claims something");
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
