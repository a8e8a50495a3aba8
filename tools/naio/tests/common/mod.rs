//! Runs the program as a user does.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `naio` with these arguments, and a path between them.
pub(crate) fn naio(before: &[&str], path: Option<&Path>, after: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_naio"));
    command.args(before);
    command.args(path).args(after);
    command.output().expect("the program starts")
}

/// An empty folder for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What was printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
