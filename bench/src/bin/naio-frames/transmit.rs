//! Sending: as many frames as asked for, a burst to a doorbell, each with its headers written anew.
//!
//! Receives a card and a [`Plan`]; hands on a report. It waits for nothing but the card, and for that by polling.

use crate::Shape;
use crate::card::Card;
use crate::measure::{self, Plan, Work};
use crate::report::{Failure, Report};
use naio_dma::DmaSlice;
use naio_nic::tx::TxProtocol;
use naio_nic::{ExtentId, Fragment, TxChecksum, TxPacket};
use naio_sys::checksum::Sum;

/// Ethernet, IPv4 and UDP.
pub(crate) const HEADERS_LEN: usize = 42;
/// Where the IPv4 header and the UDP header begin.
const IP_START: u8 = 14;
const UDP_START: u8 = 34;
/// QEMU's own prefix and the rig's numbers: the card under test. A card that promises nothing drops it.
const STATION: [u8; 6] = [0x52, 0x54, 0x00, 0x09, 0x00, 0x02];
/// Addresses for benchmarks (RFC 2544 C.2.2), and the discard port (RFC 863): what testpmd uses, too.
const ADDRESSES: [u8; 8] = [198, 18, 0, 1, 198, 18, 0, 2];
const PORT: [u8; 2] = [0, 9];
/// Fields of an IPv4 header (RFC 791 3.1): version and length, time to live.
const IPV4: u8 = 0x45;
const TTL: u8 = 64;
const UDP: u8 = 17;

/// The card completes the UDP checksum, as it does for naio's stack.
const CHECKSUM: TxChecksum =
    TxChecksum { protocol: TxProtocol::Udp, ipv4: true, ip_start: IP_START, start: UDP_START };

/// The headers of a datagram that fills a frame of this size.
fn headers(from: [u8; 6], size: u16) -> [u8; HEADERS_LEN] {
    let (ip_len, udp_len) = (size - u16::from(IP_START), size - u16::from(UDP_START));
    let mut headers = [0; HEADERS_LEN];
    headers[..6].copy_from_slice(&STATION);
    headers[6..12].copy_from_slice(&from);
    headers[12..14].copy_from_slice(&[8, 0]);
    let (ip, udp) = headers[usize::from(IP_START)..].split_at_mut(usize::from(UDP_START - IP_START));
    ip[0] = IPV4;
    ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
    (ip[8], ip[9]) = (TTL, UDP);
    ip[12..20].copy_from_slice(&ADDRESSES);
    let sum = Sum::ZERO.bytes(ip).checksum();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    udp[..2].copy_from_slice(&PORT);
    udp[2..4].copy_from_slice(&PORT);
    udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
    // The pseudo-header's sum, not inverted: the rest is the card's.
    let seed = Sum::ZERO.bytes(&ADDRESSES).word(UDP.into()).word(udp_len).folded();
    udp[6..8].copy_from_slice(&seed.to_be_bytes());
    headers
}

/// A sender of one kind of frame.
pub(crate) struct Sender<'a> {
    card: &'a mut Card,
    burst: usize,
    shape: Shape,
    headers: [u8; HEADERS_LEN],
    /// What is sent of each page.
    slices: Vec<DmaSlice>,
    /// Pages that the card does not read.
    free: Vec<ExtentId>,
    packets: Vec<TxPacket>,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(card: &'a mut Card, plan: &Plan, shape: Shape) -> Sender<'a> {
        let headers = headers(card.nic.caps().mac.0, plan.size);
        let mut free = Vec::with_capacity(2 * card.pages.len());
        free.extend((0..card.pages.len() as u32).map(ExtentId));
        let packets = Vec::with_capacity(plan.burst);
        let start = if shape == Shape::Header { HEADERS_LEN } else { 0 };
        // A page is longer than any frame.
        let slice = |page| card.pool.slice(page, start..plan.size.into());
        let slices = card.pages.iter().filter_map(slice).collect();
        Sender { card, burst: plan.burst, shape, headers, slices, free, packets }
    }

    /// Takes back what the card is done with and sends a burst of frames, at most `left`; returns how many.
    pub(crate) fn send(&mut self, left: u64) -> u64 {
        let most = self.burst.min(left as usize);
        self.card.nic.reap_tx(&mut self.free);
        let room = most.min(self.card.nic.tx_room()).saturating_sub(self.packets.len());
        for _ in 0..room.min(self.free.len()) {
            let Some(extent) = self.free.pop() else { break };
            self.push(extent);
        }
        let sent = self.card.nic.post_tx(&mut self.packets);
        self.card.nic.ring();
        sent as u64
    }

    /// Whether every page is back.
    pub(crate) fn is_done(&mut self) -> bool {
        self.card.nic.reap_tx(&mut self.free);
        self.packets.is_empty() && self.free.len() == self.card.pages.len()
    }

    /// Describes a frame in the page of this extent. It is made where it will lie: a packet is some hundred bytes.
    #[inline]
    fn push(&mut self, extent: ExtentId) {
        self.packets.push(TxPacket::default());
        let Some(packet) = self.packets.last_mut() else { return };
        packet.checksum = Some(CHECKSUM);
        match self.shape {
            Shape::Header => {
                // It has room for three times as many.
                let _ = packet.header.try_extend_from_slice(&self.headers);
            }
            Shape::Whole => {
                let Card { pool, pages, .. } = &mut *self.card;
                pool.bytes_mut(&mut pages[extent.0 as usize])[..HEADERS_LEN].copy_from_slice(&self.headers);
            }
        }
        packet.fragments.push(Fragment { slice: self.slices[extent.0 as usize], extent });
    }
}

impl Work for Sender<'_> {
    fn turn(&mut self, left: u64, _report: &mut Report) -> u64 {
        self.send(left)
    }
}

/// Sends as planned.
pub(crate) fn run(card: &mut Card, plan: &Plan, shape: Shape) -> Result<Report, Failure> {
    let mut sender = Sender::new(card, plan, shape);
    let mut report = measure::run(&mut sender, "txonly", plan)?;
    while !sender.is_done() {}
    report.bytes = report.frames * u64::from(plan.size);
    Ok(report)
}
