//! The house plan as data: which crates there are, who may import whom, where unsafe may live, and what may lie
//! at the top of the repository. The checks read these tables and hold no rule of their own; to change the house
//! is to change this file, in a commit that also brings a record under `docs/decisions/`.

/// May a crate contain the `unsafe` keyword?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsafe {
    /// Yes, each use under a numbered SAFETY list.
    Open,
    /// No: crate roots say `#![forbid(unsafe_code)]`.
    Shut,
}

/// What a crate may name in `[dependencies]` or `[build-dependencies]`, as [`Room::name`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Imports {
    /// These rooms and no others.
    Only(&'static [&'static str]),
    /// Every room but the dev-only one.
    All,
}

/// One crate of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Folder from the repository root.
    pub(crate) folder: &'static str,
    /// Package name.
    pub(crate) package: &'static str,
    /// Whether unsafe may live here.
    pub(crate) unsafe_code: Unsafe,
    /// The rooms this one may import.
    pub(crate) imports: Imports,
}

impl Room {
    /// The last component of the folder, the name the table and the documents use.
    pub(crate) fn name(&self) -> &'static str {
        self.folder.rsplit('/').next().unwrap_or(self.folder)
    }
}

const fn room(folder: &'static str, package: &'static str, unsafe_code: Unsafe, imports: Imports) -> Room {
    Room { folder, package, unsafe_code, imports }
}

use Imports::{All, Only};
use Unsafe::{Open, Shut};

/// The import table. A room may stand here before its folder exists.
#[rustfmt::skip]
pub(crate) const ROOMS: &[Room] = &[
    //    folder                 package             unsafe  may import
    room("crates/sys",          "naio-sys",          Open,   Only(&[])),
    room("crates/dma",          "naio-dma",          Open,   Only(&["sys"])),
    room("crates/device",       "naio-device",       Shut,   Only(&["dma"])),
    room("crates/nic",          "naio-nic",          Shut,   Only(&["dma"])),
    room("crates/vfio",         "naio-vfio",         Open,   Only(&["sys", "dma", "device"])),
    room("drivers/e1000",       "naio-e1000",        Shut,   Only(&["sys", "dma", "device", "nic"])),
    room("drivers/e1000-model", "naio-e1000-model",  Shut,   Only(&["sys", "dma", "device"])),
    room("stack",               "naio-stack",        Shut,   Only(&["sys", "dma", "nic"])),
    room("aio-api",             "aio-api",           Shut,   Only(&["sys", "dma", "nic", "stack",
                                                                    "device", "vfio", "e1000", "e1000-model"])),
    room("crates/testkit",      "naio-testkit",      Shut,   Only(&["device", "dma", "nic"])),
    room("tools/naio",          "naio-cli",          Shut,   All),
    room("tools/rig",           "naio-rig",          Shut,   All),
    room("tools/tidy",          "naio-tidy",         Shut,   All),
    room("bench",               "naio-bench",        Shut,   All),
];

/// Rooms that any crate may name in `[dev-dependencies]`: they serve every test. `nic` is the contract through
/// which a test speaks with `e1000`.
pub(crate) const ANY_TEST_MAY_IMPORT: &[&str] = &["testkit", "nic", "e1000", "e1000-model"];

/// The room that exists for tests only and is therefore never a normal dependency, not even of tools.
pub(crate) const DEV_ONLY: &str = "testkit";

/// Crates from outside that one room alone may name, so that they can be replaced by rewriting that room.
pub(crate) const RESERVED: &[(&str, &str)] = &[("smoltcp", "stack"), ("vfio-ioctls", "vfio")];

/// A room that imports some others from one file only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doorway {
    /// Sources the rule covers: everything below this folder.
    pub(crate) sources: &'static str,
    /// The one file that may name the rooms.
    pub(crate) file: &'static str,
    /// The rooms that only this file may name.
    pub(crate) rooms: &'static [&'static str],
}

/// The event queue knows cards only where it opens one.
pub(crate) const DOORWAY: Doorway = Doorway {
    sources: "aio-api/src/",
    file: "aio-api/src/open.rs",
    rooms: &["device", "vfio", "e1000", "e1000-model"],
};

/// What may lie at the top of the repository, besides dotfiles and `LICENSE*`.
pub(crate) const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "crates",
    "drivers",
    "stack",
    "aio-api",
    "tools",
    "bench",
    "docs",
    "fuzz",
    "target",
];

/// Folders that hold workspaces of their own, outside the import table.
pub(crate) const OTHER_WORKSPACES: &[&str] = &["fuzz"];

/// The room that lies in `folder`.
pub(crate) fn by_folder(folder: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.folder == folder)
}

/// The room whose package is `package`.
pub(crate) fn by_package(package: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.package == package)
}

/// The room a file belongs to.
pub(crate) fn of_file(path: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| path.strip_prefix(room.folder).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_tables_is_a_room() {
        let known = |name: &str| ROOMS.iter().any(|room| room.name() == name);
        for room in ROOMS {
            if let Imports::Only(names) = room.imports {
                for name in names {
                    assert!(known(name), "{} imports {name}, which is no room", room.package);
                }
            }
        }
        let others =
            ANY_TEST_MAY_IMPORT.iter().chain(DOORWAY.rooms).chain(RESERVED.iter().map(|(_, room)| room));
        for name in others.chain([&DEV_ONLY]) {
            assert!(known(name), "{name} is no room");
        }
    }

    #[test]
    fn a_file_belongs_to_the_folder_it_lies_in_not_to_a_prefix_of_its_name() {
        assert_eq!(of_file("drivers/e1000-model/src/lib.rs").map(Room::name), Some("e1000-model"));
        assert_eq!(of_file("drivers/e1000/src/lib.rs").map(Room::name), Some("e1000"));
        assert_eq!(of_file("drivers/README.md").map(Room::name), None);
    }
}
