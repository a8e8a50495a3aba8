//! Reassembly of fragmented IP datagrams of both versions, before anybody asks whose they are.
//!
//! Receives fragments and hands on whole packets, as if they had come in one piece. Bounded in
//! datagrams, bytes and time. A fragment that overlaps another one with different bytes, or that
//! contradicts what is known of the length, condemns its whole datagram (RFC 5722): what remains of
//! it is refused until its time is up.

use crate::config::Config;
use crate::counters::Counters;
use crate::packet::Ends;
use naio_sys::clock::Time;
use std::time::Duration;

/// Longest payload of a whole datagram: what its length field can say, less the header for IPv4.
const LEN_MAX: usize = 65_535;
/// Most pieces between gaps that one datagram may have at a time: a datagram in 64 KiB has 45
/// fragments on Ethernet.
const STRETCHES_MAX: usize = 64;

/// What all fragments of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) ends: Ends,
    pub(crate) protocol: u8,
    pub(crate) id: u32,
}

/// Where a fragment lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// In bytes.
    pub(crate) offset: usize,
    /// Others follow.
    pub(crate) more: bool,
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Others are missing.
    Kept,
    /// It was the last one missing: the packet, with a header of its own.
    Whole(Vec<u8>),
    Refused,
}

struct Partial {
    whose: Whose,
    until: Time,
    /// Header, then payload as far as it goes.
    bytes: Vec<u8>,
    /// What is there, in bytes of payload: in order, apart from each other.
    stretches: Vec<(usize, usize)>,
    /// Bytes of the payload, once the last fragment has said it.
    len: Option<usize>,
    condemned: bool,
}

pub(crate) struct Fragments {
    partials: Vec<Partial>,
    max: usize,
    bytes_max: usize,
    timeout: Duration,
}

impl Fragments {
    pub(crate) fn new(config: &Config) -> Fragments {
        Fragments {
            partials: Vec::new(),
            max: config.reassemblies_max,
            bytes_max: config.reassembly_bytes_max,
            timeout: config.reassembly_timeout,
        }
    }

    /// Takes a fragment in.
    pub(crate) fn insert(
        &mut self,
        now: Time,
        whose: Whose,
        place: Place,
        payload: &[u8],
        counters: &mut Counters,
    ) -> Taken {
        self.expire(now, counters);
        let end = place.offset + payload.len();
        let max = LEN_MAX - if matches!(whose.ends, Ends::V4 { .. }) { whose.ends.header_len() } else { 0 };
        // All but the last are a multiple of eight bytes (RFC 791 3.2), and none is empty.
        if end > max || payload.is_empty() || (place.more && !payload.len().is_multiple_of(8)) {
            return Taken::Refused;
        }
        let at = match self.partials.iter().position(|partial| partial.whose == whose) {
            Some(at) => at,
            None => match self.begin(now, whose, counters) {
                Some(at) => at,
                None => return Taken::Refused,
            },
        };
        let grows = (whose.ends.header_len() + end).saturating_sub(self.partials[at].bytes.len());
        if self.bytes() + grows > self.bytes_max {
            counters.reassembly_full += 1;
            self.partials.swap_remove(at);
            return Taken::Refused;
        }
        let partial = &mut self.partials[at];
        if partial.condemned {
            return Taken::Refused;
        }
        if !partial.add(place, payload) {
            counters.reassembly_overlaps += 1;
            partial.condemn();
            return Taken::Refused;
        }
        if !partial.is_complete() {
            return Taken::Kept;
        }
        let mut whole = self.partials.swap_remove(at).bytes;
        whose.ends.write_header(&mut whole, whose.protocol);
        counters.reassembled += 1;
        Taken::Whole(whole)
    }

    /// Makes room for a new datagram: the oldest one goes.
    fn begin(&mut self, now: Time, whose: Whose, counters: &mut Counters) -> Option<usize> {
        if self.partials.len() >= self.max {
            let oldest = self.partials.iter().enumerate().min_by_key(|(_, partial)| partial.until);
            let (at, _) = oldest?;
            self.partials.swap_remove(at);
            counters.reassembly_full += 1;
        }
        self.partials.push(Partial {
            whose,
            until: now.after(self.timeout),
            bytes: vec![0; whose.ends.header_len()],
            stretches: Vec::new(),
            len: None,
            condemned: false,
        });
        Some(self.partials.len() - 1)
    }

    /// Datagrams begun.
    pub(crate) fn len(&self) -> usize {
        self.partials.len()
    }

    fn bytes(&self) -> usize {
        self.partials.iter().map(|partial| partial.bytes.len()).sum()
    }

    /// Forgets datagrams that were waited for long enough.
    pub(crate) fn expire(&mut self, now: Time, counters: &mut Counters) {
        self.partials.retain(|partial| {
            let keep = partial.until > now;
            counters.reassembly_timeouts += u64::from(!keep && !partial.condemned);
            keep
        });
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.partials.iter().map(|partial| partial.until).min()
    }
}

impl Partial {
    /// False if the fragment contradicts what is there.
    fn add(&mut self, place: Place, payload: &[u8]) -> bool {
        let (start, end) = (place.offset, place.offset + payload.len());
        let header_len = self.whose.ends.header_len();
        let known_end = self.bytes.len() - header_len;
        match self.len {
            Some(len) if end > len || (!place.more && end != len) => return false,
            None if !place.more && known_end > end => return false,
            _ => {}
        }
        let at = self.stretches.partition_point(|&(_, stretch_end)| stretch_end <= start);
        if let Some(&(other_start, other_end)) = self.stretches.get(at)
            && other_start < end
        {
            // A network may duplicate; then nothing differs.
            let inside = other_start <= start && end <= other_end;
            return inside && self.bytes.get(header_len + start..header_len + end) == Some(payload);
        }
        if self.stretches.len() >= STRETCHES_MAX {
            return false;
        }
        if !place.more {
            self.len = Some(end);
        }
        let needed = header_len + end;
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
        self.bytes[header_len + start..needed].copy_from_slice(payload);
        self.stretches.insert(at, (start, end));
        // Neighbours that touch become one.
        if self.stretches.get(at + 1).is_some_and(|next| next.0 == end) {
            self.stretches[at].1 = self.stretches.remove(at + 1).1;
        }
        if at > 0 && self.stretches[at - 1].1 == start {
            self.stretches[at - 1].1 = self.stretches.remove(at).1;
        }
        true
    }

    fn is_complete(&self) -> bool {
        self.len.is_some_and(|len| self.stretches == [(0, len)])
    }

    fn condemn(&mut self) {
        self.condemned = true;
        self.bytes = Vec::new();
        self.stretches = Vec::new();
    }
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
