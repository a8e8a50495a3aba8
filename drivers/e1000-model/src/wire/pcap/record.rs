//! A wire that records what passes, both directions, as classic pcap or as pcapng.
//!
//! Receives any wire and a file; hands frames on unchanged and writes each down with the card's time.
//! A file that takes no more stops nothing but the recording.

use super::{ETHERNET, SNAP_LEN};
use crate::wire::{Fcs, Frame, LineError, Waker, Wire};
use std::io::Write;
use std::time::Duration;

/// Magic number of classic pcap with nanoseconds.
const MAGIC_NS: u32 = 0xa1b2_3c4d;
/// Blocks of a pcapng file.
const SECTION: u32 = 0x0a0d_0d0a;
const SECTION_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const ENHANCED: u32 = 6;
/// Options: resolution of time stamps (interface), flags (packet).
const TIME_RESOLUTION: u32 = 9;
const FLAGS: u32 = 2;
/// Flags of a packet: direction in bits 1:0, FCS error, symbol error.
const RECEIVED: u32 = 1;
const SENT: u32 = 2;
const WRONG_FCS: u32 = 1 << 24;
const WRONG_SYMBOL: u32 = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Classic,
    NextGeneration,
}

/// Any wire, with everything that passes written to a file.
pub struct Record<W, F> {
    inner: W,
    file: F,
    format: Format,
    block: Vec<u8>,
    /// Frames that could not be written; the wire goes on.
    pub lost: u64,
}

impl<W: Wire, F: Write> Record<W, F> {
    /// Starts a classic pcap file; the header is written at once. Directions are not told apart.
    ///
    /// # Errors
    /// The file does not take it.
    pub fn new(inner: W, mut file: F) -> std::io::Result<Record<W, F>> {
        let words = [MAGIC_NS, 2 | 4 << 16, 0, 0, SNAP_LEN, ETHERNET];
        file.write_all(words.map(u32::to_le_bytes).as_flattened())?;
        Ok(Record { inner, file, format: Format::Classic, block: Vec::new(), lost: 0 })
    }

    /// Starts a pcapng file; its headers are written at once. Each packet says whether the card sent or
    /// received it, and whether its FCS was wrong.
    ///
    /// # Errors
    /// The file does not take it.
    pub fn next_generation(inner: W, mut file: F) -> std::io::Result<Record<W, F>> {
        let unknown = u32::MAX;
        let section = [SECTION, 28, SECTION_ORDER, 1, unknown, unknown, 28];
        // Nanoseconds: the value 9 in an option of one byte.
        let interface = [INTERFACE, 32, ETHERNET, SNAP_LEN, TIME_RESOLUTION | 1 << 16, 9, 0, 32];
        file.write_all(section.map(u32::to_le_bytes).as_flattened())?;
        file.write_all(interface.map(u32::to_le_bytes).as_flattened())?;
        Ok(Record { inner, file, format: Format::NextGeneration, block: Vec::new(), lost: 0 })
    }

    fn write(&mut self, frame: &Frame, direction: u32, now_ns: u64) {
        let len = frame.bytes.len() as u32;
        self.block.clear();
        match self.format {
            Format::Classic => {
                let (seconds, rest) = (now_ns / 1_000_000_000, now_ns % 1_000_000_000);
                put(&mut self.block, &[seconds as u32, rest as u32, len, len]);
                self.block.extend_from_slice(&frame.bytes);
            }
            Format::NextGeneration => {
                let padded = len.next_multiple_of(4);
                // Six words, the packet, an option of two words, the end of options, the length again.
                let total = 28 + padded + 16;
                let head = [ENHANCED, total, 0, (now_ns >> 32) as u32, now_ns as u32, len, len];
                put(&mut self.block, &head);
                self.block.extend_from_slice(&frame.bytes);
                self.block.resize(28 + padded as usize, 0);
                let fcs = if frame.fcs == Fcs::Good { 0 } else { WRONG_FCS };
                let symbol = if frame.error == LineError::Symbol { WRONG_SYMBOL } else { 0 };
                put(&mut self.block, &[FLAGS | 4 << 16, direction | fcs | symbol, 0, total]);
            }
        }
        self.lost += u64::from(self.file.write_all(&self.block).is_err());
    }
}

fn put(block: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        block.extend_from_slice(&word.to_le_bytes());
    }
}

impl<W: Wire, F: Write + Send> Wire for Record<W, F> {
    fn ready(&mut self, now_ns: u64) -> bool {
        self.inner.ready(now_ns)
    }

    fn send(&mut self, frame: &mut Frame, now_ns: u64) {
        self.write(frame, SENT, now_ns);
        self.inner.send(frame, now_ns);
    }

    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool {
        let any = self.inner.receive(frame, now_ns);
        if any {
            self.write(frame, RECEIVED, now_ns);
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
