//! What users do with sockets. Nothing here waits, and nothing leaves before the next egress.

use crate::Stack;
use crate::demux::FlowKey;
use crate::extent::Released;
use crate::flow::{Flow, Owner};
use crate::secret;
use crate::slab::Name;
use crate::status::{
    ConnectError, Failure, SendError, SocketError, SocketId, SocketOptions, SocketStatus, Standing,
};
use naio_dma::DmaSlice;
use naio_sys::clock::Time;
use smoltcp::socket::tcp::State;
use std::net::SocketAddr;

impl Stack {
    /// A socket without a connection. If the table is full, the connection that has been in
    /// TIME-WAIT for longest makes room.
    ///
    /// # Errors
    /// [`SocketError::TooMany`].
    pub fn socket(&mut self, options: SocketOptions) -> Result<SocketId, SocketError> {
        self.insert_flow(options, Owner::User).map(SocketId).ok_or(SocketError::TooMany)
    }

    pub(crate) fn insert_flow(&mut self, options: SocketOptions, owner: Owner) -> Option<Name> {
        if self.flows.is_full() && !self.evict_time_wait() {
            return None;
        }
        self.flows.insert(Flow::new(options, owner, self.now))
    }

    fn evict_time_wait(&mut self) -> bool {
        let flows = &self.flows;
        let Some(Name { index, .. }) = self.orphans.pop(|name| flows.index(name).is_some()) else {
            return false;
        };
        self.counters.lingers_cut += 1;
        self.finish(index);
        true
    }

    /// Opens a connection to `remote`, from a local port that nobody can foresee. The outcome shows
    /// in [`status`](Stack::status); the first packets leave with the next egress.
    ///
    /// # Errors
    /// At once if it cannot even be tried; nothing has changed then.
    pub fn connect(&mut self, now: Time, socket: SocketId, remote: SocketAddr) -> Result<(), ConnectError> {
        self.now = self.now.max(now);
        let index = self.flows.index(socket.0).ok_or(ConnectError::Stale)?;
        if remote.port() == 0 || !self.is_host(remote.ip()) {
            return Err(ConnectError::Address(remote));
        }
        let (local, next_hop) = self.path_to_host(remote.ip()).ok_or(ConnectError::NoRoute(remote))?;
        let flow = self.flows.at_mut(index).ok_or(ConnectError::Stale)?;
        if flow.key.is_some() {
            return Err(ConnectError::InUse);
        }
        let key_from = |port| FlowKey::new((local, port), (remote.ip(), remote.port()));
        let (demux, tombstones) = (&self.demux, &self.tombstones);
        let port = secret::local_port(self.key, self.counters.connects, key_from(0), |port| {
            demux.contains(key_from(port)) || tombstones.contains(key_from(port))
        });
        let key = key_from(port.ok_or(ConnectError::NoPort(remote))?);
        flow.key = Some(key);
        flow.bound = true;
        flow.unsent = true;
        flow.next_hop = next_hop;
        flow.limit = Some(self.now.after(self.config.connect_timeout));
        self.wheel.set(index, flow.limit);
        self.demux.insert(key, index);
        self.counters.connects += 1;
        self.mark_dirty(index);
        Ok(())
    }

    /// Takes bytes to be sent, as many as fit in the ring: copied. `Ok(0)` means that the ring is
    /// full now, or that the connection is not established yet.
    ///
    /// # Errors
    /// Nothing can be sent any more, or not without a connection.
    pub fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<usize, SendError> {
        let (index, now) = (self.flows.index(socket.0).ok_or(SendError::Stale)?, self.now);
        let flow = self.flows.at_mut(index).ok_or(SendError::Stale)?;
        flow.restart_if_idle(now);
        let taken = flow.send_room()?.min(bytes.len());
        if taken > 0 {
            flow.stream.push_copy(&bytes[..taken]);
            self.enqueue(index, taken);
        }
        Ok(taken)
    }

    /// Takes memory to be sent, as much of `slice` as fits in the ring: not copied, but read by the card whenever a
    /// segment of it leaves, the first time and when it is repeated. Whoever owns the memory keeps it as it is until
    /// all that was taken has come back through [`released`](Stack::released), under this `token`: when it is
    /// acknowledged, or the connection has ended, and no packet refers to it. `Ok(0)` means that the ring is full now,
    /// or that the connection is not established yet.
    ///
    /// # Errors
    /// As [`send`](Stack::send); and [`SendError::OnlyCopies`] if the card leaves checksums to us, which only
    /// [`send`](Stack::send) can do.
    pub fn send_by_reference(
        &mut self,
        socket: SocketId,
        slice: DmaSlice,
        token: u64,
    ) -> Result<usize, SendError> {
        let (index, now) = (self.flows.index(socket.0).ok_or(SendError::Stale)?, self.now);
        let flow = self.flows.at_mut(index).ok_or(SendError::Stale)?;
        flow.restart_if_idle(now);
        let is_v4 = flow.key.is_some_and(|key| key.remote().0.is_ipv4());
        let room = u32::try_from(flow.send_room()?).unwrap_or(u32::MAX);
        if !self.outbox.offload(is_v4) {
            return Err(SendError::OnlyCopies);
        }
        let taken = room.min(slice.len());
        let Some(slice) = slice.part(0, taken).filter(|_| taken > 0) else { return Ok(0) };
        if !flow.stream.push_stretch(&mut self.outbox.extents, slice, token) {
            return Ok(0);
        }
        self.enqueue(index, taken as usize);
        Ok(taken as usize)
    }

    fn enqueue(&mut self, index: u32, bytes: usize) {
        let now = self.now;
        if let Some(flow) = self.flows.at_mut(index) {
            flow.enqueue(bytes);
            flow.note_window_use();
            flow.outstanding_since.get_or_insert(now);
            self.mark_dirty(index);
        }
    }

    /// Appends the memory that has become its users' again, in the order in which it did.
    pub fn released(&mut self, out: &mut Vec<Released>) {
        self.outbox.extents.take_released(out);
    }

    /// Nothing of the connection's stream will be sent any more.
    pub(crate) fn drop_stream(&mut self, index: u32) {
        if let Some(flow) = self.flows.at_mut(index) {
            flow.stream.clear(&mut self.outbox.extents);
        }
    }

    /// Closes our half: FIN after everything that was sent. Receiving goes on. Again is no error.
    ///
    /// # Errors
    /// The name is stale, or there is no established connection.
    pub fn shutdown(&mut self, socket: SocketId) -> Result<(), SocketError> {
        let index = self.flows.index(socket.0).ok_or(SocketError::Stale)?;
        let flow = self.flows.at_mut(index).ok_or(SocketError::Stale)?;
        let connected = flow.bound && !flow.unsent && flow.state() != State::SynSent;
        if !connected {
            return Err(SocketError::NotConnected);
        }
        self.send_fin(index);
        Ok(())
    }

    fn send_fin(&mut self, index: u32) {
        let now = self.now;
        if let Some(flow) = self.flows.at_mut(index) {
            flow.close_half();
            flow.outstanding_since.get_or_insert(now);
            self.mark_dirty(index);
        }
    }

    /// Breaks the connection off with a reset. The socket stays, closed, until
    /// [`close`](Stack::close).
    ///
    /// # Errors
    /// The name is stale, or there is no connection.
    pub fn abort(&mut self, socket: SocketId) -> Result<(), SocketError> {
        let index = self.flows.index(socket.0).ok_or(SocketError::Stale)?;
        if !self.flows.at(index).is_some_and(|flow| flow.bound) {
            return Err(SocketError::NotConnected);
        }
        self.break_off(index, Some(Failure::Aborted));
        Ok(())
    }

    /// Gives the socket up; its name is stale from here on. What was sent is still delivered and the
    /// connection closed in order, in the background, for at most `Config::linger`. If there are
    /// received bytes that nobody took, the peer is told by a reset (RFC 2525 2.17), and so it is if
    /// it sends more.
    ///
    /// # Errors
    /// The name is stale.
    pub fn close(&mut self, socket: SocketId) -> Result<(), SocketError> {
        let index = self.flows.index(socket.0).ok_or(SocketError::Stale)?;
        let linger = self.now.after(self.config.linger);
        let is_unread = self.flows.at(index).is_some_and(|flow| flow.reassembly.len() > 0);
        self.orphan(index);
        let flow = self.flows.at_mut(index).ok_or(SocketError::Stale)?;
        let state = flow.state();
        if !flow.bound {
            self.finish(index);
        } else if flow.unsent || is_unread || state == State::SynSent {
            self.break_off(index, None);
        } else {
            if state != State::TimeWait {
                flow.limit = Some(linger);
            }
            self.send_fin(index);
        }
        Ok(())
    }

    /// Counts `Config::linger` from now on for a connection whose user wants it closed and still waits for its last
    /// bytes. Called again it begins again: when a peer has taken some of them. A peer that only keeps its window
    /// closed could otherwise hold the connection for ever; when the time is over, it is reset.
    pub fn linger(&mut self, socket: SocketId) {
        let end = self.now.after(self.config.linger);
        let Some(index) = self.flows.index(socket.0) else { return };
        let open = |flow: &&mut Flow| flow.bound && !matches!(flow.state(), State::SynSent | State::TimeWait);
        let Some(flow) = self.flows.at_mut(index).filter(open) else { return };
        flow.limit = Some(end);
        flow.lingers = true;
        self.mark_dirty(index);
    }

    /// The socket now, `None` for a stale name.
    #[must_use]
    pub fn status(&self, socket: SocketId) -> Option<SocketStatus> {
        self.flows.index(socket.0).and_then(|index| self.flows.at(index)).map(Flow::status)
    }

    /// How it stands with the socket now, `None` for a stale name.
    #[inline]
    #[must_use]
    pub fn standing(&self, socket: SocketId) -> Option<Standing> {
        let flow = self.flows.at(self.flows.index(socket.0)?)?;
        let unacknowledged = flow.socket().send_queue();
        Some(Standing { phase: flow.phase(), unacknowledged, failure: flow.failure })
    }

    /// Appends the sockets whose status has changed since they were last named here, each once, in
    /// the order of the first change: by what arrived or by a timer, not by their users' own calls.
    pub fn ready(&mut self, out: &mut Vec<SocketId>) {
        for index in self.touched.drain(..) {
            let Some(flow) = self.flows.at_mut(index) else { continue };
            flow.touched = false;
            if flow.owner == Owner::User && flow.take_progress() {
                out.push(SocketId(self.flows.name(index)));
            }
        }
    }

    /// If nobody holds a connection in TIME-WAIT, its place is the next that is given away.
    pub(crate) fn note_orphan(&mut self, index: u32) {
        let flows = &self.flows;
        let is_orphan = |flow: &&Flow| flow.owner == Owner::Nobody && flow.state() == State::TimeWait;
        if flows.at(index).filter(is_orphan).is_some() {
            self.orphans.push(flows.name(index), |name| flows.index(name).is_some());
        }
    }

    /// Takes the connection from its user or listener.
    pub(crate) fn orphan(&mut self, index: u32) {
        let now = self.now;
        let Some(flow) = self.flows.at_mut(index) else { return };
        if let Owner::Listener(at) = std::mem::replace(&mut flow.owner, Owner::Nobody)
            && let Some(listener) = self.listeners.at_mut(at)
        {
            listener.forget(now, index);
        }
        flow.reassembly.clear(&mut self.store);
        self.flows.disown(index);
        self.note_orphan(index);
    }

    /// Ends a connection: with a reset where the peer knows of it, silently where it does not.
    pub(crate) fn break_off(&mut self, index: u32, failure: Option<Failure>) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.failure = flow.failure.or(failure);
        let silent = flow.unsent
            || !flow.bound
            || matches!(flow.state(), State::SynSent | State::TimeWait | State::Closed | State::Listen);
        flow.unsent = false;
        flow.socket_mut().abort();
        flow.stream.clear(&mut self.outbox.extents);
        if silent {
            self.finish(index);
        } else {
            flow.limit = None;
            self.mark_dirty(index);
            self.touch(index);
        }
    }

    /// The end of a connection: its key is free. The socket stays if a user still holds it.
    pub(crate) fn finish(&mut self, index: u32) {
        let now = self.now;
        self.drop_stream(index);
        let Some(flow) = self.flows.at_mut(index) else { return };
        if let Some(key) = flow.key
            && flow.bound
        {
            self.demux.remove(key);
        }
        flow.bound = false;
        flow.unsent = false;
        flow.limit = None;
        self.wheel.set(index, None);
        match flow.owner {
            Owner::User => self.touch(index),
            Owner::Listener(at) => {
                if let Some(listener) = self.listeners.at_mut(at) {
                    listener.forget(now, index);
                }
                self.remove_flow(index);
            }
            Owner::Nobody => self.remove_flow(index),
        }
    }

    /// The connection has something for the next egress.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, index: u32) {
        if let Some(flow) = self.flows.at_mut(index)
            && !flow.dirty
        {
            flow.dirty = true;
            self.dirty.push_back(index);
        }
    }

    /// Its user may have something to notice.
    #[inline]
    pub(crate) fn touch(&mut self, index: u32) {
        if let Some(flow) = self.flows.at_mut(index)
            && !flow.touched
        {
            flow.touched = true;
            self.touched.push(index);
        }
    }
}
