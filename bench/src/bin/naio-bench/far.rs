//! The far end of the wire: a peer that answers ARP, accepts every connection and acknowledges what arrives.
//!
//! Receives the frames that the card in software sends and hands it the answers. It keeps no data and loses none. How
//! often it acknowledges is a parameter, because it decides what the sender's acknowledgments cost.

use crate::segment::{ACK, OPTIONS, PSH, SYN, answer, arp_reply, read};
use naio_e1000_model::wire::{Frame, Wire};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Its first sequence number.
const ISN: u32 = 7_000;

/// What it has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Where each connection stands, by its port: the next sequence number, segments not acknowledged.
    connections: BTreeMap<u16, (u32, u32)>,
    answers: VecDeque<Vec<u8>>,
    bytes: u64,
    frames: u64,
    acknowledgments: u64,
}

/// The far end; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    seen: Arc<Mutex<Seen>>,
    /// Segments for each acknowledgment.
    ack_every: u32,
}

impl Far {
    pub(crate) fn new(ack_every: u32) -> Far {
        Far { seen: Arc::default(), ack_every }
    }

    /// Payload, frames and acknowledgments so far.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.bytes, seen.frames, seen.acknowledgments)
    }
}

impl Wire for Far {
    fn send(&mut self, frame: &mut Frame, _: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &frame.bytes;
        seen.frames += 1;
        match (bytes[12], bytes[13]) {
            (8, 6) => {
                let answer = arp_reply(bytes);
                seen.answers.push_back(answer);
            }
            (8, 0) if bytes[23] == 6 => seen.segment(bytes, self.ack_every),
            _ => {}
        }
        frame.bytes.clear();
    }

    fn receive(&mut self, frame: &mut Frame, _: u64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = seen.answers.pop_front() else { return false };
        frame.bytes.clear();
        frame.bytes.extend_from_slice(&answer);
        true
    }
}

impl Seen {
    fn segment(&mut self, frame: &[u8], ack_every: u32) {
        let seen = read(frame);
        let (port, seq, payload) = (seen.port, seen.seq, seen.payload);
        if seen.flags & SYN != 0 {
            self.connections.insert(port, (seq.wrapping_add(1), 0));
            let synack = answer(frame, (ISN, seq.wrapping_add(1)), SYN | ACK, &OPTIONS);
            self.answers.push_back(synack);
            return;
        }
        let Some((next, pending)) = self.connections.get_mut(&port).filter(|_| payload > 0) else { return };
        assert_eq!(seq, *next, "the wire loses nothing, and nothing is sent twice");
        *next = seq.wrapping_add(payload);
        *pending += 1;
        self.bytes += u64::from(payload);
        // PSH ends what the sender has now: nobody waits behind it.
        if *pending >= ack_every || seen.flags & PSH != 0 {
            *pending = 0;
            let ack = answer(frame, (ISN + 1, *next), ACK, &[]);
            self.answers.push_back(ack);
            self.acknowledgments += 1;
        }
    }
}
