//! The guest's kernel: a stock Debian image, discovered (its version is never written down here), downloaded, and
//! reduced to `vmlinux` and the few modules a job can load. Nothing is installed on the host.

use super::packages;
use super::vmlinux::{self, VmlinuxError};
use crate::paths::Paths;
use crate::process::{self, ProcessError};
use core::time::Duration;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian's package that always depends on the current kernel.
const META_PACKAGE: &str = "linux-image-amd64";
/// What jobs may load: VFIO for naio, the kernel's driver for the other arm and for peers, loss for later tests.
/// Dependencies are read from the modules.
pub const MODULES: [&str; 4] = ["vfio_iommu_type1", "vfio-pci", "e1000", "sch_netem"];
const LIMIT: Duration = Duration::from_secs(120);

/// A kernel that is ready to boot.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// `vmlinux`, or `vmlinuz` where that could not be unpacked.
    pub image: PathBuf,
    /// Folder with `*.ko` and, for each of [`MODULES`], a file `NAME.order` with what to insert in which order.
    pub modules: PathBuf,
    /// Its version, as `uname -r` in the guest will say.
    pub version: String,
}

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// apt knows no kernel.
    #[error("apt knows no package that {META_PACKAGE} depends on")]
    Unknown,
    /// The package lists could not be refreshed.
    #[error(transparent)]
    Update(#[from] packages::PackagesError),
    /// It could not be downloaded or taken apart.
    #[error("cannot fetch the kernel {package}: {source}")]
    Fetch {
        /// The package.
        package: String,
        /// What the program said.
        source: ProcessError,
    },
    /// The package does not hold what a kernel package holds.
    #[error("kernel package {package} has no {what}")]
    Incomplete {
        /// The package.
        package: String,
        /// What is missing.
        what: String,
    },
    /// A file cannot be read or written.
    #[error("cannot write below target/rig: {0}")]
    Io(#[from] io::Error),
}

impl KernelError {
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Unknown | Self::Update(_) | Self::Fetch { .. } => {
                "the rig takes its guest kernel from Debian's archive: check the network and apt's sources, run \
                 `apt-get update` as root, then `cargo rig setup` again"
            }
            Self::Incomplete { .. } => "run `cargo rig clean` and `cargo rig setup` again",
            Self::Io(_) => "check that target/rig is writable and the disk is not full",
        }
    }
}

impl Kernel {
    /// The kernel that an earlier `setup` made, if it is complete.
    #[must_use]
    pub fn load(paths: &Paths) -> Option<Self> {
        let folder = paths.kernel();
        // Written last: its presence means that everything before it succeeded.
        let version = fs::read_to_string(folder.join("version")).ok()?;
        let image = ["vmlinux", "vmlinuz"].map(|n| folder.join(n)).into_iter().find(|p| p.is_file())?;
        Some(Self { image, modules: folder.join("modules"), version: version.trim().to_owned() })
    }
}

/// The kernel, fetched if it is not there.
pub(super) fn ensure(paths: &Paths, say: &dyn Fn(&str)) -> Result<Kernel, KernelError> {
    if let Some(kernel) = Kernel::load(paths) {
        return Ok(kernel);
    }
    let package = match discover() {
        Ok(package) => package,
        Err(_) if rustix::process::geteuid().is_root() => {
            packages::update()?;
            discover()?
        }
        Err(error) => return Err(error),
    };
    say(&format!("downloading {package} (about 70 MB)"));
    let deb = download(&package, paths)?;
    say("taking vmlinux and the modules out of it");
    let folder = paths.kernel();
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let tree = folder.join("unpacked");
    fs::create_dir_all(&tree)?;
    unpack(&package, &deb, &tree)?;
    take(&package, &tree, &folder, say)?;
    fs::remove_dir_all(&tree)?;
    // The package is 70 MB and is not needed again.
    fs::remove_file(&deb)?;
    Kernel::load(paths).ok_or(KernelError::Incomplete { package, what: "bootable image".to_owned() })
}

/// The package that the meta package depends on today.
fn discover() -> Result<String, KernelError> {
    let mut apt = Command::new("apt-cache");
    let text = process::output(apt.args(["depends", META_PACKAGE]), LIMIT)
        .map_err(|source| KernelError::Fetch { package: META_PACKAGE.to_owned(), source })?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    depends.find(|name| name.starts_with("linux-image-")).map(str::to_owned).ok_or(KernelError::Unknown)
}

fn download(package: &str, paths: &Paths) -> Result<PathBuf, KernelError> {
    let folder = paths.packages();
    fs::create_dir_all(&folder)?;
    let attempt = || {
        let mut apt = Command::new("apt-get");
        process::output(apt.current_dir(&folder).args(["download", package]), packages::APT_LIMIT)
    };
    if let Err(source) = attempt() {
        if !rustix::process::geteuid().is_root() {
            return Err(KernelError::Fetch { package: package.to_owned(), source });
        }
        packages::update()?;
        attempt().map_err(|source| KernelError::Fetch { package: package.to_owned(), source })?;
    }
    let prefix = format!("{package}_");
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&prefix)) {
            return Ok(path);
        }
    }
    Err(KernelError::Incomplete { package: package.to_owned(), what: "file".to_owned() })
}

/// Unpacks only the image and the folders our modules come from: the whole package is 400 MB.
fn unpack(package: &str, deb: &Path, tree: &Path) -> Result<(), KernelError> {
    let failed = |source| KernelError::Fetch { package: package.to_owned(), source };
    let tar = tree.join("package.tar");
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("--fsys-tarfile").arg(deb).stdin(Stdio::null()).stdout(fs::File::create(&tar)?);
    let status = process::Guard::spawn(&mut dpkg).and_then(|mut guard| guard.wait(LIMIT)).map_err(failed)?;
    if !status.success() {
        return Err(KernelError::Incomplete {
            package: package.to_owned(),
            what: "readable archive".to_owned(),
        });
    }
    let mut command = Command::new("tar");
    command.arg("-C").arg(tree).arg("-xf").arg(&tar).args(["--wildcards", "*/boot/vmlinuz-*"]);
    command.args(["*/modules/*/kernel/drivers/vfio/*", "*/modules/*/kernel/virt/lib/*"]);
    command.args([
        "*/modules/*/kernel/drivers/net/ethernet/intel/e1000/*",
        "*/modules/*/kernel/net/sched/sch_netem*",
    ]);
    process::output(&mut command, LIMIT).map_err(failed)?;
    fs::remove_file(&tar)?;
    Ok(())
}

/// Copies image and modules from the unpacked package into `folder`.
fn take(package: &str, tree: &Path, folder: &Path, say: &dyn Fn(&str)) -> Result<(), KernelError> {
    let lacks = |what: &str| KernelError::Incomplete { package: package.to_owned(), what: what.to_owned() };
    let mut files = Vec::new();
    walk(tree, &mut files)?;
    let named = |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    let vmlinuz = files.iter().find(|p| named(p).starts_with("vmlinuz-")).ok_or_else(|| lacks("vmlinuz"))?;
    let version = named(vmlinuz)["vmlinuz-".len()..].to_owned();
    match vmlinux::extract(vmlinuz, &folder.join("vmlinux")) {
        Ok(()) => {}
        Err(VmlinuxError::Io(error)) => return Err(error.into()),
        Err(error) => {
            say(&format!("vmlinuz stays packed ({error}); each boot takes some seconds longer"));
            fs::copy(vmlinuz, folder.join("vmlinuz"))?;
        }
    }
    let modules = folder.join("modules");
    fs::create_dir_all(&modules)?;
    let mut available = HashMap::new();
    for path in files.iter().filter(|p| named(p).contains(".ko")) {
        let content =
            module(path).map_err(|source| KernelError::Fetch { package: package.to_owned(), source })?;
        let stem = named(path).split(".ko").next().unwrap_or_default().to_owned();
        available.insert(normal(&stem), (format!("{stem}.ko"), content));
    }
    for wanted in MODULES {
        let order = order(wanted, &available).map_err(|name| lacks(&format!("module {name}")))?;
        for file in &order {
            if let Some((_, content)) = available.get(&normal(file.trim_end_matches(".ko"))) {
                fs::write(modules.join(file), content)?;
            }
        }
        fs::write(modules.join(format!("{wanted}.order")), order.join("\n") + "\n")?;
    }
    fs::write(folder.join("version"), version)?;
    Ok(())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// A module's bytes; later kernels ship them packed.
fn module(path: &Path) -> Result<Vec<u8>, ProcessError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| ProcessError::Start { program: path.display().to_string(), source })
    };
    match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => process::output(Command::new("xz").arg("-dc").arg(path), LIMIT),
        Some("zst") => process::output(Command::new("zstd").arg("-dcq").arg(path), LIMIT),
        Some("gz") => process::output(Command::new("gzip").arg("-dc").arg(path), LIMIT),
        _ => read(path),
    }
}

/// The kernel treats `-` and `_` in module names alike.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Files to insert for `wanted`, dependencies first; the name of a module that is missing otherwise. A cycle cannot
/// be in a loadable set; if one is, each module still appears once.
fn order(wanted: &str, available: &HashMap<String, (String, Vec<u8>)>) -> Result<Vec<String>, String> {
    fn visit(
        name: &str,
        available: &HashMap<String, (String, Vec<u8>)>,
        seen: &mut Vec<String>,
        order: &mut Vec<String>,
    ) -> Result<(), String> {
        if seen.iter().any(|s| s == name) {
            return Ok(());
        }
        seen.push(name.to_owned());
        let (file, content) = available.get(name).ok_or_else(|| name.to_owned())?;
        for dependency in depends(content) {
            visit(&normal(&dependency), available, seen, order)?;
        }
        order.push(file.clone());
        Ok(())
    }
    let (mut seen, mut result) = (Vec::new(), Vec::new());
    visit(&normal(wanted), available, &mut seen, &mut result)?;
    Ok(result)
}

/// The `depends=` entry of a module's `.modinfo` section: zero-terminated `key=value` strings.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|w| w == key) else { return Vec::new() };
    let value = &module[at + key.len()..];
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    let value = String::from_utf8_lossy(&value[..end]).into_owned();
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need() {
        let module = |name: &str, needs: &str| {
            (
                normal(name),
                (format!("{name}.ko"), format!("\0license=GPL\0depends={needs}\0name=x\0").into_bytes()),
            )
        };
        let mut available = HashMap::from([
            module("vfio-pci", "vfio-pci-core,vfio"),
            module("vfio-pci-core", "vfio,irqbypass"),
            module("vfio", ""),
            module("irqbypass", ""),
        ]);
        let expected = ["vfio.ko", "irqbypass.ko", "vfio-pci-core.ko", "vfio-pci.ko"];
        assert_eq!(order("vfio_pci", &available).unwrap(), expected);
        available.remove("irqbypass");
        assert_eq!(order("vfio-pci", &available), Err("irqbypass".to_owned()));
    }
}
