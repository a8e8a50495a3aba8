//! Transfers over a wire that loses frames, as a user runs them, small. Nothing about speed.

mod common;

use common::{folder, naio, text};
use std::fs;

const SIZE: u64 = 1_500_000;

/// Both TCPs send and receive the right bytes, whatever the wire loses: the program compares hashes and fails if not.
#[test]
fn naio_and_linux_both_move_the_right_bytes_through_losses() {
    let json = folder("lossy").join("transfers.json");
    let done =
        naio(&["lossy", "--size", &SIZE.to_string(), "--loss", "0%,0.2%,1%", "--json"], Some(&json), &[]);
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    if !done.status.success() && err.starts_with("naio: no TAP") {
        eprintln!("skipped: {err}");
        return;
    }
    assert!(done.status.success(), "{err}");
    assert_eq!(err.matches("moved the right bytes").count(), 12, "{err}");
    for row in ["loss 0%", "loss 0.2%", "loss 1%"] {
        let line =
            out.lines().find(|line| line.starts_with(&format!("{row} "))).expect("a row for each share");
        assert_eq!(line.split_ascii_whitespace().count(), 2 + 4, "{line}");
    }
    let lines = fs::read_to_string(&json).expect("the JSON");
    let transfers: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert_eq!(transfers.len(), 12);
    for transfer in &transfers {
        assert_eq!((transfer["bytes"].as_u64(), transfer["sha256_ok"].as_bool()), (Some(SIZE), Some(true)));
    }
    let ways: Vec<_> = transfers.iter().take(4).filter_map(|transfer| transfer["way"].as_str()).collect();
    assert_eq!(ways, ["naio sends", "naio receives", "Linux sends", "Linux receives"]);
}
