//! Receives that go on: each completion but the last has a buffer that was taken from a group when its bytes were there.
//!
//! Receives bytes and datagrams from the stack and hands them on in buffers of a [`group`](crate::group). An empty
//! group ends nothing: what has arrived stays in the stack until there is a buffer.

use crate::complete::{Filled, fill, op_error};
use crate::completion::{Completion, Kind};
use crate::error::{OpError, SubmitError, SubmitReason};
use crate::group::{BufferGroupId, Share, Taker};
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;
use crate::receiving::RecvOptions;
use crate::udp::network_error;
use naio_stack::{RecvError, SocketId, Standing, UdpId};

impl EventQueue {
    /// Receives from a connection until its end, into buffers of `group` that are taken when bytes arrive. Each buffer
    /// leaves in a completion with [`Flags::has_more`](crate::Flags::has_more) as soon as it holds what `options` ask
    /// for; with more than one byte asked for, one that holds fewer stays with the operation until the others are
    /// there. The one terminal completion comes at the end of the stream (with the last bytes, if any are left), when
    /// the connection fails, or when the receive is cancelled or its socket closed; a buffer that was half filled then
    /// is in it.
    ///
    /// While the group is empty the receive waits: bytes stay in the stack, the window closes, and the peer waits too
    /// ([`QueueCounters::empty_group_waits`](crate::QueueCounters::empty_group_waits)). It goes on with the next
    /// [`provide`](EventQueue::provide). Receives submitted behind it wait for its end. So does the error of a
    /// connection that fails meanwhile: what had arrived before is received first.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted. Buffers of a group leave whole: [`RecvOptions::incremental`] is refused.
    ///
    /// ```no_run
    /// # use aio_api::{BufferGroupId, EventQueue, RecvOptions, SocketId, Wait};
    /// # fn example(queue: &mut EventQueue, group: BufferGroupId, socket: SocketId)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// queue.recv_multishot(socket, group, RecvOptions::default(), 1)?;
    /// let (mut completions, mut goes_on) = (Vec::new(), true);
    /// while goes_on {
    ///     queue.wait(&mut completions, Wait::for_one())?;
    ///     for done in completions.drain(..) {
    ///         goes_on = done.flags.has_more();
    ///         if let Some(buffer) = done.buffer {
    ///             println!("{:?}", &buffer[..done.bytes as usize]);
    ///             queue.provide(group, buffer)?;
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_multishot(
        &mut self,
        socket: SocketId,
        group: BufferGroupId,
        options: RecvOptions,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        self.check_group(group)?;
        if options.is_incremental() {
            return Err(SubmitReason::Incremental.into());
        }
        self.admit_socket(socket, 1)?;
        let share = Share::new(group);
        let request = Request::RecvMany { socket, share, options, held: None, filled: 0 };
        let key = self.insert(user_data, request)?;
        self.groups.join(group);
        if let Some(ops) = self.sockets.ops(socket) {
            ops.recv.push_back(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }

    /// Receives datagrams until it is cancelled or the socket closed, each into a buffer of `group`: one completion
    /// with [`Flags::has_more`](crate::Flags::has_more) for each, as of [`recv_from`](EventQueue::recv_from); a burst
    /// comes out of one [`wait`](EventQueue::wait). An error that came back for a datagram sent earlier is a completion
    /// without a buffer, and does not end the receive.
    ///
    /// While the group is empty datagrams stay in the stack, which drops and counts those that are too many. It takes
    /// two places in the queue, for an error and for its end.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, UdpId};
    /// # fn example(queue: &mut EventQueue, socket: UdpId) -> Result<(), Box<dyn std::error::Error>> {
    /// let group = queue.buffer_group();
    /// for buffer in queue.buffers(64, 2048)? {
    ///     queue.provide(group, buffer)?;
    /// }
    /// queue.recv_from_multishot(socket, group, 1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_from_multishot(
        &mut self,
        socket: UdpId,
        group: BufferGroupId,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        self.check_group(group)?;
        self.admit_udp(socket, 2)?;
        let key = self.insert(user_data, Request::RecvFromMany { socket, share: Share::new(group) })?;
        self.groups.join(group);
        self.udp.wait_for_datagrams(socket, key);
        Ok(key)
    }

    /// Whether a receive takes its buffers from a group.
    pub(crate) fn takes_from_group(&self, key: OpKey) -> bool {
        self.ops.peek(key).is_some_and(|op| op.request.share().is_some())
    }

    /// Fills buffers of the group for as long as bytes are there; true if the receive has ended.
    pub(crate) fn receive_many(&mut self, socket: SocketId, key: OpKey, status: &Standing) -> bool {
        loop {
            let Some(op) = self.ops.peek_mut(key) else { return false };
            let user_data = op.user_data;
            let Request::RecvMany { share, options, held, filled, .. } = &mut op.request else {
                return false;
            };
            if held.is_none() {
                *held = self.groups.take(share);
            }
            let Some(buffer) = held else {
                return self.is_at_its_end(socket, key, status);
            };
            let state = fill(&mut self.stack, socket, buffer, filled);
            if *filled == 0
                && let Some(buffer) = held.take()
            {
                self.groups.put_back(share, buffer);
            }
            match state {
                Filled::Dry
                    if *filled == 0 || held.as_ref().is_some_and(|b| *filled < options.min_for(b)) =>
                {
                    return false;
                }
                Filled::Dry | Filled::Full => {
                    let mut done = Completion::new(key, user_data, Kind::Recv, Ok(()));
                    (done.bytes, done.buffer) = (std::mem::take(filled) as u64, held.take());
                    let is_dry = matches!(state, Filled::Dry);
                    self.hand_out(done);
                    if is_dry {
                        return false;
                    }
                }
                Filled::Eof | Filled::Broken => return self.end_receive(key, &state, status),
            }
        }
    }

    /// What a receive without a buffer can still find out: that the stream is over.
    fn is_at_its_end(&mut self, socket: SocketId, key: OpKey, status: &Standing) -> bool {
        match self.stack.recv(socket, &mut []) {
            Ok(_) => {
                if self.stack.status(socket).is_some_and(|status| status.readable > 0) {
                    self.wait_for_buffer(key, Taker::Tcp(socket));
                }
                false
            }
            Err(RecvError::Finished) => self.end_receive(key, &Filled::Eof, status),
            Err(_) => self.end_receive(key, &Filled::Broken, status),
        }
    }

    fn end_receive(&mut self, key: OpKey, state: &Filled, status: &Standing) -> bool {
        let error = status.failure.map_or(OpError::NotConnected, op_error);
        let is_eof = matches!(state, Filled::Eof);
        let result = if is_eof { Ok(()) } else { Err(error) };
        self.finish_with(key, result, |done| done.flags.eof = is_eof);
        true
    }

    /// Something has arrived, and there is no buffer for it.
    fn wait_for_buffer(&mut self, key: OpKey, taker: Taker) {
        let Some(op) = self.ops.peek_mut(key) else { return };
        let (Request::RecvMany { share, .. } | Request::RecvFromMany { share, .. }) = &mut op.request else {
            return;
        };
        if self.groups.queue_up(share, taker) {
            self.counters.empty_group_waits += 1;
            log::debug!("{taker:?} has received something, but its group of buffers is empty");
        }
    }

    /// A buffer of a group leaves in the place that was kept for it.
    fn hand_out(&mut self, mut done: Completion) {
        self.groups.spend();
        done.flags.more = true;
        // Once, from where the card put them.
        done.flags.copied = done.bytes > 0;
        self.completed.push_back(done);
    }

    /// Tells errors and hands out datagrams for as long as there are any.
    pub(crate) fn datagrams_many(&mut self, socket: UdpId, key: OpKey) {
        if self.ops.may_tell(key)
            && let Some(error) = self.stack.udp_take_error(socket)
            && let Some(op) = self.ops.peek(key)
        {
            let result = Err(network_error(error.error));
            let mut done = Completion::new(key, op.user_data, Kind::RecvFrom, result);
            done.peer = Some(error.to);
            self.tell(done);
        }
        while self.stack.udp_waiting(socket).is_some_and(|count| count > 0) {
            let Some(op) = self.ops.peek_mut(key) else { return };
            let user_data = op.user_data;
            let Request::RecvFromMany { share, .. } = &mut op.request else { return };
            let Some(mut buffer) = self.groups.take(share) else {
                return self.wait_for_buffer(key, Taker::Udp(socket));
            };
            let Some(datagram) = self.stack.udp_recv(socket, &mut buffer) else {
                return self.groups.put_back(share, buffer);
            };
            let mut done = Completion::new(key, user_data, Kind::RecvFrom, Ok(()));
            (done.bytes, done.buffer, done.peer) = (datagram.len as u64, Some(buffer), Some(datagram.from));
            done.flags.truncated = datagram.truncated > 0;
            self.hand_out(done);
        }
    }
}
