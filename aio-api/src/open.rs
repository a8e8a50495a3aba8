//! From a name to a card: `vfio:0000:00:02.0`, `model:pair:NAME`, `model:tap:INTERFACE`.
//!
//! The only place of this crate that knows any particular card, bus or wire. Hands on a boxed
//! [`Nic`] and the memory it sees.
//!
//! | name | card | other end |
//! |---|---|---|
//! | `vfio:0000:00:02.0` | the 8254x at that PCI address, bound to vfio-pci | its cable |
//! | `model:pair:NAME` | an 82540EM in software, a thread of its own | the next card of this process that opens NAME |
//! | `model:tap:INTERFACE` | the same | a TAP interface of the kernel, made in the namespace of the calling thread |
//!
//! Behind a `model:` name `?` and settings may follow, joined by `&`: `loss=1%` loses that share of
//! the frames the card sends, `seed=7` chooses which. Opens of one NAME are joined two by two.

use naio_dma::Domain;
use naio_nic::Nic;
#[cfg(any(feature = "vfio", feature = "model"))]
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
    /// Largest IP packet in bytes: 1500 unless jumbo frames are wanted, whose limit is the part's. Partners on the link
    /// must take them too.
    pub mtu: Option<usize>,
    /// Whether the card cuts long TCP packets itself, where it can: yes, unless it has trouble with that.
    pub card_cuts: Option<bool>,
    /// Seconds to wait for the link.
    pub link_within_s: Option<u64>,
}

/// The card could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name is of no known form.
    #[error("`{name}` names no card; a name looks like vfio:0000:00:02.0 or model:pair:NAME")]
    Name {
        /// The name.
        name: String,
    },
    /// What follows the `?` of a name.
    #[error("`{setting}` is no setting of a card in software; they look like loss=1% and seed=7")]
    Setting {
        /// The setting.
        setting: String,
    },
    /// VFIO, or the way to it.
    #[cfg(feature = "vfio")]
    #[error(transparent)]
    Vfio(#[from] naio_vfio::OpenError),
    /// The card's bring-up.
    #[cfg(any(feature = "vfio", feature = "model"))]
    #[error(transparent)]
    Card(#[from] naio_e1000::OpenError),
    /// The kernel makes no TAP interface.
    #[cfg(feature = "model")]
    #[error("cannot make the TAP interface {interface}")]
    Tap {
        /// Its name.
        interface: String,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// A card in software got no thread.
    #[cfg(feature = "model")]
    #[error("the system has no thread for a card in software")]
    Thread(#[source] std::io::Error),
}

impl OpenError {
    /// What the user can do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            OpenError::Name { .. } => Some(
                "`lspci -D -d 8086:` lists the Intel devices; model:pair:NAME needs no device, and is \
                 joined with whoever opens the same NAME in this process"
                    .into(),
            ),
            OpenError::Setting { .. } => None,
            #[cfg(feature = "vfio")]
            OpenError::Vfio(e) => e.help(),
            #[cfg(any(feature = "vfio", feature = "model"))]
            OpenError::Card(naio_e1000::OpenError::Memory(_)) => {
                Some("raise RLIMIT_MEMLOCK (`ulimit -l`), or use smaller rings".into())
            }
            #[cfg(any(feature = "vfio", feature = "model"))]
            OpenError::Card(_) => None,
            #[cfg(feature = "model")]
            OpenError::Tap { .. } => Some(
                "it takes /dev/net/tun and CAP_NET_ADMIN in the network namespace; model:pair:NAME \
                 takes neither"
                    .into(),
            ),
            #[cfg(feature = "model")]
            OpenError::Thread(_) => None,
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
        #[cfg(feature = "model")]
        Some(("model", wire)) => model::open(name, wire, options, domain),
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
    Ok(Box::new(naio_e1000::E1000::open(device, &driver_config(options))?))
}

#[cfg(any(feature = "vfio", feature = "model"))]
fn driver_config(options: CardOptions) -> naio_e1000::Config {
    let mut config = naio_e1000::Config::default();
    config.rx_ring = options.rx_ring.unwrap_or(config.rx_ring);
    config.tx_ring = options.tx_ring.unwrap_or(config.tx_ring);
    config.rx_spare = options.rx_spare.unwrap_or(config.rx_spare);
    config.mtu = options.mtu.unwrap_or(config.mtu);
    config.card_cuts = options.card_cuts.unwrap_or(config.card_cuts);
    config.link_within = options.link_within_s.map_or(config.link_within, Duration::from_secs);
    config
}

/// Cards in software and their wires.
#[cfg(feature = "model")]
mod model {
    use super::{CardOptions, OpenError, driver_config};
    use naio_dma::Domain;
    use naio_e1000::E1000;
    use naio_e1000_model::wire::impair::{Harm, Impair};
    use naio_e1000_model::wire::pair::{Pair, pair};
    use naio_e1000_model::wire::tap::TapWire;
    use naio_e1000_model::{Checks, Model, ModelError, Options, Wire};
    use naio_nic::Nic;
    use naio_sys::clock::Clock;
    use naio_sys::tap::Tap;
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    /// A link between threads of one process has nothing to negotiate; long enough to be seen down.
    const AUTONEG: Duration = Duration::from_millis(1);
    /// Rates of [`Harm`] are in frames of this many.
    const HARM_UNIT: f64 = 10_000.0;
    /// Which end of its wire a card is: its station address differs by it.
    const FIRST: u8 = 1;
    const SECOND: u8 = 2;

    /// Second ends of cables whose first end is open.
    static WAITING: Mutex<BTreeMap<String, Pair>> = Mutex::new(BTreeMap::new());

    pub(super) fn open(
        name: &str,
        wire: &str,
        options: CardOptions,
        domain: &Domain,
    ) -> Result<Box<dyn Nic + Send>, OpenError> {
        let (wire, settings) = wire.split_once('?').unwrap_or((wire, ""));
        let settings = Settings::parse(settings)?;
        match wire.split_once(':') {
            Some(("pair", cable)) if !cable.is_empty() => {
                let (wire, end) = plug(cable);
                card(wire, end, settings, options, domain)
            }
            Some(("tap", interface)) if !interface.is_empty() => {
                let tap = Tap::open(interface)
                    .map_err(|source| OpenError::Tap { interface: interface.into(), source })?;
                card(TapWire::new(tap), FIRST, settings, options, domain)
            }
            _ => Err(OpenError::Name { name: name.into() }),
        }
    }

    /// The end of the cable `name` that is free, and which it is.
    fn plug(name: &str) -> (Pair, u8) {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        // Whose other end has gone since waits for nobody; so the table holds no more than open cards.
        waiting.retain(|_, end| end.carrier(0));
        if let Some(second) = waiting.remove(name) {
            return (second, SECOND);
        }
        let (first, second, _) = pair();
        waiting.insert(name.into(), second);
        (first, FIRST)
    }

    fn card(
        wire: impl Wire + 'static,
        end: u8,
        settings: Settings,
        options: CardOptions,
        domain: &Domain,
    ) -> Result<Box<dyn Nic + Send>, OpenError> {
        let silicon = Options::default();
        let mut mac = silicon.mac;
        mac[5] = end;
        let checks = Checks::Light;
        let silicon = Options {
            mac,
            checks,
            autoneg: AUTONEG,
            seed: settings.seed,
            clock: Clock::Monotonic,
            ..silicon
        };
        let made = if settings.loss == 0 {
            Model::new(silicon, domain, wire)
        } else {
            let harm = Harm { loss: settings.loss, ..Harm::default() };
            // Both ends may have one seed; they shall not lose the same frames.
            let (wire, _) = Impair::new(wire, harm, settings.seed.wrapping_mul(2).wrapping_add(end.into()));
            Model::new(silicon, domain, wire)
        };
        let mut model = made.map_err(|ModelError::UnknownId(_)| OpenError::Name { name: "model".into() })?;
        model.start().map_err(OpenError::Thread)?;
        Ok(Box::new(E1000::open(model, &driver_config(options))?))
    }

    /// What follows the `?` of a name.
    #[derive(Clone, Copy)]
    struct Settings {
        /// Frames lost of 10 000 sent.
        loss: u32,
        seed: u64,
    }

    impl Settings {
        fn parse(text: &str) -> Result<Settings, OpenError> {
            let mut settings = Settings { loss: 0, seed: 1 };
            for setting in text.split('&').filter(|setting| !setting.is_empty()) {
                let error = || OpenError::Setting { setting: setting.into() };
                match setting.split_once('=') {
                    Some(("loss", share)) => settings.loss = loss(share).ok_or_else(error)?,
                    Some(("seed", seed)) => settings.seed = seed.parse().map_err(|_| error())?,
                    _ => return Err(error()),
                }
            }
            Ok(settings)
        }
    }

    /// `1%` as frames of 10 000.
    fn loss(share: &str) -> Option<u32> {
        let percent: f64 = share.strip_suffix('%')?.parse().ok()?;
        (0.0..=100.0).contains(&percent).then(|| (percent / 100.0 * HARM_UNIT).round() as u32)
    }
}
