//! A wire in memory between two cards: bounded, seeded, in virtual time.
//!
//! Receives frames from either [`WireNic`] and hands them to the other after the latency, with the
//! faults drawn from the seed. Every frame is counted exactly once at each end. It never looks
//! inside a frame but to check that its checksums left right.

use crate::card::WireNic;
use crate::faults::Faults;
use crate::sum;
use naio_dma::Domain;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a wire and its two cards are like. `Default` is a perfect gigabit-like wire without latency.
#[derive(Clone, Debug)]
pub struct WireOptions {
    /// Seed of every fault.
    pub seed: u64,
    /// Faults from the first card to the second, and back.
    pub faults: [Faults; 2],
    /// Time on the wire in microseconds. With 0, frames arrive without [`Wire::advance_to`].
    pub latency_us: u64,
    /// Microseconds that each frame occupies the wire; 0 is an infinitely fast wire.
    pub frame_us: u64,
    /// Frames that may wait at a receiving card; more are dropped and counted there as missed.
    pub queue_frames: usize,
    /// Largest IP packet.
    pub mtu: usize,
    /// Whether the cards complete TCP checksums.
    pub tx_checksum: bool,
    /// Whether they complete those of IPv6 packets too.
    pub tx_checksum_ipv6: bool,
    /// Whether the cards cut long TCP packets, of each IP version whose checksums they complete.
    pub tx_segmentation: bool,
    /// Whether the cards vouch for the checksums of frames that they checked; otherwise they say
    /// "unknown", as emulators do.
    pub rx_checksum: bool,
    /// Packets that a card keeps its references of before it gives any back: the later, the better
    /// it shows a page that is used again too early.
    pub tx_lag: usize,
    /// Descriptors of each ring.
    pub ring: u32,
    /// Pages of each receive pool.
    pub rx_pages: u32,
}

impl Default for WireOptions {
    fn default() -> WireOptions {
        WireOptions {
            seed: 1,
            faults: [Faults::NONE; 2],
            latency_us: 0,
            frame_us: 0,
            queue_frames: 512,
            mtu: 1500,
            tx_checksum: true,
            tx_checksum_ipv6: false,
            tx_segmentation: true,
            rx_checksum: false,
            tx_lag: 3,
            ring: 256,
            rx_pages: 512,
        }
    }
}

/// What happened to the frames sent in one direction: `sent` is the sum of the others that count
/// frames plus what is still under way, less `duplicated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounters {
    /// Frames that left the card.
    pub sent: u64,
    /// Frames that reached the other card's user.
    pub delivered: u64,
    /// Lost on purpose.
    pub lost: u64,
    /// Extra copies made on purpose.
    pub duplicated: u64,
    /// Delayed on purpose.
    pub reordered: u64,
    /// Damaged on purpose (and still delivered).
    pub corrupted: u64,
    /// Dropped because the receiver's queue was full.
    pub missed: u64,
    /// Dropped because the receiver had no page.
    pub no_page: u64,
    /// Frames that left with a wrong checksum. Always a bug of the sender.
    pub bad_checksum: u64,
    /// Offload requests that the card never offered. Always a bug of the sender.
    pub bad_offload: u64,
}

/// The handle of a test on the wire; clones are the same.
#[derive(Clone)]
pub struct Wire {
    shared: Arc<Mutex<Shared>>,
}

pub(crate) struct Shared {
    options: WireOptions,
    random: fastrand::Rng,
    now_us: u64,
    next: u64,
    directions: [Direction; 2],
    pulled_out: [bool; 2],
    unplugged: bool,
}

#[derive(Default)]
struct Direction {
    /// By arrival time, then by number.
    under_way: BTreeMap<(u64, u64), (Vec<u8>, bool)>,
    busy_until_us: u64,
    counters: WireCounters,
    tap: Option<Vec<Vec<u8>>>,
}

impl Wire {
    /// Two cards joined by a wire. Each lives in the domain it is given (the same one or not), with
    /// pages of its own; station addresses are 02:00:00:00:00:01 and …:02.
    ///
    /// # Panics
    /// If there is no memory for the pages.
    #[must_use]
    pub fn pair(a: &Domain, b: &Domain, options: &WireOptions) -> (WireNic, WireNic, Wire) {
        let wire = Wire {
            shared: Arc::new(Mutex::new(Shared {
                random: fastrand::Rng::with_seed(options.seed),
                options: options.clone(),
                now_us: 0,
                next: 0,
                directions: Default::default(),
                pulled_out: [false; 2],
                unplugged: false,
            })),
        };
        (WireNic::new(a, wire.clone(), 0, options), WireNic::new(b, wire.clone(), 1, options), wire)
    }

    /// Lets time pass: what is due arrives. A time that has passed changes nothing.
    pub fn advance_to(&self, micros: u64) {
        let mut shared = self.lock();
        shared.now_us = shared.now_us.max(micros);
    }

    /// When the next frame arrives that has not arrived yet, in microseconds.
    #[must_use]
    pub fn next_arrival_us(&self) -> Option<u64> {
        let shared = self.lock();
        shared.directions.iter().filter_map(|d| d.under_way.keys().next().map(|&(at, _)| at)).min()
    }

    /// Frames that are on the wire or wait at a receiver, both directions together.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.lock().directions.iter().map(|d| d.under_way.len()).sum()
    }

    /// What happened to the frames that card `from` (0 or 1) sent.
    #[must_use]
    pub fn counters(&self, from: usize) -> WireCounters {
        self.lock().directions[from].counters
    }

    /// Changes the faults for the frames that card `from` sends from now on.
    pub fn set_faults(&self, from: usize, faults: Faults) {
        self.lock().options.faults[from] = faults;
    }

    /// Pulls card `end` out of its machine: it hears nothing any more and says that it is gone.
    pub fn pull_out(&self, end: usize) {
        self.lock().pulled_out[end] = true;
    }

    /// Plugs the cable of both cards in, or pulls it: frames sent meanwhile are lost.
    pub fn set_link(&self, up: bool) {
        self.lock().unplugged = !up;
    }

    /// Starts keeping a copy of every frame that card `from` sends; [`Wire::tapped`] takes them.
    pub fn tap(&self, from: usize) {
        self.lock().directions[from].tap = Some(Vec::new());
    }

    /// The copies since [`Wire::tap`] or the last call.
    #[must_use]
    pub fn tapped(&self, from: usize) -> Vec<Vec<u8>> {
        self.lock().directions[from].tap.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Puts a frame on the wire as if card `from` had sent it; no fault touches it.
    pub fn inject(&self, from: usize, frame: &[u8]) {
        let mut shared = self.lock();
        shared.directions[from].counters.sent += 1;
        let at = shared.now_us + shared.options.latency_us;
        shared.arrive(from, at, frame.to_vec(), false);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub(crate) fn has_link(&self) -> bool {
        !self.unplugged
    }

    /// Whether card `end` is still in its machine.
    pub(crate) fn is_in(&self, end: usize) -> bool {
        !self.pulled_out[end]
    }

    /// A card sends a frame; `clean` says that no offload was misused.
    pub(crate) fn send(&mut self, from: usize, frame: Vec<u8>, clean: bool) {
        let fate = self.options.faults[from].draw(&mut self.random);
        let frame_us = self.options.frame_us;
        let start = self.directions[from].busy_until_us.max(self.now_us);
        let direction = &mut self.directions[from];
        direction.busy_until_us = start + frame_us;
        direction.counters.sent += 1;
        direction.counters.bad_offload += u64::from(!clean);
        let right = sum::frame_is_right(&frame);
        direction.counters.bad_checksum += u64::from(!right);
        if let Some(tap) = &mut direction.tap {
            tap.push(frame.clone());
        }
        if fate.lost || self.unplugged {
            direction.counters.lost += 1;
            return;
        }
        direction.counters.duplicated += u64::from(fate.copies - 1);
        direction.counters.reordered += u64::from(fate.extra_us > 0);
        direction.counters.corrupted += u64::from(fate.corrupt);
        let mut frame = frame;
        if fate.corrupt {
            self.corrupt(&mut frame);
        }
        let vouched = right && !fate.corrupt;
        let at = start + frame_us + self.options.latency_us + fate.extra_us;
        for _ in 1..fate.copies {
            self.arrive(from, at, frame.clone(), vouched);
        }
        self.arrive(from, at, frame, vouched);
    }

    /// One byte only: the internet checksum misses some damage to several, and then wrong bytes would
    /// be nobody's fault. IPv4 only: ARP has no checksum at all, and a wrong station address lasts.
    fn corrupt(&mut self, frame: &mut [u8]) {
        if frame[12..14] != [8, 0] {
            return;
        }
        let at = self.random.usize(14..frame.len());
        frame[at] ^= self.random.u8(1..);
    }

    fn arrive(&mut self, from: usize, at: u64, frame: Vec<u8>, vouched: bool) {
        let number = self.next;
        self.next += 1;
        self.directions[from].under_way.insert((at, number), (frame, vouched));
    }

    /// The next frame for card `to`, if one has arrived. Arrived frames beyond the queue's bound are
    /// dropped first, newest first, as a full FIFO does.
    pub(crate) fn receive(&mut self, to: usize) -> Option<(Vec<u8>, bool)> {
        if self.pulled_out[to] {
            return None;
        }
        let now = self.now_us;
        let bound = self.options.queue_frames;
        let direction = &mut self.directions[1 - to];
        while direction.under_way.len() > bound
            && direction.under_way.range(..=(now, u64::MAX)).nth(bound).is_some()
        {
            let last = direction.under_way.range(..=(now, u64::MAX)).next_back().map(|(&key, _)| key);
            direction.under_way.remove(&last?);
            direction.counters.missed += 1;
        }
        let entry = direction.under_way.first_entry().filter(|e| e.key().0 <= now)?;
        Some(entry.remove())
    }

    /// How the last received frame of card `to` ended: in a page, or dropped for want of one.
    pub(crate) fn received(&mut self, to: usize, in_page: bool) {
        let counters = &mut self.directions[1 - to].counters;
        counters.delivered += u64::from(in_page);
        counters.no_page += u64::from(!in_page);
    }

    pub(crate) fn missed(&self, to: usize) -> u64 {
        self.directions[1 - to].counters.missed
    }
}
