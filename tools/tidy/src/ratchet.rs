//! The exceptions to the length limits, and the rule that they only shrink. An entry records how long something is
//! today and why; growing past it is a finding, shrinking below it is a hint until `--update` records the gain.
//! New entries are written by hand, because each needs a reason that a person stands for.

use crate::finding::Finding;
use crate::lengths::Measure;

/// Where the exceptions are recorded.
pub(crate) const PATH: &str = "tools/tidy/ratchet.txt";

/// One recorded exception: `file PATH LENGTH REASON…` or `fn PATH NAME LENGTH REASON…`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    function: Option<String>,
    length: usize,
    reason: String,
}

impl Entry {
    fn covers(&self, measure: &Measure) -> bool {
        self.path == measure.path && self.function == measure.function
    }

    fn written(&self) -> String {
        let Entry { path, function, length, reason } = self;
        match function {
            Some(function) => format!("fn {path} {function} {length} {reason}"),
            None => format!("file {path} {length} {reason}"),
        }
    }
}

/// What the ratchet says about the present lengths.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What fails.
    pub(crate) findings: Vec<Finding>,
    /// What could be recorded as a gain.
    pub(crate) hints: Vec<String>,
    /// The ratchet file with every gain recorded.
    pub(crate) updated: String,
}

/// Holds `measures` against the limits and the exceptions in `text`.
pub(crate) fn judge(text: &str, measures: &[Measure]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut entries = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let mut kept = line.to_owned();
        if !line.trim().is_empty() && !line.starts_with('#') {
            match parse(line) {
                Some(entry) => match apply(&entry, at + 1, measures, &mut verdict) {
                    Some(written) => {
                        kept = written;
                        entries.push(entry);
                    }
                    None => continue,
                },
                None => verdict.findings.push(Finding::new(
                    PATH,
                    at + 1,
                    "not an entry",
                    "write `file PATH LENGTH REASON` or `fn PATH NAME LENGTH REASON`",
                )),
            }
        }
        verdict.updated.push_str(&kept);
        verdict.updated.push('\n');
    }
    let excused = |measure: &&Measure| !entries.iter().any(|entry| entry.covers(measure));
    verdict
        .findings
        .extend(measures.iter().filter(|measure| measure.too_long()).filter(excused).map(too_long));
    verdict
}

/// Judges one entry. Returns the line `--update` would write for it, `None` where it would be dropped.
fn apply(entry: &Entry, line: usize, measures: &[Measure], verdict: &mut Verdict) -> Option<String> {
    let Some(measure) = measures.iter().find(|measure| entry.covers(measure) && measure.too_long()) else {
        verdict.findings.push(Finding::new(
            PATH,
            line,
            "excuses something that is gone or within the limit by now",
            "remove the line, or run `cargo tidy --update`",
        ));
        return None;
    };
    if measure.length > entry.length {
        verdict.findings.push(Finding::new(
            &measure.path,
            measure.line,
            format!("{} grew from {} to {} lines of code", title(measure), entry.length, measure.length),
            "an exception may only shrink: split it by meaning",
        ));
    } else if measure.length < entry.length {
        verdict.hints.push(format!(
            "{PATH}:{line}: {} is down from {} to {}; record it with `cargo tidy --update`",
            title(measure),
            entry.length,
            measure.length
        ));
    }
    Some(Entry { length: entry.length.min(measure.length), ..entry.clone() }.written())
}

fn too_long(measure: &Measure) -> Finding {
    Finding::new(
        &measure.path,
        measure.line,
        format!("{} has {} lines of code, the limit is {}", title(measure), measure.length, measure.limit()),
        format!("split it by meaning, or excuse it with a reason in {PATH}"),
    )
}

fn title(measure: &Measure) -> String {
    match &measure.function {
        Some(function) => format!("fn `{function}` of {}", measure.path),
        None => format!("file {}", measure.path),
    }
}

fn parse(line: &str) -> Option<Entry> {
    let (kind, rest) = line.split_once(' ')?;
    let (path, rest) = rest.split_once(' ')?;
    let (function, rest) = match kind {
        "file" => (None, rest),
        "fn" => rest.split_once(' ').map(|(function, rest)| (Some(function.to_owned()), rest))?,
        _ => return None,
    };
    let (length, reason) = rest.split_once(' ')?;
    let (length, reason) = (length.parse().ok()?, reason.trim());
    if reason.is_empty() {
        return None;
    }
    Some(Entry { path: path.to_owned(), function, length, reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(length: usize) -> Measure {
        Measure { path: "a/src/a.rs".to_owned(), line: 9, function: Some("A::f".to_owned()), length }
    }

    #[test]
    fn too_long_without_an_entry_fails() {
        let verdict = judge("# exceptions\n", &[function(71)]);
        assert_eq!(verdict.findings.len(), 1);
        assert_eq!((verdict.findings[0].path.as_str(), verdict.findings[0].line), ("a/src/a.rs", 9));
        assert_eq!(judge("", &[function(70)]).findings, []);
    }

    #[test]
    fn an_entry_excuses_its_length_and_no_more() {
        let text = "fn a/src/a.rs A::f 80 one state machine\n";
        assert_eq!(judge(text, &[function(80)]).findings, []);
        let grown = judge(text, &[function(81)]);
        assert_eq!(grown.findings.len(), 1);
        assert_eq!(grown.updated, text, "--update never raises an entry");
    }

    #[test]
    fn shrinking_is_a_hint_and_can_be_recorded() {
        let verdict = judge("# why\nfn a/src/a.rs A::f 80 one state machine\n", &[function(75)]);
        assert_eq!((verdict.findings.len(), verdict.hints.len()), (0, 1));
        assert_eq!(verdict.updated, "# why\nfn a/src/a.rs A::f 75 one state machine\n");
    }

    #[test]
    fn an_entry_that_excuses_nothing_is_found_and_dropped() {
        let text = "fn a/src/a.rs A::f 80 one state machine\n";
        for measures in [vec![], vec![function(60)]] {
            let verdict = judge(text, &measures);
            assert_eq!((verdict.findings.len(), verdict.updated.as_str()), (1, ""));
        }
    }

    #[test]
    fn an_entry_needs_a_reason() {
        assert_eq!(judge("file a/src/a.rs 500\n", &[]).findings.len(), 1);
        assert_eq!(judge("file a/src/a.rs 500  \n", &[]).findings.len(), 1);
        assert!(parse("file a/src/a.rs 500 a table").is_some());
    }
}
