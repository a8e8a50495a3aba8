//! Replaying a capture, as a user does it: every frame ends under one name, and a file that is none is refused.

mod common;

use common::{folder, naio, text};
use etherparse::PacketBuilder;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const US: [u8; 6] = [2, 0, 0x5e, 0x10, 0, 2];
const PEER: [u8; 6] = [2, 0, 0x5e, 0x10, 0, 9];
const OUR_ADDRESS: [u8; 4] = [10, 9, 0, 2];
const PEERS_ADDRESS: [u8; 4] = [10, 9, 0, 1];

fn udp(to: [u8; 6], port: u16, len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(PEER, to)
        .ipv4(PEERS_ADDRESS, OUR_ADDRESS, 64)
        .udp(1000, port)
        .write(&mut frame, &vec![7; len])
        .expect("a packet");
    frame
}

fn echo() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(PEER, US)
        .ipv4(PEERS_ADDRESS, OUR_ADDRESS, 64)
        .icmpv4_echo_request(1, 1)
        .write(&mut frame, b"hello")
        .expect("a packet");
    frame
}

/// Who has our address? (RFC 826)
fn who_has() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(PEER);
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(PEER);
    frame.extend(PEERS_ADDRESS);
    frame.extend([0; 6]);
    frame.extend(OUR_ADDRESS);
    frame
}

/// Frames and what becomes of each.
fn frames() -> Vec<(Vec<u8>, &'static str)> {
    let mut broken = udp(US, 53, 20);
    broken[24] ^= 1;
    let mut foreign = US.to_vec();
    foreign.extend(PEER);
    foreign.extend([0x88, 0xb5]);
    vec![
        (who_has(), "stack_rx_arp"),
        (echo(), "stack_rx_icmp_echo"),
        (udp(US, 2000, 100), "stack_rx_udp"),
        (udp(US, 2001, 100), "stack_drop_udp_unknown"),
        (udp([2, 0, 0, 0, 0, 77], 2000, 100), "card_filtered"),
        (udp([1, 0, 0x5e, 1, 2, 3], 2000, 100), "card_filtered"),
        (udp(US, 2000, 1600), "card_too_long"),
        (broken, "stack_drop_ip_checksum"),
        (foreign, "stack_drop_ether_type"),
        (udp(US, 2000, 100)[..30].to_vec(), "stack_drop_ip_header"),
        (Vec::new(), "card_filtered"),
    ]
}

/// A classic capture in the byte order of this machine, a millisecond from frame to frame.
fn classic(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut words = |words: &[u32], bytes: &[u8]| {
        words.iter().for_each(|word| file.extend(word.to_ne_bytes()));
        file.extend(bytes);
    };
    words(&[0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1], &[]);
    for (n, frame) in frames.iter().enumerate() {
        let len = frame.len() as u32;
        words(&[1_700_000_000, n as u32 * 1_000, len, len], frame);
    }
    file
}

/// The same as pcapng, big-endian.
fn next_generation(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let len = (body.len().next_multiple_of(4) + 12) as u32;
        file.extend(kind.to_be_bytes());
        file.extend(len.to_be_bytes());
        file.extend(body);
        file.resize(file.len().next_multiple_of(4), 0);
        file.extend(len.to_be_bytes());
    };
    block(0x0a0d_0d0a, &[&[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..], &[0xff; 8]].concat());
    block(1, &[0, 1, 0, 0, 0, 0, 0, 0]);
    for (n, frame) in frames.iter().enumerate() {
        let len = (frame.len() as u32).to_be_bytes();
        let time = (n as u32 * 1_000).to_be_bytes();
        block(6, &[&[0; 4][..], &[0; 4], &time, &len, &len, frame].concat());
    }
    file
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder(name).join("capture");
    fs::write(&path, bytes).expect("room");
    path
}

fn replay(path: &Path, arguments: &[&str]) -> Output {
    naio(&["replay"], Some(path), arguments)
}

#[test]
fn every_frame_of_either_format_ends_under_its_name() {
    let (bytes, expected): (Vec<_>, Vec<_>) = frames().into_iter().unzip();
    for (format, file_bytes) in [("classic", classic(&bytes)), ("pcapng", next_generation(&bytes))] {
        let path = file(&format!("replay-{format}"), &file_bytes);
        let done = replay(&path, &["--udp", "2000", "-v", "--json"]);
        assert!(done.status.success(), "{format}: {}", text(&done.stderr));
        let mut lines: Vec<serde_json::Value> =
            text(&done.stdout).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        let summary = lines.pop().expect("a summary");
        let got: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().expect("a name")).collect();
        assert_eq!(got, expected, "{format}");
        assert_eq!(lines[3]["frame"], 4);
        assert_eq!((lines[0]["answers"].as_u64(), lines[1]["answers"].as_u64()), (Some(1), Some(1)));

        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        expected.iter().for_each(|name| *counted.entry(name).or_default() += 1);
        assert_eq!(summary["outcomes"], serde_json::to_value(counted).expect("a map"));
        assert_eq!(summary["frames"].as_u64(), Some(expected.len() as u64));
        assert_eq!(
            (summary["mac"].as_str(), summary["address"].as_str()),
            (Some("02:00:5e:10:00:02"), Some("10.9.0.2/24"))
        );
        assert_eq!(summary["violations"].as_array().map(Vec::len), Some(0), "{summary}");
    }
}

#[test]
fn the_table_explains_every_outcome_and_sums_up() {
    let bytes: Vec<_> = frames().into_iter().map(|(bytes, _)| bytes).collect();
    let done = replay(&file("replay-table", &classic(&bytes)), &["-v"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let out = text(&done.stdout);
    assert!(out.contains("station: 02:00:5e:10:00:02, 10.9.0.2/24"), "{out}");
    let table = out.split("what that means").nth(1).expect("a table");
    let counted: u64 = table
        .lines()
        .filter(|line| ["card_", "driver_", "stack_"].iter().any(|room| line.starts_with(room)))
        .map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let count = words.next().and_then(|count| count.parse::<u64>().ok()).expect("a count");
            assert!(words.count() > 2, "a meaning: {line}");
            count
        })
        .sum();
    assert_eq!(counted, bytes.len() as u64);
}

#[test]
fn a_listener_gets_the_connections_of_the_capture() {
    let mut syn = Vec::new();
    PacketBuilder::ethernet2(PEER, US)
        .ipv4(PEERS_ADDRESS, OUR_ADDRESS, 64)
        .tcp(4000, 80, 1, 1024)
        .syn()
        .write(&mut syn, &[])
        .expect("a packet");
    let path = file("replay-listen", &classic(&[who_has(), syn]));
    let outcome = |arguments: &[&str]| text(&replay(&path, arguments).stdout);
    assert!(outcome(&[]).contains("stack_drop_tcp_unknown"));
    assert!(outcome(&["--listen", "80"]).contains("stack_rx_tcp"));
}

#[test]
fn a_file_that_ends_early_is_replayed_as_far_as_it_goes() {
    let mut bytes = classic(&[who_has(), echo()]);
    bytes.truncate(bytes.len() - 3);
    let done = replay(
        &file("replay-short", &bytes),
        &["--json", "--mac", "02:00:5e:10:00:02", "--address", "10.9.0.2/24"],
    );
    let summary: serde_json::Value = serde_json::from_str(text(&done.stdout).trim()).expect("an object");
    assert!(done.status.success());
    assert_eq!((summary["frames"].as_u64(), summary["truncated"].as_bool()), (Some(1), Some(true)));
}

#[test]
fn what_is_no_capture_is_refused_with_what_to_do() {
    let mut wlan = classic(&[]);
    wlan[20..24].copy_from_slice(&105u32.to_ne_bytes());
    for (name, bytes, hint) in [
        ("nothing", Vec::new(), "tcpdump"),
        ("text", b"hello, world".to_vec(), "tcpdump"),
        ("wlan", wlan, "Ethernet"),
    ] {
        let done = replay(&file(&format!("replay-{name}"), &bytes), &[]);
        assert!(!done.status.success(), "{name}");
        assert!(text(&done.stderr).contains(hint), "{name}: {}", text(&done.stderr));
    }
    let absent = replay(&folder("replay-absent").join("capture"), &[]);
    assert!(text(&absent.stderr).contains("cannot read"), "{}", text(&absent.stderr));
}
