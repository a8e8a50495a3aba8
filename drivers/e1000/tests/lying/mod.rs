//! The driver over a card that lies about everything, as a script of bytes says (8254x fact sheet 7.4): shared by the
//! test beside it and by the fuzz target `lying_card`.
//!
//! Whatever the bytes are, the driver must come to an end of every verb within a bound, hand up nothing outside of
//! its pages, give every extent back at most once, and account for every page.

use naio_dma::{Buffer, Domain, Page};
use naio_e1000::{Config, E1000};
use naio_e1000_model::wire::Frame;
use naio_e1000_model::wire::scripted::{Script, Scripted};
use naio_e1000_model::{Card, Checks, Model, Options, Profile};
use naio_nic::tx::TxProtocol;
use naio_nic::{ExtentId, Fragment, Mac, Nic, RxFrame, TxChecksum, TxPacket};
use naio_testkit::{Liar, Lies};
use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

/// Identities that the driver claims, some that it does not, and one of each kind.
const IDS: [u16; 12] =
    [0x100e, 0x100c, 0x100f, 0x1010, 0x1026, 0x1076, 0x1008, 0x1019, 0x1001, 0x1000, 0x107b, 0x1075];
const PROFILES: [Profile; 4] = [Profile::Silicon, Profile::Qemu, Profile::VirtualBox, Profile::Vmware];
/// Most verbs of one run.
const VERBS_MAX: usize = 4_000;
/// Register reads that one verb may take: reading all statistics, twice.
const READS_MAX: u64 = 400;
/// Register reads that bringing up and shutting down may take: bit-banging an EEPROM is thousands.
const OPEN_READS_MAX: u64 = 2_000_000;
/// Time that bringing up may take, with a link that must come within [`LINK_WITHIN`].
const OPEN_WITHIN: Duration = Duration::from_secs(60);
const LINK_WITHIN: Duration = Duration::from_millis(50);
/// Memory to send from.
const BUFFER_LEN: usize = 4096;

/// How far a script came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The card came up.
    pub(crate) opened: bool,
    /// Frames that were handed up.
    pub(crate) frames: u64,
    /// Extents that came back.
    pub(crate) released: u64,
}

struct Run {
    nic: E1000<Liar<Model>>,
    card: Card,
    wire: Script,
    lies: Lies,
    domain: Domain,
    buffer: Buffer,
    held: Vec<Page>,
    /// Extents with the card, by number in the order of posting.
    posted: BTreeSet<u32>,
    next_extent: u32,
    outcome: Outcome,
}

/// Plays a script. Panics where the driver did what it must not do.
pub(crate) fn play(bytes: &[u8]) -> Outcome {
    let lies = Lies::new(bytes);
    let choose = || usize::from(lies.next_byte().unwrap_or(0));
    let options = Options {
        device_id: IDS[choose() % IDS.len()],
        quirks: PROFILES[choose() % PROFILES.len()].quirks(),
        autoneg: Duration::from_millis(1),
        checks: Checks::Light,
        ..Options::default()
    };
    let ring = |choice: usize| 80 + 8 * (choice as u32 % 8);
    let config = Config {
        rx_ring: ring(choose()),
        tx_ring: ring(choose()),
        rx_spare: choose() as u32 % 64,
        link_within: LINK_WITHIN,
        ..Config::default()
    };
    let domain = Domain::new();
    let (end, wire) = Scripted::new();
    let model = Model::new(options, &domain, end).expect("an id of the family");
    let card = model.card();
    lies.set_honest(choose() % 2 == 0);
    let opened = E1000::open(Liar::new(model, lies.clone()), &config);
    let (reads, waited) = (lies.take_reads(), lies.take_delayed());
    assert!(reads <= OPEN_READS_MAX && waited <= OPEN_WITHIN, "opening took {reads} reads and {waited:?}");
    lies.set_honest(false);
    let Ok(nic) = opened else { return Outcome::default() };
    let buffer = Buffer::allocate(&domain, 1, BUFFER_LEN).expect("memory").pop().expect("one");
    let outcome = Outcome { opened: true, ..Outcome::default() };
    let (held, posted) = (Vec::new(), BTreeSet::new());
    let mut run = Run { nic, card, wire, lies, domain, buffer, held, posted, next_extent: 0, outcome };
    for _ in 0..VERBS_MAX {
        let Some(verb) = run.lies.next_byte() else { break };
        run.verb(verb);
        let (reads, waited) = (run.lies.take_reads(), run.lies.take_delayed());
        assert!(reads <= READS_MAX && waited.is_zero(), "verb {verb} took {reads} reads and {waited:?}");
    }
    run.end()
}

impl Run {
    fn verb(&mut self, verb: u8) {
        match verb % 16 {
            0..=2 => {
                self.card.step(usize::from(verb >> 4) * 8 + 1);
            }
            3 | 4 => self.arrive(),
            5 | 6 => self.reap(usize::from(verb >> 4) * 6 + 1),
            7 => self.give_back(),
            8 | 9 => self.send(usize::from(verb >> 4) + 1),
            10 => self.collect(),
            11 => self.nic.ring(),
            12 | 13 => self.lies.scribble(&self.domain.bus()),
            14 => self.look(verb),
            _ => {
                let groups: Vec<Mac> = (0..verb >> 4).map(|n| Mac([1, 0, 0x5e, 0, 0, n])).collect();
                self.nic.set_multicast(&groups);
            }
        }
    }

    /// Frames of any length come over the wire: some larger than a page, some no frames at all.
    fn arrive(&mut self) {
        if self.wire.waiting() > 64 {
            return;
        }
        let choice = self.lies.next_word();
        let len = (choice % if choice & 0x700_0000 == 0 { 9_300 } else { 1_600 }) as usize;
        let mut bytes = vec![choice as u8; len];
        let to = if choice & 0x1000_0000 == 0 { self.nic.caps().mac.0 } else { [0xff; 6] };
        bytes.iter_mut().zip(to).for_each(|(byte, to)| *byte = to);
        self.wire.put(Frame::good(&bytes));
    }

    fn reap(&mut self, budget: usize) {
        let mut frames: Vec<RxFrame> = Vec::new();
        let count = self.nic.reap_rx(&mut frames, budget);
        assert!(count == frames.len() && count <= budget, "{count} frames of {budget}");
        let pool_len = self.nic.rx_pool().page_len();
        for frame in frames {
            let end = usize::from(frame.offset) + usize::from(frame.len);
            assert!(frame.len >= 14 && end <= pool_len, "{frame:?} of {pool_len}");
            self.outcome.frames += 1;
            self.held.push(frame.page);
        }
        // Two pages with one address would be one page in two hands.
        let addresses: BTreeSet<u64> =
            self.held.iter().map(|page| self.nic.rx_pool().iova(page).as_u64()).collect();
        assert_eq!(addresses.len(), self.held.len(), "a page was handed up twice");
    }

    fn give_back(&mut self) {
        self.nic.post_rx(&mut self.held);
        assert!(self.held.is_empty());
    }

    fn send(&mut self, count: usize) {
        let mut packets: Vec<TxPacket> = (0..count).map(|_| self.packet()).collect();
        let taken = self.nic.post_tx(&mut packets);
        assert!(taken + packets.len() == count, "{taken} taken and {} left of {count}", packets.len());
        for packet in packets {
            for fragment in packet.fragments {
                self.posted.remove(&fragment.extent.0);
            }
        }
    }

    /// A packet of any shape, also of shapes that no frame has.
    fn packet(&mut self) -> TxPacket {
        let mut packet = TxPacket::default();
        let shape = self.lies.next_word();
        packet.header.extend(std::iter::repeat_n(0x5a, (shape % 129) as usize));
        for n in 0..(shape >> 8) % 19 {
            let len = (shape.rotate_right(n) % 1_600) as usize;
            let Some(slice) = self.buffer.slice(0..len) else { continue };
            packet.fragments.push(Fragment { slice, extent: ExtentId(self.next_extent) });
            self.posted.insert(self.next_extent);
            self.next_extent += 1;
        }
        if shape & 1 << 20 != 0 {
            let protocol = if shape & 1 << 21 == 0 { TxProtocol::Tcp } else { TxProtocol::Udp };
            let (ip_start, start) = ((shape >> 22) as u8, (shape >> 24) as u8);
            packet.checksum = Some(TxChecksum { protocol, ipv4: shape & 1 << 30 == 0, ip_start, start });
        }
        if shape & 1 << 31 != 0 {
            packet.mss = NonZeroU16::new(self.lies.next_word() as u16 % 2_000);
            if shape & 1 << 19 != 0 && packet.header.len() >= 54 {
                // Headers that can be cut: the TCP header has 20 bytes.
                packet.header.truncate(54);
                packet.header[46] = 0x50;
                let ipv4 = shape & 1 << 30 == 0;
                packet.checksum =
                    Some(TxChecksum { protocol: TxProtocol::Tcp, ipv4, ip_start: 14, start: 34 });
            }
        }
        packet
    }

    fn collect(&mut self) {
        let mut released = Vec::new();
        self.nic.reap_tx(&mut released);
        for extent in released {
            assert!(self.posted.remove(&extent.0), "{extent:?} is not with the card");
            self.outcome.released += 1;
        }
    }

    fn look(&mut self, verb: u8) {
        match verb >> 4 & 3 {
            0 => {
                let _ = self.nic.link();
            }
            1 => {
                let _ = self.nic.health();
            }
            2 => {
                let _ = self.nic.counters();
            }
            _ => {
                let _ = self.nic.arm_irq(verb & 0x80 == 0);
            }
        }
    }

    fn end(mut self) -> Outcome {
        self.collect();
        let pages = self.nic.rx_pages() + self.held.len();
        assert_eq!(pages, self.nic.rx_pool().capacity() as usize, "pages with the driver and with us");
        drop(self.nic);
        let (reads, waited) = (self.lies.take_reads(), self.lies.take_delayed());
        assert!(
            reads <= OPEN_READS_MAX && waited <= OPEN_WITHIN,
            "closing took {reads} reads and {waited:?}"
        );
        self.outcome
    }
}
