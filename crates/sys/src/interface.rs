//! Settings of a network interface of the kernel: its IPv4 address, and "up".
//!
//! Receives the name of an interface in the network namespace of the calling thread. Needs `CAP_NET_ADMIN` there.
//! It makes no interface and reads nothing back.
#![allow(unsafe_code, reason = "the ioctls of netdevice(7) have no safe wrapper")]

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Setter, ioctl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::net::Ipv4Addr;

/// Requests of netdevice(7) (linux/sockios.h).
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
/// IFF_UP | IFF_RUNNING (linux/if.h).
const UP_AND_RUNNING: u16 = 0x1 | 0x40;
/// AF_INET (linux/socket.h).
const FAMILY_IPV4: u16 = 2;
/// Bytes of an interface name, with its zero (linux/if.h).
const NAME_LEN: usize = 16;
/// Where the kernel keeps whether a new interface speaks IPv6.
const IPV6_OFF_BY_DEFAULT: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/// `struct ifreq`: a name and a union of 24 bytes.
#[repr(C)]
struct Request {
    name: [u8; NAME_LEN],
    value: [u8; 24],
}

/// An interface by its name.
#[derive(Debug)]
pub struct Interface {
    name: [u8; NAME_LEN],
    socket: OwnedFd,
}

impl Interface {
    /// A hand on the interface `name`; whether it exists shows with the first setting.
    ///
    /// # Errors
    /// The name is longer than 15 bytes, or the kernel has no socket to give.
    pub fn named(name: &str) -> std::io::Result<Interface> {
        let mut padded = [0; NAME_LEN];
        if name.len() >= NAME_LEN {
            return Err(Errno::NAMETOOLONG.into());
        }
        padded[..name.len()].copy_from_slice(name.as_bytes());
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Interface { name: padded, socket })
    }

    /// Gives it an IPv4 address in a network of `prefix_len` bits (0 to 32).
    ///
    /// # Errors
    /// The kernel's refusal, or a prefix that is none.
    pub fn set_address(&self, address: Ipv4Addr, prefix_len: u8) -> std::io::Result<()> {
        let host_bits = 32u32.checked_sub(prefix_len.into()).ok_or(Errno::INVAL)?;
        let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
        self.set::<SIOCSIFADDR>(socket_address(address))?;
        self.set::<SIOCSIFNETMASK>(socket_address(mask.into()))
    }

    /// Switches it on.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn bring_up(&self) -> std::io::Result<()> {
        let mut value = [0; 24];
        value[..2].copy_from_slice(&UP_AND_RUNNING.to_ne_bytes());
        self.set::<SIOCSIFFLAGS>(value)
    }

    fn set<const OPCODE: Opcode>(&self, value: [u8; 24]) -> std::io::Result<()> {
        let request = Request { name: self.name, value };
        // SAFETY:
        // 1. The opcodes of this file are the set requests of netdevice(7): valid on any IPv4 socket, which
        //    `socket` is.
        // 2. They read one `struct ifreq` of 40 bytes, which `Request` is, with every byte initialised, and
        //    write nothing back.
        unsafe { ioctl(&self.socket, Setter::<OPCODE, Request>::new(request))? };
        Ok(())
    }
}

/// `struct sockaddr_in` without a port.
fn socket_address(address: Ipv4Addr) -> [u8; 24] {
    let mut value = [0; 24];
    value[..2].copy_from_slice(&FAMILY_IPV4.to_ne_bytes());
    value[4..8].copy_from_slice(&address.octets());
    value
}

/// Keeps interfaces that are made from now on in this network from speaking IPv6: nobody asked for the frames
/// they would send by themselves.
///
/// # Errors
/// The kernel has no IPv6 or does not let us.
pub fn silence_ipv6() -> std::io::Result<()> {
    std::fs::write(IPV6_OFF_BY_DEFAULT, "1")
}
