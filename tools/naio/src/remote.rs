//! The remote side: a second naio stack in a thread of its own.
//!
//! Receives jobs and answers each with what it cost. It always works asynchronously, so that the arms of an
//! experiment meet the same partner.

use crate::failure::Failure;
use crate::transfer::{Moved, Receiver, Sender, Style, wait};
use aio_api::{Builder, Completion, EventQueue, Kind, ListenerId, SocketId, Wait};
use naio_sys::clock;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver as Inbox, RecvTimeoutError, Sender as Outbox, TryRecvError};
use std::thread;
use std::time::Duration;

/// Where the remote listens.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const PORT: u16 = 5001;
/// How long either side drives its queue between two looks at its inbox.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// One connection's worth of work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// The remote sends; otherwise it receives.
    pub(crate) sends: bool,
    pub(crate) bytes: u64,
    pub(crate) hashed: bool,
}

/// What a job was.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) moved: Moved,
    /// CPU time of the thread from the accept to the last byte.
    pub(crate) cpu: Duration,
}

/// A hand on the remote. When it is dropped, the remote ends.
pub(crate) struct Remote {
    jobs: Outbox<Job>,
    outcomes: Inbox<Result<Outcome, Failure>>,
}

impl Remote {
    /// Opens `card` and starts the thread.
    pub(crate) fn start(card: &str, pieces: Arc<Vec<Vec<u8>>>) -> Result<Remote, Failure> {
        let mut queue = open(card, ADDRESS)?;
        let listener = queue.listen(PORT, 4)?;
        let (jobs, inbox) = mpsc::channel();
        let (outbox, outcomes) = mpsc::channel();
        let work = move || serve(queue, listener, &inbox, &outbox, &pieces);
        thread::Builder::new().name("remote".into()).spawn(work).map_err(Failure::Thread)?;
        Ok(Remote { jobs, outcomes })
    }

    /// Where to connect to.
    pub(crate) fn address() -> SocketAddr {
        (ADDRESS, PORT).into()
    }

    /// Gives a job to do; it begins with the next connection.
    pub(crate) fn ask(&self, job: Job) -> Result<(), Failure> {
        self.jobs.send(job).map_err(|_| Failure::RemoteGone)
    }

    /// What became of the last job, driving `queue` until it is known: the remote needs our answers.
    pub(crate) fn outcome(&self, queue: &mut EventQueue) -> Result<Outcome, Failure> {
        loop {
            drive(queue)?;
            match self.outcomes.recv_timeout(Duration::ZERO) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::RemoteGone),
            }
        }
    }
}

/// Opens the card `name` with a station at `address`.
pub(crate) fn open(name: &str, address: Ipv4Addr) -> Result<EventQueue, Failure> {
    let cidr = aio_api::Cidr { address, prefix_len: 24 };
    Builder::new(cidr).open(name).map_err(|source| Failure::Open { name: name.into(), source })
}

/// Gives the queue a little time; what completes is of no interest.
fn drive(queue: &mut EventQueue) -> Result<(), Failure> {
    queue.wait(&mut Vec::new(), Wait::for_one().within(LOOK_EVERY))?;
    Ok(())
}

/// Drives the queue until nothing is outstanding: what is left of one connection shall not meet the next.
pub(crate) fn settle(queue: &mut EventQueue) -> Result<(), Failure> {
    let mut done = Vec::new();
    while queue.outstanding() > 0 {
        wait(queue, &mut done)?;
        done.clear();
    }
    Ok(())
}

fn serve(
    mut queue: EventQueue,
    listener: ListenerId,
    inbox: &Inbox<Job>,
    outbox: &Outbox<Result<Outcome, Failure>>,
    pieces: &[Vec<u8>],
) {
    loop {
        let outcome = match inbox.try_recv() {
            Ok(job) => serve_one(&mut queue, listener, job, pieces),
            Err(TryRecvError::Empty) => match drive(&mut queue) {
                Ok(()) => continue,
                Err(failure) => Err(failure),
            },
            Err(TryRecvError::Disconnected) => return,
        };
        let over = outcome.is_err();
        if outbox.send(outcome).is_err() || over {
            return;
        }
    }
}

fn serve_one(
    queue: &mut EventQueue,
    listener: ListenerId,
    job: Job,
    pieces: &[Vec<u8>],
) -> Result<Outcome, Failure> {
    let style = Style::Asynchronous;
    let receiver = Receiver::new(queue, style, job.hashed)?;
    let sender = Sender::new(queue, style, pieces)?;
    let socket = accept(queue, listener)?;
    let begin = clock::thread_cpu();
    let moved = if job.sends {
        sender.run(queue, socket, job.bytes)?
    } else {
        receiver.run(queue, socket, job.bytes)?
    };
    let cpu = clock::thread_cpu().saturating_sub(begin);
    queue.close(socket, 0)?;
    settle(queue)?;
    Ok(Outcome { moved, cpu })
}

fn accept(queue: &mut EventQueue, listener: ListenerId) -> Result<SocketId, Failure> {
    queue.accept(listener, 0)?;
    let mut done: Vec<Completion> = Vec::new();
    loop {
        wait(queue, &mut done)?;
        for done in done.drain(..).filter(|done| done.kind == Kind::Accept) {
            done.result.map_err(|error| Failure::Operation("the accept", error))?;
            if let Some(socket) = done.socket {
                return Ok(socket);
            }
        }
    }
}
