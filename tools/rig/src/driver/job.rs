//! The jobs of the guest, and their reports: the one place that knows the command lines of `naio-frames` and of
//! `dpdk-testpmd`, and what testpmd prints when it ends.
//!
//! Receives a plan; hands on shell lines, and a [`Report`] for each job. testpmd's own count of frames must bear out
//! the count that was made at the marks.

use super::{DriverError, Plan};
use crate::arm::{CARD, PEER_CARD};
use crate::results::{Results, StepError};
use crate::setup::testpmd::Testpmd;
use core::fmt::Write as _;
use serde::Deserialize;

/// Where testpmd is in the guest.
pub(super) const FOLDER: &str = "dpdk";
/// Frame lengths without FCS: the shortest that is usual, and a full one.
const SIZES: [u16; 2] = [64, 1500];
/// Frames of a poll at most, descriptors of each ring: testpmd's usual burst, and rings that both are given.
const BURST: u16 = 32;
const RING: u16 = 1024;
/// Frames that the receiver is brought at a time: whole bursts, and no more than surely fit its ring, because testpmd
/// gives descriptors back by 32.
const BATCH: u16 = 960;
/// Frames before the marks.
const WARM_UP: u64 = 8192;
/// Where receiver and feeder meet.
const FEED: &str = "/tmp/feed";
/// Pages of 2 MiB for DPDK: some more than it asks for.
const HUGE_PAGES: u32 = 48;
const DPDK_MIB: u32 = 64;

/// Which way the frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Sent.
    Tx,
    /// Received.
    Rx,
}

impl Mode {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tx => "tx",
            Self::Rx => "rx",
        }
    }

    /// testpmd's name for it, which `naio-frames` has taken over.
    fn program_mode(self) -> &'static str {
        match self {
            Self::Tx => "txonly",
            Self::Rx => "rxonly",
        }
    }
}

/// Whose driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// naio's.
    Naio,
    /// naio's, sending frames of one piece as testpmd does, instead of headers and payload as naio's stack does.
    NaioWhole,
    /// DPDK's.
    Testpmd,
}

impl Who {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Naio => "naio",
            Self::NaioWhole => "naio-whole",
            Self::Testpmd => "testpmd",
        }
    }
}

/// A job and who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Which way.
    pub mode: Mode,
    /// Bytes of a frame without FCS.
    pub size: u16,
    /// Who.
    pub who: Who,
}

impl Work {
    /// The name of its step.
    fn step(self) -> String {
        format!("{}-{}-{}", self.who.name(), self.mode.name(), self.size)
    }
}

/// Everything a guest does, in order: sending first, because the other card then is not up and takes nothing.
pub(super) fn works(testpmd: bool) -> Vec<Work> {
    let mut works = Vec::new();
    for mode in [Mode::Tx, Mode::Rx] {
        for size in SIZES {
            works.push(Work { mode, size, who: Who::Naio });
            if mode == Mode::Tx {
                works.push(Work { mode, size, who: Who::NaioWhole });
            }
            if testpmd {
                works.push(Work { mode, size, who: Who::Testpmd });
            }
        }
    }
    works
}

/// The guest's script.
pub(super) fn script(works: &[Work], testpmd: Option<&Testpmd>, plan: &Plan) -> String {
    let mut script = format!(
        "try vfio load vfio_iommu_type1\ntry vfio-pci load vfio-pci\ntry bind bind {CARD} vfio-pci\n\
         try bind-peer bind {PEER_CARD} vfio-pci\n\
         try mkfifo mkfifo {FEED}.want {FEED}.here /tmp/never\n"
    );
    if testpmd.is_some() {
        // DPDK loads nothing from below a folder that everybody may write, which an initramfs's root is.
        let _ =
            writeln!(script, "chmod 755 /; mkdir -p /var/run; echo {HUGE_PAGES} > /proc/sys/vm/nr_hugepages");
    }
    let limit = plan.limit().as_secs();
    for work in works {
        let command = match (work.who, testpmd) {
            (Who::Testpmd, Some(testpmd)) => testpmd_command(*work, testpmd, plan),
            _ => naio_command(*work, plan),
        };
        let step = work.step();
        let run = format!("step {step} {limit} {command} || exit 1\n");
        match work.mode {
            Mode::Tx => script.push_str(&run),
            Mode::Rx => {
                let _ = write!(
                    script,
                    "begin feed {limit} naio-frames serve --device vfio:{PEER_CARD} --feed {FEED} --size {} \
                     --batch {BATCH}\n{run}end feed\n",
                    work.size
                );
            }
        }
    }
    script
}

fn naio_command(work: Work, plan: &Plan) -> String {
    let (mode, size, frames) = (work.mode.program_mode(), work.size, plan.frames);
    let shape = if work.who == Who::NaioWhole { " --shape whole" } else { "" };
    let feed = if work.mode == Mode::Rx { format!(" --feed {FEED}") } else { String::new() };
    format!(
        "naio-frames {mode} --device vfio:{CARD} --size {size} --frames {frames} --warm-up {WARM_UP} \
         --burst {BURST} --ring {RING}{shape}{feed} --json"
    )
}

/// testpmd with one forwarding core. Its main core shares the one CPU and sleeps, because its standard input is a FIFO
/// that never says anything; the marks end it.
fn testpmd_command(work: Work, testpmd: &Testpmd, plan: &Plan) -> String {
    let mode = work.mode.program_mode();
    let mut environment = format!(
        "env NAIO_MARKS_MODE={mode} NAIO_MARKS_FRAMES={} NAIO_MARKS_WARM_UP={WARM_UP} \
         NAIO_MARKS_REPORT=/tmp/testpmd.json",
        plan.frames
    );
    if work.mode == Mode::Rx {
        let _ = write!(environment, " NAIO_MARKS_FEED={FEED}");
    }
    let drivers: String = testpmd.drivers.iter().map(|file| format!(" -d /{FOLDER}/{file}")).collect();
    let eal = format!(
        "--lcores 0@0,1@0 --in-memory --no-telemetry -m {DPDK_MIB} -a {CARD}{drivers} -d /{FOLDER}/testpmd_marks.so"
    );
    // Promiscuous is its default. Flushing would poll before the marks are there.
    let own = format!(
        "--forward-mode={mode} --txpkts={} --burst={BURST} --rxd={RING} --txd={RING} --nb-cores=1 \
         --total-num-mbufs=4096 --no-flush-rx",
        work.size
    );
    format!(
        "{environment} sh -c 'rm -f /tmp/testpmd.json; /{FOLDER}/ld.so --library-path /{FOLDER} \
         /{FOLDER}/dpdk-testpmd {eal} -- {own} <>/tmp/never 2>&1; status=$?; cat /tmp/testpmd.json 2>&1; exit $status'"
    )
}

/// What both programs say about a run; fields that are not listed are ignored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Report {
    /// Frames between the marks.
    pub(super) frames: u64,
    /// Polls, or bursts sent, that moved any.
    pub(super) bursts: u64,
    /// Frames in one of those.
    pub(super) frames_per_poll: f64,
    /// The guest's clock, without waiting to be fed.
    pub(super) seconds: f64,
    /// The same as a rate.
    pub(super) frames_per_s: f64,
}

/// The report of a job that went well.
pub(super) fn report(work: Work, results: &Results, plan: &Plan) -> Result<Report, DriverError> {
    let name = work.step();
    let step = results.step(&name)?;
    if step.status != Some(0) {
        let said = if step.stderr.trim().is_empty() { &step.stdout } else { &step.stderr };
        let stderr = crate::process::tail(said.as_bytes());
        return Err(StepError::Failed { step: name, status: step.status, stderr }.into());
    }
    let doubt = |what: String| DriverError::Report { step: name.clone(), what };
    let line = step.stdout.lines().rev().find(|line| line.starts_with('{'));
    let report: Report =
        serde_json::from_str(line.unwrap_or_default()).map_err(|error| doubt(error.to_string()))?;
    if report.frames < plan.frames {
        return Err(doubt(format!("{} frames were to be moved, {} were", plan.frames, report.frames)));
    }
    if work.who == Who::Testpmd {
        let own = Statistics::of(&step.stdout).ok_or_else(|| doubt("no forward statistics".to_owned()))?;
        let (moved, dropped) = match work.mode {
            Mode::Tx => (own.tx_packets, own.tx_dropped),
            Mode::Rx => (own.rx_packets, 0),
        };
        if moved < report.frames || dropped > 0 {
            return Err(doubt(format!("testpmd itself counts {moved} frames, and {dropped} dropped")));
        }
    }
    Ok(report)
}

/// What testpmd has counted from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Statistics {
    rx_packets: u64,
    tx_packets: u64,
    /// Handed to the driver and not taken.
    tx_dropped: u64,
}

impl Statistics {
    /// Reads the block of port 0, which stands before that of all ports.
    fn of(text: &str) -> Option<Self> {
        let (_, block) = text.split_once("Forward statistics for port 0")?;
        let words: Vec<&str> = block.split_ascii_whitespace().collect();
        let value = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1)?.parse().ok()
        };
        Some(Self {
            rx_packets: value("RX-packets:")?,
            tx_packets: value("TX-packets:")?,
            tx_dropped: value("TX-dropped:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { runs: 1, frames: 1000 };
    const TEXT: &str = "Telling cores to stop...\n  ---------------------- Forward statistics for port 0  -----\n  \
                        RX-packets: 7              RX-dropped: 1             RX-total: 8\n  \
                        TX-packets: 1032           TX-dropped: 0             TX-total: 1032\n  \
                        +++ Accumulated forward statistics for all ports+++\n  RX-packets: 9 TX-packets: 9\n";
    const JSON: &str = "{\"program\":\"testpmd\",\"frames\":1000,\"bursts\":32,\"frames_per_poll\":31.2,\
                        \"seconds\":0.5,\"frames_per_s\":2000.0,\"more\":1}";

    fn outcome(who: Who, mode: Mode, stdout: &str) -> Result<Report, DriverError> {
        let work = Work { mode, size: 64, who };
        let lines: String = stdout.lines().map(|line| format!("o {line}\n")).collect();
        let mut results = Results::default();
        results.feed(format!("@begin {0}\n{lines}@end {0} 0\n", work.step()).as_bytes());
        report(work, &results, &PLAN)
    }

    #[test]
    fn testpmds_own_statistics_must_bear_out_the_marks() {
        let good = format!("{TEXT}{JSON}\n");
        assert_eq!(outcome(Who::Testpmd, Mode::Tx, &good).unwrap().frames, 1000);
        for bad in [
            good.replace("TX-packets: 1032", "TX-packets: 999"),
            good.replace("TX-dropped: 0", "TX-dropped: 3"),
            good.replace("port 0", "port 1"),
            good.replace("\"frames\":1000", "\"frames\":999"),
            TEXT.to_owned(),
        ] {
            assert!(outcome(Who::Testpmd, Mode::Tx, &bad).is_err(), "{bad}");
        }
        // It has received seven, whatever all ports together have.
        assert!(outcome(Who::Testpmd, Mode::Rx, &good).is_err());
        assert!(outcome(Who::Naio, Mode::Rx, JSON).is_ok());
    }

    #[test]
    fn both_arms_do_every_job_with_the_same_frames() {
        let testpmd = Testpmd { folder: "/x".into(), version: "1".into(), drivers: vec!["d.so.9".into()] };
        let works = works(true);
        let script = script(&works, Some(&testpmd), &PLAN);
        for work in &works {
            assert_eq!(script.matches(&format!("step {} ", work.step())).count(), 1, "{script}");
        }
        let told = script.matches("--frames 1000 ").count() + script.matches("_FRAMES=1000 ").count();
        assert_eq!(told, works.len());
        assert_eq!(script.matches("naio-frames serve").count(), 4);
        assert!(script.contains("-d /dpdk/d.so.9 -d /dpdk/testpmd_marks.so"), "{script}");
        assert!(!super::script(&super::works(false), None, &PLAN).contains("testpmd"));
    }
}
