//! Neighbour discovery (RFC 4861): the messages by which IPv6 hosts find each other and routers.
//!
//! Receives ICMPv6 messages whose checksum is right, teaches the neighbour table and `autoconf` what
//! may be believed, and answers questions about us. Redirects are ignored: routes are ours to know.

use crate::Stack;
use crate::autoconf::{PrefixInfo, Question, solicited_node};
use crate::ipv6;
use crate::neighbor::Answer;
use crate::packet::{Ends, Packet};
use crate::path::group_station;
use crate::post::finish_message;
use naio_nic::Mac;
use std::net::Ipv6Addr;

pub(crate) const ROUTER_SOLICITATION: u8 = 133;
pub(crate) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const NEIGHBOR_SOLICITATION: u8 = 135;
pub(crate) const NEIGHBOR_ADVERTISEMENT: u8 = 136;
pub(crate) const REDIRECT: u8 = 137;
/// Nobody beyond the link can send this (RFC 4861 3.1).
const HOP_LIMIT: u8 = 255;
/// Bytes in front of the options, both ways.
const SOLICITATION_LEN: usize = 24;
const ADVERTISEMENT_LEN: usize = 16;
const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;
const OPTION_PREFIX: u8 = 3;
/// Most options of a message that we look at.
const OPTIONS_MAX: usize = 16;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// The options that mean something to us.
#[derive(Default)]
struct Options {
    source: Option<Mac>,
    target: Option<Mac>,
    prefixes: Vec<PrefixInfo>,
}

/// Reads options; `None` if their lengths lie (RFC 4861 4.6: none is empty).
fn options(mut bytes: &[u8]) -> Option<Options> {
    let mut options = Options::default();
    for _ in 0..OPTIONS_MAX {
        let &[kind, units, ..] = bytes else { return bytes.is_empty().then_some(options) };
        let (option, behind) = bytes.split_at_checked(usize::from(units) * 8).filter(|_| units > 0)?;
        bytes = behind;
        match (kind, option) {
            (OPTION_SOURCE, &[_, _, a, b, c, d, e, f]) => options.source = Some(Mac([a, b, c, d, e, f])),
            (OPTION_TARGET, &[_, _, a, b, c, d, e, f]) => options.target = Some(Mac([a, b, c, d, e, f])),
            (OPTION_PREFIX, option) if option.len() == 32 => options.prefixes.push(prefix_info(option)?),
            _ => {}
        }
    }
    Some(options)
}

fn prefix_info(option: &[u8]) -> Option<PrefixInfo> {
    let word = |at: usize| Some(u32::from_be_bytes(*option.get(at..)?.first_chunk()?));
    let prefix: [u8; 16] = *option.get(16..)?.first_chunk()?;
    Some(PrefixInfo {
        prefix: prefix.into(),
        prefix_len: option[2],
        on_link: option[3] & 0x80 != 0,
        autonomous: option[3] & 0x40 != 0,
        valid_s: word(4)?,
        preferred_s: word(8)?,
    })
}

impl Stack {
    /// A message of neighbour discovery.
    pub(crate) fn ndp(&mut self, packet: &Packet<'_>, hop_limit: u8, station: Mac) {
        let Ends::V6 { source, destination } = packet.ends else { return };
        let message = packet.payload;
        // Nothing that came through a router, nothing in fragments (RFC 6980), no code but 0.
        if hop_limit != HOP_LIMIT || message[1] != 0 {
            return self.counters.drop_icmp_malformed += 1;
        }
        let done = match message[0] {
            ROUTER_ADVERTISEMENT => self.router_advertisement(source, message),
            NEIGHBOR_SOLICITATION => self.neighbor_solicitation(source, message, station),
            NEIGHBOR_ADVERTISEMENT => self.neighbor_advertisement(destination, message),
            // We are no router, and routes are ours to know.
            _ => {
                self.counters.drop_icmp_ignored += 1;
                Some(())
            }
        };
        if done.is_none() {
            self.counters.drop_icmp_malformed += 1;
        }
    }

    /// `None` if it is malformed; otherwise it is counted.
    fn router_advertisement(&mut self, source: Ipv6Addr, message: &[u8]) -> Option<()> {
        let &lifetime = message.get(6..)?.first_chunk()?;
        let options = options(message.get(ADVERTISEMENT_LEN..)?)?;
        if !source.is_unicast_link_local() {
            return None;
        }
        self.counters.rx_ndp += 1;
        let autoconf = self.autoconf.as_mut()?;
        autoconf.router(self.now, source, u16::from_be_bytes(lifetime));
        for info in options.prefixes {
            autoconf.prefix(self.now, info);
        }
        if let Some(mac) = options.source.filter(|mac| self.may_be_learned(*mac)) {
            self.neighbors.learn_request(self.now, source.into(), mac, &mut self.counters);
        }
        Some(())
    }

    fn may_be_learned(&self, mac: Mac) -> bool {
        mac.is_station() && mac != self.outbox.mac
    }

    fn neighbor_solicitation(&mut self, source: Ipv6Addr, message: &[u8], station: Mac) -> Option<()> {
        let target = target(message)?;
        let options = options(&message[SOLICITATION_LEN..])?;
        let autoconf = self.autoconf.as_mut()?;
        if autoconf.is_tentative(target) {
            // Whoever asks without an address wants the same one (RFC 4862 5.4.3).
            if source.is_unspecified() {
                autoconf.is_duplicate(target);
            }
            self.counters.rx_ndp += 1;
            return Some(());
        }
        if !autoconf.has(target) {
            self.counters.drop_ndp_unasked += 1;
            return Some(());
        }
        self.counters.rx_ndp += 1;
        // The answer goes to the station that the frame came from, or to everybody.
        let mut to = (source, station);
        let mut flags = SOLICITED | OVERRIDE;
        if source.is_unspecified() {
            to = (ALL_NODES, group_station(ALL_NODES.into()));
            flags = OVERRIDE;
        } else if let Some(mac) = options.source.filter(|mac| self.may_be_learned(*mac)) {
            self.neighbors.learn_request(self.now, source.into(), mac, &mut self.counters);
        }
        let mac = self.outbox.mac;
        self.send_ndp(target, to, |message| {
            message.copy_from_slice(&solicitation(NEIGHBOR_ADVERTISEMENT, target, (OPTION_TARGET, mac)));
            message[4] = flags;
        });
        Some(())
    }

    fn neighbor_advertisement(&mut self, destination: Ipv6Addr, message: &[u8]) -> Option<()> {
        let target = target(message)?;
        let options = options(&message[SOLICITATION_LEN..])?;
        // An answer to all is no answer to us.
        if destination.is_multicast() && message[4] & SOLICITED != 0 {
            return None;
        }
        let autoconf = self.autoconf.as_mut()?;
        if autoconf.is_tentative(target) {
            autoconf.is_duplicate(target);
            self.counters.rx_ndp += 1;
            return Some(());
        }
        if autoconf.has(target) {
            self.counters.drop_ndp_conflict += 1;
            return Some(());
        }
        let Some(mac) = options.target.filter(|mac| self.may_be_learned(*mac)) else {
            self.counters.drop_ndp_unasked += 1;
            return Some(());
        };
        match self.neighbors.learn_reply(self.now, target.into(), mac) {
            Answer::Learned => self.counters.rx_ndp += 1,
            Answer::Unasked => self.counters.drop_ndp_unasked += 1,
            Answer::Conflict => self.counters.drop_ndp_conflict += 1,
        }
        Some(())
    }

    /// Asks a neighbour for its station address: it alone, or all who may have that address.
    pub(crate) fn solicit_neighbor(&mut self, target: Ipv6Addr, to: Option<Mac>) {
        let source = self.autoconf.as_ref().and_then(|autoconf| autoconf.source_for(self.now, target));
        let Some(source) = source else { return };
        let to = match to {
            Some(mac) => (target, mac),
            None => (solicited_node(target), group_station(solicited_node(target).into())),
        };
        self.counters.tx_ndp_solicitation += 1;
        let mac = self.outbox.mac;
        self.send_ndp(source, to, |message| {
            message.copy_from_slice(&solicitation(NEIGHBOR_SOLICITATION, target, (OPTION_SOURCE, mac)));
        });
    }

    /// Lets time pass for addresses, prefixes and routers.
    pub(crate) fn expire_autoconf(&mut self) {
        let Some(autoconf) = &mut self.autoconf else { return };
        autoconf.count(&mut self.counters);
        let mut questions = std::mem::take(&mut self.questions);
        autoconf.expire(self.now, &mut questions);
        if autoconf.take_changed() {
            self.addresses_changed();
        }
        for question in questions.drain(..) {
            self.ask(question);
        }
        self.questions = questions;
    }

    fn ask(&mut self, question: Question) {
        let mac = self.outbox.mac;
        match question {
            Question::Duplicate(address) => {
                let group = solicited_node(address);
                let to = (group, group_station(group.into()));
                self.send_short_ndp(Ipv6Addr::UNSPECIFIED, to, &solicitation_alone(address));
            }
            Question::Routers(source) => {
                let to = (ALL_ROUTERS, group_station(ALL_ROUTERS.into()));
                let [a, b, c, d, e, f] = mac.0;
                let message = [ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0, OPTION_SOURCE, 1, a, b, c, d, e, f];
                self.send_short_ndp(source, to, &message);
            }
        }
    }

    fn send_ndp(&mut self, source: Ipv6Addr, to: (Ipv6Addr, Mac), write: impl FnOnce(&mut [u8])) {
        let mut message = [0; SOLICITATION_LEN + 8];
        write(&mut message);
        self.send_short_ndp(source, to, &message);
    }

    fn send_short_ndp(&mut self, source: Ipv6Addr, (destination, to): (Ipv6Addr, Mac), message: &[u8]) {
        if self.replies_are_full() {
            self.counters.tx_replies_full += 1;
            return;
        }
        let ends = Ends::V6 { source, destination };
        let len = ipv6::HEADER_LEN + message.len();
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox.packet(replies, counters, Some(to), len, |packet| {
            ends.write_header(packet, ipv6::PROTOCOL_ICMPV6);
            packet[7] = HOP_LIMIT;
            let body = &mut packet[ipv6::HEADER_LEN..];
            body.copy_from_slice(message);
            finish_message(ends, ipv6::PROTOCOL_ICMPV6, body);
        });
    }

    /// The addresses that we may use are others than before.
    pub(crate) fn addresses_changed(&mut self) {
        let ours = self.addresses();
        crate::set_addresses(&mut self.iface, ours.iter().copied());
        crate::set_addresses(&mut self.wide, ours.iter().copied());
        self.paths.clear();
        let orphans: Vec<u32> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.bound && flow.key.is_some_and(|key| !ours.contains(&key.local().0)))
            .map(|(index, _)| index)
            .collect();
        for index in orphans {
            self.counters.address_lost += 1;
            self.break_off(index, Some(crate::Failure::Unreachable));
        }
        self.own_groups_changed();
    }
}

/// What an advertisement or a solicitation is about: never a group.
fn target(message: &[u8]) -> Option<Ipv6Addr> {
    let target: [u8; 16] = *message.get(8..)?.first_chunk()?;
    Some(Ipv6Addr::from(target)).filter(|target| !target.is_multicast())
}

fn solicitation_alone(target: Ipv6Addr) -> [u8; SOLICITATION_LEN] {
    let mut message = [0; SOLICITATION_LEN];
    message[0] = NEIGHBOR_SOLICITATION;
    message[8..24].copy_from_slice(&target.octets());
    message
}

/// With one option: whose station address this is.
fn solicitation(kind: u8, target: Ipv6Addr, (option, mac): (u8, Mac)) -> [u8; SOLICITATION_LEN + 8] {
    let mut message = [0; SOLICITATION_LEN + 8];
    message[..SOLICITATION_LEN].copy_from_slice(&solicitation_alone(target));
    message[0] = kind;
    message[24..26].copy_from_slice(&[option, 1]);
    message[26..].copy_from_slice(&mac.0);
    message
}
