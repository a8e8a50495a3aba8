//! The sending path, whole: an event queue over the driver over the card in software, in virtual time.
//!
//! Receives what is to be sent and how; hands on what crossed the wire. Only [`measured`] is naio's: the card and the
//! far end work between two of its calls.

use crate::far::Far;
use crate::segment::ADDRESS;
use aio_api::{Builder, Completion, EventQueue, RingLen, SocketId, SocketOptions};
use naio_dma::{Domain, Page, Pool};
use naio_e1000::{Config, E1000};
use naio_e1000_model::{Card, Checks, Model, Options};
use naio_nic::{Caps, Counters, ExtentId, Health, Link, Mac, Nic, RxFrame, Segmentation, TxPacket};
use naio_sys::allocations::Counting;
use naio_sys::clock::Clock;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of a buffer, and buffers of each socket.
const BUFFER_LEN: usize = 256 << 10;
const BUFFERS: usize = 4;
/// Time between two turns.
const TURN_US: u64 = 50;
/// Turns after which nothing more is to be expected.
const TURNS_MAX: u32 = 100_000;

/// Who cuts what is longer than a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Card,
    Driver,
    /// smoltcp makes each segment.
    Nobody,
}

/// Everything that takes part.
pub(crate) struct Sender {
    queue: EventQueue,
    card: Card,
    far: Far,
    clock: Arc<AtomicU64>,
    completions: Vec<Completion>,
    sockets: Vec<SocketId>,
    copied: u64,
}

impl Sender {
    /// Connected sockets with their sends submitted, and windows that have grown.
    pub(crate) fn new(sockets: u32, cut: Cut, ack_every: u32) -> Result<Sender, Box<dyn std::error::Error>> {
        let domain = Domain::new();
        let clock = Arc::new(AtomicU64::new(1));
        let far = Far::new(ack_every);
        let options = Options {
            autoneg: Duration::from_millis(1),
            checks: Checks::Light,
            clock: Clock::Manual(clock.clone()),
            ..Options::default()
        };
        let model = Model::new(options, &domain, far.clone())?;
        let card = model.card();
        let config = Config { card_cuts: cut == Cut::Card, ..Config::default() };
        let nic: Box<dyn Nic + Send> = Box::new(E1000::open(model, &config)?);
        let nic = if cut == Cut::Nobody { Box::new(Uncut::new(nic)) } else { nic };
        let builder =
            Builder::new("10.0.0.1/24".parse()?).clock(Clock::Manual(clock.clone())).secret([9; 16]);
        let queue = builder.build(nic, domain)?;
        let mut sender =
            Sender { queue, card, far, clock, completions: Vec::new(), sockets: Vec::new(), copied: 0 };
        for _ in 0..sockets {
            sender.connect()?;
        }
        Ok(sender)
    }

    fn connect(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let options = SocketOptions { tx_ring: RingLen::at_least(1 << 20), ..SocketOptions::default() };
        let socket = self.queue.socket(options)?;
        self.queue.connect(socket, (ADDRESS, 9).into(), 0)?;
        for _ in 0..TURNS_MAX {
            self.between();
            self.queue.poll(&mut self.completions);
            if !self.completions.is_empty() {
                break;
            }
        }
        match self.completions.pop() {
            Some(done) => done.result?,
            None => return Err("the far end does not answer".into()),
        }
        for buffer in self.queue.buffers(BUFFERS, BUFFER_LEN)? {
            let len = buffer.len();
            self.queue.send(socket, buffer, 0..len, socket.index() as u64)?;
        }
        self.sockets.push(socket);
        Ok(())
    }

    /// What the card and the far end do between two turns.
    fn between(&mut self) {
        self.clock.fetch_add(TURN_US, Ordering::Relaxed);
        self.card.run();
    }

    /// Sends at least so many bytes; with an allocator that counts they are measured. Returns the allocations.
    pub(crate) fn send(&mut self, bytes: u64, measure: Option<&Counting>) -> Result<u64, String> {
        let goal = self.far.totals().0 + bytes;
        let mut allocations = 0;
        for _ in 0..TURNS_MAX {
            if self.far.totals().0 >= goal {
                return Ok(allocations);
            }
            self.between();
            match measure {
                None => turn(self),
                Some(allocator) => {
                    let before = allocator.allocations();
                    measured(self);
                    allocations += allocator.allocations() - before;
                }
            }
        }
        Err(format!(
            "{bytes} bytes have not been sent in {TURNS_MAX} turns; {:?} crossed the wire: {:#?}",
            self.far.totals(),
            self.queue.counters().stack
        ))
    }

    /// Payload, frames and acknowledgments that crossed the wire so far.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        self.far.totals()
    }

    /// Sends that completed with a copy: there should be none.
    pub(crate) fn copied(&self) -> u64 {
        self.copied
    }
}

/// Callgrind counts what happens in here, by this name.
#[inline(never)]
fn measured(sender: &mut Sender) {
    turn(sender);
}

/// One turn, and what a program does with its completions.
fn turn(sender: &mut Sender) {
    sender.queue.poll(&mut sender.completions);
    for done in sender.completions.drain(..) {
        sender.copied += u64::from(done.flags.is_copied());
        let socket = sender.sockets.iter().find(|socket| socket.index() as u64 == done.user_data);
        if let (Some(buffer), Some(&socket)) = (done.buffer, socket) {
            let len = buffer.len();
            // Refused only when the connection is gone; then nothing moves, and that is noticed.
            let _ = sender.queue.send(socket, buffer, 0..len, done.user_data);
        }
    }
}

/// A card that cuts nothing, and neither does its driver.
struct Uncut {
    nic: Box<dyn Nic + Send>,
    caps: Caps,
}

impl Uncut {
    fn new(nic: Box<dyn Nic + Send>) -> Uncut {
        let none = Segmentation::None;
        let caps = Caps { tx_segmentation_ipv4: none, tx_segmentation_ipv6: none, ..nic.caps().clone() };
        Uncut { nic, caps }
    }
}

impl Nic for Uncut {
    fn caps(&self) -> &Caps {
        &self.caps
    }
    fn rx_pool(&self) -> &Pool {
        self.nic.rx_pool()
    }
    fn link(&mut self) -> Link {
        self.nic.link()
    }
    fn health(&mut self) -> Health {
        self.nic.health()
    }
    fn rx_pages(&self) -> usize {
        self.nic.rx_pages()
    }
    fn set_multicast(&mut self, groups: &[Mac]) {
        self.nic.set_multicast(groups);
    }
    fn reap_rx(&mut self, frames: &mut Vec<RxFrame>, budget: usize) -> usize {
        self.nic.reap_rx(frames, budget)
    }
    fn post_rx(&mut self, pages: &mut Vec<Page>) {
        self.nic.post_rx(pages);
    }
    fn tx_room(&self) -> usize {
        self.nic.tx_room()
    }
    fn post_tx(&mut self, packets: &mut Vec<TxPacket>) -> usize {
        self.nic.post_tx(packets)
    }
    fn reap_tx(&mut self, released: &mut Vec<ExtentId>) {
        self.nic.reap_tx(released);
    }
    fn ring(&mut self) {
        self.nic.ring();
    }
    fn counters(&mut self) -> Counters {
        self.nic.counters()
    }
    fn irq_fd(&self) -> Option<BorrowedFd<'_>> {
        self.nic.irq_fd()
    }
    fn arm_irq(&mut self, armed: bool) -> bool {
        self.nic.arm_irq(armed)
    }
}
