//! What a check hands back: one [`Finding`] per thing that is wrong, with the place and the way out.
//! Checks never print and never stop at the first finding; `main` sorts, prints and decides the exit code.

use std::fmt;

/// One thing that is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the repository root, with `/`.
    pub(crate) path: String,
    /// Line, counted from 1; 1 also stands for "the file as a whole".
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) wrong: String,
    /// What the reader should do about it.
    pub(crate) remedy: String,
}

impl Finding {
    /// A finding at `path:line`.
    pub(crate) fn new(path: &str, line: usize, wrong: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { path: path.to_owned(), line, wrong: wrong.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.wrong, self.remedy)
    }
}
