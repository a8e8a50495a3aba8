//! The receiving path, whole: an event queue over the driver over the card in software, in virtual time.
//!
//! Receives what arrives and on how many connections; hands on what was received and what that took. Only [`measured`]
//! is naio's: the card and the far end work between two of its calls.

use crate::origin::{Origin, Totals, is_stream};
use crate::segment::ADDRESS;
use aio_api::{
    Builder, Completion, EventQueue, Kind, Pace, QueueCounters, RecvOptions, RingLen, SocketId, SocketOptions,
};
use naio_dma::Domain;
use naio_e1000::{Config, E1000};
use naio_e1000_model::{Card, Checks, Model, Options, Quirks};
use naio_sys::allocations::Counting;
use naio_sys::clock::{self, Clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Receives that wait on a connection that is alone, and their length.
const BUFFERS: usize = 8;
const BUFFER_LEN: usize = 64 << 10;
/// Its ring: the largest window.
const RING: usize = 1 << 20;
/// One of many connections has one receive waiting, and room for a burst of twenty.
const SMALL: usize = 32 << 10;
/// Connections that are being established at a time.
const CONNECTING_MAX: u32 = 100;
/// Time between two turns.
const TURN_US: u64 = 50;
/// Turns after which nothing more is to be expected.
const TURNS_MAX: u32 = 200_000;

/// What arrives, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Frames of a burst: the last one has PSH, so that no more than these become one segment.
    pub(crate) burst: u32,
    /// Bursts that a turn finds.
    pub(crate) bursts: u32,
    /// Established connections besides the one that receives.
    pub(crate) beside: u32,
    /// Bursts go round all of them.
    pub(crate) around: bool,
    /// The card says whether checksums are right.
    pub(crate) verdict: bool,
    /// Whether the card's buffers are lent instead of copied from.
    pub(crate) delivery: Delivery,
}

/// How bytes come to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Into receives that were posted before.
    Posted,
    /// Where the card put them.
    Lent,
}

/// Everything that takes part.
pub(crate) struct Receiver {
    pub(crate) queue: EventQueue,
    pub(crate) card: Card,
    pub(crate) origin: Origin,
    pub(crate) clock: Arc<AtomicU64>,
    completions: Vec<Completion>,
    /// Each with what it has received.
    pub(crate) sockets: Vec<(SocketId, u64)>,
    plan: Plan,
    /// Whose turn it is.
    next: usize,
    pub(crate) received: u64,
    completed: u64,
    /// Completions whose bytes were copied.
    copied: u64,
    /// Look at every byte.
    checking: bool,
    wrong: bool,
}

impl Receiver {
    /// Connected sockets with their receives submitted.
    pub(crate) fn new(plan: Plan) -> Result<Receiver, Box<dyn std::error::Error>> {
        let domain = Domain::new();
        let clock = Arc::new(AtomicU64::new(1));
        let origin = Origin::new();
        let options = Options {
            autoneg: Duration::from_millis(1),
            checks: Checks::Light,
            clock: Clock::Manual(clock.clone()),
            quirks: Quirks { rx_checksum_ignored: !plan.verdict, ..Quirks::default() },
            ..Options::default()
        };
        let model = Model::new(options, &domain, origin.clone())?;
        let card = model.card();
        let nic = E1000::open(model, &Config::default())?;
        // Each turn stands for itself: who pauses, and for how long, is the caller's to play.
        let pace = Pace { rx_coalesce: Duration::ZERO, ..Pace::default() };
        let builder = Builder::new("10.0.0.1/24".parse()?)
            .pace(pace)
            .clock(Clock::Manual(clock.clone()))
            .secret([9; 16])
            .completion_entries(plan.beside as usize + BUFFERS + 1)
            .sockets_max(plan.beside as usize + 1);
        let queue = builder.build(Box::new(nic), domain)?;
        let mut receiver = Receiver {
            queue,
            card,
            origin,
            clock,
            completions: Vec::new(),
            sockets: Vec::new(),
            plan,
            next: 0,
            received: 0,
            completed: 0,
            copied: 0,
            checking: true,
            wrong: false,
        };
        // The one that receives comes last: whoever searches looks at all others before.
        let ring = RingLen::at_least(SMALL);
        let small = SocketOptions { rx_ring: ring, tx_ring: RingLen::at_least(4096), ..Default::default() };
        let mut left = plan.beside;
        while left > 0 {
            let some = left.min(CONNECTING_MAX);
            receiver.connect(some, small, (1, if plan.around { SMALL } else { 2048 }))?;
            left -= some;
        }
        let one = SocketOptions { rx_ring: RingLen::at_least(RING), ..SocketOptions::default() };
        receiver.connect(1, one, (BUFFERS, BUFFER_LEN))?;
        receiver.next = if plan.around { 0 } else { plan.beside as usize };
        Ok(receiver)
    }

    /// Establishes some connections, one after the other as the far end counts them, and posts their receives.
    fn connect(
        &mut self,
        count: u32,
        options: SocketOptions,
        (buffers, len): (usize, usize),
    ) -> Result<(), Box<dyn std::error::Error>> {
        let first = self.sockets.len();
        for _ in 0..count {
            let socket = self.queue.socket(options)?;
            self.queue.connect(socket, (ADDRESS, 9).into(), 0)?;
            self.sockets.push((socket, 0));
            // The SYN leaves before the next one: both ends count alike.
            self.queue.poll(&mut self.completions);
            self.between(None);
        }
        for _ in 0..TURNS_MAX {
            if self.completions.len() == count as usize {
                break;
            }
            self.queue.poll(&mut self.completions);
            self.between(None);
        }
        if self.completions.len() < count as usize {
            return Err("the far end does not answer".into());
        }
        for done in self.completions.drain(..) {
            done.result?;
        }
        if self.plan.delivery == Delivery::Lent {
            for flow in (first..self.sockets.len()).flat_map(|flow| std::iter::repeat_n(flow, buffers)) {
                self.queue.recv_lent(self.sockets[flow].0, len, RecvOptions::default(), flow as u64)?;
            }
            return Ok(());
        }
        let mut memory = self.queue.buffers(count as usize * buffers, len)?.into_iter();
        for flow in first..self.sockets.len() {
            for buffer in memory.by_ref().take(buffers) {
                self.queue.recv(self.sockets[flow].0, buffer, RecvOptions::default(), flow as u64)?;
            }
        }
        Ok(())
    }

    /// What the card and the far end do between two turns; returns the segments that arrive.
    fn between(&mut self, flow: Option<usize>) -> u32 {
        self.clock.fetch_add(TURN_US, Ordering::Relaxed);
        // Acknowledgments first: they open the window.
        self.card.run();
        let sent = |_| flow.map_or(0, |flow| self.origin.send(flow, self.plan.burst, true));
        let arrived = (0..self.plan.bursts).map(sent).sum();
        self.card.run();
        arrived
    }

    /// Receives at least so many bytes; with an allocator that counts they are measured. Returns the allocations.
    pub(crate) fn receive(&mut self, bytes: u64, measure: Option<&Counting>) -> Result<u64, String> {
        let goal = self.received + bytes;
        let mut allocations = 0;
        self.checking = measure.is_none();
        for _ in 0..TURNS_MAX {
            if self.received >= goal {
                return if self.wrong {
                    Err("other bytes were received than were sent".into())
                } else {
                    Ok(allocations)
                };
            }
            self.between(Some(self.next));
            if self.plan.around {
                self.next = (self.next + 1) % self.sockets.len();
            }
            match measure {
                None => turn(self),
                Some(allocator) => {
                    let before = allocator.allocations_of_thread();
                    measured(self);
                    allocations += allocator.allocations_of_thread() - before;
                }
            }
        }
        Err(format!(
            "{bytes} bytes have not been received in {TURNS_MAX} turns; {:?} crossed the wire: {:#?}",
            self.origin.totals(),
            self.queue.counters().stack
        ))
    }

    /// Microseconds of a turn that finds a burst, on this machine: the least of some means, for others want its CPU too.
    pub(crate) fn turn_us(&mut self) -> f64 {
        const MEANS: u32 = 20;
        const TURNS: u32 = 1_000;
        self.checking = false;
        let mean = |receiver: &mut Receiver| {
            let mut micros = 0;
            for _ in 0..TURNS {
                receiver.between((receiver.plan.burst > 0).then_some(receiver.next));
                let begins = clock::now();
                turn(receiver);
                micros += clock::now().since(begins).as_micros() as u64;
            }
            micros as f64 / f64::from(TURNS)
        };
        let least = (0..MEANS).map(|_| mean(self)).fold(f64::INFINITY, f64::min);
        // A turn of a real queue reads the clock as well, once.
        least - clock_us() / 2.0
    }

    /// Completions that say that their bytes were copied.
    pub(crate) fn copied(&self) -> u64 {
        self.copied
    }

    /// What crossed the wire, what the queue counted, completions so far.
    pub(crate) fn totals(&mut self) -> (Totals, QueueCounters, u64) {
        (self.origin.totals(), self.queue.counters().queue, self.completed)
    }
}

/// Microseconds of two looks at the clock: the least of some means.
fn clock_us() -> f64 {
    const LOOKS: u32 = 1_000;
    let mean = || {
        let begins = clock::now();
        (0..LOOKS).for_each(|_| {
            std::hint::black_box((clock::now(), clock::now()));
        });
        clock::now().since(begins).as_micros() as f64 / f64::from(LOOKS)
    };
    (0..20).map(|_| mean()).fold(f64::INFINITY, f64::min)
}

/// Callgrind counts what happens in here, by this name.
#[inline(never)]
fn measured(receiver: &mut Receiver) {
    turn(receiver);
}

/// One turn, and what a program does with its completions.
pub(crate) fn turn(receiver: &mut Receiver) {
    receiver.queue.poll(&mut receiver.completions);
    for done in receiver.completions.drain(..) {
        let Some((socket, offset)) = receiver.sockets.get_mut(done.user_data as usize) else { continue };
        if done.kind != Kind::Recv {
            continue;
        }
        if receiver.checking {
            receiver.wrong |= !is_right(&done, *offset);
        }
        *offset += done.bytes;
        receiver.received += done.bytes;
        receiver.completed += 1;
        receiver.copied += u64::from(done.flags.is_copied());
        let (options, flow) = (RecvOptions::default(), done.user_data);
        // Refused only when the connection is gone; then nothing moves, and that is noticed.
        let _ = match (done.buffer, done.lent) {
            (Some(buffer), _) => receiver.queue.recv(*socket, buffer, options, flow).is_ok(),
            // The card has its pages back before there is more to read.
            (None, lent) => {
                drop(lent);
                receiver.queue.recv_lent(*socket, BUFFER_LEN, options, flow).is_ok()
            }
        };
    }
}

/// Whether a completion has the bytes that were sent.
fn is_right(done: &Completion, offset: u64) -> bool {
    if let Some(buffer) = &done.buffer {
        return is_stream(&buffer[..done.bytes as usize], offset);
    }
    let mut at = offset;
    let parts = done.lent.iter().flat_map(|lent| lent.parts());
    let right = parts.fold(true, |right, part| {
        let from = at;
        at += part.len() as u64;
        right && is_stream(part, from)
    });
    right && at == offset + done.bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_posted_and_lent_on_one_connection_and_on_many() {
        for delivery in [Delivery::Posted, Delivery::Lent] {
            for (beside, around) in [(0, false), (20, false), (20, true)] {
                let plan = Plan { burst: 20, bursts: 1, beside, around, verdict: true, delivery };
                let mut receiver = Receiver::new(plan).expect("a card in software");
                let (_, before, _) = receiver.totals();
                assert_eq!(receiver.receive(1 << 20, None).map(drop), Ok(()), "{plan:?}");
                let (sent, queue, _) = receiver.totals();
                assert_eq!(sent.bytes, receiver.received, "{plan:?}");
                let found = (queue.rx_frames - before.rx_frames, queue.rx_turns - before.rx_turns);
                assert_eq!(found, (sent.segments, sent.segments / 20), "{plan:?}");
                assert_eq!(receiver.copied() > 0, delivery == Delivery::Posted, "{plan:?}");
            }
        }
    }
}
