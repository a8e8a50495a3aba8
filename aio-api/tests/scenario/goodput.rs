//! How fast bytes get through lines of every kind, and the figure of the stock engine that recovery must beat. Virtual
//! time, fixed seeds: the same program has the same table on every machine, so a change of it is a change of ours.
//!
//! `goodput.txt` is the table. A run that differs fails and shows the lines; `NAIO_BLESS=1` accepts them. With
//! `NAIO_GRID=n` each cell is played with n more seeds, for exactness and stalls only.

use crate::bulk::{Sink, Source};
use crate::endpoint::{End, world_in};
use aio_api::{RingLen, SocketOptions};
use naio_e1000_model::wire::impair::Harm;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What carries the bytes of one cell of the grid.
#[derive(Clone, Copy, Debug)]
struct Cell {
    bytes: u64,
    harm: Harm,
    /// The peer merges what it receives: how long it gathers.
    merges_us: u64,
    window: usize,
    mss: usize,
    /// For so long, a while after the beginning, the line loses everything.
    stall_ms: u64,
}

/// A line of a gigabit a second.
const PLAIN: Harm = Harm {
    loss: 0,
    duplicate: 0,
    reorder: 0,
    reorder_us: 500,
    corrupt: 0,
    corrupt_silently: false,
    delay_us: 100,
    jitter_us: 0,
    rate_kbit: 1_000_000,
    queue_frames: 0,
};
const BASE: Cell =
    Cell { bytes: 400_000, harm: PLAIN, merges_us: 0, window: 256 << 10, mss: 1_460, stall_ms: 0 };
/// When a line stalls that does: in the middle of the bytes.
const STALLS_AT: Duration = Duration::from_millis(60);
/// How long a merging peer gathers.
const GATHERS_US: u64 = 50;
/// The longest silence of any cell: a lost segment, lost again whatever asked for it, up to the second timeout.
const SILENCE_MAX_US: u64 = 3_000_000;

/// Every cell: each loss with each delay, and the rest one at a time around a line that loses one frame in 200.
fn grid() -> Vec<Cell> {
    let mut cells = Vec::new();
    for merges_us in [0, GATHERS_US] {
        let base = Cell { merges_us, ..BASE };
        for loss in [0, 10, 50, 100, 200, 500] {
            for delay_us in [0, 100, 5_000, 100_000] {
                cells.push(Cell { harm: Harm { loss, delay_us, ..PLAIN }, ..base });
            }
        }
        let lossy = Harm { loss: 50, delay_us: 5_000, ..PLAIN };
        let harms = [
            Harm { reorder: 200, ..lossy },
            Harm { duplicate: 200, ..lossy },
            Harm { corrupt: 100, ..lossy },
            Harm { jitter_us: 5_000, ..lossy },
            // Jitter that reorders: each frame is late by a time of its own.
            Harm { reorder: 10_000, reorder_us: 300, ..lossy },
            Harm { reorder: 10_000, reorder_us: 5_000, ..lossy },
            Harm { reorder: 10_000, reorder_us: 50_000, delay_us: 50_000, ..PLAIN },
            Harm { loss: 200, reorder: 200, duplicate: 200, corrupt: 100, jitter_us: 2_000, ..lossy },
        ];
        cells.extend(harms.map(|harm| Cell { harm, ..base }));
        let bytes = 2_000_000;
        let windows = [8 << 10, 64 << 10, 1 << 20, 4 << 20];
        cells.extend(windows.map(|window| Cell { bytes, harm: lossy, window, ..base }));
        cells.extend([536, 1_000, 8_960].map(|mss| Cell { harm: lossy, mss, ..base }));
        cells.extend([50, 500, 3_000].map(|stall_ms| Cell { bytes, harm: lossy, stall_ms, ..base }));
    }
    cells
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Harm { loss, delay_us, jitter_us, reorder, reorder_us, duplicate, corrupt, .. } = self.harm;
        let peer = if self.merges_us > 0 { "merging" } else { "plain  " };
        let share = |of: u32| f64::from(of) / 100.0;
        write!(
            f,
            "{peer} loss {:3.1} % reorder {:3} % by {:4.1} ms twice {} % broken {} % delay {:5.1} ms jitter {} ms window {:4} KiB mss {:4} stall {:4} ms",
            share(loss),
            share(reorder),
            reorder_us as f64 / 1e3,
            share(duplicate),
            share(corrupt),
            delay_us as f64 / 1e3,
            jitter_us / 1_000,
            self.window >> 10,
            self.mss,
            self.stall_ms
        )
    }
}

impl Outcome {
    fn line(&self, cell: Cell) -> String {
        format!(
            "{cell} | {:8.2} Mbit/s silence {:5} ms frames {:5} by SACK {:3} by silence {:3} in vain {:2}",
            cell.bytes as f64 * 8.0 / self.took_us as f64,
            self.silence_us / 1_000,
            self.frames,
            self.by_sack,
            self.by_silence,
            self.in_vain
        )
    }
}

/// Plays a cell; no seed may stall.
fn play_briskly(cell: Cell, seed: u64) -> Outcome {
    let outcome = play(cell, seed);
    // The timeouts of any peer double while the line stands still, so it may wait as long again.
    let silence_max_us = SILENCE_MAX_US + 2_000 * cell.stall_ms;
    assert!(outcome.silence_us <= silence_max_us, "seed {seed} stalls: {}", outcome.line(cell));
    outcome
}

#[test]
fn every_line_of_the_grid_is_exact_and_as_fast_as_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenario/goodput.txt");
    let table = std::fs::read_to_string(path).unwrap_or_default();
    let mut before = table.lines();
    let mut now = String::new();
    let mut changes = String::new();
    for (n, cell) in grid().into_iter().enumerate() {
        let line = play_briskly(cell, n as u64).line(cell);
        match before.next() {
            Some(before) if before == line => {}
            before => changes.push_str(&format!("-{}\n+{line}\n", before.unwrap_or_default())),
        }
        now.push_str(&line);
        now.push('\n');
    }
    if std::env::var_os("NAIO_BLESS").is_some() {
        std::fs::write(path, now).expect("the table can be written");
    } else {
        assert!(changes.is_empty() && before.next().is_none(), "{changes}NAIO_BLESS=1 accepts what is now");
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "a test says when it does not run")]
fn no_seed_of_the_grid_stalls() {
    let Ok(more) = std::env::var("NAIO_GRID") else {
        return println!("skipped: NAIO_GRID is not set; the table has one seed of each cell");
    };
    let more: u64 = more.parse().expect("NAIO_GRID is a number");
    for seed in 1_000..1_000 + more {
        for (n, cell) in grid().into_iter().enumerate() {
            play_briskly(cell, seed * 100 + n as u64);
        }
    }
}

/// No frame is lost here, so whatever silence made us repeat was repeated in vain.
#[test]
#[expect(clippy::print_stdout, reason = "a test shows this only when it fails, or when asked")]
fn jitter_seldom_looks_like_a_loss() {
    for merges_us in [0, GATHERS_US] {
        for delay_us in [100, 2_000, 20_000, 100_000] {
            for jitter_us in [0, 1_000, 5_000, 20_000, 50_000, 200_000] {
                let harm = Harm { delay_us, jitter_us, ..PLAIN };
                let cell = Cell { bytes: 1_000_000, harm, merges_us, ..BASE };
                let outcome = play(cell, 1);
                println!("{}", outcome.line(cell));
                let vain = outcome.by_silence + outcome.by_sack;
                assert!(vain * VAIN_PER <= outcome.frames, "{}", outcome.line(cell));
            }
        }
    }
}

/// Of so many frames at most one is repeated in vain, whatever the jitter.
const VAIN_PER: u64 = 200;

/// No frame is lost here either, but each overtakes others, and behind three of those a segment counts as lost (RFC
/// 6675): what that costs is bounded.
#[test]
#[expect(clippy::print_stdout, reason = "a test shows this only when it fails, or when asked")]
fn jitter_that_reorders_repeats_a_bounded_part() {
    for merges_us in [0, GATHERS_US] {
        for delay_us in [100, 2_000, 20_000] {
            for reorder_us in [10, 100, 1_000, 20_000] {
                let harm = Harm { delay_us, reorder: 10_000, reorder_us, ..PLAIN };
                let cell = Cell { bytes: 1_000_000, harm, merges_us, ..BASE };
                let outcome = play(cell, 1);
                println!("{}", outcome.line(cell));
                let vain = outcome.by_silence + outcome.by_sack;
                assert!(vain * REORDERED_VAIN_PER <= outcome.frames, "{}", outcome.line(cell));
                // smoltcp's own repetitions and the short segments at the edge of its window counted.
                let needed = cell.bytes.div_ceil(cell.mss as u64);
                assert!(outcome.frames <= 2 * needed, "{}", outcome.line(cell));
            }
        }
    }
}

/// Of so many frames at most one is repeated in vain where every frame overtakes others.
const REORDERED_VAIN_PER: u64 = 20;

/// What became of it.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    took_us: u64,
    silence_us: u64,
    frames: u64,
    by_sack: u64,
    by_silence: u64,
    in_vain: u64,
}

fn play(cell: Cell, seed: u64) -> Outcome {
    let time = Arc::default();
    let ring = RingLen::at_least(cell.window);
    let options = SocketOptions { rx_ring: ring, tx_ring: ring, ..SocketOptions::default() };
    let mtu = Some(cell.mss + 40);
    // What the client sends suffers all of it, what acknowledges it a quarter.
    let back = Harm { loss: cell.harm.loss / 4, corrupt: cell.harm.corrupt / 4, ..cell.harm };
    let server = End { harm: back, merges_us: cell.merges_us, accepted: options, mtu, ..End::plain() };
    let client = End { harm: cell.harm, mtu, ..End::plain() };
    let programs = (Sink::new(cell.bytes, &time), Source::new(cell.bytes, options));
    let mut world = world_in(&time, seed, [server, client], programs);
    if cell.stall_ms > 0 {
        let stall = Duration::from_millis(cell.stall_ms);
        for (knob, harm) in world.knobs.clone().into_iter().zip([back, cell.harm]) {
            let again = knob.clone();
            world.after(STALLS_AT, move || knob.set(Harm { loss: 10_000, ..harm }));
            world.after(STALLS_AT + stall, move || again.set(harm));
        }
    }
    world.play(Duration::from_secs(3_600));
    let sink = world.programs.0.borrow();
    assert_eq!(sink.received, cell.bytes, "{cell:?}");
    let counters = world.queues[1].borrow_mut().counters().stack;
    let harmed = world.knobs[1].harmed();
    drop(sink);
    world.assert_innocent(seed);
    let sink = world.programs.0.borrow();
    Outcome {
        took_us: sink.took_us,
        silence_us: sink.silence_us,
        frames: harmed.sent,
        by_sack: counters.losses_by_sack,
        by_silence: counters.losses_by_silence,
        in_vain: counters.losses_in_vain,
    }
}

/// 20 MB at 0.5 % loss, a round trip of 2 ms, a peer that merges what it receives: smoltcp alone takes 81 s, 77 of
/// them waiting for its retransmission timeout.
#[test]
#[expect(clippy::print_stdout, reason = "a test shows this only when it fails, or when asked")]
fn losses_to_a_merging_peer_cost_no_timeouts() {
    let harm = Harm { loss: 50, delay_us: 1_000, rate_kbit: 10_000_000, ..Harm::default() };
    let cell = Cell { bytes: 20_000_000, harm, merges_us: 20, window: 1 << 20, mss: 1_460, stall_ms: 0 };
    for seed in naio_testkit::seeds(1, 3) {
        let outcome = play(cell, seed);
        println!("{:.2} s: {outcome:?}", outcome.took_us as f64 / 1e6);
        assert!(outcome.took_us <= 8_000_000, "seed {seed}: {outcome:?}");
    }
}
