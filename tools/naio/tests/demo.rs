//! The demonstration as a user runs it, small: what it prints, draws, writes and records. Nothing about speed.

mod common;

use common::{folder, text};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const RUNS: u64 = 2;
const SIZE: u64 = 300_000;

fn demo(folder: &Path, arguments: &[&str]) -> Output {
    common::naio(&["demo", "--size", &SIZE.to_string(), "--out"], Some(folder), arguments)
}

/// A demonstration over a TAP, `None` (and the reason told) where the system does not allow one.
fn demo_over_tap(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let done = demo(folder, &[&["--wire", "tap"], arguments].concat());
    let err = text(&done.stderr);
    if !done.status.success() && err.starts_with("naio: no TAP") {
        assert!(err.contains("--wire pair"), "what to do instead: {err}");
        eprintln!("skipped: {err}");
        return None;
    }
    assert!(done.status.success(), "{err}");
    Some(done)
}

/// Every arm was hashed, every arm has a median.
fn assert_whole(done: &Output) {
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{err}");
    assert_eq!(out.matches(" med ").count(), 4, "a median for each arm: {out}");
    assert_eq!(err.matches("moved the right bytes").count(), 4, "every arm was hashed: {err}");
    assert!(out.contains("driver: 0 violations"), "{out}");
}

#[test]
fn tables_pictures_page_and_json_are_there() {
    let folder = folder("demo");
    let json = folder.join("runs.json");
    let done = demo(
        &folder,
        &["--wire", "pair", "--runs", &RUNS.to_string(), "--json", json.to_str().expect("a path in ASCII")],
    );
    assert_whole(&done);
    let out = text(&done.stdout);
    assert!(out.contains("a second card") && out.contains("--wire pair"), "which wire, and why: {out}");

    let page = fs::read_to_string(folder.join("index.html")).expect("the page");
    for name in ["recv", "send"] {
        let svg = fs::read_to_string(folder.join(name).with_extension("svg")).expect("the SVG");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(page.contains(svg.trim_end()), "the page holds the chart");
        let png = fs::read(folder.join(name).with_extension("png")).expect("the PNG");
        assert!(png.starts_with(b"\x89PNG\r\n") && page.contains(&format!("href=\"{name}.png\"")));
        for arm in ["async", "sync"] {
            assert!(svg.contains(&format!("{arm}-{name}")), "the legend names {arm}-{name}");
        }
    }
    assert_records(&json, "model-pair");
}

/// One object a run, with the keys of `cargo rig compare`, the arms in turn.
fn assert_records(json: &Path, topology: &str) {
    let lines = fs::read_to_string(json).expect("the JSON");
    let runs: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert_eq!(runs.len() as u64, 4 * RUNS);
    for (n, run) in runs.iter().enumerate() {
        for key in
            "experiment topology arm iommu model run bytes seconds mb_per_s cpu_busy insn_user_per_mib \
                    insn_kernel_per_mib empty_turn_insn_per_mib empty_turns_per_mib rep_user_per_mib \
                    rep_kernel_per_mib frames_per_turn sha256_ok"
                .split_ascii_whitespace()
        {
            assert!(run.get(key).is_some(), "{key}");
        }
        assert_eq!((run["bytes"].as_u64(), run["sha256_ok"].as_bool()), (Some(SIZE), Some(true)));
        assert_eq!(run["topology"].as_str(), Some(topology));
        assert!(run["remote_cpu_s"].as_f64().is_some_and(|spent| spent > 0.0), "the partner worked: {run}");
        let arm = ["async", "sync"][n % 2];
        assert!(run["arm"].as_str().is_some_and(|name| name.starts_with(arm)), "the arms alternate");
    }
}

#[test]
fn linux_at_the_other_end_of_a_tap_sends_and_receives_the_right_bytes() {
    let folder = folder("tap");
    let json = folder.join("runs.json");
    let arguments = ["--runs", &RUNS.to_string(), "--json", json.to_str().expect("a path in ASCII")];
    let Some(done) = demo_over_tap(&folder, &arguments) else { return };
    assert_whole(&done);
    assert!(text(&done.stdout).contains("this machine's Linux"), "{}", text(&done.stdout));
    assert_records(&json, "model-tap");
}

#[test]
fn the_private_network_leaves_nothing_in_ours() {
    let interfaces = || fs::read_to_string("/proc/net/dev").map(|text| text.lines().count()).ok();
    let before = interfaces();
    if demo_over_tap(&folder("private"), &["--runs", "1"]).is_some() {
        assert_eq!(interfaces(), before);
    }
}

#[test]
fn without_any_right_the_second_card_takes_over_and_the_reason_is_told() {
    // A user namespace in which no other can be made, and in it a root without capabilities.
    let shell = "echo 0 > /proc/sys/user/max_user_namespaces && \
                 exec setpriv --inh-caps=-all --bounding-set=-all -- \"$@\"";
    let run = |program: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", shell, "sh"]).args(program).output()
    };
    if !run(&["true"]).is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: `unshare` and `setpriv` cannot take the rights away here");
        return;
    }
    let folder = folder("fallback");
    let out = folder.to_str().expect("a path in ASCII");
    let naio = env!("CARGO_BIN_EXE_naio");
    let done =
        run(&[naio, "demo", "--size", "100000", "--runs", "1", "--out", out]).expect("it started before");
    assert_whole(&done);
    let told = text(&done.stdout);
    assert!(told.contains("a second card"), "{told}");
    assert!(told.contains("without root: no user namespace"), "why not so: {told}");
    assert!(told.contains("as root: no network namespace"), "nor so: {told}");

    let done = run(&[naio, "demo", "--wire", "tap", "--out", out]).expect("it started before");
    assert!(!done.status.success());
    let told = text(&done.stderr);
    assert!(told.starts_with("naio: no TAP") && told.contains("--wire pair"), "{told}");
}

#[test]
fn the_partners_process_without_a_line_says_so_and_ends() {
    // Somebody else than the demonstration started it: standard input is no line.
    let done = Command::new(env!("CARGO_BIN_EXE_naio"))
        .arg("remote")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    assert!(!done.status.success());
    assert!(text(&done.stderr).contains("partner"), "{}", text(&done.stderr));
}

#[test]
fn a_wire_that_loses_frames_still_delivers_the_right_bytes() {
    for wire in ["pair", "tap"] {
        let folder = folder(&format!("lossy-{wire}"));
        let arguments = ["--loss", "1%", "--runs", "1"];
        let done = match wire {
            "tap" => demo_over_tap(&folder, &arguments),
            _ => Some(demo(&folder, &[&["--wire", wire], &arguments[..]].concat())),
        };
        let Some(done) = done else { continue };
        assert_whole(&done);
        let out = text(&done.stdout);
        assert!(out.contains("\nwire: ") && !out.contains("of which 0 were lost"), "{out}");
    }
}

#[test]
fn a_capture_holds_every_frame_that_was_on_the_wire() {
    let folder = folder("pcap");
    let pcap = folder.join("demo.pcap");
    let done =
        demo(&folder, &["--wire", "pair", "--runs", "1", "--pcap", pcap.to_str().expect("a path in ASCII")]);
    assert_whole(&done);
    let out = text(&done.stdout);
    let said = out.split("\nwire: ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a count");
    // The file, read without our own reader: header of 24 bytes, then 16 and as many as they say, per frame.
    let bytes = fs::read(&pcap).expect("the capture");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((word(0), word(20)), (0xa1b2_3c4d, 1), "classic pcap with nanoseconds, Ethernet");
    let (mut at, mut frames, mut last) = (24, 0u64, 0);
    while at < bytes.len() {
        let time = u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4));
        assert!(time >= last, "in order");
        last = time;
        assert!((60..=1514).contains(&word(at + 8)) && word(at + 8) == word(at + 12));
        at += 16 + word(at + 8) as usize;
        frames += 1;
    }
    assert_eq!((at, said.parse()), (bytes.len(), Ok(frames)));
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    for (arguments, hint) in [
        (&["--loss", "much"][..], "1%"),
        (&["--size", "3 miles"], "MiB"),
        (&["--wire", "string"], "pair"),
        (&["--runs", "0"], "1..="),
    ] {
        let done = common::naio(&["demo", "--out"], Some(&folder("refused")), arguments);
        assert!(!done.status.success());
        assert!(text(&done.stderr).contains(hint), "{}", text(&done.stderr));
    }
}
