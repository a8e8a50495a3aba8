//! Two cards joined by a cable: what one sends the other receives, without delay or loss. The cable
//! holds a bounded number of frames; a sender waits when it is full, as on a paced link.

use super::{Frame, Waker, Wire};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Frames on the cable in each direction before the sender must wait.
const CABLE_FRAMES_MAX: usize = 256;

#[derive(Default)]
struct Shared {
    /// By receiving end.
    under_way: [VecDeque<Frame>; 2],
    /// Empty buffers, so that the steady state allocates nothing.
    spare: Vec<Vec<u8>>,
    wakers: [Option<Waker>; 2],
    present: [bool; 2],
    unplugged: bool,
    /// A sender found the cable full and wants to be woken.
    starved: [bool; 2],
}

/// One end of the cable.
pub struct Pair {
    shared: Arc<Mutex<Shared>>,
    end: usize,
}

/// Somebody's hand on the cable.
#[derive(Clone)]
pub struct Cable {
    shared: Arc<Mutex<Shared>>,
}

impl Cable {
    /// Plugs the cable in, or pulls it; frames under way are lost when it is pulled.
    pub fn plug(&self, plugged: bool) {
        let mut shared = lock(&self.shared);
        shared.unplugged = !plugged;
        if !plugged {
            shared.under_way.iter_mut().for_each(VecDeque::clear);
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends of a new cable, and a hand on it.
#[must_use]
pub fn pair() -> (Pair, Pair, Cable) {
    let shared = Arc::new(Mutex::new(Shared { present: [true; 2], ..Shared::default() }));
    (Pair { shared: shared.clone(), end: 0 }, Pair { shared: shared.clone(), end: 1 }, Cable { shared })
}

impl Wire for Pair {
    fn ready(&mut self, _: u64) -> bool {
        let mut shared = lock(&self.shared);
        let ready = shared.under_way[1 - self.end].len() < CABLE_FRAMES_MAX || shared.unplugged;
        shared.starved[self.end] = !ready;
        ready
    }

    fn send(&mut self, frame: &mut Frame, _: u64) {
        let mut shared = lock(&self.shared);
        let to = 1 - self.end;
        if shared.unplugged || !shared.present[to] {
            frame.bytes.clear();
            return;
        }
        let spare = shared.spare.pop().unwrap_or_default();
        let full = std::mem::replace(&mut frame.bytes, spare);
        shared.under_way[to].push_back(Frame { bytes: full, fcs: frame.fcs, error: frame.error });
        let first = shared.under_way[to].len() == 1;
        let waker = if first { shared.wakers[to].clone() } else { None };
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn receive(&mut self, frame: &mut Frame, _: u64) -> bool {
        let mut shared = lock(&self.shared);
        let Some(next) = shared.under_way[self.end].pop_front() else { return false };
        let mut old = std::mem::replace(frame, next);
        old.bytes.clear();
        if shared.spare.len() < 2 * CABLE_FRAMES_MAX {
            shared.spare.push(old.bytes);
        }
        let sender = 1 - self.end;
        let room = shared.under_way[self.end].len() <= CABLE_FRAMES_MAX / 2;
        let waker = if room && std::mem::take(&mut shared.starved[sender]) {
            shared.wakers[sender].clone()
        } else {
            None
        };
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn carrier(&mut self, _: u64) -> bool {
        let shared = lock(&self.shared);
        !shared.unplugged && shared.present[1 - self.end]
    }

    fn set_waker(&mut self, waker: Waker) {
        lock(&self.shared).wakers[self.end] = Some(waker);
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.present[self.end] = false;
        shared.under_way[self.end].clear();
        shared.wakers[self.end] = None;
    }
}
