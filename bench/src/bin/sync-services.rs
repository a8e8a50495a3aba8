//! The peer of `naio-exercise`, on kernel sockets: name server, router, senders to groups, and a TCP server with odd
//! manners. Each service is a thread of its own; the program ends when one of them does.
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::services::{groups, manners, names, router};
use rustix::net::{AddressFamily, SocketType, netdevice};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::process::ExitCode;
use std::sync::mpsc;

/// Offers what a network has beside payload, for tests.
///
///   other# sync-services --address 10.9.0.1 --interface eth0 --advertise fd00:9::
///   here#  naio-exercise --device vfio:0000:00:02.0 --peer 10.9.0.1
///
/// Needs root, for raw sockets and port 53. It answers whoever asks: start it in a network of tests only.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// Our IPv4 address: IGMP is heard on the interface that has it.
    #[arg(long, default_value = "10.9.0.1")]
    address: Ipv4Addr,
    /// Where MLD is heard and the router speaks; without it, IPv4 alone is served.
    #[arg(long)]
    interface: Option<String>,
    /// The IPv6 network to advertise on that interface, 64 bits of it.
    #[arg(long, requires = "interface")]
    advertise: Option<Ipv6Addr>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((what, error)) => {
            eprintln!("error: {what}: {error}\nhelp: raw sockets and port 53 need root, --interface a card");
            ExitCode::FAILURE
        }
    }
}

/// What a service ended with.
type End = (&'static str, io::Result<()>);

fn run(arguments: &Arguments) -> Result<(), (&'static str, io::Error)> {
    let (tell, ended) = mpsc::channel::<End>();
    let spawn = |what: &'static str, service: Box<dyn FnOnce() -> io::Result<()> + Send>| {
        let tell = tell.clone();
        std::thread::spawn(move || tell.send((what, service())));
    };
    let index = match &arguments.interface {
        Some(name) => Some(interface_index(name).map_err(|error| ("no such interface", error))?),
        None => None,
    };
    let everywhere: IpAddr = match index {
        Some(_) => Ipv6Addr::UNSPECIFIED.into(),
        None => Ipv4Addr::UNSPECIFIED.into(),
    };
    let udp = |port| UdpSocket::bind((everywhere, port)).map_err(|error| ("cannot bind a UDP port", error));
    let (names, echo) = (udp(names::PORT)?, udp(manners::PORT)?);
    let listener =
        TcpListener::bind((everywhere, manners::PORT)).map_err(|error| ("cannot listen", error))?;
    let address = arguments.address;
    spawn("names", Box::new(move || names::serve(&names)));
    spawn("datagrams", Box::new(move || manners::echo_datagrams(&echo)));
    spawn("connections", Box::new(move || manners::serve(&listener)));
    spawn("IGMP", Box::new(move || groups::serve_igmp(address)));
    if let Some(index) = index {
        spawn("MLD", Box::new(move || groups::serve_mld(index)));
        if let Some(prefix) = arguments.advertise {
            spawn("router", Box::new(move || router::serve(index, prefix)));
        }
    }
    // For whoever waits for us; a log that nobody reads must not end the services.
    let _ = writeln!(io::stdout(), "listening");
    match ended.recv() {
        Ok((what, Err(error))) => Err((what, error)),
        Ok((_, Ok(()))) | Err(_) => Ok(()),
    }
}

fn interface_index(name: &str) -> io::Result<u32> {
    let any = rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(&any, name)?)
}
