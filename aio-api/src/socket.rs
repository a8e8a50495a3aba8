//! What the queue remembers of each socket: the operations that wait for it, in order.

use crate::op::OpKey;
use naio_stack::SocketId;
use std::collections::VecDeque;

/// The operations of one socket.
#[derive(Debug, Default)]
pub(crate) struct SocketOps {
    pub(crate) connect: Option<OpKey>,
    /// Receives, oldest first.
    pub(crate) recv: VecDeque<OpKey>,
    /// Sends, shutdown and close, oldest first: the stream's end comes after its bytes.
    pub(crate) send: VecDeque<OpKey>,
    /// How many of `send`, from the front, are in the stack's hands entirely.
    pub(crate) accepted: usize,
    /// Bytes of the stream in the stack's hands.
    pub(crate) accepted_bytes: u64,
    /// A connect was submitted once.
    pub(crate) connected: bool,
    /// A shutdown or close was submitted: nothing may be sent any more.
    pub(crate) shut_down: bool,
    /// A close was submitted: nothing may be asked any more.
    pub(crate) closing: bool,
    /// The stack has been told so, and counts the time.
    pub(crate) lingering: bool,
    /// On the list of sockets to look at in the next turn.
    pub(crate) dirty: bool,
}

impl SocketOps {
    /// Takes an operation out of whatever list it waits in.
    pub(crate) fn forget(&mut self, key: OpKey) {
        if self.connect == Some(key) {
            self.connect = None;
        }
        if take_out(&mut self.recv, key).is_some() {
            return;
        }
        if take_out(&mut self.send, key).is_some_and(|at| at < self.accepted) {
            self.accepted -= 1;
        }
    }

    /// Takes everything out: receives, then sends, then the connect.
    pub(crate) fn drain(&mut self) -> Vec<OpKey> {
        self.accepted = 0;
        let connect = self.connect.take();
        connect.into_iter().chain(self.recv.drain(..)).chain(self.send.drain(..)).collect()
    }
}

/// Takes `key` out of a list and says where it stood: nearly always in front.
fn take_out(list: &mut VecDeque<OpKey>, key: OpKey) -> Option<usize> {
    let at = list.iter().position(|waiting| *waiting == key)?;
    list.remove(at);
    Some(at)
}

/// The sockets of a queue, in a table by their index: they are looked up several times a turn.
#[derive(Debug, Default)]
pub(crate) struct SocketTable {
    entries: Vec<Option<(SocketId, SocketOps)>>,
    /// To be looked at in the next turn, each once.
    dirty: Vec<SocketId>,
}

impl SocketTable {
    pub(crate) fn insert(&mut self, socket: SocketId) {
        self.put(socket, SocketOps::default());
    }

    /// A socket that is connected already.
    pub(crate) fn insert_connected(&mut self, socket: SocketId) {
        self.put(socket, SocketOps { connected: true, ..SocketOps::default() });
    }

    fn put(&mut self, socket: SocketId, ops: SocketOps) {
        let index = socket.index();
        if index >= self.entries.len() {
            // Bounded by the stack's limit on sockets.
            self.entries.resize_with(index + 1, || None);
        }
        self.entries[index] = Some((socket, ops));
    }

    pub(crate) fn remove(&mut self, socket: SocketId) -> Option<SocketOps> {
        let entry = self.entries.get_mut(socket.index())?;
        entry.take_if(|(id, _)| *id == socket).map(|(_, ops)| ops)
    }

    pub(crate) fn ops(&mut self, socket: SocketId) -> Option<&mut SocketOps> {
        match self.entries.get_mut(socket.index()) {
            Some(Some((id, ops))) if *id == socket => Some(ops),
            _ => None,
        }
    }

    pub(crate) fn ids(&self) -> Vec<SocketId> {
        self.entries.iter().flatten().map(|(id, _)| *id).collect()
    }

    /// Puts the socket on the list of those to look at.
    pub(crate) fn touch(&mut self, socket: SocketId) {
        if let Some(ops) = self.ops(socket)
            && !ops.dirty
        {
            ops.dirty = true;
            self.dirty.push(socket);
        }
    }

    /// Whether any is to be looked at.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Moves the list of sockets to look at into `list`.
    pub(crate) fn take_dirty(&mut self, list: &mut Vec<SocketId>) {
        let from = list.len();
        list.append(&mut self.dirty);
        for socket in &list[from..] {
            if let Some(ops) = self.ops(*socket) {
                ops.dirty = false;
            }
        }
    }
}
