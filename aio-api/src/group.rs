//! Groups of buffers, from which receives take one when bytes have arrived.
//!
//! Receives buffers from the program and hands each to the operation whose turn it is; keeps those waiting that found
//! their group empty, in their order. It never looks into a buffer, and drops none while its group is there.

use crate::error::{OpError, SubmitError, SubmitReason};
use crate::op::Request;
use crate::queue::EventQueue;
use naio_dma::Buffer;
use naio_stack::{SocketId, UdpId};
use std::collections::VecDeque;

/// Names a group of buffers; see [`EventQueue::buffer_group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferGroupId {
    index: u32,
    generation: u32,
}

/// Who takes buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taker {
    Tcp(SocketId),
    Udp(UdpId),
}

/// What an operation has of a group: its name, and a number in the line while it waits for a buffer.
#[derive(Debug)]
pub(crate) struct Share {
    group: BufferGroupId,
    ticket: Option<u64>,
}

impl Share {
    pub(crate) fn new(group: BufferGroupId) -> Share {
        Share { group, ticket: None }
    }
}

#[derive(Debug, Default)]
struct Group {
    buffers: VecDeque<Buffer>,
    /// Those that bytes wait for, by ascending ticket.
    line: VecDeque<(u64, Taker)>,
    next_ticket: u64,
    /// Operations that take from it.
    takers: usize,
    /// On the list of groups whose line is to be looked at.
    noted: bool,
}

#[derive(Debug, Default)]
struct Entry {
    generation: u32,
    group: Option<Group>,
}

/// All groups of a queue.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Buffers in groups, and those that operations hold half filled: each has a place for its completion.
    places: usize,
    /// Those in groups that nobody takes from.
    idle: usize,
    /// Groups that have buffers and a line.
    noted: Vec<u32>,
    /// Kept for its memory.
    called: Vec<Taker>,
}

impl Groups {
    fn insert(&mut self) -> BufferGroupId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        entry.group = Some(Group::default());
        BufferGroupId { index, generation: entry.generation }
    }

    fn remove(&mut self, id: BufferGroupId) -> Option<Vec<Buffer>> {
        let buffers = self.empty(id)?;
        let entry = self.entries.get_mut(id.index as usize)?;
        entry.group = None;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(buffers)
    }

    /// Takes all buffers out.
    fn empty(&mut self, id: BufferGroupId) -> Option<Vec<Buffer>> {
        let group = self.at_mut(id)?;
        let (buffers, is_idle) = (Vec::from(std::mem::take(&mut group.buffers)), group.takers == 0);
        self.places -= buffers.len();
        self.idle -= if is_idle { buffers.len() } else { 0 };
        Some(buffers)
    }

    fn at(&self, id: BufferGroupId) -> Option<&Group> {
        self.entries.get(id.index as usize).filter(|entry| entry.generation == id.generation)?.group.as_ref()
    }

    fn at_mut(&mut self, id: BufferGroupId) -> Option<&mut Group> {
        let entry = self.entries.get_mut(id.index as usize)?;
        entry.group.as_mut().filter(|_| entry.generation == id.generation)
    }

    /// Puts a group with buffers and a line on the list of those to look at.
    fn note(&mut self, id: BufferGroupId) {
        let calls = |group: &&mut Group| !group.noted && !group.buffers.is_empty() && !group.line.is_empty();
        if let Some(group) = self.at_mut(id).filter(|group| calls(group)) {
            group.noted = true;
            self.noted.push(id.index);
        }
    }

    fn provide(&mut self, id: BufferGroupId, buffer: Buffer) {
        let Some(group) = self.at_mut(id) else { return };
        group.buffers.push_back(buffer);
        let is_idle = group.takers == 0;
        self.places += 1;
        self.idle += usize::from(is_idle);
        self.note(id);
    }

    /// One more operation takes from the group.
    pub(crate) fn join(&mut self, id: BufferGroupId) {
        let Some(group) = self.at_mut(id) else { return };
        group.takers += 1;
        if group.takers == 1 {
            let buffers = group.buffers.len();
            self.idle -= buffers;
        }
    }

    /// An operation has ended; the buffer that it held, if any, leaves with it.
    pub(crate) fn leave(&mut self, share: &Share, held: bool) {
        self.places -= usize::from(held);
        let Some(group) = self.at_mut(share.group) else { return };
        group.takers -= 1;
        group.step_out(share.ticket);
        if group.takers == 0 {
            let buffers = group.buffers.len();
            self.idle += buffers;
        }
        // It may have been the turn of the next.
        self.note(share.group);
    }

    /// A buffer for an operation that has something to put into it, if it is its turn: whoever waited has it first.
    pub(crate) fn take(&mut self, share: &mut Share) -> Option<Buffer> {
        let group = self.at_mut(share.group)?;
        let available = group.buffers.len();
        let is_its_turn = match share.ticket {
            // The tickets ascend.
            Some(ticket) => {
                group.line.get(available).is_none_or(|(first_too_late, _)| ticket < *first_too_late)
            }
            None => group.line.len() < available,
        };
        if !is_its_turn {
            return None;
        }
        let buffer = group.buffers.pop_front()?;
        group.step_out(share.ticket.take());
        Some(buffer)
    }

    /// A buffer was not needed after all.
    pub(crate) fn put_back(&mut self, share: &Share, buffer: Buffer) {
        if let Some(group) = self.at_mut(share.group) {
            group.buffers.push_front(buffer);
            self.note(share.group);
        }
    }

    /// Puts an operation into the line; false if it stood there already.
    pub(crate) fn queue_up(&mut self, share: &mut Share, taker: Taker) -> bool {
        let Some(group) = self.at_mut(share.group).filter(|_| share.ticket.is_none()) else { return false };
        group.line.push_back((group.next_ticket, taker));
        share.ticket = Some(group.next_ticket);
        group.next_ticket += 1;
        true
    }

    /// A buffer has gone to the program, in its place in the queue.
    pub(crate) fn spend(&mut self) {
        self.places -= 1;
    }

    /// Places in the queue that are kept for buffers.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Buffers that may still come out.
    pub(crate) fn within_reach(&self) -> usize {
        self.places - self.idle
    }

    /// Whether somebody who waited can have a buffer now.
    pub(crate) fn has_called(&self) -> bool {
        !self.noted.is_empty()
    }
}

impl Group {
    fn step_out(&mut self, ticket: Option<u64>) {
        let place = ticket.map(|ticket| self.line.binary_search_by_key(&ticket, |(number, _)| *number));
        if let Some(Ok(at)) = place {
            self.line.remove(at);
        }
    }
}

impl EventQueue {
    /// Makes a group of buffers, empty at first: [`recv_multishot`](EventQueue::recv_multishot) and
    /// [`recv_from_multishot`](EventQueue::recv_from_multishot) take one of them only when bytes have arrived, so that
    /// a thousand quiet sockets need a few buffers between them, not one each. Any number of receives may share a
    /// group, and its buffers may have different lengths; they are used in the order in which they were provided.
    ///
    /// Buffers come back in completions; those that nobody needed with [`reclaim`](EventQueue::reclaim) or
    /// [`remove_buffer_group`](EventQueue::remove_buffer_group), also after the card is gone. What is still in groups
    /// when the queue is dropped is freed with it, as are the buffers in operations.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, RecvOptions, SocketId};
    /// # fn example(queue: &mut EventQueue, sockets: &[SocketId]) -> Result<(), Box<dyn std::error::Error>> {
    /// let group = queue.buffer_group();
    /// for buffer in queue.buffers(64, 16 * 1024)? {
    ///     queue.provide(group, buffer)?;
    /// }
    /// for (n, socket) in sockets.iter().enumerate() {
    ///     queue.recv_multishot(*socket, group, RecvOptions::default(), n as u64)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn buffer_group(&mut self) -> BufferGroupId {
        self.groups.insert()
    }

    /// Gives a buffer to a group. It keeps a place in the queue for the completion that it will leave in, and so counts
    /// against [`Builder::completion_entries`](crate::Builder::completion_entries) as an operation does. Receives that
    /// found the group empty go on in their order: one buffer is kept for each of them before any gets a second.
    ///
    /// # Errors
    /// [`SubmitError`], with the buffer in it: [`SubmitReason::NoGroup`], [`SubmitReason::QueueFull`],
    /// [`SubmitReason::Range`] for a buffer without a byte, [`SubmitReason::CardGone`].
    ///
    /// ```no_run
    /// # use aio_api::{BufferGroupId, Completion, EventQueue};
    /// # fn example(queue: &mut EventQueue, group: BufferGroupId, done: Completion)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// if let Some(buffer) = done.buffer {
    ///     println!("{:?}", &buffer[..done.bytes as usize]);
    ///     queue.provide(group, buffer)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn provide(&mut self, group: BufferGroupId, buffer: Buffer) -> Result<(), SubmitError> {
        let reason = self.check_group(group).and_then(|()| self.admit(1)).err();
        if let Some(reason) = reason.or(buffer.is_empty().then_some(SubmitReason::Range)) {
            return Err(SubmitError { reason, buffer: Some(buffer), buffers: Vec::new() });
        }
        self.groups.provide(group, buffer);
        Ok(())
    }

    /// Takes back the buffers that wait in a group, oldest first, and with them their places in the queue; the group
    /// and the receives that take from it stay. Empty if there is no such group.
    ///
    /// ```no_run
    /// # use aio_api::{BufferGroupId, EventQueue};
    /// # fn example(queue: &mut EventQueue, group: BufferGroupId) {
    /// println!("{} buffers were more than enough", queue.reclaim(group).len());
    /// # }
    /// ```
    pub fn reclaim(&mut self, group: BufferGroupId) -> Vec<Buffer> {
        self.groups.empty(group).unwrap_or_default()
    }

    /// Removes a group and gives back the buffers that wait in it. Receives that take from it end with
    /// [`OpError::Canceled`]; a buffer that one of them had half filled is in its completion. Empty if there is no such
    /// group.
    pub fn remove_buffer_group(&mut self, group: BufferGroupId) -> Vec<Buffer> {
        for key in self.ops.keys() {
            let share = self.ops.peek(key).and_then(|op| op.request.share());
            if share.is_some_and(|share| share.group == group) {
                self.finish(key, Err(OpError::Canceled));
            }
        }
        self.groups.remove(group).unwrap_or_default()
    }

    /// Buffers that wait in a group, `None` if there is no such group.
    #[must_use]
    pub fn buffers_provided(&self, group: BufferGroupId) -> Option<usize> {
        self.groups.at(group).map(|group| group.buffers.len())
    }

    /// Whether there is such a group.
    pub(crate) fn check_group(&self, group: BufferGroupId) -> Result<(), SubmitReason> {
        self.groups.at(group).map(|_| ()).ok_or(SubmitReason::NoGroup)
    }

    /// Has a look at those who waited for a buffer and can have one now.
    pub(crate) fn call_takers(&mut self) {
        let Groups { entries, noted, called, .. } = &mut self.groups;
        for index in noted.drain(..) {
            let Some(group) = &mut entries[index as usize].group else { continue };
            group.noted = false;
            called.extend(group.line.iter().take(group.buffers.len()).map(|(_, taker)| *taker));
        }
        for taker in self.groups.called.drain(..) {
            match taker {
                Taker::Tcp(socket) => self.sockets.touch(socket),
                Taker::Udp(socket) => self.udp.touch(socket),
            }
        }
    }

    /// Whether every buffer of a group is in it or in an operation, and every completion has its place.
    pub(crate) fn groups_are_whole(&self) -> bool {
        let is_held = |request: &Request| matches!(request, Request::RecvMany { held: Some(_), .. });
        let keys = self.ops.keys();
        let held =
            keys.iter().filter(|key| self.ops.peek(**key).is_some_and(|op| is_held(&op.request))).count();
        let groups = self.groups.entries.iter().filter_map(|entry| entry.group.as_ref());
        let provided: usize = groups.map(|group| group.buffers.len()).sum();
        self.groups.places == provided + held && self.places_used() <= self.ops.limit()
    }
}
