//! The real driver, unchanged, over the model: two readings of one datasheet meet. It is used
//! through its public face only.

use etherparse::PacketBuilder;
use naio_dma::{Buffer, Domain};
use naio_e1000::{Config, E1000};
use naio_e1000_model::faults::{Chaos, Faults, LengthFault, ResetFault, TxFault};
use naio_e1000_model::parts::PARTS;
use naio_e1000_model::wire::pair::{Cable, pair};
use naio_e1000_model::{Card, Checks, Model, Options, Profile, Slot, advance_together};
use naio_nic::tx::TxProtocol;
use naio_nic::{ExtentId, Fragment, Nic, RxChecksum, RxFrame, TxChecksum, TxPacket};
use naio_sys::clock::Clock;
use naio_testkit::seeds;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

struct Side {
    nic: E1000<Model>,
    card: Card,
    domain: Domain,
}

/// Two drivers over two cards on one cable, in one virtual time.
fn sides(options: &Options) -> Result<([Side; 2], Cable), naio_e1000::OpenError> {
    sides_with_rings(options, 128)
}

fn sides_with_rings(options: &Options, ring: u32) -> Result<([Side; 2], Cable), naio_e1000::OpenError> {
    let (a, b, cable) = pair();
    let options = Options { clock: Clock::Manual(Arc::new(AtomicU64::new(0))), ..options.clone() };
    let side = |wire, last| {
        let mut options = options.clone();
        options.mac[5] = last;
        let domain = Domain::new();
        let model = Model::new(options, &domain, wire).expect("an id of the family");
        let card = model.card();
        let config = Config { rx_ring: ring, tx_ring: ring, rx_spare: 256, ..Config::default() };
        E1000::open(model, &config).map(|nic| Side { nic, card, domain })
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

/// A packet of `len` bytes by reference, with the card completing its UDP checksum.
fn udp_packet(buffer: &mut Buffer, to: [u8; 6], from: [u8; 6], len: usize, seed: u64) -> (TxPacket, Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
    let mut whole = Vec::new();
    PacketBuilder::ethernet2(from, to)
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(1000, 2000)
        .write(&mut whole, &payload)
        .expect("a packet");
    let mut packet = TxPacket::default();
    packet.header.extend(whole[..42].iter().copied());
    // The seed: the sum of the pseudo-header, folded, not inverted.
    let sum = whole[26..34]
        .chunks(2)
        .fold(17 + 8 + len as u32, |sum, w| sum + u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum = (sum & 0xffff) + (sum >> 16);
    packet.header[40..42].copy_from_slice(&(sum as u16 + (sum >> 16) as u16).to_be_bytes());
    buffer[..len].copy_from_slice(&payload);
    let cut = random.usize(1..len);
    for range in [0..cut, cut..len] {
        let slice = buffer.slice(range).expect("inside");
        packet.fragments.push(Fragment { slice, extent: ExtentId(seed as u32) });
    }
    packet.checksum = Some(TxChecksum { protocol: TxProtocol::Udp, ipv4: true, ip_start: 14, start: 34 });
    (packet, whole)
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
fn the_driver_survives_a_card_that_lies_about_everything() {
    for seed in seeds(1, 30) {
        let options = Options { seed, ..Options::default() };
        let (mut sides, _cable) = sides(&options).expect("nothing lies yet");
        let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..300 {
            let lie = random.clone().u32(0..30);
            sides[0].card.inject(|faults| lies(faults, lie, &mut random));
            for n in 0..2 {
                let mut packets = vec![packet(macs[1 - n], macs[n], 100, round)];
                sides[n].nic.post_tx(&mut packets);
                sides[n].nic.ring();
                sides[n].card.step(8);
                let mut got = Vec::new();
                take(&mut sides[n], &mut got);
                assert!(got.len() <= 64);
            }
            if round % 50 == 0 {
                let _ = (sides[0].nic.link(), sides[0].nic.counters(), sides[0].nic.health());
            }
        }
    }
}

fn lies(faults: &mut Faults, lie: u32, random: &mut fastrand::Rng) {
    *faults = Faults::default();
    faults.chaos = Chaos { read: 0, write_back: random.u32(0..5_000), interrupt: 100 };
    match lie {
        0 => faults.rx_length = LengthFault::BeyondBuffer(random.u16(..)),
        1 => faults.rx_length = LengthFault::Always(random.u16(0..4)),
        2 => faults.rx_without_eop = random.u32(0..300),
        3 => faults.rx_empty_eop = 3,
        4 => faults.rx_done_again = 4,
        5 => faults.rx_done_unposted = 4,
        6 => faults.rx_errors = 0xff,
        7 => faults.rx_address_changed = true,
        8 => faults.rx_torn = true,
        9 => faults.rx_out_of_order = true,
        10 => faults.tx = TxFault::OutOfOrder,
        11 => faults.tx = TxFault::DoneUnasked,
        12 => faults.tx = TxFault::DoneEarly,
        13 => faults.tx = TxFault::NeverDone,
        14 => faults.tx = TxFault::Stalled,
        15 => faults.overruns = 50,
        16 => faults.chaos.read = 5_000,
        17 => (faults.rdh, faults.tdh) = (Some(random.u32(..)), Some(random.u32(..))),
        18 => faults.status_flaps = true,
        19 => {}
        _ => *faults = Faults::seeded(random.u64(..)),
    }
}

#[test]
fn hardware_that_never_finishes_is_an_error_and_no_hang() {
    type Break = fn(&mut Faults);
    let breaks: [(&str, Break); 5] = [
        ("gone", |f| f.gone = true),
        ("reset", |f| f.reset = ResetFault::Never),
        ("PHY id 0", |f| f.phy_id = Some(0)),
        ("PHY id all ones", |f| f.phy_id = Some(u32::MAX)),
        ("ring length", |f| f.ring_len = Some(0x80)),
    ];
    for (name, inject) in breaks {
        let (wire, _other, _cable) = pair();
        let model = Model::new(Options::default(), &Domain::new(), wire).expect("the default part");
        model.card().inject(inject);
        assert!(E1000::open(model, &Config::default()).is_err(), "{name}");
    }
    // Without EEPROM pins the address register, which the card loaded itself, is the fallback.
    let (wire, _other, _cable) = pair();
    let model = Model::new(Options::default(), &Domain::new(), wire).expect("the default part");
    model.card().inject(|f| f.eecd_never_grants = true);
    let opened = E1000::open(model, &Config::default());
    assert!(opened.is_ok_and(|nic| nic.caps().mac.0 == Options::default().mac));
}

#[test]
fn with_threads_every_frame_arrives_too() {
    threads(false);
}

#[test]
fn with_threads_and_a_gigabit_line_every_frame_arrives_too() {
    threads(true);
}

fn threads(paced: bool) {
    let (a, b, _cable) = pair();
    let side = |wire, last| {
        let mut options = Options {
            clock: Clock::Monotonic,
            checks: Checks::Light,
            autoneg: Duration::from_millis(1),
            paced,
            ..Options::default()
        };
        options.mac[5] = last;
        let domain = Domain::new();
        let mut model = Model::new(options, &domain, wire).expect("the default part");
        model.start().expect("a thread");
        let card = model.card();
        let nic = E1000::open(model, &Config { rx_ring: 1024, rx_spare: 512, ..Config::default() })
            .expect("comes up");
        Side { nic, card, domain }
    };
    let mut sides = [side(a, 1), side(b, 2)];
    let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
    let mut buffers = Buffer::allocate(&sides[0].domain, 1, 2048).expect("memory");
    let (packet, whole) = udp_packet(&mut buffers[0], macs[1], macs[0], 1472, 3);
    let total: usize = std::env::var("NAIO_FRAMES").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let (mut posted, mut got) = (0, 0);
    let begin = naio_sys::clock::now();
    let mut packets = Vec::new();
    while got < total {
        // No more under way than the receiver has pages for: this is no test of overruns.
        while packets.len() < 32 && posted + packets.len() < total && posted + packets.len() - got < 900 {
            packets.push(packet.clone());
        }
        posted += sides[0].nic.post_tx(&mut packets);
        sides[0].nic.ring();
        let mut released = Vec::new();
        sides[0].nic.reap_tx(&mut released);
        let mut frames: Vec<RxFrame> = Vec::new();
        if sides[1].nic.reap_rx(&mut frames, 256) == 0 {
            std::thread::yield_now();
        }
        let mut pages = Vec::new();
        for frame in frames {
            assert_eq!(sides[1].nic.rx_pool().bytes(&frame.page)[frame.offset.into()..][..60], whole[..60]);
            pages.push(frame.page);
            got += 1;
        }
        sides[1].nic.post_rx(&mut pages);
        sides[1].nic.ring();
        let waited = naio_sys::clock::now().since(begin);
        assert!(waited < Duration::from_secs(60), "{got} of {total} after {waited:?}");
    }
    let took = naio_sys::clock::now().since(begin);
    report(got, got * whole.len(), took);
    sides.iter().for_each(|side| innocent(side, "threads"));
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
fn one_end_may_leave_while_the_other_sends() {
    for threaded in [false, true] {
        let (a, b, _cable) = pair();
        let [mut first, second] = [a, b].map(|wire| {
            let clock = if threaded { Clock::Monotonic } else { Options::default().clock };
            let options = Options { clock, autoneg: Duration::from_millis(1), ..Options::default() };
            let mut model = Model::new(options, &Domain::new(), wire).expect("the default part");
            if threaded {
                model.start().expect("a thread");
            }
            let card = model.card();
            (E1000::open(model, &Config::default()).expect("comes up"), card)
        });
        let (to, from) = ([2, 0, 0, 0, 0, 1], first.0.caps().mac.0);
        let mut left = Some(second);
        for round in 0..200 {
            let mut packets = vec![packet(to, from, 100, round)];
            first.0.post_tx(&mut packets);
            first.0.ring();
            let mut released = Vec::new();
            first.0.reap_tx(&mut released);
            first.1.run();
            if round == 50 {
                left = None;
            }
        }
        assert!(left.is_none());
        assert!(!first.0.link().is_up(), "threaded {threaded}: the partner is gone");
    }
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
fn an_eeprom_of_garbage_gives_an_error_or_a_station_address() {
    for seed in seeds(1, 50) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut words = vec![0xffff; 64];
        match seed % 3 {
            0 => words.iter_mut().for_each(|word| *word = random.u16(..)),
            1 => words.fill(0),
            _ => {}
        }
        let (wire, _other, _cable) = pair();
        let options = Options { eeprom_words: Some(words), ..Options::default() };
        let model = Model::new(options, &Domain::new(), wire).expect("the default part");
        if let Ok(nic) = E1000::open(model, &Config::default()) {
            assert!(nic.caps().mac.is_station(), "seed {seed}: {}", nic.caps().mac);
        }
    }
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

#[expect(clippy::print_stdout, reason = "shown with --nocapture: a figure, not an assertion")]
fn report(frames: usize, bytes: usize, took: Duration) {
    println!("{frames} frames, {:.0} MB/s", bytes as f64 / took.as_secs_f64() / 1e6);
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
    assert!(sent[0].len() + sent[1].len() >= frames, "seed {seed}: the rings kept moving");
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
fn faults_that_break_nothing_cost_the_driver_no_frame() {
    type Break = fn(&mut Faults);
    let breaks: [(&str, Break); 8] = [
        ("slow registers", |f| f.slow_mmio_us = 3),
        ("late write-backs", |f| f.write_back_delay_us = 17),
        ("heads that jump", |f| f.heads_jump = true),
        ("heads outside", |f| (f.rdh, f.tdh) = (Some(0xffff), Some(0x8000))),
        ("a storm of causes", |f| f.cause_storm = 0x1ffff),
        ("overruns for nothing", |f| f.overruns = 200),
        ("done unasked", |f| f.tx = TxFault::DoneUnasked),
        ("strays that the IOMMU stops", |f| f.rx_strays = 1_000),
    ];
    for (name, break_it) in breaks {
        let (mut sides, _cable) = sides(&Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        for side in &sides {
            side.card.inject(break_it);
        }
        exchange(&mut sides, 1_000, 3);
        sides.iter().for_each(|side| innocent(side, name));
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
