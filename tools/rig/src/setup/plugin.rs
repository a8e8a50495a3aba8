//! Builds the counting plugin (`plugin/naio_count.c`) with the system's C compiler.

use super::packages::Tools;
use crate::paths::Paths;
use crate::process::{self, ProcessError, find};
use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("../../plugin/naio_count.c");
const LIMIT: Duration = Duration::from_secs(60);

/// Why there is no plugin although there is a compiler.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The compiler refuses.
    #[error("the counting plugin does not build: {0}")]
    Compile(#[from] ProcessError),
    /// A file cannot be written.
    #[error("cannot write below target/rig: {0}")]
    Io(#[from] io::Error),
}

/// The plugin, built if its source or QEMU has changed; `None` without a C compiler, which only `compare` needs.
pub(super) fn ensure(
    paths: &Paths,
    tools: &Tools,
    say: &dyn Fn(&str),
) -> Result<Option<PathBuf>, PluginError> {
    let library = paths.plugin();
    let source = library.with_extension("c");
    let api = interface(tools.qemu_major);
    let text = format!("#define NAIO_QEMU_API {api}\n{SOURCE}");
    if library.exists() && fs::read_to_string(&source).is_ok_and(|built| built == text) {
        return Ok(Some(library));
    }
    let Some(compiler) = find("cc", Path::new("/nonexistent")) else {
        say("no C compiler (cc): `cargo rig compare` will not be able to count instructions");
        return Ok(None);
    };
    say("building the counting plugin");
    fs::create_dir_all(paths.root())?;
    if library.exists() {
        fs::remove_file(&library)?;
    }
    fs::write(&source, text)?;
    let mut command = Command::new(compiler);
    command.args([
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-std=gnu11",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
    ]);
    process::output(command.arg("-o").arg(&library).arg(&source), LIMIT)?;
    Ok(Some(library))
}

/// Version of the plugin interface that a QEMU of this major version accepts (include/qemu/qemu-plugin.h).
fn interface(qemu_major: u32) -> u32 {
    // 9.0 itself has 2; 9.1 and later accept 3 as long as it is not below their minimum. Only 1 has been run.
    if qemu_major < 9 { 1 } else { 3 }
}
