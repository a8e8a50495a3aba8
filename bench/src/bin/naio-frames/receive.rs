//! Receiving: counts what arrives and gives the pages back; asks for more when there is none.
//!
//! Receives a card, perhaps a [`Feed`], and a [`Plan`]; hands on a report. It does not look into frames.

use crate::feed::Feed;
use crate::measure::{self, Plan, Work};
use crate::report::{Failure, Report};
use naio_dma::Page;
use naio_nic::{Nic, RxFrame};
use naio_sys::clock;
use std::time::Duration;

/// Polls in vain between two looks at the clock.
const LOOK_EVERY: u64 = 1024;

/// The card's pages on their way through, and who is asked for more.
struct Receiver<'a> {
    nic: &'a mut dyn Nic,
    feed: Option<&'a mut Feed>,
    burst: usize,
    patience: Duration,
    frames: Vec<RxFrame>,
    spare: Vec<Page>,
    /// Since when nothing has come, if that is so, and polls since then.
    idle: (Option<clock::Time>, u64),
}

/// Receives as planned; fails when nothing has come for longer than `patience`.
pub(crate) fn run(
    nic: &mut dyn Nic,
    feed: Option<&mut Feed>,
    plan: &Plan,
    patience: Duration,
) -> Result<Report, Failure> {
    let burst = plan.burst;
    let (frames, spare) = (Vec::with_capacity(burst), Vec::with_capacity(burst));
    let mut receiver = Receiver { nic, feed, burst, patience, frames, spare, idle: (None, 0) };
    measure::run(&mut receiver, "rxonly", plan)
}

impl Work for Receiver<'_> {
    /// A burst is taken whole.
    fn turn(&mut self, _left: u64, report: &mut Report) -> u64 {
        let found = self.nic.reap_rx(&mut self.frames, self.burst) as u64;
        for frame in self.frames.drain(..) {
            report.bytes += u64::from(frame.len);
            self.spare.push(frame.page);
        }
        self.nic.post_rx(&mut self.spare);
        self.nic.ring();
        if found > 0 {
            self.idle = (None, 0);
        }
        found
    }

    fn idle(&mut self, report: &mut Report) -> Result<(), Failure> {
        report.waited += self.wait()?;
        Ok(())
    }
}

impl Receiver<'_> {
    /// Asks for more, if there is somebody to ask; returns how long that took.
    fn wait(&mut self) -> Result<Duration, Failure> {
        let now = if self.feed.is_some() || self.idle.1.is_multiple_of(LOOK_EVERY) {
            clock::now()
        } else {
            self.idle.0.unwrap_or_else(clock::now)
        };
        self.idle.1 += 1;
        let since = *self.idle.0.get_or_insert(now);
        if now.since(since) > self.patience {
            return Err(Failure::Silence(self.patience));
        }
        match &mut self.feed {
            Some(feed) => feed.ask().map(|()| clock::now().since(now)),
            None => Ok(Duration::ZERO),
        }
    }
}
