//! What the programs on naio share: a queue opened from flags, sockets connected and closed, waiting with a limit.
//!
//! Receives flags, hands on completions. Which bytes move is the programs' own business.

use crate::address::{self, Ipv6Choice};
use crate::failure::Failure;
use aio_api::{
    Builder, CardOptions, Cidr, Completion, EventQueue, Kind, Link, OpKey, Pace, SocketId, SocketOptions,
    Wait,
};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long connections may take to open.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the end of the connections may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Cookies of the operations submitted here; programs use small numbers.
const CONNECT: u64 = u64::MAX;
const CLOSE: u64 = u64::MAX - 1;
const LINGER: u64 = u64::MAX - 2;
const LINK: u64 = u64::MAX - 3;
/// What to log: filters as `env_logger` reads them.
const LOG_VARIABLE: &str = "NAIO_LOG";

/// The card, the address, and the limits of the queue.
#[derive(Debug, Clone, clap::Args)]
pub struct CardArguments {
    /// The card.
    #[arg(long, default_value = "vfio:0000:00:02.0")]
    pub device: String,
    /// Address of this side and length of the network's prefix.
    #[arg(long, default_value = "10.9.0.2/24")]
    pub address: Cidr,
    /// Ask for the address by DHCP, and wait until it comes.
    #[arg(long, conflicts_with_all = ["address", "gateway"])]
    pub dhcp: bool,
    /// Router for other networks.
    #[arg(long)]
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 as well: `auto` forms addresses from what routers advertise, fd00:9::2/64 is used as it is. Waits until
    /// there is one.
    #[arg(long, value_name = "auto|ADDRESS/LENGTH")]
    pub ipv6: Option<Ipv6Choice>,
    /// Receive descriptors of the card, 80 to 4096.
    #[arg(long)]
    pub rx_ring: Option<u32>,
    /// Transmit descriptors of the card, 80 to 4096.
    #[arg(long)]
    pub tx_ring: Option<u32>,
    /// Receive pages beyond those in the ring: frames that may be held above the driver.
    #[arg(long)]
    pub rx_spare: Option<u32>,
    /// Transmit pages: packets larger than a header that may be under way at a time, 4 to 65536.
    #[arg(long)]
    pub tx_pages: Option<u32>,
    /// Microseconds that frames may gather under load.
    #[arg(long, default_value_t = 50)]
    pub coalesce_us: u64,
    /// Keep the CPU in turns that find nothing.
    #[arg(long)]
    pub no_yield: bool,
    /// Sockets that the queue may have at a time.
    #[arg(long)]
    pub sockets_max: Option<usize>,
    /// Operations that may be outstanding or uncollected at a time.
    #[arg(long)]
    pub operations_max: Option<usize>,
    /// Give up when nothing completes for so many seconds. Long, because a remote hashes before it answers.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub silence: u64,
    /// Go on answering (ping, ARP) for so many seconds after the transfer, before the report.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub linger: u64,
}

/// How the result is printed.
#[derive(Debug, Clone, clap::Args)]
pub struct OutputArguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Say every second on standard error how far it is.
    #[arg(long)]
    pub progress: bool,
    /// Accepted for symmetry: the marks are always there and cost nothing.
    #[arg(long, hide = true)]
    pub marks: bool,
}

/// An open queue and who we talk to.
#[derive(Debug)]
pub struct Session {
    /// The queue.
    pub queue: EventQueue,
    peer: String,
    silence: Duration,
    linger: Duration,
    completions: Vec<Completion>,
    /// The watch of the link, as long as we tell of its changes.
    watch: Option<OpKey>,
    link: Link,
}

impl Session {
    /// Opens the card; `peer` is named when nothing is heard for too long.
    ///
    /// Changes of the link are told on standard error from here on.
    ///
    /// # Errors
    /// [`Failure::Open`], or the network gives no address.
    pub fn open(arguments: &CardArguments, peer: &str) -> Result<Session, Failure> {
        log_as_asked();
        let mut queue = open_queue(arguments)?;
        if arguments.dhcp {
            address::await_lease(&mut queue)?;
        }
        if let Some(ipv6) = &arguments.ipv6 {
            address::await_ipv6(&mut queue, ipv6)?;
        }
        let watch = Some(queue.watch_link(LINK).map_err(Failure::submit)?);
        let link = queue.link();
        Ok(Session {
            queue,
            watch,
            link,
            peer: peer.to_owned(),
            silence: Duration::from_secs(arguments.silence),
            linger: Duration::from_secs(arguments.linger),
            completions: Vec::new(),
        })
    }

    /// Connects `count` sockets to `remote`, all at the same time.
    ///
    /// # Errors
    /// A limit, or why the first one that failed was not connected.
    pub fn connect(
        &mut self,
        count: usize,
        remote: SocketAddr,
        options: SocketOptions,
    ) -> Result<Vec<SocketId>, Failure> {
        let mut sockets = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = self.queue.socket(options).map_err(Failure::submit)?;
            self.queue.connect(socket, remote, CONNECT).map_err(Failure::submit)?;
            sockets.push(socket);
        }
        let mut connected = 0;
        while connected < count {
            for done in self.wait(CONNECT_WITHIN)? {
                done.result.map_err(Failure::operation("cannot connect"))?;
                connected += usize::from(done.kind == Kind::Connect);
            }
        }
        Ok(sockets)
    }

    /// Completions, none if only the link changed; give the emptied list back with [`Session::recycle`].
    ///
    /// # Errors
    /// [`Failure::Silence`], or the card is gone.
    pub fn completions(&mut self) -> Result<Vec<Completion>, Failure> {
        self.wait(self.silence)
    }

    /// Keeps the memory of a list that `completions` gave.
    pub fn recycle(&mut self, mut list: Vec<Completion>) {
        list.clear();
        self.completions = list;
    }

    fn wait(&mut self, within: Duration) -> Result<Vec<Completion>, Failure> {
        let mut list = std::mem::take(&mut self.completions);
        let waited = self.queue.wait(&mut list, Wait::for_one().within(within))?;
        list.retain(|done| !self.is_link(done));
        match waited {
            0 => Err(Failure::Silence { peer: self.peer.clone(), within }),
            _ => Ok(list),
        }
    }

    /// Tells of a change of the link; whether the completion was one.
    pub fn is_link(&mut self, done: &Completion) -> bool {
        let Kind::Link { link } = done.kind else { return false };
        if self.watch.is_some() && done.result.is_ok() && link != self.link {
            self.link = link;
            let text = match link {
                Link::Down => "down".to_owned(),
                Link::Up { mbit_per_s, .. } => format!("up, {mbit_per_s} Mbit/s"),
            };
            // A closed standard error must not end a transfer.
            let _ = writeln!(std::io::stderr(), "note: the link is {text}");
        }
        true
    }

    /// Closes in order, then goes on answering for as long as was asked.
    ///
    /// # Errors
    /// The peer does not acknowledge the end, or the card is gone.
    pub fn finish(&mut self, sockets: &[SocketId]) -> Result<(), Failure> {
        if let Some(watch) = self.watch.take() {
            self.queue.cancel(watch);
        }
        for socket in sockets {
            self.queue.close(*socket, CLOSE).map_err(Failure::submit)?;
        }
        let mut open = sockets.len();
        while open > 0 {
            let list = self.wait(CLOSE_WITHIN)?;
            open -= list.iter().filter(|done| done.user_data == CLOSE).count();
            self.recycle(list);
        }
        if self.linger.is_zero() {
            return Ok(());
        }
        let end = self.queue.timeout(self.linger, LINGER).map_err(Failure::submit)?;
        let mut over = false;
        while !over {
            let list = self.wait(self.linger + CLOSE_WITHIN)?;
            over = list.iter().any(|done| done.key == end);
            self.recycle(list);
        }
        Ok(())
    }
}

fn open_queue(arguments: &CardArguments) -> Result<EventQueue, Failure> {
    let rx_coalesce = Duration::from_micros(arguments.coalesce_us);
    let pace = Pace { rx_coalesce, yield_when_empty: !arguments.no_yield };
    let (rx_ring, tx_ring, rx_spare) = (arguments.rx_ring, arguments.tx_ring, arguments.rx_spare);
    let card = CardOptions { rx_ring, tx_ring, rx_spare, ..CardOptions::default() };
    let builder = if arguments.dhcp { Builder::dhcp() } else { Builder::new(arguments.address) };
    let mut builder = builder.pace(pace).card(card);
    if let Some(ipv6) = &arguments.ipv6 {
        builder = builder.ipv6(ipv6.config());
    }
    if let Some(pages) = arguments.tx_pages {
        builder = builder.tx_pages(pages);
    }
    if let Some(gateway) = arguments.gateway {
        builder = builder.gateway(gateway);
    }
    if let Some(sockets) = arguments.sockets_max {
        builder = builder.sockets_max(sockets);
    }
    if let Some(operations) = arguments.operations_max {
        builder = builder.completion_entries(operations);
    }
    builder
        .open(&arguments.device)
        .map_err(|source| Failure::Open { device: arguments.device.clone(), source })
}

/// Logs to standard error what `NAIO_LOG` asks for (`debug`, `naio_stack=debug`), nothing without it.
fn log_as_asked() {
    let mut logger = env_logger::Builder::new();
    logger.filter_level(log::LevelFilter::Off).parse_env(LOG_VARIABLE);
    // A second session of a process keeps the logger of the first.
    let _ = logger.try_init();
}
