//! The driver of the Intel 8254x family (e1000): a [`Nic`] over any [`Device`].
//!
//! Receives a card, and then pages and packets; hands on frames and finished extents. It is
//! monomorphic in the device, polls, and never blocks after [`E1000::open`]. It never sees VFIO, a
//! socket, or an IP header.
//!
//! The rooms, in the order a frame meets them: [`ids`] says what the part is, `init` brings it up
//! (with `eeprom`, `phy` and `link`), `rx` and `tx` hold the rings over the layouts of `desc`,
//! `offload` the transmit contexts, `filter` the multicast table, `stats` the counters, `irq` the interrupt. `regs` is the
//! datasheet's register list.
#![forbid(unsafe_code)]

mod desc;
mod eeprom;
mod eerd;
mod filter;
pub mod ids;
mod init;
mod irq;
mod link;
mod offload;
mod phy;
mod regs;
mod rx;
mod stats;
#[cfg(test)]
mod tests;
mod tx;
mod wait;
mod watchdog;

pub use eeprom::EepromError;
pub use phy::PhyError;
pub use regs::REGISTER_WINDOW_LEN;
pub use wait::Timeout;

use filter::MulticastTable;
use ids::{Features, Part, PartError};
use naio_device::{Attention, Device, DeviceError, Registers};
use naio_dma::{DescArray, Page, Pool, RegionError};
use naio_nic::tx::{FRAGMENTS_MAX, HEADER_LEN_MAX};
use naio_nic::{Caps, Counters, ExtentId, Health, Link, Mac, Nic, RxFrame, Segmentation, TxPacket};
use offload::Offload;
use regs::{ALL_ONES, CTRL, IMC, RDT, STATUS, TDT, status};
use rx::RxRing;
use stats::Statistics;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use tx::TxRing;
use watchdog::Watchdog;

/// Smallest ring: below it a burst of the size that Linux queues does not fit.
pub const RING_LEN_MIN: u32 = 80;
/// Rings are a multiple of this: RDLEN and TDLEN count 128 bytes (8254x SDM 13.4.27).
pub const RING_LEN_STEP: u32 = 8;
/// Receive buffers are of this many bytes at least (RCTL.BSIZE 00), where a standard frame with a VLAN tag fits with
/// room to spare; for longer ones, of a power of two up to 16384.
const RX_PAGE_LEN_MIN: usize = 2048;
/// IP packet of a standard Ethernet frame (IEEE 802.3 3.2.7).
const MTU: usize = 1500;
/// Smallest IP packet that every link carries (RFC 791 3.2).
const MTU_MIN: usize = 68;
/// Ethernet header and one VLAN tag.
const LINK_HEADER_LEN_MAX: usize = 18;

/// How to run the card.
#[derive(Clone, Debug)]
pub struct Config {
    /// Receive descriptors: 80 to 4096, a multiple of 8.
    pub rx_ring: u32,
    /// Transmit descriptors: 80 to 4096, a multiple of 8.
    pub tx_ring: u32,
    /// Receive pages beyond those in the ring: how many frames may be held above the driver. Every
    /// frame that is handed up takes one; with none at all, none ever is.
    pub rx_spare: u32,
    /// Largest IP packet in bytes: 68 to 16110, and standard up to 1500. Every frame lies in one receive page, whose
    /// length follows from this: 2048, 4096, 8192 or 16384.
    pub mtu: usize,
    /// Let the card cut long TCP packets, where it can; otherwise this driver does, which costs instructions and spares
    /// parts and emulators with trouble there.
    pub card_cuts: bool,
    /// How long [`E1000::open`] waits for the link.
    pub link_within: Duration,
}

impl Config {
    /// A frame without FCS.
    fn frame_len_max(&self) -> usize {
        self.mtu + LINK_HEADER_LEN_MAX
    }

    /// Every frame that is expected fits one page.
    fn rx_page_len(&self) -> usize {
        self.frame_len_max().next_power_of_two().max(RX_PAGE_LEN_MIN)
    }
}

impl Default for Config {
    /// 1024 receive and 512 transmit descriptors, 512 spare pages, standard frames, six seconds for the link
    /// (VirtualBox needs five).
    fn default() -> Config {
        Config {
            rx_ring: 1024,
            tx_ring: 512,
            rx_spare: 512,
            mtu: MTU,
            card_cuts: true,
            link_within: Duration::from_secs(6),
        }
    }
}

/// The card could not be brought up; it is off the bus again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a part that this driver drives.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The configuration asks for an impossible ring.
    #[error(
        "{ring} ring of {len} descriptors: it must have {RING_LEN_MIN} to {max} and a multiple of {RING_LEN_STEP}"
    )]
    RingLen {
        /// Receive or transmit.
        ring: &'static str,
        /// What was asked for.
        len: u32,
        /// What the part allows.
        max: u32,
    },
    /// The configuration asks for packets that no frame of the part holds.
    #[error("an MTU of {mtu}: this part takes {MTU_MIN} to {max}")]
    Mtu {
        /// What was asked for.
        mtu: usize,
        /// What the part allows.
        max: usize,
    },
    /// Every register reads as all ones.
    #[error(
        "the card does not answer (every register reads as all ones): is it powered, and is its memory decoding on?"
    )]
    Gone,
    /// The card did not do something in time.
    #[error(transparent)]
    Timeout(#[from] Timeout),
    /// There is no usable station address, neither in the EEPROM nor in receive address 0.
    #[error("the card has no usable station address ({0})")]
    NoAddress(#[source] EepromError),
    /// The PHY.
    #[error("the PHY cannot be set up")]
    Phy(#[from] PhyError),
    /// The card does not hold what is written to its ring registers.
    #[error("the card does not keep the address of its {ring} ring")]
    RingRefused {
        /// Receive or transmit.
        ring: &'static str,
    },
    /// No link in time.
    #[error("no link: {0}; is the cable in?")]
    NoLink(#[source] Timeout),
    /// No memory for rings and pages.
    #[error(transparent)]
    Memory(#[from] RegionError),
    /// The card's bus interface.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// An 8254x, up and running. Dropping it stops the card before any memory goes.
pub struct E1000<D: Device> {
    // Declared first, so dropped first: the device takes the card off the bus, then memory goes.
    device: D,
    part: &'static Part,
    features: Features,
    caps: Caps,
    rx: RxRing<D::Doorbell>,
    tx: TxRing<D::Doorbell>,
    multicast: MulticastTable,
    /// Nothing before the card is enabled.
    statistics: Option<Statistics>,
    watchdog: Watchdog,
    gone: bool,
}

impl<D: Device> E1000<D> {
    /// Brings the card up: reset, station address, filters, rings, link.
    ///
    /// Blocks for the reset and until the link is up: some tens of milliseconds and up to
    /// [`Config::link_within`].
    ///
    /// # Errors
    /// See [`OpenError`]. The device is dropped then, which takes the card off the bus.
    pub fn open(device: D, config: &Config) -> Result<E1000<D>, OpenError> {
        let (part, mut features) = ids::identify(device.identity())?;
        features.tx_segmentation &= config.card_cuts;
        check_ring_len("receive", config.rx_ring, &features)?;
        check_ring_len("transmit", config.tx_ring, &features)?;
        if !(MTU_MIN..=features.mtu_max).contains(&config.mtu) {
            return Err(OpenError::Mtu { mtu: config.mtu, max: features.mtu_max });
        }
        if is_gone(&device) {
            return Err(OpenError::Gone);
        }
        // Bus mastering is still off: whatever goes wrong here, the card never saw the rings.
        let (mac, rx, tx) = prepare(&device, &features, config)
            .map_err(|e| if is_gone(&device) { OpenError::Gone } else { e })?;
        let caps = Caps {
            mac,
            model: part.name,
            mtu: config.mtu,
            tx_checksum_ipv4: features.tx_checksum,
            tx_checksum_ipv6: features.tx_checksum,
            tx_fragments: FRAGMENTS_MAX,
            tx_segmentation_ipv4: segmentation(&features, features.tx_segmentation),
            tx_segmentation_ipv6: segmentation(&features, false),
            rx_ring: config.rx_ring,
            tx_ring: config.tx_ring,
        };
        // From here on dropping the card is what takes it off the bus, before any memory goes.
        let mut card = E1000 {
            device,
            part,
            features,
            caps,
            rx,
            tx,
            multicast: MulticastTable::new(),
            statistics: None,
            watchdog: Watchdog::default(),
            gone: false,
        };
        match card.start(config.link_within) {
            Ok(link) => log::info!("{} {mac}: {link:?}", part.name),
            Err(e) => return Err(if card.is_gone() { OpenError::Gone } else { e }),
        }
        Ok(card)
    }

    /// Lets the card work, and waits until it has a link to work on.
    fn start(&mut self, link_within: Duration) -> Result<Link, OpenError> {
        self.device.set_bus_master(true)?;
        self.statistics = Some(self.enable());
        self.rx.ring();
        link::wait_up(&self.device, link_within).map_err(OpenError::NoLink)
    }

    /// Both units on, for frames as long as the rings were made for.
    fn enable(&self) -> Statistics {
        init::enable(&self.device, self.rx.pool().page_len(), self.caps.mtu > MTU)
    }

    fn is_gone(&mut self) -> bool {
        self.gone = self.gone || is_gone(&self.device);
        self.gone
    }

    /// The part.
    #[must_use]
    pub fn part(&self) -> &'static Part {
        self.part
    }
}

/// A card that was pulled answers all ones. CTRL too: one register at all ones is possible, two that
/// cannot be are not.
fn is_gone(registers: &impl Registers) -> bool {
    registers.read(STATUS) == ALL_ONES && registers.read(CTRL) == ALL_ONES
}

/// A card that is reset, addressed and told where its rings are, with everything still switched off.
type Prepared<B> = (Mac, RxRing<B>, TxRing<B>);

fn prepare<D: Device>(
    device: &D,
    features: &Features,
    config: &Config,
) -> Result<Prepared<D::Doorbell>, OpenError> {
    init::reset(device, features)?;
    let mac = init::station_address(device, features)?;
    init::filters(device, features, mac);
    init::start_link(device, features)?;
    let tx = tx_ring(device, features, config)?;
    init::program_tx(device, features, tx.desc(), tx.bell())?;
    let rx = rx_ring(device, features, config)?;
    init::program_rx(device, features, rx.desc(), rx.bell())?;
    Ok((mac, rx, tx))
}

/// Who cuts long packets. Payload must not be read here, so without the card's checksum nobody does.
fn segmentation(features: &Features, card: bool) -> Segmentation {
    match (features.tx_checksum, card) {
        (false, _) => Segmentation::None,
        (true, true) => Segmentation::Card,
        (true, false) => Segmentation::Driver,
    }
}

fn check_ring_len(ring: &'static str, len: u32, features: &Features) -> Result<(), OpenError> {
    let max = features.ring_max;
    if (RING_LEN_MIN..=max).contains(&len) && len.is_multiple_of(RING_LEN_STEP) {
        Ok(())
    } else {
        Err(OpenError::RingLen { ring, len, max })
    }
}

fn tx_ring<D: Device>(
    device: &D,
    features: &Features,
    config: &Config,
) -> Result<TxRing<D::Doorbell>, OpenError> {
    let desc = DescArray::new(device.domain(), config.tx_ring)?;
    let headers = Pool::new(device.domain(), config.tx_ring, HEADER_LEN_MAX)?;
    let offload = Offload::new(features, config.frame_len_max());
    let odd_ends = features.tx_odd_ends_in_pcix && device.read(STATUS) & status::PCIX_MODE != 0;
    let bell = device.doorbell(TDT)?;
    Ok(TxRing::new(desc, headers, offload, odd_ends, bell))
}

fn rx_ring<D: Device>(
    device: &D,
    features: &Features,
    config: &Config,
) -> Result<RxRing<D::Doorbell>, OpenError> {
    let desc = DescArray::new(device.domain(), config.rx_ring)?;
    let count = config.rx_ring.saturating_add(config.rx_spare);
    let pool = Pool::new(device.domain(), count, config.rx_page_len())?;
    let pages: Vec<Page> = std::iter::from_fn(|| pool.take()).collect();
    let bell = device.doorbell(RDT)?;
    Ok(RxRing::new(desc, pool, pages, features.rx_verdict, bell))
}

impl<D: Device> Nic for E1000<D> {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_pool(&self) -> &Pool {
        self.rx.pool()
    }

    fn link(&mut self) -> Link {
        if self.gone { Link::Down } else { link::read(&self.device) }
    }

    fn health(&mut self) -> Health {
        if self.is_gone() {
            return Health::Gone;
        }
        self.watch();
        match self.device.attention() {
            Attention::None => Health::Alive,
            Attention::Release => Health::ReleaseRequested,
        }
    }

    fn rx_pages(&self) -> usize {
        self.rx.pages()
    }

    fn set_multicast(&mut self, groups: &[Mac]) {
        if !self.gone {
            self.watchdog.groups = groups.to_vec();
            self.multicast.set(&self.device, &self.features, groups);
        }
    }

    fn reap_rx(&mut self, frames: &mut Vec<RxFrame>, budget: usize) -> usize {
        self.rx.reap(frames, budget)
    }

    fn post_rx(&mut self, pages: &mut Vec<Page>) {
        self.rx.post(pages);
    }

    fn tx_room(&self) -> usize {
        self.tx.room()
    }

    fn post_tx(&mut self, packets: &mut Vec<TxPacket>) -> usize {
        self.tx.post(packets)
    }

    fn reap_tx(&mut self, released: &mut Vec<ExtentId>) {
        self.tx.reap(released);
    }

    fn ring(&mut self) {
        if !self.gone {
            self.rx.ring();
            self.tx.ring();
        }
    }

    fn counters(&mut self) -> Counters {
        if let Some(mut statistics) = self.statistics.filter(|_| !self.gone) {
            statistics.collect(&self.device);
            // A card that went away meanwhile counted nothing of this.
            if !self.is_gone() {
                self.statistics = Some(statistics);
            }
        }
        let hardware = self.statistics.map_or_else(Counters::default, |statistics| statistics.counters);
        let (rx, tx) = (self.rx.counters(), self.tx.counters());
        Counters {
            rx_frames: rx.frames,
            rx_bytes: rx.bytes,
            tx_frames: tx.frames,
            tx_bytes: tx.bytes,
            rx_frame_errors: rx.frame_errors,
            rx_length_errors: rx.length_errors,
            rx_no_page: rx.no_page,
            rx_reset: rx.reset,
            tx_reset: tx.reset,
            resets: self.watchdog.resets,
            tx_refused: tx.refused,
            tx_cut_by_card: tx.cut_by_card,
            tx_cut_by_driver: tx.cut_by_driver,
            doorbells: rx.doorbells + tx.doorbells,
            ..hardware
        }
    }

    fn irq_fd(&self) -> Option<BorrowedFd<'_>> {
        self.device.irq().map(|irq| irq.fd())
    }

    fn arm_irq(&mut self, armed: bool) -> bool {
        if self.gone {
            return false;
        }
        if armed {
            irq::arm(&mut self.device)
        } else {
            self.device.write(IMC, ALL_ONES);
            self.device.irq().is_some()
        }
    }
}

impl<D: Device> Drop for E1000<D> {
    fn drop(&mut self) {
        if !self.gone {
            init::shut_down(&self.device, &self.features);
        }
        if let Err(e) = self.device.set_bus_master(false) {
            log::warn!("{e}: {}", e.source);
        }
    }
}
