//! The manifests: every member takes the workspace's lints and its `rust-version`, every dependency is declared
//! once, in the root manifest, under a comment that says why it is worth its weight. Read line by line, because
//! comments and line numbers are the point and a TOML reader drops both.

use crate::finding::Finding;
use crate::tree::Tree;
use crate::workspace::Member;

/// The root manifest.
pub(crate) const ROOT: &str = "Cargo.toml";

/// All manifest checks.
pub(crate) fn check(tree: &Tree, members: &[Member]) -> Vec<Finding> {
    let mut findings = check_root(tree.text(ROOT));
    for member in members {
        let path = member.manifest();
        findings.extend(check_member(&path, tree.text(&path)));
        if !member.rust_version {
            findings.push(Finding::new(
                &path,
                1,
                "states no rust-version",
                "add `rust-version.workspace = true`",
            ));
        }
    }
    findings
}

/// The root states the oldest compiler and a reason for each dependency.
fn check_root(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let entries = entries(text);
    if !entries.iter().any(|entry| entry.table == "workspace.package" && entry.key == "rust-version") {
        findings.push(Finding::new(
            ROOT,
            1,
            "[workspace.package] states no rust-version",
            "state the oldest compiler that builds the house",
        ));
    }
    let lines: Vec<&str> = text.lines().collect();
    for entry in entries.iter().filter(|entry| entry.table == "workspace.dependencies") {
        let ours = entry.value.contains("path =") || entry.value.contains("path=");
        let explained = entry.line >= 2 && lines[entry.line - 2].trim_start().starts_with('#');
        if !ours && !explained {
            findings.push(Finding::new(
                ROOT,
                entry.line,
                format!("`{}` is taken in without a word", entry.key),
                "say in a comment above it what it does for us that we should not do ourselves",
            ));
        }
    }
    findings
}

/// A member takes lints and dependencies from the workspace.
fn check_member(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let entries = entries(text);
    let inherits = |entry: &Entry<'_>| match (entry.table.as_str(), entry.key) {
        ("lints", "workspace") => entry.value == "true",
        ("", "lints.workspace") => entry.value == "true",
        _ => false,
    };
    if !entries.iter().any(inherits) {
        findings.push(Finding::new(
            path,
            1,
            "does not take the workspace's lints",
            "add `[lints]` with `workspace = true`",
        ));
    }
    for entry in entries.iter().filter(|entry| entry.table.ends_with("dependencies")) {
        let shared = entry.key.ends_with(".workspace") || entry.value.contains("workspace = true");
        if !shared {
            findings.push(Finding::new(
                path,
                entry.line,
                format!("`{}` is declared here", entry.key),
                "declare it in [workspace.dependencies] with its reason and say `.workspace = true` here",
            ));
        }
    }
    findings
}

/// One `key = value` with the table it stands in. The value is its first line only.
struct Entry<'a> {
    table: String,
    key: &'a str,
    value: &'a str,
    line: usize,
}

/// The entries of a manifest. Lines inside a multi-line array or inline table belong to the entry that opened it.
/// A table of one dependency (`[dependencies.foo]`) is not used in this house; its keys count as undeclared ones.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut found = Vec::new();
    let mut table = String::new();
    let mut depth = 0_i32;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if depth == 0 {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_end_matches(']').trim().to_owned();
                continue;
            }
            if let Some((key, value)) = line.split_once('=') {
                found.push(Entry {
                    table: table.clone(),
                    key: key.trim(),
                    value: value.trim(),
                    line: at + 1,
                });
            }
        }
        depth += nesting(line);
    }
    found
}

/// Brackets opened less brackets closed, outside quotes.
fn nesting(line: &str) -> i32 {
    let mut quoted = false;
    let mut depth = 0;
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            '#' if !quoted => break,
            _ => {}
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn each_dependency_needs_its_reason() {
        let text = "[workspace.package]\nrust-version = \"1.91\"\n[workspace.dependencies]\n\
                    naio-sys = { path = \"crates/sys\" }\n# Why.\nsyn = { version = \"3\", features = [\n  \"full\",\n] }\n\
                    quote = \"1\"\n";
        assert_eq!(lines(&check_root(text)), [9]);
    }

    #[test]
    fn the_root_states_the_oldest_compiler() {
        assert_eq!(check_root("[workspace.package]\nversion = \"1\"\n").len(), 1);
    }

    #[test]
    fn a_member_takes_the_lints() {
        assert_eq!(check_member("a/Cargo.toml", "[lints]\nworkspace = true\n"), []);
        assert_eq!(check_member("a/Cargo.toml", "lints.workspace = true\n[package]\n"), []);
        assert_eq!(check_member("a/Cargo.toml", "[package]\nname = \"a\"\n").len(), 1);
        assert_eq!(check_member("a/Cargo.toml", "[lints]\nworkspace = false\n").len(), 1);
    }

    #[test]
    fn a_member_declares_no_dependency_of_its_own() {
        let text = "lints.workspace = true\n[dependencies]\nlog.workspace = true\n\
                    naio-vfio = { workspace = true, optional = true }\n[dev-dependencies]\nrand = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n[features]\ndefault = []\n";
        assert_eq!(lines(&check_member("a/Cargo.toml", text)), [6, 8]);
    }
}
