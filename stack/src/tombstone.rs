//! Connections that are over: TIME-WAIT without the socket and its rings (RFC 9293 3.3.2, 3.6.1).
//!
//! Receives the key of a closed connection and its last two sequence numbers; answers what is left of
//! it in the network: a retransmitted FIN is acknowledged again, a valid new SYN may take the place, a
//! reset is ignored (RFC 1337). It never holds more than its limit: the oldest goes first.

use crate::demux::FlowKey;
use crate::hash::Key;
use crate::ipv4::{ACK, FIN, RST, SYN, Tcp};
use naio_sys::clock::Time;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long old segments are waited for. RFC 9293 says four minutes; Linux and the BSDs a minute or
/// less, because no segment lives that long on today's networks.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(60);
/// How far the first sequence number of a connection lies behind everything of the one before
/// (as much as a window without scaling).
const ISN_DISTANCE: u32 = 65_537;

/// What is remembered of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    /// SND.NXT.
    pub(crate) sent_end: u32,
    /// RCV.NXT.
    pub(crate) received_end: u32,
    until: Time,
}

/// What a segment for a connection that is over asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epitaph {
    /// Nothing.
    Ignore,
    /// An acknowledgment of these sequence and acknowledgment numbers.
    Acknowledge(u32, u32),
    /// A new connection, whose first sequence number is behind this one.
    Reopen(u32),
}

pub(crate) struct Tombstones {
    graves: HashMap<FlowKey, Tombstone, Key>,
    /// By age; an entry whose time is not the grave's is out of date.
    order: VecDeque<(Time, FlowKey)>,
    max: usize,
}

impl Tombstones {
    pub(crate) fn new(key: Key, max: usize) -> Tombstones {
        Tombstones { graves: HashMap::with_hasher(key), order: VecDeque::new(), max }
    }

    pub(crate) fn len(&self) -> usize {
        self.graves.len()
    }

    pub(crate) fn contains(&self, key: FlowKey) -> bool {
        self.graves.contains_key(&key)
    }

    /// Remembers a connection; true if the oldest one had to be forgotten for it.
    pub(crate) fn insert(&mut self, now: Time, key: FlowKey, sent_end: u32, received_end: u32) -> bool {
        let evicts = self.graves.len() >= self.max && !self.graves.contains_key(&key);
        if evicts {
            self.forget_oldest();
        }
        if self.max > 0 {
            let until = now.after(TIME_WAIT);
            self.graves.insert(key, Tombstone { sent_end, received_end, until });
            self.order.push_back((until, key));
        }
        evicts
    }

    /// What `tcp` asks of the connection `key`, if there was one.
    pub(crate) fn visit(&mut self, now: Time, key: FlowKey, tcp: &Tcp) -> Option<Epitaph> {
        let grave = self.graves.get_mut(&key)?;
        let newer = tcp.seq.wrapping_sub(grave.received_end) as i32 > 0;
        if tcp.flags & (SYN | ACK | RST) == SYN && newer {
            let behind = grave.sent_end.wrapping_add(ISN_DISTANCE);
            self.graves.remove(&key);
            return Some(Epitaph::Reopen(behind));
        }
        if tcp.has(RST) || tcp.seq_len() == 0 {
            return Some(Epitaph::Ignore);
        }
        if tcp.has(FIN) {
            grave.until = now.after(TIME_WAIT);
            self.order.push_back((grave.until, key));
        }
        Some(Epitaph::Acknowledge(grave.sent_end, grave.received_end))
    }

    /// Forgets those whose time has passed.
    pub(crate) fn expire(&mut self, now: Time) {
        while let Some(&(until, key)) = self.order.front()
            && until <= now
        {
            self.order.pop_front();
            if self.graves.get(&key).is_some_and(|grave| grave.until == until) {
                self.graves.remove(&key);
            }
        }
        // A peer that repeats its FIN for ever adds entries out of date; they are swept out here.
        if self.order.len() > 2 * self.graves.len() + 64 {
            let graves = &self.graves;
            self.order.retain(|(until, key)| graves.get(key).is_some_and(|grave| grave.until == *until));
        }
    }

    fn forget_oldest(&mut self) {
        while let Some((until, key)) = self.order.pop_front() {
            if self.graves.get(&key).is_some_and(|grave| grave.until == until) {
                self.graves.remove(&key);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> FlowKey {
        FlowKey::new(([10, 0, 0, 1], port), ([10, 0, 0, 2], 80))
    }

    fn segment(flags: u8, seq: u32) -> Tcp {
        let mut header = [0; 20];
        (header[1], header[3]) = (80, 1);
        header[4..8].copy_from_slice(&seq.to_be_bytes());
        (header[12], header[13]) = (5 << 4, flags);
        crate::ipv4::parse_tcp(&header).expect("a header")
    }

    #[test]
    fn a_grave_answers_a_fin_ignores_a_reset_and_makes_way_for_a_newer_syn() {
        let mut stones = Tombstones::new(Key::new([1; 16]), 8);
        let at = Time::from_micros;
        stones.insert(at(0), key(1), 1000, 0xffff_fff0);
        assert_eq!(stones.visit(at(1), key(2), &segment(SYN, 1)), None, "nobody lies there");
        let fin = segment(FIN | ACK, 0xffff_ffef);
        assert_eq!(stones.visit(at(1), key(1), &fin), Some(Epitaph::Acknowledge(1000, 0xffff_fff0)));
        assert_eq!(stones.visit(at(1), key(1), &segment(RST, 0xffff_fff0)), Some(Epitaph::Ignore));
        assert_eq!(stones.visit(at(1), key(1), &segment(ACK, 0xffff_fff0)), Some(Epitaph::Ignore));
        let old = segment(SYN, 0xffff_fff0);
        assert!(matches!(stones.visit(at(1), key(1), &old), Some(Epitaph::Acknowledge(..))), "an old SYN");
        let newer = segment(SYN, 5);
        assert_eq!(stones.visit(at(1), key(1), &newer), Some(Epitaph::Reopen(1000 + ISN_DISTANCE)));
        assert!(!stones.contains(key(1)));
    }

    #[test]
    fn graves_are_bounded_and_do_not_last() {
        let mut stones = Tombstones::new(Key::new([1; 16]), 3);
        for port in 1..=4 {
            let evicted = stones.insert(Time::from_micros(port.into()), key(port), 0, 0);
            assert_eq!(evicted, port == 4);
        }
        assert!(!stones.contains(key(1)) && stones.contains(key(2)));
        // A repeated FIN starts the wait again.
        let later = Time::ZERO.after(TIME_WAIT / 2);
        stones.visit(later, key(2), &segment(FIN | ACK, 0));
        stones.expire(Time::from_micros(10).after(TIME_WAIT));
        assert!(stones.contains(key(2)) && !stones.contains(key(3)) && !stones.contains(key(4)));
        for n in 0..10_000 {
            stones.visit(later.after(Duration::from_micros(n)), key(2), &segment(FIN | ACK, 0));
            stones.expire(later);
        }
        assert!(stones.order.len() <= 67, "a peer cannot make it grow: {}", stones.order.len());
    }
}
