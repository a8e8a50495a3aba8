//! The calls that submit operations on sockets.
//!
//! Each checks what can be checked at once, moves its buffers into the table of operations and puts
//! the socket on the list for the next turn. Nothing is done here: an operation makes progress in
//! turns only, so none completes before its submission has returned.

use crate::error::{SubmitError, SubmitReason};
use crate::op::{Op, OpKey, Request};
use crate::outgoing::Outgoing;
use crate::queue::EventQueue;
use crate::sending::Sending;
use naio_dma::Buffer;
use naio_stack::{ConnectError, SocketId};
use std::fs::File;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

impl EventQueue {
    /// Connects a socket to `remote`. Completes when the connection is established, or cannot be.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = queue.socket(aio_api::SocketOptions::default())?;
    /// let key = queue.connect(socket, "10.9.0.1:80".parse()?, 42)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        self.admit_socket(socket, 1)?;
        if self.sockets.ops(socket).is_some_and(|ops| ops.connected) {
            return Err(SubmitReason::AlreadyConnected.into());
        }
        self.stack.connect(self.now, socket, remote).map_err(connect_reason)?;
        let key = self.insert(user_data, Request::Connect { socket })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.connected = true;
            ops.connect = Some(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }

    /// Sends `range` of `buffer`, without copying: the card reads the bytes from the buffer whenever a segment of
    /// them leaves. Completes when the peer has acknowledged the last byte and no packet refers to the buffer any
    /// more: then it is the program's again. Several may be outstanding; they go out in this order.
    ///
    /// A card that computes no checksums (82542, or 82543 and later parts over IPv6 where they cannot) gets copies, and
    /// the completion says so ([`Flags::is_copied`](crate::Flags::is_copied)). A buffer that is dropped with the queue,
    /// or whose connection ends, stays the card's until the card is done with it: completions with errors wait for
    /// that too.
    ///
    /// # Errors
    /// [`SubmitError`], with the buffer in it.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, SocketId};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut buffer = queue.buffers(1, 4096)?.remove(0);
    /// buffer[..5].copy_from_slice(b"hello");
    /// queue.send(socket, buffer, 0..5, 9)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(
        &mut self,
        socket: SocketId,
        buffer: Buffer,
        range: Range<usize>,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        let reason = self.admit_send(socket).err();
        if let Some(reason) = reason.or((!fits(&buffer, &range)).then_some(SubmitReason::Range)) {
            return Err(SubmitError { reason, buffer: Some(buffer), buffers: Vec::new() });
        }
        self.insert_outgoing(socket, user_data, Outgoing::One { buffer, range })
    }

    /// Sends bytes that are not registered memory, or too few to be worth a buffer: they are copied now, and the memory
    /// is the program's again when this returns. Completes when the peer has acknowledged the last byte.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted. There must be at least one byte.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, SocketId};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// queue.send_copy(socket, b"HTTP/1.1 204 No Content\r\n\r\n", 9)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_copy(
        &mut self,
        socket: SocketId,
        bytes: &[u8],
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        self.admit_send(socket)?;
        if bytes.is_empty() {
            return Err(SubmitReason::Range.into());
        }
        self.insert_outgoing(socket, user_data, Outgoing::Copy { bytes: bytes.into(), taken: 0 })
    }

    /// Sends ranges of several buffers, one after the other, as one operation: by reference as with
    /// [`send`](EventQueue::send), but pieces shorter than [`REFERENCE_LEN_MIN`](crate::REFERENCE_LEN_MIN), of which a
    /// packet would need many, are copied together, and the completion says so. The buffers come back in
    /// [`Completion::buffers`](crate::Completion::buffers), in the same order.
    ///
    /// # Errors
    /// [`SubmitError`], with the buffers in it. There must be at least one part, and none empty.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, SocketId};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut parts = queue.buffers(2, 4096)?;
    /// let (body, head) = (parts.remove(1), parts.remove(0));
    /// queue.sendv(socket, vec![(head, 0..20), (body, 0..4096)], 9)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sendv(
        &mut self,
        socket: SocketId,
        parts: Vec<(Buffer, Range<usize>)>,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        let reason = self.admit_send(socket).err();
        let fit = !parts.is_empty() && parts.iter().all(|(buffer, range)| fits(buffer, range));
        if let Some(reason) = reason.or((!fit).then_some(SubmitReason::Range)) {
            let buffers = parts.into_iter().map(|(buffer, _)| buffer).collect();
            return Err(SubmitError { reason, buffer: None, buffers });
        }
        self.insert_outgoing(socket, user_data, Outgoing::Many { parts, next: 0 })
    }

    /// Sends `len` bytes of `file` from `offset` on. Completes when the peer has acknowledged the last
    /// one; [`Completion::bytes`](crate::Completion::bytes) counts those taken also when the file turns
    /// out to be shorter.
    ///
    /// The card reads the page cache: nothing is copied, and other threads see to it that the pages are there, so a cold
    /// file does not stall the queue. What cannot be shown to the card (a pseudo file, some file systems, or more files
    /// than the limits allow at once) is read by those threads instead, and the completion says
    /// [`is_copied`](crate::Flags::is_copied).
    ///
    /// The file must have the whole range when it is submitted. Bytes that are changed while they are sent go out in
    /// either version, and a retransmission may differ from the first attempt; a file that is cut meanwhile ends this
    /// operation with [`OpError::FileTruncated`](crate::OpError::FileTruncated), and what the peer got of it may be
    /// zeros. Files that are written anew belong under a new name. The queue keeps windows of files, also of deleted
    /// ones, for the next send; [`release_files`](EventQueue::release_files) lets go of them.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, SocketId};
    /// # use std::{fs::File, sync::Arc};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// let file = Arc::new(File::open("page.html")?);
    /// let len = file.metadata()?.len();
    /// queue.sendfile(socket, file, 0, len, 9)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sendfile(
        &mut self,
        socket: SocketId,
        file: Arc<File>,
        offset: u64,
        len: u64,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        self.admit_send(socket)?;
        if len == 0 || offset.checked_add(len).is_none() {
            return Err(SubmitReason::Range.into());
        }
        let cursor = self.windows.open(file, offset, len);
        self.insert_outgoing(socket, user_data, Outgoing::File(Box::new(cursor)))
    }

    /// Ends the sending half of a connection after everything submitted before. Completes when the
    /// peer has acknowledged the end; receiving goes on.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, SocketId};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// queue.shutdown(socket, 5)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(&mut self, socket: SocketId, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit_send(socket)?;
        let key = self.insert_send(socket, user_data, Request::Shutdown { socket, requested: false })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.shut_down = true;
        }
        Ok(key)
    }

    /// Closes a socket: what was submitted to be sent still goes out, then the end of the stream;
    /// waiting receives end with [`OpError::Closed`](crate::OpError::Closed), and the socket takes no
    /// more operations. Completes when the peer has acknowledged everything, or with the error that the
    /// connection ended in; the socket is gone then in either case. A peer that takes nothing more for
    /// [`Config::linger`](crate::Config::linger) is reset ([`OpError::TimedOut`](crate::OpError::TimedOut)).
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue, socket: aio_api::SocketId)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// queue.close(socket, 0)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&mut self, socket: SocketId, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit_socket(socket, 1)?;
        let key = self.insert_send(socket, user_data, Request::Close { socket, requested: false })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.shut_down = true;
            ops.closing = true;
        }
        Ok(key)
    }

    /// Resets a connection at once. Everything outstanding on the socket ends with
    /// [`OpError::Closed`](crate::OpError::Closed), and the socket is gone. False if there was none.
    pub fn abort(&mut self, socket: SocketId) -> bool {
        self.forget_socket(socket)
    }

    /// Puts an event of the program's own into the queue; it comes out in order with the others.
    ///
    /// # Errors
    /// [`SubmitReason::QueueFull`].
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// queue.post(1, 0xfeed)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn post(&mut self, user_data: u64, value: u64) -> Result<OpKey, SubmitError> {
        self.admit(1)?;
        let key = self.insert(user_data, Request::Posted { value })?;
        self.finish(key, Ok(()));
        Ok(key)
    }

    /// Whether the completions of one more operation, `places` at a time, can be guaranteed.
    pub(crate) fn admit(&mut self, places: usize) -> Result<(), SubmitReason> {
        if self.is_down() {
            return Err(SubmitReason::CardGone);
        }
        let limit = self.ops.limit();
        if self.places_used() + places > limit {
            self.counters.refused_full += 1;
            log::debug!("refused: {limit} operations are outstanding or uncollected");
            return Err(SubmitReason::QueueFull { limit });
        }
        Ok(())
    }

    /// Places in the queue that are taken, or kept for what may come.
    pub(crate) fn places_used(&self) -> usize {
        self.ops.places() + self.groups.places() + self.completed.len()
    }

    /// Whether `socket` takes one more operation that needs so many places.
    pub(crate) fn admit_socket(&mut self, socket: SocketId, places: usize) -> Result<(), SubmitReason> {
        if self.sockets.ops(socket).is_none_or(|ops| ops.closing) {
            return Err(SubmitReason::NoSocket);
        }
        self.admit(places)
    }

    fn admit_send(&mut self, socket: SocketId) -> Result<(), SubmitReason> {
        self.admit_socket(socket, 1)?;
        let shut_down = self.sockets.ops(socket).is_some_and(|ops| ops.shut_down);
        if shut_down { Err(SubmitReason::ShutDown) } else { Ok(()) }
    }

    pub(crate) fn insert(&mut self, user_data: u64, request: Request) -> Result<OpKey, SubmitError> {
        match self.ops.insert(Op { user_data, request }) {
            Ok(key) => {
                self.counters.submitted += 1;
                Ok(key)
            }
            Err(op) => {
                let limit = self.ops.limit();
                let (buffer, buffers) = op.into_buffers();
                Err(SubmitError { reason: SubmitReason::QueueFull { limit }, buffer, buffers })
            }
        }
    }

    fn insert_outgoing(
        &mut self,
        socket: SocketId,
        user_data: u64,
        outgoing: Outgoing,
    ) -> Result<OpKey, SubmitError> {
        let request = Request::Send { socket, outgoing, sending: Sending::default() };
        self.insert_send(socket, user_data, request)
    }

    fn insert_send(
        &mut self,
        socket: SocketId,
        user_data: u64,
        request: Request,
    ) -> Result<OpKey, SubmitError> {
        let key = self.insert(user_data, request)?;
        if let Some(ops) = self.sockets.ops(socket) {
            // Behind others it can wait as long as they do.
            self.hurry |= ops.send.is_empty();
            ops.send.push_back(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }
}

/// Whether `range` names bytes of `buffer`.
fn fits(buffer: &Buffer, range: &Range<usize>) -> bool {
    range.start < range.end && range.end <= buffer.len()
}

fn connect_reason(error: ConnectError) -> SubmitReason {
    match error {
        ConnectError::Stale => SubmitReason::NoSocket,
        ConnectError::InUse => SubmitReason::AlreadyConnected,
        ConnectError::Address(remote) => SubmitReason::Address { remote },
        ConnectError::NoRoute(remote) => SubmitReason::NoRoute { remote },
        ConnectError::NoPort(remote) => SubmitReason::NoPort { remote },
    }
}
