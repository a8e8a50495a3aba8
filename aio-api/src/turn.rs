//! One turn of the loop: the walk of the bytes, stage by stage, both ways.
//!
//! Receives nothing and hands nothing back but whether it found work: everything lies in the queue.
//! The stages carry batches from room to room by value; no room calls another one upward.

use crate::error::OpError;
use crate::queue::EventQueue;
use naio_dma::Page;
use naio_nic::{ExtentId, Health, RxFrame, TxPacket};
use naio_stack::{Released, SocketId};
use naio_sys::mark;
use std::time::Duration;

/// Frames that one turn carries: enough for a burst at line rate, few enough that completions wait
/// no longer than that.
const RX_BUDGET: usize = 256;
/// How often the card is asked whether it still lives: each look is a register read.
const HEALTH_EVERY: Duration = Duration::from_millis(100);

/// What the stages hand each other; kept from turn to turn, so that nothing is allocated.
#[derive(Default)]
pub(crate) struct Batches {
    frames: Vec<RxFrame>,
    spare: Vec<Page>,
    released: Vec<ExtentId>,
    packets: Vec<TxPacket>,
    pub(crate) returned: Vec<Released>,
    pub(crate) sockets: Vec<SocketId>,
}

impl EventQueue {
    /// A turn, after a pause for a burst to gather if one is under way and nobody waits for an answer.
    pub(crate) fn turn_paced(&mut self) {
        let hurry = std::mem::take(&mut self.hurry);
        self.pauses = self.clock.runs();
        if let Some(since) = self.last_burst.filter(|_| self.clock.runs() && !hurry) {
            let looks = self.pace.gather(since);
            self.counters.turns += looks;
            self.counters.empty_turns += looks;
        }
        self.turn();
        self.pauses = false;
    }

    /// Reap, ingest, timers, operations, egress, post, ring: once.
    pub(crate) fn turn(&mut self) {
        mark::mark::<{ mark::TURN_BEGINS }>();
        self.now = self.clock.now();
        self.check_health();
        self.take_home();
        let released = self.reap_tx();
        let frames = self.reap_rx();
        self.ingest(frames);
        self.stack.expire(self.now);
        let progressed = self.operations();
        self.follow_groups();
        let posted = self.egress();
        self.post_rx();
        self.ring();
        self.note(released + frames + progressed + posted > 0, frames);
    }

    /// What the card has sent goes back to whoever owns the bytes.
    fn reap_tx(&mut self) -> usize {
        let Some(nic) = &mut self.nic else { return 0 };
        nic.reap_tx(&mut self.batches.released);
        let released = self.batches.released.len();
        self.stack.release(&mut self.batches.released);
        released
    }

    fn reap_rx(&mut self) -> usize {
        let Some(nic) = &mut self.nic else { return 0 };
        nic.reap_rx(&mut self.batches.frames, RX_BUDGET)
    }

    /// Frames go into the stack, which keeps their pages as long as somebody is to read from them.
    fn ingest(&mut self, frames: usize) {
        if !self.batches.frames.is_empty() || self.stack.is_gathering() {
            self.stack.ingest(self.now, &mut self.batches.frames);
        }
        if self.pauses && frames < RX_BUDGET && self.stack.is_gathering() {
            // The pause that follows is longer than what was received may wait for more.
            self.stack.ingest(self.now, &mut self.batches.frames);
        }
    }

    /// Pages that have been read go back to the card.
    fn post_rx(&mut self) {
        let Some(nic) = &mut self.nic else { return };
        self.stack.spare(&mut self.batches.spare);
        nic.post_rx(&mut self.batches.spare);
    }

    /// Packets come out of the stack, no more than the card's ring has room for.
    fn egress(&mut self) -> usize {
        let Some(nic) = &mut self.nic else { return 0 };
        let waiting = self.batches.packets.len();
        let room = nic.tx_room().saturating_sub(waiting);
        self.stack.egress(self.now, room, &mut self.batches.packets);
        let posted = nic.post_tx(&mut self.batches.packets);
        self.counters.tx_deferred += self.batches.packets.len() as u64;
        posted
    }

    fn ring(&mut self) {
        if let Some(nic) = &mut self.nic {
            nic.ring();
        }
    }

    fn note(&mut self, found: bool, frames: usize) {
        self.counters.turns += 1;
        if frames > 0 {
            self.counters.rx_turns += 1;
            self.counters.rx_frames += frames as u64;
        }
        // A turn that used its whole budget left more behind: no pause then.
        self.last_burst = (frames > 0 && frames < RX_BUDGET).then_some(self.now);
        if !found {
            self.counters.empty_turns += 1;
            if self.completed.is_empty() {
                self.pace.idle();
            }
            mark::mark::<{ mark::TURN_WAS_EMPTY }>();
        }
    }

    /// Whether the card's ring left packets over.
    pub(crate) fn has_packets_waiting(&self) -> bool {
        !self.batches.packets.is_empty()
    }

    /// Looks whether the card is still there and ours.
    fn check_health(&mut self) {
        if self.now < self.next_health {
            return;
        }
        self.next_health = self.now.after(HEALTH_EVERY);
        let Some(nic) = &mut self.nic else { return };
        match nic.health() {
            Health::Alive => {
                let link = nic.link();
                if self.logged_link != Some(link) {
                    self.logged_link = Some(link);
                    log::info!("link: {link:?}");
                }
                self.progress_link(link);
            }
            Health::Gone => self.go_down("the network card does not answer any more"),
            Health::ReleaseRequested => self.go_down("the system wants the network card back"),
        }
    }

    /// Ends every operation with [`OpError::CardGone`] and lets the card go.
    fn go_down(&mut self, why: &str) {
        log::error!("{why}: {} operations end", self.ops.outstanding());
        self.reset_all();
        if let Some(nic) = &mut self.nic {
            self.nic_counters = nic.counters();
        }
        self.nic = None;
        for key in self.ops.keys() {
            self.finish(key, Err(OpError::CardGone));
        }
    }

    /// Resets every connection and tells the peers, as far as the card's ring has room.
    fn reset_all(&mut self) {
        for socket in self.sockets.ids() {
            // A socket that was never connected has nobody to tell.
            let _ = self.stack.abort(socket);
        }
        self.egress();
        self.ring();
    }
}

impl EventQueue {
    /// Whether everything that was handed around is where it belongs: every page of the receive pool
    /// with the driver or on its way back, every connection under its key, every operation in its
    /// socket's list.
    pub(crate) fn nothing_is_lost(&self) -> bool {
        let pages = self.nic.as_ref().is_none_or(|nic| {
            let pool = nic.rx_pool();
            let census = self.stack.census();
            let kept = census.held_pages + census.lent_rx_pages;
            let above = self.batches.spare.len() + self.batches.frames.len() + kept;
            nic.rx_pages() + above + pool.idle_count() == pool.capacity() as usize
        });
        let census = self.stack.census();
        // A card that is gone gives nothing back, and refers to nothing.
        let lent = census.stretches == 0 || self.ops.outstanding() > 0 || self.nic.is_none();
        pages
            && lent
            && self.groups_are_whole()
            && census.keys == census.bound_flows
            && census.timers <= census.flows
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        // Not while unwinding: a second panic would hide the first.
        debug_assert!(
            std::thread::panicking() || self.nothing_is_lost(),
            "{:?} {:?}",
            self,
            self.stack.census()
        );
        self.now = self.clock.now();
        self.reset_all();
    }
}
