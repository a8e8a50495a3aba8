//! Playing with a card in software, as a user does it.

mod common;

use common::{naio, text};
use std::process::Output;

fn model(arguments: &[&str]) -> Output {
    naio(&["model"], None, arguments)
}

/// What a command that works prints.
fn printed(arguments: &[&str]) -> String {
    let done = model(arguments);
    assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    text(&done.stdout)
}

/// The values of a register in the columns of `naio model regs`.
fn values(table: &str, register: &str) -> Vec<u32> {
    let line = table.lines().find(|line| line.split_ascii_whitespace().next() == Some(register));
    let words = line.unwrap_or_default().split_ascii_whitespace().skip(2);
    words.filter_map(|word| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect()
}

/// A row of `naio model run`: given, intact, missing, strange.
fn row(out: &str, name: &str) -> Vec<u64> {
    let line = out.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn info_lists_the_family_and_tells_about_one_part_by_name_or_id() {
    let all = printed(&["info"]);
    assert_eq!(all.lines().filter(|line| line.starts_with("0x")).count(), 36, "every id of the family");
    let by_name = printed(&["info", "--part", "82540em"]);
    assert!(by_name.contains("8086:100e") && by_name.contains("layout A"), "{by_name}");
    assert_eq!(by_name, printed(&["info", "--id", "0x100e"]));
    let old = printed(&["info", "--id", "1000"]);
    assert!(old.contains("cannot drive it yet") && old.contains("none, only pins"), "{old}");
}

#[test]
fn a_freshly_reset_card_shows_the_values_of_the_datasheet() {
    let table = printed(&["regs"]);
    assert_eq!(values(&table, "PBA"), [0x0010_0030], "48 KB receive, 16 KB transmit (8254x SDM 13.4.35)");
    assert_eq!((values(&table, "RCTL"), values(&table, "TCTL")), (vec![0], vec![0]));
    assert_eq!(values(&table, "RAL[0]"), [0x105e_0002], "the station address from the EEPROM");
    assert!(values(&table, "MTA[5]").is_empty(), "tables full of zeros are left out");
    assert_eq!(values(&printed(&["regs", "--all"]), "MTA[5]"), [0]);
}

#[test]
fn registers_move_when_frames_pass() {
    let table = printed(&["regs", "--frames", "40"]);
    for (register, expected) in [("GPRC", [0, 0, 40]), ("TPT", [0, 0, 40]), ("RDH", [0, 0, 40])] {
        assert_eq!(values(&table, register), expected, "{register} in {table}");
    }
    let changed = printed(&["regs", "--frames", "40", "--changed"]);
    assert!(values(&changed, "PBA").is_empty() && !values(&changed, "RDT").is_empty(), "{changed}");
    let two = printed(&["regs", "--frames", "1", "gprc", "TDH"]);
    assert_eq!(two.lines().count(), 4, "a title, headings and two registers: {two}");
}

#[test]
fn frames_pass_intact_on_every_profile_and_the_driver_breaks_no_rule() {
    for profile in ["silicon", "qemu", "virtualbox", "vmware"] {
        let out = printed(&["run", "--frames", "100", "--profile", profile, "--seed", "7"]);
        for way in ["received", "sent"] {
            assert_eq!(row(&out, way), [100, 100, 0, 0], "{profile}: {out}");
        }
        assert!(out.contains("violations of the datasheet by the driver: 0"), "{out}");
    }
}

#[test]
fn a_broken_card_loses_frames_and_nothing_else() {
    for (fault, received, sent) in [
        ("gone", [64, 0, 64, 0], [64, 0, 64, 0]),
        ("tx-stalled", [64, 64, 0, 0], [64, 0, 64, 0]),
        ("rx-errors", [64, 0, 64, 0], [64, 64, 0, 0]),
        ("rx-length-beyond", [64, 0, 64, 0], [64, 64, 0, 0]),
        ("tx-out-of-order", [64, 64, 0, 0], [64, 64, 0, 0]),
        ("rx-torn", [64, 64, 0, 0], [64, 64, 0, 0]),
    ] {
        let out = printed(&["run", "--frames", "64", "--fault", fault]);
        assert_eq!(
            (row(&out, "received"), row(&out, "sent")),
            (received.to_vec(), sent.to_vec()),
            "{fault}: {out}"
        );
    }
    let gone = printed(&["run", "--frames", "10", "--fault", "gone"]);
    assert!(gone.contains("the card is") && gone.contains(" gone"), "{gone}");
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    for (arguments, hints) in [
        (&["info", "--part", "82574L"][..], &["82574L", "naio model info"][..]),
        (&["info", "--id", "xyz"], &["0x100e"]),
        (&["regs", "FOO"], &["FOO", "naio model regs"]),
        (&["run", "--part", "82541PI"], &["82541PI", "naio model info"]),
        (&["run", "--fault", "reset-never"], &["did not leave its reset"]),
        (&["run", "--fault", "rust"], &["rx-torn"]),
    ] {
        let done = model(arguments);
        assert!(!done.status.success(), "{arguments:?}");
        for hint in hints {
            assert!(text(&done.stderr).contains(hint), "{arguments:?}: {}", text(&done.stderr));
        }
    }
}

#[test]
fn help_teaches_by_examples() {
    for arguments in [&["demo"][..], &["replay"], &["model", "info"], &["model", "regs"], &["model", "run"]] {
        let help = text(&naio(arguments, None, &["--help"]).stdout);
        assert!(
            help.contains("Examples:") && help.contains(&format!("naio {}", arguments.join(" "))),
            "{help}"
        );
    }
    assert!(
        !text(&naio(&["--help"], None, &[]).stdout).contains("remote"),
        "the partner's process is our own affair"
    );
}
