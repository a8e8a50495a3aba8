//! `naio demo`: the receive and the send experiment over a card in software.
//!
//! Receives the command line; opens both ends, checks each arm once by its hash, lets the arms alternate, and hands
//! the records to the table, the charts, the page and the JSON file. It moves no payload itself.

mod chart;
mod page;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod remote;
pub(crate) mod share;
pub(crate) mod side;
mod station;
pub(crate) mod transfer;
pub(crate) mod wire;

use crate::failure::Failure;
use crate::say;
use naio_bench::size::{MIB, Size};
use record::{Arm, Experiment, Record, table};
use remote::{Ends, Wire};
use share::Share;
use side::Side;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};
use transfer::{CHUNK, RECEIVES, SENDS};

/// Payload of a run, and when every frame is written to a file.
const SIZE: Size = Size(128 * MIB);
const SIZE_RECORDED: Size = Size(4 * MIB);
/// Payload of a run over a wire that loses one frame in a hundred, and at the least where it loses more. Each
/// loss costs a retransmission timeout, which is a second or so.
const SIZE_LOSSY: u64 = MIB / 2;
const SIZE_LOSSY_MIN: u64 = MIB / 16;
/// Runs that are believed to be meant.
const RUNS_MAX: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Payload of one run [default: 128MiB; 4MiB with --pcap; 512KiB with --loss 1%, less with more].
    #[arg(long)]
    size: Option<Size>,
    /// Measured runs of each arm.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=i64::from(RUNS_MAX)))]
    runs: u32,
    /// What joins the card to its partner.
    #[arg(long, value_enum, default_value_t = Wire::Auto)]
    wire: Wire,
    /// Share of all frames that the wire loses, both ways: 1%.
    #[arg(long, value_name = "SHARE")]
    loss: Option<Share>,
    /// Records every frame that the measured card sends or receives, for tcpdump and wireshark.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Writes the runs to FILE, one JSON object a line, with the keys of `cargo rig compare`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the charts and the page go [default: target/naio].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Arguments {
    fn size(&self) -> u64 {
        let usual = match (&self.loss, &self.pcap) {
            (Some(share), _) => Size((SIZE_LOSSY * 100 / u64::from(share.0.max(100))).max(SIZE_LOSSY_MIN)),
            (None, Some(_)) => SIZE_RECORDED,
            (None, None) => SIZE,
        };
        // A run of nothing has no speed.
        self.size.unwrap_or(usual).0.max(1)
    }

    /// What the reader must know to judge the figures.
    fn about(&self, ends: &Ends) -> Vec<String> {
        let loss = self.loss.map_or_else(|| "nothing".into(), |share| format!("{share} of the frames"));
        let cpu = match ends.remote {
            remote::Remote::Linux(_) => {
                "CPU: \u{201c}program\u{201d} is the thread that runs the queue, stack and driver, \u{201c}remote\u{201d} \
                 the Linux process with its system calls, \u{201c}cards\u{201d} the thread of the card in software; \
                 what Linux does with a frame when it takes it from the TAP happens in that thread too, and counts there."
            }
            remote::Remote::Naio(_) => {
                "CPU: \u{201c}program\u{201d} is the thread that runs the queue, stack and driver, \u{201c}remote\u{201d} \
                 its partner's, \u{201c}cards\u{201d} the threads of both cards in software."
            }
        };
        vec![
            format!(
                "An 82540EM in software. Its wire: {}. It loses {loss}. {} for each run, one TCP connection for each \
                 run.",
                ends.why,
                Size(self.size())
            ),
            format!(
                "async-recv: {RECEIVES} registered buffers of {} KiB are posted, looked at in place, and posted \
                 again. sync-recv: poll() and recv(): once the socket is readable, what has arrived is copied into the \
                 program's own memory, at most as much.",
                CHUNK >> 10
            ),
            format!(
                "async-send: the payload lies in {SENDS} registered buffers of {} KiB, sent again as they come \
                 back. sync-send: each call copies it into a free one of {SENDS} such buffers, and waits while \
                 there is none, in place of poll() and send().",
                CHUNK >> 10
            ),
            format!(
                "{cpu} The queues and cards poll, so their threads' CPU time includes waiting. Both arms use the same \
                 driver, stack and queue: compare the arms, not the numbers with a real card's."
            ),
        ]
    }
}

/// Runs the demonstration.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = arguments.out.clone().unwrap_or_else(default_folder);
    fs::create_dir_all(&folder).map_err(|source| Failure::Write { path: folder.clone(), source })?;
    let pieces = Arc::new(transfer::pieces());
    let ends = Ends::open(arguments.wire, arguments.loss, arguments.pcap.as_deref(), &pieces)?;
    let about = arguments.about(&ends);
    about.iter().for_each(say);
    let (tally, card) = (ends.tally.clone(), ends.card.clone());

    let mut side = Side::new(ends, pieces, arguments.size());
    let records = experiments(&mut side, arguments.runs)?;
    for experiment in Experiment::ALL {
        say("");
        say(table(experiment, &of(experiment, &records)).trim_end());
        chart::draw(experiment, &records, &folder)?;
    }
    if let Some(path) = &arguments.json {
        write_json(path, &records)?;
    }
    // The capture is whole once the card that records it is gone.
    drop(side);
    say("");
    let (frames, lost) = tally.frames();
    say(format!("wire: {frames} frames, of which {lost} were lost on purpose"));
    // Counted by the card against the datasheet, cheap checks only.
    say(format!("driver: {} violations of the datasheet", card.violation_count()));
    if let Some(path) = &arguments.pcap {
        if tally.capture_is_incomplete() {
            return Err(Failure::Incomplete(path.clone()));
        }
        say(format!("frames: {} (tcpdump -n -r, wireshark, naio replay)", path.display()));
    }
    say(format!("charts and tables: {}", page::write(&folder, &about, &records)?.display()));
    Ok(())
}

fn experiments(side: &mut Side, runs: u32) -> Result<Vec<Record>, Failure> {
    let mut records = Vec::new();
    for experiment in Experiment::ALL {
        for arm in Arm::of(experiment) {
            side.check(arm)?;
        }
        for run in 1..=runs {
            for arm in Arm::of(experiment) {
                records.push(side.run(arm, run, runs)?);
            }
        }
    }
    Ok(records)
}

fn of(experiment: Experiment, records: &[Record]) -> Vec<Record> {
    records.iter().filter(|record| record.experiment == experiment.name()).cloned().collect()
}

/// `target/naio` of this repository when cargo runs us, of the current folder otherwise.
fn default_folder() -> PathBuf {
    let workspace = env::var_os("CARGO_MANIFEST_DIR")
        .and_then(|manifest| Path::new(&manifest).ancestors().nth(2).map(Path::to_owned));
    workspace.unwrap_or_default().join("target").join("naio")
}

fn write_json(path: &Path, records: &[Record]) -> Result<(), Failure> {
    let mut text = String::new();
    for record in records {
        text += &serde_json::to_string(record)?;
        text.push('\n');
    }
    fs::write(path, text).map_err(|source| Failure::Write { path: path.into(), source })
}
