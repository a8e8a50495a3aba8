//! Cleanliness of every tracked text: no stray blanks, a newline at the end, nothing that is true on one machine
//! only, scripts that can be started. It knows nothing of what the text means.

use crate::finding::Finding;
use crate::tree::{TrackedFile, Tree};

/// Folders that exist on somebody's machine. Taken apart so that this file does not hold what it looks for.
const MACHINE_PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/")];
/// The same for home directories, which go on with a user's name.
const HOMES: &str = concat!("/ho", "me/");
/// The folder whose scripts are started by name.
const SCRIPTS: &str = ".ci/";

/// All text checks over all tracked files.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts().flat_map(|(file, text)| check_file(file, text)).collect()
}

fn check_file(file: &TrackedFile, text: &str) -> Vec<Finding> {
    let path = file.path.as_str();
    let mut findings = Vec::new();
    let rust = path.ends_with(".rs");
    // Not `lines()`, which would hide a carriage return.
    for (at, line) in text.split('\n').enumerate() {
        let mut found = |wrong: &str, remedy: &str| findings.push(Finding::new(path, at + 1, wrong, remedy));
        if line.ends_with([' ', '\t', '\r']) {
            found("blank at the end of the line", "remove it");
        }
        if rust && line.contains('\t') {
            found("a tab", "write four spaces, or `\\t` in a string");
        }
        if names_machine(line) {
            found("a path of one machine", "write it relative to the repository, or take it as a parameter");
        }
    }
    let last = text.lines().count().max(1);
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(path, last, "no newline at the end of the file", "add one"));
    }
    if text.ends_with("\n\n") {
        findings.push(Finding::new(path, last, "blank lines at the end of the file", "remove them"));
    }
    let script = path.starts_with(SCRIPTS) && (text.starts_with("#!") || path.ends_with(".sh"));
    if script && !file.executable {
        findings.push(Finding::new(
            path,
            1,
            "a script that cannot be started",
            "git update-index --chmod=+x it",
        ));
    }
    findings
}

/// Holds the line an absolute path below one of the folders above?
fn names_machine(line: &str) -> bool {
    let named = |folder: &str| {
        line.match_indices(folder).any(|(at, _)| {
            // `$HOME/work/`, `../work/` and `example.org/work/` are not absolute.
            line[..at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && !"._-}>)".contains(before))
        })
    };
    let user = |(at, _): (usize, &str)| line[at + HOMES.len()..].starts_with(char::is_alphanumeric);
    MACHINE_PATHS.iter().any(|folder| named(folder)) || (named(HOMES) && line.match_indices(HOMES).any(user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree_of;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&tree_of(&[(path, text)])).into_iter().map(|finding| (finding.line, finding.wrong)).collect()
    }

    #[test]
    fn clean_text_passes() {
        assert_eq!(found("a.rs", "fn f() {}\n"), []);
        assert_eq!(found("empty", ""), []);
        assert_eq!(found("Makefile", "all:\n\ttrue\n"), []);
    }

    #[test]
    fn blanks_and_tabs_are_found() {
        assert_eq!(found("a.md", "a \nb\n")[0].0, 1);
        assert_eq!(found("a.md", "a\nb\r\n")[0].0, 2);
        assert_eq!(found("a.rs", "fn f() {\n\tg();\n}\n")[0].0, 2);
        assert_eq!(found("a.md", "a\nb").len(), 1);
        assert_eq!(found("a.md", "a\n\n").len(), 1);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for folder in [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/me/")] {
            assert_eq!(found("a.md", &format!("see {folder}a\n")).len(), 1, "{folder}");
            assert_eq!(
                found("a.md", &format!("see https://example.org{folder}a or ..{folder}\n")),
                [],
                "{folder}"
            );
        }
        assert_eq!(found("a.md", concat!("/ho", "me/$USER/\n")), []);
    }

    #[test]
    fn a_script_of_the_checks_can_be_started() {
        let script = |path: &str, executable| {
            let text = Some("#!/bin/sh\n".to_owned());
            check(&Tree::new(vec![TrackedFile { path: path.to_owned(), executable, text }])).len()
        };
        assert_eq!(script(".ci/run", false), 1);
        assert_eq!(script(".ci/run", true), 0);
        assert_eq!(script("tools/rig/guest/init", false), 0, "sent into a guest, not started here");
    }
}
