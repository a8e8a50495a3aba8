//! Connections that the card takes nothing from: its link is down, or it stands still.
//!
//! Receives nothing; acts once a second while something waits for room in the card's ring. A visit is what arms a
//! connection's timer, and without room there is no visit: here patience ends nevertheless.

use crate::Stack;
use crate::status::Failure;
use naio_sys::clock::Time;
use smoltcp::socket::tcp::State;
use std::time::Duration;

/// How often those who wait are looked at; patience is in seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Stack {
    /// Egress has ended; `dirty` holds those it found no room for.
    pub(crate) fn note_starved(&mut self) {
        if self.dirty.is_empty() {
            self.starved_since = None;
        } else {
            self.starved_since.get_or_insert(self.now);
        }
    }

    /// When [`expire_starved`](Stack::expire_starved) has something to do.
    pub(crate) fn starved_deadline(&self) -> Option<Time> {
        self.starved_since.map(|since| since.after(LOOK_EVERY))
    }

    /// Gives up whoever waits longer than it wants to.
    pub(crate) fn expire_starved(&mut self) {
        let now = self.now;
        if self.starved_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        self.starved_since = Some(now);
        let mut waiting = std::mem::take(&mut self.expired);
        waiting.extend(self.dirty.iter().copied());
        for index in waiting.drain(..) {
            self.look_at_starved(index);
        }
        self.expired = waiting;
    }

    fn look_at_starved(&mut self, index: u32) {
        let now = self.now;
        let user_timeout = self.config.user_timeout;
        let Some(flow) = self.flows.at_mut(index).filter(|flow| flow.bound) else { return };
        if flow.state() == State::Closed && !flow.unsent {
            // Only a reset is left, which nobody may ever hear.
            return self.finish(index);
        }
        if flow.is_outstanding() {
            flow.outstanding_since.get_or_insert(now);
        }
        if flow.limit.is_some_and(|limit| limit <= now) {
            self.expire_flow(index);
        } else if flow.patience(user_timeout).is_some_and(|end| now > end) {
            self.give_up(index, Failure::TimedOut);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::Bench;
    use crate::{Failure, Phase, SocketOptions};

    /// Time passes, and the card takes nothing.
    fn wait_without_room(bench: &mut Bench, seconds: u64) {
        for _ in 0..seconds * 2 {
            bench.now_us += 500_000;
            assert!(bench.packets(0).is_empty());
        }
    }

    #[test]
    fn sent_data_that_finds_no_room_ends_in_time() {
        let mut bench = Bench::new(|_| {});
        let peer = bench.connected(SocketOptions::default());
        let patience = bench.stack.config.user_timeout.as_secs();
        bench.stack.send(peer.socket, b"never leaves").expect("connected");
        wait_without_room(&mut bench, patience - 5);
        assert_eq!(bench.status(peer.socket).failure, None);
        wait_without_room(&mut bench, 10);
        assert_eq!(bench.status(peer.socket).failure, Some(Failure::TimedOut));
        assert_eq!(bench.status(peer.socket).phase, Phase::Closed);
        bench.stack.close(peer.socket).expect("known");
        assert_eq!(bench.stack.census().flows, 0);
    }

    #[test]
    fn a_connection_attempt_that_finds_no_room_ends_in_time() {
        let mut bench = Bench::new(|_| {});
        bench.introduce();
        let socket = bench.stack.socket(SocketOptions::default()).expect("room");
        bench.stack.connect(bench.now(), socket, "10.0.0.2:80".parse().expect("an address")).expect("sane");
        let patience = bench.stack.config.connect_timeout.as_secs();
        wait_without_room(&mut bench, patience + 2);
        assert_eq!(bench.status(socket).failure, Some(Failure::TimedOut));
    }

    #[test]
    fn a_reset_that_finds_no_room_holds_nothing() {
        let mut bench = Bench::new(|_| {});
        let peer = bench.connected(SocketOptions::default());
        bench.stack.abort(peer.socket).expect("connected");
        bench.stack.close(peer.socket).expect("known");
        wait_without_room(&mut bench, 3);
        let census = bench.stack.census();
        assert_eq!((census.flows, census.keys), (0, 0));
    }

    #[test]
    fn a_short_stop_changes_nothing() {
        let mut bench = Bench::new(|_| {});
        let peer = bench.connected(SocketOptions::default());
        bench.stack.send(peer.socket, b"later").expect("connected");
        wait_without_room(&mut bench, 10);
        assert_eq!(bench.segments().len(), 1);
        assert_eq!(bench.status(peer.socket).phase, Phase::Established);
    }
}
