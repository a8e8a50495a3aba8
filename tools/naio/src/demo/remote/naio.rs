//! A second naio as a partner: a station in a thread of its own that serves the experiments.
//!
//! Receives one end of a wire, answers each connection with what it cost. It always works asynchronously, so that
//! the arms of an experiment meet the same partner.

use super::THERE;
use crate::demo::station;
use crate::demo::transfer::{self, Receiver, Sender, Style, letter, read_request, settle};
use crate::failure::Failure;
use aio_api::{EventQueue, Kind, ListenerId, SocketId, Wait};
use naio_bench::protocol::{Request, SINK_PORT, SOURCE_PORT};
use naio_e1000_model::Wire;
use naio_sys::clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver as Inbox, Sender as Outbox, TryRecvError};
use std::thread;
use std::time::Duration;

/// How long either side drives its queue between two looks at what else there is.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Connections that may wait to be accepted.
const BACKLOG: usize = 4;
/// Cookies of the accepts.
const SOURCE: u64 = 1;
const SINK: u64 = 2;

/// A hand on the partner. When it is dropped, the partner ends.
pub(crate) struct Naio {
    outcomes: Inbox<Result<Duration, Failure>>,
    over: Arc<AtomicBool>,
}

/// The thread's side.
struct Server {
    queue: EventQueue,
    listeners: [(ListenerId, u64); 2],
    pieces: Arc<Vec<Vec<u8>>>,
    over: Arc<AtomicBool>,
}

impl Naio {
    /// Opens a card at `wire` and starts the thread.
    pub(crate) fn start(wire: impl Wire + 'static, pieces: Arc<Vec<Vec<u8>>>) -> Result<Naio, Failure> {
        let (mut queue, _) = station::open(wire, THERE)?;
        let listeners =
            [(queue.listen(SOURCE_PORT, BACKLOG)?, SOURCE), (queue.listen(SINK_PORT, BACKLOG)?, SINK)];
        let (outbox, outcomes) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let server = Server { queue, listeners, pieces, over: over.clone() };
        let work = move || server.serve(&outbox);
        thread::Builder::new().name("remote".into()).spawn(work).map_err(Failure::Thread)?;
        Ok(Naio { outcomes, over })
    }

    /// CPU time of the thread from the request to the last byte of the connection that is over.
    pub(super) fn cpu(&mut self, queue: &mut EventQueue) -> Result<Duration, Failure> {
        loop {
            queue.wait(&mut Vec::new(), Wait::for_one().within(LOOK_EVERY))?;
            match self.outcomes.try_recv() {
                Ok(outcome) => return outcome,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(Failure::RemoteGone),
            }
        }
    }
}

impl Drop for Naio {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Server {
    fn serve(mut self, outbox: &Outbox<Result<Duration, Failure>>) {
        loop {
            let outcome = match self.accept() {
                Ok(Some((socket, port))) => self.serve_one(socket, port),
                Ok(None) => return,
                Err(failure) => Err(failure),
            };
            let over = outcome.is_err();
            if outbox.send(outcome).is_err() || over {
                return;
            }
        }
    }

    /// The next connection and which port it came to; `None` when nobody wants one any more.
    fn accept(&mut self) -> Result<Option<(SocketId, u64)>, Failure> {
        let mut waiting = Vec::new();
        for (listener, port) in self.listeners {
            waiting.push(self.queue.accept(listener, port)?);
        }
        let mut list = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            self.queue.wait(&mut list, Wait::for_one().within(LOOK_EVERY))?;
            for done in list.drain(..).filter(|done| done.kind == Kind::Accept) {
                done.result.map_err(|error| Failure::Operation("the accept", error))?;
                let Some(socket) = done.socket else { continue };
                // The other port waits no longer: while we serve, nobody looks at its completion.
                for key in waiting.into_iter().filter(|key| *key != done.key) {
                    self.queue.cancel(key);
                }
                return Ok(Some((socket, done.user_data)));
            }
        }
        Ok(None)
    }

    fn serve_one(&mut self, socket: SocketId, port: u64) -> Result<Duration, Failure> {
        let queue = &mut self.queue;
        let sender = Sender::new(queue, Style::Asynchronous, &self.pieces)?;
        let request = read_request(queue, socket)?;
        let receiver = Receiver::new(queue, Style::Asynchronous, request.sha256)?;
        let begin = clock::thread_cpu();
        let answer = if port == SOURCE {
            sender.run(queue, socket, request.bytes, &mut |_| {})?;
            let digest = request.sha256.then(|| transfer::digest(&self.pieces, request.bytes));
            digest.into_iter().flatten().collect()
        } else {
            let got = receiver.run(queue, socket, None, 0, &mut |_| {})?;
            answer_of_sink(request, got.bytes, got.digest)
        };
        let cpu = clock::thread_cpu().saturating_sub(begin);
        if !answer.is_empty() {
            let len = answer.len();
            let buffer = letter(queue, &answer)?;
            queue.send(socket, buffer, 0..len, 0)?;
        }
        queue.close(socket, 0)?;
        settle(queue)?;
        Ok(cpu)
    }
}

/// How much it was and, if asked, its hash.
fn answer_of_sink(request: Request, bytes: u64, digest: Option<naio_bench::sha::Digest>) -> Vec<u8> {
    let digest = digest.filter(|_| request.sha256);
    bytes.to_le_bytes().into_iter().chain(digest.into_iter().flatten()).collect()
}
