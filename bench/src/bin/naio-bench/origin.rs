//! The far end that sends: a peer that answers ARP, accepts every connection and then sends bursts of full segments.
//!
//! Receives the frames that the card in software sends and, from whoever measures, what to send next; hands the card
//! segments in order, PSH at the end of a burst as Linux sets it, and never a byte beyond the window that naio's
//! acknowledgments offer. It loses nothing and sends nothing twice.

use crate::segment::{ACK, HEADERS_LEN, OPTIONS, PSH, SYN, answer, arp_reply, complete, header, read};
use naio_e1000_model::wire::{Frame, Wire};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Its first sequence number: the stream passes the wrap-around soon.
const ISN: u32 = u32::MAX - 100_000;
/// The byte at an offset of every stream is the offset modulo this.
const PERIOD: usize = 251;
/// Payload of a full segment.
pub(crate) const PAYLOAD: u32 = 1_460;

/// One connection.
#[derive(Debug)]
struct Flow {
    header: [u8; HEADERS_LEN],
    /// The next sequence number, and the first one that naio has no room for.
    next: u32,
    edge: u32,
    /// What we acknowledge.
    ack: u32,
    shift: u8,
    /// Payload sent so far.
    sent: u64,
}

impl Flow {
    /// Bytes that may be sent now.
    fn room(&self) -> u32 {
        // An edge behind us would be a window that shrank.
        let room = self.edge.wrapping_sub(self.next);
        if room > u32::MAX / 2 { 0 } else { room }
    }

    /// Writes the next segment.
    fn write(&mut self, bytes: &mut Vec<u8>, payload: u32, flags: u8, pattern: &[u8]) {
        assert!(payload <= self.room(), "never beyond the window");
        let from = (self.sent % PERIOD as u64) as usize;
        bytes.clear();
        bytes.extend_from_slice(&self.header);
        bytes.extend_from_slice(&pattern[from..from + payload as usize]);
        complete(bytes, 0, (self.next, self.ack), flags);
        self.next = self.next.wrapping_add(payload);
        self.sent += u64::from(payload);
    }
}

/// Segments that will be sent.
#[derive(Clone, Copy, Debug)]
struct Burst {
    flow: usize,
    segments: u32,
    payload: u32,
    /// PSH on the last one.
    push: bool,
}

/// What crossed the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Payload sent, and segments with it.
    pub(crate) bytes: u64,
    pub(crate) segments: u64,
    /// Segments of naio's without payload, and payload of the others.
    pub(crate) acknowledgments: u64,
    pub(crate) answered: u64,
}

#[derive(Default)]
struct State {
    flows: Vec<Flow>,
    by_port: BTreeMap<u16, usize>,
    answers: VecDeque<Vec<u8>>,
    bursts: VecDeque<Burst>,
    pattern: Vec<u8>,
    totals: Totals,
}

/// The far end; clones are the same.
#[derive(Clone)]
pub(crate) struct Origin {
    state: Arc<Mutex<State>>,
}

impl Origin {
    pub(crate) fn new() -> Origin {
        let pattern = (0..PERIOD + PAYLOAD as usize).map(|at| (at % PERIOD) as u8).collect();
        Origin { state: Arc::new(Mutex::new(State { pattern, ..State::default() })) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `segments` full segments leave on a connection, counted from 0 as they were established, or as many as its
    /// window has room for; the last of them with PSH if `push`. Returns how many.
    pub(crate) fn send(&self, flow: usize, segments: u32, push: bool) -> u32 {
        self.send_short(flow, segments, PAYLOAD, push)
    }

    /// The same with so many bytes of payload in each.
    pub(crate) fn send_short(&self, flow: usize, segments: u32, payload: u32, push: bool) -> u32 {
        let mut state = self.state();
        let payload = payload.clamp(1, PAYLOAD);
        let promised = state.bursts.iter().filter(|burst| burst.flow == flow);
        let promised: u32 = promised.map(|burst| burst.segments * burst.payload).sum();
        let Some(room) = state.flows.get(flow).map(Flow::room) else { return 0 };
        let segments = segments.min(room.saturating_sub(promised) / payload);
        if segments > 0 {
            state.bursts.push_back(Burst { flow, segments, payload, push });
        }
        segments
    }

    pub(crate) fn totals(&self) -> Totals {
        self.state().totals
    }
}

/// Whether `bytes` are what a stream has from `offset` on.
pub(crate) fn is_stream(bytes: &[u8], offset: u64) -> bool {
    let first = (offset % PERIOD as u64) as usize;
    bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == (first + at) % PERIOD)
}

impl Wire for Origin {
    fn send(&mut self, frame: &mut Frame, _: u64) {
        let mut state = self.state();
        match (frame.bytes[12], frame.bytes[13]) {
            (8, 6) => state.answers.push_back(arp_reply(&frame.bytes)),
            (8, 0) if frame.bytes[23] == 6 => state.segment(&frame.bytes),
            _ => {}
        }
        frame.bytes.clear();
    }

    fn receive(&mut self, frame: &mut Frame, _: u64) -> bool {
        let mut guard = self.state();
        let State { flows, answers, bursts, pattern, totals, .. } = &mut *guard;
        if let Some(answer) = answers.pop_front() {
            frame.bytes.clear();
            frame.bytes.extend_from_slice(&answer);
            return true;
        }
        let Some(burst) = bursts.front_mut() else { return false };
        burst.segments -= 1;
        let Burst { flow, segments, payload, push } = *burst;
        let flags = if segments == 0 && push { ACK | PSH } else { ACK };
        flows[flow].write(&mut frame.bytes, payload, flags, pattern);
        totals.segments += 1;
        totals.bytes += u64::from(payload);
        if segments == 0 {
            bursts.pop_front();
        }
        true
    }
}

impl State {
    fn segment(&mut self, frame: &[u8]) {
        let seen = read(frame);
        if seen.flags & SYN != 0 {
            let ack = seen.seq.wrapping_add(1);
            self.answers.push_back(answer(frame, (ISN, ack), SYN | ACK, &OPTIONS));
            let next = ISN.wrapping_add(1);
            // Nothing is sent before the handshake's last segment, whose window counts.
            let (shift, header) = (seen.shift.unwrap_or(0), header(frame));
            self.by_port.insert(seen.port, self.flows.len());
            self.flows.push(Flow { header, next, edge: next, ack, shift, sent: 0 });
            return;
        }
        let Some(flow) = self.by_port.get(&seen.port).and_then(|at| self.flows.get_mut(*at)) else { return };
        flow.edge = seen.ack.wrapping_add(u32::from(seen.window) << flow.shift);
        if seen.payload == 0 {
            self.totals.acknowledgments += 1;
        } else {
            assert_eq!(seen.seq, flow.ack, "the wire loses nothing, and nothing is sent twice");
            flow.ack = flow.ack.wrapping_add(seen.payload);
            self.totals.answered += u64::from(seen.payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment as naio would send it: the far end's own headers do, with their ports exchanged.
    fn naios(seq: u32, ack: u32, flags: u8, window: u16, options: &[u8]) -> Frame {
        let mut frame = vec![0; HEADERS_LEN];
        frame[36..38].copy_from_slice(&40_000u16.to_be_bytes());
        let mut frame = [&header(&frame)[..], options].concat();
        frame[48..50].copy_from_slice(&window.to_be_bytes());
        complete(&mut frame, options.len(), (seq, ack), flags);
        Frame { bytes: frame, ..Frame::default() }
    }

    /// A connection that has just been established with this window, shifted by one.
    fn connected(window: u16) -> Origin {
        let mut origin = Origin::new();
        Wire::send(&mut origin, &mut naios(1, 0, SYN, 100, &[3, 3, 1, 0]), 0);
        assert_eq!(origin.send(0, 1, true), 0, "nothing before the handshake is over");
        let mut frame = Frame::default();
        assert!(origin.receive(&mut frame, 0) && read(&frame.bytes).flags == SYN | ACK);
        Wire::send(&mut origin, &mut naios(2, ISN.wrapping_add(1), ACK, window, &[]), 0);
        origin
    }

    fn received(origin: &mut Origin) -> Vec<(u32, u32, u8)> {
        let mut frame = Frame::default();
        let mut all = Vec::new();
        while origin.receive(&mut frame, 0) {
            let seen = read(&frame.bytes);
            all.push((seen.seq.wrapping_sub(ISN + 1), seen.payload, seen.flags));
        }
        all
    }

    #[test]
    fn nothing_is_sent_beyond_the_window() {
        // 3000 << 1 bytes: four segments and a part of one, which is not sent.
        let mut origin = connected(3_000);
        assert_eq!(origin.send(0, 3, true), 3);
        assert_eq!(origin.send(0, 20, true), 1, "what is promised counts");
        assert_eq!(origin.send(0, 20, true), 0);
        assert_eq!(received(&mut origin).len(), 4);
        assert_eq!(origin.send(0, 20, true), 0, "nothing was acknowledged");
        Wire::send(&mut origin, &mut naios(2, ISN.wrapping_add(1 + 2 * PAYLOAD), ACK, 3_000, &[]), 0);
        assert_eq!(origin.send(0, 20, true), 2);
        let sent = received(&mut origin);
        let last = sent.last().map(|(seq, len, _)| seq + len);
        assert_eq!(last, Some(6 * PAYLOAD));
        Wire::send(&mut origin, &mut naios(2, ISN.wrapping_add(1 + 6 * PAYLOAD), ACK, 0, &[]), 0);
        assert_eq!(origin.send(0, 1, true), 0, "a closed window");
    }

    #[test]
    fn a_window_that_shrank_is_no_room() {
        let mut origin = connected(3_000);
        assert_eq!(origin.send(0, 4, true), 4);
        assert_eq!(received(&mut origin).len(), 4);
        Wire::send(&mut origin, &mut naios(2, ISN.wrapping_add(1), ACK, 100, &[]), 0);
        assert_eq!(origin.send(0, 4, true), 0);
    }

    #[test]
    fn psh_ends_a_burst_and_segments_are_in_order() {
        let mut origin = connected(u16::MAX);
        origin.send(0, 3, true);
        origin.send(0, 2, false);
        let flags: Vec<u8> = received(&mut origin).iter().map(|(_, _, flags)| *flags).collect();
        assert_eq!(flags, [ACK, ACK, ACK | PSH, ACK, ACK]);
        assert_eq!(origin.totals().bytes, 5 * u64::from(PAYLOAD));
        origin.send_short(0, 1, 64, true);
        assert_eq!(received(&mut origin), [(5 * PAYLOAD, 64, ACK | PSH)]);
    }

    #[test]
    fn the_stream_is_checked_byte_by_byte() {
        let bytes: Vec<u8> = (0..600).map(|at| (at % PERIOD) as u8).collect();
        assert!(is_stream(&bytes, 0) && is_stream(&bytes[7..], 7) && !is_stream(&bytes, 1));
    }
}
