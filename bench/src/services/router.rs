//! A router that advertises one IPv6 network and itself (RFC 4861 6.2): whoever solicits is answered, and everybody is
//! told every few seconds.
//!
//! Receives router solicitations, hands on router advertisements. Forwards nothing: that is the kernel's business.

use super::{say, was_silent};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// ICMPv6 types (RFC 4861 4.1, 4.2) and options (4.6.2, 4.6.4).
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
const OPTION_PREFIX: u8 = 3;
const OPTION_MTU: u8 = 5;
/// On the link, and to form addresses from (RFC 4861 4.6.2: L and A).
const ON_LINK_AND_AUTONOMOUS: u8 = 0xc0;
/// Discovery is believed from neighbours only: no router has lowered this (RFC 4861 6.1.2).
const HOP_LIMIT: u8 = 255;
const PREFIX_LEN: u8 = 64;
const LIFETIME_S: u16 = 1800;
const MTU: u32 = 1500;
/// Time between two advertisements that nobody asked for: the least there may be (RFC 4861 6.2.1).
const EVERY: Duration = Duration::from_secs(3);

/// An ICMPv6 socket on an interface, which hears a group. The kernel writes its checksums (RFC 3542 3.1).
pub(super) fn icmpv6_socket(index: u32, group: Ipv6Addr) -> io::Result<UdpSocket> {
    let socket =
        socket_with(AddressFamily::INET6, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::ICMPV6))?;
    sockopt::set_ipv6_multicast_hops(&socket, HOP_LIMIT.into())?;
    sockopt::set_ipv6_multicast_if(&socket, index)?;
    sockopt::set_ipv6_multicast_loop(&socket, false)?;
    // The standard library's socket sends and receives on any descriptor of a socket.
    let socket = UdpSocket::from(socket);
    socket.join_multicast_v6(&group, index)?;
    Ok(socket)
}

/// Advertises `prefix`, 64 bits of it, on the interface until the socket fails.
///
/// # Errors
/// No permission, or the socket's.
pub fn serve(index: u32, prefix: Ipv6Addr) -> io::Result<()> {
    let socket = icmpv6_socket(index, ALL_ROUTERS)?;
    socket.set_read_timeout(Some(EVERY))?;
    let everybody = SocketAddrV6::new(ALL_NODES, 0, 0, index);
    let advertisement = advertisement(prefix);
    let mut message = [0; 1500];
    loop {
        // While the link is down there is nobody to be told.
        let _ = socket.send_to(&advertisement, everybody);
        let solicited = loop {
            match socket.recv_from(&mut message) {
                Ok((len, from)) if len > 0 && message[0] == SOLICITATION => break Some(from),
                Ok(_) => {}
                Err(error) if was_silent(&error) => break None,
                Err(error) => return Err(error),
            }
        };
        if let Some(from) = solicited {
            say(&format!("solicited by {}", from.ip()));
        }
    }
}

fn advertisement(prefix: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 64, 0];
    message.extend(LIFETIME_S.to_be_bytes());
    message.extend([0; 8]);
    message.extend([OPTION_PREFIX, 4, PREFIX_LEN, ON_LINK_AND_AUTONOMOUS]);
    message.extend(u32::from(LIFETIME_S).to_be_bytes());
    message.extend(u32::from(LIFETIME_S).to_be_bytes());
    message.extend([0; 4]);
    message.extend(prefix.octets());
    message.extend([OPTION_MTU, 1, 0, 0]);
    message.extend(MTU.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_has_whole_options_of_eight_octets() {
        let message = advertisement("fd00:9::".parse().unwrap());
        let (header, mut options) = message.split_at(16);
        assert_eq!((header[0], &header[6..8]), (134, &1800u16.to_be_bytes()[..]));
        let mut kinds = Vec::new();
        while let [kind, len, ..] = *options {
            kinds.push(kind);
            options = &options[usize::from(len) * 8..];
        }
        assert_eq!((kinds, options), (vec![3, 5], &[][..]));
    }
}
