//! A wire whose other end is a test: it puts frames on it, takes what the card sent, plugs and pulls
//! the cable. Bounded in what it keeps of the card's frames.

use super::{Frame, Waker, Wire};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most sent frames that wait for the test; more are dropped and counted.
const SENT_MAX: usize = 65_536;

#[derive(Default)]
struct Shared {
    arriving: VecDeque<Frame>,
    sent: VecDeque<Frame>,
    dropped: u64,
    unplugged: bool,
    blocked: bool,
    waker: Option<Waker>,
}

/// The card's end.
#[derive(Default)]
pub struct Scripted {
    shared: Arc<Mutex<Shared>>,
}

/// The test's end; clones are the same.
#[derive(Clone)]
pub struct Script {
    shared: Arc<Mutex<Shared>>,
}

impl Scripted {
    /// A wire and the script that plays its other end.
    #[must_use]
    pub fn new() -> (Scripted, Script) {
        let wire = Scripted::default();
        let script = Script { shared: wire.shared.clone() };
        (wire, script)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Script {
    /// Puts a frame (without FCS) on the wire to the card.
    pub fn put(&self, frame: Frame) {
        let mut shared = lock(&self.shared);
        shared.arriving.push_back(frame);
        if let Some(waker) = &shared.waker {
            waker.wake();
        }
    }

    /// Takes the oldest frame that the card sent.
    #[must_use]
    pub fn take(&self) -> Option<Frame> {
        lock(&self.shared).sent.pop_front()
    }

    /// Frames that were put and that the card has not taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        lock(&self.shared).arriving.len()
    }

    /// Plugs the cable in, or pulls it.
    pub fn plug(&self, plugged: bool) {
        lock(&self.shared).unplugged = !plugged;
    }

    /// The wire takes nothing from the card while blocked.
    pub fn block(&self, blocked: bool) {
        lock(&self.shared).blocked = blocked;
    }
}

impl Wire for Scripted {
    fn ready(&mut self, _: u64) -> bool {
        !lock(&self.shared).blocked
    }

    fn send(&mut self, frame: &mut Frame, _: u64) {
        let mut shared = lock(&self.shared);
        if shared.sent.len() < SENT_MAX {
            shared.sent.push_back(std::mem::take(frame));
        } else {
            shared.dropped += 1;
        }
    }

    fn receive(&mut self, frame: &mut Frame, _: u64) -> bool {
        match lock(&self.shared).arriving.pop_front() {
            Some(next) => {
                *frame = next;
                true
            }
            None => false,
        }
    }

    fn carrier(&mut self, _: u64) -> bool {
        !lock(&self.shared).unplugged
    }

    fn set_waker(&mut self, waker: Waker) {
        lock(&self.shared).waker = Some(waker);
    }
}
