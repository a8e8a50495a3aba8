//! Frames through a card under its driver, both ways, in virtual time.
//!
//! Receives an open driver and the wire's other end, hands on what passed. Frames carry a number each, so that one that
//! is lost, changed or made up is seen. Every wait is bounded: a card that is broken passes what it passes.

use crate::card::Driven;
use crate::failure::Failure;
use naio_dma::Buffer;
use naio_e1000_model::Frame;
use naio_e1000_model::wire::scripted::Script;
use naio_nic::{ExtentId, Fragment, Nic as _, RxFrame, TxPacket};
use std::collections::HashSet;
use std::time::Duration;

/// Frames put on the wire, and given to the driver, at a time.
const BATCH: u32 = 32;
/// Lengths of frames without FCS.
const LEN: std::ops::RangeInclusive<usize> = 60..=1514;
/// Of a sent frame, what goes as header; the rest goes by reference.
const HEADER_LEN: usize = 54;
/// Steps without anything new before a batch is given up.
const PATIENCE: u32 = 20;
/// Virtual time of a step.
const STEP: Duration = Duration::from_millis(1);
/// A type for local experiments (IEEE 802).
const ETHER_TYPE: [u8; 2] = [0x88, 0xb5];
/// The station at the other end.
const PEER: [u8; 6] = [0x02, 0x00, 0x5e, 0x10, 0x00, 0x77];

/// What passed one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Frames that were to pass.
    pub(super) given: u64,
    /// Came out as they went in.
    pub(super) intact: u64,
    /// Came out, but never went in so.
    pub(super) strange: u64,
}

impl Passed {
    /// Never came out, or not as they went in.
    pub(super) fn missing(self) -> u64 {
        self.given - self.intact
    }
}

/// A driver with somebody at the other end of the wire.
pub(super) struct Traffic {
    pub(super) driven: Driven,
    script: Script,
    random: fastrand::Rng,
    next: u32,
    buffers: Vec<Buffer>,
    under_way: HashSet<Vec<u8>>,
    pub(super) received: Passed,
    pub(super) sent: Passed,
    /// Sent frames whose memory the driver gave back.
    pub(super) released: u64,
}

impl Traffic {
    /// Registers the memory that sent frames lie in.
    pub(super) fn new(driven: Driven, script: Script, seed: u64) -> Result<Traffic, Failure> {
        let len = *LEN.end();
        let buffers = Buffer::allocate(&driven.domain, BATCH as usize, len)?;
        Ok(Traffic {
            driven,
            script,
            random: fastrand::Rng::with_seed(seed),
            next: 0,
            buffers,
            under_way: HashSet::new(),
            received: Passed::default(),
            sent: Passed::default(),
            released: 0,
        })
    }

    /// Lets `frames` frames pass each way.
    pub(super) fn pass(&mut self, frames: u32) {
        let mut left = frames;
        while left > 0 {
            let batch = left.min(BATCH);
            self.receive(batch);
            self.send(batch);
            left -= batch;
        }
    }

    fn frame(&mut self, to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
        let mut frame = [to, from].concat();
        frame.extend(ETHER_TYPE);
        frame.extend(self.next.to_be_bytes());
        self.next += 1;
        let (start, len) = (frame.len(), self.random.usize(LEN));
        frame.resize(len, 0);
        self.random.fill(&mut frame[start..]);
        frame
    }

    fn receive(&mut self, batch: u32) {
        let us = self.driven.nic.caps().mac.0;
        for _ in 0..batch {
            let frame = self.frame(us, PEER);
            self.script.put(Frame::good(&frame));
            self.under_way.insert(frame);
            self.received.given += 1;
        }
        let mut idle = 0;
        while !self.under_way.is_empty() && idle < PATIENCE {
            self.driven.card.advance(STEP);
            let found = self.reap();
            self.driven.nic.ring();
            idle = if found { 0 } else { idle + 1 };
        }
        self.under_way.clear();
    }

    fn reap(&mut self) -> bool {
        let mut frames: Vec<RxFrame> = Vec::new();
        let nic = &mut self.driven.nic;
        nic.reap_rx(&mut frames, BATCH as usize);
        let found = !frames.is_empty();
        let mut pages = Vec::new();
        for frame in frames {
            let from = usize::from(frame.offset);
            let bytes = &nic.rx_pool().bytes(&frame.page)[from..from + usize::from(frame.len)];
            let known = self.under_way.remove(bytes);
            self.received.intact += u64::from(known);
            self.received.strange += u64::from(!known);
            pages.push(frame.page);
        }
        nic.post_rx(&mut pages);
        found
    }

    fn send(&mut self, batch: u32) {
        let us = self.driven.nic.caps().mac.0;
        let mut packets = Vec::new();
        for n in 0..batch as usize {
            let frame = self.frame(PEER, us);
            let mut packet = TxPacket::default();
            packet.header.extend(frame[..HEADER_LEN].iter().copied());
            let rest = frame.len() - HEADER_LEN;
            self.buffers[n][..rest].copy_from_slice(&frame[HEADER_LEN..]);
            // The buffer is as long as the longest frame: the slice lies inside.
            if let Some(slice) = self.buffers[n].slice(0..rest) {
                packet.fragments.push(Fragment { slice, extent: ExtentId(n as u32) });
            }
            packets.push(packet);
            self.under_way.insert(frame);
            self.sent.given += 1;
        }
        let mut idle = 0;
        let mut outstanding = packets.len();
        while (outstanding > 0 || !self.under_way.is_empty()) && idle < PATIENCE {
            let nic = &mut self.driven.nic;
            let posted = nic.post_tx(&mut packets);
            nic.ring();
            self.driven.card.advance(STEP);
            let mut released = Vec::new();
            self.driven.nic.reap_tx(&mut released);
            outstanding = outstanding.saturating_sub(released.len());
            self.released += released.len() as u64;
            let mut arrived = false;
            while let Some(frame) = self.script.take() {
                let known = self.under_way.remove(&frame.bytes);
                self.sent.intact += u64::from(known);
                self.sent.strange += u64::from(!known);
                arrived = true;
            }
            idle = if posted > 0 || arrived || !released.is_empty() { 0 } else { idle + 1 };
        }
        self.under_way.clear();
    }
}
