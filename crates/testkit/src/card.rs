//! A card at one end of a [`Wire`]: an ordinary [`Nic`] without hardware.
//!
//! Receives packets by reference and really fetches them through the [`Bus`], late; hands frames up
//! in pages of its own pool. It gives the references of a packet back only after [`tx_lag`] more
//! packets have left, or at a reap that found nothing to send.
//!
//! [`tx_lag`]: crate::wire::WireOptions::tx_lag

use crate::cut;
use crate::sum;
use crate::wire::{Wire, WireOptions};
use naio_dma::{Bus, Domain, Page, Pool};
use naio_nic::{
    Caps, Counters, ExtentId, Health, Link, Mac, Nic, RxChecksum, RxFrame, Segmentation, TxPacket,
};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

/// Smallest frame on a wire, without FCS.
const FRAME_LEN_MIN: usize = 60;
/// Bytes of each receive page, at least.
const PAGE_LEN_MIN: usize = 2048;
/// Ethernet header, and one with a VLAN tag.
const ETHER_LEN: usize = 14;
const TAGGED_LEN: usize = 18;

/// One end of a [`Wire`].
pub struct WireNic {
    wire: Wire,
    end: usize,
    caps: Caps,
    bus: Bus,
    rx_pool: Pool,
    spares: Vec<Page>,
    rx_checksum: bool,
    tx_lag: usize,
    /// Posted, and the doorbell not yet rung.
    posted: VecDeque<TxPacket>,
    /// Rung; the card has not fetched the bytes yet.
    rung: VecDeque<TxPacket>,
    /// Fetched; the references are still out.
    fetched: VecDeque<TxPacket>,
    counters: Counters,
}

impl WireNic {
    pub(crate) fn new(domain: &Domain, wire: Wire, end: usize, options: &WireOptions) -> WireNic {
        let page_len = (options.mtu + TAGGED_LEN).next_power_of_two().max(PAGE_LEN_MIN);
        let cuts = |completes: bool| match completes && options.tx_segmentation {
            true => Segmentation::Driver,
            false => Segmentation::None,
        };
        let rx_pool = Pool::new(domain, options.rx_pages, page_len).expect("memory for a test's pages");
        let spares = (0..options.ring).map_while(|_| rx_pool.take()).collect();
        WireNic {
            wire,
            end,
            caps: Caps {
                mac: Mac([2, 0, 0, 0, 0, end as u8 + 1]),
                model: "wire",
                mtu: options.mtu,
                tx_checksum_ipv4: options.tx_checksum,
                tx_checksum_ipv6: options.tx_checksum_ipv6,
                tx_fragments: naio_nic::tx::FRAGMENTS_MAX,
                tx_segmentation_ipv4: cuts(options.tx_checksum),
                tx_segmentation_ipv6: cuts(options.tx_checksum_ipv6),
                rx_ring: options.ring,
                tx_ring: options.ring,
            },
            bus: domain.bus(),
            rx_pool,
            spares,
            rx_checksum: options.rx_checksum,
            tx_lag: options.tx_lag,
            posted: VecDeque::new(),
            rung: VecDeque::new(),
            fetched: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Fetches and sends everything the doorbell was rung for. Called by itself when a user next
    /// reaps: until then the memory is only referred to, as with a real card.
    pub fn transmit(&mut self) {
        while let Some(packet) = self.rung.pop_front() {
            let mut frame = packet.header.to_vec();
            for fragment in &packet.fragments {
                let start = frame.len();
                frame.resize(start + fragment.slice.len() as usize, 0);
                self.bus
                    .read(fragment.slice.iova().as_u64(), &mut frame[start..])
                    .expect("a posted fragment is mapped");
            }
            if packet.mss.is_some() {
                self.counters.tx_cut_by_driver += 1;
                cut::segments(&packet, &frame).into_iter().for_each(|segment| self.send(segment, true));
            } else {
                let mut clean = true;
                if let Some(offload) = packet.checksum {
                    clean =
                        if offload.ipv4 { self.caps.tx_checksum_ipv4 } else { self.caps.tx_checksum_ipv6 };
                    sum::complete(&mut frame, offload.start.into(), offload.offset().into());
                }
                self.send(frame, clean);
            }
            self.fetched.push_back(packet);
        }
    }

    /// One frame leaves, padded; `clean` says that no offload was misused.
    fn send(&mut self, mut frame: Vec<u8>, clean: bool) {
        self.counters.tx_frames += 1;
        self.counters.hw_tx_good += 1;
        self.counters.tx_bytes += frame.len() as u64;
        frame.resize(frame.len().max(FRAME_LEN_MIN), 0);
        self.wire.lock().send(self.end, frame, clean);
    }

    /// Packets that this card never offered to send are bugs of the sender.
    fn check(&self, packet: &TxPacket) {
        let len = packet.len();
        assert!(len > 0, "a packet has bytes");
        let Some(mss) = packet.mss else {
            assert!(len <= self.caps.mtu + ETHER_LEN, "a packet of {len} fits the wire");
            return;
        };
        let ipv4 = packet.checksum.is_some_and(|checksum| checksum.ipv4);
        let offered = if ipv4 { self.caps.tx_segmentation_ipv4 } else { self.caps.tx_segmentation_ipv6 };
        assert!(offered.is_offered(), "cutting was offered: {:?}", packet.checksum);
        let header = packet.header.len();
        let longest = header + usize::from(mss.get()).min(len - header);
        assert!(longest <= self.caps.mtu + TAGGED_LEN, "a segment of {longest} fits the wire");
    }
}

impl Nic for WireNic {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_pool(&self) -> &Pool {
        &self.rx_pool
    }

    fn link(&mut self) -> Link {
        if self.wire.lock().has_link() {
            Link::Up { mbit_per_s: 1000, full_duplex: true }
        } else {
            Link::Down
        }
    }

    fn health(&mut self) -> Health {
        if self.wire.lock().is_in(self.end) { Health::Alive } else { Health::Gone }
    }

    fn rx_pages(&self) -> usize {
        self.spares.len()
    }

    fn set_multicast(&mut self, groups: &[Mac]) {
        // A wire in memory filters nothing, which is within the contract.
        let _ = groups;
    }

    fn reap_rx(&mut self, frames: &mut Vec<RxFrame>, budget: usize) -> usize {
        let before = frames.len();
        while frames.len() - before < budget {
            let Some((bytes, vouched)) = self.wire.lock().receive(self.end) else { break };
            let spare = self.spares.pop();
            self.wire.lock().received(self.end, spare.is_some());
            let Some(mut page) = spare else {
                self.counters.rx_no_page += 1;
                continue;
            };
            self.rx_pool.bytes_mut(&mut page)[..bytes.len()].copy_from_slice(&bytes);
            self.counters.rx_frames += 1;
            self.counters.hw_rx_good += 1;
            self.counters.rx_bytes += bytes.len() as u64;
            let checksum = if vouched && self.rx_checksum { RxChecksum::Good } else { RxChecksum::Unknown };
            frames.push(RxFrame { page, offset: 0, len: bytes.len() as u16, checksum });
        }
        frames.len() - before
    }

    fn post_rx(&mut self, pages: &mut Vec<Page>) {
        self.spares.append(pages);
    }

    fn tx_room(&self) -> usize {
        let used = self.posted.len() + self.rung.len() + self.fetched.len();
        (self.caps.tx_ring as usize).saturating_sub(used)
    }

    fn post_tx(&mut self, packets: &mut Vec<TxPacket>) -> usize {
        let count = packets.len().min(self.tx_room());
        for packet in packets.drain(..count) {
            self.check(&packet);
            self.posted.push_back(packet);
        }
        count
    }

    fn reap_tx(&mut self, released: &mut Vec<ExtentId>) {
        let busy = !self.rung.is_empty();
        self.transmit();
        let keep = if busy { self.tx_lag } else { 0 };
        while self.fetched.len() > keep {
            let packet = self.fetched.pop_front();
            released.extend(packet.into_iter().flat_map(|p| p.fragments).map(|f| f.extent));
        }
    }

    fn ring(&mut self) {
        if !self.posted.is_empty() {
            self.counters.doorbells += 1;
        }
        self.rung.append(&mut self.posted);
    }

    fn counters(&mut self) -> Counters {
        Counters { hw_missed: self.wire.lock().missed(self.end), ..self.counters }
    }

    fn irq_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn arm_irq(&mut self, armed: bool) -> bool {
        let _ = armed;
        false
    }
}
