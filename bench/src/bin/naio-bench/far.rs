//! The far end of the wire: a peer that answers ARP, accepts every connection and acknowledges what arrives.
//!
//! Receives the frames that the card in software sends and hands it the answers. It keeps no data and loses none. How
//! often it acknowledges is a parameter, because it decides what the sender's acknowledgments cost.

use naio_e1000_model::wire::{Frame, Wire};
use naio_sys::checksum::Sum;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Its station address and its IPv4 address.
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 9];
pub(crate) const ADDRESS: [u8; 4] = [10, 0, 0, 2];
/// Its first sequence number.
const ISN: u32 = 7_000;
/// Its window, shifted by [`SHIFT`]: 8 MiB, so that it is never what limits.
const WINDOW: u16 = u16::MAX;
const SHIFT: u8 = 7;
const SYN: u8 = 2;
const ACK: u8 = 16;
const HEADERS_LEN: usize = 54;
/// Shorter frames are none (IEEE 802.3 3.2.8), without FCS.
const FRAME_LEN_MIN: usize = 60;

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
        frame.bytes.resize(answer.len().max(FRAME_LEN_MIN), 0);
        true
    }
}

impl Seen {
    fn segment(&mut self, frame: &[u8], ack_every: u32) {
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
        let (port, seq, flags) = (word(34), long(38), frame[47]);
        let header = 34 + usize::from(frame[46] >> 4) * 4;
        let payload = 14 + usize::from(word(16)) - header;
        if flags & SYN != 0 {
            self.connections.insert(port, (seq.wrapping_add(1), 0));
            let synack = answer(frame, (ISN, seq.wrapping_add(1)), SYN | ACK, &OPTIONS);
            self.answers.push_back(synack);
            return;
        }
        let Some((next, pending)) = self.connections.get_mut(&port).filter(|_| payload > 0) else { return };
        assert_eq!(seq, *next, "the wire loses nothing, and nothing is sent twice");
        *next = seq.wrapping_add(payload as u32);
        *pending += 1;
        self.bytes += payload as u64;
        // PSH ends what the sender has now: nobody waits behind it.
        if *pending >= ack_every || flags & 8 != 0 {
            *pending = 0;
            let ack = answer(frame, (ISN + 1, *next), ACK, &[]);
            self.answers.push_back(ack);
            self.acknowledgments += 1;
        }
    }
}

/// MSS 1460, window scale, SACK permitted.
const OPTIONS: [u8; 12] = [2, 4, 0x05, 0xb4, 1, 3, 3, SHIFT, 1, 1, 4, 2];

/// A segment back to whoever sent `frame`.
fn answer(frame: &[u8], (seq, ack): (u32, u32), flags: u8, options: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEADERS_LEN + options.len()];
    out[..6].copy_from_slice(&frame[6..12]);
    out[6..12].copy_from_slice(&STATION);
    out[12..14].copy_from_slice(&[8, 0]);
    let len = (out.len() - 14) as u16;
    let ip = &mut out[14..];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&len.to_be_bytes());
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&frame[30..34]);
    ip[16..20].copy_from_slice(&frame[26..30]);
    let sum = Sum::ZERO.bytes(&ip[..20]).checksum();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let pseudo = Sum::ZERO.bytes(&ip[12..20]).word(6).word(len - 20);
    let tcp = &mut ip[20..];
    tcp[..2].copy_from_slice(&frame[36..38]);
    tcp[2..4].copy_from_slice(&frame[34..36]);
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = ((20 + options.len()) as u8 / 4) << 4;
    tcp[13] = flags;
    tcp[14..16].copy_from_slice(&WINDOW.to_be_bytes());
    tcp[20..].copy_from_slice(options);
    let sum = pseudo.bytes(tcp).checksum();
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    out
}

fn arp_reply(request: &[u8]) -> Vec<u8> {
    let mut out = request[6..12].to_vec();
    out.extend(STATION);
    out.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    out.extend(STATION);
    out.extend(ADDRESS);
    out.extend(&request[22..32]);
    out
}
