//! Where things lie: the top of the repository, crates outside the workspace, and the paragraph each Rust file
//! opens with. It looks at names and first lines, never at what a file does.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::rooms;
use crate::source::Source;
use crate::tree::Tree;
use crate::workspace::Member;

/// Entries at the top that the plan does not have.
pub(crate) fn check_top(tree: &Tree) -> Vec<Finding> {
    let tops: BTreeSet<&str> =
        tree.files.iter().map(|file| file.path.split('/').next().unwrap_or_default()).collect();
    let planned =
        |top: &&str| top.starts_with('.') || top.starts_with("LICENSE") || rooms::TOP_LEVEL.contains(top);
    tops.into_iter()
        .filter(|top| !planned(top))
        .map(|top| {
            Finding::new(
                top,
                1,
                "not planned at the top of the repository",
                "move it into a folder, or plan it in tools/tidy/src/rooms.rs",
            )
        })
        .collect()
}

/// Manifests that belong to no member: crates nobody builds.
pub(crate) fn check_members(tree: &Tree, members: &[Member]) -> Vec<Finding> {
    let manifests = tree.files.iter().map(|file| &file.path).filter(|path| path.ends_with("/Cargo.toml"));
    let other =
        |path: &str| rooms::OTHER_WORKSPACES.iter().any(|folder| path.split('/').next() == Some(folder));
    manifests
        .filter(|path| !other(path) && !members.iter().any(|member| member.manifest() == **path))
        .map(|path| {
            Finding::new(
                path,
                1,
                "a crate outside the workspace",
                "add it to `members` in the root Cargo.toml",
            )
        })
        .collect()
}

/// Files that do not open by saying what they are. Tests are exempt: their names say it.
pub(crate) fn check_openings(sources: &[Source]) -> Vec<Finding> {
    let stands = |source: &&Source| !source.test_code && !opens(&source.lines);
    sources
        .iter()
        .filter(stands)
        .map(|source| {
            Finding::new(
                &source.path,
                1,
                "does not open with a `//!` paragraph",
                "say what the file receives, hands on and never does",
            )
        })
        .collect()
}

/// A paragraph of at least a few words that is not the placeholder of an empty room.
fn opens(lines: &[String]) -> bool {
    const WORDS_MIN: usize = 4;
    let paragraph = lines.iter().map_while(|line| line.strip_prefix("//!"));
    let words: Vec<&str> = paragraph.flat_map(str::split_whitespace).collect();
    words.len() >= WORDS_MIN && words[..3] != ["To", "be", "written."]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree_of;

    #[test]
    fn the_top_holds_what_is_planned() {
        let tree = tree_of(&[
            ("Cargo.toml", ""),
            (".ci/run", ""),
            ("LICENSE-MIT", ""),
            ("docs/a.md", ""),
            ("notes.txt", ""),
            ("scratch/a.rs", ""),
        ]);
        let tops: Vec<String> = check_top(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(tops, ["notes.txt", "scratch"]);
    }

    #[test]
    fn a_crate_outside_the_workspace_is_found() {
        let tree = tree_of(&[("Cargo.toml", ""), ("fuzz/Cargo.toml", ""), ("crates/lost/Cargo.toml", "")]);
        let found = check_members(&tree, &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "crates/lost/Cargo.toml");
    }

    #[test]
    fn files_open_with_a_paragraph() {
        let found = |path: &str, text: &str| {
            check_openings(&[Source::parse(path, text).expect("the fixture parses")]).len()
        };
        assert_eq!(found("a/src/a.rs", "//! Receives frames, hands on\n//! packets.\nfn f() {}\n"), 0);
        assert_eq!(found("a/src/a.rs", "fn f() {}\n"), 1);
        assert_eq!(found("a/src/a.rs", "// A comment of many words here.\nfn f() {}\n"), 1);
        assert_eq!(found("a/src/a.rs", "//! Things.\nfn f() {}\n"), 1, "a title is no paragraph");
        assert_eq!(found("a/src/a.rs", "//! To be written.\n"), 1, "a placeholder is no paragraph");
        assert_eq!(found("a/tests/a.rs", "fn f() {}\n"), 0);
    }
}
