//! Measures how long files and functions are, in lines of code: comments, doc comments and blank lines are free,
//! because a limit on them would be paid for in silence. What is too long, and what is excused, the ratchet says.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemTrait, Signature, TraitItemFn, Type};

use crate::source::Source;

/// Lines of code a file may have, its `#[cfg(test)]` modules not counted.
pub(crate) const FILE_LINES_MAX: usize = 400;
/// Lines of code a function may have, from `fn` to its closing brace; tests are functions too.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// The length of one file or function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Measure {
    /// The file.
    pub(crate) path: String,
    /// Where it begins.
    pub(crate) line: usize,
    /// The function as `Type::name` or `name`; `None` for the file itself.
    pub(crate) function: Option<String>,
    /// Lines of code.
    pub(crate) length: usize,
}

impl Measure {
    /// The limit this measure is held to.
    pub(crate) fn limit(&self) -> usize {
        if self.function.is_some() { FUNCTION_LINES_MAX } else { FILE_LINES_MAX }
    }

    /// Is it too long, were there no exceptions?
    pub(crate) fn too_long(&self) -> bool {
        self.length > self.limit()
    }
}

/// The file (unless it is test code) and every function in it. Of functions with one name the longest counts.
pub(crate) fn measure(source: &Source) -> Vec<Measure> {
    let mut functions = Functions { source, within: Vec::new(), found: Vec::new() };
    functions.visit_file(&source.syntax);
    let mut found = functions.found;
    found.sort_by(|a, b| a.function.cmp(&b.function).then(b.length.cmp(&a.length)));
    found.dedup_by(|later, kept| later.function == kept.function);
    if !source.test_code {
        let length = source.code_outside_tests();
        found.push(Measure { path: source.path.clone(), line: 1, function: None, length });
    }
    found
}

struct Functions<'a> {
    source: &'a Source,
    /// The types, traits and inline modules around the place we are at.
    within: Vec<String>,
    found: Vec<Measure>,
}

impl Functions<'_> {
    fn note(&mut self, signature: &Signature, block: &Block) {
        let first = signature.span().start().line;
        let last = block.brace_token.span.close().end().line;
        let mut name = self.within.clone();
        name.push(signature.ident.to_string());
        self.found.push(Measure {
            path: self.source.path.clone(),
            line: first,
            function: Some(name.join("::")),
            length: self.source.code_in(first..=last),
        });
    }

    fn inside(&mut self, name: String, walk: impl FnOnce(&mut Self)) {
        self.within.push(name);
        walk(self);
        self.within.pop();
    }
}

impl Visit<'_> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &ItemFn) {
        self.note(&function.sig, &function.block);
        self.inside(function.sig.ident.to_string(), |this| visit::visit_item_fn(this, function));
    }

    fn visit_impl_item_fn(&mut self, function: &ImplItemFn) {
        self.note(&function.sig, &function.block);
        self.inside(function.sig.ident.to_string(), |this| visit::visit_impl_item_fn(this, function));
    }

    fn visit_trait_item_fn(&mut self, function: &TraitItemFn) {
        if let Some(block) = &function.default {
            self.note(&function.sig, block);
            self.inside(function.sig.ident.to_string(), |this| visit::visit_trait_item_fn(this, function));
        }
    }

    fn visit_item_impl(&mut self, item: &ItemImpl) {
        self.inside(type_name(&item.self_ty), |this| visit::visit_item_impl(this, item));
    }

    fn visit_item_trait(&mut self, item: &ItemTrait) {
        self.inside(item.ident.to_string(), |this| visit::visit_item_trait(this, item));
    }

    fn visit_item_mod(&mut self, item: &ItemMod) {
        self.inside(item.ident.to_string(), |this| visit::visit_item_mod(this, item));
    }
}

/// A name for the type of an `impl`, good enough to find it again.
fn type_name(ty: &Type) -> String {
    match ty {
        Type::Path(path) => {
            path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
        }
        Type::Reference(reference) => type_name(&reference.elem),
        _ => "impl".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures(path: &str, text: &str) -> Vec<Measure> {
        measure(&Source::parse(path, text).expect("the fixture parses"))
    }

    /// A function of `length` lines of code, with a comment and a blank line that do not count.
    fn function(length: usize) -> String {
        format!("fn f(\n    a: u8) {{\n\n    // why\n{}}}\n", "    g();\n".repeat(length - 3))
    }

    #[test]
    fn a_function_of_71_lines_is_too_long_and_one_of_70_is_not() {
        for (length, expected) in [(70, false), (71, true)] {
            let found = measures("a/src/a.rs", &function(length));
            let measure =
                found.iter().find(|measure| measure.function.as_deref() == Some("f")).expect("measured");
            assert_eq!((measure.length, measure.line, measure.too_long()), (length, 1, expected));
        }
    }

    #[test]
    fn a_file_of_401_lines_is_too_long_and_its_tests_are_free() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "const B: u8 = 0;\n".repeat(50));
        for (length, expected) in [(400, false), (401, true)] {
            let text = "const A: u8 = 0;\n\n// why\n".repeat(length) + &tests;
            let file = measures("a/src/a.rs", &text).pop().expect("the file is measured");
            assert_eq!((file.function.clone(), file.length, file.too_long()), (None, length, expected));
        }
    }

    #[test]
    fn a_test_file_has_no_limit_but_its_functions_have() {
        let found = measures("stack/tests/a.rs", &function(71));
        assert!(found.len() == 1 && found[0].too_long());
    }

    #[test]
    fn functions_are_named_by_what_they_are_in() {
        let text = "impl<T> Ring<T> { fn post(&self) {} }\ntrait Nic { fn reap(&self) {} fn ring(&self); }\n\
                    mod inner { fn g() { fn h() {} } }\nimpl A for &Ring<u8> {\n fn post(&self) {\n } }\n";
        let mut names: Vec<_> =
            measures("a/tests/a.rs", text).into_iter().map(|m| (m.function, m.length)).collect();
        names.sort();
        let expected = [("Nic::reap", 1), ("Ring::post", 2), ("inner::g", 1), ("inner::g::h", 1)];
        assert_eq!(names, expected.map(|(name, length)| (Some(name.to_owned()), length)));
    }
}
