//! Handing what is to be sent to the stack, and taking back what was lent to it.
//!
//! Receives sends in their order and feeds them to the stack as far as it takes them: memory that the card sees by
//! reference, everything else as copies. A send is over when the peer has acknowledged its last byte *and* everything
//! that was lent has come back: whatever happened to it, its buffers never leave while a packet refers to them.

use crate::complete::{end_acknowledged, op_error};
use crate::error::OpError;
use crate::op::{OpKey, Request};
use crate::outgoing::{FileFault, Outgoing};
use crate::queue::EventQueue;
use crate::windows::{FileCursor, Front, Windows};
use naio_stack::{SendError, SocketId, Stack, Standing};

/// How far one send is.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    /// Bytes in the stack's hands.
    accepted: u64,
    /// The stream offset after the last byte, once all of it is there.
    end: Option<u64>,
    /// Bytes of the program's memory that the stack was lent, and of those that came back.
    lent: u64,
    returned: u64,
    /// Some bytes were copied.
    copied: bool,
    /// How it ended, while it waits for what was lent.
    ended: Option<Result<(), OpError>>,
}

impl Sending {
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(crate) fn is_copied(&self) -> bool {
        self.copied
    }

    /// How it ended, if it ended while packets still referred to its memory.
    pub(crate) fn ended(&self) -> Option<Result<(), OpError>> {
        self.ended
    }

    pub(crate) fn may_be_cancelled(&self) -> bool {
        self.end.is_none() && self.ended.is_none()
    }

    fn is_lent(&self) -> bool {
        self.lent > self.returned
    }
}

/// How far feeding a send came.
struct Fed {
    lent: u64,
    copied: u64,
    /// Some of what was lent is a copy: a file that the card cannot see was read.
    read: bool,
    state: FedState,
}

impl Fed {
    fn bytes(&self) -> u64 {
        self.lent + self.copied
    }
}

enum FedState {
    /// Everything is in the stack's hands.
    All,
    /// The stack takes no more now, or the file is not at hand yet.
    Full,
    /// The stack takes no more at all.
    Refused,
    File(FileFault),
}

impl EventQueue {
    /// Feeds sends into the stack, in order, as far as it takes them.
    pub(crate) fn feed_sends(&mut self, socket: SocketId, status: &Standing) {
        if self.waits_for_connection(socket, status) {
            return;
        }
        while let Some(ops) = self.sockets.ops(socket) {
            let Some(&key) = ops.send.get(ops.accepted) else { return };
            let end = ops.accepted_bytes;
            let Some(op) = self.ops.peek_mut(key) else { return };
            let fed = match &mut op.request {
                Request::Send { outgoing, sending, .. } => {
                    let fed = match outgoing {
                        Outgoing::File(cursor) => {
                            feed_file(&mut self.stack, &mut self.windows, socket, cursor, key.token())
                        }
                        outgoing => feed(&mut self.stack, socket, outgoing, key.token()),
                    };
                    sending.accepted += fed.bytes();
                    sending.lent += fed.lent;
                    sending.copied |= fed.copied > 0 || fed.read;
                    sending.end = matches!(fed.state, FedState::All).then_some(end + fed.bytes());
                    fed
                }
                Request::Shutdown { requested, .. } | Request::Close { requested, .. } => {
                    *requested = true;
                    // Refused only where there is nothing to shut down: the end is reached then.
                    let _ = self.stack.shutdown(socket);
                    Fed { lent: 0, copied: 0, read: false, state: FedState::All }
                }
                _ => return,
            };
            if let Some(ops) = self.sockets.ops(socket) {
                ops.accepted_bytes += fed.bytes();
                ops.accepted += usize::from(matches!(fed.state, FedState::All));
                let progressed = fed.bytes() > 0 || !ops.lingering;
                if ops.closing && (progressed || matches!(fed.state, FedState::All)) {
                    ops.lingering = true;
                    self.stack.linger(socket);
                }
            }
            match fed.state {
                FedState::All => {}
                FedState::Full => return,
                FedState::Refused => {
                    let error = status.failure.map_or(OpError::NotConnected, op_error);
                    self.finish(key, Err(error));
                }
                FedState::File(fault) => self.finish(key, Err(file_error(fault))),
            }
        }
    }

    /// Ends sends, shutdowns and closes that the peer has acknowledged, oldest first.
    pub(crate) fn end_acknowledged(&mut self, socket: SocketId, status: &Standing) {
        while let Some(ops) = self.sockets.ops(socket) {
            let acknowledged = ops.accepted_bytes.saturating_sub(status.unacknowledged as u64);
            let Some(&key) = ops.send.front() else { return };
            let Some(op) = self.ops.peek(key) else { return };
            match &op.request {
                Request::Send { sending, outgoing, .. }
                    if !sending.is_lent() && sending.end.is_some_and(|end| end <= acknowledged) =>
                {
                    let result = outgoing.check().map_err(file_error);
                    self.finish(key, result);
                }
                Request::Shutdown { requested: true, .. } if end_acknowledged(status) => {
                    self.finish(key, Ok(()));
                }
                Request::Close { requested: true, .. } if end_acknowledged(status) => {
                    self.finish(key, Ok(()));
                    self.forget_socket_quietly(socket);
                }
                _ => return,
            }
        }
    }

    /// Takes back what the stack had been lent, and ends what waited for nothing else.
    pub(crate) fn take_back(&mut self) {
        let mut returned = std::mem::take(&mut self.batches.returned);
        self.stack.released(&mut returned);
        for released in returned.drain(..) {
            // What lies in a window of a file has a token of the window's.
            let owner = self.windows.take_back(released.token);
            let key = OpKey::of_token(owner.unwrap_or(released.token));
            let Some(op) = self.ops.peek_mut(key) else { continue };
            let Request::Send { socket, sending, .. } = &mut op.request else { continue };
            sending.returned += u64::from(released.bytes);
            match sending.ended.filter(|_| !sending.is_lent()) {
                Some(result) => self.finish(key, result),
                None => {
                    let socket = *socket;
                    self.sockets.touch(socket);
                }
            }
        }
        self.batches.returned = returned;
    }

    /// An operation is to end with `result`. True if it has to wait, because packets may still refer to its buffers;
    /// no list knows it any more then, and it ends when they have come back. Without a card nothing refers to anything.
    pub(crate) fn is_waiting_for_memory(&mut self, key: OpKey, result: Result<(), OpError>) -> bool {
        let is_gone = self.nic.is_none();
        let Some(op) = self.ops.peek_mut(key) else { return false };
        let Request::Send { socket, sending, .. } = &mut op.request else { return false };
        if is_gone || !sending.is_lent() {
            return false;
        }
        if sending.ended.is_none() {
            sending.ended = Some(result);
            let socket = *socket;
            if let Some(ops) = self.sockets.ops(socket) {
                ops.forget(key);
            }
        }
        true
    }
}

/// Hands bytes to the stack until it is full or they are all there.
fn feed(stack: &mut Stack, socket: SocketId, outgoing: &mut Outgoing, token: u64) -> Fed {
    let (mut lent, mut copied) = (0, 0);
    let state = loop {
        if let Some(slice) = outgoing.reference() {
            match stack.send_by_reference(socket, slice, token) {
                Ok(0) => break FedState::Full,
                Ok(taken) => {
                    outgoing.advance(taken);
                    lent += taken as u64;
                    if outgoing.is_empty() {
                        break FedState::All;
                    }
                    continue;
                }
                Err(SendError::OnlyCopies) => {}
                Err(_) => break FedState::Refused,
            }
        }
        let front = outgoing.front();
        if front.is_empty() {
            break FedState::All;
        }
        match stack.send(socket, front) {
            Ok(0) => break FedState::Full,
            Ok(taken) => {
                outgoing.advance(taken);
                copied += taken as u64;
            }
            Err(_) => break FedState::Refused,
        }
        if outgoing.is_empty() {
            break FedState::All;
        }
    };
    Fed { lent, copied, read: false, state }
}

/// Hands parts of a file to the stack until it is full, or the file is not at hand, or everything is there.
fn feed_file(
    stack: &mut Stack,
    windows: &mut Windows<SocketId>,
    socket: SocketId,
    cursor: &mut FileCursor,
    owner: u64,
) -> Fed {
    let mut fed = Fed { lent: 0, copied: 0, read: false, state: FedState::Full };
    fed.state = loop {
        let (slice, window, is_piece) = match windows.front(cursor, socket) {
            Front::Ready { slice, window, copied } => (slice, window, copied),
            Front::Pending => break FedState::Full,
            Front::End => break FedState::All,
            Front::Failed(fault) => break FedState::File(fault),
        };
        let token = windows.lend(window, owner);
        match stack.send_by_reference(socket, slice, token) {
            Ok(taken) if taken > 0 => {
                cursor.advance(taken);
                fed.lent += taken as u64;
                fed.read |= is_piece;
                continue;
            }
            outcome => {
                windows.take_back(token);
                match outcome {
                    Ok(_) => break FedState::Full,
                    Err(SendError::OnlyCopies) => windows.copy_only(cursor),
                    Err(_) => break FedState::Refused,
                }
            }
        }
        // Nothing to copy from yet if it was a window: the next round has it read.
        let Some(bytes) = windows.bytes(cursor) else { continue };
        match stack.send(socket, bytes) {
            Ok(0) => break FedState::Full,
            Ok(taken) => {
                cursor.advance(taken);
                fed.copied += taken as u64;
            }
            Err(_) => break FedState::Refused,
        }
    };
    fed
}

fn file_error(fault: FileFault) -> OpError {
    match fault {
        FileFault::Truncated => OpError::FileTruncated,
        FileFault::Io(kind) => OpError::File(kind),
    }
}
