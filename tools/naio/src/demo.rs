//! `naio demo`: the receive and the send experiment over two cards in software.
//!
//! Receives the command line; opens both ends, checks each arm once by its hash, lets the arms alternate, and hands
//! the records to the table, the charts, the page and the JSON file. It moves no payload itself.

use crate::failure::Failure;
use crate::record::{Arm, Experiment, Record, table};
use crate::remote::{self, Job, Remote};
use crate::transfer::{self, CHUNK, Moved, RECEIVES, Receiver, SENDS, Sender};
use crate::{chart, page, say};
use aio_api::{EventQueue, Kind, SocketId, SocketOptions};
use naio_bench::cpu::Snapshot;
use naio_bench::sha::hex;
use naio_bench::size::{MIB, Size};
use naio_sys::clock;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs, io};

/// The measured side's address.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// Payload of a run, and of a run over a wire that loses frames.
const SIZE: Size = Size(256 * MIB);
const SIZE_LOSSY: Size = Size(MIB / 2);
/// Runs that are believed to be meant.
const RUNS_MAX: u32 = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Payload of one run; 256MiB, or 512KiB with --loss.
    #[arg(long)]
    size: Option<Size>,
    /// Measured runs of each arm.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=i64::from(RUNS_MAX)))]
    runs: u32,
    /// Share of all frames that the wire loses, both ways: 1%.
    #[arg(long)]
    loss: Option<String>,
    /// Writes the runs to FILE, one JSON object a line, with the keys of `cargo rig compare`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the charts and the page go; target/naio by default.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Arguments {
    fn size(&self) -> u64 {
        let size = self.size.unwrap_or(if self.loss.is_some() { SIZE_LOSSY } else { SIZE });
        // A run of nothing has no speed.
        size.0.max(1)
    }

    /// The name that opens either card.
    fn card(&self) -> String {
        match &self.loss {
            Some(share) => format!("model:pair:demo?loss={share}"),
            None => "model:pair:demo".into(),
        }
    }

    /// What the reader must know to judge the figures.
    fn about(&self) -> Vec<String> {
        let loss = self.loss.as_deref().unwrap_or("nothing");
        vec![
            format!(
                "Two 82540EM in software (model:pair) joined by a wire in memory that loses {loss}. The remote is \
                 a second naio stack in a thread of its own and always asynchronous; the host's Linux over a TAP \
                 is not offered here yet. {} for each run, one TCP connection for each run.",
                Size(self.size())
            ),
            format!(
                "async-recv: {RECEIVES} registered buffers of {} KiB are posted, looked at in place, and posted \
                 again. sync-recv: one such receive at a time, in place of poll() and recv(); its bytes are copied \
                 out before the next one is posted.",
                CHUNK >> 10
            ),
            format!(
                "async-send: the payload lies in {SENDS} registered buffers of {} KiB, sent again as they come \
                 back. sync-send: each call copies it into a free one of {SENDS} such buffers, and waits while \
                 there is none, in place of poll() and send().",
                CHUNK >> 10
            ),
            "Both arms use the same driver, stack and queue, and all four threads (two queues, two cards) poll: \
             the CPU time of a thread includes its waiting. Compare the arms, not the numbers with a real card's."
                .into(),
        ]
    }
}

/// Runs the demonstration.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let about = arguments.about();
    about.iter().for_each(say);
    let folder = arguments.out.clone().unwrap_or_else(default_folder);
    fs::create_dir_all(&folder).map_err(|source| Failure::Write { path: folder.clone(), source })?;

    let pieces = Arc::new(transfer::pieces());
    let remote = Remote::start(&arguments.card(), pieces.clone())?;
    let queue = remote::open(&arguments.card(), ADDRESS)?;
    let mut side = Side { queue, remote, pieces, bytes: arguments.size() };
    let mut records = Vec::new();
    for experiment in Experiment::ALL {
        for arm in Arm::of(experiment) {
            side.check(arm)?;
        }
        for run in 1..=arguments.runs {
            for arm in Arm::of(experiment) {
                let record = Record { sha256_ok: Some(true), run, ..side.measure(arm, false)?.0 };
                progress(&format!(
                    "{} run {run} of {}: {:.1} MB/s",
                    arm.name(),
                    arguments.runs,
                    record.mb_per_s
                ));
                records.push(record);
            }
        }
    }
    for experiment in Experiment::ALL {
        say("");
        say(table(experiment, &of(experiment, &records)).trim_end());
        chart::draw(experiment, &records, &folder)?;
    }
    if let Some(path) = &arguments.json {
        write_json(path, &records)?;
    }
    say("");
    say(format!("charts and tables: {}", page::write(&folder, &about, &records)?.display()));
    Ok(())
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

/// A line on standard error, which may be closed.
fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "  {line}");
}

fn write_json(path: &Path, records: &[Record]) -> Result<(), Failure> {
    let mut text = String::new();
    for record in records {
        text += &serde_json::to_string(record)?;
        text.push('\n');
    }
    fs::write(path, text).map_err(|source| Failure::Write { path: path.into(), source })
}

/// The measured side, and its partner.
struct Side {
    queue: EventQueue,
    remote: Remote,
    pieces: Arc<Vec<Vec<u8>>>,
    bytes: u64,
}

impl Side {
    /// The hashed run of an arm.
    fn check(&mut self, arm: Arm) -> Result<(), Failure> {
        let (_, digest) = self.measure(arm, true)?;
        let expected = transfer::digest(&self.pieces, self.bytes);
        match digest {
            Some(digest) if digest == expected => {
                progress(&format!("{} moved the right bytes: SHA-256 {:.16}…", arm.name(), hex(&digest)));
                Ok(())
            }
            got => Err(Failure::Hash {
                arm: arm.name(),
                got: got.map_or_else(|| "none".into(), |digest| hex(&digest)),
                expected: hex(&expected),
            }),
        }
    }

    /// One run: the figures of it and, if asked for, the hash of what arrived. The measured part is from before the
    /// connect to the last byte here, or to its acknowledgement.
    fn measure(
        &mut self,
        arm: Arm,
        hashed: bool,
    ) -> Result<(Record, Option<naio_bench::sha::Digest>), Failure> {
        let receives = arm.experiment == Experiment::Receive;
        let job = Job { sends: receives, bytes: self.bytes, hashed: hashed && !receives };
        let pieces = self.pieces.clone();
        let receiver = Receiver::new(&self.queue, arm.style, hashed)?;
        let sender = Sender::new(&self.queue, arm.style, &pieces)?;
        self.remote.ask(job)?;

        let counters = self.queue.counters().queue;
        let (before, cpu) = (Snapshot::take(), clock::thread_cpu());
        let socket = self.connect()?;
        let moved: Moved = if receives {
            receiver.run(&mut self.queue, socket, self.bytes)?
        } else {
            sender.run(&mut self.queue, socket, self.bytes)?
        };
        let (usage, cpu) = (Snapshot::take().since(&before), clock::thread_cpu().saturating_sub(cpu));
        let after = self.queue.counters().queue;

        self.queue.close(socket, 0)?;
        let outcome = self.remote.outcome(&mut self.queue)?;
        remote::settle(&mut self.queue)?;
        let turns = after.rx_turns - counters.rx_turns;
        let frames = after.rx_frames - counters.rx_frames;
        let (program, remote) = (cpu.as_secs_f64(), outcome.cpu.as_secs_f64());
        let record = Record {
            frames_per_turn: (turns > 0).then(|| frames as f64 / turns as f64),
            empty_turns_per_mib: (after.empty_turns - counters.empty_turns) as f64 * MIB as f64
                / self.bytes as f64,
            program_cpu_s: program,
            remote_cpu_s: remote,
            cards_cpu_s: (usage.user_s + usage.sys_s - program - remote).max(0.0),
            ..Record::new(arm, self.bytes, usage.seconds, usage.busy)
        };
        Ok((record, moved.digest.or(outcome.moved.digest)))
    }

    fn connect(&mut self) -> Result<SocketId, Failure> {
        let socket = self.queue.socket(SocketOptions::default())?;
        self.queue.connect(socket, Remote::address(), 0)?;
        let mut done = Vec::new();
        loop {
            transfer::wait(&mut self.queue, &mut done)?;
            if let Some(done) = done.drain(..).find(|done| done.kind == Kind::Connect) {
                done.result.map_err(|error| Failure::Operation("the connect", error))?;
                return Ok(socket);
            }
        }
    }
}
