//! The limits of sending: receives what crossed the wire and what callgrind counted, hands on figures with limits.

use super::gate::Gate;
use super::{MEASURED, MIB, WARM_UP};
use crate::callgrind::Counted;
use crate::send::{Cut, Sender};
use crate::yardstick;
use naio_sys::allocations::Counting;
use std::io;

/// Instructions of the driver for a sent frame where each segment is a frame of its own, as what testpmd sends is. With
/// those of the program that makes the frames, some fifty, that is no more than the 258 of testpmd in the rig's guest.
const DRIVER_MAX: f64 = 200.0;

/// What crossed the wire in the measured part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crossed {
    bytes: u64,
    frames: u64,
    acknowledgments: u64,
    allocations: u64,
}

/// Warms up, copies by the yardstick, then sends what counts.
pub(super) fn play(cut: Cut, sockets: u32, ack_every: u32, allocator: &Counting) -> io::Result<Crossed> {
    let mut sender =
        Sender::new(sockets, cut, ack_every).map_err(|error| io::Error::other(error.to_string()))?;
    sender.send(WARM_UP, None).map_err(io::Error::other)?;
    yardstick::play();
    let before = sender.totals();
    let allocations = sender.send(MEASURED, Some(allocator)).map_err(io::Error::other)?;
    let after = sender.totals();
    if sender.copied() > 0 {
        return Err(io::Error::other(
            "sends were copied: the card in software completes checksums, so they need not be",
        ));
    }
    let (bytes, frames, acknowledgments) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    Ok(Crossed { bytes, frames, acknowledgments, allocations })
}

/// What callgrind and the wire say together.
pub(super) fn gates(name: &str, cut: Cut, crossed: Crossed, counted: &Counted) -> Vec<Gate> {
    let mib = crossed.bytes as f64 / MIB;
    let of = |what: &str| format!("{name}: {what}");
    let limit = match cut {
        Cut::Card => Some(120e3),
        Cut::Driver => Some(1.1e6),
        Cut::Nobody => None,
    };
    let copies = |room: &str| counted.copies_by(room) as f64;
    // smoltcp copies each byte once, from a ring of zeros: so many instructions are one copy.
    let ours = ["queue", "stack", "driver", "memory", "system", "other"].map(copies).iter().sum::<f64>();
    let per_byte = ours / copies("smoltcp").max(1.0);
    let driver = ["::post_tx", "::reap_tx", "::ring", "::tx_room"];
    let card: f64 = counted.with_callees("Doorbell>::ring") as f64;
    let driver: f64 = driver.iter().map(|verb| counted.driver_verb(verb) as f64).sum::<f64>() - card;
    let segments = crossed.frames as f64;
    let mut gates = vec![
        Gate::new(of("instructions per MiB"), counted.path() as f64 / mib, limit),
        Gate::new(of("user bytes copied per byte"), (per_byte * 100.0).round() / 100.0, Some(0.0)),
        Gate::new(of("allocations per segment"), crossed.allocations as f64 / segments, Some(0.0)),
    ];
    let limit = (cut == Cut::Nobody).then_some(DRIVER_MAX);
    gates.push(Gate::new(of("driver instructions per frame"), driver / segments, limit));
    for (room, cost) in &counted.rooms {
        gates.push(Gate::shown(of(&format!("{room} per MiB")), *cost as f64 / mib));
    }
    gates.push(Gate::shown(of("smoltcp's copies of zeros per MiB"), copies("smoltcp") / mib));
    gates.push(Gate::shown(of("segments per MiB"), segments / mib));
    gates.push(Gate::shown(of("acknowledgments per MiB"), crossed.acknowledgments as f64 / mib));
    gates
}
