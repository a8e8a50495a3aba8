//! The programs of other people that the rig needs: found, installed (root), or unpacked below `target/rig` (no
//! root). Debian and its descendants; elsewhere the programs can be installed by hand and are found.

use crate::paths::Paths;
use crate::process::{self, ProcessError, find};
use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long apt may take; its downloads are some ten megabytes.
pub(crate) const APT_LIMIT: Duration = Duration::from_secs(600);

/// Packages that an error message names.
const NAMED_MAX: usize = 4;

/// A program and the package that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
}

static QEMU: Need = Need { program: "qemu-system-x86_64", package: "qemu-system-x86" };
static BUSYBOX: Need = Need { program: "busybox", package: "busybox-static" };
static IP: Need = Need { program: "ip", package: "iproute2" };
static XZ: Need = Need { program: "xz", package: "xz-utils" };

/// A hostile peer on the host's side of a TAP, which needs root as well. What cannot be had is not used.
static HOSTILE: [Need; 3] = [
    Need { program: "nmap", package: "nmap" },
    Need { program: "hping3", package: "hping3" },
    Need { program: "scapy3", package: "python3-scapy" },
];

/// What was found.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `qemu-system-x86_64`.
    pub qemu: PathBuf,
    /// A statically linked busybox.
    pub busybox: PathBuf,
    /// iproute2's `ip`; only the TAP topology needs it.
    pub ip: Option<PathBuf>,
    /// Prefix under which QEMU was unpacked, if it was not installed: its libraries and firmware are there.
    pub qemu_prefix: Option<PathBuf>,
    /// Major version of QEMU; the plugin interface follows it.
    pub qemu_major: u32,
}

/// Why a program is not there.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// There is no apt to ask.
    #[error("{program} is missing, and there is no apt-get here to fetch package {package} with")]
    NoApt {
        /// The program.
        program: &'static str,
        /// Its package on Debian.
        package: &'static str,
    },
    /// apt could not do it.
    #[error("cannot fetch {package}: {source}")]
    Apt {
        /// The package.
        package: String,
        /// What apt said.
        source: ProcessError,
    },
    /// It was fetched and is still not there.
    #[error("package {package} came without a usable {program}")]
    Useless {
        /// The program.
        program: &'static str,
        /// The package.
        package: &'static str,
    },
    /// A file below `target/rig` cannot be written.
    #[error("cannot write below target/rig: {0}")]
    Write(#[from] io::Error),
    /// QEMU is there and does not run.
    #[error("QEMU does not run: {0}")]
    Qemu(#[source] ProcessError),
}

impl PackagesError {
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::NoApt { .. } => {
                "install QEMU (x86 system emulation), a static busybox and iproute2 with your \
                                   package manager; the rig finds them on PATH"
            }
            Self::Apt { .. } => {
                "check the network and apt's sources, or install qemu-system-x86, busybox-static \
                                 and iproute2 yourself, then run `cargo rig setup` again"
            }
            Self::Useless { .. } => {
                "install the package by hand; busybox must be the static one (busybox-static)"
            }
            Self::Write(_) => "check that target/rig is writable and the disk is not full",
            Self::Qemu(_) => "run `qemu-system-x86_64 --version` to see what is wrong",
        }
    }
}

/// Packages that are not there.
pub(crate) fn missing(paths: &Paths) -> Vec<&'static str> {
    absent(paths).map(|need| need.package).collect()
}

/// What is needed and not there. A TAP needs root, so that without root `ip` is not needed either.
fn absent(paths: &Paths) -> impl Iterator<Item = &'static Need> {
    let root = rustix::process::geteuid().is_root();
    let needs = [&QEMU, &BUSYBOX, &XZ].into_iter().chain(root.then_some(&IP));
    needs.filter(|need| locate(need, paths).is_none())
}

/// Finds the programs, installing or unpacking what is missing.
pub(crate) fn ensure(paths: &Paths, say: &dyn Fn(&str)) -> Result<Tools, PackagesError> {
    let absent: Vec<&Need> =
        [&QEMU, &BUSYBOX, &IP, &XZ].into_iter().filter(|n| locate(n, paths).is_none()).collect();
    if let Some(first) = absent.first() {
        let none = Path::new("/nonexistent");
        if find("apt-get", none).is_none() {
            return Err(PackagesError::NoApt { program: first.program, package: first.package });
        }
        let names: Vec<&str> = absent.iter().map(|n| n.package).collect();
        if rustix::process::geteuid().is_root() {
            say(&format!("installing {} with apt-get", names.join(" ")));
            install(&names)?;
        } else {
            say(&format!("no root: unpacking {} below {}", names.join(" "), paths.unpacked().display()));
            unpack(&names, paths)?;
        }
    }
    let must = |need: &Need| {
        locate(need, paths).ok_or(PackagesError::Useless { program: need.program, package: need.package })
    };
    let qemu = must(&QEMU)?;
    let qemu_prefix = qemu.starts_with(paths.unpacked()).then(|| paths.unpacked());
    let mut tools =
        Tools { qemu, busybox: must(&BUSYBOX)?, ip: locate(&IP, paths), qemu_prefix, qemu_major: 0 };
    let mut command = tools.qemu_command();
    let version =
        process::output(command.arg("--version"), Duration::from_secs(30)).map_err(PackagesError::Qemu)?;
    tools.qemu_major = major_version(&String::from_utf8_lossy(&version)).unwrap_or(0);
    want_hostile(paths, say);
    Ok(tools)
}

/// Installs what a hostile peer is made of, if we may; without it some tests are skipped.
fn want_hostile(paths: &Paths, say: &dyn Fn(&str)) {
    let absent = HOSTILE.iter().filter(|need| locate(need, paths).is_none());
    let names: Vec<&str> = absent.map(|need| need.package).collect();
    let may = rustix::process::geteuid().is_root() && find("apt-get", Path::new("/nonexistent")).is_some();
    if names.is_empty() || !may {
        return;
    }
    say(&format!("installing {} with apt-get", names.join(" ")));
    if let Err(error) = install(&names) {
        say(&format!("going on without a hostile peer: {error}"));
    }
}

impl Tools {
    /// QEMU with the environment it needs, no arguments yet.
    #[must_use]
    pub fn qemu_command(&self) -> Command {
        let mut command = Command::new(&self.qemu);
        if let Some(prefix) = &self.qemu_prefix {
            command.env("LD_LIBRARY_PATH", prefix.join("usr/lib/x86_64-linux-gnu"));
        }
        command
    }

    /// Folders with QEMU's firmware, if it is not where QEMU was built to look.
    #[must_use]
    pub fn firmware(&self) -> Vec<PathBuf> {
        let folders = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];
        self.qemu_prefix.iter().flat_map(|prefix| folders.map(|f| prefix.join(f))).collect()
    }
}

fn locate(need: &Need, paths: &Paths) -> Option<PathBuf> {
    let found = find(need.program, &paths.unpacked())?;
    // The usual busybox package needs libc.so, which the guest does not have.
    if need.program == BUSYBOX.program && !is_static(&found) {
        let unpacked = paths.unpacked().join("bin/busybox");
        return is_static(&unpacked).then_some(unpacked);
    }
    Some(found)
}

/// Whether an ELF file names no interpreter. The name, if there is one, stands near the front (ELF gABI, `PT_INTERP`).
fn is_static(program: &Path) -> bool {
    let interpreter = b"/ld-linux";
    fs::read(program).is_ok_and(|elf| {
        let front = &elf[..elf.len().min(4096)];
        !front.windows(interpreter.len()).any(|w| w == interpreter)
    })
}

fn install(packages: &[&str]) -> Result<(), PackagesError> {
    let attempt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "--no-install-recommends"]);
        process::output(apt.args(packages), APT_LIMIT)
    };
    // A machine nobody prepared has no package lists, or lists that name versions which are gone.
    if attempt().is_err() {
        update()?;
        attempt().map_err(|source| PackagesError::Apt { package: named(packages), source })?;
    }
    Ok(())
}

/// Packages in an error message: the first ones, and how many more.
fn named<S: AsRef<str>>(packages: &[S]) -> String {
    let (first, more) = packages.split_at(packages.len().min(NAMED_MAX));
    let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    first.join(" ") + &more
}

pub(crate) fn update() -> Result<(), PackagesError> {
    process::output(Command::new("apt-get").arg("update"), APT_LIMIT)
        .map(drop)
        .map_err(|source| PackagesError::Apt { package: "the package lists".to_owned(), source })
}

/// Downloads packages and what they depend on (as far as it is not installed), and unpacks them.
fn unpack(packages: &[&str], paths: &Paths) -> Result<(), PackagesError> {
    fetch(&with_dependencies(packages)?, &paths.packages(), &paths.unpacked())
}

/// Names of these packages and of what they depend on, as far as it is not installed.
pub(crate) fn with_dependencies(packages: &[&str]) -> Result<Vec<String>, PackagesError> {
    let failed = |source| PackagesError::Apt { package: named(packages), source };
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--print-uris", "-qq", "--no-install-recommends"]).args(packages);
    let listing = process::output(&mut apt, APT_LIMIT).map_err(failed)?;
    Ok(packages_of_uris(&String::from_utf8_lossy(&listing)))
}

/// Downloads packages into the folder `archives` and unpacks them below `root`.
pub(crate) fn fetch(names: &[String], archives: &Path, root: &Path) -> Result<(), PackagesError> {
    let failed = |source| PackagesError::Apt { package: named(names), source };
    fs::create_dir_all(archives)?;
    fs::create_dir_all(root)?;
    let mut apt = Command::new("apt-get");
    apt.current_dir(archives).arg("download").args(names);
    process::output(&mut apt, APT_LIMIT).map_err(failed)?;
    for entry in fs::read_dir(archives)? {
        let file = entry?.path();
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if names.iter().any(|n| name.starts_with(&format!("{n}_"))) {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("-x").arg(&file).arg(root);
            process::output(&mut dpkg, APT_LIMIT).map_err(failed)?;
        }
    }
    Ok(())
}

/// Package names from lines such as `'http://…/qemu-system-x86_7.2_amd64.deb' qemu-system-x86_7.2_amd64.deb 123 …`.
fn packages_of_uris(listing: &str) -> Vec<String> {
    let files = listing.lines().filter_map(|line| line.split_ascii_whitespace().nth(1));
    files.filter_map(|file| file.split_once('_')).map(|(package, _)| package.to_owned()).collect()
}

fn major_version(text: &str) -> Option<u32> {
    text.split_once("version ")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_listings_are_read() {
        assert_eq!(major_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\n"), Some(7));
        assert_eq!(major_version("QEMU emulator version 10.0.2\n"), Some(10));
        let listing =
            "'http://mirror/pool/libfdt1_1.6_amd64.deb' libfdt1_1.6_amd64.deb 21 SHA256:0\n\n'x' y_1_all.deb";
        assert_eq!(packages_of_uris(listing), ["libfdt1", "y"]);
    }

    #[test]
    fn of_many_packages_an_error_names_the_first() {
        assert_eq!(named(&["a", "b", "c", "d"]), "a b c d");
        assert_eq!(named(&["a", "b", "c", "d", "e", "f"]), "a b c d and 2 more");
    }
}
