//! Who has which station address: a bounded, ageing table of IPv4 neighbours, kept with ARP.
//!
//! Receives ARP packets and questions, and hands on station addresses and the requests to send. It
//! learns only from answers to its own questions and from requests directed at us, and an unasked
//! packet never replaces an entry that is fresh. An entry that has aged is still used while its
//! owner is asked again.

use crate::config::Config;
use crate::counters::Counters;
use crate::hash::Key;
use naio_nic::Mac;
use naio_sys::clock::Time;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Bytes of an ARP packet for IPv4 over Ethernet.
pub(crate) const ARP_LEN: usize = 28;
/// Ethernet, IPv4, with address lengths 6 and 4 (RFC 826).
const ARP_KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const OPERATION_REQUEST: u16 = 1;
const OPERATION_REPLY: u16 = 2;

/// The answer to "where does this go".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Known(Mac),
    /// It has been asked for.
    Pending,
    /// It did not answer; after a while it will be asked again.
    Failed,
}

/// What an ARP packet was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arp {
    /// Somebody asks for us: answer with this packet to that station.
    Answer(Mac, [u8; ARP_LEN]),
    /// It answered a question of ours.
    Learned,
    Malformed,
    Unasked,
    Conflict,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Asked, `tries` times so far; known by its old address meanwhile, if there was one.
    Asking {
        tries: u32,
        again: Time,
        old: Option<Mac>,
    },
    /// Believed until `fresh_until`.
    Known {
        mac: Mac,
        fresh_until: Time,
    },
    Failed {
        until: Time,
    },
}

struct Entry {
    state: State,
    used: Time,
}

pub(crate) struct Neighbors {
    entries: HashMap<u32, Entry, Key>,
    max: usize,
    fresh: Duration,
    retry: Duration,
    tries_max: u32,
    address: Ipv4Addr,
    mac: Mac,
    /// Requests to be sent: whom to ask for, and where to.
    requests: Vec<(Ipv4Addr, Mac)>,
    /// Not after the earliest `again`; [`Time::FAR_FUTURE`] when nothing is being asked.
    next: Time,
    /// Something was learned or has failed since it was last asked.
    changed: bool,
}

impl Neighbors {
    pub(crate) fn new(config: &Config, mac: Mac, key: Key) -> Neighbors {
        Neighbors {
            entries: HashMap::with_hasher(key),
            max: config.neighbors_max,
            fresh: config.neighbor_fresh,
            retry: config.neighbor_retry,
            tries_max: config.neighbor_tries.max(1),
            address: config.address,
            mac,
            requests: Vec::new(),
            next: Time::FAR_FUTURE,
            changed: false,
        }
    }

    /// Where a packet for the neighbour `address` goes. Asks if need be.
    pub(crate) fn resolve(&mut self, now: Time, address: Ipv4Addr, counters: &mut Counters) -> Resolution {
        let Some(entry) = self.entries.get_mut(&address.into()) else {
            if !self.make_room(counters) {
                return Resolution::Pending;
            }
            return self.ask(now, address, None);
        };
        entry.used = now;
        match entry.state {
            State::Known { mac, fresh_until } if now < fresh_until => Resolution::Known(mac),
            State::Known { mac, .. } => self.ask(now, address, Some(mac)),
            State::Asking { old: Some(mac), .. } => Resolution::Known(mac),
            State::Asking { old: None, .. } => Resolution::Pending,
            State::Failed { until } if now < until => Resolution::Failed,
            State::Failed { .. } => self.ask(now, address, None),
        }
    }

    fn ask(&mut self, now: Time, address: Ipv4Addr, old: Option<Mac>) -> Resolution {
        let again = now.after(self.retry);
        let state = State::Asking { tries: 1, again, old };
        self.entries.insert(address.into(), Entry { state, used: now });
        // The first question to an aged neighbour goes to it alone (RFC 1122 2.3.2.1).
        if self.requests.len() < self.max {
            self.requests.push((address, old.unwrap_or(Mac::BROADCAST)));
        }
        self.next = self.next.min(again);
        old.map_or(Resolution::Pending, Resolution::Known)
    }

    /// Forgets the entry that was not used for longest, if the table is full. Entries that are being
    /// asked for go last. False only if there is no room at all.
    fn make_room(&mut self, counters: &mut Counters) -> bool {
        if self.entries.len() < self.max {
            return true;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| {
            let asking = matches!(entry.state, State::Asking { old: None, .. });
            (asking, entry.used)
        });
        let Some(address) = oldest.map(|(&address, _)| address) else { return false };
        self.entries.remove(&address);
        counters.neighbors_evicted += 1;
        true
    }

    /// Asks again, or gives up, where that is due.
    pub(crate) fn expire(&mut self, now: Time, counters: &mut Counters) {
        if now < self.next {
            return;
        }
        self.next = Time::FAR_FUTURE;
        for (&address, entry) in &mut self.entries {
            let State::Asking { tries, again, old } = &mut entry.state else { continue };
            if *again <= now {
                if *tries >= self.tries_max {
                    entry.state = State::Failed { until: now.after(self.retry) };
                    counters.neighbors_failed += 1;
                    self.changed = true;
                    continue;
                }
                *tries += 1;
                *again = now.after(self.retry);
                // Whoever did not answer alone may have a new station address.
                let to = if *tries < self.tries_max { *old } else { None };
                // Full only if nobody sends what is asked for; the next round asks again.
                if self.requests.len() < self.max {
                    self.requests.push((address.into(), to.unwrap_or(Mac::BROADCAST)));
                }
            }
            self.next = self.next.min(*again);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        (self.next < Time::FAR_FUTURE).then_some(self.next)
    }

    /// Whether anything was learned or has failed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(crate) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// The next request to send: packet and station. Bounded by the size of the table.
    pub(crate) fn next_request(&mut self) -> Option<(Mac, [u8; ARP_LEN])> {
        let (address, to) = self.requests.pop()?;
        Some((to, self.packet(OPERATION_REQUEST, (Mac([0; 6]), address))))
    }

    /// Takes an ARP packet in.
    pub(crate) fn ingest(&mut self, now: Time, packet: &[u8], counters: &mut Counters) -> Arp {
        let Some(packet) = packet.first_chunk::<ARP_LEN>() else { return Arp::Malformed };
        let operation = u16::from_be_bytes([packet[6], packet[7]]);
        let [_, _, _, _, _, _, _, _, m0, m1, m2, m3, m4, m5, a, b, c, d, ..] = *packet;
        let mac = Mac([m0, m1, m2, m3, m4, m5]);
        let sender = Ipv4Addr::new(a, b, c, d);
        let target = Ipv4Addr::new(packet[24], packet[25], packet[26], packet[27]);
        let kind_is_right =
            packet[..6] == ARP_KIND && matches!(operation, OPERATION_REQUEST | OPERATION_REPLY);
        if !kind_is_right || !mac.is_station() || mac == self.mac {
            return Arp::Malformed;
        }
        if sender == self.address {
            return Arp::Conflict;
        }
        if target != self.address {
            return Arp::Unasked;
        }
        if operation == OPERATION_REPLY {
            return self.learn_reply(now, sender, mac);
        }
        // A probe (RFC 5227) has no sender address: there is nothing to learn from it.
        if !sender.is_unspecified() {
            self.learn_request(now, sender, mac, counters);
        }
        Arp::Answer(mac, self.packet(OPERATION_REPLY, (mac, sender)))
    }

    fn learn_reply(&mut self, now: Time, sender: Ipv4Addr, mac: Mac) -> Arp {
        let fresh_until = now.after(self.fresh);
        let Some(entry) = self.entries.get_mut(&sender.into()) else { return Arp::Unasked };
        match entry.state {
            State::Asking { .. } => {
                entry.state = State::Known { mac, fresh_until };
                self.changed = true;
                Arp::Learned
            }
            State::Known { mac: known, .. } if known != mac => Arp::Conflict,
            State::Known { .. } | State::Failed { .. } => Arp::Unasked,
        }
    }

    /// A request directed at us tells who its sender is. It may fill a gap, never replace what is
    /// fresh, and never push another neighbour out.
    fn learn_request(&mut self, now: Time, sender: Ipv4Addr, mac: Mac, counters: &mut Counters) {
        let fresh_until = now.after(self.fresh);
        let room = self.entries.len() < self.max;
        match self.entries.get_mut(&sender.into()).map(|entry| &mut entry.state) {
            Some(State::Known { mac: known, fresh_until }) if now < *fresh_until => {
                counters.neighbors_contested += u64::from(*known != mac);
            }
            Some(state) => {
                *state = State::Known { mac, fresh_until };
                self.changed = true;
            }
            None if room => {
                let state = State::Known { mac, fresh_until };
                self.entries.insert(sender.into(), Entry { state, used: now });
            }
            None => {}
        }
    }

    fn packet(&self, operation: u16, target: (Mac, Ipv4Addr)) -> [u8; ARP_LEN] {
        let mut packet = [0; ARP_LEN];
        packet[..6].copy_from_slice(&ARP_KIND);
        packet[6..8].copy_from_slice(&operation.to_be_bytes());
        packet[8..14].copy_from_slice(&self.mac.0);
        packet[14..18].copy_from_slice(&self.address.octets());
        packet[18..24].copy_from_slice(&target.0.0);
        packet[24..28].copy_from_slice(&target.1.octets());
        packet
    }
}

#[cfg(test)]
#[path = "neighbor_tests.rs"]
mod tests;
