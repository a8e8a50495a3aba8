//! The measured side: one run of one arm, against whatever partner there is.
//!
//! Receives both ends, hands on records. Which runs there are, and what becomes of the records, is not its business.

use super::progress::Progress;
use super::record::{Arm, Experiment, Record};
use super::remote::{Ends, Remote};
use super::transfer::{self, Receiver, Sender, letter, settle};
use crate::failure::Failure;
use aio_api::{Kind, SocketId, SocketOptions};
use naio_bench::cpu::Snapshot;
use naio_bench::protocol::{DIGEST_LEN, Request};
use naio_bench::sending::check_answer;
use naio_bench::sha::{Digest, hex};
use naio_bench::size::MIB;
use naio_sys::clock;
use std::sync::Arc;

/// Bytes of the count in the answer of a sink.
const COUNT_LEN: usize = 8;

/// The measured side, and its partner.
pub(crate) struct Side {
    ends: Ends,
    pieces: Arc<Vec<Vec<u8>>>,
    bytes: u64,
}

/// What two sides say about the payload of a hashed run.
struct Hashes {
    /// The one that received.
    arrived: Digest,
    /// The one that sent.
    sent: Digest,
}

impl Side {
    pub(crate) fn new(ends: Ends, pieces: Arc<Vec<Vec<u8>>>, bytes: u64) -> Side {
        Side { ends, pieces, bytes }
    }

    /// The hashed run of an arm. Hashing takes part of the time in its record.
    pub(crate) fn check(&mut self, arm: Arm) -> Result<Record, Failure> {
        let mut progress = Progress::new(format!("{} hashed", arm.name()), self.bytes);
        let (record, hashes) = self.measure(arm, true, &mut progress)?;
        let told = |digest: &Digest| hex(digest);
        match hashes {
            Some(Hashes { arrived, sent }) if arrived == sent => {
                progress.done(format!("moved the right bytes, SHA-256 {:.16}…", told(&sent)));
                Ok(Record { sha256_ok: Some(true), ..record })
            }
            other => Err(Failure::Hash {
                arm: arm.name(),
                got: other.as_ref().map_or_else(|| "none".into(), |hashes| told(&hashes.arrived)),
                expected: other.as_ref().map_or_else(|| "one".into(), |hashes| told(&hashes.sent)),
            }),
        }
    }

    /// A measured run of an arm whose hashed run was right.
    pub(crate) fn run(&mut self, arm: Arm, run: u32, runs: u32) -> Result<Record, Failure> {
        let mut progress = Progress::new(format!("{} run {run} of {runs}", arm.name()), self.bytes);
        let (record, _) = self.measure(arm, false, &mut progress)?;
        progress.done(format!("{:.1} MB/s", record.mb_per_s));
        Ok(Record { sha256_ok: Some(true), run, ..record })
    }

    /// The figures of a run and, if asked for, the hashes. The measured part is from before the connect to the last
    /// byte here, or to the partner's word that it has it.
    fn measure(
        &mut self,
        arm: Arm,
        hashed: bool,
        progress: &mut Progress,
    ) -> Result<(Record, Option<Hashes>), Failure> {
        self.ends.remote.begin()?;
        let before = self.ends.queue.counters().queue;
        let (process, machine) = (clock::process_cpu(), Snapshot::take());
        let program = clock::thread_cpu();
        let (socket, hashes) = match arm.experiment {
            Experiment::Receive => self.receive(arm, hashed, progress)?,
            Experiment::Send => self.send(arm, hashed, progress)?,
        };
        let program = clock::thread_cpu().saturating_sub(program);
        let usage = Snapshot::take().since(&machine);
        let process = clock::process_cpu().saturating_sub(process);
        let after = self.ends.queue.counters().queue;

        self.ends.queue.close(socket, 0)?;
        let remote = self.ends.remote.cpu(&mut self.ends.queue)?;
        settle(&mut self.ends.queue)?;
        let turns = after.rx_turns - before.rx_turns;
        let frames = after.rx_frames - before.rx_frames;
        let others =
            process.saturating_sub(program).saturating_sub(self.ends.remote.share_of_process(remote));
        let record = Record {
            topology: self.ends.remote.topology(),
            frames_per_turn: (turns > 0).then(|| frames as f64 / turns as f64),
            empty_turns_per_mib: (after.empty_turns - before.empty_turns) as f64 * MIB as f64
                / self.bytes as f64,
            program_cpu_s: program.as_secs_f64(),
            remote_cpu_s: remote.as_secs_f64(),
            cards_cpu_s: others.as_secs_f64(),
            ..Record::new(arm, self.bytes, usage.seconds, usage.busy)
        };
        Ok((record, hashes))
    }

    fn receive(
        &mut self,
        arm: Arm,
        hashed: bool,
        progress: &mut Progress,
    ) -> Result<(SocketId, Option<Hashes>), Failure> {
        let receiver = Receiver::new(&self.ends.queue, arm.style, hashed)?;
        let socket = self.connect(arm.experiment, Request { bytes: self.bytes, sha256: hashed })?;
        let tail = if hashed { DIGEST_LEN } else { 0 };
        let step = &mut |moved| progress.step(moved);
        let got = receiver.run(&mut self.ends.queue, socket, Some(self.bytes), tail, step)?;
        let sent = got.tail.first_chunk().copied();
        Ok((socket, got.digest.zip(sent).map(|(arrived, sent)| Hashes { arrived, sent })))
    }

    fn send(
        &mut self,
        arm: Arm,
        hashed: bool,
        progress: &mut Progress,
    ) -> Result<(SocketId, Option<Hashes>), Failure> {
        let pieces = self.pieces.clone();
        let sender = Sender::new(&self.ends.queue, arm.style, &pieces)?;
        let answer = Receiver::new(&self.ends.queue, arm.style, false)?;
        let socket = self.connect(arm.experiment, Request { bytes: 0, sha256: hashed })?;
        let queue = &mut self.ends.queue;
        sender.run(queue, socket, self.bytes, &mut |moved| progress.step(moved))?;
        queue.shutdown(socket, 0)?;
        let tail = COUNT_LEN + if hashed { DIGEST_LEN } else { 0 };
        let got = answer.run(queue, socket, Some(0), tail, &mut |_| {})?;
        let hashes = match got.tail.get(COUNT_LEN..).and_then(|digest| digest.first_chunk()) {
            Some(arrived) => Some(Hashes { arrived: *arrived, sent: transfer::digest(&pieces, self.bytes) }),
            None => None,
        };
        check_answer(&got.tail, self.bytes, hashes.as_ref().map(|hashes| &hashes.sent))?;
        Ok((socket, hashes))
    }

    /// Connects and asks for what the experiment needs.
    fn connect(&mut self, experiment: Experiment, request: Request) -> Result<SocketId, Failure> {
        let queue = &mut self.ends.queue;
        let wire = request.encode();
        let letter = letter(queue, &wire)?;
        let socket = queue.socket(SocketOptions::default())?;
        queue.connect(socket, Remote::address(experiment), 0)?;
        let mut done = Vec::new();
        loop {
            transfer::wait(queue, &mut done)?;
            if let Some(done) = done.drain(..).find(|done| done.kind == Kind::Connect) {
                done.result.map_err(|error| Failure::Operation("the connect", error))?;
                queue.send(socket, letter, 0..wire.len(), 0)?;
                return Ok(socket);
            }
        }
    }
}
