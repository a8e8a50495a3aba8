//! Who has which station address: a bounded, ageing table of neighbours of both IP versions, one set
//! of rules for ARP and neighbour discovery.
//!
//! Receives questions and what `arp` and `ndp` have read, and hands on station addresses and whom to
//! ask. It learns only from answers to its own questions and from requests directed at us, and an
//! unasked packet never replaces an entry that is fresh. An entry that has aged is still used while
//! its owner is asked again.

use crate::config::Config;
use crate::counters::Counters;
use crate::hash::Key;
use crate::packet::as_v6;
use naio_nic::Mac;
use naio_sys::clock::Time;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The answer to "where does this go".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Known(Mac),
    /// It has been asked for.
    Pending,
    /// It did not answer; after a while it will be asked again.
    Failed,
}

/// What an answer was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It answered a question of ours.
    Learned,
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

/// How long the last answer counts without a look at the table, which remembers who was used when.
const LAST_FOR: Duration = Duration::from_millis(100);

pub(crate) struct Neighbors {
    /// By address, an IPv4 one as IPv6 writes it.
    entries: HashMap<u128, Entry, Key>,
    max: usize,
    fresh: Duration,
    retry: Duration,
    tries_max: u32,
    /// Requests to be sent: whom to ask for, and where to unless to everybody.
    requests: Vec<(IpAddr, Option<Mac>)>,
    /// Not after the earliest `again`; [`Time::FAR_FUTURE`] when nothing is being asked.
    next: Time,
    /// Something was learned or has failed since it was last asked.
    changed: bool,
    /// The last answer, and until when it needs no second look; none after any change.
    last: Option<(IpAddr, Mac, Time)>,
}

impl Neighbors {
    pub(crate) fn new(config: &Config, key: Key) -> Neighbors {
        Neighbors {
            entries: HashMap::with_hasher(key),
            max: config.neighbors_max,
            fresh: config.neighbor_fresh,
            retry: config.neighbor_retry,
            tries_max: config.neighbor_tries.max(1),
            requests: Vec::new(),
            next: Time::FAR_FUTURE,
            changed: false,
            last: None,
        }
    }

    /// Where a packet for the neighbour `address` goes. Asks if need be.
    pub(crate) fn resolve(&mut self, now: Time, address: IpAddr, counters: &mut Counters) -> Resolution {
        if let Some((last, mac, until)) = self.last
            && last == address
            && now < until
        {
            return Resolution::Known(mac);
        }
        self.last = None;
        let Some(entry) = self.entries.get_mut(&word(address)) else {
            if !self.make_room(counters) {
                return Resolution::Pending;
            }
            return self.ask(now, address, None);
        };
        entry.used = now;
        match entry.state {
            State::Known { mac, fresh_until } if now < fresh_until => {
                self.last = Some((address, mac, fresh_until.min(now.after(LAST_FOR))));
                Resolution::Known(mac)
            }
            State::Known { mac, .. } => self.ask(now, address, Some(mac)),
            State::Asking { old: Some(mac), .. } => Resolution::Known(mac),
            State::Asking { old: None, .. } => Resolution::Pending,
            State::Failed { until } if now < until => Resolution::Failed,
            State::Failed { .. } => self.ask(now, address, None),
        }
    }

    /// Whether it did not answer lately.
    pub(crate) fn has_failed(&self, address: IpAddr) -> bool {
        self.entries.get(&word(address)).is_some_and(|entry| matches!(entry.state, State::Failed { .. }))
    }

    fn ask(&mut self, now: Time, address: IpAddr, old: Option<Mac>) -> Resolution {
        let again = now.after(self.retry);
        let state = State::Asking { tries: 1, again, old };
        self.entries.insert(word(address), Entry { state, used: now });
        // The first question to an aged neighbour goes to it alone (RFC 1122 2.3.2.1).
        if self.requests.len() < self.max {
            self.requests.push((address, old));
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
                    // Whoever makes us answer invented addresses decides how often: not above debug.
                    log::debug!("neighbour {} does not answer", address_of(address));
                    self.changed = true;
                    self.last = None;
                    continue;
                }
                *tries += 1;
                *again = now.after(self.retry);
                // Whoever did not answer alone may have a new station address.
                let to = if *tries < self.tries_max { *old } else { None };
                // Full only if nobody sends what is asked for; the next round asks again.
                if self.requests.len() < self.max {
                    self.requests.push((address_of(address), to));
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

    /// Whom to ask for next, and where to unless to everybody. Bounded by the size of the table.
    pub(crate) fn next_request(&mut self) -> Option<(IpAddr, Option<Mac>)> {
        self.requests.pop()
    }

    /// Somebody answered.
    pub(crate) fn learn_reply(&mut self, now: Time, sender: IpAddr, mac: Mac) -> Answer {
        self.last = None;
        let fresh_until = now.after(self.fresh);
        let Some(entry) = self.entries.get_mut(&word(sender)) else { return Answer::Unasked };
        match entry.state {
            State::Asking { .. } => {
                entry.state = State::Known { mac, fresh_until };
                self.changed = true;
                Answer::Learned
            }
            State::Known { mac: known, .. } if known != mac => Answer::Conflict,
            State::Known { .. } | State::Failed { .. } => Answer::Unasked,
        }
    }

    /// A request directed at us tells who its sender is. It may fill a gap, never replace what is
    /// fresh, and never push another neighbour out.
    pub(crate) fn learn_request(&mut self, now: Time, sender: IpAddr, mac: Mac, counters: &mut Counters) {
        self.last = None;
        let fresh_until = now.after(self.fresh);
        let room = self.entries.len() < self.max;
        match self.entries.get_mut(&word(sender)).map(|entry| &mut entry.state) {
            Some(State::Known { mac: known, fresh_until }) if now < *fresh_until => {
                counters.neighbors_contested += u64::from(*known != mac);
            }
            Some(state) => {
                *state = State::Known { mac, fresh_until };
                self.changed = true;
            }
            None if room => {
                let state = State::Known { mac, fresh_until };
                self.entries.insert(word(sender), Entry { state, used: now });
            }
            None => {}
        }
    }
}

/// An address as a key of the table.
fn word(address: IpAddr) -> u128 {
    as_v6(address).into()
}

fn address_of(word: u128) -> IpAddr {
    Ipv6Addr::from(word).to_canonical()
}

#[cfg(test)]
#[path = "neighbor_tests.rs"]
mod tests;
