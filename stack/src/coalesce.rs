//! Receive coalescing: in-order segments of one connection become one before smoltcp sees them.
//!
//! Receives segments that the guard has passed and hands smoltcp fewer, longer ones: most of what a
//! segment costs is the same however long it is. Only what sequence numbers make one stretch of data
//! is merged: the first is the next one the connection waits for, nothing has come ahead of it (merging
//! out-of-order segments would swallow the duplicate acknowledgments that the sender recovers by), the others follow
//! it without a gap and inside the window that was offered, acknowledge as much or more, and say the same about window
//! and options, but for the time in them. PSH ends a run, which the very next frame may take up again. The payload stays
//! where it is; a run is headers and a length.
//!
//! Each connection of a burst has a run of its own, so that connections may take turns frame by frame. While bursts
//! follow each other, a run may go on from one to the next for as long as `Config::rx_coalesce`; the first look at the
//! card that finds nothing ends it.
//!
//! Of acknowledgments that follow each other, each for more, only the last is handed on: it says all the others said.
//! Duplicates, selective ones and changes of the window are never among them, nor any while the congestion window is
//! what limits a connection: smoltcp grows it by the acknowledgment, not by the byte.

use crate::Stack;
use crate::bare::HEADERS_MAX;
use crate::continuation::Expected;
use crate::data_only::Outcome;
use crate::flow::Flow;
use crate::ipv4::{self, ACK, PSH, Tcp};
use crate::ipv6;
use crate::packet::{Ends, PROTOCOL_TCP, Packet};
use crate::receive::{Fate, Keep, Then};
use naio_sys::checksum::Sum;
use naio_sys::clock::Time;
use smoltcp::socket::tcp::State;

/// Longest merged packet: what an IPv4 total length can say (an IPv6 packet may be longer).
const LEN_MAX: usize = 65_535;
/// Runs at a time; another one ends the oldest.
pub(crate) const RUNS_MAX: usize = 8;
/// Options of nothing but timestamps, as everybody pads them: NOP, NOP, kind 8, length 10 (RFC 7323 appendix A).
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];
const TIMESTAMPS_LEN: usize = 12;

/// Segments that wait for their successors.
pub(crate) struct Run {
    index: u32,
    /// Headers of the first; of the last one the acknowledgment and the options.
    pub(crate) headers: [u8; HEADERS_MAX],
    pub(crate) headers_len: usize,
    ip_len: usize,
    is_v4: bool,
    /// The sum of the pseudo-header but for the length.
    pub(crate) ends: Sum,
    /// What the headers of its successor look like.
    pub(crate) expected: Expected,
    /// Number and flags of all together.
    pub(crate) tcp: Tcp,
    /// The sequence number its successor has.
    pub(crate) next: u32,
    /// Bytes that may be added: as far as the offered window and a packet's length go.
    pub(crate) room: u32,
    /// Where the offered window ends.
    edge: u32,
    /// smoltcp has it, and only what continues it may follow.
    pub(crate) is_over: bool,
    /// Successors may acknowledge more.
    may_advance: bool,
    /// When its first segment came.
    begun: Time,
}

/// Whether a segment is plain data: nothing in it but ACK and perhaps PSH.
#[inline(always)]
fn is_plain(tcp: &Tcp) -> bool {
    tcp.payload_len > 0 && tcp.flags & !PSH == ACK
}

/// Whether `edge` is at or behind `end`: numbers compare by the sign of their difference (RFC 9293 3.4).
#[inline(always)]
fn reaches(edge: u32, end: u32) -> bool {
    edge.wrapping_sub(end) as i32 >= 0
}

/// Whether a segment may be the first of a run, and where the window ends.
#[inline(always)]
fn may_lead(flow: &Flow, state: State, tcp: &Tcp) -> Option<u32> {
    let edge = flow.window_edge()?;
    let leads = is_plain(tcp)
        && matches!(state, State::Established | State::FinWait1 | State::FinWait2)
        && flow.rcv_nxt() == Some(tcp.seq)
        // smoltcp drops a segment that acknowledges less than is known, data and all.
        && flow.snd_una().is_some_and(|una| reaches(tcp.ack, una))
        && flow.reassembly.ahead.is_empty()
        && reaches(edge, tcp.seq.wrapping_add(tcp.payload_len));
    leads.then_some(edge)
}

/// Whether a segment acknowledges more than is known and says nothing else. Not once our FIN is out: guard (c) has to
/// know what was acknowledged before it judges the next segment.
#[inline(always)]
fn may_wait(flow: &Flow, state: State, packet: &Packet<'_>, tcp: &Tcp) -> bool {
    tcp.flags == ACK
        && packet.payload.len() == ipv4::TCP_HEADER_LEN
        && state == State::Established
        && flow.rcv_nxt() == Some(tcp.seq)
        && flow.snd_una().is_some_and(|una| tcp.ack.wrapping_sub(una) as i32 > 0)
        && flow.heard_ack.is_some_and(|(_, window)| window == tcp.window)
        && !flow.meter.is_limited()
}

impl Run {
    #[inline(always)]
    fn new(index: u32, packet: &Packet<'_>, tcp: &Tcp, edge: u32, (state, begun): (State, Time)) -> Run {
        let ip_len = packet.bytes.len() - packet.payload.len();
        let headers_len = headers_len(packet, tcp);
        let next = tcp.seq.wrapping_add(tcp.payload_len);
        // It is inside the window, and a packet is at most LEN_MAX bytes long.
        let room = edge.wrapping_sub(next).min(LEN_MAX.saturating_sub(packet.bytes.len()) as u32);
        let is_v4 = matches!(packet.ends, Ends::V4 { .. });
        let mut headers = [0; HEADERS_MAX];
        headers[..headers_len].copy_from_slice(&packet.bytes[..headers_len]);
        Run {
            index,
            headers,
            headers_len,
            ip_len,
            is_v4,
            ends: packet.ends.pseudo_header(PROTOCOL_TCP, 0),
            expected: if tcp.payload_len > 0 {
                Expected::after(&headers[..headers_len])
            } else {
                Expected::NONE
            },
            tcp: *tcp,
            next,
            room,
            edge,
            is_over: false,
            may_advance: state == State::Established,
            begun,
        }
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The sequence number of its successor.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Whether another acknowledgment says all that this one says, and more.
    #[inline(always)]
    fn is_overtaken_by(&self, packet: &Packet<'_>, tcp: &Tcp) -> bool {
        self.tcp.payload_len == 0
            && tcp.flags == ACK
            && packet.payload.len() == ipv4::TCP_HEADER_LEN
            && self.tcp.seq == tcp.seq
            && self.tcp.window == tcp.window
            && tcp.ack.wrapping_sub(self.tcp.ack) as i32 > 0
    }

    #[inline(always)]
    fn is_followed_by(&self, packet: &Packet<'_>, tcp: &Tcp) -> bool {
        let advance = tcp.ack.wrapping_sub(self.tcp.ack) as i32;
        self.tcp.payload_len > 0
            && self.next == tcp.seq
            && (advance == 0 || (advance > 0 && self.may_advance))
            && self.tcp.window == tcp.window
            && is_plain(tcp)
            && tcp.payload_len <= self.room
            && self.has_options(options(packet, tcp))
    }

    /// Whether these options say what the first segment's said, whatever the time.
    #[inline(always)]
    pub(crate) fn has_options(&self, theirs: &[u8]) -> bool {
        let ours = &self.headers[self.ip_len + ipv4::TCP_HEADER_LEN..self.headers_len];
        let are_timestamps =
            |options: &[u8]| options.len() == TIMESTAMPS_LEN && options.starts_with(&TIMESTAMPS);
        ours == theirs || (are_timestamps(ours) && are_timestamps(theirs))
    }

    /// Adds a segment that follows.
    #[inline(always)]
    fn add(&mut self, packet: &Packet<'_>, tcp: &Tcp) {
        self.set_options(options(packet, tcp));
        self.extend(tcp.payload_len, tcp.has(PSH));
        self.tcp.ack = tcp.ack;
    }

    /// Of a run's options those of the last segment count: the time in them.
    #[inline(always)]
    pub(crate) fn set_options(&mut self, options: &[u8]) {
        let start = self.ip_len + ipv4::TCP_HEADER_LEN;
        self.headers[start..start + options.len()].copy_from_slice(options);
    }

    /// Adds `len` bytes.
    #[inline(always)]
    pub(crate) fn extend(&mut self, len: u32, is_last: bool) {
        self.next = self.next.wrapping_add(len);
        self.room -= len;
        self.tcp.payload_len += len;
        self.tcp.flags |= if is_last { PSH } else { 0 };
    }

    /// smoltcp has taken all of it: what may follow is what could have been added.
    #[inline(always)]
    pub(crate) fn renew(&mut self) {
        self.is_over = true;
        (self.tcp.seq, self.tcp.payload_len, self.tcp.flags) = (self.next, 0, ACK);
        // As in `new`.
        self.room = self.edge.wrapping_sub(self.next).min((LEN_MAX - self.headers_len) as u32);
    }

    /// Puts into the headers what the segments have come to.
    #[inline(always)]
    pub(crate) fn write_headers(&mut self) {
        // At most LEN_MAX. The header checksum is not looked at again.
        let len = (self.headers_len + self.tcp.payload_len as usize) as u16;
        if self.is_v4 {
            self.headers[2..4].copy_from_slice(&len.to_be_bytes());
        } else {
            self.headers[4..6].copy_from_slice(&(len - ipv6::HEADER_LEN as u16).to_be_bytes());
        }
        let tcp = &mut self.headers[self.ip_len..];
        tcp[4..8].copy_from_slice(&self.tcp.seq.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.tcp.ack.to_be_bytes());
        tcp[ipv4::TCP_FLAGS_AT] = self.tcp.flags;
    }
}

/// Bytes of a packet before its data.
#[inline(always)]
pub(crate) fn headers_len(packet: &Packet<'_>, tcp: &Tcp) -> usize {
    packet.bytes.len() - tcp.payload_len as usize
}

/// Everything between the fixed TCP header and the data.
#[inline(always)]
fn options<'p>(packet: &Packet<'p>, tcp: &Tcp) -> &'p [u8] {
    &packet.payload[ipv4::TCP_HEADER_LEN..packet.payload.len() - tcp.payload_len as usize]
}

impl Stack {
    /// Takes a segment that the guard has passed: keeps it for the next one, adds it to the one that
    /// is kept, or hands both on.
    #[inline(always)]
    pub(crate) fn coalesce(&mut self, index: u32, packet: &Packet<'_>, tcp: &Tcp) -> Fate {
        if let Some(at) = self.runs.iter().position(|run| run.index == index) {
            let run = &mut self.runs[at];
            if run.is_followed_by(packet, tcp) {
                run.add(packet, tcp);
                self.note_merged(index);
                let then = if tcp.flags & PSH == 0 { Then::Wait } else { Then::Flush };
                return Fate::Kept(all_of(index, packet, tcp, then));
            }
            if run.is_overtaken_by(packet, tcp) {
                run.headers[..run.headers_len].copy_from_slice(&packet.bytes[..run.headers_len]);
                run.tcp = *tcp;
                self.note_merged(index);
                return Fate::Spent;
            }
            self.flush_at(at);
            // What was kept back may have changed what the guard goes by: a FIN that overtook it counts now.
            self.counters.rx_tcp -= 1;
            if !self.passes(index, tcp) {
                return Fate::Spent;
            }
        }
        let Some(flow) = self.flows.at(index) else { return Fate::Spent };
        let state = flow.state();
        let ends = tcp.flags & PSH != 0;
        if let Some(edge) = may_lead(flow, state, tcp).filter(|_| !ends || self.runs.len() < RUNS_MAX) {
            self.begin(Run::new(index, packet, tcp, edge, (state, self.now)));
            let then = if ends { Then::Flush } else { Then::Wait };
            return Fate::Kept(all_of(index, packet, tcp, then));
        }
        if may_wait(flow, state, packet, tcp) {
            self.begin(Run::new(index, packet, tcp, tcp.seq, (state, self.now)));
            return Fate::Spent;
        }
        self.segment_alone(index, packet, tcp)
    }

    /// A segment that smoltcp will not see for itself.
    #[inline(always)]
    fn note_merged(&mut self, index: u32) {
        self.counters.rx_tcp_merged += 1;
        if let Some(flow) = self.flows.at_mut(index) {
            flow.meter.segments_received += 1;
        }
    }

    #[inline(always)]
    fn begin(&mut self, run: Run) {
        if self.runs.len() >= RUNS_MAX {
            self.flush_at(0);
        }
        self.runs.push(run);
    }

    /// Hands on what is kept of one connection.
    #[inline]
    pub(crate) fn flush(&mut self, index: u32) {
        if let Some(at) = self.runs.iter().position(|run| run.index == index) {
            self.flush_at(at);
        }
    }

    /// Hands on what has waited long enough.
    #[inline]
    pub(crate) fn flush_overdue(&mut self) {
        if !self.runs.is_empty() {
            self.flush_due(false);
        }
    }

    /// Hands on what should not wait for another burst: everything if none came this time.
    #[inline]
    pub(crate) fn flush_due(&mut self, is_idle: bool) {
        let mut at = 0;
        while let Some(run) = self.runs.get(at) {
            let waits = run.tcp.payload_len > 0 && self.now < run.begun.after(self.config.rx_coalesce);
            if waits && !is_idle {
                at += 1;
            } else {
                self.flush_at(at);
            }
        }
    }

    /// Whether segments wait for others, which [`ingest`](Stack::ingest) ends even if no frame has come.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        !self.runs.is_empty()
    }

    fn flush_at(&mut self, at: usize) {
        self.runs[at].write_headers();
        match self.data_only(at) {
            Outcome::Untouched => self.hand_on(at),
            Outcome::Taken | Outcome::Seen => self.drop_run(at),
            Outcome::Broken => {}
        }
    }

    /// Hands a run on the long way; its headers are written.
    fn hand_on(&mut self, at: usize) {
        let run = self.runs.remove(at);
        let Some(offset) = self.flows.at(run.index).map(Flow::received) else { return };
        let growth = self.segment(run.index, &run.headers[..run.headers_len], &run.tcp).growth;
        if run.tcp.payload_len > 0 {
            self.settle(run.index, offset, growth);
        }
    }

    #[inline(always)]
    fn drop_run(&mut self, at: usize) {
        self.runs.remove(at);
    }

    /// Hands on what is kept of one connection, which has come to its end. If it is the newest run and nothing was
    /// remarkable about it, its place stays for what continues it.
    #[inline]
    pub(crate) fn end_run(&mut self, index: u32) {
        match self.runs.last() {
            Some(run) if run.index == index => {
                self.end_newest();
            }
            _ => self.flush(index),
        }
    }

    /// The same of the newest run; says whether its place stays.
    #[inline(always)]
    pub(crate) fn end_newest(&mut self) -> bool {
        let Some(at) = self.runs.len().checked_sub(1) else { return false };
        self.runs[at].write_headers();
        match self.data_only(at) {
            Outcome::Taken => {
                let run = &mut self.runs[at];
                run.renew();
                run.begun = self.now;
                return true;
            }
            Outcome::Seen => self.drop_run(at),
            Outcome::Untouched => self.hand_on(at),
            Outcome::Broken => {}
        }
        false
    }
}

/// The whole payload of a segment.
#[inline(always)]
fn all_of(index: u32, packet: &Packet<'_>, tcp: &Tcp, then: Then) -> Keep {
    // A packet is at most 65 535 bytes long.
    Keep { index, start: headers_len(packet, tcp) as u16, len: tcp.payload_len as u16, then }
}

#[cfg(test)]
#[path = "coalesce_tests.rs"]
mod tests;
