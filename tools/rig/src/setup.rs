//! Makes everything a rig run needs, and says what it did: programs, guest kernel, naio's programs, plugin.
//!
//! Each part is left alone when it is already there, so `ensure` before every run costs little. `missing` only
//! looks; `demo` uses it, because nothing may be installed without being asked.

pub mod kernel;
pub mod packages;
pub mod plugin;
pub mod programs;
pub mod testpmd;
pub mod vmlinux;

use crate::paths::Paths;
use kernel::Kernel;
use packages::Tools;
use programs::Programs;
use std::path::PathBuf;

/// Everything a guest is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// QEMU, busybox and so on.
    pub tools: Tools,
    /// The guest's kernel.
    pub kernel: Kernel,
    /// naio's programs, linked statically.
    pub programs: Programs,
    /// The counting plugin, if there is a C compiler.
    pub plugin: Option<PathBuf>,
}

/// Why the rig could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A package could not be installed or unpacked.
    #[error(transparent)]
    Packages(#[from] packages::PackagesError),
    /// The guest's kernel could not be fetched or taken apart.
    #[error(transparent)]
    Kernel(#[from] kernel::KernelError),
    /// naio's programs do not build.
    #[error(transparent)]
    Programs(#[from] programs::ProgramsError),
    /// The plugin does not build.
    #[error(transparent)]
    Plugin(#[from] plugin::PluginError),
}

impl SetupError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Packages(e) => e.help(),
            Self::Kernel(e) => e.help(),
            Self::Programs(_) => {
                "the guest's programs are built by cargo: `cargo build --release -p naio-bench` \
                                  shows what is wrong"
            }
            Self::Plugin(_) => {
                "install a C compiler (`apt-get install gcc libc6-dev`) and run `cargo rig setup`"
            }
        }
    }
}

/// Makes what is missing. `say` is told each thing that is done.
///
/// # Errors
/// [`SetupError`]; what was made before stays and is not made again.
pub fn ensure(paths: &Paths, say: &dyn Fn(&str)) -> Result<Parts, SetupError> {
    let tools = packages::ensure(paths, say)?;
    let kernel = kernel::ensure(paths, say)?;
    let plugin = plugin::ensure(paths, &tools, say)?;
    let programs = programs::ensure(paths, say)?;
    Ok(Parts { tools, kernel, programs, plugin })
}

/// Names what `ensure` would have to install or fetch. Empty means ready, except that naio's programs may still
/// have to be compiled.
#[must_use]
pub fn missing(paths: &Paths) -> Vec<String> {
    let mut missing: Vec<String> =
        packages::missing(paths).into_iter().map(|p| format!("package {p}")).collect();
    if kernel::Kernel::load(paths).is_none() {
        missing.push("the guest's kernel".to_owned());
    }
    missing
}
