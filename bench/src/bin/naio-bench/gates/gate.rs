//! A figure and its limit: receives what was measured, hands on a line for people or for programs.

use serde::Serialize;
use std::io::{self, Write};

/// A figure, and its limit if it decides.
#[derive(Debug, Serialize)]
pub(super) struct Gate {
    gate: String,
    value: f64,
    limit: Option<f64>,
    /// How far the value may be from the limit, to either side; otherwise it may be anything up to the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<f64>,
    pub(super) ok: bool,
}

impl Gate {
    /// At most `limit`, if there is one.
    pub(super) fn new(gate: impl Into<String>, value: f64, limit: Option<f64>) -> Gate {
        let ok = limit.is_none_or(|limit| value <= limit);
        Gate { gate: gate.into(), value, limit, tolerance: None, ok }
    }

    /// Exactly `limit`, but for what measuring costs.
    pub(super) fn about(gate: impl Into<String>, value: f64, limit: f64, tolerance: f64) -> Gate {
        let ok = (value - limit).abs() <= tolerance;
        Gate { gate: gate.into(), value, limit: Some(limit), tolerance: Some(tolerance), ok }
    }

    /// Decides nothing.
    pub(super) fn shown(gate: impl Into<String>, value: f64) -> Gate {
        Gate::new(gate, value, None)
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            return writeln!(out, "{}", serde_json::to_string(self)?);
        }
        let bound = match (self.limit, self.tolerance) {
            (None, _) => String::new(),
            (Some(limit), None) => format!("at most {limit}: "),
            (Some(limit), Some(tolerance)) => format!("{limit} ± {tolerance}: "),
        };
        let verdict = match (self.limit, self.ok) {
            (None, _) => "",
            (_, true) => "kept",
            (_, false) => "MISSED",
        };
        writeln!(out, "{:<60} {:>14.2}  {bound}{verdict}", self.gate, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_up_to_its_value_and_an_exact_one_within_its_tolerance() {
        assert!(Gate::new("a", 2.0, Some(2.0)).ok && !Gate::new("a", 2.1, Some(2.0)).ok);
        let exact = |value| Gate::about("a", value, 1.0, 0.01).ok;
        assert!(exact(1.0) && exact(0.995) && !exact(0.98) && !exact(1.02));
        assert!(Gate::shown("a", 1e9).ok);
        assert!(!Gate::new("a", f64::NAN, Some(1.0)).ok, "what was not measured is not kept");
    }
}
