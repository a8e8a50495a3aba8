//! What every room stands on: one driver over one card in virtual time, whose wire the test plays.

use crate::socket::{Seated, Socket};
use naio_dma::{Buffer, Domain, Page};
use naio_e1000::{Config, E1000, OpenError};
use naio_e1000_model::wire::scripted::{Script, Scripted};
use naio_e1000_model::{Card, Frame, Model, Options, Profile};
use naio_nic::tx::HEADER_LEN_MAX;
use naio_nic::{Counters, ExtentId, Fragment, Nic, RxChecksum, RxFrame, TxPacket};
use std::time::Duration;

/// The ids that the driver claims (8254x fact sheet 1.1): copper parts with MDIC and a Marvell PHY.
pub(crate) const CLAIMED: [u16; 16] = [
    0x1008, 0x100c, 0x100d, 0x100e, 0x1015, 0x1016, 0x1017, 0x101e, 0x100f, 0x1026, 0x1010, 0x101d, 0x1079,
    0x108a, 0x1099, 0x10b5,
];
pub(crate) const PROFILES: [Profile; 4] =
    [Profile::Silicon, Profile::Qemu, Profile::VirtualBox, Profile::Vmware];
/// Longest frame without FCS that a card stores while RCTL.LPE is 0 (8254x fact sheet 1.3).
pub(crate) const FRAME_LEN_MAX: usize = 1518;
pub(crate) const FRAME_LEN_MIN: usize = 60;
/// A local experiment (IEEE 802): nothing that a card looks into.
const ETHER_TYPE: [u8; 2] = [0x88, 0xb5];
/// Our partner on the wire.
pub(crate) const PEER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x77];
/// Longest wait for a link anywhere (8254x fact sheet 6.4), and a little for the rest of opening.
const OPEN_WITHIN: Duration = Duration::from_secs(8);
/// Register reads that opening may take: pins are moved by hand, and the worst card is asked twice.
const OPEN_READS_MAX: u64 = 200_000;

/// A driver, its card, and both ends of everything.
pub(crate) struct Bench {
    pub(crate) nic: E1000<Seated>,
    pub(crate) card: Card,
    pub(crate) wire: Script,
    pub(crate) socket: Socket,
    pub(crate) domain: Domain,
    pub(crate) config: Config,
}

/// A card that no driver has opened yet.
pub(crate) struct Closed {
    pub(crate) card: Card,
    pub(crate) wire: Script,
    pub(crate) socket: Socket,
    domain: Domain,
}

pub(crate) fn of_profile(device_id: u16, profile: Profile) -> Options {
    Options { device_id, quirks: profile.quirks(), ..Options::default() }
}

pub(crate) fn rings(rx_ring: u32, tx_ring: u32) -> Config {
    Config { rx_ring, tx_ring, rx_spare: 64, ..Config::default() }
}

impl Closed {
    pub(crate) fn new(options: Options) -> Closed {
        let domain = Domain::new();
        let (end, wire) = Scripted::new();
        let model = Model::new(options, &domain, end).expect("an id of the family");
        Closed { card: model.card(), wire, socket: Socket::new(model), domain }
    }

    /// Opens the card; whatever the card does, within the bounds of every wait.
    pub(crate) fn open(&self, config: &Config) -> Result<Bench, OpenError> {
        let opened = E1000::open(self.socket.device(), config);
        let (reads, waited) = self.socket.take_cost();
        assert!(reads < OPEN_READS_MAX && waited < OPEN_WITHIN, "opening took {reads} reads and {waited:?}");
        let (card, wire) = (self.card.clone(), self.wire.clone());
        let (socket, domain, config) = (self.socket.clone(), self.domain.clone(), config.clone());
        opened.map(|nic| Bench { nic, card, wire, socket, domain, config })
    }

    pub(crate) fn innocent(&self, what: &str) {
        innocent(&self.card, what);
    }
}

pub(crate) fn innocent(card: &Card, what: &str) {
    let shown: Vec<String> = card.violations().iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{what}: {shown:#?}");
}

impl Bench {
    pub(crate) fn new(options: Options) -> Bench {
        Bench::with(options, &rings(128, 128))
    }

    pub(crate) fn with(options: Options, config: &Config) -> Bench {
        let id = options.device_id;
        Closed::new(options).open(config).unwrap_or_else(|e| panic!("{id:#x}: {e}"))
    }

    /// Closes the driver and opens another one on the same card.
    pub(crate) fn reopen(self) -> Bench {
        let (closed, config) = self.close();
        closed.open(&config).unwrap_or_else(|e| panic!("again: {e}"))
    }

    pub(crate) fn close(self) -> (Closed, Config) {
        let Bench { nic, card, wire, socket, domain, config } = self;
        let capacity = nic.rx_pool().capacity() as usize;
        assert_eq!(nic.rx_pages(), capacity, "every page is with the driver when it is closed");
        drop(nic);
        (Closed { card, wire, socket, domain }, config)
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.nic.caps().mac.0
    }

    /// A frame to us that looks like no other of its length and seed.
    pub(crate) fn frame(&self, len: usize, seed: u64) -> Vec<u8> {
        bytes(self.mac(), PEER, len, seed)
    }

    /// The card takes these off the wire as far as it can.
    pub(crate) fn arrive(&self, frames: &[Vec<u8>]) {
        frames.iter().for_each(|frame| self.wire.put(Frame::good(frame)));
        self.card.run();
    }

    /// Everything that has been received; the pages go back and the card hears of it.
    pub(crate) fn take(&mut self) -> Vec<(Vec<u8>, RxChecksum)> {
        let mut got = Vec::new();
        loop {
            let (frames, mut pages) = self.hold(64);
            let count = frames.len();
            got.extend(frames);
            self.nic.post_rx(&mut pages);
            self.nic.ring();
            self.card.run();
            if count == 0 {
                return got;
            }
        }
    }

    /// The next frames, at most `budget`, and their pages.
    pub(crate) fn hold(&mut self, budget: usize) -> (Vec<(Vec<u8>, RxChecksum)>, Vec<Page>) {
        let mut frames: Vec<RxFrame> = Vec::new();
        let count = self.nic.reap_rx(&mut frames, budget);
        assert!(count == frames.len() && count <= budget, "{count} of {budget}");
        let pool = self.nic.rx_pool();
        let read = |frame: &RxFrame| {
            let start = usize::from(frame.offset);
            (pool.bytes(&frame.page)[start..start + usize::from(frame.len)].to_vec(), frame.checksum)
        };
        let contents = frames.iter().map(read).collect();
        (contents, frames.into_iter().map(|frame| frame.page).collect())
    }

    /// The bytes of everything that has been received.
    pub(crate) fn taken(&mut self) -> Vec<Vec<u8>> {
        self.take().into_iter().map(|(bytes, _)| bytes).collect()
    }

    /// Frames come in and are all handed up, as they are.
    pub(crate) fn exchange_in(&mut self, frames: &[Vec<u8>], what: &str) {
        for burst in frames.chunks(32) {
            self.arrive(burst);
            let got = self.taken();
            assert!(got == burst, "{what}: {} of {} frames, or other ones", got.len(), burst.len());
        }
    }

    /// Packets go down; how many were taken.
    pub(crate) fn post(&mut self, packets: &mut Vec<TxPacket>) -> usize {
        let taken = self.nic.post_tx(packets);
        self.nic.ring();
        self.card.run();
        taken
    }

    /// What the card has sent since the last call.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.wire.take()).map(|frame| frame.bytes).collect()
    }

    /// The extents that have come back.
    pub(crate) fn released(&mut self) -> Vec<u32> {
        let mut released: Vec<ExtentId> = Vec::new();
        self.nic.reap_tx(&mut released);
        released.into_iter().map(|extent| extent.0).collect()
    }

    /// Packets leave, as they are, and their extents come back in order.
    pub(crate) fn exchange_out(&mut self, memory: &mut Memory, count: usize, what: &str) {
        let mut packets: Vec<TxPacket> = (0..count).map(|n| memory.packet(self.mac(), 64 + n)).collect();
        let wanted: Vec<Vec<u8>> = packets.iter().map(|packet| memory.flat(packet)).collect();
        let extents: Vec<u32> =
            packets.iter().flat_map(|p| p.fragments.iter().map(|fragment| fragment.extent.0)).collect();
        assert_eq!(self.post(&mut packets), count, "{what}");
        assert!(self.sent() == wanted, "{what}: frames leave as they are");
        assert_eq!(self.released(), extents, "{what}");
    }

    pub(crate) fn counters(&mut self) -> Counters {
        self.nic.counters()
    }

    /// The card found nothing wrong, and all pages are where they belong.
    pub(crate) fn innocent(&self, what: &str) {
        innocent(&self.card, what);
        assert_eq!(self.nic.rx_pages(), self.nic.rx_pool().capacity() as usize, "{what}: pages");
    }
}

/// A frame of `len` bytes with contents of its own.
pub(crate) fn bytes(to: [u8; 6], from: [u8; 6], len: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed << 16 ^ len as u64);
    let mut bytes = [&to[..], &from, &ETHER_TYPE].concat();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(len.saturating_sub(14)));
    bytes.truncate(len);
    bytes
}

/// User memory to send from, filled with noise that never changes.
pub(crate) struct Memory {
    buffer: Buffer,
    next_extent: u32,
}

pub(crate) const MEMORY_LEN: usize = 1 << 16;

impl Memory {
    pub(crate) fn new(domain: &Domain) -> Memory {
        Memory::of(domain, MEMORY_LEN)
    }

    pub(crate) fn of(domain: &Domain, len: usize) -> Memory {
        let mut buffer = Buffer::allocate(domain, 1, len).expect("memory").pop().expect("one");
        fastrand::Rng::with_seed(5).fill(&mut buffer);
        Memory { buffer, next_extent: 0 }
    }

    /// The bytes of a stretch, by reference.
    pub(crate) fn fragment(&mut self, at: usize, len: usize) -> Fragment {
        self.next_extent += 1;
        let slice = self.buffer.slice(at..at + len).expect("inside");
        Fragment { slice, extent: ExtentId(self.next_extent) }
    }

    /// A packet of header and one fragment, `len` bytes in all.
    pub(crate) fn packet(&mut self, from: [u8; 6], len: usize) -> TxPacket {
        let mut packet = TxPacket::default();
        packet.header.extend(bytes(PEER, from, 14, 0));
        packet.fragments.push(self.fragment(len * 16 % 4096, len - 14));
        packet
    }

    /// What such a packet is on the wire, before any offload.
    pub(crate) fn flat(&self, packet: &TxPacket) -> Vec<u8> {
        let base = self.buffer.slice(0..1).expect("inside").iova().as_u64();
        let mut flat = packet.header.to_vec();
        for fragment in &packet.fragments {
            let at = (fragment.slice.iova().as_u64() - base) as usize;
            flat.extend_from_slice(&self.buffer[at..at + fragment.slice.len() as usize]);
        }
        flat.resize(flat.len().max(FRAME_LEN_MIN), 0);
        flat
    }

    pub(crate) fn random_fragment(&mut self, random: &mut fastrand::Rng, len: usize) -> Fragment {
        self.fragment(random.usize(..self.buffer.len() - len), len)
    }
}

/// As much of a header as fits inline.
pub(crate) fn inline(bytes: &[u8]) -> TxPacket {
    let mut packet = TxPacket::default();
    packet.header.extend(bytes.iter().copied().take(HEADER_LEN_MAX));
    packet
}
