//! The limits of receiving: receives what crossed the wire and what callgrind counted, hands on figures with limits.

use super::gate::Gate;
use super::{MEASURED, MIB, WARM_UP};
use crate::callgrind::Counted;
use crate::recv::{Delivery, Plan, Receiver};
use crate::yardstick::{self, Yardstick};
use naio_sys::allocations::Counting;
use std::io;

/// Instructions of the driver for a received frame, in bursts. With one frame a turn what its verbs cost in a turn comes on
/// top, about as much again, and is shown.
const DRIVER_MAX: f64 = 110.0;
/// A segment beside ten thousand connections, against one alone.
const BESIDE_MAX: f64 = 1.05;

/// What crossed the wire in the measured part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossed {
    bytes: u64,
    pub(super) segments: u64,
    acknowledgments: u64,
    completions: u64,
    frames: u64,
    turns: u64,
    allocations: u64,
}

/// Warms up, copies by the yardstick, then receives what counts.
pub(super) fn play(plan: Plan, allocator: &Counting) -> io::Result<Crossed> {
    let mut receiver = Receiver::new(plan).map_err(|error| io::Error::other(error.to_string()))?;
    receiver.receive(WARM_UP, None).map_err(io::Error::other)?;
    if plan.delivery == Delivery::Lent && receiver.copied() > 0 {
        return Err(io::Error::other("receives were copied: the program holds no page, so they need not be"));
    }
    yardstick::play();
    let (sent, queue, completed) = receiver.totals();
    let allocations = receiver.receive(MEASURED, Some(allocator)).map_err(io::Error::other)?;
    let after = receiver.totals();
    Ok(Crossed {
        bytes: after.0.bytes - sent.bytes,
        segments: after.0.segments - sent.segments,
        acknowledgments: after.0.acknowledgments - sent.acknowledgments,
        completions: after.2 - completed,
        frames: after.1.rx_frames - queue.rx_frames,
        turns: after.1.rx_turns - queue.rx_turns,
        allocations,
    })
}

/// Instructions that a segment costs naio.
pub(super) fn per_segment(crossed: &Crossed, counted: &Counted) -> f64 {
    counted.path() as f64 / crossed.segments as f64
}

/// Instructions for a segment beside many connections and alone.
pub(super) fn ratio(name: &str, beside: f64, alone: f64) -> Gate {
    Gate::new(format!("{name}: against one connection alone"), beside / alone, Some(BESIDE_MAX))
}

/// What callgrind and the wire say together. Only parts on one connection alone have limits.
pub(super) fn gates(name: &str, plan: Plan, crossed: &Crossed, counted: &Counted) -> io::Result<Vec<Gate>> {
    let mib = crossed.bytes as f64 / MIB;
    let segments = crossed.segments as f64;
    let of = |what: &str| format!("{name}: {what}");
    let yardstick = Yardstick::of(counted)
        .ok_or_else(|| io::Error::other("no copies were counted: is there another memcpy?"))?;
    let copied = |rooms: &[&str]| yardstick.bytes(counted, rooms) / crossed.bytes as f64;
    let ours = copied(&["queue", "stack", "driver", "memory", "system", "other"]);
    // All of `ring`, though it tells the card about acknowledgments as well: their share is small.
    let verbs = ["::reap_rx", "::post_rx", "::ring"].map(|verb| counted.driver_verb(verb) as f64);
    let driver = verbs.iter().sum::<f64>() - counted.with_callees("Doorbell>::ring") as f64;
    let decides = plan.beside == 0 && plan.verdict && plan.bursts > 1;
    let limit = |limit: f64| decides.then_some(limit);
    let per_mib = limit(if plan.burst < 20 { 1.2e6 } else { 350e3 });
    let mut gates = vec![Gate::new(of("instructions per MiB"), counted.path() as f64 / mib, per_mib)];
    let copies = if plan.delivery == Delivery::Lent { 0.0 } else { 1.0 };
    let of_bytes = of("user bytes copied per byte");
    gates.push(if decides { Gate::about(of_bytes, ours, copies, 0.01) } else { Gate::shown(of_bytes, ours) });
    let allocations = crossed.allocations as f64 / segments;
    gates.push(Gate::new(of("allocations per segment"), allocations, limit(0.0)));
    let driver_max = limit(DRIVER_MAX);
    let driver = driver / crossed.frames as f64;
    gates.push(Gate::new(of("driver instructions per frame"), driver, driver_max));
    gates.push(Gate::shown(of("instructions per segment"), per_segment(crossed, counted)));
    for (room, cost) in &counted.rooms {
        gates.push(Gate::shown(of(&format!("{room} per MiB")), *cost as f64 / mib));
    }
    gates.push(Gate::shown(of("smoltcp's bytes copied per byte"), copied(&["smoltcp"])));
    gates.push(Gate::shown(of("segments per MiB"), segments / mib));
    gates.push(Gate::shown(of("acknowledgments per MiB"), crossed.acknowledgments as f64 / mib));
    gates.push(Gate::shown(of("completions per MiB"), crossed.completions as f64 / mib));
    gates.push(Gate::shown(
        of("frames per turn that found any"),
        crossed.frames as f64 / crossed.turns as f64,
    ));
    Ok(gates)
}
