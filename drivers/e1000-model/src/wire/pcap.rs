//! Captures: a wire that replays a file to the card, and one that records what passes.
//!
//! Reads classic pcap (both byte orders, micro- and nanoseconds) and pcapng (enhanced and simple
//! packet blocks of Ethernet interfaces); writes either with nanoseconds ([`Record`]). Every length in a
//! file is checked: a broken file ends the replay, it never panics and never asks for much memory.

mod reader;
mod record;

pub use reader::{Capture, CaptureError, Packet};
pub use record::Record;

use super::{Frame, Wire};
use std::collections::VecDeque;

/// Plays a capture to the card, at the pace of its time stamps or as fast as it takes them. What the
/// card sends is counted and gone.
#[derive(Debug)]
pub struct Replay {
    packets: VecDeque<Packet>,
    paced: bool,
    start_ns: Option<u64>,
    /// Frames the card sent.
    pub sent: u64,
}

impl Replay {
    /// Plays `capture`; `paced` keeps the distances of its time stamps.
    #[must_use]
    pub fn new(capture: Capture, paced: bool) -> Replay {
        Replay { packets: capture.packets.into(), paced, start_ns: None, sent: 0 }
    }

    /// When the first packet left is due, counted from the first look at the wire.
    fn due_ns(&self) -> Option<u64> {
        let packet = self.packets.front()?;
        Some(if self.paced { self.start_ns.unwrap_or(0).saturating_add(packet.at_ns) } else { 0 })
    }
}

impl Wire for Replay {
    fn send(&mut self, frame: &mut Frame, _: u64) {
        self.sent += 1;
        frame.bytes.clear();
    }

    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool {
        self.start_ns.get_or_insert(now_ns);
        if self.due_ns().is_none_or(|at| at > now_ns) {
            return false;
        }
        let Some(packet) = self.packets.pop_front() else { return false };
        *frame = Frame { bytes: packet.bytes, ..Frame::default() };
        // Captures are taken before padding; a wire carries none shorter.
        frame.bytes.resize(frame.bytes.len().max(60), 0);
        true
    }

    fn next_arrival_ns(&self) -> Option<u64> {
        self.due_ns()
    }
}

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;
/// Longest frame in a file.
const SNAP_LEN: u32 = 262_144;
