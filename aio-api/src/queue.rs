//! The event queue: what a program holds.
//!
//! Holds every room's state and lends it to the stages of a turn. The calls that submit are in
//! `submit`, `listen` and `watch`.

use crate::completion::Completion;
use crate::counters::{Counters, QueueCounters};
use crate::error::{BufferError, SocketError};
use crate::group::Groups;
use crate::lent::{Home, Lists};
use crate::listen::Listeners;
use crate::names::Names;
use crate::op::{OpKey, OpTable};
use crate::pace::Pace;
use crate::socket::SocketTable;
use crate::timer::Timers;
use crate::turn::Batches;
use crate::udp::UdpTable;
use crate::windows::Windows;
use naio_dma::{Buffer, Domain};
use naio_nic::{Caps, Link, Nic};
use naio_stack::{Census, ConnectionInfo, SocketId, SocketOptions, SocketStatus, Stack, TcpOptions};
use naio_sys::clock::{Clock, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// The queue: one card, one address, any number of sockets, one place where everything completes.
///
/// It belongs to one thread at a time. Dropping it resets what is still connected and gives the card
/// back.
pub struct EventQueue {
    // The card is dropped first: it must not write memory that is gone.
    pub(crate) nic: Option<Box<dyn Nic + Send>>,
    pub(crate) nic_counters: naio_nic::Counters,
    pub(crate) caps: Caps,
    pub(crate) stack: Stack,
    pub(crate) domain: Domain,
    pub(crate) windows: Windows<SocketId>,
    /// Where lent pages come back to.
    pub(crate) home: Arc<Home>,
    pub(crate) lists: Lists,
    pub(crate) ops: OpTable,
    pub(crate) groups: Groups,
    pub(crate) sockets: SocketTable,
    pub(crate) sockets_max: usize,
    pub(crate) listeners: Listeners,
    pub(crate) udp: UdpTable,
    pub(crate) names: Names,
    /// Those who watch the link or the address.
    pub(crate) watchers: Vec<OpKey>,
    pub(crate) timers: Timers,
    pub(crate) completed: VecDeque<Completion>,
    pub(crate) counters: QueueCounters,
    pub(crate) batches: Batches,
    pub(crate) pace: Pace,
    pub(crate) clock: Clock,
    pub(crate) now: Time,
    /// A pause for a burst may follow the present turn.
    pub(crate) pauses: bool,
    /// Something was submitted that is to leave now: the next turn does not wait for a burst.
    pub(crate) hurry: bool,
    /// When the last turn that found frames ended, if more are to be expected.
    pub(crate) last_burst: Option<Time>,
    pub(crate) next_health: Time,
    /// The link that the log knows of.
    pub(crate) logged_link: Option<Link>,
}

impl EventQueue {
    /// Registers memory: `count` buffers of `len` bytes, zeroed, ready to move into operations.
    ///
    /// Not for the data path: it maps memory for the card. Buffers come back in completions, to be
    /// used again.
    ///
    /// # Errors
    /// The kernel or the IOMMU refuses; the reason says which limit.
    pub fn buffers(&self, count: usize, len: usize) -> Result<Vec<Buffer>, BufferError> {
        Buffer::allocate(&self.domain, count, len).map_err(|source| BufferError { count, len, source })
    }

    /// Makes a TCP socket, not connected.
    ///
    /// # Errors
    /// [`SocketError::TooMany`], which names the limit.
    pub fn socket(&mut self, options: SocketOptions) -> Result<SocketId, SocketError> {
        let socket = self.stack.socket(options).map_err(|error| match error {
            naio_stack::SocketError::TooMany => SocketError::TooMany { limit: self.sockets_max },
            error => SocketError::Stack(error),
        })?;
        self.sockets.insert(socket);
        Ok(socket)
    }

    /// The card.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The link now. Reads a register.
    pub fn link(&mut self) -> Link {
        self.nic.as_mut().map_or(Link::Down, |nic| nic.link())
    }

    /// Everything counted so far. Reads registers: not for the data path.
    pub fn counters(&mut self) -> Counters {
        if let Some(nic) = &mut self.nic {
            self.nic_counters = nic.counters();
        }
        let (stack, files) = (*self.stack.counters(), self.windows.counters());
        Counters { nic: self.nic_counters, stack, queue: self.counters, files }
    }

    /// Lets go of every window of a file that nothing is being sent from, so that a deleted file gives its space back,
    /// or a file system can be unmounted. They are gone some turns later.
    pub fn release_files(&mut self) {
        self.windows.release_unused();
    }

    /// The queue's clock, as of its last turn.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// A socket as it is: its state, its ends, what can be received and sent. `None` once it is gone.
    #[must_use]
    pub fn status(&self, socket: SocketId) -> Option<SocketStatus> {
        self.stack.status(socket)
    }

    /// What is known of a connection: round-trip time, bytes, segments, retransmissions. `None` once
    /// the socket is gone.
    #[must_use]
    pub fn info(&self, socket: SocketId) -> Option<ConnectionInfo> {
        self.stack.info(socket)
    }

    /// Changes the options of a socket, from now on; for sockets that were accepted, too. False if
    /// the socket is gone.
    pub fn set_options(&mut self, socket: SocketId, options: TcpOptions) -> bool {
        self.stack.set_options(socket, options).is_ok()
    }

    /// What the stack holds now: connections, timers, pages. Walks its tables: not for the data path.
    #[must_use]
    pub fn census(&self) -> Census {
        self.stack.census()
    }

    /// Operations submitted and not yet completed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.ops.outstanding()
    }

    pub(crate) fn is_down(&self) -> bool {
        self.nic.is_none()
    }

    pub(crate) fn completions_waiting(&self) -> usize {
        self.completed.len()
    }

    /// Moves every completion out.
    pub(crate) fn collect(&mut self, completions: &mut Vec<Completion>) -> usize {
        let count = self.completed.len();
        while let Some(done) = self.completed.pop_front() {
            if done.flags.has_more() {
                self.collected(&done);
            }
            completions.push(done);
        }
        count
    }
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventQueue")
            .field("card", &self.caps.model)
            .field("outstanding", &self.ops.outstanding())
            .field("completed", &self.completed.len())
            .finish_non_exhaustive()
    }
}
