//! The seed's experiment: the same transfer by naio and by the kernel's own driver, counted in guest instructions.
//!
//! One round boots two guests with the same card model, one vCPU, the plugin and the TAP to the same remote: in the
//! first (translated IOMMU) naio receives and then, the card rebound, the kernel; in the second (`iommu=pt`) the
//! kernel. So the order is naio, kernel translated, kernel pt, naio, …, every pair of the first two shares a boot,
//! and what differs from boot to boot lands in every arm alike. Before the measured rounds one more round runs with
//! SHA-256 and the same arguments; `sha256_ok` of every run refers to it, and nothing is hashed in a measured run.

mod record;
mod table;

pub use record::Record;

use crate::arm::Arm;
use crate::guest::Job;
use crate::marks::{self, MarksError};
use crate::paths::Paths;
use crate::qemu::{self, Boot, BootError, Iommu, Machine};
use crate::results::{Event, StepError};
use crate::setup::Parts;
use crate::topology::{TapWire, TopologyError};
use core::time::Duration;
use std::collections::HashMap;
use std::path::Path;

/// Time for booting, binding and link-up.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// The slowest rate that is not yet a hang, measured or hashed, in MiB a second.
const SLOWEST_MIB_PER_S: u64 = 2;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Measured runs of each arm.
    pub runs: u32,
    /// Payload of a run, MiB.
    pub mib: u64,
    /// Which arms.
    pub arms: Vec<Arm>,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The wire or the peer.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The guest.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A run in the guest.
    #[error("{0}")]
    Step(#[from] StepError),
    /// The plugin's file.
    #[error(transparent)]
    Marks(#[from] MarksError),
    /// A hashed run came out wrong.
    #[error("{arm} ({iommu}) received other bytes than were sent: SHA-256 differs")]
    Hash {
        /// Name of the arm.
        arm: &'static str,
        /// The guest's IOMMU mode.
        iommu: &'static str,
    },
    /// A run has no marks or too many.
    #[error("the plugin saw {seen} measured runs where the guest made {made}")]
    Count {
        /// Pairs of marks.
        seen: usize,
        /// Steps.
        made: usize,
    },
}

impl CompareError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Topology(TopologyError::Root) => {
                "`cargo rig compare` needs root for its TAP; everything stays in \
                                                    a network namespace of its own"
            }
            Self::Topology(_) => {
                "run `cargo rig setup`; a container needs CAP_NET_ADMIN, CAP_SYS_ADMIN and \
                                  /dev/net/tun"
            }
            Self::Boot(BootError::NoPlugin) => {
                "install a C compiler (`apt-get install gcc libc6-dev`) and run \
                                                `cargo rig setup`"
            }
            Self::Boot(_) => {
                "the guest's logs are below target/rig/run; `cargo rig shell` boots the same guest for \
                              you to look around"
            }
            _ => "the guest's logs are below target/rig/run",
        }
    }
}

/// One of the two guests of a round.
struct Guest {
    iommu: Iommu,
    arms: Vec<Arm>,
}

/// Runs the plan; `say` is told what happens. Every measured run becomes a record, in order.
///
/// # Errors
/// [`CompareError`]; a comparison with a failed run is not a comparison, so the first failure ends it.
pub fn run(
    paths: &Paths,
    parts: &Parts,
    plan: &Plan,
    say: &dyn Fn(&str),
) -> Result<Vec<Record>, CompareError> {
    let wire = TapWire::create(parts.tools.ip.as_deref())?;
    let remote =
        parts.programs.find("naio-remote").ok_or_else(|| TopologyError::Peer("not built".to_owned()))?;
    std::fs::create_dir_all(paths.runs()).map_err(TopologyError::Log)?;
    let log = paths.runs().join(format!("{}-remote.log", std::process::id()));
    let _peer = wire.peer(&remote, &log)?;
    let guests = [
        Guest { iommu: Iommu::Translated, arms: plan.arms.clone() },
        // naio's DMA is translated in either mode; only the kernel's driver gains by `pt`.
        Guest {
            iommu: Iommu::PassThrough,
            arms: plan.arms.iter().copied().filter(|a| *a == Arm::Kernel).collect(),
        },
    ];
    let mut verified: HashMap<(Arm, Iommu), bool> = HashMap::new();
    let mut records = Vec::new();
    for round in 0..=plan.runs {
        for guest in guests.iter().filter(|g| !g.arms.is_empty()) {
            let context = Context { paths, parts, wire: &wire, say };
            for mut record in one_guest(&context, guest, plan.mib, round)? {
                let key = (record.who, guest.iommu);
                if round == 0 {
                    if record.sha256_ok != Some(true) {
                        return Err(CompareError::Hash { arm: record.who.name(), iommu: guest.iommu.name() });
                    }
                    verified.insert(key, true);
                } else {
                    record.sha256_ok = verified.get(&key).copied();
                    say(&format!("{:>12}{}", "", record.brief()));
                    records.push(record);
                }
            }
        }
    }
    Ok(records)
}

struct Context<'a> {
    paths: &'a Paths,
    parts: &'a Parts,
    wire: &'a TapWire,
    say: &'a dyn Fn(&str),
}

/// Boots one guest of a round and reads its runs. Round 0 hashes.
fn one_guest(
    context: &Context<'_>,
    guest: &Guest,
    mib: u64,
    round: u32,
) -> Result<Vec<Record>, CompareError> {
    let machine = Machine { counting: true, ..Machine::on_tap(guest.iommu) };
    let transfer = Duration::from_secs(30 + mib / SLOWEST_MIB_PER_S);
    let mut script = String::new();
    for arm in &guest.arms {
        let command = arm.command(mib, round == 0);
        script.push_str(&arm.prepare());
        script.push_str(&format!("step {} {} {command} || exit 1\n", arm.name(), transfer.as_secs()));
    }
    let job =
        Job { script, programs: guest.arms.iter().map(|arm| arm.program()).collect(), ..Job::default() };
    let limit = BOOT_LIMIT + transfer * u32::try_from(guest.arms.len()).unwrap_or(1);
    let boot = Boot {
        paths: context.paths,
        parts: context.parts,
        machine: &machine,
        job: &job,
        wire: Some(context.wire),
        limit,
    };
    let title = if round == 0 { "hashed round".to_owned() } else { format!("round {round}") };
    (context.say)(&format!("{title}: booting a guest, IOMMU {}", guest.iommu.name()));
    let outcome = qemu::boot(&boot, &mut |event| {
        if let Event::Begin(step) = event {
            (context.say)(&format!("{title}: {step} receives {mib} MiB"));
        }
    })?;
    let reports: Vec<_> =
        guest.arms.iter().map(|arm| outcome.results.report(arm.name())).collect::<Result<_, _>>()?;
    let counts = marks::runs(&outcome.marks)?;
    if counts.len() != reports.len() {
        return Err(CompareError::Count { seen: counts.len(), made: reports.len() });
    }
    let runs = guest.arms.iter().zip(&reports).zip(&counts);
    Ok(runs.map(|((arm, report), counts)| Record::new(*arm, guest.iommu, round, report, counts)).collect())
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

/// The table for people: every run, then medians and ratios.
#[must_use]
pub fn table(records: &[Record]) -> String {
    table::render(records)
}
