//! The start of a connection: ten segments at first (RFC 6928), then as much more as is acknowledged (RFC 5681 3.1),
//! until the first loss.
//!
//! smoltcp's controllers begin with 2048 bytes, and with any other number they cannot begin. So a connection begins
//! without one, and smoltcp is handed no more bytes than the window kept here allows to be unacknowledged. Before
//! smoltcp hears of the first loss it gets the controller that was asked for, which goes on from what is under way
//! then. It takes segments for 1024 bytes, so peers of much shorter or longer ones have it from the beginning.

use crate::Stack;
use crate::contain::contained;
use crate::flow::{Flow, instant};
use crate::recovery::DUPLICATES;
use naio_sys::clock::Time;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Segments near enough to what smoltcp's controllers take for one if they were not there when the peer said it.
const SEGMENTS: RangeInclusive<u32> = 1_024..=2_048;
/// smoltcp's retransmission timer never takes less (its `RTTE_MIN_RTO`; RFC 6298 2.4).
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// RFC 6928 2.
fn initial_window(segment: u32) -> u32 {
    (10 * segment).min((2 * segment).max(14_600))
}

/// A connection that has lost nothing yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowStart {
    /// Bytes that may be unacknowledged.
    window: u32,
    /// Bytes of a full segment.
    segment: u32,
    /// Bytes that had been handed on, since the beginning, when more than half of the window was last in use.
    used: u64,
    /// When something was last acknowledged, or the first byte handed on with nothing unacknowledged: the
    /// retransmission timer was not set any earlier.
    since: Time,
}

impl SlowStart {
    pub(crate) fn window(&self) -> u32 {
        self.window
    }
}

impl Flow {
    /// The handshake is over; `mss` is the longest segment that our own network takes.
    #[cold]
    pub(crate) fn begin_slow_start(&mut self, now: Time, mss: u16) {
        let segment = self.peer.mss.min(mss).into();
        if !self.is_controlled() || !SEGMENTS.contains(&segment) {
            return;
        }
        // A SYN that was lost is a loss, too (RFC 5681 3.1).
        let window = if self.meter.retransmits > 0 { segment } else { initial_window(segment) };
        self.start = Some(SlowStart { window, segment, used: 0, since: now });
        self.apply_control();
    }

    /// Bytes that smoltcp may be handed now. Whole segments if there is more to send, so none before another
    /// acknowledgment if not even one fits.
    #[inline]
    pub(crate) fn allowance(&self) -> usize {
        let Some(start) = self.start else { return usize::MAX };
        let (segment, queued) = (start.segment as usize, self.socket().send_queue());
        let room = (start.window as usize).saturating_sub(queued);
        room - room % segment
    }

    /// The program has something to send. After a silence as long as the retransmission timeout nobody knows any
    /// more what the path carries (RFC 5681 4.1).
    #[inline]
    pub(crate) fn restart_if_idle(&mut self, now: Time) {
        let is_idle = self.start.is_some() && self.socket().send_queue() == 0;
        let timeout = self.meter.rtt_us().map_or(0, |(rtt, variation)| rtt + 4 * variation);
        let timeout = Duration::from_micros(timeout).max(TIMEOUT_MIN);
        let last = self.recovery.last_sent();
        let Some(start) = self.start.as_mut().filter(|_| is_idle) else { return };
        start.since = now;
        if now > last.after(timeout) {
            start.window = start.window.min(initial_window(start.segment));
        }
    }

    /// Bytes have been handed on.
    #[inline]
    pub(crate) fn note_window_use(&mut self) {
        let (enqueued, queued) = (self.enqueued, self.socket().send_queue());
        if let Some(start) = self.start.as_mut().filter(|start| queued > start.window as usize / 2) {
            start.used = enqueued;
        }
    }

    /// The peer has acknowledged so many bytes more. The window grows by them, however many acknowledgments they came
    /// in (RFC 3465), if it was in use when they were sent (RFC 7661 4.4.1 has the same measure).
    #[inline]
    pub(crate) fn grow_window(&mut self, now: Time, acknowledged: usize) {
        let end = self.acknowledged();
        let Some(start) = self.start.as_mut().filter(|_| acknowledged > 0) else { return };
        start.since = now;
        if end <= start.used {
            // A ring is far shorter than 32 bits can say.
            start.window = start.window.saturating_add(acknowledged as u32);
        }
    }

    /// smoltcp is about to hear of a loss.
    #[inline]
    pub(crate) fn end_slow_start(&mut self) {
        if self.start.take().is_some() {
            self.meter.forget_window();
            self.apply_control();
        }
    }
}

impl Stack {
    /// Before smoltcp may send: whether it knows of a loss.
    #[inline]
    pub(crate) fn watch_slow_start(&mut self, index: u32) {
        let Some(flow) = self.flows.at(index) else { return };
        let Some(start) = flow.start else { return };
        let is_late = self.now >= start.since.after(TIMEOUT_MIN) && flow.socket().send_queue() > 0;
        if (flow.repeated_acks >= DUPLICATES || is_late && self.is_timer_due(index))
            && let Some(flow) = self.flows.at_mut(index)
        {
            flow.end_slow_start();
        }
    }

    /// Whether smoltcp's timer may be due. If it wants to be asked for another reason, too, that cannot be told.
    #[cold]
    fn is_timer_due(&mut self, index: u32) -> bool {
        let at = instant(self.now);
        let Some(flow) = self.flows.at(index) else { return false };
        let due = contained(|| self.iface.poll_at(at, &flow.set));
        // If that panicked, so will the visit that follows.
        flow.has_sent() && due.flatten().is_some_and(|due| due <= at)
    }
}
