//! Wires: harm that adds up and repeats, captures there and back, the kernel behind a TAP.

mod bench;
use bench::frame;
use naio_e1000_model::wire::impair::{Harm, Impair};
use naio_e1000_model::wire::pair::pair;
use naio_e1000_model::wire::pcap::{Capture, CaptureError, Record, Replay};
use naio_e1000_model::wire::{Fcs, Null, Wire};
use naio_e1000_model::{Frame, fcs};
use naio_testkit::seeds;

fn send(wire: &mut impl Wire, n: u32, now_ns: u64) {
    let mut bytes = frame([0xff; 6], 100);
    bytes[20..24].copy_from_slice(&n.to_be_bytes());
    wire.send(&mut Frame::good(&bytes), now_ns);
}

fn receive(wire: &mut impl Wire, now_ns: u64) -> Vec<Frame> {
    let mut frame = Frame::default();
    std::iter::from_fn(|| wire.receive(&mut frame, now_ns).then(|| frame.clone())).collect()
}

fn number(frame: &Frame) -> u32 {
    u32::from_be_bytes([frame.bytes[20], frame.bytes[21], frame.bytes[22], frame.bytes[23]])
}

#[test]
fn harm_adds_up_and_the_seed_repeats_it() {
    for seed in seeds(1, 5) {
        let run = || {
            let (a, mut b, _cable) = pair();
            let harm = Harm {
                loss: 500,
                duplicate: 300,
                reorder: 400,
                reorder_us: 200,
                corrupt: 200,
                delay_us: 50,
                jitter_us: 20,
                ..Harm::default()
            };
            let (mut a, knob) = Impair::new(a, harm, seed);
            let mut got = Vec::new();
            for n in 0..5_000 {
                let now_ns = u64::from(n) * 10_000;
                send(&mut a, n, now_ns);
                got.extend(receive(&mut b, now_ns));
            }
            assert!(a.ready(1_000_000_000));
            for now in [1_000_000_000, 1_000_000_001] {
                assert!(a.ready(now));
                got.extend(receive(&mut b, now));
            }
            (got, knob.harmed())
        };
        let (got, harmed) = run();
        assert_eq!(got.len() as u64, harmed.sent - harmed.lost + harmed.duplicated, "seed {seed}");
        assert_eq!(harmed.passed, got.len() as u64);
        assert!(harmed.lost > 150 && harmed.duplicated > 80 && harmed.reordered > 100, "{harmed:?}");
        let broken = got.iter().filter(|f| f.fcs != Fcs::Good);
        assert!(broken.clone().all(|f| f.fcs_bytes() != fcs::fcs(&f.bytes)), "their FCS is really wrong");
        assert!(got.windows(2).any(|w| number(&w[0]) > number(&w[1])), "some overtook");
        assert_eq!(run().0, got, "seed {seed} does the same again");
    }
}

#[test]
fn a_rate_spaces_frames_and_a_short_queue_drops() {
    let (a, mut b, _cable) = pair();
    let harm = Harm { rate_kbit: 10_000, queue_frames: 4, ..Harm::default() };
    let (mut a, knob) = Impair::new(a, harm, 1);
    for n in 0..10 {
        send(&mut a, n, 0);
    }
    assert_eq!(knob.harmed().overflowed, 6);
    let each_ns = (100 + 24) * 800;
    assert_eq!(a.next_arrival_ns(), Some(each_ns));
    assert!(a.ready(each_ns - 1));
    assert_eq!(receive(&mut b, 0).len(), 0);
    assert!(a.ready(2 * each_ns));
    assert_eq!(receive(&mut b, 0).len(), 2);
}

#[test]
fn what_is_recorded_can_be_replayed() {
    let mut file = Vec::new();
    {
        let mut wire = Record::new(Null, &mut file).expect("memory takes it");
        for n in 0..20 {
            send(&mut wire, n, 1_000_000_000 + u64::from(n) * 2_000);
        }
        assert_eq!(wire.lost, 0);
    }
    let capture = Capture::parse(&file).expect("our own file");
    assert_eq!((capture.packets.len(), capture.truncated), (20, false));
    assert_eq!(capture.packets[3].at_ns, 6_000);
    let mut replay = Replay::new(capture, true);
    assert_eq!(receive(&mut replay, 500).len(), 1, "the first is due at once");
    assert_eq!(replay.next_arrival_ns(), Some(2_500));
    let rest = receive(&mut replay, 1_000_000);
    assert_eq!(rest.iter().map(number).collect::<Vec<_>>(), (1..20).collect::<Vec<_>>());
    for cut in 0..file.len() {
        let _ = Capture::parse(&file[..cut]);
    }
    assert!(Capture::parse(&file[..file.len() - 1]).expect("readable").truncated);
}

fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut bytes = word(kind).to_vec();
    let len = body.len().next_multiple_of(4) as u32 + 12;
    bytes.extend(word(len));
    bytes.extend(body);
    bytes.resize(len as usize - 4, 0);
    bytes.extend(word(len));
    bytes
}

#[test]
fn pcapng_in_both_byte_orders_and_resolutions() {
    for big in [false, true] {
        let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &word(u32::MAX), &word(u32::MAX)].concat();
        let nanos = [&half(9)[..], &half(1), &[9, 0, 0, 0], &half(0), &half(0)].concat();
        let interface = [&half(1)[..], &half(0), &word(0), &nanos].concat();
        let bytes = frame([0xff; 6], 101);
        let packet = |at: u32| [&word(0)[..], &word(0), &word(at), &word(101), &word(101), &bytes].concat();
        let file = [
            block(0x0a0d_0d0a, &section, big),
            block(1, &interface, big),
            block(6, &packet(1_000), big),
            block(0x0bad, &[1, 2, 3], big),
            block(6, &packet(4_500), big),
        ]
        .concat();
        let capture = Capture::parse(&file).expect("a capture");
        assert_eq!(capture.packets.iter().map(|p| p.at_ns).collect::<Vec<_>>(), [0, 3_500], "big {big}");
        assert_eq!(capture.packets[1].bytes, bytes);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut broken = file.clone();
            let at = random.usize(..broken.len());
            broken[at] = random.u8(..);
            let _ = Capture::parse(&broken);
        }
    }
    assert_eq!(Capture::parse(b"hello, world"), Err(CaptureError::UnknownFormat));
}

/// Set by the test below when it starts this program again in a namespace of its own.
const INSIDE: &str = "NAIO_TAP_INSIDE";

#[test]
fn linux_answers_arp_and_ping_behind_a_tap() {
    if std::env::var_os(INSIDE).is_some() {
        return inside::arp();
    }
    let this = std::env::current_exe().expect("a test has a file");
    let arguments = ["--exact", "linux_answers_arp_and_ping_behind_a_tap", "--nocapture"];
    for namespace in [&["-n"][..], &["-Urn"]] {
        let output = std::process::Command::new("unshare")
            .args(namespace)
            .arg(&this)
            .args(arguments)
            .env(INSIDE, "1")
            .output();
        let Ok(output) = output else { break };
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if text.contains("TAP-OK") {
            return;
        }
        assert!(!text.contains("panicked"), "{text}");
    }
    #[expect(clippy::print_stdout, reason = "a test that cannot run says so")]
    let () = println!("skipped: no private network namespace, no TUN device or no `ip` here");
}

mod inside {
    use naio_e1000_model::wire::tap::TapWire;
    use naio_e1000_model::{Frame, Wire};
    use naio_sys::tap::Tap;

    fn ip(arguments: &str) -> bool {
        let status = std::process::Command::new("ip").args(arguments.split(' ')).status();
        status.is_ok_and(|status| status.success())
    }

    pub(super) fn arp() {
        let Ok(tap) = Tap::open("naio0") else { return };
        if !ip("addr add 10.99.0.1/24 dev naio0") || !ip("link set naio0 up") {
            return;
        }
        let mut wire = TapWire::new(tap);
        let mut request = [0xff; 6].to_vec();
        request
            .extend([2, 0, 0, 0, 0, 9, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 99, 0, 2]);
        request.extend([0, 0, 0, 0, 0, 0, 10, 99, 0, 1]);
        request.resize(60, 0);
        wire.send(&mut Frame::good(&request), 0);
        let mut frame = Frame::default();
        for _ in 0..1_000 {
            while wire.receive(&mut frame, 0) {
                if frame.bytes[12..14] == [0x08, 0x06] && frame.bytes[20..22] == [0, 2] {
                    assert_eq!(frame.bytes[28..32], [10, 99, 0, 1], "the sender of the reply");
                    #[expect(clippy::print_stdout, reason = "this is how it tells its parent")]
                    let () = println!("TAP-OK");
                    return;
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("no ARP reply");
    }
}

#[test]
fn a_pcapng_record_tells_directions_and_can_be_replayed() {
    let (a, mut b, _cable) = pair();
    let mut file = Vec::new();
    {
        let mut wire = Record::next_generation(a, &mut file).expect("memory takes it");
        send(&mut wire, 1, 5_000_000_000);
        assert_eq!(receive(&mut b, 0).len(), 1);
        let mut broken = Frame::good(&frame([0xff; 6], 101));
        broken.fcs = Fcs::Wrong([1, 2, 3, 4]);
        b.send(&mut broken, 0);
        assert_eq!(receive(&mut wire, 5_000_001_234).len(), 1);
        assert_eq!(wire.lost, 0);
    }
    assert!(file.len().is_multiple_of(4));
    let capture = Capture::parse(&file).expect("our own file");
    assert!(!capture.truncated);
    let packets: Vec<_> = capture.packets.iter().map(|packet| (packet.at_ns, packet.bytes.len())).collect();
    assert_eq!(packets, [(0, 100), (1_234, 101)]);
    // The flags of both packets: sent; received with a wrong FCS.
    let words: Vec<u32> = file.chunks(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
    let flags: Vec<u32> =
        words.windows(2).filter(|pair| pair[0] == 2 | 4 << 16).map(|pair| pair[1]).collect();
    assert_eq!(flags, [2, 1 | 1 << 24]);
    let mut replay = Replay::new(capture, false);
    assert_eq!(receive(&mut replay, 0).len(), 2, "unpaced: all at once");
}

struct Full;

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() == 24 { Ok(24) } else { Err(std::io::ErrorKind::StorageFull.into()) }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_the_record_and_not_the_frame() {
    let (a, mut b, _cable) = pair();
    let mut wire = Record::new(a, Full).expect("the header fits");
    send(&mut wire, 1, 0);
    assert_eq!((wire.lost, receive(&mut b, 0).len()), (1, 1));
}

#[test]
fn a_cable_carries_both_ways_holds_a_bounded_number_and_can_be_pulled() {
    let (mut a, mut b, cable) = pair();
    assert!(a.carrier(0) && b.carrier(0));
    send(&mut a, 1, 0);
    send(&mut b, 2, 0);
    assert_eq!(receive(&mut a, 0).iter().map(number).collect::<Vec<_>>(), [2]);
    assert_eq!(receive(&mut b, 0).iter().map(number).collect::<Vec<_>>(), [1]);
    let mut held = 0;
    while a.ready(0) {
        send(&mut a, held, 0);
        held += 1;
        assert!(held < 10_000, "it is bounded");
    }
    assert!(b.ready(0), "the other direction is its own");
    let got = receive(&mut b, 0);
    assert_eq!(got.iter().map(number).collect::<Vec<_>>(), (0..held).collect::<Vec<_>>());
    assert!(a.ready(0));
    send(&mut a, 1, 0);
    cable.plug(false);
    assert!(!a.carrier(0) && !b.carrier(0) && receive(&mut b, 0).is_empty(), "lost on the way");
    send(&mut a, 1, 0);
    cable.plug(true);
    assert!(a.carrier(0) && receive(&mut b, 0).is_empty());
    drop(b);
    assert!(!a.carrier(0), "nobody at the other end");
}

/// What comes out of an impaired cable: frame number and the time at which it was seen, by the
/// microsecond.
fn through(harm: Harm, frames: u32, spacing_us: u64, seed: u64) -> (Vec<(u32, u64)>, Vec<Frame>) {
    let (a, mut b, _cable) = pair();
    let (mut a, _knob) = Impair::new(a, harm, seed);
    let (mut seen, mut whole) = (Vec::new(), Vec::new());
    for now_us in 0..u64::from(frames) * spacing_us + 5_000 {
        if now_us % spacing_us == 0 && now_us / spacing_us < u64::from(frames) {
            send(&mut a, (now_us / spacing_us) as u32, now_us * 1_000);
        }
        assert!(a.ready(now_us * 1_000));
        for frame in receive(&mut b, now_us * 1_000) {
            seen.push((number(&frame), now_us));
            whole.push(frame);
        }
    }
    (seen, whole)
}

#[test]
fn each_harm_alone_does_what_its_word_says() {
    for seed in seeds(1, 3) {
        let none = Harm::default();
        let (seen, whole) = through(none, 200, 10, seed);
        assert_eq!(seen, (0..200).map(|n| (n, u64::from(n) * 10)).collect::<Vec<_>>());
        assert!(whole.iter().all(|frame| frame.fcs == Fcs::Good));

        let (seen, _) = through(Harm { loss: 10_000, ..none }, 50, 10, seed);
        assert_eq!(seen, []);
        let (seen, _) = through(Harm { loss: 5_000, ..none }, 400, 10, seed);
        assert!((120..280).contains(&seen.len()), "seed {seed}: {}", seen.len());
        assert!(seen.is_sorted());

        let (seen, _) = through(Harm { duplicate: 10_000, ..none }, 50, 10, seed);
        assert_eq!(
            seen.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
            (0..100).map(|n| n / 2).collect::<Vec<_>>()
        );

        let (seen, _) = through(Harm { delay_us: 777, ..none }, 50, 10, seed);
        assert_eq!(seen, (0..50).map(|n| (n, u64::from(n) * 10 + 777)).collect::<Vec<_>>());

        let (seen, _) = through(Harm { delay_us: 100, jitter_us: 50, ..none }, 200, 10, seed);
        let order: Vec<u32> = seen.iter().map(|(n, _)| *n).collect();
        assert_eq!(order, (0..200).collect::<Vec<_>>(), "jitter keeps the order");
        let late = |(n, at): &(u32, u64)| at - u64::from(*n) * 10;
        assert!(seen.iter().all(|one| (100..=151).contains(&late(one))), "seed {seed}");
        assert!(seen.iter().map(late).collect::<std::collections::BTreeSet<_>>().len() > 5);

        let (seen, _) = through(Harm { reorder: 2_000, reorder_us: 100, ..none }, 300, 10, seed);
        assert_eq!(seen.len(), 300, "nothing is lost by reordering");
        assert!(!seen.iter().map(|(n, _)| n).is_sorted());
        assert!(seen.iter().all(|one| late(one) <= 101));

        let (seen, _) = through(Harm { rate_kbit: 1_000_000, ..none }, 100, 1, seed);
        // 124 bytes with preamble, FCS and gap take 992 ns.
        assert!(seen.iter().all(|one| late_of(one, 1) <= 1), "{seen:?}");
        let (seen, _) = through(Harm { rate_kbit: 100_000, ..none }, 100, 1, seed);
        let last = seen.last().expect("all").1;
        assert_eq!(last, (100 * 9_920u64).div_ceil(1_000), "back to back at 100 Mb/s");

        let (_, whole) = through(Harm { corrupt: 10_000, ..none }, 50, 10, seed);
        let wrong = whole.iter().filter(|frame| frame.fcs != Fcs::Good).count();
        assert!(wrong >= 48, "{wrong}: changes seldom cancel out");
        let silent = Harm { corrupt: 10_000, corrupt_silently: true, ..none };
        let (_, whole) = through(silent, 50, 10, seed);
        let changed = whole.iter().filter(|got| got.bytes[24..] != frame([0xff; 6], 100)[24..]).count();
        assert!(whole.iter().all(|frame| frame.fcs == Fcs::Good) && changed > 25, "{changed}");
    }
}

fn late_of((n, at): &(u32, u64), spacing_us: u64) -> u64 {
    at - u64::from(*n) * spacing_us
}

#[test]
fn wires_compose() {
    let (a, mut b, _cable) = pair();
    let (slow, _) = Impair::new(a, Harm { delay_us: 100, ..Harm::default() }, 1);
    let mut file = Vec::new();
    let recorded = Record::next_generation(slow, &mut file).expect("memory takes it");
    let twice = Harm { duplicate: 10_000, delay_us: 50, ..Harm::default() };
    let (outer, _) = Impair::new(recorded, twice, 2);
    let mut outer: Box<dyn Wire> = Box::new(outer);
    send(&mut outer, 7, 0);
    assert_eq!(outer.next_arrival_ns(), Some(50_000));
    assert!(outer.ready(50_000));
    assert_eq!(outer.next_arrival_ns(), Some(150_000), "the next wire's turn");
    assert_eq!(receive(&mut b, 0).len(), 0);
    assert!(outer.ready(150_000));
    assert_eq!(receive(&mut b, 0).iter().map(number).collect::<Vec<_>>(), [7, 7]);
    drop(outer);
    assert_eq!(Capture::parse(&file).expect("our own file").packets.len(), 2, "recorded between the two");
}
