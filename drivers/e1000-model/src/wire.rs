//! Wires: what a card's frames leave by and arrive from.
//!
//! A [`Wire`] takes frames from the card's MAC and gives it those that have arrived. Frames carry no
//! FCS: [`Fcs`] says whether the one on the wire is right, so that the usual frame costs no CRC. No
//! wire knows the card behind it, and wires compose: `impair` wraps any other.

pub mod impair;
pub mod pair;
pub mod pcap;
pub mod scripted;
pub mod tap;

use std::time::Duration;

/// The frame check sequence of a frame on a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fcs {
    /// Right, and therefore not spelled out.
    #[default]
    Good,
    /// These four bytes, which are wrong.
    Wrong([u8; 4]),
}

/// What the physical layer says about a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineError {
    /// Nothing.
    #[default]
    None,
    /// A symbol error.
    Symbol,
    /// An alignment error (10 and 100 Mb/s).
    Alignment,
    /// A sequence error (ten-bit interface).
    Sequence,
    /// A carrier extension error.
    CarrierExtension,
}

/// A frame on a wire: destination address first, without FCS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What follows them.
    pub fcs: Fcs,
    /// What the physical layer saw.
    pub error: LineError,
}

impl Frame {
    /// A good frame.
    #[must_use]
    pub fn good(bytes: &[u8]) -> Frame {
        Frame { bytes: bytes.to_vec(), ..Frame::default() }
    }

    /// Bytes with FCS.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.bytes.len() + 4
    }

    /// The FCS as it is on the wire.
    #[must_use]
    pub fn fcs_bytes(&self) -> [u8; 4] {
        match self.fcs {
            Fcs::Good => crate::fcs::fcs(&self.bytes),
            Fcs::Wrong(bytes) => bytes,
        }
    }
}

/// Wakes the thread of a card whose wire has something new.
#[derive(Clone)]
pub struct Waker(pub(crate) std::sync::Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// Something may have arrived.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// One end of a wire. Times are nanoseconds of the card's clock.
pub trait Wire: Send {
    /// Whether the wire takes a frame now; a card waits with its frame otherwise.
    fn ready(&mut self, now_ns: u64) -> bool {
        let _ = now_ns;
        true
    }

    /// Takes a frame. It may take the buffer too and leave another (empty) one behind.
    fn send(&mut self, frame: &mut Frame, now_ns: u64);

    /// Puts the next frame that has arrived into `frame`, false if there is none.
    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool;

    /// Whether a live partner is at the other end.
    fn carrier(&mut self, now_ns: u64) -> bool {
        let _ = now_ns;
        true
    }

    /// When something arrives that has not arrived yet, as far as the wire knows.
    fn next_arrival_ns(&self) -> Option<u64> {
        None
    }

    /// Tells the wire whom to wake when a frame arrives.
    fn set_waker(&mut self, waker: Waker) {
        let _ = waker;
    }

    /// Longest sleep of a card's thread on this wire, for wires that cannot wake anybody.
    fn sleep_max(&self) -> Option<Duration> {
        None
    }
}

impl<W: Wire + ?Sized> Wire for Box<W> {
    fn ready(&mut self, now_ns: u64) -> bool {
        (**self).ready(now_ns)
    }
    fn send(&mut self, frame: &mut Frame, now_ns: u64) {
        (**self).send(frame, now_ns);
    }
    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool {
        (**self).receive(frame, now_ns)
    }
    fn carrier(&mut self, now_ns: u64) -> bool {
        (**self).carrier(now_ns)
    }
    fn next_arrival_ns(&self) -> Option<u64> {
        (**self).next_arrival_ns()
    }
    fn set_waker(&mut self, waker: Waker) {
        (**self).set_waker(waker);
    }
    fn sleep_max(&self) -> Option<Duration> {
        (**self).sleep_max()
    }
}

/// A wire that leads nowhere: what is sent is gone, nothing arrives, the carrier is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl Wire for Null {
    fn send(&mut self, frame: &mut Frame, _: u64) {
        frame.bytes.clear();
    }

    fn receive(&mut self, _: &mut Frame, _: u64) -> bool {
        false
    }
}
