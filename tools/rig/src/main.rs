//! `cargo rig`: the command line of the QEMU rig. The work is in the library; this file prints.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a command prints its results")]

use clap::{Parser, Subcommand};
use naio_rig::arm::{Arm, Experiment};
use naio_rig::compare::{self, Plan, Topology};
use naio_rig::paths::Paths;
use naio_rig::{demo, driver, lock, setup, shell};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Runs naio against a real e1000 card model in QEMU, behind a real IOMMU and vfio-pci.
///
/// No hardware and no KVM are needed. Start with `cargo rig setup` (as root it installs QEMU with apt-get; without
/// root it unpacks the packages below target/rig), then `cargo rig test`. Everything it makes is below target/rig.
#[derive(Debug, Parser)]
#[command(name = "cargo rig", bin_name = "cargo rig", version, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install or fetch what the rig needs: QEMU, busybox, iproute2, a guest kernel; build the guest's programs.
    Setup,
    /// Run the tests that need the rig: `NAIO_RIG=required cargo test -p naio-rig` (root for those with a TAP).
    Test {
        /// Arguments for cargo test, for example `--test two_cards` or `-- --nocapture`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compare naio with the kernel's own driver, run by run, in guest instructions per MiB (a TAP needs root); or its
    /// driver alone with DPDK's testpmd, in guest instructions per frame.
    Compare(CompareArguments),
    /// Boot a guest with the card bound to vfio-pci and a shell on this terminal.
    Shell,
    /// Receive 32 MiB in the rig and show that they are right; installs nothing.
    Demo,
    /// Remove target/rig.
    Clean,
}

#[derive(Debug, clap::Args)]
struct CompareArguments {
    /// What to compare.
    #[arg(value_enum)]
    experiment: Comparison,
    /// Measured runs of each arm; one hashed run of each comes before.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Payload of a run: a whole number of MiB, for example 256MiB or 1GiB.
    #[arg(long, default_value = "256MiB", value_parser = mebibytes)]
    size: u64,
    /// Connections that send at the same time; receiving is over one.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sockets: u32,
    /// Also write one JSON object per run, a line each, to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these arms of the experiment; all unless told otherwise.
    #[arg(long, value_enum, value_delimiter = ',')]
    arms: Vec<Arm>,
    /// Frames of a run; the experiment driver only, which takes --runs and --json besides.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    frames: u64,
    /// Over which wire; with both, one table each. Unless told otherwise, tap for recv and two-cards for the
    /// others, because what sending costs over a TAP moves by tens of per cent from run to run.
    #[arg(long, value_enum, value_delimiter = ',')]
    topology: Vec<Topology>,
}

/// What can be compared.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Comparison {
    /// Pull --size bytes over one connection.
    Recv,
    /// Send --size bytes over --sockets connections, from buffers.
    Send,
    /// Send --size bytes over --sockets connections, from a file in memory.
    Sendfile,
    /// Send and receive --frames raw frames: naio's driver and DPDK's testpmd. Fails if naio's needs more user
    /// instructions per frame.
    Driver,
}

/// A failure as the user sees it: what happened, and what to do.
struct Failure {
    what: String,
    help: String,
}

fn failure(what: impl std::fmt::Display, help: &str) -> Failure {
    Failure { what: what.to_string(), help: help.to_owned() }
}

fn main() -> ExitCode {
    let paths = Paths::of_workspace();
    let result = match Arguments::parse().command {
        Verb::Setup => {
            ready(&paths).map(|_| say("the rig is ready: cargo rig test, cargo rig shell, cargo rig demo"))
        }
        Verb::Test { arguments } => return test(&paths, &arguments),
        Verb::Compare(arguments) => run_compare(&paths, &arguments),
        Verb::Shell => run_shell(&paths),
        Verb::Demo => run_demo(&paths),
        Verb::Clean => clean(&paths),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { what, help }) => {
            eprintln!("error: {what}\nhelp: {help}");
            ExitCode::FAILURE
        }
    }
}

/// Says a line of progress; it belongs to the person who waits, so it goes to standard error.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "rig: {line}");
}

/// The rig's parts and its lock.
fn ready(paths: &Paths) -> Result<(setup::Parts, lock::Lock), Failure> {
    let lock = lock::acquire(paths, &say).map_err(|e| failure(e, "wait for the other run, or end it"))?;
    let parts = setup::ensure(paths, &say).map_err(|e| {
        let help = e.help();
        failure(e, help)
    })?;
    say(&format!("QEMU {}, guest kernel {}", parts.tools.qemu_major, parts.kernel.version));
    Ok((parts, lock))
}

/// Hands over to cargo; its exit status is ours.
fn test(paths: &Paths, arguments: &[String]) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(paths.workspace()).args(["test", "--package", "naio-rig"]).args(arguments);
    match command.env("NAIO_RIG", "required").status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_compare(paths: &Paths, arguments: &CompareArguments) -> Result<(), Failure> {
    match arguments.experiment {
        Comparison::Recv => compare_transfers(paths, arguments, Experiment::Recv),
        Comparison::Send => compare_transfers(paths, arguments, Experiment::Send),
        Comparison::Sendfile => compare_transfers(paths, arguments, Experiment::Sendfile),
        Comparison::Driver => compare_drivers(paths, arguments),
    }
}

/// naio's driver and DPDK's. Without the other arm nothing is judged.
fn compare_drivers(paths: &Paths, arguments: &CompareArguments) -> Result<(), Failure> {
    if !arguments.arms.is_empty() || !arguments.topology.is_empty() {
        return Err(failure(
            "the experiment driver has its own arms and wire",
            "it takes --runs, --frames and --json",
        ));
    }
    let (parts, _lock) = ready(paths)?;
    let testpmd = setup::testpmd::ensure(paths, &say);
    if let Ok(testpmd) = &testpmd {
        say(&format!("testpmd of DPDK {}", testpmd.version));
    }
    let plan = driver::Plan { runs: arguments.runs, frames: arguments.frames };
    let records = driver::run(paths, &parts, testpmd.as_ref().ok(), &plan, &say)
        .map_err(|e| failure(e, "the guest's logs are below target/rig/run"))?;
    if let Some(file) = &arguments.json {
        driver::write_json(&records, file)
            .map_err(|e| failure(format!("cannot write {}: {e}", file.display()), "check the folder"))?;
    }
    print!("{}", driver::table(&records));
    if let Err(error) = testpmd {
        println!("skipped: testpmd: {error}");
    }
    let missed = driver::verdicts(&records).iter().filter(|verdict| !verdict.holds()).count();
    if missed > 0 {
        let what = format!("naio's driver needs more than testpmd in {missed} jobs");
        return Err(failure(what, "MISSED in the table says which"));
    }
    Ok(())
}

fn compare_transfers(
    paths: &Paths,
    arguments: &CompareArguments,
    experiment: Experiment,
) -> Result<(), Failure> {
    let mut arms = arguments.arms.clone();
    if arms.is_empty() {
        arms.extend(experiment.arms());
    }
    if let Some(arm) = arms.iter().find(|arm| arm.experiment() != experiment) {
        let what = format!("{} is no arm of the experiment {}", arm.name(), experiment.name());
        let names: Vec<_> = experiment.arms().iter().map(|arm| arm.name()).collect();
        return Err(failure(what, &format!("its arms are {}", names.join(", "))));
    }
    let mut topologies = arguments.topology.clone();
    if topologies.is_empty() {
        topologies.push(Topology::usual(experiment));
    }
    let (parts, _lock) = ready(paths)?;
    let mut records = Vec::new();
    let mut tables = String::new();
    for topology in topologies {
        let plan = Plan {
            experiment,
            topology,
            runs: arguments.runs,
            mib: arguments.size,
            sockets: arguments.sockets,
            arms: arms.clone(),
        };
        let measured = compare::run(paths, &parts, &plan, &say).map_err(|e| {
            let help = e.help();
            failure(e, help)
        })?;
        tables.push_str(&compare::table(&plan, &measured));
        records.extend(measured);
    }
    if let Some(file) = &arguments.json {
        compare::write_json(&records, file)
            .map_err(|e| failure(format!("cannot write {}: {e}", file.display()), "check the folder"))?;
    }
    print!("{tables}");
    Ok(())
}

fn run_shell(paths: &Paths) -> Result<(), Failure> {
    let (parts, _lock) = ready(paths)?;
    shell::run(paths, &parts).map_err(|e| failure(e, "the guest's logs are below target/rig/run"))
}

fn run_demo(paths: &Paths) -> Result<(), Failure> {
    let missing = setup::missing(paths);
    if !missing.is_empty() {
        let what = format!("the demonstration runs in the QEMU rig, and that lacks: {}", missing.join(", "));
        return Err(failure(
            what,
            "run `cargo rig setup` (with root it installs packages), then `cargo rig demo`",
        ));
    }
    let (parts, _lock) = ready(paths)?;
    let table = demo::run(paths, &parts, &say)
        .map_err(|e| failure(e, "`cargo rig test` says more; the guest's logs are below target/rig/run"))?;
    print!("{table}");
    Ok(())
}

fn clean(paths: &Paths) -> Result<(), Failure> {
    if !paths.root().exists() {
        return Ok(());
    }
    let _lock = lock::acquire(paths, &say).map_err(|e| failure(e, "wait for the other run, or end it"))?;
    std::fs::remove_dir_all(paths.root())
        .map_err(|e| failure(format!("cannot remove {}: {e}", paths.root().display()), "remove it by hand"))
}

/// A whole number of MiB.
fn mebibytes(text: &str) -> Result<u64, String> {
    let complaint = || format!("`{text}` is not a whole number of MiB; write for example 256MiB or 1GiB");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| complaint())?;
    let factor = match unit {
        "MiB" | "M" => 1,
        "GiB" | "G" => 1024,
        _ => return Err(complaint()),
    };
    number.checked_mul(factor).filter(|mib| *mib > 0).ok_or_else(complaint)
}
