//! Sends to multicast groups that somebody has joined: as soon as a report of it is heard (IGMPv3, RFC 3376 4.2; MLDv2,
//! RFC 3810 5.2), and not before. First to a neighbour of the group, which nobody has joined, then to the group.
//!
//! Receives reports, hands on datagrams. Groups outside the two ranges of the tests are not its business.

use super::{router, say};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Duration;

/// Port that the datagrams go to.
pub const PORT: u16 = 7001;
/// Datagrams to each of the two groups.
pub const DATAGRAMS: u64 = 3;
const IGMP_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const MLD_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
const IGMP_REPORT: u8 = 0x22;
const MLD_REPORT: u8 = 143;
/// Both reports begin with eight octets, the number of records last.
const REPORT_HEADER_LEN: usize = 8;
/// Record types (RFC 3376 4.2.12): in the first two, "from everybody" if no source is named.
const MODE_IS_EXCLUDE: u8 = 2;
const CHANGE_TO_EXCLUDE: u8 = 4;
/// Left, if no source is named.
const CHANGE_TO_INCLUDE: u8 = 3;
/// Between two datagrams: they are to be heard, not to fill a ring.
const PAUSE: Duration = Duration::from_millis(20);

/// What a report says of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Joined(IpAddr),
    Left(IpAddr),
}

/// Listens for IGMP on the interface that has this address, until the socket fails.
///
/// # Errors
/// No permission, or the socket's.
pub fn serve_igmp(interface: Ipv4Addr) -> io::Result<()> {
    let reports =
        socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::IGMP))?;
    let reports = UdpSocket::from(reports);
    reports.join_multicast_v4(&IGMP_ROUTERS, &interface)?;
    let sender = UdpSocket::bind((interface, 0))?;
    sockopt::set_ip_multicast_if(&sender, &interface)?;
    let mut packet = [0; 2048];
    loop {
        let len = reports.recv(&mut packet)?;
        // A raw IPv4 socket gives the header as well; its length is in words.
        let header = usize::from(packet[0] & 15) * 4;
        let changes = changes(packet[..len].get(header..).unwrap_or(&[]), IGMP_REPORT);
        answer(&changes, |group| SocketAddr::new(group, PORT), &sender);
    }
}

/// The same for MLD on the interface with this index.
///
/// # Errors
/// No permission, or the socket's.
pub fn serve_mld(index: u32) -> io::Result<()> {
    let reports = router::icmpv6_socket(index, MLD_ROUTERS)?;
    let sender = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    sockopt::set_ipv6_multicast_if(&sender, index)?;
    let mut message = [0; 2048];
    loop {
        let len = reports.recv(&mut message)?;
        let changes = changes(&message[..len], MLD_REPORT);
        let to = |group| match group {
            IpAddr::V6(group) => SocketAddrV6::new(group, PORT, 0, index).into(),
            IpAddr::V4(_) => SocketAddr::new(group, PORT),
        };
        answer(&changes, to, &sender);
    }
}

fn answer(changes: &[Change], to: impl Fn(IpAddr) -> SocketAddr, sender: &UdpSocket) {
    for change in changes {
        match *change {
            Change::Joined(group) if is_ours(group) => {
                say(&format!("joined {group}"));
                for group in [neighbour(group), group] {
                    for _ in 0..DATAGRAMS {
                        let _ = sender.send_to(text(group).as_bytes(), to(group));
                        std::thread::sleep(PAUSE);
                    }
                }
            }
            Change::Left(group) if is_ours(group) => say(&format!("left {group}")),
            Change::Joined(_) | Change::Left(_) => {}
        }
    }
}

/// What a datagram to this group holds.
#[must_use]
pub fn text(group: IpAddr) -> String {
    format!("to {group}")
}

/// 239.9.0.0/16 (RFC 2365 6.1: for local use), ff05::9:0/112 (RFC 4291 2.7: within a site).
fn is_ours(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(v4) => v4.octets()[..2] == [239, 9],
        IpAddr::V6(v6) => v6.segments()[..7] == [0xff05, 0, 0, 0, 0, 0, 9],
    }
}

/// Another group, whose station address differs in its last bits, of which a card's filter makes its hash.
fn neighbour(group: IpAddr) -> IpAddr {
    match group {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) ^ 0x70).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) ^ 0x70).into(),
    }
}

/// The changes that a report tells of, as far as it can be read.
fn changes(report: &[u8], kind: u8) -> Vec<Change> {
    let address_len = if kind == IGMP_REPORT { 4 } else { 16 };
    let mut changes = Vec::new();
    if report.len() < REPORT_HEADER_LEN || report[0] != kind {
        return changes;
    }
    let (header, mut rest) = report.split_at(REPORT_HEADER_LEN);
    for _ in 0..u16::from_be_bytes([header[6], header[7]]) {
        let Some(record) = rest.get(..4 + address_len) else { break };
        let group = match <[u8; 16]>::try_from(&record[4..]) {
            Ok(v6) => IpAddr::from(v6),
            Err(_) => IpAddr::from([record[4], record[5], record[6], record[7]]),
        };
        let sources = usize::from(u16::from_be_bytes([record[2], record[3]]));
        match record[0] {
            MODE_IS_EXCLUDE | CHANGE_TO_EXCLUDE if sources == 0 => changes.push(Change::Joined(group)),
            CHANGE_TO_INCLUDE if sources == 0 => changes.push(Change::Left(group)),
            _ => {}
        }
        let len = 4 + address_len * (1 + sources) + 4 * usize::from(record[1]);
        rest = rest.get(len..).unwrap_or(&[]);
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_record_by_record_and_no_further_than_it_is_long() {
        let group = |last| IpAddr::from([239, 9, 9, last]);
        let mut report = vec![IGMP_REPORT, 0, 0, 0, 0, 0, 0, 3];
        report.extend([CHANGE_TO_EXCLUDE, 1, 0, 0, 239, 9, 9, 1, 0, 0, 0, 0]);
        report.extend([CHANGE_TO_EXCLUDE, 0, 0, 1, 239, 9, 9, 2, 10, 9, 0, 7]);
        report.extend([CHANGE_TO_INCLUDE, 0, 0, 0, 239, 9, 9, 3]);
        let all = [Change::Joined(group(1)), Change::Left(group(3))];
        assert_eq!(changes(&report, IGMP_REPORT), all);
        assert_eq!(changes(&report, MLD_REPORT), []);
        for len in 0..report.len() {
            assert!(changes(&report[..len], IGMP_REPORT).len() < all.len(), "{len}");
        }
    }

    #[test]
    fn the_neighbour_of_a_group_is_another_group_of_the_same_range() {
        for group in ["239.9.9.9", "ff05::9:9"] {
            let group: IpAddr = group.parse().unwrap();
            assert!(neighbour(group) != group && is_ours(neighbour(group)));
        }
    }
}
