//! A scenario: nodes in one virtual time, played until all are done.
//!
//! Receives a list of nodes (an end point, a wire, another end point) and lets each act at the moments it asks for,
//! and whenever something else happened; time jumps from one such moment to the next. It hands on how long it took
//! in virtual time, or who was not done. Everything random belongs to the nodes and comes from the scenario's seed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Passes over the nodes at one moment in which nobody gets anywhere, though somebody says that it is due.
const IDLE_PASSES_MAX: u32 = 4;
/// Passes at one moment: a scenario that needs more does not get on, it runs in a circle.
const PASSES_MAX: u32 = 100_000;

/// Longest time before a node that is due and got nowhere is asked again, in microseconds.
const PATIENCE_US_MAX: u64 = 10_000;

/// Somebody in a scenario.
pub trait Node {
    /// Acts at the present time; true if anything happened that others may see.
    fn act(&mut self) -> bool;

    /// When it wants to act again even if nothing happens elsewhere, in microseconds.
    fn next_us(&mut self) -> Option<u64>;

    /// Whether the scenario may end as far as this node is concerned.
    fn is_done(&self) -> bool {
        true
    }
}

/// The nodes and their time.
pub struct Scenario<'a> {
    seed: u64,
    time: Arc<AtomicU64>,
    nodes: Vec<(&'static str, Box<dyn Node + 'a>)>,
    /// How long to wait for a node that is due and gets nowhere, in microseconds.
    patience_us: u64,
}

/// A scenario did not come to its end.
#[derive(Debug)]
pub struct Stuck {
    /// Repeats it.
    pub seed: u64,
    /// When it was given up.
    pub at: Duration,
    /// Who was not done.
    pub waiting: Vec<&'static str>,
    /// Nothing was to happen any more; otherwise the time was over.
    pub is_silent: bool,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = if self.is_silent { "nothing is to happen any more" } else { "the time is over" };
        write!(f, "seed {}: {:?} not done after {:?}: {why}", self.seed, self.waiting, self.at)
    }
}

impl<'a> Scenario<'a> {
    /// An empty scenario in the time that `time` counts, in microseconds.
    #[must_use]
    pub fn new(seed: u64, time: Arc<AtomicU64>) -> Scenario<'a> {
        Scenario { seed, time, nodes: Vec::new(), patience_us: 1 }
    }

    /// Adds a node; they act in the order in which they were added.
    #[must_use]
    pub fn node(mut self, name: &'static str, node: impl Node + 'a) -> Scenario<'a> {
        self.nodes.push((name, Box::new(node)));
        self
    }

    /// Lets `action` happen `after` the present moment.
    #[must_use]
    pub fn after(self, after: Duration, action: impl FnOnce() + 'a) -> Scenario<'a> {
        let at = self.now() + after.as_micros() as u64;
        let time = self.time.clone();
        self.node("something that happens", Once { time, at, action: Some(action) })
    }

    /// Plays until every node is done, at most `within` of virtual time; returns how much of it that took.
    ///
    /// # Errors
    /// [`Stuck`], which says who was not done.
    ///
    /// # Panics
    /// If the nodes keep each other busy at one moment for ever.
    pub fn play(&mut self, within: Duration) -> Result<Duration, Stuck> {
        let start = self.now();
        let end = start + within.as_micros() as u64;
        loop {
            self.settle();
            let at = Duration::from_micros(self.now() - start);
            let waiting: Vec<_> =
                self.nodes.iter().filter(|(_, node)| !node.is_done()).map(|&(name, _)| name).collect();
            if waiting.is_empty() {
                return Ok(at);
            }
            let next = self.nodes.iter_mut().filter_map(|(_, node)| node.next_us()).min();
            match next {
                Some(next) if next <= end => {
                    let moment = self.moment(next);
                    self.time.store(moment, Ordering::Relaxed);
                }
                _ => return Err(Stuck { seed: self.seed, at, waiting, is_silent: next.is_none() }),
            }
        }
    }

    /// Lets time pass without looking who is done.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now() + span.as_micros() as u64;
        loop {
            self.settle();
            let next = self.nodes.iter_mut().filter_map(|(_, node)| node.next_us()).min().unwrap_or(end);
            let next = self.moment(next);
            if next >= end {
                break;
            }
            self.time.store(next, Ordering::Relaxed);
        }
        self.time.fetch_max(end, Ordering::Relaxed);
        self.settle();
    }

    /// The moment after this one, if somebody wants to act at `next`: who was due already and got nowhere (its card
    /// takes no more, say) is asked again later and later, until something happens.
    fn moment(&mut self, next: u64) -> u64 {
        let now = self.now();
        if next > now {
            return next;
        }
        let later = self.nodes.iter_mut().filter_map(|(_, node)| node.next_us()).filter(|at| *at > now).min();
        self.patience_us = (self.patience_us * 2).min(PATIENCE_US_MAX);
        later.unwrap_or(u64::MAX).min(now + self.patience_us)
    }

    fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    /// Everybody acts until nothing happens any more at this moment.
    fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..PASSES_MAX {
            let moved = self.nodes.iter_mut().fold(false, |moved, (_, node)| node.act() | moved);
            let now = self.now();
            let is_due =
                self.nodes.iter_mut().any(|(_, node)| node.next_us().is_some_and(|next| next <= now));
            idle = if moved { 0 } else { idle + 1 };
            if moved {
                self.patience_us = 1;
            }
            if !moved && (!is_due || idle > IDLE_PASSES_MAX) {
                return;
            }
        }
        panic!("seed {}: at {} µs the nodes keep each other busy for ever", self.seed, self.now());
    }
}

/// Something that happens once.
struct Once<F> {
    time: Arc<AtomicU64>,
    at: u64,
    action: Option<F>,
}

impl<F: FnOnce()> Node for Once<F> {
    fn act(&mut self) -> bool {
        if self.time.load(Ordering::Relaxed) < self.at {
            return false;
        }
        self.action.take().map(|action| action()).is_some()
    }

    fn next_us(&mut self) -> Option<u64> {
        self.action.as_ref().map(|_| self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acts at given times.
    struct Clockwork {
        time: Arc<AtomicU64>,
        at: Vec<u64>,
        acted: Arc<std::sync::Mutex<Vec<u64>>>,
    }

    impl Node for Clockwork {
        fn act(&mut self) -> bool {
            let now = self.time.load(Ordering::Relaxed);
            let due = self.at.first().is_some_and(|at| *at <= now);
            if due {
                self.at.remove(0);
                self.acted.lock().expect("one thread").push(now);
            }
            due
        }

        fn next_us(&mut self) -> Option<u64> {
            self.at.first().copied()
        }

        fn is_done(&self) -> bool {
            self.at.is_empty()
        }
    }

    #[test]
    fn time_jumps_from_one_moment_to_the_next() {
        let time = Arc::new(AtomicU64::new(0));
        let acted = Arc::default();
        let node = |at: &[u64]| Clockwork { time: time.clone(), at: at.to_vec(), acted: Arc::clone(&acted) };
        let mut scenario =
            Scenario::new(1, time.clone()).node("a", node(&[5, 1_000_000])).node("b", node(&[7, 7]));
        let took = scenario.play(Duration::from_secs(2)).expect("it ends");
        assert_eq!(took, Duration::from_secs(1));
        assert_eq!(*acted.lock().expect("one thread"), [5, 7, 7, 1_000_000]);
    }

    #[test]
    fn who_is_not_done_in_time_is_named() {
        let time = Arc::new(AtomicU64::new(0));
        let late = Clockwork { time: time.clone(), at: vec![9_000_000], acted: Arc::default() };
        let stuck = Scenario::new(7, time).node("late", late).play(Duration::from_secs(1)).expect_err("late");
        assert_eq!((stuck.waiting.as_slice(), stuck.is_silent), (&["late"][..], false));
        assert!(stuck.to_string().contains("seed 7"));
    }
}
