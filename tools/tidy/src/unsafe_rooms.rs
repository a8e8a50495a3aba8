//! Unsafe stays in the rooms the table opens. Elsewhere the keyword is a finding wherever it stands, tests and
//! macros included, and every library and binary must forbid it for good. In an open room each block and each
//! `unsafe impl` needs the numbered list of the conditions it answers. The compiler and clippy check that a SAFETY
//! comment is there; this room checks its form and counts. Whether the answers are true is for a reader.

use std::collections::BTreeMap;
use std::fmt;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{AttrStyle, Meta};

use crate::finding::Finding;
use crate::rooms::{self, Unsafe};
use crate::source::Source;
use crate::workspace::Member;

/// How often a room says `unsafe`, by what follows the keyword.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    /// `unsafe { … }`.
    pub(crate) blocks: usize,
    /// `unsafe impl`.
    pub(crate) impls: usize,
    /// `unsafe fn`, `unsafe trait`, `unsafe extern`, `#[unsafe(…)]`.
    pub(crate) declarations: usize,
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Census { blocks, impls, declarations } = self;
        write!(f, "{blocks} blocks, {impls} impls, {declarations} declarations")
    }
}

/// Library and binary roots of shut rooms that do not forbid unsafe code.
pub(crate) fn check_roots(members: &[Member], sources: &[Source]) -> Vec<Finding> {
    let shut = members.iter().filter(|member| {
        rooms::by_folder(&member.folder).is_some_and(|room| room.unsafe_code == Unsafe::Shut)
    });
    let roots = shut.flat_map(|member| member.targets.iter().filter(|target| target.shipped));
    let missing = roots.filter(|target| {
        sources.iter().any(|source| source.path == target.path && !forbids_unsafe(&source.syntax))
    });
    missing
        .map(|target| {
            Finding::new(
                &target.path,
                1,
                "a crate root outside the unsafe rooms without `#![forbid(unsafe_code)]`",
                "put that line below the opening paragraph",
            )
        })
        .collect()
}

/// Every use of the keyword: misplaced ones and those without their list as findings, the rest counted by room.
pub(crate) fn check_uses(sources: &[Source]) -> (Vec<Finding>, BTreeMap<&'static str, Census>) {
    let mut findings = Vec::new();
    let mut counts: BTreeMap<&'static str, Census> = BTreeMap::new();
    for room in rooms::ROOMS.iter().filter(|room| room.unsafe_code == Unsafe::Open) {
        counts.insert(room.package, Census::default());
    }
    for source in sources {
        let uses = uses(source);
        match rooms::of_file(&source.path).filter(|room| room.unsafe_code == Unsafe::Open) {
            Some(room) => {
                findings.extend(uses.iter().filter_map(|found| unargued(source, found)));
                let census = counts.entry(room.package).or_default();
                census.blocks += uses.iter().filter(|found| found.what == What::Block).count();
                census.impls += uses.iter().filter(|found| found.what == What::Impl).count();
                census.declarations += uses.iter().filter(|found| found.what == What::Declaration).count();
            }
            None => findings.extend(uses.iter().map(|found| {
                Finding::new(
                    &source.path,
                    found.line,
                    "`unsafe` outside the rooms that may hold it",
                    "move it into `sys`, `dma` or `vfio` behind a safe function",
                )
            })),
        }
    }
    (findings, counts)
}

/// `#![forbid(unsafe_code)]`, alone or in a list.
fn forbids_unsafe(file: &syn::File) -> bool {
    file.attrs.iter().filter(|attribute| matches!(attribute.style, AttrStyle::Inner(_))).any(|attribute| {
        match &attribute.meta {
            Meta::List(list) if list.path.is_ident("forbid") => list
                .tokens
                .clone()
                .into_iter()
                .any(|token| matches!(token, TokenTree::Ident(lint) if lint == "unsafe_code")),
            _ => false,
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Block,
    Impl,
    Declaration,
}

/// One `unsafe` keyword.
#[derive(Debug)]
struct Use {
    what: What,
    /// Line of the keyword.
    line: usize,
    /// Line on which the statement around it begins.
    statement: usize,
}

/// All uses of the keyword, found in the tokens rather than the tree so that macro bodies are seen too.
fn uses(source: &Source) -> Vec<Use> {
    let mut found = Vec::new();
    collect(&source.tokens, None, true, &mut found);
    found
}

/// `statement` is the line of the statement around `tokens`; `sequence` says that `tokens` is itself a sequence of
/// statements, items, fields or arms (the inside of braces) and not of arguments.
fn collect(tokens: &TokenStream, statement: Option<usize>, sequence: bool, found: &mut Vec<Use>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut statement = statement;
    let mut begins = sequence;
    for (at, token) in tokens.iter().enumerate() {
        let line = token.span().start().line;
        if begins && !continues(token) {
            statement = Some(line);
        }
        begins = false;
        match token {
            TokenTree::Ident(ident) if ident == "unsafe" => {
                let what = what_follows(tokens.get(at + 1));
                found.push(Use { what, line, statement: statement.unwrap_or(line) });
            }
            TokenTree::Group(group) => {
                let braces = group.delimiter() == Delimiter::Brace;
                collect(&group.stream(), statement, braces, found);
                begins = sequence && braces;
            }
            TokenTree::Punct(punct) => begins = sequence && matches!(punct.as_char(), ';' | ','),
            _ => {}
        }
    }
}

/// Does a token after a closing brace carry the same statement on?
fn continues(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(punct) => matches!(punct.as_char(), '.' | '?' | '=' | ';' | ','),
        TokenTree::Ident(ident) => ident == "else" || ident == "as",
        _ => false,
    }
}

fn what_follows(next: Option<&TokenTree>) -> What {
    match next {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => What::Block,
        Some(TokenTree::Ident(ident)) if ident == "impl" => What::Impl,
        _ => What::Declaration,
    }
}

/// The finding for a block or an impl above which no numbered SAFETY list stands.
fn unargued(source: &Source, found: &Use) -> Option<Finding> {
    if found.what == What::Declaration
        || [found.line, found.statement].iter().any(|line| argued(source, *line))
    {
        return None;
    }
    Some(Finding::new(
        &source.path,
        found.line,
        "`unsafe` without a numbered SAFETY list above it",
        "write `// SAFETY:` and answer each condition of the callee: `// 1. …`",
    ))
}

/// Do the comment lines that end just above `line` hold a SAFETY list with at least its first number?
fn argued(source: &Source, line: usize) -> bool {
    let above = source.lines.iter().take(line.saturating_sub(1)).rev().map(|line| line.trim());
    let comment =
        |line: &&str| line.starts_with("//") && !line.starts_with("///") && !line.starts_with("//!");
    let mut lines: Vec<&str> = above.take_while(comment).collect();
    lines.reverse();
    let from = lines.iter().position(|line| line.contains("SAFETY:"));
    from.is_some_and(|from| lines[from..].iter().any(|line| is_numbered(line)))
}

/// Holds the line `1.` as a number of its own, not as the end of `8254x 13.1.` or the start of `1.5`?
fn is_numbered(line: &str) -> bool {
    line.match_indices("1.").any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + 2..].chars().next();
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '/' | '(' | ':'))
            && after.is_none_or(char::is_whitespace)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::TargetRoot;

    fn parse(path: &str, text: &str) -> Source {
        Source::parse(path, text).expect("the fixture parses")
    }

    /// Lines with findings in a file of an open room.
    fn lines(text: &str) -> Vec<usize> {
        check_uses(&[parse("crates/dma/src/a.rs", text)]).0.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn an_undocumented_unsafe_is_found() {
        assert_eq!(lines("fn f() {\n    unsafe { g() }\n}\n"), [2]);
        assert_eq!(lines("unsafe impl Send for A {}\n"), [1]);
    }

    #[test]
    fn a_safety_comment_without_numbers_is_found() {
        assert_eq!(
            lines("fn f() {\n    // SAFETY: it is fine, see 13.1. and 1.5\n    unsafe { g() }\n}\n"),
            [3]
        );
        assert_eq!(lines("fn f() {\n    // 1. no heading\n    unsafe { g() }\n}\n"), [3]);
    }

    #[test]
    fn the_list_may_stand_above_the_block_or_above_its_statement() {
        let block = "fn f() {\n    let a =\n        // SAFETY:\n        // 1. mapped above\n        unsafe { g() };\n}\n";
        let statement = "fn f() {\n    let b = 1;\n    // SAFETY: 1. mapped above\n    let a = h(1,\n        unsafe { g() });\n}\n";
        let impls = "// SAFETY:\n// 1. no thread has it\n#[allow(x)]\nunsafe impl Send for A {}\n";
        for text in [block, statement, impls] {
            assert_eq!(lines(text), [0; 0], "{text}");
        }
    }

    #[test]
    fn a_list_serves_one_statement_only() {
        let text = "fn f() {\n    // SAFETY: 1. mapped above\n    unsafe { g() };\n    unsafe { g() };\n    if a {\n        unsafe { g() }\n    }\n}\n";
        assert_eq!(lines(text), [4, 6]);
    }

    #[test]
    fn unsafe_inside_a_macro_is_seen() {
        assert_eq!(lines("fn f() {\n    assert_eq!(1,\n        unsafe { g() });\n}\n"), [3]);
        assert_eq!(lines("macro_rules! m {\n    () => { unsafe { g() } };\n}\n"), [2]);
    }

    #[test]
    fn each_use_is_counted_for_its_room() {
        let text = "unsafe fn f() {}\nunsafe trait T {}\n// SAFETY: 1. x\nunsafe impl T for A {}\nfn g() {\n    // SAFETY: 1. x\n    unsafe { f() }\n}\n";
        let (findings, counts) = check_uses(&[parse("crates/vfio/tests/a.rs", text)]);
        assert_eq!(findings, []);
        assert_eq!(counts["naio-vfio"], Census { blocks: 1, impls: 1, declarations: 2 });
        assert_eq!(counts["naio-sys"], Census::default());
    }

    #[test]
    fn unsafe_in_any_other_room_is_found_even_argued_even_in_a_test() {
        let text = "fn f() {\n    // SAFETY: 1. x\n    unsafe { g() }\n}\n";
        for path in
            ["stack/src/flow.rs", "stack/tests/a.rs", "fuzz/fuzz_targets/a.rs", "drivers/e1000/build.rs"]
        {
            assert_eq!(check_uses(&[parse(path, text)]).0.len(), 1, "{path}");
        }
        let words = "//! unsafe is a word here\nfn f() { g(\"unsafe\") }\n";
        assert_eq!(check_uses(&[parse("stack/src/flow.rs", words)]).0, []);
    }

    #[test]
    fn shipped_roots_of_shut_rooms_must_forbid() {
        let member = |folder: &str, package: &str, shipped| Member {
            folder: folder.to_owned(),
            package: package.to_owned(),
            dependencies: Vec::new(),
            targets: vec![TargetRoot { path: format!("{folder}/src/lib.rs"), shipped }],
            rust_version: true,
        };
        let found = |member: Member, text: &str| {
            let source = parse(&member.targets[0].path, text);
            check_roots(&[member], &[source]).len()
        };
        assert_eq!(found(member("stack", "naio-stack", true), "//! A.\n"), 1);
        assert_eq!(found(member("stack", "naio-stack", true), "//! A.\n#![deny(unsafe_code)]\n"), 1);
        assert_eq!(found(member("stack", "naio-stack", true), "//! A.\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(found(member("stack", "naio-stack", true), "#![forbid(missing_docs, unsafe_code)]\n"), 0);
        assert_eq!(found(member("stack", "naio-stack", false), "//! A.\n"), 0);
        assert_eq!(found(member("crates/sys", "naio-sys", true), "//! A.\n"), 0);
    }
}
