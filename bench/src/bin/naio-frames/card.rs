//! A card for raw frames: its driver, and the pages that what is sent lies in.
//!
//! Receives a name of the form `vfio:0000:00:02.0`; hands on a [`Card`]. It never looks at a frame.

use crate::report::Failure;
use naio_dma::{Domain, Page, Pool};
use naio_e1000::{Config, E1000};
use naio_nic::Nic;
use naio_vfio::PciDevice;

/// Bytes of a page that a frame to send lies in: the longest frame, rounded up.
const PAGE_LEN: usize = 2048;

/// A card, up and with link.
pub(crate) struct Card {
    pub(crate) nic: Box<dyn Nic + Send>,
    /// Where frames to send lie.
    pub(crate) pool: Pool,
    /// Its pages by the number that an extent of them has.
    pub(crate) pages: Vec<Page>,
}

impl Card {
    pub(crate) fn open(name: &str, ring: u32) -> Result<Card, Failure> {
        let address = name.strip_prefix("vfio:").ok_or_else(|| Failure::Name(name.to_owned()))?;
        let domain = Domain::new();
        let address = address.parse().map_err(naio_vfio::OpenError::from)?;
        let device = PciDevice::open(address, &domain)?;
        let config = Config { rx_ring: ring, tx_ring: ring, rx_spare: ring, ..Config::default() };
        Card::new(Box::new(E1000::open(device, &config)?), &domain, ring)
    }

    /// The same over a driver that is up; as many pages as its ring has descriptors.
    pub(crate) fn new(nic: Box<dyn Nic + Send>, domain: &Domain, ring: u32) -> Result<Card, Failure> {
        let pool = Pool::new(domain, ring, PAGE_LEN).map_err(Failure::Memory)?;
        let pages = std::iter::from_fn(|| pool.take()).collect();
        Ok(Card { nic, pool, pages })
    }
}
