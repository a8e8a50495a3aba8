//! Settings of a queue to be, and the way from them to the queue.

use crate::counters::QueueCounters;
use crate::error::BuildError;
use crate::group::Groups;
use crate::lent::{Home, Lists};
use crate::listen::Listeners;
use crate::names::Names;
use crate::op::OpTable;
use crate::open::{self, CardOptions};
use crate::pace::{Pace, RX_COALESCE_MAX};
use crate::queue::EventQueue;
use crate::socket::SocketTable;
use crate::timer::Timers;
use crate::turn::Batches;
use crate::udp::UdpTable;
use crate::windows::{WindowLimits, Windows};
use naio_dma::{Domain, Pool};
use naio_nic::Nic;
use naio_stack::{Config, Ipv6Config, Stack};
use naio_sys::clock::Clock;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Completions that may be outstanding or uncollected, by default.
const COMPLETION_ENTRIES: usize = 4096;
/// Bounds of that number.
const COMPLETION_ENTRIES_MIN: usize = 1;
const COMPLETION_ENTRIES_MAX: usize = 1 << 20;
/// Transmit pages: one packet each. Twice a full default ring.
const TX_PAGES: u32 = 1024;
/// Bounds of that number: a quarter of them is kept from datagrams, and all lie in one region.
const TX_PAGES_MIN: u32 = 4;
const TX_PAGES_MAX: u32 = 1 << 16;
/// Their length, at least: with jumbo frames each still holds a packet.
const TX_PAGE_LEN_MIN: usize = 2048;
/// Ethernet header and a VLAN tag.
const LINK_HEADER_LEN_MAX: usize = 18;

/// An IPv4 address and the length of its network's prefix: `10.9.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the network, 0 to 32.
    pub prefix_len: u8,
}

/// Text that is no address with a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address with a prefix length; it looks like 10.9.0.2/24")]
pub struct CidrError {
    /// The text.
    pub text: String,
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let parse = || {
            let (address, prefix_len) = text.split_once('/')?;
            let prefix_len = prefix_len.parse().ok().filter(|len| *len <= 32)?;
            Some(Cidr { address: address.parse().ok()?, prefix_len })
        };
        parse().ok_or_else(|| CidrError { text: text.into() })
    }
}

/// Settings of a queue to be.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = aio_api::Builder::new("10.9.0.2/24".parse()?)
///     .gateway("10.9.0.254".parse()?)
///     .completion_entries(256)
///     .open("vfio:0000:00:02.0")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    network: Config,
    tx_pages: u32,
    dhcp: bool,
    completion_entries: usize,
    pace: Pace,
    card: CardOptions,
    clock: Clock,
    secret: Option<Secret>,
}

/// Key of the hash functions and of sequence and port numbers. Never printed.
#[derive(Clone)]
struct Secret([u8; 16]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Builder {
    /// A queue whose station has this address.
    #[must_use]
    pub fn new(address: Cidr) -> Builder {
        Builder {
            network: Config::new(address.address, address.prefix_len),
            tx_pages: TX_PAGES,
            dhcp: false,
            completion_entries: COMPLETION_ENTRIES,
            pace: Pace::default(),
            card: CardOptions::default(),
            clock: Clock::default(),
            secret: None,
        }
    }

    /// A queue that asks for its address by DHCP. It has none at first:
    /// [`EventQueue::watch_address`] says when it comes.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut queue = aio_api::Builder::dhcp().open("vfio:0000:00:02.0")?;
    /// queue.watch_address(1)?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn dhcp() -> Builder {
        let nowhere = Cidr { address: Ipv4Addr::UNSPECIFIED, prefix_len: 0 };
        Builder { dhcp: true, ..Builder::new(nowhere) }
    }

    /// Where packets for other networks go.
    #[must_use]
    pub fn gateway(mut self, gateway: Ipv4Addr) -> Builder {
        self.network.gateway = Some(gateway);
        self
    }

    /// IPv6 beside IPv4: static addresses, or formed from what routers advertise.
    #[must_use]
    pub fn ipv6(mut self, ipv6: Ipv6Config) -> Builder {
        self.network.ipv6 = Some(ipv6);
        self
    }

    /// Changes anything else about the network: MTU, routes, name servers, limits and timeouts.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = aio_api::Builder::new("10.9.0.2/24".parse()?).network(|config| {
    ///     config.mtu = Some(1400);
    ///     config.dns_servers = vec!["10.9.0.1".parse().expect("an address")];
    /// });
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn network(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.network);
        self
    }

    /// How many operations may be outstanding or completed and not yet collected, 1 to 2²⁰; 4096 by
    /// default. Submissions beyond that are refused.
    #[must_use]
    pub fn completion_entries(mut self, entries: usize) -> Builder {
        self.completion_entries = entries;
        self
    }

    /// How many sockets may exist at a time.
    #[must_use]
    pub fn sockets_max(mut self, sockets: usize) -> Builder {
        self.network.sockets_max = sockets;
        self
    }

    /// How many packets larger than a header may be under way at a time, 4 to 65 536; 1024 by default.
    /// With fewer, sending waits for the card; nothing is lost.
    #[must_use]
    pub fn tx_pages(mut self, pages: u32) -> Builder {
        self.tx_pages = pages;
        self
    }

    /// How eagerly to poll.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Builder {
        self.pace = pace;
        self
    }

    /// How to run the card.
    #[must_use]
    pub fn card(mut self, card: CardOptions) -> Builder {
        self.card = card;
        self
    }

    /// Takes the time from here: for simulations.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// Draws sequence numbers, ports and hashes from this instead of the system's random numbers: for simulations
    /// that repeat. On a network they would be everybody's to guess.
    #[must_use]
    pub fn secret(mut self, secret: [u8; 16]) -> Builder {
        self.secret = Some(Secret(secret));
        self
    }

    /// Opens the card `name` and builds the queue on it; blocks until the link is up.
    ///
    /// # Errors
    /// [`BuildError`]; its `help` says what to do.
    pub fn open(self, name: &str) -> Result<EventQueue, BuildError> {
        let domain = Domain::new();
        let nic = open::open(name, self.card, &domain)?;
        self.build(nic, domain)
    }

    /// Builds the queue on any card that sees the memory of `domain`.
    ///
    /// # Errors
    /// A setting out of its range, or no memory for transmit pages.
    pub fn build(self, nic: Box<dyn Nic + Send>, domain: Domain) -> Result<EventQueue, BuildError> {
        within(
            "completion_entries",
            self.completion_entries,
            COMPLETION_ENTRIES_MIN,
            COMPLETION_ENTRIES_MAX,
        )?;
        let coalesce = usize::try_from(self.pace.rx_coalesce.as_micros()).unwrap_or(usize::MAX);
        within("rx_coalesce in µs", coalesce, 0, RX_COALESCE_MAX.as_micros() as usize)?;
        within("tx_pages", self.tx_pages as usize, TX_PAGES_MIN as usize, TX_PAGES_MAX as usize)?;
        let now = self.clock.now();
        let frame_len_max = nic.caps().mtu.min(self.network.mtu.unwrap_or(usize::MAX)) + LINK_HEADER_LEN_MAX;
        let tx_page_len = frame_len_max.next_power_of_two().max(TX_PAGE_LEN_MIN);
        let tx_pool = Pool::new(&domain, self.tx_pages, tx_page_len)?;
        let sockets_max = self.network.sockets_max;
        let Secret(secret) = self.secret.map_or_else(secret, Ok).map_err(BuildError::Random)?;
        let network = Config { rx_coalesce: self.pace.rx_coalesce, ..self.network };
        let mut stack = Stack::new(network, nic.caps(), nic.rx_pool().clone(), tx_pool, secret, now)?;
        if self.dhcp {
            stack.start_dhcp();
        }
        let mut limits = WindowLimits::of_process(&domain);
        if !self.clock.runs() {
            // Where time is a simulation, so is the order of everything: no threads.
            limits.workers = 0;
        }
        let windows = Windows::new(&domain, limits);
        Ok(EventQueue {
            caps: nic.caps().clone(),
            home: Home::new(nic.rx_pool().clone()),
            lists: Lists::default(),
            nic: Some(nic),
            nic_counters: naio_nic::Counters::default(),
            stack,
            domain,
            windows,
            ops: OpTable::new(self.completion_entries),
            groups: Groups::default(),
            sockets: SocketTable::default(),
            sockets_max,
            listeners: Listeners::default(),
            udp: UdpTable::default(),
            names: Names::default(),
            watchers: Vec::new(),
            timers: Timers::default(),
            completed: VecDeque::with_capacity(self.completion_entries.min(COMPLETION_ENTRIES)),
            counters: QueueCounters::default(),
            batches: Batches::default(),
            pace: self.pace,
            clock: self.clock,
            now,
            pauses: false,
            hurry: false,
            last_burst: None,
            next_health: now,
            logged_link: None,
        })
    }
}

fn within(what: &'static str, value: usize, min: usize, max: usize) -> Result<(), BuildError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(BuildError::Setting { what, value, min, max }) }
}

/// A key that no peer can guess.
fn secret() -> std::io::Result<Secret> {
    let mut secret = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(Secret(secret))
}
