//! naio's programs for the guest: built by cargo in release mode and linked statically, because the guest has no
//! libc. The same files run on the host as peers. Those that no figure comes from are built with debug assertions:
//! in them a queue that has lost something says so when it is dropped.

use crate::paths::Paths;
use crate::process::ProcessError;
use crate::process::{self};
use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;

/// Building everything from nothing on two slow cores takes minutes.
const LIMIT: Duration = Duration::from_secs(1200);
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The workspace's profile with debug assertions, and the programs that are built in it.
const CHECKED: &str = "checked";
const CHECKED_PROGRAMS: [&str; 2] = ["naio-exercise", "naio-echo"];

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

/// Why they are not.
#[derive(Debug, thiserror::Error)]
#[error("the guest's programs do not build: {0}")]
pub struct ProgramsError(#[from] ProcessError);

impl Programs {
    /// Path of a program, if this tree has it; examples of `aio-api` are called `examples/NAME`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let profile = if CHECKED_PROGRAMS.contains(&name) { CHECKED } else { "release" };
        Some(self.folder.join(profile).join(name)).filter(|path| path.is_file())
    }
}

/// Builds what has changed.
pub(super) fn ensure(paths: &Paths, say: &dyn Fn(&str)) -> Result<Programs, ProgramsError> {
    let folder = paths.guest_target().join(TARGET);
    if !folder.exists() {
        say("building naio's programs for the guest (the first time takes some minutes)");
    }
    build(paths, "release", &["--package", "aio-api", "--bins", "--examples"])?;
    let checked: Vec<&str> = CHECKED_PROGRAMS.iter().flat_map(|program| ["--bin", program]).collect();
    build(paths, CHECKED, &checked)?;
    Ok(Programs { folder })
}

fn build(paths: &Paths, profile: &str, what: &[&str]) -> Result<(), ProgramsError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(paths.workspace());
    command.args(["build", "--profile", profile, "--quiet", "--target", TARGET]);
    command.args(["--package", "naio-bench"]).args(what);
    command.arg("--target-dir").arg(paths.guest_target());
    // Whatever the caller was built with is not meant for the guest.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "-C target-feature=+crt-static");
    // An initramfs is memory of the guest: debug information stays outside.
    command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    process::output(&mut command, LIMIT).map(drop).map_err(ProgramsError::from)
}
