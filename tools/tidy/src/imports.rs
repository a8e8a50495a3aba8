//! The arrows between crates against the table in [`crate::rooms`]: who imports whom, who may name a reserved crate
//! from outside, and which one file of the event queue may name cards. It receives members and parsed sources and
//! hands back findings; it does not look at what an import is used for.

use crate::finding::Finding;
use crate::rooms::{self, Imports, Room};
use crate::source::Source;
use crate::tree::Tree;
use crate::workspace::{Dependency, Kind, Member};

/// Compares every dependency of every member with the table.
pub(crate) fn check(members: &[Member], tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let manifest = member.manifest();
        let text = tree.text(&manifest);
        let Some(room) = rooms::by_folder(&member.folder).filter(|room| room.package == member.package)
        else {
            findings.push(Finding::new(
                &manifest,
                1,
                format!("`{}` in `{}` is no room of the house", member.package, member.folder),
                "add it to tools/tidy/src/rooms.rs with a decision record, or move the code into a room that exists",
            ));
            continue;
        };
        for dependency in &member.dependencies {
            if let Some((wrong, remedy)) = judge(room, dependency, members) {
                findings.push(Finding::new(&manifest, line_of(text, dependency), wrong, remedy));
            }
        }
    }
    findings
}

/// What is wrong with this arrow, and what to do; `None` for an arrow the table has.
fn judge(room: &Room, dependency: &Dependency, members: &[Member]) -> Option<(String, String)> {
    let package = dependency.package.as_str();
    if let Some((_, owner)) = rooms::RESERVED.iter().find(|(name, _)| *name == package) {
        return (room.name() != *owner).then(|| {
            (
                format!("`{}` depends on `{package}`", room.name()),
                format!("only `{owner}` may name it: ask `{owner}` for what you need"),
            )
        });
    }
    let Some(target) = rooms::by_package(package) else {
        // A member outside the table is reported once, where it stands; an import of it is still no arrow we have.
        return members.iter().any(|member| member.package == package).then(|| {
            (
                format!("`{}` imports `{package}`, which is no room of the house", room.name()),
                "add the room to the table first".to_owned(),
            )
        });
    };
    if dependency.kind == Kind::Dev && rooms::ANY_TEST_MAY_IMPORT.contains(&target.name()) {
        return None;
    }
    if dependency.kind != Kind::Dev && target.name() == rooms::DEV_ONLY {
        return Some((
            format!("`{}` imports `{}` outside its tests", room.name(), target.name()),
            "move it to [dev-dependencies]".to_owned(),
        ));
    }
    match room.imports {
        Imports::All => None,
        Imports::Only(allowed) if allowed.contains(&target.name()) => None,
        Imports::Only(allowed) => Some((
            format!("`{}` imports `{}`, an arrow the house does not have", room.name(), target.name()),
            format!("it may import only: {}; turn the dependency round or move the code", list(allowed)),
        )),
    }
}

/// Paths that name a card's crates in sources of the event queue other than the one that opens cards.
/// Test code is exempt, as its dev-dependencies are.
pub(crate) fn check_doorway(sources: &[Source]) -> Vec<Finding> {
    let doorway = &rooms::DOORWAY;
    let crates: Vec<(String, &str)> = rooms::ROOMS
        .iter()
        .filter(|room| doorway.rooms.contains(&room.name()))
        .map(|room| (room.package.replace('-', "_"), room.name()))
        .collect();
    let mut findings = Vec::new();
    for source in sources {
        if source.test_code || !source.path.starts_with(doorway.sources) || source.path == doorway.file {
            continue;
        }
        source.each_ident(&mut |ident| {
            let line = ident.span().start().line;
            let Some((_, room)) = crates.iter().find(|(name, _)| ident == name) else { return };
            if !source.in_test_module(line) {
                findings.push(Finding::new(
                    &source.path,
                    line,
                    format!("names `{ident}`, but only {} may know the room `{room}`", doorway.file),
                    "go through `naio_nic::Nic`, or move the line there",
                ));
            }
        });
    }
    findings
}

/// The line of the manifest that names the dependency, or 1 (it may be renamed).
fn line_of(manifest: &str, dependency: &Dependency) -> usize {
    let names_it = |line: &str| {
        line.trim_start()
            .trim_start_matches('"')
            .strip_prefix(dependency.package.as_str())
            .is_some_and(|rest| rest.starts_with([' ', '=', '.', '"']))
    };
    manifest.lines().position(names_it).map_or(1, |at| at + 1)
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree_of;

    fn member(folder: &str, package: &str, dependencies: &[(&str, Kind)]) -> Member {
        let dependency =
            |(package, kind): &(&str, Kind)| Dependency { package: (*package).to_owned(), kind: *kind };
        Member {
            folder: folder.to_owned(),
            package: package.to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
            targets: Vec::new(),
            rust_version: true,
        }
    }

    fn findings(member: Member) -> Vec<String> {
        check(&[member], &Tree::default()).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_arrows_of_the_table_pass() {
        let arrows = [("naio-sys", Kind::Normal), ("naio-nic", Kind::Normal), ("thiserror", Kind::Normal)];
        assert_eq!(findings(member("drivers/e1000", "naio-e1000", &arrows)), Vec::<String>::new());
        let arrows = [("naio-vfio", Kind::Normal), ("aio-api", Kind::Normal)];
        assert_eq!(findings(member("bench", "naio-bench", &arrows)), Vec::<String>::new());
    }

    #[test]
    fn a_forbidden_arrow_is_found_at_its_line() {
        let tree = tree_of(&[("drivers/e1000/Cargo.toml", "[dependencies]\nnaio-vfio.workspace = true\n")]);
        let found = check(&[member("drivers/e1000", "naio-e1000", &[("naio-vfio", Kind::Normal)])], &tree);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("drivers/e1000/Cargo.toml", 2));
        assert!(found[0].wrong.contains("`e1000` imports `vfio`"), "{}", found[0]);
    }

    #[test]
    fn a_build_dependency_is_an_arrow_like_any_other() {
        assert_eq!(findings(member("crates/nic", "naio-nic", &[("naio-sys", Kind::Build)])).len(), 1);
        assert_eq!(findings(member("crates/nic", "naio-nic", &[("naio-testkit", Kind::Build)])).len(), 1);
    }

    #[test]
    fn tests_may_import_the_three_that_serve_any_test_and_nothing_more() {
        let dev = [("naio-testkit", Kind::Dev), ("naio-e1000", Kind::Dev), ("naio-e1000-model", Kind::Dev)];
        assert_eq!(findings(member("stack", "naio-stack", &dev)), Vec::<String>::new());
        assert_eq!(findings(member("stack", "naio-stack", &[("naio-vfio", Kind::Dev)])).len(), 1);
    }

    #[test]
    fn testkit_is_never_a_normal_dependency_even_of_a_tool() {
        assert_eq!(findings(member("tools/rig", "naio-rig", &[("naio-testkit", Kind::Normal)])).len(), 1);
    }

    #[test]
    fn reserved_crates_have_one_owner_in_tests_too() {
        assert_eq!(
            findings(member("stack", "naio-stack", &[("smoltcp", Kind::Normal)])),
            Vec::<String>::new()
        );
        assert_eq!(findings(member("aio-api", "aio-api", &[("smoltcp", Kind::Dev)])).len(), 1);
        assert_eq!(findings(member("crates/vfio", "naio-vfio", &[("vfio-ioctls", Kind::Normal)])).len(), 0);
        assert_eq!(findings(member("tools/rig", "naio-rig", &[("vfio-ioctls", Kind::Normal)])).len(), 1);
    }

    #[test]
    fn a_member_outside_the_table_is_found() {
        assert_eq!(findings(member("crates/extra", "naio-extra", &[])).len(), 1);
        assert_eq!(
            findings(member("crates/sys", "naio-system", &[])).len(),
            1,
            "right folder, wrong package"
        );
    }

    #[test]
    fn only_the_doorway_names_cards() {
        let text = "use naio_vfio::Card;\nfn f() { naio_e1000::open(); }\n\
                    #[cfg(test)]\nmod tests { use naio_e1000_model::Model; }\n";
        let lines = |path: &str| -> Vec<usize> {
            let source = Source::parse(path, text).expect("the fixture parses");
            check_doorway(&[source]).iter().map(|finding| finding.line).collect()
        };
        assert_eq!(lines("aio-api/src/queue.rs"), [1, 2]);
        assert_eq!(lines("aio-api/src/open.rs"), [0; 0]);
        assert_eq!(lines("aio-api/src/queue/tests.rs"), [0; 0]);
        assert_eq!(lines("bench/src/lib.rs"), [0; 0]);
    }
}
