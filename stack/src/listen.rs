//! Listeners: SYNs for a port become connections, up to a backlog.
//!
//! Each pending connection is an ordinary flow with the listener as its owner; once established it
//! waits to be accepted. Both kinds together are bounded by the backlog, and one that does not
//! finish its handshake is forgotten after `Config::syn_received_timeout`.

use crate::Stack;
use crate::cookie::Pressure;
use crate::slab::Slab;
use crate::status::{ListenError, ListenerId, SocketId};
use crate::{flow::Owner, status::SocketError};
use naio_sys::clock::Time;
use std::collections::VecDeque;

pub(crate) struct Listener {
    pub(crate) port: u16,
    backlog: usize,
    /// Connections in SYN-RECEIVED.
    embryonic: usize,
    pub(crate) pressure: Pressure,
    /// Established ones, oldest first.
    pub(crate) queue: VecDeque<u32>,
    /// The log has said that SYNs are dropped: peers decide how many, the counters say how many.
    told: bool,
}

impl Listener {
    pub(crate) fn is_full(&self) -> bool {
        self.embryonic + self.queue.len() >= self.backlog
    }

    /// As many wait to be accepted as may.
    pub(crate) fn is_queue_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }

    pub(crate) fn add_embryonic(&mut self, now: Time) {
        self.embryonic += 1;
        self.pressure.note(now, self.embryonic, self.backlog);
    }

    /// One has finished its handshake, or is gone.
    pub(crate) fn remove_embryonic(&mut self, now: Time) {
        self.embryonic = self.embryonic.saturating_sub(1);
        self.pressure.note(now, self.embryonic, self.backlog);
    }

    /// Its connection `index` is gone before it was accepted.
    pub(crate) fn forget(&mut self, now: Time, index: u32) {
        match self.queue.iter().position(|&queued| queued == index) {
            Some(at) => drop(self.queue.remove(at)),
            None => self.remove_embryonic(now),
        }
    }
}

/// The listener for a port.
pub(crate) fn find(listeners: &Slab<Listener>, port: u16) -> Option<u32> {
    listeners.iter().find(|(_, listener)| listener.port == port).map(|(index, _)| index)
}

impl Stack {
    /// Says that a listener's SYNs are dropped, the first time that it happens to it.
    #[cold]
    pub(crate) fn tell_full(&mut self, at: u32, what: &str) {
        if let Some(listener) = self.listeners.at_mut(at).filter(|listener| !listener.told) {
            listener.told = true;
            log::info!("port {}: SYNs are dropped while {what} is full", listener.port);
        }
    }

    /// Accepts connections on `port`: at most `backlog` that are not yet accepted, in whatever state.
    /// Further SYNs are dropped and counted; their senders repeat them. While half-open connections take up half of
    /// the backlog for long (a flood), SYNs are answered with cookies instead, which take no place.
    ///
    /// # Errors
    /// The port is in use or 0, the backlog is 0, or there are too many listeners.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<ListenerId, ListenError> {
        if port == 0 || find(&self.listeners, port).is_some() {
            return Err(ListenError::Port(port));
        }
        if backlog == 0 {
            return Err(ListenError::Backlog);
        }
        let listener = Listener {
            port,
            backlog,
            embryonic: 0,
            pressure: Pressure::default(),
            queue: VecDeque::new(),
            told: false,
        };
        self.listeners.insert(listener).map(ListenerId).ok_or(ListenError::TooMany)
    }

    /// The oldest established connection that nobody has taken, `None` if there is none or the
    /// listener is closed. It may already have data, or be closed again by its peer; the next
    /// [`ready`](Stack::ready) names it.
    pub fn accept(&mut self, listener: ListenerId) -> Option<SocketId> {
        let at = self.listeners.index(listener.0)?;
        let index = self.listeners.at_mut(at)?.queue.pop_front()?;
        self.flows.at_mut(index)?.owner = Owner::User;
        self.touch(index);
        Some(SocketId(self.flows.name(index)))
    }

    /// Gives a listener up. Connections that nobody has accepted are reset.
    ///
    /// # Errors
    /// [`SocketError::Stale`] if it was closed before.
    pub fn close_listener(&mut self, listener: ListenerId) -> Result<(), SocketError> {
        let at = self.listeners.index(listener.0).ok_or(SocketError::Stale)?;
        self.listeners.remove(at);
        let orphans: Vec<u32> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.owner == Owner::Listener(at))
            .map(|(index, _)| index)
            .collect();
        for index in orphans {
            self.orphan(index);
            self.break_off(index, None);
        }
        Ok(())
    }
}
