//! Datagrams: UDP sockets, and the operations that wait for them.
//!
//! Each socket has two lists, oldest first: receives that wait for a datagram, sends that wait for
//! room. A receive takes one whole datagram, a send is one whole datagram.

use crate::error::{BindError, OpError, SubmitError, SubmitReason};
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;
use naio_dma::Buffer;
use naio_stack::{NetworkError, UdpId, UdpSendError};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;

/// The operations of one UDP socket.
#[derive(Debug, Default)]
struct UdpOps {
    recv: VecDeque<OpKey>,
    send: VecDeque<OpKey>,
    /// On the list of sockets to look at in the next turn.
    dirty: bool,
}

/// The UDP sockets of a queue.
#[derive(Debug, Default)]
pub(crate) struct UdpTable {
    sockets: HashMap<UdpId, UdpOps>,
    /// To be looked at in the next turn, each once.
    dirty: Vec<UdpId>,
    /// Kept for its memory.
    ready: Vec<UdpId>,
}

impl UdpTable {
    /// Puts the socket on the list of those to look at.
    pub(crate) fn touch(&mut self, socket: UdpId) {
        if let Some(ops) = self.sockets.get_mut(&socket)
            && !ops.dirty
        {
            ops.dirty = true;
            self.dirty.push(socket);
        }
    }

    /// Whether any is to be looked at for something other than a datagram that waits for room.
    pub(crate) fn is_dirty(&self) -> bool {
        let is_receiving = |ops: &UdpOps| ops.send.is_empty();
        self.dirty.iter().any(|socket| self.sockets.get(socket).is_some_and(is_receiving))
    }

    /// Moves the list of sockets to look at into `list`.
    fn take_dirty(&mut self, list: &mut Vec<UdpId>) {
        for socket in &self.dirty {
            if let Some(ops) = self.sockets.get_mut(socket) {
                ops.dirty = false;
            }
        }
        list.append(&mut self.dirty);
    }

    /// A receive waits for datagrams of the socket.
    pub(crate) fn wait_for_datagrams(&mut self, socket: UdpId, key: OpKey) {
        if let Some(ops) = self.sockets.get_mut(&socket) {
            ops.recv.push_back(key);
        }
        self.touch(socket);
    }

    pub(crate) fn forget(&mut self, socket: UdpId, key: OpKey) {
        if let Some(ops) = self.sockets.get_mut(&socket) {
            ops.recv.retain(|other| *other != key);
            ops.send.retain(|other| *other != key);
        }
    }
}

impl EventQueue {
    /// A UDP socket with this port, or with one that nobody can foresee if it is 0.
    ///
    /// # Errors
    /// The port is in use, or there are too many sockets.
    ///
    /// ```no_run
    /// # use aio_api::EventQueue;
    /// # fn example(queue: &mut EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = queue.udp_bind(5353)?;
    /// let buffer = queue.buffers(1, 2048)?.remove(0);
    /// queue.recv_from(socket, buffer, 1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn udp_bind(&mut self, port: u16) -> Result<UdpId, BindError> {
        let socket = self.stack.udp_bind(port)?;
        self.udp.sockets.insert(socket, UdpOps::default());
        Ok(socket)
    }

    /// The port of a UDP socket, `None` once it is closed.
    #[must_use]
    pub fn udp_port(&self, socket: UdpId) -> Option<u16> {
        self.stack.udp_port(socket)
    }

    /// Receives one datagram into `buffer`. Completes with its sender in
    /// [`Completion::peer`](crate::Completion::peer); what did not fit is lost, and
    /// [`Flags::is_truncated`](crate::Flags::is_truncated) says so. An error that came back for a
    /// datagram sent earlier ends it too, with the address that it was sent to.
    ///
    /// # Errors
    /// [`SubmitError`], with the buffer in it.
    pub fn recv_from(&mut self, socket: UdpId, buffer: Buffer, user_data: u64) -> Result<OpKey, SubmitError> {
        let reason = self.admit_udp(socket, 1).err();
        if let Some(reason) = reason.or(buffer.is_empty().then_some(SubmitReason::Range)) {
            return Err(SubmitError { reason, buffer: Some(buffer), buffers: Vec::new() });
        }
        let key = self.insert(user_data, Request::RecvFrom { socket, buffer, filled: 0 })?;
        self.udp.wait_for_datagrams(socket, key);
        Ok(key)
    }

    /// Sends `range` of `buffer` as one datagram to `to`; an empty range is an empty datagram.
    /// Completes when the stack has taken it: copied, and maybe never to arrive.
    ///
    /// # Errors
    /// [`SubmitError`], with the buffer in it.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, UdpId};
    /// # fn example(queue: &mut EventQueue, socket: UdpId) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut buffer = queue.buffers(1, 2048)?.remove(0);
    /// buffer[..4].copy_from_slice(b"ping");
    /// queue.send_to(socket, buffer, 0..4, "10.9.0.1:7".parse()?, 2)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_to(
        &mut self,
        socket: UdpId,
        buffer: Buffer,
        range: Range<usize>,
        to: SocketAddr,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        let reason = self.admit_udp(socket, 1).err();
        let fits = range.start <= range.end && range.end <= buffer.len();
        if let Some(reason) = reason.or((!fits).then_some(SubmitReason::Range)) {
            return Err(SubmitError { reason, buffer: Some(buffer), buffers: Vec::new() });
        }
        let key = self.insert(user_data, Request::SendTo { socket, buffer, range, to, sent: 0 })?;
        self.hurry = true;
        if let Some(ops) = self.udp.sockets.get_mut(&socket) {
            ops.send.push_back(key);
        }
        self.udp.touch(socket);
        Ok(key)
    }

    /// Closes a UDP socket: datagrams nobody took are lost, waiting operations end with
    /// [`OpError::Closed`]. False if there was no such socket.
    pub fn udp_close(&mut self, socket: UdpId) -> bool {
        let Some(ops) = self.udp.sockets.remove(&socket) else { return false };
        // The stack knows it as long as we do.
        let _ = self.stack.udp_close(socket);
        for key in ops.recv.into_iter().chain(ops.send) {
            self.finish(key, Err(OpError::Closed));
        }
        true
    }

    /// Whether `socket` takes one more operation that needs so many places.
    pub(crate) fn admit_udp(&mut self, socket: UdpId, places: usize) -> Result<(), SubmitReason> {
        if !self.udp.sockets.contains_key(&socket) {
            return Err(SubmitReason::NoSocket);
        }
        self.admit(places)
    }

    /// Looks at every UDP socket for which something arrived or was submitted; returns how many.
    pub(crate) fn progress_udp(&mut self) -> usize {
        let mut ready = std::mem::take(&mut self.udp.ready);
        self.stack.udp_ready(&mut ready);
        for socket in ready.drain(..) {
            self.udp.touch(socket);
        }
        self.udp.take_dirty(&mut ready);
        let count = ready.len();
        for socket in ready.drain(..) {
            self.udp_sends(socket);
            self.udp_receives(socket);
        }
        self.udp.ready = ready;
        count
    }

    fn udp_sends(&mut self, socket: UdpId) {
        while let Some(&key) = self.udp.sockets.get(&socket).and_then(|ops| ops.send.front()) {
            let Some(op) = self.ops.peek_mut(key) else { return };
            let Request::SendTo { buffer, range, to, sent, .. } = &mut op.request else { return };
            let outcome = match self.stack.udp_send(socket, *to, &buffer[range.clone()]) {
                Err(UdpSendError::Busy) => {
                    // Room comes with the next egress.
                    self.udp.touch(socket);
                    return;
                }
                Ok(()) => {
                    *sent = range.len();
                    Ok(())
                }
                Err(error) => Err(send_error(error)),
            };
            self.finish(key, outcome);
        }
    }

    fn udp_receives(&mut self, socket: UdpId) {
        while let Some(&key) = self.udp.sockets.get(&socket).and_then(|ops| ops.recv.front()) {
            if self.takes_from_group(key) {
                return self.datagrams_many(socket, key);
            }
            if let Some(error) = self.stack.udp_take_error(socket) {
                self.finish_from(key, Err(network_error(error.error)), error.to, false);
                continue;
            }
            let Some(op) = self.ops.peek_mut(key) else { return };
            if let Request::RecvFromLent { .. } = op.request {
                if !self.lend_datagram(socket, key) {
                    return;
                }
                continue;
            }
            let Request::RecvFrom { buffer, filled, .. } = &mut op.request else { return };
            let Some(datagram) = self.stack.udp_recv(socket, buffer) else { return };
            *filled = datagram.len;
            self.finish_from(key, Ok(()), datagram.from, datagram.truncated > 0);
        }
    }
}

fn send_error(error: UdpSendError) -> OpError {
    match error {
        UdpSendError::TooLong(_) => OpError::TooLong,
        UdpSendError::Stale => OpError::Closed,
        _ => OpError::Unreachable,
    }
}

pub(crate) fn network_error(error: NetworkError) -> OpError {
    match error {
        NetworkError::Refused => OpError::Refused,
        NetworkError::TooBig(_) => OpError::TooLong,
        _ => OpError::Unreachable,
    }
}
