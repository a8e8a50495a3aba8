//! Exercises of what comes by itself: timeouts, periods, the state of the link, the program's own events.

use crate::drill::{Drill, Verdict, expect, expect_eq};
use aio_api::{Kind, Link, OpError, SubmitReason, When};
use std::time::Duration;

/// Ticks that are waited for.
const TICKS: u64 = 5;
const PERIOD: Duration = Duration::from_millis(20);

/// Timeouts come in the order of their times, relative or absolute; one that is cancelled does not come.
pub(crate) fn timeouts(drill: &mut Drill) -> Verdict {
    let start = drill.queue.now();
    let last = drill.queue.timeout(Duration::from_millis(120), 3)?;
    let first = drill.queue.timeout(When::At(start.after(Duration::from_millis(40))), 1)?;
    let never = drill.queue.timeout(Duration::from_millis(80), 9)?;
    let second = drill.queue.timeout(When::After(Duration::from_millis(90)), 2)?;
    drill.queue.post(7, 0xfeed)?;
    expect("it was not there", drill.queue.cancel(never))?;
    let done = drill.in_order(5)?;
    let posted = done.iter().find(|done| done.user_data == 7).map(|done| done.kind);
    expect_eq("the program's own event", posted, Some(Kind::Posted { value: 0xfeed }))?;
    let cancelled = done.iter().find(|done| done.key == never).map(|done| done.result);
    expect_eq("the cancelled one", cancelled, Some(Err(OpError::Canceled)))?;
    let came: Vec<_> =
        done.iter().filter(|done| done.result.is_ok() && done.user_data < 7).map(|done| done.key).collect();
    expect_eq("their order", came, vec![first, second, last])?;
    expect("the last came early", drill.queue.now().since(start) >= Duration::from_millis(120))
}

/// A periodic timeout ticks until it is cancelled, and loses no period.
pub(crate) fn periods(drill: &mut Drill) -> Verdict {
    let start = drill.queue.now();
    let key = drill.queue.timeout(When::Every(PERIOD), 0)?;
    let mut passed = 0;
    while passed < TICKS {
        let tick = drill.good(key)?;
        expect("it promises no other tick", tick.flags.has_more())?;
        let Kind::Timeout { expirations } = tick.kind else { return Err("no timeout".into()) };
        passed += expirations;
    }
    let most = drill.queue.now().since(start).as_micros() / PERIOD.as_micros();
    expect(&format!("{passed} periods in the time of {most}"), u128::from(passed) <= most)?;
    expect("it was not there", drill.queue.cancel(key))?;
    let end = loop {
        let done = drill.next(key)?;
        if !done.flags.has_more() {
            break done;
        }
    };
    expect_eq("its end", end.result, Err(OpError::Canceled))?;
    let refused =
        drill.queue.timeout(When::Every(Duration::from_micros(1)), 0).err().map(|error| error.reason);
    expect("a period too short", matches!(refused, Some(SubmitReason::Period { .. })))
}

/// A watch says at once what the link is; it is up, or we were not here.
pub(crate) fn link(drill: &mut Drill) -> Verdict {
    let key = drill.queue.watch_link(0)?;
    let done = drill.good(key)?;
    expect(&format!("{:?}", done.kind), matches!(done.kind, Kind::Link { link: Link::Up { .. } }))?;
    expect("it promises no other change", done.flags.has_more())?;
    expect("it was not there", drill.queue.cancel(key))?;
    expect_eq("its end", drill.next(key)?.result, Err(OpError::Canceled))
}
