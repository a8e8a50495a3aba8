//! Reads the counting plugin's file: what passed between mark 1 and mark 2 of each measured run.
//!
//! The meaning of marks and columns is written in `plugin/naio_count.c`.

use core::ops::{AddAssign, Sub};

/// Guest instructions by privilege.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Split {
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub kernel: u64,
}

/// Accounts at a mark, or the difference of two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Executed instructions without `rep` string instructions; the empty turns are in here.
    pub insns: Split,
    /// Iterations of `rep` string instructions.
    pub rep: Split,
    /// Bytes those moved.
    pub rep_bytes: Split,
    /// Turns that found nothing.
    pub empty_turns: u64,
    /// Instructions in them.
    pub empty: Split,
}

/// Why the file cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarksError {
    /// A line is not of the documented form.
    #[error("the plugin wrote a line we cannot read: {0}")]
    Line(String),
    /// Begin and end do not alternate: a program died between its marks.
    #[error("mark {0} came out of turn")]
    Order(u64),
}

/// The measured runs of a guest, in the order in which they were run.
///
/// # Errors
/// [`MarksError`].
pub fn runs(text: &str) -> Result<Vec<Counts>, MarksError> {
    let mut runs = Vec::new();
    let mut begin: Option<Counts> = None;
    for (number, counts) in marks(text)? {
        match (number, begin.take()) {
            (1, None) => begin = Some(counts),
            (2, Some(begin)) => runs.push(counts - begin),
            _ => return Err(MarksError::Order(number)),
        }
    }
    match begin {
        None => Ok(runs),
        Some(_) => Err(MarksError::Order(1)),
    }
}

/// Marks in order, the accounts of all vCPUs added up.
fn marks(text: &str) -> Result<Vec<(u64, Counts)>, MarksError> {
    let mut marks: Vec<(u64, Counts)> = Vec::new();
    let mut last_vcpu = u64::MAX;
    for line in text.lines() {
        let (number, vcpu, counts) = line_counts(line).ok_or_else(|| MarksError::Line(line.to_owned()))?;
        match marks.last_mut() {
            // The plugin writes vCPUs in rising order: the next vCPU of the same mark.
            Some((_, sum)) if vcpu > last_vcpu => *sum += counts,
            _ => marks.push((number, counts)),
        }
        last_vcpu = vcpu;
    }
    Ok(marks)
}

fn line_counts(line: &str) -> Option<(u64, u64, Counts)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let field = |name: &str| {
        let at = words.iter().step_by(2).position(|word| *word == name)?;
        words.get(2 * at + 1)?.parse::<u64>().ok()
    };
    let split = |user: &str, kernel: &str| Some(Split { user: field(user)?, kernel: field(kernel)? });
    let counts = Counts {
        insns: split("user", "kernel")?,
        rep: split("rep_user", "rep_kernel")?,
        rep_bytes: split("rep_bytes_user", "rep_bytes_kernel")?,
        empty_turns: field("empty_turns")?,
        empty: split("empty_user", "empty_kernel")?,
    };
    Some((field("mark")?, field("vcpu")?, counts))
}

impl Split {
    /// Both together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.user + self.kernel
    }
}

impl Sub for Split {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        // Accounts only grow; should a file say otherwise, zero is seen in the table at once.
        Self { user: self.user.saturating_sub(other.user), kernel: self.kernel.saturating_sub(other.kernel) }
    }
}

impl AddAssign for Split {
    fn add_assign(&mut self, other: Self) {
        self.user += other.user;
        self.kernel += other.kernel;
    }
}

impl Sub for Counts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            insns: self.insns - other.insns,
            rep: self.rep - other.rep,
            rep_bytes: self.rep_bytes - other.rep_bytes,
            empty_turns: self.empty_turns.saturating_sub(other.empty_turns),
            empty: self.empty - other.empty,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.insns += other.insns;
        self.rep += other.rep;
        self.rep_bytes += other.rep_bytes;
        self.empty_turns += other.empty_turns;
        self.empty += other.empty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(mark: u64, vcpu: u64, base: u64) -> String {
        format!(
            "mark {mark} vcpu {vcpu} user {} kernel {} rep_user {} rep_kernel {} rep_bytes_user {} \
             rep_bytes_kernel {} empty_turns {} empty_user {} empty_kernel {}\n",
            base,
            2 * base,
            3 * base,
            4 * base,
            5 * base,
            6 * base,
            7 * base,
            8 * base,
            9 * base
        )
    }

    #[test]
    fn runs_are_differences_summed_over_vcpus() {
        let text =
            [line(1, 0, 10), line(1, 1, 1), line(2, 0, 30), line(2, 1, 2), line(1, 0, 40), line(2, 0, 41)];
        let runs = runs(&text.concat()).unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!(runs[0].insns, Split { user: 21, kernel: 42 });
        assert_eq!(runs[0].empty, Split { user: 8 * 21, kernel: 9 * 21 });
        assert_eq!((runs[1].insns.total(), runs[1].empty_turns), (3, 7));
    }

    #[test]
    fn a_program_that_died_between_its_marks_is_noticed() {
        assert_eq!(runs(&[line(1, 0, 1), line(1, 0, 2)].concat()), Err(MarksError::Order(1)));
        assert_eq!(runs(&line(1, 0, 1)), Err(MarksError::Order(1)));
        assert_eq!(runs(&line(2, 0, 1)), Err(MarksError::Order(2)));
        assert!(matches!(runs("mark 1 vcpu"), Err(MarksError::Line(_))));
        assert_eq!(runs(""), Ok(Vec::new()));
    }
}
