//! Our IPv6 addresses, the prefixes on the link and the routers: what is configured, and what routers
//! advertise (RFC 4861, RFC 4862).
//!
//! Receives advertisements and time, and hands on what is to be asked and which addresses may be
//! used. Addresses that we form are those of RFC 7217: stable for one secret, card and prefix, and
//! without the station address in them. Nobody can make any of the lists grow beyond its bound.

use crate::config::{ConfigError, Ipv6Config, StaticRoute};
use crate::counters::Counters;
use crate::hash::Key;
use naio_nic::Mac;
use naio_sys::clock::Time;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Addresses we have at most, the link-local one included (smoltcp is built for eight, one is IPv4's).
const ADDRESSES_MAX: usize = 7;
const PREFIXES_MAX: usize = 8;
const ROUTERS_MAX: usize = 4;
/// How long we listen whether somebody else has an address (RFC 4861 10, RETRANS_TIMER).
const TENTATIVE: Duration = Duration::from_secs(1);
/// How often a formed address may turn out to be taken before we do without (RFC 7217 6).
const DUPLICATES_MAX: u64 = 3;
/// Router solicitations, and the time between them (RFC 4861 10).
const SOLICITATIONS: u32 = 3;
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// Nobody without proof shortens what is valid below this (RFC 4862 5.5.3 e).
const VALID_MIN: Duration = Duration::from_secs(7_200);
/// Bits of a prefix that an address is formed from: the other half is ours.
const INTERFACE_PREFIX_LEN: u8 = 64;
/// The prefix of link-local addresses (RFC 4291 2.5.6).
const LINK_LOCAL: u128 = 0xfe80 << 112;
/// Separates the uses of one key.
const DOMAIN_INTERFACE: u64 = 4;

/// What has to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Has anybody this address?
    Duplicate(Ipv6Addr),
    /// Who routes? With our link-local address as the source.
    Routers(Ipv6Addr),
}

struct Own {
    address: Ipv6Addr,
    prefix_len: u8,
    /// Not ours yet: until then we listen. Not even asked about while it is `None`.
    tentative: Option<Option<Time>>,
    preferred_until: Time,
    valid_until: Time,
    /// Formed from a prefix, so many times before.
    formed: Option<u64>,
}

struct OnLink {
    prefix: u128,
    prefix_len: u8,
    until: Time,
}

struct Router {
    address: Ipv6Addr,
    until: Time,
}

/// A prefix information option (RFC 4861 4.6.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrefixInfo {
    pub(crate) prefix: Ipv6Addr,
    pub(crate) prefix_len: u8,
    pub(crate) on_link: bool,
    pub(crate) autonomous: bool,
    pub(crate) valid_s: u32,
    pub(crate) preferred_s: u32,
}

pub(crate) struct Autoconf {
    mac: Mac,
    key: Key,
    automatic: bool,
    gateway: Option<Ipv6Addr>,
    routes: Vec<(u128, u8, Ipv6Addr)>,
    addresses: Vec<Own>,
    prefixes: Vec<OnLink>,
    routers: Vec<Router>,
    solicitations: u32,
    solicit_at: Time,
    /// The addresses that may be used are others than before.
    changed: bool,
    duplicates: u64,
    refused: u64,
}

impl Autoconf {
    pub(crate) fn new(
        config: &Ipv6Config,
        routes: &[StaticRoute],
        mac: Mac,
        key: Key,
    ) -> Result<Autoconf, ConfigError> {
        let mut autoconf = Autoconf {
            mac,
            key,
            automatic: config.autoconfigure,
            gateway: config.gateway,
            routes: Vec::new(),
            addresses: Vec::new(),
            prefixes: Vec::new(),
            routers: Vec::new(),
            solicitations: 0,
            solicit_at: Time::FAR_FUTURE,
            changed: true,
            duplicates: 0,
            refused: 0,
        };
        autoconf.form(LINK_LOCAL, 0, (Time::FAR_FUTURE, Time::FAR_FUTURE));
        for &(address, prefix_len) in &config.addresses {
            let count = autoconf.addresses.len();
            if !is_unicast(address) || prefix_len > 128 || count > Ipv6Config::ADDRESSES_MAX {
                return Err(ConfigError::Ipv6Address(address, prefix_len));
            }
            autoconf.addresses.push(Own {
                address,
                prefix_len,
                tentative: Some(None),
                preferred_until: Time::FAR_FUTURE,
                valid_until: Time::FAR_FUTURE,
                formed: None,
            });
            autoconf.prefixes.push(OnLink {
                prefix: u128::from(address) & mask(prefix_len),
                prefix_len,
                until: Time::FAR_FUTURE,
            });
        }
        for route in routes {
            let (IpAddr::V6(prefix), IpAddr::V6(gateway)) = (route.prefix, route.gateway) else { continue };
            let bits = u128::from(prefix);
            let near = gateway.is_unicast_link_local() || autoconf.is_on_link(gateway);
            if route.prefix_len > 128 || bits & !mask(route.prefix_len) != 0 || !near {
                return Err(ConfigError::Route { prefix: route.prefix, prefix_len: route.prefix_len });
            }
            autoconf.routes.push((bits, route.prefix_len, gateway));
        }
        autoconf.routes.sort_by_key(|&(_, prefix_len, _)| std::cmp::Reverse(prefix_len));
        Ok(autoconf)
    }

    /// Forms an address from a prefix (RFC 7217 5) and begins to ask whether it is free.
    fn form(&mut self, prefix: u128, count: u64, (preferred_until, valid_until): (Time, Time)) {
        let [a, b, c, d, e, f] = self.mac.0.map(u64::from);
        let mac = a << 40 | b << 32 | c << 24 | d << 16 | e << 8 | f;
        let interface = self.key.prf(&[DOMAIN_INTERFACE, (prefix >> 64) as u64, mac, count]);
        let address = Ipv6Addr::from(prefix & mask(INTERFACE_PREFIX_LEN) | u128::from(interface));
        // There is one group more to hear.
        self.changed = true;
        self.addresses.push(Own {
            address,
            prefix_len: INTERFACE_PREFIX_LEN,
            tentative: Some(None),
            preferred_until,
            valid_until,
            formed: Some(count),
        });
    }

    /// Lets time pass; what is to be asked now.
    pub(crate) fn expire(&mut self, now: Time, questions: &mut Vec<Question>) {
        for own in &mut self.addresses {
            match own.tentative {
                Some(None) => {
                    own.tentative = Some(Some(now.after(TENTATIVE)));
                    questions.push(Question::Duplicate(own.address));
                }
                Some(Some(until)) if until <= now => {
                    own.tentative = None;
                    self.changed = true;
                }
                _ => {}
            }
        }
        let before = self.addresses.len();
        self.addresses.retain(|own| own.valid_until > now);
        self.changed |= self.addresses.len() != before;
        self.prefixes.retain(|prefix| prefix.until > now);
        self.routers.retain(|router| router.until > now);
        self.solicit(now, questions);
    }

    fn solicit(&mut self, now: Time, questions: &mut Vec<Question>) {
        let wanted = self.automatic && self.routers.is_empty() && self.solicitations < SOLICITATIONS;
        let Some(source) = self.link_local().filter(|_| wanted) else {
            self.solicit_at = Time::FAR_FUTURE;
            return;
        };
        if self.solicit_at == Time::FAR_FUTURE || self.solicit_at <= now {
            self.solicitations += 1;
            self.solicit_at = now.after(SOLICITATION_INTERVAL);
            questions.push(Question::Routers(source));
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let addresses = self.addresses.iter().map(|own| match own.tentative {
            Some(None) => Time::ZERO,
            Some(Some(until)) => until,
            None => own.valid_until,
        });
        let lists = self.prefixes.iter().map(|p| p.until).chain(self.routers.iter().map(|r| r.until));
        let next = addresses.chain(lists).chain([self.solicit_at]).min();
        next.filter(|&next| next < Time::FAR_FUTURE)
    }

    /// Adds addresses that somebody else had, and advertised things beyond what we keep.
    pub(crate) fn count(&mut self, counters: &mut Counters) {
        counters.ipv6_duplicates += std::mem::take(&mut self.duplicates);
        counters.ipv6_refused += std::mem::take(&mut self.refused);
    }

    /// Whether the addresses that may be used have changed since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn usable(&self) -> impl Iterator<Item = &Own> {
        self.addresses.iter().filter(|own| own.tentative.is_none())
    }

    /// Addresses that may be used.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.usable().map(|own| own.address)
    }

    /// Those, and the ones that we listen about.
    pub(crate) fn all_addresses(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.addresses.iter().map(|own| own.address)
    }

    pub(crate) fn has(&self, address: Ipv6Addr) -> bool {
        self.addresses().any(|own| own == address)
    }

    pub(crate) fn is_tentative(&self, address: Ipv6Addr) -> bool {
        self.addresses.iter().any(|own| own.address == address && own.tentative.is_some())
    }

    pub(crate) fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses().find(Ipv6Addr::is_unicast_link_local)
    }

    /// Somebody else has an address that we were about to use (RFC 4862 5.4.5).
    pub(crate) fn is_duplicate(&mut self, address: Ipv6Addr) {
        let Some(at) = self.addresses.iter().position(|own| own.address == address) else { return };
        let own = self.addresses.remove(at);
        self.duplicates += 1;
        self.changed = true;
        if let Some(count) = own.formed.filter(|&count| count + 1 < DUPLICATES_MAX) {
            let prefix = u128::from(address) & mask(INTERFACE_PREFIX_LEN);
            self.form(prefix, count + 1, (own.preferred_until, own.valid_until));
        }
    }

    /// A router says that it is one, for so many seconds (0: no more).
    pub(crate) fn router(&mut self, now: Time, address: Ipv6Addr, lifetime_s: u16) {
        if !self.automatic {
            return;
        }
        let until = now.after(Duration::from_secs(lifetime_s.into()));
        let full = self.routers.len() >= ROUTERS_MAX;
        match self.routers.iter_mut().find(|router| router.address == address) {
            Some(router) => router.until = until,
            None if lifetime_s == 0 => {}
            None if full => self.refused += 1,
            None => self.routers.push(Router { address, until }),
        }
        self.routers.retain(|router| router.until > now);
    }

    /// A router advertises a prefix (RFC 4861 6.3.4, RFC 4862 5.5.3).
    pub(crate) fn prefix(&mut self, now: Time, info: PrefixInfo) {
        let prefix = u128::from(info.prefix) & mask(info.prefix_len);
        let bad = !is_unicast(Ipv6Addr::from(prefix)) || info.prefix.is_unicast_link_local();
        if !self.automatic || info.prefix_len > 128 || info.prefix_len == 0 || bad {
            return;
        }
        if info.on_link {
            self.on_link(prefix, info.prefix_len, lifetime(now, info.valid_s), now);
        }
        let forms = info.autonomous && info.prefix_len == INTERFACE_PREFIX_LEN;
        if !forms || info.preferred_s > info.valid_s {
            return;
        }
        let formed = self.addresses.iter_mut().find(|own| {
            own.formed.is_some() && u128::from(own.address) & mask(INTERFACE_PREFIX_LEN) == prefix
        });
        let valid_until = lifetime(now, info.valid_s);
        let preferred_until = lifetime(now, info.preferred_s);
        if let Some(own) = formed {
            own.preferred_until = preferred_until;
            // An advertisement that nobody signed shortens to two hours at most, and lengthens at will.
            let floor = own.valid_until.min(now.after(VALID_MIN));
            own.valid_until = valid_until.max(floor);
        } else if info.valid_s > 0 {
            if self.addresses.len() >= ADDRESSES_MAX {
                self.refused += 1;
            } else {
                self.form(prefix, 0, (preferred_until, valid_until));
            }
        }
    }

    fn on_link(&mut self, prefix: u128, prefix_len: u8, until: Time, now: Time) {
        let full = self.prefixes.len() >= PREFIXES_MAX;
        let known = self.prefixes.iter_mut().find(|p| p.prefix == prefix && p.prefix_len == prefix_len);
        match known {
            // What is configured stays.
            Some(known) if known.until == Time::FAR_FUTURE => {}
            Some(known) => known.until = until,
            None if until <= now => {}
            None if full => self.refused += 1,
            None => self.prefixes.push(OnLink { prefix, prefix_len, until }),
        }
        self.prefixes.retain(|prefix| prefix.until > now);
    }

    pub(crate) fn is_on_link(&self, address: Ipv6Addr) -> bool {
        let bits = u128::from(address);
        address.is_unicast_link_local() || self.prefixes.iter().any(|p| bits & mask(p.prefix_len) == p.prefix)
    }

    /// Whom to hand a packet for `destination`. Of several routers, one that has not failed lately
    /// (RFC 4861 6.3.6).
    pub(crate) fn next_hop(
        &self,
        destination: Ipv6Addr,
        has_failed: impl Fn(Ipv6Addr) -> bool,
    ) -> Option<Ipv6Addr> {
        if self.is_on_link(destination) {
            return Some(destination);
        }
        let bits = u128::from(destination);
        let route = self.routes.iter().find(|&&(prefix, prefix_len, _)| bits & mask(prefix_len) == prefix);
        let router = || {
            let good = self.routers.iter().find(|router| !has_failed(router.address));
            good.or(self.routers.first()).map(|router| router.address)
        };
        route.map(|&(_, _, gateway)| gateway).or(self.gateway).or_else(router)
    }

    /// Our address towards `destination`: of the same scope, still preferred, alike in most bits
    /// (RFC 6724 5, rules 2, 3 and 8).
    pub(crate) fn source_for(&self, now: Time, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        let local = is_link_scope(destination);
        self.usable()
            .filter(|own| own.address.is_unicast_link_local() == local)
            .max_by_key(|own| {
                let alike = (u128::from(own.address) ^ u128::from(destination)).leading_zeros();
                (own.preferred_until > now, alike.min(own.prefix_len.into()))
            })
            .map(|own| own.address)
    }
}

/// Whether a destination lies on the link by its form alone.
fn is_link_scope(address: Ipv6Addr) -> bool {
    let [_, scope, ..] = address.octets();
    address.is_unicast_link_local() || (address.is_multicast() && scope & 15 <= 2)
}

/// Whether a host may have this address: not unspecified, loopback, multicast or IPv4 in disguise.
pub(crate) fn is_unicast(address: Ipv6Addr) -> bool {
    let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !special && address.to_ipv4_mapped().is_none()
}

fn mask(prefix_len: u8) -> u128 {
    match prefix_len {
        0 => 0,
        len => u128::MAX << (128 - u32::from(len.min(128))),
    }
}

/// All ones are for ever (RFC 4861 4.6.2).
fn lifetime(now: Time, seconds: u32) -> Time {
    match seconds {
        u32::MAX => Time::FAR_FUTURE,
        seconds => now.after(Duration::from_secs(seconds.into())),
    }
}

/// The group of all who may have this address (RFC 4291 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

#[cfg(test)]
#[path = "autoconf_tests.rs"]
mod tests;
