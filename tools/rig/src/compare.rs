//! The experiments: the same transfer by naio and by the kernel's own driver, counted in guest instructions.
//!
//! **TAP** (the guest is the measured side alone): one round boots two guests with the same card model, one vCPU, the
//! plugin and the TAP to the same remote: in the first (translated IOMMU) naio runs and then, the card rebound, the
//! kernel; in the second (`iommu=pt`) the kernel. So the order is naio, kernel translated, kernel pt, naio, …, every
//! pair of the first two shares a boot, and what differs from boot to boot lands in every arm alike.
//!
//! **Two cards** in one guest, the remote on the second one in a namespace, one vCPU whose clock counts instructions:
//! both sides are in the figures, and how sends and acknowledgments interleave repeats, which it does not over a TAP.
//! naio's user instructions are still nearly the user column, because the remote only reads; and because the remote's
//! driver gains by `iommu=pt` too, both arms run in both modes.
//!
//! Before the measured rounds one more round runs with SHA-256 and the same arguments; `sha256_ok` of every run refers
//! to it, and nothing is hashed in a measured run.

mod record;
mod table;

pub use record::Record;

use crate::arm::{Arm, CARD, Experiment, PEER_CARD, THERE};
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

/// Where the remote is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Topology {
    /// Outside, behind a TAP.
    Tap,
    /// On a second card of the same guest.
    TwoCards,
}

impl Topology {
    /// The one whose figures repeat.
    #[must_use]
    pub fn usual(experiment: Experiment) -> Self {
        match experiment {
            Experiment::Recv => Self::Tap,
            Experiment::Send | Experiment::Sendfile => Self::TwoCards,
        }
    }

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::TwoCards => "two-cards",
        }
    }
}

/// What to compare.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which way the bytes go.
    pub experiment: Experiment,
    /// Over which wire.
    pub topology: Topology,
    /// Measured runs of each arm.
    pub runs: u32,
    /// Payload of a run, MiB.
    pub mib: u64,
    /// Connections of what sends.
    pub sockets: u32,
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
    #[error("{arm} ({iommu}) moved other bytes than were sent: SHA-256 differs")]
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
                "a TAP needs root (everything stays in a network namespace of its own); --topology \
                 two-cards does not"
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
    let wire = match plan.topology {
        Topology::Tap => Some(TapWire::create(parts.tools.ip.as_deref())?),
        Topology::TwoCards => None,
    };
    let remote =
        parts.programs.find("naio-remote").ok_or_else(|| TopologyError::Peer("not built".to_owned()))?;
    std::fs::create_dir_all(paths.runs()).map_err(TopologyError::Log)?;
    let log = paths.runs().join(format!("{}-remote.log", std::process::id()));
    let _peer = wire.as_ref().map(|wire| wire.peer(&remote, &log)).transpose()?;
    let context = Context { paths, parts, plan, wire: wire.as_ref(), say };
    let mut verified: HashMap<(Arm, Iommu), bool> = HashMap::new();
    let mut records = Vec::new();
    for round in 0..=plan.runs {
        for guest in guests(plan).iter().filter(|g| !g.arms.is_empty()) {
            for mut record in one_guest(&context, guest, round)? {
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

/// The guests of one round.
fn guests(plan: &Plan) -> [Guest; 2] {
    // naio's DMA is translated in either mode: over a TAP only the kernel's driver gains by `pt`.
    let gains = |arm: &Arm| plan.topology == Topology::TwoCards || !arm.is_naio();
    [
        Guest { iommu: Iommu::Translated, arms: plan.arms.clone() },
        Guest { iommu: Iommu::PassThrough, arms: plan.arms.iter().copied().filter(gains).collect() },
    ]
}

struct Context<'a> {
    paths: &'a Paths,
    parts: &'a Parts,
    plan: &'a Plan,
    wire: Option<&'a TapWire>,
    say: &'a dyn Fn(&str),
}

/// Boots one guest of a round and reads its runs. Round 0 hashes.
fn one_guest(context: &Context<'_>, guest: &Guest, round: u32) -> Result<Vec<Record>, CompareError> {
    let (plan, mib) = (context.plan, context.plan.mib);
    let machine = match plan.topology {
        Topology::Tap => Machine { counting: true, ..Machine::on_tap(guest.iommu) },
        Topology::TwoCards => Machine { counting: true, icount: true, ..Machine::with_peer(guest.iommu) },
    };
    let transfer = Duration::from_secs(30 + mib / SLOWEST_MIB_PER_S);
    let mut script = peer_script(plan.topology);
    for arm in &guest.arms {
        let command = arm.command(mib, plan.sockets, round == 0);
        script.push_str(&arm.prepare());
        script.push_str(&format!("step {} {} {command} || exit 1\n", arm.name(), transfer.as_secs()));
    }
    let mut programs: Vec<_> = guest.arms.iter().map(|arm| arm.program()).collect();
    programs.push("naio-remote");
    // Two arms of the kernel are one program.
    programs.sort_unstable();
    programs.dedup();
    let job = Job { script, programs, ..Job::default() };
    let limit = BOOT_LIMIT + transfer * u32::try_from(guest.arms.len()).unwrap_or(1);
    let boot = Boot {
        paths: context.paths,
        parts: context.parts,
        machine: &machine,
        job: &job,
        wire: context.wire,
        limit,
    };
    let title = if round == 0 { "hashed round".to_owned() } else { format!("round {round}") };
    (context.say)(&format!("{title}: booting a guest, IOMMU {}", guest.iommu.name()));
    let outcome = qemu::boot(&boot, &mut |event| {
        if let Event::Begin(step) = event {
            (context.say)(&format!("{title}: {step} {} {mib} MiB", plan.experiment.verb()));
        }
    })?;
    let reports: Vec<_> =
        guest.arms.iter().map(|arm| outcome.results.report(arm.name())).collect::<Result<_, _>>()?;
    let counts = marks::runs(&outcome.marks)?;
    if counts.len() != reports.len() {
        return Err(CompareError::Count { seen: counts.len(), made: reports.len() });
    }
    let runs = guest.arms.iter().zip(&reports).zip(&counts);
    Ok(runs
        .map(|((arm, report), counts)| Record::new(*arm, (plan.topology, guest.iommu), round, report, counts))
        .collect())
}

/// Makes the remote inside the guest, where it has to be there.
fn peer_script(topology: Topology) -> String {
    match topology {
        Topology::Tap => String::new(),
        Topology::TwoCards => format!(
            "try e1000 load e1000\ntry unbind unbind {CARD}\ntry peer peer {PEER_CARD} {THERE}\ntry serve serve\n"
        ),
    }
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
pub fn table(plan: &Plan, records: &[Record]) -> String {
    table::render(plan.experiment, plan.topology, records)
}
