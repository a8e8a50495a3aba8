//! Loss recovery beside smoltcp: a lost segment is sent again when the peer's selective acknowledgments or the
//! silence show that it is lost, not at smoltcp's retransmission timeout, which is a second at least.
//!
//! smoltcp 0.14 knows three duplicate acknowledgments and nothing else. Peers that merge what they receive send
//! fewer; the last segments of a flight cause none. So this room watches what is acknowledged (`heard`) and what is
//! sent (`note_sent`), and when a segment is lost it plays the peer and gives smoltcp the three (`repeat_first`);
//! smoltcp then sends the first unacknowledged segment again and adapts its congestion window as to any loss.
//!
//! What a peer can cause is bounded: by selective acknowledgments, one segment for each segment's length that it
//! acknowledges; by silence, [`PROBES_MAX`] for each such length, no sooner than a round trip, and [`FIN_PROBES_MAX`]
//! for the end.

use crate::Stack;
use crate::flow::Flow;
use crate::ipv4::Tcp;
use crate::ipv6;
use crate::packet::PROTOCOL_TCP;
use crate::port::Emitted;
use crate::sack::Sacked;
use crate::segment::PureAck;
use naio_sys::clock::Time;
use smoltcp::socket::tcp::State;
use std::time::Duration;

/// Duplicate acknowledgments, or segments known to have arrived behind it, that mean a segment is lost
/// (RFC 5681 3.2, RFC 6675 2 "DupThresh").
pub(crate) const DUPLICATES: u32 = 3;
/// Silences for which one and the same segment is sent again; then only smoltcp's timeout is left.
const PROBES_MAX: u8 = 2;
/// Silences for which a FIN alone is sent again. smoltcp's timeout may have grown long over the data before it.
const FIN_PROBES_MAX: u8 = 4;
/// The shortest silence that means a loss: what a peer may gather a burst for.
const SILENCE_MIN_US: u64 = 10_000;
/// How long a peer may keep the acknowledgment of a lone segment (RFC 8985 7.2, "WCDelAckT").
const DELAYED_ACK_US: u64 = 200_000;
/// Doublings of the silence, at the most, after segments that were sent again in vain.
const CAUTION_MAX: u8 = 3;

/// What is known of losses on a connection; nothing in it is an error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recovery {
    /// SND.UNA when its segment was sent again, and when it last was.
    again: Option<(u32, Time)>,
    /// How often silence was the reason.
    probes: u8,
    /// It was the last time, or what came of such a time, and no answer has come.
    is_guess: bool,
    /// The last answer came when it could not be the first copy's, and showed nothing behind the repeated segment: what
    /// was sent before that, and is still missing, is lost as well (compare RFC 8985 6.2).
    confirms: bool,
    /// When smoltcp was last told to send something again.
    told: Option<Time>,
    /// Where all that was sent ended when the first loss of the present episode showed.
    until: Option<u32>,
    /// The episode began with duplicate acknowledgments (RFC 6582).
    by_duplicates: bool,
    /// After its timeout smoltcp sends everything before this again by itself.
    rewound: Option<u32>,
    /// SND.UNA whose segment the peer has shown to be lost.
    lost: Option<u32>,
    /// When data last left.
    sent: Time,
    /// When silence will have lasted long enough, as it looked at the last visit.
    probe_at: Option<Time>,
    /// Doublings of the silence.
    caution: u8,
}

impl Recovery {
    /// Whether a visit should look closer.
    #[inline]
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.lost.is_some() || self.probe_at.is_some_and(|at| at <= now)
    }

    /// Whether what was last sent again was sent again because smoltcp was told to.
    pub(crate) fn was_told(&self) -> bool {
        self.told.is_some() && self.told == self.again.map(|(_, at)| at)
    }

    /// When data last left.
    pub(crate) fn last_sent(&self) -> Time {
        self.sent
    }

    pub(crate) fn is_active(&self) -> bool {
        self.again.is_some() || self.until.is_some()
    }

    /// When the segment at `una` was sent again, if it was. What begins less than a segment behind counts as the
    /// same, so that a peer that acknowledges single bytes gains nothing.
    fn again_at(&self, una: u32, mss: u32) -> Option<Time> {
        self.again.filter(|(of, _)| una.wrapping_sub(*of) < mss).map(|(_, at)| at)
    }
}

/// Whether sequence number `a` is before `b` (RFC 9293 3.4).
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Where a TCP header says how many words it is long.
const DATA_OFFSET_AT: usize = 12;

/// The TCP segment in a packet that smoltcp took. Behind extension headers it is not looked for.
#[inline]
fn segment_of(packet: &[u8]) -> &[u8] {
    let start = match packet.first() {
        Some(first) if first >> 4 == 4 => usize::from(first & 0xf) * 4,
        Some(_) if packet.get(NEXT_HEADER_AT) == Some(&PROTOCOL_TCP) => ipv6::HEADER_LEN,
        _ => return &[],
    };
    packet.get(start..).unwrap_or(&[])
}

/// Where an IPv6 header says what follows it (RFC 8200 3).
const NEXT_HEADER_AT: usize = 6;

impl Flow {
    /// The longest segment of ours that the peer takes.
    fn longest(&self) -> u32 {
        u32::from(self.peer.mss.max(1))
    }

    /// Looks at an acknowledgment that smoltcp has seen: `packet` ends with the segment.
    /// True if it shows that a segment was sent again in vain.
    #[inline]
    pub(crate) fn heard_of_losses(&mut self, now: Time, packet: &[u8], tcp: &Tcp) -> bool {
        let has_options = segment_of(packet).get(DATA_OFFSET_AT).is_some_and(|byte| byte >> 4 > 5);
        if !(self.recovery.is_active() || has_options && self.socket().send_queue() > 0) {
            return false;
        }
        let in_vain = self.judge_probe(now);
        self.judge(packet, tcp);
        in_vain
    }

    /// Whether a segment that silence made us send again was not lost: its acknowledgment comes sooner than any
    /// answer has ever come, so it is the first copy's. Then the next silence must last longer.
    #[cold]
    fn judge_probe(&mut self, now: Time) -> bool {
        let Some((una, min)) = self.snd_una().zip(self.meter.min_us()) else { return false };
        let mss = self.longest();
        let recovery = &mut self.recovery;
        let Some((of, at)) = recovery.again.filter(|(of, _)| recovery.is_guess && is_before(*of, una)) else {
            return false;
        };
        recovery.is_guess = false;
        let in_vain = now.since(at).as_micros() < u128::from(min);
        recovery.confirms = !in_vain && una.wrapping_sub(of) <= mss;
        recovery.caution = match in_vain {
            true => (recovery.caution + 1).min(CAUTION_MAX),
            false => recovery.caution.saturating_sub(1),
        };
        in_vain
    }

    #[cold]
    fn judge(&mut self, packet: &[u8], tcp: &Tcp) {
        let (Some(una), Some(end)) = (self.snd_una(), self.sent_end) else { return };
        let mss = self.longest();
        let recovery = &mut self.recovery;
        if recovery.until.is_some_and(|until| !is_before(una, until)) {
            // The episode is over.
            *recovery = Recovery { sent: recovery.sent, caution: recovery.caution, ..Recovery::default() };
        }
        if tcp.ack != una || self.socket().send_queue() == 0 {
            return;
        }
        let recovery = &mut self.recovery;
        if recovery.rewound.is_some_and(|rewound| is_before(una, rewound)) {
            return;
        }
        let sacked = Sacked::read(segment_of(packet), una, end);
        // What was sent before the episode began and is still missing behind what arrived is lost, too (RFC 6582 3.2
        // step 3, "partial acknowledgment").
        let partial = recovery.until.is_some() && recovery.again_at(una, mss).is_none();
        let more = sacked.bytes > 0 || recovery.confirms || (recovery.by_duplicates && !self.peer.sack);
        let enough = sacked.bytes >= DUPLICATES * mss || sacked.stretches >= DUPLICATES;
        if enough || (partial && more) {
            recovery.lost = Some(una);
        }
    }

    /// A visit is over; what it emitted is in `emitted`.
    #[inline]
    pub(crate) fn note_sent(&mut self, now: Time, emitted: Emitted) {
        if emitted.data_end.is_some() {
            self.recovery.sent = now;
        }
        if emitted.repeated > 0 {
            self.note_repeated(now);
        }
    }

    /// smoltcp sent something again: because it was told to, or by itself.
    #[cold]
    fn note_repeated(&mut self, now: Time) {
        let (Some(una), Some(end)) = (self.snd_una(), self.sent_end) else { return };
        if self.socket().send_queue() == 0 {
            return;
        }
        let before = self.recovery.again_at(una, self.longest());
        let is_told = self.recovery.told == Some(now);
        // smoltcp counts to three once for each SND.UNA.
        let by_duplicates = self.repeated_acks >= DUPLICATES && before.is_none();
        self.recovery.begin(una, end, now, self.longest());
        self.recovery.by_duplicates |= by_duplicates;
        if !is_told && !by_duplicates {
            (self.recovery.until, self.recovery.rewound) = (Some(end), Some(end));
        }
    }

    /// Whether something has been sent that is not acknowledged.
    pub(crate) fn has_sent(&self) -> bool {
        self.snd_una().zip(self.sent_end).is_some_and(|(una, end)| is_before(una, end))
    }

    /// Whether only the peer's answer to our FIN is missing.
    fn is_fin_alone(&self) -> bool {
        let is_closing = matches!(self.state(), State::FinWait1 | State::Closing | State::LastAck);
        is_closing && self.socket().send_queue() == 0
    }

    /// Whether something may be sent again: a closed window has its own probes.
    fn may_repeat(&self) -> bool {
        let is_open = self.heard_ack.is_some_and(|(_, window)| window > 0);
        self.has_sent() && is_open && (self.socket().send_queue() > 0 || self.is_fin_alone())
    }

    /// When the silence will have lasted long enough to mean a loss (compare RFC 8985 7.2): nothing was acknowledged
    /// for two round trips, or for what round trips vary by. `None` if nothing is under way that may be sent again.
    #[inline]
    pub(crate) fn plan_probe(&mut self) -> Option<Time> {
        self.recovery.probe_at = if self.may_repeat() { self.silence_ends() } else { None };
        self.recovery.probe_at
    }

    fn silence_ends(&self) -> Option<Time> {
        let (una, end) = (self.snd_una()?, self.sent_end?);
        let mss = self.longest();
        let flight = end.wrapping_sub(una);
        let again = self.recovery.again_at(una, mss);
        let probes = if again.is_some() { self.recovery.probes } else { 0 };
        if probes >= if self.is_fin_alone() { FIN_PROBES_MAX } else { PROBES_MAX } {
            return None;
        }
        let (rtt, variation) = self.meter.rtt_us()?;
        let silence =
            (2 * rtt).max(rtt + 4 * variation).max(SILENCE_MIN_US) << (probes + self.recovery.caution);
        let delayed = if flight <= mss { DELAYED_ACK_US } else { 0 };
        let since = again.unwrap_or(self.progress.max(self.recovery.sent));
        Some(since.after(Duration::from_micros(silence + delayed)))
    }
}

impl Recovery {
    /// The segment at `una` is sent again.
    fn begin(&mut self, una: u32, end: u32, now: Time, mss: u32) {
        if self.again_at(una, mss).is_some() {
            self.again = self.again.map(|(of, _)| (of, now));
        } else {
            self.again = Some((una, now));
            self.probes = 0;
        }
        self.until.get_or_insert(end);
    }
}

impl Stack {
    /// A visit to a connection on which something may be lost.
    #[cold]
    pub(crate) fn recover(&mut self, index: u32) {
        let now = self.now;
        let Some(flow) = self.flows.at_mut(index) else { return };
        let (Some(una), Some(end)) = (flow.snd_una(), flow.sent_end) else { return };
        let mss = flow.longest();
        let is_lost = flow.recovery.lost.take() == Some(una) && flow.recovery.again_at(una, mss).is_none();
        let is_silent = flow.silence_ends().is_some_and(|at| at <= now);
        if !flow.may_repeat() || !(is_lost || is_silent) {
            return;
        }
        let is_fin = flow.is_fin_alone();
        flow.recovery.begin(una, end, now, mss);
        if !is_fin {
            flow.end_slow_start();
            flow.recovery.told = Some(now);
        }
        flow.recovery.probes += u8::from(!is_lost);
        flow.recovery.is_guess = !is_lost || flow.recovery.confirms;
        match is_lost {
            true => self.counters.losses_by_sack += 1,
            false => self.counters.losses_by_silence += 1,
        }
        match is_fin {
            true => self.repeat_fin(index, una),
            false => self.repeat_first(index, una),
        }
    }

    /// Sends our FIN again by ourselves: of duplicate acknowledgments smoltcp would forget it (guard c).
    fn repeat_fin(&mut self, index: u32, una: u32) {
        if self.replies_are_full() {
            return;
        }
        let Some(flow) = self.flows.at_mut(index) else { return };
        let (Some(key), Some(acked), to) = (flow.key, flow.acked, flow.mac) else { return };
        flow.meter.retransmits += 1;
        flow.meter.segments_sent += 1;
        let fin = PureAck::fin_to_peer(key, (una, acked), flow.window_field());
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox
            .packet(replies, counters, to, fin.bytes().len(), |packet| packet.copy_from_slice(fin.bytes()));
    }

    /// Makes smoltcp send its first unacknowledged segment again: the last acknowledgment, once with another window,
    /// because its count begins anew with any change of that, then as it was, and three times more.
    fn repeat_first(&mut self, index: u32, una: u32) {
        let Some(flow) = self.flows.at(index) else { return };
        let (Some(key), Some(seq), Some((_, window))) = (flow.key, flow.rcv_nxt(), flow.heard_ack) else {
            return;
        };
        let other = window.checked_add(1).unwrap_or(window - 1);
        let changed = PureAck::from_peer(key, (seq, una), other);
        let same = PureAck::from_peer(key, (seq, una), window);
        self.deliver(index, changed.bytes(), None);
        for _ in 0..=DUPLICATES {
            self.deliver(index, same.bytes(), None);
        }
    }
}
