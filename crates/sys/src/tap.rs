//! A TAP device: an Ethernet interface of the kernel whose other end is this program.
//!
//! Receives a name, hands on frames. It makes no namespace, sets no address and brings nothing up:
//! that is the caller's, who also decides in whose network the interface appears.
#![allow(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl};

/// Where the kernel hands out TAP devices.
const CLONE_DEVICE: &str = "/dev/net/tun";
/// `_IOW('T', 202, int)` (linux/if_tun.h).
const TUNSETIFF: Opcode = 0x4004_54ca;
/// Ethernet frames, without the packet information header (linux/if_tun.h).
const TAP_WITHOUT_HEADER: u16 = 0x0002 | 0x1000;
/// Bytes of an interface name, with its zero (linux/if.h).
const NAME_LEN: usize = 16;

/// `struct ifreq` as TUNSETIFF uses it: a name, flags, and the rest of the union.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_LEN],
    flags: u16,
    rest: [u8; 22],
}

/// One end of a TAP device; the interface vanishes when it is dropped.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
}

impl Tap {
    /// Makes the interface `name` in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No TUN device, no right to use it (CAP_NET_ADMIN in the namespace), the name is taken, or
    /// longer than 15 bytes.
    pub fn open(name: &str) -> std::io::Result<Tap> {
        if name.len() >= NAME_LEN {
            return Err(Errno::NAMETOOLONG.into());
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(CLONE_DEVICE, flags, Mode::empty())?;
        let mut request = InterfaceRequest { name: [0; NAME_LEN], flags: TAP_WITHOUT_HEADER, rest: [0; 22] };
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY:
        // 1. TUNSETIFF reads and writes one `struct ifreq` of 40 bytes, which `InterfaceRequest` is,
        //    with every byte initialised and no invalid bit pattern.
        // 2. The borrow lives until the call returns; the kernel keeps no pointer.
        unsafe { ioctl(&fd, Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request))? };
        Ok(Tap { fd })
    }

    /// The next frame from the kernel, `None` if there is none now. A frame longer than `into` is
    /// cut.
    ///
    /// # Errors
    /// The interface is gone or down.
    pub fn receive(&self, into: &mut [u8]) -> std::io::Result<Option<usize>> {
        match rustix::io::read(&self.fd, into) {
            Ok(len) => Ok(Some(len)),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a frame to the kernel; false if it takes none now.
    ///
    /// # Errors
    /// The interface is gone or down, or the frame is shorter than a header.
    pub fn send(&self, frame: &[u8]) -> std::io::Result<bool> {
        match rustix::io::write(&self.fd, frame) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::NOBUFS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<OwnedFd> for Tap {
    /// The end of a TAP device that another process opened and handed to us.
    fn from(fd: OwnedFd) -> Tap {
        Tap { fd }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
