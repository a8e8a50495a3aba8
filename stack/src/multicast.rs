//! Multicast groups: which ones we hear, and telling routers and switches so, with IGMP (RFC 3376,
//! and RFC 2236 while an older router is heard) and MLD (RFC 3810, RFC 2710).
//!
//! Receives joins and queries, and hands on reports and the list of Ethernet groups for whoever
//! programs the card. Every report names all groups of its family: there are few.

use crate::Stack;
use crate::packet::{Ends, Packet};
use crate::path::group_station;
use crate::post::finish_message;
use crate::{autoconf, ipv4, ipv6, ndp};
use naio_nic::Mac;
use naio_sys::checksum::Sum;
use naio_sys::clock::Time;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// IGMP.
pub(crate) const PROTOCOL_IGMP: u8 = 2;
const IGMP_QUERY: u8 = 0x11;
const IGMP_REPORT_V2: u8 = 0x16;
const IGMP_LEAVE_V2: u8 = 0x17;
const IGMP_REPORT_V3: u8 = 0x22;
/// A query of IGMPv3 is longer than one of the versions before it (RFC 3376 7.1).
const IGMP_LEN_V2: usize = 8;
/// The multicast listener query (RFC 3810 5.1).
pub(crate) const MLD_QUERY: u8 = 130;
const MLD_REPORT: u8 = 143;
/// Everybody on the link; always heard, never reported (RFC 3376 6).
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// Where reports go.
const IGMP_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const MLD_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// "From everybody, except nobody": how any-source membership is said (RFC 3376 4.2.12).
const MODE_IS_EXCLUDE: u8 = 2;
const CHANGE_TO_INCLUDE: u8 = 3;
const CHANGE_TO_EXCLUDE: u8 = 4;
/// A change is said twice, because reports may be lost (RFC 3376 8.1), the second time after this.
const REPEATS: u32 = 2;
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// How long an older router is believed to be there (RFC 3376 8.12).
const OLDER_FOR: Duration = Duration::from_secs(400);
/// Longest time a query may ask us to wait.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// Separates the uses of one key.
const DOMAIN_DELAY: u64 = 5;
/// Router alert (RFC 2113, RFC 2711): routers look at packets that are not theirs.
const ALERT_V4: [u8; 4] = [0x94, 4, 0, 0];
const ALERT_V6: [u8; 8] = [ipv6::PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0];

/// A group cannot be joined or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// It is no multicast address, or we do not speak that version of IP.
    #[error("{0} is no group that can be joined")]
    Address(IpAddr),
    /// As many as `Config::groups_max` are joined.
    #[error("too many multicast groups")]
    TooMany,
    /// It was not joined.
    #[error("the group {0} was not joined")]
    NotJoined(IpAddr),
}

/// Reports of one family that are due.
#[derive(Default)]
struct Reports {
    at: Option<Time>,
    /// Changes still to be said.
    repeats: u32,
}

#[derive(Default)]
pub(crate) struct Groups {
    /// What users have joined, each as often as it was joined.
    joined: Vec<(IpAddr, u32)>,
    /// What follows from our own addresses.
    own: Vec<Ipv6Addr>,
    v4: Reports,
    v6: Reports,
    /// Until when a router that knows only IGMPv2 is believed to be there.
    older_until: Time,
    changed: bool,
}

impl Groups {
    fn heard(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let all_hosts = self.joined.iter().any(|(group, _)| group.is_ipv4()).then_some(ALL_HOSTS.into());
        let own = self.own.iter().map(|&group| IpAddr::from(group));
        self.joined.iter().map(|&(group, _)| group).chain(own).chain(all_hosts)
    }

    /// Groups that users have joined.
    pub(crate) fn joined(&self) -> usize {
        self.joined.len()
    }

    pub(crate) fn hears_station(&self, station: Mac) -> bool {
        self.heard().any(|group| group_station(group) == station)
    }

    /// Groups of one family to report: not those that everybody is in.
    fn reported(&self, v4: bool) -> Vec<IpAddr> {
        let all: [IpAddr; 2] = [ALL_HOSTS.into(), ndp::ALL_NODES.into()];
        self.heard().filter(|group| group.is_ipv4() == v4 && !all.contains(group)).collect()
    }

    fn reports(&mut self, v4: bool) -> &mut Reports {
        if v4 { &mut self.v4 } else { &mut self.v6 }
    }

    fn change(&mut self, now: Time, v4: bool) {
        self.changed = true;
        *self.reports(v4) = Reports { at: Some(now), repeats: REPEATS };
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        [self.v4.at, self.v6.at].into_iter().flatten().min()
    }
}

impl Stack {
    /// Hears datagrams to a multicast group from now on. Joined twice it must be left twice.
    ///
    /// # Errors
    /// It is no group, or there are too many.
    pub fn join(&mut self, group: IpAddr) -> Result<(), GroupError> {
        let possible = group.is_multicast() && (group.is_ipv4() || self.autoconf.is_some());
        if !possible {
            return Err(GroupError::Address(group));
        }
        if let Some((_, count)) = self.groups.joined.iter_mut().find(|(joined, _)| *joined == group) {
            *count = count.saturating_add(1);
            return Ok(());
        }
        if self.groups.joined.len() >= self.config.groups_max {
            return Err(GroupError::TooMany);
        }
        self.groups.joined.push((group, 1));
        self.groups.change(self.now, group.is_ipv4());
        Ok(())
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// It was not joined.
    pub fn leave(&mut self, group: IpAddr) -> Result<(), GroupError> {
        let joined = &mut self.groups.joined;
        let at =
            joined.iter().position(|(joined, _)| *joined == group).ok_or(GroupError::NotJoined(group))?;
        joined[at].1 -= 1;
        if joined[at].1 == 0 {
            joined.swap_remove(at);
            self.groups.changed = true;
            self.report_leave(group);
        }
        Ok(())
    }

    /// The Ethernet groups that the card has to let in, for `Nic::set_multicast`.
    #[must_use]
    pub fn multicast_groups(&self) -> Vec<Mac> {
        let mut stations: Vec<Mac> = self.groups.heard().map(group_station).collect();
        stations.sort_unstable_by_key(|station| station.0);
        stations.dedup();
        stations
    }

    /// Whether [`multicast_groups`](Stack::multicast_groups) has changed since the last call.
    pub fn take_multicast_change(&mut self) -> bool {
        std::mem::take(&mut self.groups.changed)
    }

    /// Whether packets to this group are ours.
    pub(crate) fn hears_group(&self, group: IpAddr) -> bool {
        group.is_multicast() && self.groups.heard().any(|heard| heard == group)
    }

    /// Our addresses have changed, and the groups that follow from them.
    pub(crate) fn own_groups_changed(&mut self) {
        let Some(autoconf) = &self.autoconf else { return };
        let mut own = vec![ndp::ALL_NODES];
        for address in autoconf.all_addresses() {
            let group = autoconf::solicited_node(address);
            if !own.contains(&group) {
                own.push(group);
            }
        }
        if own != self.groups.own {
            self.groups.own = own;
            self.groups.change(self.now, false);
        }
    }

    /// A router asks who hears what (IGMP).
    pub(crate) fn igmp(&mut self, packet: &Packet<'_>) {
        let message = packet.payload;
        if message.len() < IGMP_LEN_V2 || !Sum::ZERO.bytes(message).is_valid() {
            return self.counters.drop_igmp_malformed += 1;
        }
        if message[0] != IGMP_QUERY {
            return self.counters.drop_igmp_type += 1;
        }
        self.counters.rx_group_query += 1;
        if message.len() == IGMP_LEN_V2 {
            self.groups.older_until = self.now.after(OLDER_FOR);
        }
        // In tenths of a second; the longer ones of IGMPv3 are cut to ours anyway.
        self.answer_query(true, Duration::from_millis(u64::from(message[1]) * 100));
    }

    /// The same for IPv6.
    pub(crate) fn mld_query(&mut self, packet: &Packet<'_>, hop_limit: u8) {
        let link_local = matches!(packet.ends, Ends::V6 { source, .. } if source.is_unicast_link_local());
        let delay = packet.payload.get(4..6).and_then(|bytes| bytes.first_chunk());
        let (Some(&delay), true) = (delay, hop_limit == 1 && link_local && packet.payload.len() >= 24) else {
            return self.counters.drop_igmp_malformed += 1;
        };
        self.counters.rx_group_query += 1;
        self.answer_query(false, Duration::from_millis(u16::from_be_bytes(delay).into()));
    }

    /// Not before some part of the delay has passed, so that not everybody answers at once.
    fn answer_query(&mut self, v4: bool, delay: Duration) {
        let micros = delay.min(DELAY_MAX).as_micros() as u64;
        let draw = self.key.prf(&[DOMAIN_DELAY, self.now.as_micros(), v4.into()]);
        let at = self.now.after(Duration::from_micros(draw % (micros + 1)));
        let reports = self.groups.reports(v4);
        reports.at = Some(reports.at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Reports what is due.
    pub(crate) fn expire_groups(&mut self) {
        let now = self.now;
        for v4 in [true, false] {
            let reports = self.groups.reports(v4);
            if reports.at.is_none_or(|at| at > now) {
                continue;
            }
            let kind = if reports.repeats > 0 { CHANGE_TO_EXCLUDE } else { MODE_IS_EXCLUDE };
            reports.repeats = reports.repeats.saturating_sub(1);
            reports.at = (reports.repeats > 0).then(|| now.after(REPEAT_AFTER));
            let groups = self.groups.reported(v4);
            self.report(v4, kind, &groups);
        }
    }

    fn report_leave(&mut self, group: IpAddr) {
        if let IpAddr::V4(group) = group
            && self.now < self.groups.older_until
        {
            return self.send_igmp_v2(IGMP_LEAVE_V2, group, ALL_ROUTERS);
        }
        self.report(group.is_ipv4(), CHANGE_TO_INCLUDE, &[group]);
    }

    fn report(&mut self, v4: bool, kind: u8, groups: &[IpAddr]) {
        if v4 && self.now < self.groups.older_until {
            for group in groups {
                if let IpAddr::V4(group) = *group {
                    self.send_igmp_v2(IGMP_REPORT_V2, group, group);
                }
            }
            return;
        }
        let (front, record_len) = if v4 { (24, 8) } else { (48, 20) };
        let each = (self.outbox.mtu() - front - 8) / record_len;
        for groups in groups.chunks(each) {
            let mut message = vec![if v4 { IGMP_REPORT_V3 } else { MLD_REPORT }, 0, 0, 0, 0, 0, 0, 0];
            // Fewer than fit a packet.
            message[6..8].copy_from_slice(&(groups.len() as u16).to_be_bytes());
            for group in groups {
                message.extend_from_slice(&[kind, 0, 0, 0]);
                match group {
                    IpAddr::V4(group) => message.extend_from_slice(&group.octets()),
                    IpAddr::V6(group) => message.extend_from_slice(&group.octets()),
                }
            }
            if v4 {
                self.send_igmp(&mut message, IGMP_ROUTERS);
            } else {
                self.send_mld(&mut message);
            }
        }
    }

    fn send_igmp_v2(&mut self, kind: u8, group: Ipv4Addr, to: Ipv4Addr) {
        let [a, b, c, d] = group.octets();
        self.send_igmp(&mut [kind, 0, 0, 0, a, b, c, d], to);
    }

    fn send_igmp(&mut self, message: &mut [u8], destination: Ipv4Addr) {
        let ends = Ends::V4 { source: self.route.address(), destination };
        finish_message(ends, PROTOCOL_IGMP, message);
        let header_len = ipv4::HEADER_LEN + ALERT_V4.len();
        self.send_report(group_station(destination.into()), header_len + message.len(), |packet| {
            ends.write_header(packet, PROTOCOL_IGMP);
            (packet[0], packet[8]) = (0x40 | (header_len / 4) as u8, 1);
            packet[ipv4::HEADER_LEN..header_len].copy_from_slice(&ALERT_V4);
            packet[10..12].fill(0);
            let checksum = Sum::ZERO.bytes(&packet[..header_len]).checksum();
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
            packet[header_len..].copy_from_slice(message);
        });
    }

    fn send_mld(&mut self, message: &mut [u8]) {
        let Some(autoconf) = &self.autoconf else { return };
        // Before there is an address, from none (RFC 3810 5.2.13).
        let source = autoconf.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
        let ends = Ends::V6 { source, destination: MLD_ROUTERS };
        finish_message(ends, ipv6::PROTOCOL_ICMPV6, message);
        let header_len = ipv6::HEADER_LEN + ALERT_V6.len();
        self.send_report(group_station(MLD_ROUTERS.into()), header_len + message.len(), |packet| {
            // Hop-by-hop options come first.
            ends.write_header(packet, 0);
            packet[7] = 1;
            packet[ipv6::HEADER_LEN..header_len].copy_from_slice(&ALERT_V6);
            packet[header_len..].copy_from_slice(message);
        });
    }

    fn send_report(&mut self, to: Mac, len: usize, write: impl FnOnce(&mut [u8])) {
        if self.replies_are_full() || !self.outbox.can_make(len) {
            self.counters.tx_replies_full += 1;
            return;
        }
        self.counters.tx_group_report += 1;
        self.outbox.packet(&mut self.replies, &mut self.counters, Some(to), len, write);
    }
}
