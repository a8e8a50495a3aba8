//! The loop that is measured: turns of some work, first to warm up, then between the marks.
//!
//! Receives a [`Plan`] and the [`Work`] of a turn; hands on a report. Which way frames go it does not know.

use crate::Arguments;
use crate::report::{Failure, Report};
use naio_sys::clock;
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, TURN_BEGINS, TURN_WAS_EMPTY, mark};

/// How much to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) size: u16,
    pub(crate) frames: u64,
    pub(crate) warm_up: u64,
    pub(crate) burst: usize,
}

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Plan {
        let Arguments { size, frames, warm_up, .. } = *arguments;
        Plan { size, frames, warm_up, burst: arguments.burst.into() }
    }
}

/// What is done in a turn.
pub(crate) trait Work {
    /// Moves a burst of frames, if there is one and still `left` to move; returns how many.
    fn turn(&mut self, left: u64, report: &mut Report) -> u64;

    /// A turn has moved nothing.
    fn idle(&mut self, _report: &mut Report) -> Result<(), Failure> {
        Ok(())
    }
}

/// Warms up, then does what counts.
pub(crate) fn run(work: &mut impl Work, mode: &'static str, plan: &Plan) -> Result<Report, Failure> {
    turns(work, plan.warm_up, &mut Report::new(mode, plan.size))?;
    let mut report = Report::new(mode, plan.size);
    let begin = clock::now();
    mark::<RUN_BEGINS>();
    turns(work, plan.frames, &mut report)?;
    mark::<RUN_ENDS>();
    report.took(clock::now().since(begin));
    Ok(report)
}

/// Until so many frames have moved. The last burst may be more than was left.
fn turns(work: &mut impl Work, wanted: u64, report: &mut Report) -> Result<(), Failure> {
    while report.frames < wanted {
        mark::<TURN_BEGINS>();
        let moved = work.turn(wanted - report.frames, report);
        report.poll(moved);
        if moved == 0 {
            work.idle(report)?;
            mark::<TURN_WAS_EMPTY>();
        }
    }
    Ok(())
}
