//! naio's programs for the guest: built by cargo in release mode and linked statically, because the guest has no
//! libc. The same files run on the host as peers.

use crate::paths::Paths;
use crate::process::ProcessError;
use crate::process::{self};
use core::time::Duration;
use std::path::PathBuf;
use std::process::Command;

/// Building everything from nothing on two slow cores takes minutes.
const LIMIT: Duration = Duration::from_secs(1200);
const TARGET: &str = "x86_64-unknown-linux-gnu";

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
        Some(self.folder.join(name)).filter(|path| path.is_file())
    }
}

/// Builds what has changed.
pub(super) fn ensure(paths: &Paths, say: &dyn Fn(&str)) -> Result<Programs, ProgramsError> {
    let folder = paths.guest_target().join(TARGET).join("release");
    if !folder.exists() {
        say("building naio's programs for the guest (the first time takes a minute or two)");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(paths.workspace());
    command.args(["build", "--release", "--quiet", "--target", TARGET]);
    command.args(["--package", "naio-bench", "--package", "aio-api", "--bins", "--examples"]);
    command.arg("--target-dir").arg(paths.guest_target());
    // Whatever the caller was built with is not meant for the guest.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "-C target-feature=+crt-static");
    // An initramfs is memory of the guest: debug information stays outside.
    command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    process::output(&mut command, LIMIT)?;
    Ok(Programs { folder })
}
