//! Frames that arrive at the line's rate, and the queue's turns between them, in virtual nanoseconds.
//!
//! Receives when frames arrive and what turns take; hands on what turns found and how long frames waited. Turns begin
//! when [`EventQueue::wait`](aio_api::EventQueue::wait) would begin them: with a manual clock the queue does not pause
//! itself. The queue's own clock has microseconds and follows.

use crate::origin::PAYLOAD;
use crate::recv::{Receiver, turn};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

/// What a turn takes, measured with `naio-bench pace --measure` on two cores of a virtual machine. One that finds nothing
/// yields, which is a system call.
pub(super) const TURN_NS: u64 = 1_000;
pub(super) const FRAME_NS: u64 = 135;
pub(super) const EMPTY_NS: u64 = 600;
/// A full segment at 1 Gb/s: headers, FCS, preamble and gap are 78 bytes, a byte is 8 ns.
const LINE_NS: u64 = (PAYLOAD as u64 + 78) * 8;
/// Segments that Linux sends at once: 64 KiB.
pub(super) const TRAIN: u32 = 44;
/// Longest pause between two bursts on an idle line.
pub(super) const IDLE_NS_MAX: u64 = 1_000_000;
/// Frames that a turn takes; after as many the queue does not pause.
const BUDGET: u64 = 256;
/// Bytes of a request and of its response.
const MESSAGE_LEN: u32 = 64;
/// Turns after which nothing more is to be expected.
const TURNS_MAX: u32 = 10_000_000;

/// What turns take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) turn_ns: u64,
    pub(super) frame_ns: u64,
    pub(super) empty_ns: u64,
}

impl Costs {
    fn of(self, frames: u64) -> u64 {
        if frames == 0 { self.empty_ns } else { self.turn_ns + frames * self.frame_ns }
    }
}

/// What turns found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    pub(super) frames: u64,
    /// Turns that found any, and their time.
    pub(super) turns: u64,
    pub(super) busy_ns: u64,
}

/// The line and the queue behind it.
pub(super) struct Line {
    receiver: Receiver,
    costs: Costs,
    pause_ns: u64,
    /// When each frame arrives, and whether it ends a train.
    arrivals: VecDeque<(u64, bool)>,
    last_ns: u64,
    now_ns: u64,
    /// When the last turn began, if it found frames and may pause after them.
    since_ns: Option<u64>,
    seen: Seen,
}

impl Line {
    pub(super) fn new(receiver: Receiver, costs: Costs, pause_ns: u64) -> Line {
        let now_ns = receiver.clock.load(Ordering::Relaxed) * 1_000;
        let (arrivals, since_ns, seen) = (VecDeque::new(), None, Seen::default());
        Line { receiver, costs, pause_ns, arrivals, last_ns: now_ns, now_ns, since_ns, seen }
    }

    /// So many frames more, behind a pause of the line.
    pub(super) fn train(&mut self, frames: u32, idle_ns: u64) {
        self.last_ns += idle_ns;
        for left in (0..frames).rev() {
            self.last_ns += LINE_NS;
            self.arrivals.push_back((self.last_ns, left == 0));
        }
    }

    /// Receives everything; notes how long the last frame of each train waited for its completion.
    pub(super) fn receive(&mut self, waited: &mut Histogram<u64>) -> Result<Seen, String> {
        for _ in 0..TURNS_MAX {
            let Some(&(next, _)) = self.arrivals.front() else { return Ok(self.seen) };
            let begins = self.begins(next);
            let ends: Vec<u64> = self.arrive(begins);
            let received = self.receiver.received;
            let done = self.turn(begins);
            let bytes = self.receiver.received - received;
            if bytes != done * u64::from(PAYLOAD) {
                return Err(format!("{done} frames arrived in a turn, and {bytes} bytes were received"));
            }
            for at in ends {
                waited.record(self.now_ns - at).map_err(|error| error.to_string())?;
            }
        }
        Err("frames are left over".into())
    }

    /// When the turn begins that may find what arrives at `next_ns`: after the pause, and as often as turns that find
    /// nothing come.
    fn begins(&self, next_ns: u64) -> u64 {
        let earliest = match self.since_ns {
            Some(since) => self.now_ns.max(since + self.pause_ns),
            None => self.now_ns,
        };
        let idle = next_ns.saturating_sub(earliest).div_ceil(self.costs.empty_ns);
        earliest + idle * self.costs.empty_ns
    }

    /// Lets the card have what has arrived by then; returns when ends of trains did.
    fn arrive(&mut self, by_ns: u64) -> Vec<u64> {
        self.receiver.clock.fetch_max(by_ns / 1_000, Ordering::Relaxed);
        let mut ends = Vec::new();
        let mut left = BUDGET;
        while let Some((at, ends_train)) =
            self.arrivals.front().copied().filter(|(at, _)| *at <= by_ns && left > 0)
        {
            // Without room in the window the sender waits, and so does everything behind.
            if self.receiver.origin.send(0, 1, ends_train) == 0 {
                break;
            }
            self.arrivals.pop_front();
            ends.extend(ends_train.then_some(at));
            left -= 1;
        }
        self.receiver.card.run();
        ends
    }

    /// One turn; returns the frames it found.
    fn turn(&mut self, begins: u64) -> u64 {
        let before = self.receiver.queue.counters().queue.rx_frames;
        turn(&mut self.receiver);
        let frames = self.receiver.queue.counters().queue.rx_frames - before;
        self.now_ns = begins + self.costs.of(frames);
        self.since_ns = (frames > 0 && frames < BUDGET).then_some(begins);
        if frames > 0 {
            self.seen.turns += 1;
            self.seen.frames += frames;
            self.seen.busy_ns += self.costs.of(frames);
            self.seen.bytes += frames * u64::from(PAYLOAD);
        }
        // Acknowledgments reach the sender.
        self.receiver.card.run();
        frames
    }

    /// Small requests, each of which arrives `peer_ns` after the response to the one before; notes how long each
    /// response took to reach the card.
    pub(super) fn answer(
        &mut self,
        requests: u32,
        peer_ns: u64,
        took: &mut Histogram<u64>,
    ) -> Result<(), String> {
        for request in 0..requests {
            // Not always at the same place between two turns.
            let arrives = self.now_ns + peer_ns + u64::from(request) * 37 % 1_000;
            let begins = self.begins(arrives);
            self.receiver.clock.fetch_max(begins / 1_000, Ordering::Relaxed);
            if self.receiver.origin.send_short(0, 1, MESSAGE_LEN, true) == 0 {
                return Err("there is no room for a request".into());
            }
            self.receiver.card.run();
            self.turn(begins);
            let (socket, _) = self.receiver.sockets[0];
            let sent = self.receiver.queue.send_copy(socket, &[0; MESSAGE_LEN as usize], u64::MAX);
            sent.map_err(|error| error.to_string())?;
            let answered = self.receiver.origin.totals().answered;
            // The pause is over first, though there is something to send.
            // At once: something that is sent on an idle connection ends the pause.
            self.turn(self.now_ns);
            if self.receiver.origin.totals().answered == answered {
                return Err("a response did not leave in the turn after its submission".into());
            }
            // A turn that sends costs what one that receives does.
            self.now_ns = begins + self.costs.turn_ns;
            took.record(self.now_ns - arrives).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recv::{Delivery, Plan};

    const COSTS: Costs = Costs { turn_ns: 1_000, frame_ns: 200, empty_ns: 100 };

    fn line(pause_us: u64) -> Line {
        let plan =
            Plan { burst: 1, bursts: 1, beside: 0, around: false, verdict: true, delivery: Delivery::Posted };
        Line::new(Receiver::new(plan).expect("a card in software"), COSTS, pause_us * 1_000)
    }

    fn waits() -> Histogram<u64> {
        Histogram::new(3).expect("three digits")
    }

    /// Ten trains of ten frames, half a millisecond apart.
    fn trains(pause_us: u64) -> (Seen, Histogram<u64>) {
        let (mut line, mut waited) = (line(pause_us), waits());
        (0..10).for_each(|_| line.train(10, 500_000));
        let seen = line.receive(&mut waited).expect("all are received");
        (seen, waited)
    }

    #[test]
    fn without_a_pause_a_slow_line_is_found_frame_by_frame() {
        let (seen, waited) = trains(0);
        assert_eq!((seen.frames, seen.turns, waited.len()), (100, 100, 10));
        assert_eq!(seen.busy_ns, 100 * COSTS.of(1));
        assert!(waited.max() <= COSTS.of(1) + COSTS.empty_ns + 10, "{}", waited.max());
    }

    #[test]
    fn a_pause_gathers_frames_and_nobody_waits_longer_than_it() {
        let (seen, waited) = trains(50);
        assert_eq!((seen.frames, waited.len()), (100, 10));
        // One frame, then four or five in each pause.
        assert!((30..=40).contains(&seen.turns), "{}", seen.turns);
        assert!(waited.max() <= 50_000 + COSTS.of(5), "{}", waited.max());
    }

    #[test]
    fn a_line_faster_than_the_window_is_stopped_by_it_and_loses_nothing() {
        // A pause in which more arrives than the ring of a mebibyte holds.
        let (mut line, mut waited) = (line(10_000), waits());
        line.train(4_000, 0);
        let seen = line.receive(&mut waited).expect("all are received");
        assert_eq!((seen.frames, waited.len()), (4_000, 1));
    }

    #[test]
    fn every_request_is_answered() {
        let (mut line, mut took) = (line(0), waits());
        line.answer(20, 5_000, &mut took).expect("answers");
        assert_eq!(took.len(), 20);
        assert!(took.max() < 4 * COSTS.of(1), "{}", took.max());
    }
}
