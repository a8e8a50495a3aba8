//! One Rust file, parsed once for every check: its text, its tokens, its syntax tree, and which of its lines are
//! code and which of those are tests. Comments and doc comments are not code; a blank line inside a string is.

use std::ops::RangeInclusive;
use std::str::FromStr;

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, Meta};

use crate::finding::Finding;

/// A parsed Rust file.
pub(crate) struct Source {
    /// Path from the repository root.
    pub(crate) path: String,
    /// The text, line by line.
    pub(crate) lines: Vec<String>,
    /// The whole file as tokens; macro bodies included, comments not.
    pub(crate) tokens: TokenStream,
    /// The syntax tree.
    pub(crate) syntax: syn::File,
    /// The whole file is test code, by its place or because a `#[cfg(test)] mod` declares it.
    pub(crate) test_code: bool,
    /// Lines of the `#[cfg(test)]` modules written out in this file.
    test_modules: Vec<RangeInclusive<usize>>,
    /// `code[n]` says whether line `n + 1` holds code.
    code: Vec<bool>,
}

impl Source {
    /// Parses `text`; a text that is no Rust is itself a finding.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, Finding> {
        let broken = |line: usize, why: String| {
            Finding::new(path, line, format!("does not parse as Rust: {why}"), "make it compile first")
        };
        let tokens = TokenStream::from_str(text)
            .map_err(|error| broken(error.span().start().line, error.to_string()))?;
        let syntax: syn::File = syn::parse2(tokens.clone())
            .map_err(|error| broken(error.span().start().line, error.to_string()))?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut code = vec![false; lines.len()];
        mark_code(&tokens, &lines, &mut code);
        let mut modules = TestModules::default();
        modules.visit_file(&syntax);
        Ok(Source {
            path: path.to_owned(),
            test_code: is_test_path(path),
            test_modules: modules.written_out,
            lines,
            tokens,
            syntax,
            code,
        })
    }

    /// How many of these lines (from 1, inclusive) hold code.
    pub(crate) fn code_in(&self, range: RangeInclusive<usize>) -> usize {
        range.filter(|line| self.is_code(*line)).count()
    }

    /// How many lines of the file hold code that is not inside a `#[cfg(test)]` module.
    pub(crate) fn code_outside_tests(&self) -> usize {
        (1..=self.lines.len()).filter(|line| self.is_code(*line) && !self.in_test_module(*line)).count()
    }

    /// Does the line lie in a `#[cfg(test)]` module of this file?
    pub(crate) fn in_test_module(&self, line: usize) -> bool {
        self.test_modules.iter().any(|range| range.contains(&line))
    }

    /// Hands every identifier and keyword to `meet`, those inside macros included.
    pub(crate) fn each_ident(&self, meet: &mut impl FnMut(&Ident)) {
        fn walk(tokens: &TokenStream, meet: &mut impl FnMut(&Ident)) {
            for token in tokens.clone() {
                match token {
                    TokenTree::Ident(ident) => meet(&ident),
                    TokenTree::Group(group) => walk(&group.stream(), meet),
                    _ => {}
                }
            }
        }
        walk(&self.tokens, meet);
    }

    /// The paths at which the modules declared as `#[cfg(test)] mod name;` may lie.
    pub(crate) fn test_files(&self) -> Vec<String> {
        let mut modules = TestModules::default();
        modules.visit_file(&self.syntax);
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let base = match file {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
        };
        let places = |name: &String| [format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")];
        modules.declared.iter().flat_map(places).collect()
    }

    fn is_code(&self, line: usize) -> bool {
        line.checked_sub(1).and_then(|at| self.code.get(at)).copied().unwrap_or(false)
    }
}

/// Files that are tests by their place: `tests/`, `tests.rs`, `foo_tests.rs`.
fn is_test_path(path: &str) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    folders.split('/').any(|folder| folder == "tests") || file == "tests.rs" || file.ends_with("_tests.rs")
}

/// `#[cfg(test)]` modules: the lines of those written out, the names of those declared.
#[derive(Default)]
struct TestModules {
    written_out: Vec<RangeInclusive<usize>>,
    declared: Vec<String>,
}

impl Visit<'_> for TestModules {
    fn visit_item_mod(&mut self, module: &ItemMod) {
        if !module.attrs.iter().any(is_cfg_test) {
            return visit::visit_item_mod(self, module);
        }
        match &module.content {
            Some((brace, _)) => {
                let first = module.attrs.first().map_or(module.mod_token.span, |attr| attr.pound_token.span);
                self.written_out.push(first.start().line..=brace.span.close().end().line);
            }
            None => self.declared.push(module.ident.to_string()),
        }
    }
}

/// `#[cfg(test)]`, or a `cfg` of `all(…)` that asks for `test` among others.
fn is_cfg_test(attribute: &Attribute) -> bool {
    fn asks_for_test(tokens: TokenStream) -> bool {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        tokens.iter().enumerate().any(|(at, token)| match token {
            TokenTree::Ident(ident) => ident == "test",
            TokenTree::Group(group) => {
                let before = at.checked_sub(1).and_then(|before| tokens.get(before));
                matches!(before, Some(TokenTree::Ident(all)) if all == "all") && asks_for_test(group.stream())
            }
            _ => false,
        })
    }
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => asks_for_test(list.tokens.clone()),
        _ => false,
    }
}

/// Marks the lines that hold at least one token that is not a doc comment.
fn mark_code(tokens: &TokenStream, lines: &[String], code: &mut [bool]) {
    let mut mark = |span: Span| {
        for line in span.start().line..=span.end().line {
            if let Some(code) = line.checked_sub(1).and_then(|at| code.get_mut(at)) {
                *code = true;
            }
        }
    };
    let mut groups = Vec::new();
    let mut stream = tokens.clone().into_iter().peekable();
    while let Some(token) = stream.next() {
        match token {
            // The lexer turns `/// text` into `#[doc = "text"]` whose tokens all stand where the comment stands.
            TokenTree::Punct(pound) if pound.as_char() == '#' && !stands_as(&pound.span(), '#', lines) => {
                stream.next_if(|next| matches!(next, TokenTree::Punct(bang) if bang.as_char() == '!'));
                stream.next();
            }
            TokenTree::Group(group) => {
                if group.delimiter() != Delimiter::None {
                    mark(group.span_open());
                    mark(group.span_close());
                }
                groups.push(group.stream());
            }
            other => mark(other.span()),
        }
    }
    for group in groups {
        mark_code(&group, lines, code);
    }
}

/// Is this the character at the start of the span in the text?
fn stands_as(span: &Span, character: char, lines: &[String]) -> bool {
    let start = span.start();
    let line = start.line.checked_sub(1).and_then(|at| lines.get(at));
    line.and_then(|line| line.chars().nth(start.column)) == Some(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, text: &str) -> Source {
        Source::parse(path, text).expect("the fixture parses")
    }

    #[test]
    fn comments_blank_lines_and_docs_are_not_code() {
        let text = "//! Room.\n\n/// Doc.\n/* long\n comment */\n#[inline]\nfn f() {\n    // why\n\n    g(); // x\n}\n";
        let source = parse("a/src/a.rs", text);
        let code: Vec<usize> = (1..=source.lines.len()).filter(|line| source.is_code(*line)).collect();
        assert_eq!(code, [6, 7, 10, 11]);
    }

    #[test]
    fn every_line_of_a_string_is_code() {
        let source = parse("a/src/a.rs", "const A: &str = \"a\n\n// b\n\";\n");
        assert_eq!(source.code_outside_tests(), 4);
    }

    #[test]
    fn test_modules_do_not_count() {
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n#[cfg(not(test))]\nmod real {}\n\
                    #[cfg(all(test, feature = \"x\"))]\nmod more {\n}\n";
        let source = parse("a/src/a.rs", text);
        assert_eq!(source.code_outside_tests(), 3);
        assert!(source.in_test_module(4) && !source.in_test_module(7));
    }

    #[test]
    fn test_files_are_known_by_place_or_by_declaration() {
        for path in ["stack/tests/loss.rs", "stack/src/flow/tests.rs", "stack/src/flow_tests.rs"] {
            assert!(parse(path, "").test_code, "{path}");
        }
        assert!(!parse("crates/testkit/src/lib.rs", "").test_code);
        let text = "#[cfg(test)]\nmod dialogue;\nmod other;\n";
        let lib = parse("stack/src/lib.rs", text).test_files();
        assert_eq!(lib, ["stack/src/dialogue.rs", "stack/src/dialogue/mod.rs"]);
        assert_eq!(parse("stack/src/flow.rs", text).test_files()[0], "stack/src/flow/dialogue.rs");
    }

    #[test]
    fn what_does_not_parse_is_a_finding() {
        let finding = Source::parse("a/src/a.rs", "fn f() {}\nfn (").err().expect("no Rust");
        assert_eq!(finding.line, 2);
    }
}
