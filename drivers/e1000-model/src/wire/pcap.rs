//! Captures: a wire that replays a file to the card, and one that records what passes.
//!
//! Reads classic pcap (both byte orders, micro- and nanoseconds) and pcapng (enhanced and simple
//! packet blocks of Ethernet interfaces); writes classic pcap with nanoseconds. Every length in a
//! file is checked: a broken file ends the replay, it never panics and never asks for much memory.

mod reader;

pub use reader::{Capture, CaptureError, Packet};

use super::{Frame, Waker, Wire};
use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

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

/// Any wire, with everything that passes written to a file as classic pcap, both directions.
pub struct Record<W, F> {
    inner: W,
    file: F,
    /// Frames that could not be written; the wire goes on.
    pub lost: u64,
}

/// Magic number of classic pcap with nanoseconds.
const MAGIC_NS: u32 = 0xa1b2_3c4d;
/// LINKTYPE_ETHERNET.
pub(super) const ETHERNET: u32 = 1;
/// Longest frame in a file.
pub(super) const SNAP_LEN: u32 = 262_144;

impl<W: Wire, F: Write> Record<W, F> {
    /// Starts a file; the header is written at once.
    ///
    /// # Errors
    /// The file does not take it.
    pub fn new(inner: W, mut file: F) -> std::io::Result<Record<W, F>> {
        let words = [MAGIC_NS, 2 | 4 << 16, 0, 0, SNAP_LEN, ETHERNET];
        for word in words {
            file.write_all(&word.to_le_bytes())?;
        }
        Ok(Record { inner, file, lost: 0 })
    }

    fn write(&mut self, frame: &Frame, now_ns: u64) {
        let len = frame.bytes.len() as u32;
        let mut head = [0; 16];
        let words = [(now_ns / 1_000_000_000) as u32, (now_ns % 1_000_000_000) as u32, len, len];
        for (place, word) in head.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let written = self.file.write_all(&head).and_then(|()| self.file.write_all(&frame.bytes));
        self.lost += u64::from(written.is_err());
    }
}

impl<W: Wire, F: Write + Send> Wire for Record<W, F> {
    fn ready(&mut self, now_ns: u64) -> bool {
        self.inner.ready(now_ns)
    }

    fn send(&mut self, frame: &mut Frame, now_ns: u64) {
        self.write(frame, now_ns);
        self.inner.send(frame, now_ns);
    }

    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool {
        let any = self.inner.receive(frame, now_ns);
        if any {
            self.write(frame, now_ns);
        }
        any
    }

    fn carrier(&mut self, now_ns: u64) -> bool {
        self.inner.carrier(now_ns)
    }

    fn next_arrival_ns(&self) -> Option<u64> {
        self.inner.next_arrival_ns()
    }

    fn set_waker(&mut self, waker: Waker) {
        self.inner.set_waker(waker);
    }

    fn sleep_max(&self) -> Option<Duration> {
        self.inner.sleep_max()
    }
}
