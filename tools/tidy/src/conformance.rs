//! The table of clauses: each row of `docs/conformance.md` names a test that exists, or an exception with its reason,
//! so that no promise there stands on nothing. Receives the document and the parsed sources.

use crate::finding::Finding;
use crate::source::Source;
use crate::tree::Tree;
use std::collections::BTreeSet;
use syn::ItemFn;
use syn::visit::{self, Visit};

/// The document.
const TABLE: &str = "docs/conformance.md";
/// What the last cell of a row begins with if there is no test.
const EXCEPTION: &str = "Exception:";
/// Shortest reason that can be one, in bytes.
const REASON_LEN_MIN: usize = 20;

/// Rows that prove nothing.
pub(crate) fn check(tree: &Tree, sources: &[Source]) -> Vec<Finding> {
    if !tree.holds(TABLE) {
        return Vec::new();
    }
    check_rows(tree.text(TABLE), &tests(sources))
}

fn check_rows(text: &str, tests: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let is_row = line.trim_start().starts_with('|') && cells.len() > 1;
        let is_head = cells.iter().all(|cell| cell.starts_with("--")) || cells.first() == Some(&"clause");
        if !is_row || is_head {
            continue;
        }
        let proof = cells.last().copied().unwrap_or_default();
        let mut finding =
            |wrong: String, remedy: &str| findings.push(Finding::new(TABLE, at + 1, wrong, remedy));
        if let Some(reason) = proof.strip_prefix(EXCEPTION) {
            if reason.trim().len() < REASON_LEN_MIN {
                finding("an exception without a reason".into(), "say why the clause is not met");
            }
            continue;
        }
        let named: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            finding("a row without a test".into(), "name a test in backticks, or write `Exception:` and why");
        }
        for name in named.into_iter().filter(|name| !tests.contains(*name)) {
            finding(
                format!("names the test `{name}`, which does not exist"),
                "name the test as it is called now",
            );
        }
    }
    findings
}

/// The names of all functions marked `#[test]`.
fn tests(sources: &[Source]) -> BTreeSet<String> {
    struct Tests(BTreeSet<String>);
    impl<'ast> Visit<'ast> for Tests {
        fn visit_item_fn(&mut self, item: &'ast ItemFn) {
            if item.attrs.iter().any(|attribute| attribute.path().is_ident("test")) {
                self.0.insert(item.sig.ident.to_string());
            }
            visit::visit_item_fn(self, item);
        }
    }
    let mut tests = Tests(BTreeSet::new());
    sources.iter().for_each(|source| tests.visit_file(&source.syntax));
    tests.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_tests_that_exist_or_say_why_not() {
        let text = "# Table\n\n| clause | where | proof |\n|---|---|---|\n| 1 | a | `is_there` |\n| 2 | b | `is_not` |\n\
                    | 3 | c | |\n| 4 | d | Exception: nobody has asked for it in thirty years. |\n| 5 | e | Exception: no |\n";
        let source =
            Source::parse("a.rs", "#[cfg(test)] mod tests { #[test] fn is_there() {} fn is_not() {} }");
        let sources = [source.unwrap_or_else(|finding| panic!("{finding}"))];
        let lines: Vec<usize> =
            check_rows(text, &tests(&sources)).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [6, 7, 9]);
    }
}
