//! A card on a bench: its registers, two rings and buffers, without any driver.
#![allow(dead_code, reason = "each test file uses its part of the bench")]

use naio_device::{Device, Doorbell, Registers};
use naio_dma::{Buffer, Bus, DescArray, Domain, Page, Pool};
use naio_e1000_model::regs::*;
use naio_e1000_model::wire::scripted::{Script, Scripted};
use naio_e1000_model::{Card, Frame, Model, Options, Tail};
use std::time::Duration;

pub(crate) const RING: u32 = 64;
pub(crate) const BUFFER_LEN: usize = 16_384;
pub(crate) const BUFFERS: usize = 64;

pub(crate) const EN: u32 = 2;
pub(crate) const BAM: u32 = 1 << 15;
pub(crate) const UPE: u32 = 1 << 3;
pub(crate) const MPE: u32 = 1 << 4;
pub(crate) const LPE: u32 = 1 << 5;
pub(crate) const SBP: u32 = 1 << 2;
pub(crate) const SECRC: u32 = 1 << 26;
pub(crate) const TCTL_ON: u32 = 0x0103_f0fa;

pub(crate) const DD: u64 = 1 << 32;
pub(crate) const EOP: u64 = 1 << 24;
pub(crate) const IFCS: u64 = 1 << 25;
pub(crate) const RS: u64 = 1 << 27;
pub(crate) const DEXT: u64 = 1 << 29;
pub(crate) const DATA: u64 = DEXT | 1 << 20;
pub(crate) const TSE: u64 = 1 << 26;
pub(crate) const VLE: u64 = 1 << 30;
pub(crate) const IDE: u64 = 1 << 31;
pub(crate) const IXSM: u64 = 1 << 40;
pub(crate) const TXSM: u64 = 1 << 41;

/// A received descriptor and its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) word: u64,
}

impl Received {
    pub(crate) fn len(&self) -> usize {
        (self.word & 0xffff) as usize
    }
    pub(crate) fn status(&self) -> u8 {
        (self.word >> 32) as u8
    }
    pub(crate) fn errors(&self) -> u8 {
        (self.word >> 40) as u8
    }
    pub(crate) fn special(&self) -> u16 {
        (self.word >> 48) as u16
    }
    pub(crate) fn checksum(&self) -> u16 {
        (self.word >> 16) as u16
    }
}

pub(crate) struct Bench {
    pub(crate) model: Model,
    pub(crate) card: Card,
    pub(crate) script: Script,
    pub(crate) domain: Domain,
    pub(crate) bus: Bus,
    pub(crate) rx: DescArray,
    pub(crate) tx: DescArray,
    rx_pool: Pool,
    rx_pages: Vec<Page>,
    pub(crate) tx_buffers: Vec<Buffer>,
    pub(crate) rx_doorbell: Tail,
    pub(crate) tx_doorbell: Tail,
    pub(crate) rx_next: u32,
    pub(crate) rx_tail: u32,
    pub(crate) tx_tail: u32,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Bench {
        let domain = Domain::new();
        let (wire, script) = Scripted::new();
        let mut model = Model::new(options, &domain, wire).expect("a part of the family");
        model.set_bus_master(true).expect("always");
        let (rdt, tdt) = if model.identity().device == 0x1000 { (0x128, 0x438) } else { (RDT, TDT) };
        let rx_pool = Pool::new(&domain, BUFFERS as u32, BUFFER_LEN).expect("memory");
        Bench {
            card: model.card(),
            script,
            bus: domain.bus(),
            rx: DescArray::new(&domain, RING).expect("memory"),
            tx: DescArray::new(&domain, RING).expect("memory"),
            rx_pages: std::iter::from_fn(|| rx_pool.take()).collect(),
            rx_pool,
            tx_buffers: Buffer::allocate(&domain, BUFFERS, BUFFER_LEN).expect("memory"),
            rx_doorbell: model.doorbell(rdt).expect("a tail"),
            tx_doorbell: model.doorbell(tdt).expect("a tail"),
            rx_next: 0,
            rx_tail: 0,
            tx_tail: 0,
            domain,
            model,
        }
    }

    pub(crate) fn silicon() -> Bench {
        Bench::new(Options::default())
    }

    pub(crate) fn id(device_id: u16) -> Bench {
        Bench::new(Options { device_id, ..Options::default() })
    }

    pub(crate) fn read(&self, offset: u32) -> u32 {
        self.model.read(offset)
    }

    pub(crate) fn write(&self, offset: u32, value: u32) {
        self.model.write(offset, value);
    }

    pub(crate) fn delay_us(&self, micros: u64) {
        self.model.delay(Duration::from_micros(micros));
    }

    pub(crate) fn link_up(&self) {
        self.write(CTRL, self.read(CTRL) & !8 | 0x40);
        self.delay_us(6_000_000);
        assert_eq!(self.read(STATUS) & 2, 2, "link up");
    }

    /// Rings in place, link up, both engines on with `rctl` and every receive descriptor but one
    /// posted.
    pub(crate) fn running(mut self, rctl: u32) -> Bench {
        self.link_up();
        self.set_up_rings();
        self.post_receive(RING - 1);
        self.write(RCTL, rctl | EN);
        self.rx_doorbell.ring(self.rx_tail);
        self.write(TCTL, TCTL_ON);
        let _ = self.read(ICR);
        self
    }

    pub(crate) fn set_up_rings(&mut self) {
        let old = self.model.identity().device == 0x1000;
        let (rx, tx) = if old { (0x110, 0x420) } else { (RDBAL, TDBAL) };
        for (first, ring) in [(rx, &self.rx), (tx, &self.tx)] {
            self.write(first, ring.iova().low());
            self.write(first + 4, 0);
            self.write(first + 8, ring.byte_len());
            self.write(first + 0x10, 0);
        }
        self.write(TIPG, 0x0060_2008);
        self.write(if old { 0x440 } else { TIDV }, 8);
    }

    /// Posts `count` receive descriptors; descriptor n names buffer n.
    pub(crate) fn post_receive(&mut self, count: u32) {
        for _ in 0..count {
            let at = self.buffer_iova(self.rx_tail);
            self.rx.store(self.rx_tail, at, 0);
            self.rx_tail = (self.rx_tail + 1) % RING;
        }
        self.rx_doorbell.ring(self.rx_tail);
    }

    pub(crate) fn buffer_iova(&self, n: u32) -> u64 {
        self.rx_pool.iova(&self.rx_pages[n as usize]).as_u64()
    }

    /// The next descriptor if it is done, posting another in its place.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        let done = self.rx.done(self.rx_next, DD)?;
        let word = done.word();
        let mut bytes = vec![0; (word & 0xffff) as usize];
        self.bus.read(self.buffer_iova(self.rx_next), &mut bytes).expect("inside");
        self.rx_next = (self.rx_next + 1) % RING;
        self.post_receive(1);
        Some(Received { bytes, word })
    }

    /// A whole frame over as many descriptors as it takes, and the last descriptor.
    pub(crate) fn receive_frame(&mut self) -> Option<(Vec<u8>, Received)> {
        let mut all = Vec::new();
        loop {
            let part = self.receive()?;
            all.extend(&part.bytes);
            if part.status() & 2 != 0 {
                return Some((all, part));
            }
        }
    }

    pub(crate) fn put(&self, bytes: &[u8]) {
        self.script.put(Frame::good(bytes));
        self.card.run();
    }

    /// Posts a transmit descriptor as it is.
    pub(crate) fn post(&mut self, low: u64, high: u64) -> u32 {
        let index = self.tx_tail;
        self.tx.store(index, low, high);
        self.tx_tail = (index + 1) % RING;
        index
    }

    /// Puts `bytes` into transmit buffer `n` and hands on the address.
    pub(crate) fn load(&mut self, n: usize, bytes: &[u8]) -> u64 {
        self.tx_buffers[n][..bytes.len()].copy_from_slice(bytes);
        self.tx_buffers[n].slice(0..BUFFER_LEN).expect("inside").iova().as_u64()
    }

    pub(crate) fn ring(&self) {
        self.tx_doorbell.ring(self.tx_tail);
        self.card.run();
    }

    /// One legacy packet with these command bits.
    pub(crate) fn send(&mut self, bytes: &[u8], command: u64) -> u32 {
        let at = self.load(0, bytes);
        let index = self.post(at, bytes.len() as u64 | command);
        self.ring();
        index
    }

    pub(crate) fn sent(&self) -> Option<Frame> {
        self.script.take()
    }

    pub(crate) fn count(&self, offset: u32) -> u64 {
        self.card.counter(offset).expect("a counter")
    }

    pub(crate) fn innocent(&self) {
        assert_eq!(self.card.violations(), [], "no violation");
    }
}

/// An Ethernet frame to `to` of `len` bytes without FCS, with a pattern in it.
pub(crate) fn frame(to: [u8; 6], len: usize) -> Vec<u8> {
    let mut bytes = to.to_vec();
    bytes.extend([0x02, 0, 0, 0, 0, 0x99, 0x88, 0xb5]);
    bytes.extend((14..len).map(|n| ((n * 31) >> 3) as u8));
    bytes.truncate(len);
    bytes
}

pub(crate) const STATION: [u8; 6] = [0x02, 0x00, 0x5e, 0x10, 0x00, 0x01];
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
