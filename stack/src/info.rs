//! What is known of a connection: times, bytes and segments, as Linux has them in `TCP_INFO`.
//!
//! smoltcp keeps its own estimates to itself, its congestion window too, so this room watches what goes by.

use crate::Stack;
use crate::flow::Flow;
use crate::port::Emitted;
use crate::status::{Phase, SocketId};
use naio_sys::clock::Time;
use std::time::Duration;

/// Repeated acknowledgments that mean a lost segment (RFC 5681 3.2).
const REPEATED_ACKS_OF_A_LOSS: u32 = 3;

/// A connection at one moment. Counts are since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its state.
    pub phase: Phase,
    /// Round-trip time, smoothed (RFC 6298 2), of data segments that were sent once; `None` until one
    /// was acknowledged. Delayed acknowledgments of the peer are in it.
    pub rtt: Option<Duration>,
    /// Its variation (RFC 6298 2).
    pub rtt_variation: Duration,
    /// The shortest seen.
    pub rtt_min: Option<Duration>,
    /// Bytes taken from the program to be sent.
    pub bytes_sent: u64,
    /// Of those, acknowledged by the peer.
    pub bytes_acknowledged: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// The congestion window in bytes (RFC 5681 2), as it was seen: what was in flight when the connection last
    /// stopped although there was more to send and the peer's window had room. While the program or the peer is
    /// what limits, it is the most that was in flight since, which the window is at least. Until the first loss it is
    /// the window itself. `None` before any data, and from the first loss until more is sent.
    pub congestion_window: Option<u32>,
    /// Sent and not yet acknowledged, SYN and FIN counted.
    pub bytes_in_flight: u32,
    /// Segments sent, of all kinds.
    pub segments_sent: u64,
    /// Segments received, before several are made one.
    pub segments_received: u64,
    /// Segments with data that were sent again, keep-alive and window probes counted.
    pub retransmits: u64,
}

/// Measures while segments go by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    pub(crate) segments_sent: u64,
    pub(crate) segments_received: u64,
    pub(crate) retransmits: u64,
    /// A sequence number whose acknowledgment is waited for, and when it left.
    sample: Option<(u32, Time)>,
    rtt_us: Option<u64>,
    variation_us: u64,
    min_us: Option<u64>,
    congestion_window: Option<u32>,
    /// It was the congestion window at which the last visit that sent data stopped.
    limited: bool,
}

impl Meter {
    /// Whether the congestion window is what limits the connection, as far as is known.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.limited
    }

    /// Somebody else decides about the congestion window from here on: it has not been seen yet.
    pub(crate) fn forget_window(&mut self) {
        self.congestion_window = None;
    }

    /// Round-trip time and variation so far, in microseconds.
    #[inline]
    pub(crate) fn rtt_us(&self) -> Option<(u64, u64)> {
        Some((self.rtt_us?, self.variation_us))
    }

    /// The shortest round trip, in microseconds.
    pub(crate) fn min_us(&self) -> Option<u64> {
        self.min_us
    }

    /// A visit emitted segments; `before` is where everything sent ended until then.
    #[inline]
    pub(crate) fn sent(&mut self, now: Time, before: Option<u32>, emitted: Emitted) {
        self.segments_sent += u64::from(emitted.segments);
        if emitted.repeated > 0 {
            self.retransmits += u64::from(emitted.repeated);
            // Which copy an acknowledgment answers cannot be told (RFC 6298 3, Karn).
            self.sample = None;
        } else if self.sample.is_none() && emitted.end != before {
            self.sample = emitted.end.map(|end| (end, now));
        }
    }

    /// The peer acknowledged everything before `ack`.
    #[inline]
    pub(crate) fn acknowledged(&mut self, now: Time, ack: u32) {
        let Some((end, left)) = self.sample else { return };
        if (ack.wrapping_sub(end) as i32) < 0 {
            return;
        }
        self.sample = None;
        let rtt_us = now.since(left).as_micros() as u64;
        self.min_us = Some(self.min_us.map_or(rtt_us, |min| min.min(rtt_us)));
        // RFC 6298 2.2, 2.3: alpha 1/8, beta 1/4.
        match &mut self.rtt_us {
            None => (self.rtt_us, self.variation_us) = (Some(rtt_us), rtt_us / 2),
            Some(smoothed) => {
                self.variation_us = (3 * self.variation_us + smoothed.abs_diff(rtt_us)) / 4;
                *smoothed = (7 * *smoothed + rtt_us) / 8;
            }
        }
    }
}

impl Flow {
    /// Looks at what a visit has sent that smoltcp ended by itself. It stops for one of three reasons: nothing left, the peer's window, its
    /// congestion window; in the last case that window is what is in flight then.
    #[inline]
    pub(crate) fn observe_congestion_window(&mut self, emitted: Emitted) {
        let (Some(end), Some((_, window)), Some(una)) = (emitted.data_end, self.heard_ack, self.snd_una())
        else {
            return;
        };
        // A fast retransmit repeats one segment and leaves the rest in flight.
        let one_repeated = emitted.segments == 1 && emitted.repeated == 1;
        if one_repeated && (self.repeated_acks >= REPEATED_ACKS_OF_A_LOSS || self.recovery.was_told()) {
            return;
        }
        let flight = end.wrapping_sub(una);
        let queued = self.socket().send_queue() as u32;
        let offered = u32::from(window) << self.peer.shift.unwrap_or(0);
        self.meter.limited = flight < queued.min(offered);
        let seen = &mut self.meter.congestion_window;
        if flight < queued.min(offered) {
            *seen = Some(flight);
        } else if flight <= queued {
            *seen = Some(seen.map_or(flight, |seen| seen.max(flight)));
        }
    }
}

impl Stack {
    /// What is known of a connection, `None` for a stale name.
    #[must_use]
    pub fn info(&self, socket: SocketId) -> Option<ConnectionInfo> {
        let flow = self.flows.at(self.flows.index(socket.0)?)?;
        let unacknowledged = flow.socket().send_queue() as u64;
        let in_flight = match (flow.sent_end, flow.heard_ack) {
            (Some(end), Some((ack, _))) if flow.bound => end.wrapping_sub(ack),
            _ => 0,
        };
        let meter = &flow.meter;
        let span = Duration::from_micros;
        Some(ConnectionInfo {
            phase: flow.phase(),
            rtt: meter.rtt_us.map(span),
            rtt_variation: span(meter.variation_us),
            rtt_min: meter.min_us.map(span),
            congestion_window: meter
                .congestion_window
                .map(|seen| flow.start.map_or(seen, |own| own.window())),
            bytes_sent: flow.enqueued,
            bytes_acknowledged: flow.enqueued.saturating_sub(unacknowledged),
            bytes_received: flow.received(),
            // A peer that acknowledges what was never sent does not make it negative.
            bytes_in_flight: if in_flight > i32::MAX as u32 { 0 } else { in_flight },
            segments_sent: meter.segments_sent,
            segments_received: meter.segments_received,
            retransmits: meter.retransmits,
        })
    }
}
