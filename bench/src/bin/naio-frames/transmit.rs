//! Sending: as many frames as asked for, a burst to a doorbell, each with its headers written anew.
//!
//! Receives a card and a [`Plan`]; hands on a report. It waits for nothing but the card, and for that by polling.

use crate::card::Card;
use crate::report::{Failure, Report};
use crate::{Arguments, Shape};
use naio_nic::{ExtentId, Fragment, TxPacket};
use naio_sys::clock;
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, TURN_BEGINS, TURN_WAS_EMPTY, mark};

/// Ethernet, IPv4 and UDP, as far as room goes: what testpmd writes into each frame.
pub(crate) const HEADERS_LEN: usize = 42;
/// Local Experimental EtherType 1 (IEEE 802 9.2.4): no stack takes it for anything.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// QEMU's own prefix and the rig's numbers: the card under test. A card that promises nothing drops it.
const STATION: [u8; 6] = [0x52, 0x54, 0x00, 0x09, 0x00, 0x02];

/// What to send.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) size: u16,
    pub(crate) frames: u64,
    pub(crate) warm_up: u64,
    pub(crate) burst: usize,
    pub(crate) shape: Shape,
}

impl Plan {
    pub(crate) fn new(arguments: &Arguments) -> Plan {
        Plan {
            size: arguments.size,
            frames: arguments.frames,
            warm_up: arguments.warm_up,
            burst: arguments.burst.into(),
            shape: arguments.shape,
        }
    }
}

/// A sender of one kind of frame.
pub(crate) struct Sender<'a> {
    card: &'a mut Card,
    shape: Shape,
    size: u16,
    headers: [u8; HEADERS_LEN],
    /// Pages that the card does not read.
    free: Vec<ExtentId>,
    packets: Vec<TxPacket>,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(card: &'a mut Card, plan: &Plan) -> Sender<'a> {
        let mut headers = [0; HEADERS_LEN];
        headers[..6].copy_from_slice(&STATION);
        headers[6..12].copy_from_slice(&card.nic.caps().mac.0);
        headers[12..14].copy_from_slice(&ETHERTYPE);
        let mut free = Vec::with_capacity(2 * card.pages.len());
        free.extend((0..card.pages.len() as u32).map(ExtentId));
        let packets = Vec::with_capacity(plan.burst);
        Sender { card, shape: plan.shape, size: plan.size, headers, free, packets }
    }

    /// Takes back what the card is done with and sends up to `most` frames; returns how many.
    pub(crate) fn turn(&mut self, most: usize) -> usize {
        self.card.nic.reap_tx(&mut self.free);
        let room = most.min(self.card.nic.tx_room()).saturating_sub(self.packets.len());
        for _ in 0..room.min(self.free.len()) {
            let Some(extent) = self.free.pop() else { break };
            let packet = self.packet(extent);
            self.packets.push(packet);
        }
        let sent = self.card.nic.post_tx(&mut self.packets);
        self.card.nic.ring();
        sent
    }

    /// Whether every page is back.
    pub(crate) fn is_done(&mut self) -> bool {
        self.card.nic.reap_tx(&mut self.free);
        self.packets.is_empty() && self.free.len() == self.card.pages.len()
    }

    #[inline]
    fn packet(&mut self, extent: ExtentId) -> TxPacket {
        let Card { pool, pages, .. } = &mut *self.card;
        let page = &mut pages[extent.0 as usize];
        let mut packet = TxPacket::default();
        let start = match self.shape {
            Shape::Header => {
                packet.header.extend(self.headers);
                HEADERS_LEN
            }
            Shape::Whole => {
                pool.bytes_mut(page)[..HEADERS_LEN].copy_from_slice(&self.headers);
                0
            }
        };
        if let Some(slice) = pool.slice(page, start..self.size.into()) {
            packet.fragments.push(Fragment { slice, extent });
        }
        packet
    }
}

/// Warms up, then sends what counts.
pub(crate) fn run(card: &mut Card, plan: &Plan) -> Result<Report, Failure> {
    let mut sender = Sender::new(card, plan);
    let mut report = Report::new("txonly", plan.size);
    let mut left = plan.warm_up;
    while left > 0 {
        left -= sender.turn(plan.burst.min(left as usize)) as u64;
    }
    let mut left = plan.frames;
    let begin = clock::now();
    mark::<RUN_BEGINS>();
    while left > 0 {
        mark::<TURN_BEGINS>();
        let sent = sender.turn(plan.burst.min(left as usize)) as u64;
        report.poll(sent);
        left -= sent;
        if sent == 0 {
            mark::<TURN_WAS_EMPTY>();
        }
    }
    mark::<RUN_ENDS>();
    report.took(clock::now().since(begin));
    while !sender.is_done() {}
    report.bytes = report.frames * u64::from(plan.size);
    Ok(report)
}
