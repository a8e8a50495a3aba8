//! Where the rig keeps its things: everything below `target/rig/` of the workspace.

use std::path::{Path, PathBuf};

/// The rig's folders. Cheap to make; nothing is created until somebody asks for it.
#[derive(Debug, Clone)]
pub struct Paths {
    workspace: PathBuf,
    root: PathBuf,
}

impl Paths {
    /// The folders of this workspace; `CARGO_TARGET_DIR` is respected.
    #[must_use]
    pub fn of_workspace() -> Self {
        // tools/rig is two levels below the workspace. Cargo sets the variable when it runs us; a binary that was
        // started by hand remembers where it was built.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let workspace = package.ancestors().nth(2).unwrap_or(&package).to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        Self { root: workspace.join(target).join("rig"), workspace }
    }

    /// Folder of the workspace's `Cargo.toml`.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The rig's own folder; `cargo rig clean` removes it.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Downloaded packages, kept so that `setup` asks the network once.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    /// Programs that were unpacked because they could not be installed (no root).
    #[must_use]
    pub fn unpacked(&self) -> PathBuf {
        self.root.join("root")
    }

    /// The guest's kernel and its modules.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.root.join("kernel")
    }

    /// Cargo's target folder for programs that run in the guest.
    #[must_use]
    pub fn guest_target(&self) -> PathBuf {
        self.root.join("guest-target")
    }

    /// The counting plugin.
    #[must_use]
    pub fn plugin(&self) -> PathBuf {
        self.root.join("naio_count.so")
    }

    /// DPDK's testpmd, as far as it was fetched.
    #[must_use]
    pub fn dpdk(&self) -> PathBuf {
        self.root.join("dpdk")
    }

    /// Logs and images of this process's guests.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Held while anybody uses the rig.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}
