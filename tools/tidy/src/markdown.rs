//! What the documents point at exists: relative links in every Markdown file, and the repository paths that
//! `docs/ARCHITECTURE.md` names, so that its walk can be followed file by file. Nothing outside the repository is
//! looked up, and code blocks are left alone.

use crate::finding::Finding;
use crate::rooms;
use crate::tree::Tree;

/// The document whose paths are followed one by one.
const WALK: &str = "docs/ARCHITECTURE.md";

/// All checks of documents.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let documents = tree.texts().filter(|(file, _)| file.path.ends_with(".md"));
    let mut findings: Vec<Finding> =
        documents.flat_map(|(file, text)| check_links(&file.path, text, tree)).collect();
    findings.extend(check_walk(WALK, tree.text(WALK), tree));
    findings
}

/// Relative links that lead nowhere.
fn check_links(path: &str, text: &str, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in prose(text) {
        for target in link_targets(&without_code(text)) {
            let file = target.split(['#', '?']).next().unwrap_or_default();
            let outside = target.contains("://") || target.starts_with("mailto:") || file.is_empty();
            if !outside && !resolve(path, file).is_some_and(|file| tree.holds(&file)) {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("a link to `{target}`, which is not in the repository"),
                    "write the path relative to this document, of a tracked file",
                ));
            }
        }
    }
    findings
}

/// Paths in backticks that look like ours and are not there.
fn check_walk(path: &str, text: &str, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in prose(text) {
        for span in text.split('`').skip(1).step_by(2) {
            for named in repository_paths(span) {
                if !tree.holds(&named) {
                    findings.push(Finding::new(
                        path,
                        line,
                        format!("names `{named}`, which does not exist"),
                        "name the file where that happens now",
                    ));
                }
            }
        }
    }
    findings
}

/// The lines outside fenced code, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// The line without its `code spans`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// Targets of `[text](target)` and of `[name]: target`.
fn link_targets(line: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once("](") {
        let (target, tail) = after.split_once(')').unwrap_or((after, ""));
        targets.push(target);
        rest = tail;
    }
    if let Some((name, target)) = line.trim_start().split_once("]: ")
        && name.starts_with('[')
        && !name.starts_with("[^")
    {
        targets.push(target);
    }
    // A title may follow the target, and the target may stand in angle brackets.
    let bare = |target: &str| {
        target.split_whitespace().next().unwrap_or_default().trim_matches(['<', '>']).to_owned()
    };
    targets.into_iter().map(bare).collect()
}

/// `target` as seen from `document`, from the repository root; `None` if it leaves the repository.
fn resolve(document: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        return None;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The repository paths a code span names: none, one, or each of `wire/{pair,tap}.rs`. A line number, an item after
/// `::` and a slash at the end are taken off.
fn repository_paths(span: &str) -> Vec<String> {
    let path = span.split(':').next().unwrap_or_default().trim_end_matches('/');
    let ours = path.split_once('/').is_some_and(|(top, _)| {
        rooms::TOP_LEVEL.contains(&top) && top != "target" || matches!(top, ".ci" | ".cargo")
    });
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./{},".contains(c);
    if !ours || !path.chars().all(plain) {
        return Vec::new();
    }
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (names, after) = rest.split_once('}').unwrap_or((rest, ""));
    names.split(',').map(|name| format!("{before}{name}{after}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree_of;

    #[test]
    fn links_lead_to_tracked_files() {
        let text = "[a](ARCHITECTURE.md#walk) [b](../README.md \"title\") [c](decisions/) [d](https://example.org/x)\n\
                    [e](#here) [f](missing.md)\n```\n[g](missing.md)\n```\n`[h](missing.md)`\n[i]: ../gone.md\n\
                    [j](/docs/a.md) [k](../../up.md)\n";
        let tree = tree_of(&[
            ("docs/a.md", text),
            ("docs/ARCHITECTURE.md", ""),
            ("README.md", ""),
            ("docs/decisions/README.md", ""),
        ]);
        let lines: Vec<usize> = check(&tree).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 7, 8, 8]);
    }

    #[test]
    fn the_walk_names_files_that_exist() {
        let text = "1 `crates/dma/src/pool.rs` → `stack/src/demux.rs:12` → `stack/src/{demux,gone}.rs`\n\
                    `drivers/e1000/` `crates/dma/src/pool.rs::Pool` `a/b` `read/write` `stack/*` `target/x`\n";
        let tree = tree_of(&[
            (WALK, text),
            ("crates/dma/src/pool.rs", ""),
            ("stack/src/demux.rs", ""),
            ("drivers/e1000/src/lib.rs", ""),
        ]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].line == 1 && found[0].wrong.contains("stack/src/gone.rs"), "{}", found[0]);
    }
}
