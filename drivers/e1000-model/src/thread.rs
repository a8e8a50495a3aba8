//! The card as a thread of its own: real concurrency between its DMA and the program.
//!
//! Works in short turns under the core's lock, gives way to register accesses, and sleeps when there
//! is nothing to do until a doorbell, the wire or a timer wakes it.

use crate::model::Shared;
use crate::wire::Waker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

/// Descriptors and frames in one turn under the lock.
const TURN_BUDGET: usize = 64;
/// Turns without work before the thread sleeps.
const IDLE_TURNS: u32 = 16;
/// Longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(10);

/// The thread of one card, if it has one.
#[derive(Default)]
pub(crate) struct Worker {
    running: AtomicBool,
    stop: AtomicBool,
    asleep: AtomicBool,
    handle: Mutex<Option<JoinHandle<()>>>,
    thread: std::sync::OnceLock<Thread>,
}

impl Worker {
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// There is something to do.
    pub(crate) fn wake(&self) {
        // The store of whatever there is to do came before; the thread looks again after it said
        // that it sleeps, so one of the two sees the other.
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.asleep.store(false, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // A panic of the card's thread was reported by the panic hook already.
            let _ = handle.join();
        }
        self.running.store(false, Ordering::SeqCst);
    }
}

/// Starts the thread; it ends when the device is dropped.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    if shared.worker.running.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let weak: Weak<Shared> = Arc::downgrade(shared);
    shared.core().wire.set_waker(Waker(Arc::new(move || {
        if let Some(shared) = weak.upgrade() {
            shared.worker.wake();
        }
    })));
    let mine = shared.clone();
    let spawned = std::thread::Builder::new().name("8254x".into()).spawn(move || work(&mine));
    match spawned {
        Ok(handle) => {
            let _ = shared.worker.thread.set(handle.thread().clone());
            *shared.worker.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
            Ok(())
        }
        Err(error) => {
            shared.worker.running.store(false, Ordering::SeqCst);
            Err(error)
        }
    }
}

fn work(shared: &Shared) {
    let mut idle = 0;
    while !shared.worker.stop.load(Ordering::Relaxed) {
        if shared.wanted.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        if turn(shared) {
            idle = 0;
            continue;
        }
        idle += 1;
        if idle < IDLE_TURNS {
            std::thread::yield_now();
            continue;
        }
        shared.worker.asleep.store(true, Ordering::SeqCst);
        if turn(shared) {
            shared.worker.asleep.store(false, Ordering::SeqCst);
            idle = 0;
            continue;
        }
        let span = sleep_span(shared);
        if !span.is_zero() && !shared.worker.stop.load(Ordering::SeqCst) {
            std::thread::park_timeout(span);
        }
        shared.worker.asleep.store(false, Ordering::SeqCst);
    }
}

fn turn(shared: &Shared) -> bool {
    let mut core = shared.core();
    core.tick(shared.now_ns());
    core.work(TURN_BUDGET)
}

fn sleep_span(shared: &Shared) -> Duration {
    let core = shared.core();
    let now = shared.now_ns();
    let timer = core.deadline_ns().map(|at| Duration::from_nanos(at.saturating_sub(now)));
    let wire = core.wire.sleep_max();
    [timer, wire].into_iter().flatten().chain([SLEEP_MAX]).min().unwrap_or(SLEEP_MAX)
}
