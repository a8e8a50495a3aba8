//! `MSG_ZEROCOPY` of the kernel's TCP: sending without the kernel's copy, and the completions that say when the bytes
//! may be changed again.
//!
//! Receives a socket of the kernel, hands on ranges of numbers. It never holds a buffer: which buffer belongs to which
//! number is the caller's account. The interface is that of Documentation/networking/msg_zerocopy.rst.
#![allow(unsafe_code, reason = "neither SO_ZEROCOPY nor the error queue has a safe wrapper")]

use core::ffi::{c_int, c_void};
use rustix::fd::{AsFd, AsRawFd as _};
use rustix::net::SendFlags;
use std::io;

/// linux/socket.h, asm-generic/socket.h.
const SOL_SOCKET: c_int = 1;
const SO_ZEROCOPY: c_int = 60;
const MSG_DONTWAIT: c_int = 0x40;
const MSG_ERRQUEUE: c_int = 0x2000;
const MSG_ZEROCOPY: u32 = 0x400_0000;
/// Level and type of the two control messages that carry a `sock_extended_err` (linux/in.h, linux/in6.h).
const RECVERR_IPV4: (c_int, c_int) = (0, 11);
const RECVERR_IPV6: (c_int, c_int) = (41, 25);
/// linux/errqueue.h.
const SO_EE_ORIGIN_ZEROCOPY: u8 = 5;
const SO_EE_CODE_ZEROCOPY_COPIED: u8 = 1;
/// Bytes of `struct sock_extended_err` (linux/errqueue.h).
const EXTENDED_ERROR_LEN: usize = 16;
/// Bytes of `struct cmsghdr`: a size and two ints.
const CONTROL_HEADER_LEN: usize = size_of::<usize>() + 8;
/// Room for control messages, in words: one `sock_extended_err` with an IPv6 address takes 60 bytes.
const CONTROL_WORDS: usize = 32;
const CONTROL_LEN: usize = CONTROL_WORDS * size_of::<usize>();

/// `struct msghdr` as libc has it on Linux.
#[repr(C)]
struct Message {
    name: *mut c_void,
    name_len: u32,
    pieces: *mut c_void,
    piece_count: usize,
    control: *mut c_void,
    control_len: usize,
    flags: c_int,
}

unsafe extern "C" {
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32) -> c_int;
    fn recvmsg(fd: c_int, message: *mut Message, flags: c_int) -> isize;
}

/// Sends that the kernel is through with. The kernel numbers the sends of a socket that took bytes from 0, modulo 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// Number of the first send.
    pub first: u32,
    /// Number of the last one.
    pub last: u32,
    /// The kernel copied after all (`SO_EE_CODE_ZEROCOPY_COPIED`).
    pub copied: bool,
}

impl Completion {
    /// Whether the send of this number is among them.
    #[must_use]
    pub fn covers(&self, number: u32) -> bool {
        number.wrapping_sub(self.first) <= self.last.wrapping_sub(self.first)
    }
}

/// Allows [`send`] on this socket.
///
/// # Errors
/// The kernel's refusal: before Linux 4.14 it does not know the option.
pub fn enable(socket: impl AsFd) -> io::Result<()> {
    let on: c_int = 1;
    let len = size_of::<c_int>() as u32;
    // SAFETY:
    // 1. The descriptor is open: it is borrowed until the call returns.
    // 2. `value` points to `len` initialised bytes, which the kernel only reads and keeps no pointer to.
    let result = unsafe {
        setsockopt(socket.as_fd().as_raw_fd(), SOL_SOCKET, SO_ZEROCOPY, (&raw const on).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends from `bytes` themselves; returns how many were taken. The kernel holds their pages until the completion comes,
/// so freeing them is harmless to memory; but what is written into them before is what the peer may read.
///
/// # Errors
/// As `send()`; `ENOBUFS` when the kernel may hold no more pages or notes of completions now.
pub fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::from_bits_retain(MSG_ZEROCOPY) | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::send(socket, bytes, flags)?)
}

/// Takes the next completion from the socket's error queue; `None` if there is none now.
///
/// # Errors
/// The call's, or `InvalidData` when the queue holds something else.
pub fn completion(socket: impl AsFd) -> io::Result<Option<Completion>> {
    let mut control = [0usize; CONTROL_WORDS];
    let mut message = Message {
        name: core::ptr::null_mut(),
        name_len: 0,
        pieces: core::ptr::null_mut(),
        piece_count: 0,
        control: control.as_mut_ptr().cast(),
        control_len: CONTROL_LEN,
        flags: 0,
    };
    // SAFETY:
    // 1. The descriptor is open: it is borrowed until the call returns.
    // 2. `message` is laid out as `struct msghdr`; no name and no pieces are given, so only `control` is written,
    //    which has `control_len` bytes, is aligned for a `cmsghdr`, and holds integers, valid whatever is written.
    // 3. The kernel keeps neither pointer.
    let result =
        unsafe { recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, MSG_ERRQUEUE | MSG_DONTWAIT) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    let bytes: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let given = bytes.get(..message.control_len).unwrap_or(&bytes);
    parse(given).map(Some).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the socket's error queue holds no completion of a send")
    })
}

/// The completion in a list of control messages.
fn parse(mut control: &[u8]) -> Option<Completion> {
    loop {
        let (len, rest) = control.split_first_chunk()?;
        let len = usize::from_ne_bytes(*len);
        let int = |at: usize| Some(c_int::from_ne_bytes(*rest.get(at..)?.first_chunk()?));
        let kind = (int(0)?, int(4)?);
        let data = control.get(CONTROL_HEADER_LEN..len)?;
        if (kind == RECVERR_IPV4 || kind == RECVERR_IPV6) && data.len() >= EXTENDED_ERROR_LEN {
            // errno, then origin, type, code and padding, then info and data.
            let number = |at: usize| Some(u32::from_ne_bytes(*data.get(at..)?.first_chunk()?));
            let clean = number(0)? == 0 && data[4] == SO_EE_ORIGIN_ZEROCOPY;
            let copied = data[6] & SO_EE_CODE_ZEROCOPY_COPIED != 0;
            return if clean {
                Some(Completion { first: number(8)?, last: number(12)?, copied })
            } else {
                None
            };
        }
        control = control.get(len.checked_next_multiple_of(size_of::<usize>())?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: (c_int, c_int), error: [u32; 4]) -> Vec<u8> {
        let mut bytes = (CONTROL_HEADER_LEN + EXTENDED_ERROR_LEN).to_ne_bytes().to_vec();
        bytes.extend(kind.0.to_ne_bytes());
        bytes.extend(kind.1.to_ne_bytes());
        error.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn a_completion_is_found_behind_other_messages_and_a_cut_one_is_none() {
        let word = u32::from_ne_bytes([SO_EE_ORIGIN_ZEROCOPY, 0, SO_EE_CODE_ZEROCOPY_COPIED, 0]);
        let mut bytes = note((1, 29), [0; 4]);
        bytes.extend(note(RECVERR_IPV6, [0, word, u32::MAX, 1]));
        let found = parse(&bytes).expect("it is the second one");
        assert_eq!(found, Completion { first: u32::MAX, last: 1, copied: true });
        assert!(found.covers(u32::MAX) && found.covers(0) && found.covers(1) && !found.covers(2));
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), None, "{len} bytes");
        }
        assert_eq!(parse(&note(RECVERR_IPV4, [111, word, 0, 0])), None, "an error is no completion");
        assert_eq!(parse(&[0; 64]), None, "a length of nothing ends the list");
    }
}
