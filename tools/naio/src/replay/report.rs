//! Tells what became of the frames: a line for each if asked, then a table by outcome, or the same as JSON.
//!
//! Receives fates in the order of the capture. It knows nothing of rooms and counters.

use super::fate::{self, Fate, UNACCOUNTED};
use super::station::Station;
use crate::failure::Failure;
use crate::say;
use naio_e1000_model::Violation;
use naio_e1000_model::wire::pcap::{Capture, Packet};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What the capture was, and what became of it.
pub(super) struct Report {
    outcomes: BTreeMap<String, u64>,
    frames: u64,
    answers: u64,
    /// Frames of which the capture holds only the beginning.
    cut: u64,
    in_file: usize,
    truncated: bool,
    station: Station,
    verbose: bool,
    json: bool,
}

/// One frame, as JSON.
#[derive(Serialize)]
struct FrameObject<'a> {
    frame: usize,
    /// Seconds since the first.
    at_s: f64,
    bytes: usize,
    outcome: &'a str,
    answers: usize,
}

/// The whole, as JSON.
#[derive(Serialize)]
struct Summary<'a> {
    file: &'a Path,
    mac: String,
    address: String,
    frames: u64,
    outcomes: &'a BTreeMap<String, u64>,
    answers: u64,
    /// Frames of which the capture holds only the beginning.
    cut: u64,
    /// The file ends in the middle of something.
    truncated: bool,
    violations: Vec<String>,
}

impl Report {
    pub(super) fn new(station: &Station, capture: &Capture, verbose: bool, json: bool) -> Report {
        let report = Report {
            outcomes: BTreeMap::new(),
            frames: 0,
            answers: 0,
            cut: 0,
            in_file: capture.packets.len(),
            truncated: capture.truncated,
            station: *station,
            verbose,
            json,
        };
        if !json {
            report.say_who();
        }
        report
    }

    fn say_who(&self) {
        let Station { mac, address, guessed } = self.station;
        let why =
            if guessed { ", the receiver in the capture (--mac and --address choose another)" } else { "" };
        say(format!("station: {mac}, {}/{}{why}", address.address, address.prefix_len));
        if self.verbose {
            say("\n  frame      seconds   bytes  outcome                     answers");
        }
    }

    /// The fate of frame `n`, counted from 1 as tcpdump and wireshark do.
    pub(super) fn frame(&mut self, n: usize, packet: &Packet, fate: &Fate) -> Result<(), Failure> {
        *self.outcomes.entry(fate.outcome.clone()).or_default() += 1;
        self.frames += 1;
        self.answers += fate.answers as u64;
        self.cut += u64::from(packet.original_len > packet.bytes.len());
        let (at_s, bytes) = (packet.at_ns as f64 / 1e9, packet.bytes.len());
        match (self.verbose, self.json) {
            (false, _) => {}
            (true, false) => {
                let answers = if fate.answers > 0 { fate.answers.to_string() } else { String::new() };
                say(format!("{n:>7} {at_s:>12.6} {bytes:>7}  {:<27} {answers:>7}", fate.outcome).trim_end());
            }
            (true, true) => {
                let object =
                    FrameObject { frame: n, at_s, bytes, outcome: &fate.outcome, answers: fate.answers };
                say(serde_json::to_string(&object)?);
            }
        }
        Ok(())
    }

    /// The table, or the object; an error if a frame is unaccounted for.
    pub(super) fn finish(self, file: &Path, violations: &[Violation]) -> Result<(), Failure> {
        if self.json {
            let summary = Summary {
                file,
                mac: self.station.mac.to_string(),
                address: format!("{}/{}", self.station.address.address, self.station.address.prefix_len),
                frames: self.frames,
                outcomes: &self.outcomes,
                answers: self.answers,
                cut: self.cut,
                truncated: self.truncated,
                violations: violations.iter().map(ToString::to_string).collect(),
            };
            say(serde_json::to_string(&summary)?);
        } else {
            self.table(violations);
        }
        match self.outcomes.get(UNACCOUNTED) {
            Some(count) => Err(Failure::Unaccounted(*count)),
            None => Ok(()),
        }
    }

    fn table(&self, violations: &[Violation]) {
        say(format!("\n{:<27} {:>8}  what that means", "outcome", "frames"));
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
        for (name, count) in outcomes {
            say(format!("{name:<27} {count:>8}  {}", fate::meaning(name)));
        }
        say(format!("{:<27} {:>8}  of {} in the file", "all", self.frames, self.in_file));
        say(format!("\nanswers: {} frames that the station sent because of them", self.answers));
        if self.cut > 0 {
            say(format!(
                "note: of {} frames the capture holds only the beginning; they went in as short as they are \
                 (tcpdump -s 0 keeps all)",
                self.cut
            ));
        }
        if self.truncated {
            say("note: the file ends in the middle of something; what came before was pushed");
        }
        for violation in violations {
            say(format!("violation of the datasheet by the driver: {violation}"));
        }
    }
}
