//! The experiment below the stack: raw frames by naio's driver and by DPDK's testpmd, in one guest, counted in guest
//! user instructions per frame.
//!
//! One round boots one guest with two cards of one model, one vCPU and the plugin; in it every job ([`Work`]) is done
//! by naio and then by testpmd, both over vfio-pci behind the translating IOMMU. Frames to receive come from the other
//! card, sent by `naio-frames serve` whenever the receiver has found nothing: so both find whole bursts, and what
//! sending costs falls into the receiver's empty turn, which is counted apart. testpmd has no marks of its own;
//! `plugin/testpmd_marks.c` executes them from DPDK's callbacks at the same places.
//!
//! Receives a [`Plan`]; hands on [`Record`]s, the table and the [`Verdict`]s. Where testpmd cannot be had, naio is
//! measured alone.

mod job;
mod record;
mod table;

pub use job::{Mode, Who, Work};
pub use record::Record;
pub use table::{Verdict, verdicts};

use crate::guest::Job;
use crate::marks::{self, MarksError};
use crate::paths::Paths;
use crate::qemu::{self, Boot, BootError, Iommu, Machine};
use crate::results::{Event, StepError};
use crate::setup::Parts;
use crate::setup::testpmd::Testpmd;
use core::time::Duration;
use std::path::Path;

/// Time for booting and binding.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// The slowest rate that is not yet a hang, frames a second.
const SLOWEST_FRAMES_PER_S: u64 = 2000;

/// What to compare.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Measured runs of each arm.
    pub runs: u32,
    /// Frames of a run.
    pub frames: u64,
}

impl Plan {
    /// What one job of one arm may take.
    fn limit(&self) -> Duration {
        Duration::from_secs(30 + self.frames / SLOWEST_FRAMES_PER_S)
    }
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The guest.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A run in the guest.
    #[error("{0}")]
    Step(#[from] StepError),
    /// What a run printed.
    #[error("step `{step}` printed no report that can be believed: {what}")]
    Report {
        /// Name of the step.
        step: String,
        /// What is wrong with it.
        what: String,
    },
    /// The plugin's file.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// A run has no marks or too many.
    #[error("the plugin saw {seen} measured runs where the guest made {made}")]
    Count {
        /// Pairs of marks.
        seen: usize,
        /// Steps.
        made: usize,
    },
}

/// Runs the plan; `say` is told what happens. Every run becomes a record, in order.
///
/// # Errors
/// [`DriverError`]; a comparison with a failed run is not a comparison, so the first failure ends it.
pub fn run(
    paths: &Paths,
    parts: &Parts,
    testpmd: Option<&Testpmd>,
    plan: &Plan,
    say: &dyn Fn(&str),
) -> Result<Vec<Record>, DriverError> {
    let works = job::works(testpmd.is_some());
    let folders = testpmd.map(|testpmd| (job::FOLDER, testpmd.folder.clone()));
    let job = Job {
        script: job::script(&works, testpmd, plan),
        programs: vec!["naio-frames"],
        folders: folders.into_iter().collect(),
        ..Job::default()
    };
    let machine = Machine { counting: true, ..Machine::with_peer(Iommu::Translated) };
    let limit = BOOT_LIMIT + plan.limit() * u32::try_from(works.len()).unwrap_or(1);
    let boot = Boot { paths, parts, machine: &machine, job: &job, wire: None, limit };
    let mut records = Vec::new();
    for round in 1..=plan.runs {
        say(&format!("round {round}: booting a guest"));
        let outcome = qemu::boot(&boot, &mut |event| {
            if let Event::Begin(step) = event {
                say(&format!("round {round}: {step}"));
            }
        })?;
        let reports: Vec<_> =
            works.iter().map(|work| job::report(*work, &outcome.results, plan)).collect::<Result<_, _>>()?;
        let counts = marks::runs(&outcome.marks)?;
        if counts.len() != reports.len() {
            return Err(DriverError::Count { seen: counts.len(), made: reports.len() });
        }
        for ((work, report), counts) in works.iter().zip(&reports).zip(&counts) {
            let record = Record::new(*work, round, report, counts);
            say(&format!("{:>12}{}", "", record.brief()));
            records.push(record);
        }
    }
    Ok(records)
}

/// Writes one JSON object per run and line.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(records: &[Record], file: &Path) -> std::io::Result<()> {
    let mut text = String::new();
    for record in records {
        text.push_str(&serde_json::to_string(record)?);
        text.push('\n');
    }
    std::fs::write(file, text)
}

/// The table for people: every run, then medians and verdicts.
#[must_use]
pub fn table(records: &[Record]) -> String {
    table::render(records)
}
