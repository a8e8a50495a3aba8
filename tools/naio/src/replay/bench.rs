//! The bench: a card in software, the driver and the stack in one virtual time, and the eyes on each of them.
//!
//! Receives one packet at a time and hands on its fate, found by comparing the counters of every room before and
//! after. Time passes as in the capture.

use super::Arguments;
use super::fate::{self, Fate, Seen};
use super::station::Station;
use crate::card::drive;
use crate::failure::Failure;
use aio_api::{Builder, Completion, EventQueue};
use naio_e1000_model::wire::pcap::Packet;
use naio_e1000_model::wire::scripted::{Script, Scripted};
use naio_e1000_model::{Card, Frame, Options};
use naio_sys::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Shortest frame on a wire, without FCS. Captures are taken before a transmitter pads.
const FRAME_LEN_MIN: usize = 60;
/// Longest time that passes between two frames, whatever their stamps say.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Turns of the queue after a frame: one that finds it, one that sends what it caused.
const TURNS: usize = 2;
/// Connections that may wait at a port.
const BACKLOG: usize = 128;

/// Everything a frame passes.
pub(super) struct Bench {
    queue: EventQueue,
    pub(super) card: Card,
    script: Script,
    last_ns: u64,
    seen: Seen,
    done: Vec<Completion>,
}

impl Bench {
    /// Brings everything up as `station`.
    pub(super) fn open(arguments: &Arguments, station: &Station) -> Result<Bench, Failure> {
        let (wire, script) = Scripted::new();
        let clock = Clock::Manual(Arc::new(AtomicU64::new(0)));
        let options = Options { mac: station.mac.0, clock: clock.clone(), ..arguments.card.options()? };
        let driven = drive(options, wire, |_| {})?;
        let mut builder = Builder::new(station.address).clock(clock);
        if let Some(ipv6) = arguments.ipv6 {
            builder = builder.ipv6(ipv6.config());
        }
        let queue = builder.build(Box::new(driven.nic), driven.domain).map_err(Failure::Queue)?;
        let mut bench =
            Bench { queue, card: driven.card, script, last_ns: 0, seen: Seen::default(), done: Vec::new() };
        for port in &arguments.listen {
            bench.queue.listen(*port, BACKLOG)?;
        }
        for port in &arguments.udp {
            bench.queue.udp_bind(*port)?;
        }
        // What the station says by itself when it comes up is nobody's answer.
        bench.work();
        bench.answers();
        bench.seen = Seen::look(&bench.card, &mut bench.queue);
        Ok(bench)
    }

    /// Puts one packet on the wire and finds out what becomes of it.
    pub(super) fn push(&mut self, packet: &Packet, station: &Station) -> Result<Fate, Failure> {
        let pause = Duration::from_nanos(packet.at_ns.saturating_sub(self.last_ns)).min(PAUSE_MAX);
        self.last_ns = packet.at_ns.max(self.last_ns);
        self.card.advance(pause);
        // Timers that ran out meanwhile speak before the frame comes: what they say is no answer to it.
        self.work();
        self.answers();
        self.seen = Seen::look(&self.card, &mut self.queue);
        let mut bytes = packet.bytes.clone();
        bytes.resize(bytes.len().max(FRAME_LEN_MIN), 0);
        self.script.put(Frame::good(&bytes));
        self.work();
        let answers = self.answers();
        let taken = self.script.waiting() == 0;
        let now = Seen::look(&self.card, &mut self.queue);
        let outcome = fate::of(&bytes, station, taken, &self.seen, &now);
        Ok(Fate { outcome, answers })
    }

    /// The card, the driver and the stack do what there is to do.
    fn work(&mut self) {
        self.card.run();
        for _ in 0..TURNS {
            self.queue.poll(&mut self.done);
            self.done.clear();
            self.card.run();
        }
    }

    /// Frames that the station has sent.
    fn answers(&mut self) -> usize {
        std::iter::from_fn(|| self.script.take()).count()
    }
}
