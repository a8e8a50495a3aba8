//! `cargo rig demo`: one small receive experiment in the rig, for somebody who has just cloned the repository. Installs
//! nothing; says what is missing and which command would bring it.

use crate::arm::{Arm, CARD, Experiment, PEER_CARD, REMOTE, THERE};
use crate::guest::Job;
use crate::paths::Paths;
use crate::qemu::{self, Boot, BootError, Iommu, Machine};
use crate::results::{Event, StepError};
use crate::setup::Parts;
use core::time::Duration;

/// Connections of what sends.
const SOCKETS: u32 = 10;
const MIB: u64 = 32;
const STEP_SECONDS: u64 = 120;
const LIMIT: Duration = Duration::from_secs(400);

/// Why the demonstration stopped.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The guest.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A transfer in it.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Receives 32 MiB, hashed, first with naio and then with the kernel, from a Linux peer on a second card in the same
/// guest, and returns a short table.
///
/// # Errors
/// [`DemoError`].
pub fn run(paths: &Paths, parts: &Parts, say: &dyn Fn(&str)) -> Result<String, DemoError> {
    let arms = Experiment::Recv.arms();
    // One CPU for the side that receives, which may poll, and one for the peer.
    let machine = Machine { vcpus: 2, ..Machine::with_peer(Iommu::Translated) };
    let mut script = format!(
        "try e1000 load e1000\ntry unbind unbind {CARD}\ntry bind bind {PEER_CARD} e1000\n\
         try peer peer {PEER_CARD} {THERE}\ntry serve serve\n"
    );
    for arm in arms {
        script.push_str(&arm.prepare());
        script.push_str(&format!(
            "step {} {STEP_SECONDS} {} || exit 1\n",
            arm.name(),
            arm.command(MIB, SOCKETS, true)
        ));
    }
    let job = Job {
        script,
        programs: vec![Arm::NaioRecv.program(), Arm::KernelRecv.program(), "naio-remote"],
        ..Job::default()
    };
    say(&format!("booting a guest: card {CARD} (82540EM) behind an IOMMU, a Linux peer at {REMOTE}"));
    let boot = Boot { paths, parts, machine: &machine, job: &job, wire: None, limit: LIMIT };
    let outcome = qemu::boot(&boot, &mut |event| match event {
        Event::Begin(step) => say(&format!("{step} receives {MIB} MiB and hashes them")),
        Event::Broken(what) => say(&format!("the guest could not prepare {what}")),
        Event::End(..) | Event::Monitor(_) => {}
    })?;
    let mut table = format!("\n{:<14} {:>8} {:>8} {:>8}  {}\n", "", "MiB", "MB/s", "busy %", "SHA-256");
    for arm in arms {
        let report = outcome.results.report(arm.name())?;
        let hash = if report.sha256_ok == Some(true) { "as the peer sent it" } else { "DIFFERS" };
        let (mib, busy) = (report.bytes >> 20, 100.0 * report.cpu_busy);
        table.push_str(&format!(
            "{:<14} {mib:>8} {:>8.1} {busy:>8.1}  {hash}\n",
            arm.name(),
            report.mb_per_s
        ));
    }
    table.push_str(
        "\nThis is software emulation, both ends in one guest, and hashing is most of the work: it shows\n",
    );
    table.push_str("that it works. What it costs is measured by `cargo rig compare recv` (root).\n");
    Ok(table)
}
