//! Receiving: counts what arrives and gives the pages back; asks for more when there is none.
//!
//! Receives a card, perhaps a [`Feed`], and a [`Plan`]; hands on a report. It does not look into frames.

use crate::Arguments;
use crate::feed::Feed;
use crate::report::{Failure, Report};
use naio_dma::Page;
use naio_nic::{Nic, RxFrame};
use naio_sys::clock;
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, TURN_BEGINS, TURN_WAS_EMPTY, mark};
use std::time::Duration;

/// Polls in vain between two looks at the clock.
const LOOK_EVERY: u64 = 1024;

/// What to receive.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) size: u16,
    pub(crate) frames: u64,
    pub(crate) warm_up: u64,
    pub(crate) burst: usize,
    pub(crate) patience: Duration,
}

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Plan {
        Plan {
            size: arguments.size,
            frames: arguments.frames,
            warm_up: arguments.warm_up,
            burst: arguments.burst.into(),
            patience: Duration::from_secs(arguments.patience),
        }
    }
}

/// The card's pages on their way through, and who is asked for more.
struct Receiver<'a> {
    nic: &'a mut dyn Nic,
    feed: Option<&'a mut Feed>,
    plan: &'a Plan,
    frames: Vec<RxFrame>,
    spare: Vec<Page>,
    /// Since when nothing has come, if that is so, and polls since then.
    idle: (Option<clock::Time>, u64),
}

/// Warms up, then receives what counts.
pub(crate) fn run(nic: &mut dyn Nic, feed: Option<&mut Feed>, plan: &Plan) -> Result<Report, Failure> {
    let room = plan.burst;
    let (frames, spare) = (Vec::with_capacity(room), Vec::with_capacity(room));
    let mut receiver = Receiver { nic, feed, plan, frames, spare, idle: (None, 0) };
    receiver.receive(plan.warm_up, &mut Report::new("rxonly", plan.size))?;
    let mut report = Report::new("rxonly", plan.size);
    let begin = clock::now();
    mark::<RUN_BEGINS>();
    receiver.receive(plan.frames, &mut report)?;
    mark::<RUN_ENDS>();
    report.took(clock::now().since(begin));
    Ok(report)
}

impl Receiver<'_> {
    /// Polls until so many frames have come. The last burst is whole, so there may be some more.
    fn receive(&mut self, wanted: u64, report: &mut Report) -> Result<(), Failure> {
        while report.frames < wanted {
            mark::<TURN_BEGINS>();
            let found = self.nic.reap_rx(&mut self.frames, self.plan.burst) as u64;
            for frame in self.frames.drain(..) {
                report.bytes += u64::from(frame.len);
                self.spare.push(frame.page);
            }
            self.nic.post_rx(&mut self.spare);
            self.nic.ring();
            report.poll(found);
            if found == 0 {
                report.waited += self.wait()?;
                mark::<TURN_WAS_EMPTY>();
            } else {
                self.idle = (None, 0);
            }
        }
        Ok(())
    }

    /// Asks for more, if there is somebody to ask; returns how long that took.
    fn wait(&mut self) -> Result<Duration, Failure> {
        let now = if self.feed.is_some() || self.idle.1.is_multiple_of(LOOK_EVERY) {
            clock::now()
        } else {
            self.idle.0.unwrap_or_else(clock::now)
        };
        self.idle.1 += 1;
        let since = *self.idle.0.get_or_insert(now);
        if now.since(since) > self.plan.patience {
            return Err(Failure::Silence(self.plan.patience));
        }
        match &mut self.feed {
            Some(feed) => feed.ask().map(|()| clock::now().since(now)),
            None => Ok(Duration::ZERO),
        }
    }
}
