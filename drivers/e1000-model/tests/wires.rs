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
