//! DPDK's testpmd for the guest: its packages from the distribution, unpacked below `target/rig/dpdk`, and of them the
//! program, the driver of our card and the libraries that those two load. Nothing is installed on this machine.
//!
//! Receives nothing but folders; hands on [`Testpmd`]. Only `compare driver` wants it, and does without where it cannot
//! be had. Package names carry the version of DPDK's interface, so they are read from what depends on them.

use super::packages::{self, APT_LIMIT};
use crate::paths::Paths;
use crate::process::{self, ProcessError, find};
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages that bring `dpdk-testpmd`; which of them does differs from release to release.
const PACKAGES: [&str; 2] = ["dpdk-dev", "dpdk"];
/// What testpmd opens at run time: our card's driver, and where its buffers come from.
const DRIVERS: [&str; 2] = ["librte-net-e1000", "librte-mempool-ring"];
/// The same as files, without their version.
const DRIVER_FILES: [&str; 2] = ["librte_net_e1000.so", "librte_mempool_ring.so"];
const PROGRAM: &str = "usr/bin/dpdk-testpmd";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// The name under which the guest finds the dynamic linker.
const LINKER: &str = "ld.so";
const MARKS: &str = "testpmd_marks.so";
const MARKS_SOURCE: &str = include_str!("../../plugin/testpmd_marks.c");
const LIMIT: Duration = Duration::from_secs(60);

/// testpmd, ready for a guest.
#[derive(Debug, Clone)]
pub struct Testpmd {
    /// Folder with the program, its linker and everything they load; flat.
    pub folder: PathBuf,
    /// Version of the package.
    pub version: String,
    /// File names of what it opens at run time.
    pub drivers: Vec<String>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum TestpmdError {
    /// A tool of the host is missing.
    #[error("there is no {0} here")]
    NoTool(&'static str),
    /// The packages cannot be had.
    #[error(transparent)]
    Packages(#[from] packages::PackagesError),
    /// A program failed on the way.
    #[error("cannot fetch DPDK: {0}")]
    Process(#[from] ProcessError),
    /// The packages do not hold what was expected.
    #[error("DPDK's packages bring no {0}")]
    Missing(String),
    /// A file cannot be read or written.
    #[error("cannot write below target/rig: {0}")]
    Io(#[from] io::Error),
}

impl Testpmd {
    /// What an earlier run made, if it is complete.
    fn load(paths: &Paths) -> Option<Self> {
        let folder = guest_folder(paths);
        // Written last: its presence means that everything before it succeeded.
        let version = fs::read_to_string(paths.dpdk().join("version")).ok()?.trim().to_owned();
        let names =
            fs::read_dir(&folder).ok()?.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        let drivers: Vec<String> =
            names.filter(|name| DRIVER_FILES.iter().any(|file| name.starts_with(file))).collect();
        (drivers.len() == DRIVER_FILES.len()).then_some(Self { folder, version, drivers })
    }
}

fn guest_folder(paths: &Paths) -> PathBuf {
    paths.dpdk().join("guest")
}

/// testpmd, fetched if it is not there.
///
/// # Errors
/// [`TestpmdError`]; whoever asked can do without.
pub fn ensure(paths: &Paths, say: &dyn Fn(&str)) -> Result<Testpmd, TestpmdError> {
    for tool in ["apt-get", "apt-cache", "dpkg-deb", "ldd", "cc"] {
        if find(tool, Path::new("/nonexistent")).is_none() {
            return Err(TestpmdError::NoTool(tool));
        }
    }
    if Testpmd::load(paths).is_none() {
        let version = fetch(paths, say)?;
        collect(paths)?;
        fs::write(paths.dpdk().join("version"), version)?;
    }
    marks(paths)?;
    Testpmd::load(paths).ok_or_else(|| TestpmdError::Missing(DRIVERS.join(" or ")))
}

/// Downloads and unpacks; returns the version.
fn fetch(paths: &Paths, say: &dyn Fn(&str)) -> Result<String, TestpmdError> {
    let listing = || {
        let mut apt = Command::new("apt-cache");
        process::output(apt.arg("depends").args(PACKAGES), APT_LIMIT)
    };
    let listing = match listing() {
        Ok(listing) => listing,
        Err(_) if rustix::process::geteuid().is_root() => {
            packages::update()?;
            listing()?
        }
        Err(error) => return Err(error.into()),
    };
    let libraries = wanted(&String::from_utf8_lossy(&listing));
    if DRIVERS.iter().any(|driver| !libraries.iter().any(|name| name.starts_with(driver))) {
        return Err(TestpmdError::Missing(DRIVERS.join(" or ")));
    }
    say("downloading DPDK's testpmd (about 10 MB)");
    let names: Vec<&str> = libraries.iter().map(String::as_str).collect();
    // What those need in turn. Programs and services among it are for a system that installs them.
    let mut all: BTreeSet<String> =
        packages::with_dependencies(&names)?.into_iter().filter(|name| is_library(name)).collect();
    all.extend(libraries);
    all.extend(PACKAGES.map(str::to_owned));
    let (archives, root) = (paths.dpdk().join("packages"), paths.dpdk().join("root"));
    for folder in [&archives, &root] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    let all: Vec<String> = all.into_iter().collect();
    packages::fetch(&all, &archives, &root)?;
    let version = version(&archives)?.ok_or_else(|| TestpmdError::Missing(PROGRAM.to_owned()))?;
    fs::remove_dir_all(&archives)?;
    Ok(version)
}

/// The version of the package that was downloaded, from its file's name.
fn version(archives: &Path) -> io::Result<Option<String>> {
    let prefix = format!("{}_", PACKAGES[0]);
    for entry in fs::read_dir(archives)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some((version, _)) = name.strip_prefix(&prefix).and_then(|rest| rest.split_once('_')) {
            return Ok(Some(version.replace("%3a", ":")));
        }
    }
    Ok(None)
}

/// The libraries that testpmd's packages depend on, and the drivers that they recommend.
fn wanted(listing: &str) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    for line in listing.lines().map(|line| line.trim().trim_start_matches('|')) {
        let Some((relation, name)) = line.split_once(": ") else { continue };
        let driver = DRIVERS.iter().any(|driver| name.starts_with(driver));
        if is_library(name) && (relation == "Depends" || relation == "Recommends" && driver) {
            wanted.insert(name.to_owned());
        }
    }
    wanted
}

/// A package of a shared library, by Debian's custom (Policy 8.1). Headers are not for us, and pull in everything.
fn is_library(package: &str) -> bool {
    (package.starts_with("lib") || package == "ibverbs-providers") && !package.ends_with("-dev")
}

/// Copies what runs in the guest into one flat folder.
fn collect(paths: &Paths) -> Result<(), TestpmdError> {
    let root = paths.dpdk().join("root");
    let libraries = root.join(LIBRARIES);
    let mut roots = vec![root.join(PROGRAM)];
    for file in DRIVER_FILES {
        let found = fs::read_dir(&libraries)?.flatten().map(|e| e.path()).find(|path| versioned(path, file));
        roots.push(found.ok_or_else(|| TestpmdError::Missing(file.to_owned()))?);
    }
    let mut files: BTreeSet<(String, PathBuf)> = BTreeSet::new();
    for file in &roots {
        if !file.is_file() {
            return Err(TestpmdError::Missing(file.display().to_string()));
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.insert((name, file.clone()));
        let mut ldd = Command::new("ldd");
        let listing = process::output(ldd.env("LD_LIBRARY_PATH", &libraries).arg(file), LIMIT)?;
        files.extend(loaded(&String::from_utf8_lossy(&listing)).map_err(TestpmdError::Missing)?);
    }
    let folder = guest_folder(paths);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for (name, file) in files {
        // Follows links: what is copied is the library.
        fs::copy(&file, folder.join(name))?;
    }
    Ok(())
}

/// Whether a file is this library under its run-time name, for example `librte_net_e1000.so.23`.
fn versioned(path: &Path, library: &str) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let version = name.strip_prefix(library).and_then(|rest| rest.strip_prefix('.'));
    version.is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
}

/// Names and files from ldd's lines, the dynamic linker as [`LINKER`]; the name of a library that is not there
/// otherwise.
fn loaded(listing: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let mut files = Vec::new();
    for line in listing.lines().map(str::trim) {
        let (name, file) = line.split_once(" => ").unwrap_or((line, line));
        if file.starts_with("not found") {
            return Err(name.to_owned());
        }
        // The vDSO is no file.
        let Some(file) = file.split_ascii_whitespace().next().filter(|file| file.starts_with('/')) else {
            continue;
        };
        let base = file.rsplit('/').next().unwrap_or_default();
        let name = if base.starts_with("ld-linux") { LINKER } else { name };
        files.push((name.to_owned(), PathBuf::from(file)));
    }
    Ok(files)
}

/// Builds what puts the marks around testpmd's bursts; a second of work, done anew when the source has changed.
fn marks(paths: &Paths) -> Result<(), TestpmdError> {
    let library = guest_folder(paths).join(MARKS);
    let source = paths.dpdk().join("testpmd_marks.c");
    if library.exists() && fs::read_to_string(&source).is_ok_and(|built| built == MARKS_SOURCE) {
        return Ok(());
    }
    fs::write(&source, MARKS_SOURCE)?;
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-shared", "-fPIC", "-o"]);
    process::output(cc.arg(&library).arg(&source), LIMIT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_of_todays_interface_are_chosen_and_nothing_that_installs_a_system() {
        let listing = "dpdk-dev\n  Depends: libdpdk-dev\n  Depends: python3\n  Depends: librte-eal24\n \
                       |Depends: libbsd0\n  Breaks: dpdk\ndpdk\n  Depends: hwdata\n  Recommends: librte-net-e1000-24\n  \
                       Recommends: librte-net-i40e24\n  Recommends: librte-mempool-ring24\n  Suggests: librte-meta-net\n";
        let wanted: Vec<String> = wanted(listing).into_iter().collect();
        assert_eq!(wanted, ["libbsd0", "librte-eal24", "librte-mempool-ring24", "librte-net-e1000-24"]);
    }

    #[test]
    fn what_the_linker_loads_is_found_and_what_it_lacks_is_named() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibrte_eal.so.23 => /r/lib/librte_eal.so.23 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let files = loaded(listing).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["librte_eal.so.23", "ld.so"]);
        assert_eq!(files[1].1, Path::new("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(loaded("\tlibnuma.so.1 => not found\n"), Err("libnuma.so.1".to_owned()));
    }

    #[test]
    fn a_library_is_known_by_its_run_time_name() {
        let is = |name: &str| versioned(Path::new(name), "librte_net_e1000.so");
        assert!(is("/r/librte_net_e1000.so.23") && is("librte_net_e1000.so.9"));
        assert!(
            !is("librte_net_e1000.so") && !is("librte_net_e1000.so.23.0") && !is("librte_net_e1000_x.so.23")
        );
    }
}
