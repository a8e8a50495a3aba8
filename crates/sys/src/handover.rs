//! A line between two processes of ours, over which messages and descriptors go.
//!
//! Receives and hands on whole messages, each with at most one descriptor. It knows nothing of what they mean.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::time::Duration;

/// Longest message; a longer one is cut.
pub const MESSAGE_LEN_MAX: usize = 512;

/// One end of the line. The other end hears when it is dropped.
#[derive(Debug)]
pub struct Line {
    fd: OwnedFd,
}

/// What came over the line.
#[derive(Debug)]
pub struct Message {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptor, if one came along.
    pub fd: Option<OwnedFd>,
}

impl Line {
    /// Both ends of a new line. Neither survives an `exec` unless it is handed to the new program on purpose.
    ///
    /// # Errors
    /// The kernel has no sockets to give.
    pub fn pair() -> std::io::Result<(Line, Line)> {
        // SEQPACKET keeps messages apart.
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Line { fd: a }, Line { fd: b }))
    }

    /// The descriptor of this end, to hand to another process.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Sends a message, with a descriptor or without.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn send(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> std::io::Result<()> {
        let bytes = &bytes[..bytes.len().min(MESSAGE_LEN_MAX)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds;
        if let Some(fd) = fd {
            fds = [fd];
            // The space above is for one descriptor: it fits.
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        sendmsg(&self.fd, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a message; `None` if the other end is gone.
    ///
    /// # Errors
    /// Nothing came within the time ([`std::io::ErrorKind::WouldBlock`]), or the line broke.
    pub fn receive(&self, within: Option<Duration>) -> std::io::Result<Option<Message>> {
        set_socket_timeout(&self.fd, Timeout::Recv, within)?;
        let mut bytes = [0; MESSAGE_LEN_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let into = &mut [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.fd, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(got) => break got.bytes,
                Err(Errno::INTR) => {}
                // Whoever dies with something unread leaves a reset behind.
                Err(Errno::CONNRESET) => break 0,
                Err(error) => return Err(error.into()),
            }
        };
        if got == 0 {
            return Ok(None);
        }
        let fd = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Ok(Some(Message { bytes: bytes[..got].to_vec(), fd }))
    }
}

impl From<OwnedFd> for Line {
    /// The end of a line that another process handed to us.
    fn from(fd: OwnedFd) -> Line {
        Line { fd }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};

    #[test]
    fn messages_stay_apart_and_a_descriptor_arrives_usable() {
        let (a, b) = Line::pair().expect("a socket pair");
        let memory = rustix::fs::memfd_create("handover", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
        let mut file = File::from(memory);
        file.write_all(b"written here").expect("room");
        a.send(b"one", None).expect("an open line");
        a.send(b"two", Some(file.as_fd())).expect("an open line");
        drop((a, file));
        let first = b.receive(None).expect("a message").expect("not the end");
        assert_eq!((first.bytes.as_slice(), first.fd.is_none()), (&b"one"[..], true));
        let second = b.receive(None).expect("a message").expect("not the end");
        let mut read = String::new();
        let mut theirs = File::from(second.fd.expect("a descriptor"));
        theirs.rewind().expect("a file");
        theirs.read_to_string(&mut read).expect("text");
        assert_eq!((second.bytes.as_slice(), read.as_str()), (&b"two"[..], "written here"));
        assert!(b.receive(None).expect("the end is no error").is_none());
    }

    #[test]
    fn silence_ends_with_the_time() {
        let (_a, b) = Line::pair().expect("a socket pair");
        let error = b.receive(Some(Duration::from_millis(1))).expect_err("nobody speaks");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}
