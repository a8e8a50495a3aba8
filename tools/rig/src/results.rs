//! Reads what a guest says on its second serial port: steps with their output and status, and single figures.
//!
//! Receives bytes as they arrive, hands on [`Event`]s for progress and, at the end, [`Results`]. The lines come from
//! `guest/lib.sh`; a line of any other form is ignored, because the port may carry a kernel message.

use crate::arm::Report;
use std::collections::BTreeMap;

/// A command that the job ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its exit status; `None` if the guest ended first.
    pub status: Option<i32>,
}

/// Everything that came out of a guest.
#[derive(Debug, Clone, Default)]
pub struct Results {
    steps: BTreeMap<String, Step>,
    values: BTreeMap<String, String>,
    broken: Option<String>,
    current: Option<String>,
    partial: Vec<u8>,
}

/// Something that just happened in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step begins.
    Begin(String),
    /// A step has ended with this status.
    End(String, i32),
    /// A preparation failed; the job ends.
    Broken(String),
    /// The guest asks for a command of QEMU's monitor: to pull a cable, for example.
    Monitor(String),
}

/// Why a step gives no report.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The guest never ran it.
    #[error("the guest did not come to step `{step}`{}", because(broken))]
    Missing {
        /// Name of the step.
        step: String,
        /// What broke before, if the guest knows.
        broken: Option<String>,
    },
    /// The program failed.
    #[error("step `{step}` failed with status {status:?}: {stderr}")]
    Failed {
        /// Name of the step.
        step: String,
        /// Exit status.
        status: Option<i32>,
        /// Its complaint.
        stderr: String,
    },
    /// It printed something else than one JSON object.
    #[error("step `{step}` printed no report: {source}")]
    Report {
        /// Name of the step.
        step: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

fn because(broken: &Option<String>) -> String {
    broken.as_ref().map(|b| format!(": {b}")).unwrap_or_default()
}

impl Results {
    /// Takes bytes from the port and returns what they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.partial.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            events.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "@begin" => {
                self.current = Some(rest.to_owned());
                self.steps.insert(rest.to_owned(), Step::default());
                Some(Event::Begin(rest.to_owned()))
            }
            "o" | "e" => {
                let step = self.steps.get_mut(self.current.as_ref()?)?;
                let text = if kind == "o" { &mut step.stdout } else { &mut step.stderr };
                text.push_str(rest);
                text.push('\n');
                None
            }
            "@end" => {
                let (name, status) = rest.rsplit_once(' ')?;
                let status = status.parse().ok()?;
                self.steps.get_mut(name)?.status = Some(status);
                self.current = None;
                Some(Event::End(name.to_owned(), status))
            }
            "@value" => {
                let (name, value) = rest.split_once(' ')?;
                self.values.insert(name.to_owned(), value.to_owned());
                None
            }
            "@monitor" => Some(Event::Monitor(rest.to_owned())),
            "@broken" => {
                self.broken = Some(rest.to_owned());
                Some(Event::Broken(rest.to_owned()))
            }
            _ => None,
        }
    }

    /// A step by name.
    ///
    /// # Errors
    /// [`StepError::Missing`] if it never began.
    pub fn step(&self, name: &str) -> Result<&Step, StepError> {
        let missing = || StepError::Missing { step: name.to_owned(), broken: self.broken.clone() };
        self.steps.get(name).ok_or_else(missing)
    }

    /// The report that a step's program printed.
    ///
    /// # Errors
    /// [`StepError`]: the step is missing, failed, or printed no JSON object.
    pub fn report(&self, name: &str) -> Result<Report, StepError> {
        let step = self.step(name)?;
        if step.status != Some(0) {
            let (status, stderr) = (step.status, step.stderr.trim().to_owned());
            return Err(StepError::Failed { step: name.to_owned(), status, stderr });
        }
        serde_json::from_str(&step.stdout)
            .map_err(|source| StepError::Report { step: name.to_owned(), source })
    }

    /// A figure by name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<u64> {
        self.values.get(name)?.trim().parse().ok()
    }

    /// Which preparation failed, if one did.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_belongs_to_its_step_whatever_it_looks_like() {
        let mut results = Results::default();
        let text = "noise\r\n@begin a b\r\no @end a b 0\r\ne oops\r\n@end a b 3\r\n@value sent 12\r\n@broken x: y\r\n";
        // In pieces, as a port delivers it.
        let events: Vec<Event> = text.as_bytes().chunks(5).flat_map(|piece| results.feed(piece)).collect();
        let expected =
            [Event::Begin("a b".into()), Event::End("a b".into(), 3), Event::Broken("x: y".into())];
        assert_eq!(events, expected);
        let step = results.step("a b").unwrap();
        assert_eq!((step.stdout.as_str(), step.stderr.as_str()), ("@end a b 0\n", "oops\n"));
        assert_eq!(results.value("sent"), Some(12));
        assert!(results.step("c").unwrap_err().to_string().contains("x: y"));
    }

    #[test]
    fn a_step_that_failed_gives_no_report() {
        let mut results = Results::default();
        results
            .feed(b"@begin r\no {\"bytes\":1}\ne error: no\n@end r 1\n@begin s\no {\"bytes\":2}\n@end s 0\n");
        assert!(matches!(results.report("r"), Err(StepError::Failed { status: Some(1), .. })));
        assert_eq!(results.report("s").unwrap().bytes, 2);
    }
}
