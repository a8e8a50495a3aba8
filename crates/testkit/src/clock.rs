//! Time that only a test moves, in microseconds since the start of the test.
//!
//! Plain numbers: the crates under test turn them into their own `Time`.

/// A clock that stands still until it is told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManualClock {
    micros: u64,
}

impl ManualClock {
    /// A clock at `micros` after the start.
    #[must_use]
    pub const fn at(micros: u64) -> ManualClock {
        ManualClock { micros }
    }

    /// Microseconds since the start.
    #[must_use]
    pub const fn micros(&self) -> u64 {
        self.micros
    }

    /// Moves on by `micros`.
    pub fn advance(&mut self, micros: u64) {
        self.micros += micros;
    }

    /// Moves on to `micros` after the start; a time that has passed changes nothing.
    pub fn advance_to(&mut self, micros: u64) {
        self.micros = self.micros.max(micros);
    }
}
