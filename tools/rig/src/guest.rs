//! Packs a guest: the base image (busybox, modules, `init`) and behind it the job (programs, one shell script).
//!
//! Receives [`Parts`] and a [`Job`], hands on the bytes of an initramfs. `guest/lib.sh` holds the shell functions a
//! job is made of.

use crate::cpio::{Archive, TooLong};
use crate::setup::Parts;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const INIT: &str = include_str!("../guest/init");
const LIBRARY: &str = include_str!("../guest/lib.sh");
/// root, and an ordinary user for what an ordinary user sees.
const PASSWD: &str = "root::0:0:root:/root:/bin/sh\nuser::1000:1000:user:/tmp:/bin/sh\n";
const GROUP: &str = "root:x:0:\nuser:x:1000:\n";

/// naio's programs.
const PROGRAMS: [&str; 12] = [
    "naio-recv",
    "naio-send",
    "naio-sendfile",
    "naio-echo",
    "naio-exercise",
    "naio-frames",
    "naio-remote",
    "sync-recv",
    "sync-send",
    "sync-sendfile",
    "sync-echo",
    "sync-services",
];
/// The examples of `aio-api`: their names in the guest, and in cargo's folder.
const EXAMPLES: [(&str, &str); 3] = [
    ("example-client", "examples/client"),
    ("example-server", "examples/server"),
    ("example-udp", "examples/udp"),
];

/// What a guest is to do.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Shell script; a failing `try` ends it, its status is the guest's verdict.
    pub script: String,
    /// Names of naio's programs that it calls.
    pub programs: Vec<&'static str>,
    /// Other programs: name in the guest, file on the host.
    pub others: Vec<(&'static str, PathBuf)>,
    /// Folders of files, not of folders: name in the guest's root, folder on the host.
    pub folders: Vec<(&'static str, PathBuf)>,
}

impl Job {
    /// A job that may call every program of naio that this tree has; one it lacks fails its own step only.
    #[must_use]
    pub fn with_everything(parts: &Parts, script: &str) -> Self {
        let found = |name: &&str| parts.programs.find(name).is_some();
        let programs = PROGRAMS.into_iter().filter(found).collect();
        let others = EXAMPLES
            .into_iter()
            .filter_map(|(name, file)| Some((name, parts.programs.find(file)?)))
            .collect();
        Self { script: script.to_owned(), programs, others, folders: Vec::new() }
    }
}

/// Why a guest cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The tree does not have this program.
    #[error("the workspace builds no program `{0}`")]
    Program(&'static str),
    /// A part cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A part does not fit the archive format.
    #[error(transparent)]
    Archive(#[from] TooLong),
}

/// The initramfs of a guest with this job.
///
/// # Errors
/// [`GuestError`].
pub fn image(parts: &Parts, job: &Job) -> Result<Vec<u8>, GuestError> {
    let mut image = base(parts)?;
    let mut archive = Archive::new();
    for name in &job.programs {
        let path = parts.programs.find(name).ok_or(GuestError::Program(name))?;
        archive.file(&format!("bin/{name}"), 0o755, &read(&path)?)?;
    }
    for (name, path) in &job.others {
        archive.file(&format!("bin/{name}"), 0o755, &read(path)?)?;
    }
    for (name, folder) in &job.folders {
        archive.directory(name);
        add_files(&mut archive, name, folder, 0o755)?;
    }
    archive.file("job/run.sh", 0o644, job.script.as_bytes())?;
    image.extend(archive.finish());
    Ok(image)
}

fn base(parts: &Parts) -> Result<Vec<u8>, GuestError> {
    let mut archive = Archive::new();
    for folder in ["bin", "dev", "etc", "job", "modules", "proc", "root", "sys", "tmp"] {
        archive.directory(folder);
    }
    // init's standard streams, before devtmpfs is mounted (Documentation/admin-guide/devices.txt: 5:1).
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.file("init", 0o755, INIT.as_bytes())?;
    archive.file("lib.sh", 0o644, LIBRARY.as_bytes())?;
    archive.file("etc/passwd", 0o644, PASSWD.as_bytes())?;
    archive.file("etc/group", 0o644, GROUP.as_bytes())?;
    archive.file("bin/busybox", 0o755, &read(&parts.tools.busybox)?)?;
    add_files(&mut archive, "modules", &parts.kernel.modules, 0o644)?;
    Ok(archive.finish())
}

/// Adds every file of a folder.
fn add_files(archive: &mut Archive, name: &str, folder: &Path, permissions: u32) -> Result<(), GuestError> {
    let list = fs::read_dir(folder).map_err(|source| GuestError::Read { path: folder.to_owned(), source })?;
    for entry in list.flatten() {
        let file = entry.file_name();
        archive.file(&format!("{name}/{}", file.to_string_lossy()), permissions, &read(&entry.path())?)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, GuestError> {
    fs::read(path).map_err(|source| GuestError::Read { path: path.to_owned(), source })
}
