//! Making progress on what was asked, and ending it.
//!
//! Receives sockets whose state changed; fills posted buffers from the front and turns every end into the one
//! completion of its operation. What is sent is fed to the stack in `sending`.

use crate::completion::{Completion, Flags, Kind};
use crate::error::OpError;
use crate::op::{OpKey, Request};
use crate::outgoing::Outgoing;
use crate::queue::EventQueue;
use naio_nic::Link;
use naio_stack::{Failure, Phase, RecvError, SocketId, Stack, Standing};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How far a receive came.
pub(crate) enum Filled {
    /// Nothing more is there now.
    Dry,
    /// The buffer is full.
    Full,
    /// The stream ended.
    Eof,
    /// The socket cannot receive any more.
    Broken,
}

impl EventQueue {
    /// Looks at every socket whose state or list of operations changed, and at due timeouts; returns
    /// how many things were looked at.
    pub(crate) fn operations(&mut self) -> usize {
        self.take_back();
        self.call_takers();
        let mut sockets = std::mem::take(&mut self.batches.sockets);
        self.windows.drain(&mut sockets);
        self.stack.ready(&mut sockets);
        for socket in sockets.drain(..) {
            self.sockets.touch(socket);
        }
        self.sockets.take_dirty(&mut sockets);
        let mut progressed = sockets.len();
        for socket in sockets.drain(..) {
            self.progress(socket);
        }
        self.batches.sockets = sockets;
        progressed += self.progress_accepts() + self.progress_udp() + self.progress_names();
        self.progress_address();
        progressed + self.progress_timeouts()
    }

    fn progress(&mut self, socket: SocketId) {
        let Some(status) = self.stack.standing(socket) else {
            self.end_all(socket, OpError::Closed);
            return;
        };
        if self.closes_before_open(socket, &status) {
            return;
        }
        self.progress_connect(socket, &status);
        self.progress_recv(socket, &status);
        if self.sockets.ops(socket).is_some_and(|ops| !ops.send.is_empty()) {
            self.feed_sends(socket, &status);
            // Feeding changed what is unacknowledged.
            let Some(status) = self.stack.standing(socket) else { return };
            self.end_acknowledged(socket, &status);
        }
        if let Some(failure) = status.failure {
            self.fail(socket, op_error(failure));
        }
    }

    /// A socket that is closed before it was connected is just let go; true if that was the case.
    fn closes_before_open(&mut self, socket: SocketId, status: &Standing) -> bool {
        let Some(ops) = self.sockets.ops(socket) else { return true };
        if !ops.closing || (ops.connected && status.phase != Phase::Connecting) {
            return false;
        }
        if let Some(close) = ops.send.pop_back() {
            self.finish(close, Ok(()));
        }
        self.forget_socket(socket);
        true
    }

    fn progress_connect(&mut self, socket: SocketId, status: &Standing) {
        let Some(key) = self.sockets.ops(socket).and_then(|ops| ops.connect) else { return };
        if let Some(failure) = status.failure {
            self.finish(key, Err(op_error(failure)));
        } else if is_open(status.phase) {
            self.finish(key, Ok(()));
        }
    }

    /// Fills posted buffers, oldest first.
    fn progress_recv(&mut self, socket: SocketId, status: &Standing) {
        if self.sockets.ops(socket).is_some_and(|ops| ops.closing) {
            self.end_receives(socket, OpError::Closed);
            return;
        }
        while let Some(key) = self.sockets.ops(socket).and_then(|ops| ops.recv.front().copied()) {
            if self.waits_for_connection(socket, status) {
                return;
            }
            if self.takes_from_group(key) {
                if self.receive_many(socket, key, status) {
                    continue;
                }
                return;
            }
            let Some((filled, enough)) = self.fill(socket, key) else { return };
            match filled {
                Filled::Dry if !enough || self.hands_out_part(key) => return,
                Filled::Dry | Filled::Full => self.finish(key, Ok(())),
                Filled::Eof => self.finish_with(key, Ok(()), |done| done.flags.eof = true),
                Filled::Broken => {
                    let error = status.failure.map_or(OpError::NotConnected, op_error);
                    self.finish(key, Err(error));
                }
            }
        }
    }

    /// Moves what the stack has into one buffer; also says whether it is enough to complete.
    fn fill(&mut self, socket: SocketId, key: OpKey) -> Option<(Filled, bool)> {
        let Request::Recv { buffer, options, filled, .. } = &mut self.ops.peek_mut(key)?.request else {
            return self.fill_lent(socket, key);
        };
        let state = fill(&mut self.stack, socket, buffer, filled);
        Some((state, *filled >= options.min_for(buffer)))
    }

    /// Nothing can be said about data before the handshake is over.
    pub(crate) fn waits_for_connection(&mut self, socket: SocketId, status: &Standing) -> bool {
        let was_connected = self.sockets.ops(socket).is_some_and(|ops| ops.connected);
        status.failure.is_none() && (!was_connected || status.phase == Phase::Connecting)
    }

    /// The connection has failed: everything that waits for it ends, a close successfully enough to
    /// let the socket go. Bytes that arrived before are received first: what is left of them now waits for a
    /// buffer of a group, and so do the receives.
    fn fail(&mut self, socket: SocketId, error: OpError) {
        let is_unread = self.stack.status(socket).is_some_and(|status| status.readable > 0);
        let Some(ops) = self.sockets.ops(socket) else { return };
        let closing = ops.closing;
        let waiting = if is_unread && !closing { std::mem::take(&mut ops.recv) } else { VecDeque::new() };
        self.end_all(socket, error);
        if closing {
            self.forget_socket_quietly(socket);
        } else if let Some(ops) = self.sockets.ops(socket) {
            ops.recv = waiting;
        }
    }

    fn end_all(&mut self, socket: SocketId, error: OpError) {
        let Some(ops) = self.sockets.ops(socket) else { return };
        for key in ops.drain() {
            self.finish(key, Err(error));
        }
    }

    fn end_receives(&mut self, socket: SocketId, error: OpError) {
        while let Some(key) = self.sockets.ops(socket).and_then(|ops| ops.recv.front().copied()) {
            self.finish(key, Err(error));
        }
    }

    /// Resets the connection and forgets the socket; its operations end with [`OpError::Closed`].
    pub(crate) fn forget_socket(&mut self, socket: SocketId) -> bool {
        if self.sockets.ops(socket).is_none() {
            return false;
        }
        // Refused only where nothing is connected.
        let _ = self.stack.abort(socket);
        self.end_all(socket, OpError::Closed);
        self.forget_socket_quietly(socket);
        true
    }

    pub(crate) fn forget_socket_quietly(&mut self, socket: SocketId) {
        self.sockets.remove(socket);
        // The stack may have let it go already.
        let _ = self.stack.close(socket);
    }

    /// Ends an operation: its one terminal completion goes into the queue.
    pub(crate) fn finish(&mut self, key: OpKey, result: Result<(), OpError>) {
        self.finish_with(key, result, |_| {});
    }

    /// Ends an accept with the socket it got.
    pub(crate) fn finish_accept(&mut self, key: OpKey, socket: SocketId) {
        self.finish_with(key, Ok(()), |done| done.socket = Some(socket));
    }

    /// Ends a query with what it found.
    pub(crate) fn finish_resolved(&mut self, key: OpKey, addresses: Vec<IpAddr>) {
        self.finish_with(key, Ok(()), |done| done.addresses = addresses);
    }

    /// Ends a receive of a datagram, or with an error that came back for one.
    pub(crate) fn finish_from(
        &mut self,
        key: OpKey,
        result: Result<(), OpError>,
        peer: SocketAddr,
        truncated: bool,
    ) {
        self.finish_with(key, result, |done| {
            done.peer = Some(peer);
            done.flags.truncated = truncated;
        });
    }

    /// The same, with what `add` adds to the completion.
    pub(crate) fn finish_with(
        &mut self,
        key: OpKey,
        result: Result<(), OpError>,
        add: impl FnOnce(&mut Completion),
    ) {
        if self.is_waiting_for_memory(key, result) {
            return;
        }
        let Some(mut op) = self.ops.remove(key) else { return };
        self.forget(key, &op.request);
        if let Request::Send { outgoing: Outgoing::File(cursor), .. } = &mut op.request {
            self.windows.forget(cursor);
        }
        // It may have ended before, and only waited for its memory.
        let result = match &op.request {
            Request::Send { sending, .. } => sending.ended().unwrap_or(result),
            _ => result,
        };
        let (kind, bytes) = kind_and_bytes(&op.request, result.is_ok());
        let user_data = op.user_data;
        let copied = match &op.request {
            Request::Send { sending, .. } => sending.is_copied(),
            Request::RecvLent { lending, .. } => lending.is_copied(),
            // A receive once, from the page that the card wrote; a datagram on its way out, too.
            _ => bytes > 0,
        };
        let (buffer, buffers, lent) = op.into_memory();
        let flags = Flags { copied, ..Flags::default() };
        let mut done = Completion::new(key, user_data, kind, result);
        done = Completion { bytes, flags, buffer, buffers, lent, ..done };
        add(&mut done);
        self.counters.completed += 1;
        self.completed.push_back(done);
    }

    /// Takes an operation out of whatever list it waits in.
    pub(crate) fn forget(&mut self, key: OpKey, request: &Request) {
        if let Some(ops) = request.socket().and_then(|socket| self.sockets.ops(socket)) {
            ops.forget(key);
        }
        match request {
            Request::Accept { listener } => self.listeners.forget(*listener, key),
            Request::RecvMany { share, held, .. } => self.groups.leave(share, held.is_some()),
            Request::RecvFromMany { socket, share } => {
                self.groups.leave(share, false);
                self.udp.forget(*socket, key);
            }
            Request::RecvFrom { socket, .. }
            | Request::RecvFromLent { socket }
            | Request::SendTo { socket, .. } => self.udp.forget(*socket, key),
            Request::WatchLink { .. } | Request::WatchAddress { .. } => {
                self.watchers.retain(|other| *other != key);
            }
            Request::Resolve => {
                if let Some(query) = self.names.forget(key) {
                    self.stack.cancel_resolve(query);
                }
            }
            _ => {}
        }
    }
}

/// Moves what the stack has into one buffer.
pub(crate) fn fill(stack: &mut Stack, socket: SocketId, buffer: &mut [u8], filled: &mut usize) -> Filled {
    while *filled < buffer.len() {
        match stack.recv(socket, &mut buffer[*filled..]) {
            Ok(0) => return Filled::Dry,
            Ok(bytes) => *filled += bytes,
            Err(RecvError::Finished) => return Filled::Eof,
            Err(_) => return Filled::Broken,
        }
    }
    Filled::Full
}

/// What a completion says of a request that ended, well or not.
fn kind_and_bytes(request: &Request, well: bool) -> (Kind, u64) {
    match request {
        Request::Connect { .. } => (Kind::Connect, 0),
        Request::Accept { .. } => (Kind::Accept, 0),
        Request::Recv { filled, .. } | Request::RecvMany { filled, .. } => (Kind::Recv, *filled as u64),
        Request::RecvFrom { filled, .. } => (Kind::RecvFrom, *filled as u64),
        Request::RecvFromMany { .. } => (Kind::RecvFrom, 0),
        Request::RecvLent { lending, .. } => (Kind::Recv, lending.bytes() as u64),
        Request::RecvFromLent { .. } => (Kind::RecvFrom, 0),
        Request::SendTo { sent, .. } => (Kind::SendTo, *sent as u64),
        Request::Send { sending, .. } => (Kind::Send, sending.accepted()),
        Request::Shutdown { .. } => (Kind::Shutdown, 0),
        Request::Close { .. } => (Kind::Close, 0),
        Request::Timeout { expirations, .. } => {
            (Kind::Timeout { expirations: expirations + u64::from(well) }, 0)
        }
        Request::Resolve => (Kind::Resolve, 0),
        Request::WatchAddress { .. } => (Kind::Address { address: Ipv4Addr::UNSPECIFIED }, 0),
        Request::WatchLink { .. } => (Kind::Link { link: Link::Down }, 0),
        Request::Posted { value } => (Kind::Posted { value: *value }, 0),
    }
}

/// The handshake is over (RFC 9293 3.3.2).
fn is_open(phase: Phase) -> bool {
    !matches!(phase, Phase::Closed | Phase::Connecting)
}

/// Our FIN is acknowledged. A connection that failed is closed, too, but acknowledges nothing any more.
pub(crate) fn end_acknowledged(status: &Standing) -> bool {
    status.failure.is_none() && matches!(status.phase, Phase::FinWait2 | Phase::TimeWait | Phase::Closed)
}

pub(crate) fn op_error(failure: Failure) -> OpError {
    match failure {
        Failure::Refused => OpError::Refused,
        Failure::Reset => OpError::Reset,
        Failure::TimedOut => OpError::TimedOut,
        Failure::Unreachable => OpError::Unreachable,
        Failure::Aborted => OpError::Closed,
        Failure::Broken => OpError::Broken,
    }
}
