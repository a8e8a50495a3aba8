//! The demonstration as a user runs it, small: what it prints, draws and writes. Nothing about speed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const RUNS: u64 = 2;
const SIZE: u64 = 300_000;

fn demo(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_naio"))
        .args(["demo", "--size", &SIZE.to_string(), "--out"])
        .arg(folder)
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn tables_pictures_page_and_json_are_there() {
    let folder = folder("demo");
    let _ = fs::remove_dir_all(&folder);
    let json = folder.join("runs.json");
    let done =
        demo(&folder, &["--runs", &RUNS.to_string(), "--json", json.to_str().expect("a path in ASCII")]);
    assert!(done.status.success(), "{}", text(&done.stderr));

    let out = text(&done.stdout);
    assert!(out.contains("model:pair") && out.contains("not offered"), "which wire, and why: {out}");
    assert_eq!(out.matches(" med ").count(), 4, "a median for each arm: {out}");
    assert_eq!(text(&done.stderr).matches("moved the right bytes").count(), 4, "every arm was hashed");

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

    let lines = fs::read_to_string(&json).expect("the JSON");
    let runs: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert_eq!(runs.len() as u64, 4 * RUNS);
    for (n, run) in runs.iter().enumerate() {
        for key in
            "experiment topology arm iommu model run bytes seconds mb_per_s cpu_busy insn_user_per_mib \
                    insn_kernel_per_mib empty_turn_insn_per_mib frames_per_turn sha256_ok"
                .split_ascii_whitespace()
        {
            assert!(run.get(key).is_some(), "{key}");
        }
        assert_eq!((run["bytes"].as_u64(), run["sha256_ok"].as_bool()), (Some(SIZE), Some(true)));
        let arm = ["async", "sync"][n % 2];
        assert!(run["arm"].as_str().is_some_and(|name| name.starts_with(arm)), "the arms alternate");
    }
}

#[test]
fn a_wire_that_loses_frames_still_delivers_the_right_bytes() {
    let done = demo(&folder("lossy"), &["--loss", "1%", "--runs", "1"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr).matches("moved the right bytes").count(), 4);
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let done = demo(&folder("refused"), &["--loss", "much"]);
    assert!(!done.status.success());
    assert!(text(&done.stderr).contains("loss=1%"), "{}", text(&done.stderr));
}
