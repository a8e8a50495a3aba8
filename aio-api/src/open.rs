//! From a name to a card: `vfio:0000:00:02.0`.
//!
//! The only place of this crate that knows any particular card or bus. Hands on a boxed
//! [`Nic`] and the memory it sees.

use naio_dma::Domain;
use naio_nic::Nic;
#[cfg(feature = "vfio")]
use std::time::Duration;

/// How to run the card. `None` leaves the driver's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct CardOptions {
    /// Receive descriptors.
    pub rx_ring: Option<u32>,
    /// Transmit descriptors.
    pub tx_ring: Option<u32>,
    /// Receive pages beyond those in the ring: frames that may be held above the driver.
    pub rx_spare: Option<u32>,
    /// Seconds to wait for the link.
    pub link_within_s: Option<u64>,
}

/// The card could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name is of no known form.
    #[error("`{name}` names no card; a name looks like vfio:0000:00:02.0")]
    Name {
        /// The name.
        name: String,
    },
    /// VFIO, or the way to it.
    #[cfg(feature = "vfio")]
    #[error(transparent)]
    Vfio(#[from] naio_vfio::OpenError),
    /// The card's bring-up.
    #[cfg(feature = "vfio")]
    #[error(transparent)]
    Card(#[from] naio_e1000::OpenError),
}

impl OpenError {
    /// What the user can do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            OpenError::Name { .. } => Some("`lspci -D -d 8086:` lists the Intel devices".into()),
            #[cfg(feature = "vfio")]
            OpenError::Vfio(e) => e.help(),
            #[cfg(feature = "vfio")]
            OpenError::Card(naio_e1000::OpenError::Memory(_)) => {
                Some("raise RLIMIT_MEMLOCK (`ulimit -l`), or use smaller rings".into())
            }
            #[cfg(feature = "vfio")]
            OpenError::Card(_) => None,
        }
    }
}

/// Opens the card `name` and brings it up; blocks until its link is up.
pub(crate) fn open(
    name: &str,
    options: CardOptions,
    domain: &Domain,
) -> Result<Box<dyn Nic + Send>, OpenError> {
    match name.split_once(':') {
        #[cfg(feature = "vfio")]
        Some(("vfio", address)) => open_vfio(address, options, domain),
        _ => {
            let _ = (options, domain);
            Err(OpenError::Name { name: name.into() })
        }
    }
}

#[cfg(feature = "vfio")]
fn open_vfio(address: &str, options: CardOptions, domain: &Domain) -> Result<Box<dyn Nic + Send>, OpenError> {
    let address = address.parse().map_err(naio_vfio::OpenError::from)?;
    let device = naio_vfio::PciDevice::open(address, domain)?;
    let mut config = naio_e1000::Config::default();
    config.rx_ring = options.rx_ring.unwrap_or(config.rx_ring);
    config.tx_ring = options.tx_ring.unwrap_or(config.tx_ring);
    config.rx_spare = options.rx_spare.unwrap_or(config.rx_spare);
    config.link_within = options.link_within_s.map_or(config.link_within, Duration::from_secs);
    Ok(Box::new(naio_e1000::E1000::open(device, &config)?))
}
