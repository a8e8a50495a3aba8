//! What `cargo metadata` knows, cut down to what the checks ask: members, their dependencies, their targets.
//! The only room that knows the shape of `cargo_metadata`'s types; it judges nothing.

use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, TargetKind};

/// The table of a manifest a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[dependencies]`.
    Normal,
    /// `[dev-dependencies]`.
    Dev,
    /// `[build-dependencies]`.
    Build,
}

/// One dependency of a member.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    /// The package's own name, whatever it is renamed to.
    pub(crate) package: String,
    /// Where it stands.
    pub(crate) kind: Kind,
}

/// The root file of one target of a member.
#[derive(Debug, Clone)]
pub(crate) struct TargetRoot {
    /// Path from the repository root.
    pub(crate) path: String,
    /// A library or a binary, as opposed to an example, a test, a benchmark or a build script.
    pub(crate) shipped: bool,
}

/// One member of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Folder from the repository root.
    pub(crate) folder: String,
    /// Package name.
    pub(crate) package: String,
    /// Everything it names in its dependency tables.
    pub(crate) dependencies: Vec<Dependency>,
    /// Everything it builds.
    pub(crate) targets: Vec<TargetRoot>,
    /// Whether it states (or inherits) `rust-version`.
    pub(crate) rust_version: bool,
}

impl Member {
    /// Path of its manifest from the repository root.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// The members and the folder they lie in.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Absolute path of the repository root.
    pub(crate) root: PathBuf,
    /// All members.
    pub(crate) members: Vec<Member>,
}

/// Asks cargo about the workspace around `start`. Resolves nothing, so it needs no network.
pub(crate) fn read(start: &Path) -> Result<Workspace, cargo_metadata::Error> {
    let metadata = MetadataCommand::new().current_dir(start).no_deps().exec()?;
    let root = metadata.workspace_root.clone();
    let relative =
        |path: &cargo_metadata::camino::Utf8Path| path.strip_prefix(&root).unwrap_or(path).to_string();
    let members = metadata.workspace_packages().into_iter().map(|package| Member {
        folder: package.manifest_path.parent().map(relative).unwrap_or_default(),
        package: package.name.to_string(),
        dependencies: package.dependencies.iter().map(dependency).collect(),
        targets: package
            .targets
            .iter()
            .map(|target| TargetRoot { path: relative(&target.src_path), shipped: shipped(&target.kind) })
            .collect(),
        rust_version: package.rust_version.is_some(),
    });
    let members = members.collect();
    Ok(Workspace { root: root.into_std_path_buf(), members })
}

fn dependency(dependency: &cargo_metadata::Dependency) -> Dependency {
    let kind = match dependency.kind {
        DependencyKind::Development => Kind::Dev,
        DependencyKind::Build => Kind::Build,
        _ => Kind::Normal,
    };
    Dependency { package: dependency.name.clone(), kind }
}

fn shipped(kinds: &[TargetKind]) -> bool {
    use TargetKind::{Bench, CustomBuild, Example, Test};
    !kinds.iter().any(|kind| matches!(kind, Bench | CustomBuild | Example | Test))
}
