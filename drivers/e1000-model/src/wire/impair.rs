//! A wire that does harm: seeded loss, duplication, reordering, corruption, delay, jitter, a rate
//! and a queue, in front of any other wire.
//!
//! Impairs what the card *sends*; put one at each end to impair both ways. Everything it did is
//! counted, and the same seed does the same again. Corrupted frames keep a wrong FCS, or, if asked,
//! arrive with a right one, as after a broken switch.

use super::{Fcs, Frame, Waker, Wire};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Preamble, start of frame, FCS and gap of a frame on a line.
const LINE_OVERHEAD: u64 = 24;

/// What is done to frames; rates are in frames of 10 000. `Default` does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Harm {
    /// Lost.
    pub loss: u32,
    /// Sent twice.
    pub duplicate: u32,
    /// Held back by up to [`Harm::reorder_us`], so that later ones overtake.
    pub reorder: u32,
    /// Longest time a reordered frame is held back, in microseconds.
    pub reorder_us: u64,
    /// One to four bytes changed.
    pub corrupt: u32,
    /// A corrupted frame keeps a right FCS.
    pub corrupt_silently: bool,
    /// Time on the way, in microseconds.
    pub delay_us: u64,
    /// Up to this much more, drawn for each frame; order is kept.
    pub jitter_us: u64,
    /// Speed of the line in kilobits a second; 0 is infinite.
    pub rate_kbit: u64,
    /// Frames that may wait for the line; more are dropped. 0 is no limit but the hard one.
    pub queue_frames: usize,
}

/// Frames that any impaired wire holds at most.
const HELD_MAX: usize = 65_536;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Harmed {
    /// Frames the card sent.
    pub sent: u64,
    /// Frames passed on, copies counted.
    pub passed: u64,
    /// Lost on purpose.
    pub lost: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Changed.
    pub corrupted: u64,
    /// Dropped because the queue was full.
    pub overflowed: u64,
}

/// A test's hand on an impaired wire; clones are the same.
#[derive(Clone, Debug)]
pub struct Knob {
    shared: Arc<Mutex<(Harm, Harmed)>>,
}

impl Knob {
    /// Changes what happens from now on.
    pub fn set(&self, harm: Harm) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).0 = harm;
    }

    /// What was done so far.
    #[must_use]
    pub fn harmed(&self) -> Harmed {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// Any wire, impaired.
pub struct Impair<W> {
    inner: W,
    knob: Knob,
    random: fastrand::Rng,
    /// By departure time, then by number.
    held: BTreeMap<(u64, u64), Frame>,
    next: u64,
    line_free_ns: u64,
    last_ns: u64,
    spare: Vec<Vec<u8>>,
}

impl<W: Wire> Impair<W> {
    /// Puts harm in front of `inner`.
    #[must_use]
    pub fn new(inner: W, harm: Harm, seed: u64) -> (Impair<W>, Knob) {
        let knob = Knob { shared: Arc::new(Mutex::new((harm, Harmed::default()))) };
        let wire = Impair {
            inner,
            knob: knob.clone(),
            random: fastrand::Rng::with_seed(seed),
            held: BTreeMap::new(),
            next: 0,
            line_free_ns: 0,
            last_ns: 0,
            spare: Vec::new(),
        };
        (wire, knob)
    }

    fn hit(&mut self, per_10_000: u32) -> bool {
        per_10_000 > 0 && self.random.u32(0..10_000) < per_10_000
    }

    fn corrupt(&mut self, frame: &mut Frame, silently: bool) {
        if frame.bytes.is_empty() {
            return;
        }
        let fcs = frame.fcs_bytes();
        for _ in 0..self.random.usize(1..=4) {
            let at = self.random.usize(..frame.bytes.len());
            frame.bytes[at] ^= self.random.u8(1..);
        }
        // Changes may cancel out: then the FCS is right again.
        frame.fcs =
            if silently || crate::fcs::fcs(&frame.bytes) == fcs { Fcs::Good } else { Fcs::Wrong(fcs) };
    }

    /// When the frame is through, `None` if the queue is full.
    fn departure(&mut self, harm: &Harm, len: usize, now_ns: u64) -> Option<u64> {
        let limit = if harm.queue_frames == 0 { HELD_MAX } else { harm.queue_frames.min(HELD_MAX) };
        let waiting = self.held.range((now_ns + harm.delay_us * 1_000, 0)..).count();
        if self.held.len() >= HELD_MAX || harm.rate_kbit > 0 && waiting >= limit {
            return None;
        }
        let line_ns = match harm.rate_kbit {
            0 => 0,
            rate => (len as u64 + LINE_OVERHEAD) * 8_000_000 / rate,
        };
        self.line_free_ns = self.line_free_ns.max(now_ns) + line_ns;
        let jitter = if harm.jitter_us > 0 { self.random.u64(..=harm.jitter_us * 1_000) } else { 0 };
        // Jitter alone does not reorder.
        self.last_ns = self.last_ns.max(self.line_free_ns + harm.delay_us * 1_000 + jitter);
        Some(self.last_ns)
    }

    /// Hands on what is due.
    fn pump(&mut self, now_ns: u64) {
        while let Some(entry) = self.held.first_entry().filter(|entry| entry.key().0 <= now_ns) {
            if !self.inner.ready(now_ns) {
                return;
            }
            let mut frame = entry.remove();
            self.inner.send(&mut frame, now_ns);
            self.knob.shared.lock().unwrap_or_else(PoisonError::into_inner).1.passed += 1;
            frame.bytes.clear();
            self.spare.push(frame.bytes);
        }
    }

    fn hold(&mut self, at_ns: u64, frame: Frame) {
        self.held.insert((at_ns, self.next), frame);
        self.next += 1;
    }
}

impl<W: Wire> Wire for Impair<W> {
    fn ready(&mut self, now_ns: u64) -> bool {
        self.pump(now_ns);
        self.inner.ready(now_ns)
    }

    fn send(&mut self, frame: &mut Frame, now_ns: u64) {
        let (harm, mut harmed) = *self.knob.shared.lock().unwrap_or_else(PoisonError::into_inner);
        harmed.sent += 1;
        let bytes = std::mem::replace(&mut frame.bytes, self.spare.pop().unwrap_or_default());
        let mut own = Frame { bytes, fcs: frame.fcs, error: frame.error };
        let lost = self.hit(harm.loss);
        let copies = 1 + u32::from(self.hit(harm.duplicate));
        let late = self.hit(harm.reorder);
        let broken = self.hit(harm.corrupt);
        if broken {
            self.corrupt(&mut own, harm.corrupt_silently);
        }
        if lost {
            harmed.lost += 1;
        } else if let Some(at) = self.departure(&harm, own.bytes.len(), now_ns) {
            harmed.corrupted += u64::from(broken);
            harmed.duplicated += u64::from(copies - 1);
            harmed.reordered += u64::from(late);
            let extra = if late { self.random.u64(1..=harm.reorder_us.max(1)) * 1_000 } else { 0 };
            for _ in 1..copies {
                self.hold(at + extra, own.clone());
            }
            self.hold(at + extra, own);
        } else {
            harmed.overflowed += 1;
        }
        self.knob.shared.lock().unwrap_or_else(PoisonError::into_inner).1 = harmed;
        self.pump(now_ns);
    }

    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool {
        self.pump(now_ns);
        self.inner.receive(frame, now_ns)
    }

    fn carrier(&mut self, now_ns: u64) -> bool {
        self.pump(now_ns);
        self.inner.carrier(now_ns)
    }

    fn next_arrival_ns(&self) -> Option<u64> {
        let departure = self.held.keys().next().map(|(at, _)| *at);
        [departure, self.inner.next_arrival_ns()].into_iter().flatten().min()
    }

    fn set_waker(&mut self, waker: Waker) {
        self.inner.set_waker(waker);
    }

    fn sleep_max(&self) -> Option<Duration> {
        self.inner.sleep_max()
    }
}
