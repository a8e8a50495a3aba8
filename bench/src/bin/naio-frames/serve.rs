//! The other side of a receiver that is measured: sends a batch whenever it is asked for one.
//!
//! Receives requests from a [`Feed`]; hands on frames through a card. It sends nothing unasked.

use crate::Shape;
use crate::card::Card;
use crate::feed::Feed;
use crate::measure::Plan;
use crate::report::{Failure, Report};
use crate::transmit::Sender;

/// Serves until the receiver has gone.
pub(crate) fn run(
    card: &mut Card,
    feed: &mut Feed,
    plan: &Plan,
    shape: Shape,
    batch: u64,
) -> Result<Report, Failure> {
    let mut sender = Sender::new(card, plan, shape);
    let mut report = Report::new("serve", plan.size);
    while feed.wait()? {
        let mut left = batch;
        while left > 0 {
            let sent = sender.send(left);
            report.poll(sent);
            left -= sent;
        }
        // The card has fetched them: whatever is not received now waits on the wire.
        while !sender.is_done() {}
        match feed.say() {
            // It had what it wanted.
            Err(Failure::Feed(_, error)) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            said => said?,
        }
    }
    report.bytes = report.frames * u64::from(plan.size);
    Ok(report)
}
