//! Every verb of the event queue, once, over a real card against the Linux of `sync-services`: what virtual time shows
//! in the tests of the crates, this shows on the wire.
//!
//! Prints a line for each exercise, `ok NAME` or `failed NAME: why`, and ends with a failure if one failed.
#![forbid(unsafe_code)]

mod datagrams;
mod drill;
mod ends;
mod limits;
mod network;
mod streams;
mod timers;

use aio_api::{Builder, Cidr, Ipv6Config, SocketOptions, StaticRoute, TcpOptions};
use clap::Parser;
use drill::{Drill, Failed, Verdict, expect_eq};
use naio_bench::address::{self, Ipv6Choice};
use naio_bench::failure::Failure;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

/// How long a closed connection may linger here: less than the peer's server stalls.
const LINGER: Duration = Duration::from_secs(1);
/// Limits that can be reached.
const SOCKETS_MAX: usize = 48;
const UDP_SOCKETS_MAX: usize = 8;
const LISTENERS_MAX: usize = 4;
const GROUPS_MAX: usize = 4;
const OPERATIONS_MAX: usize = 256;
const QUERIES_MAX: usize = 12;
/// What is heard within this after the last exercise belongs to it.
const SETTLE: Duration = Duration::from_millis(300);

/// Uses every verb of naio's event queue against sync-services.
///
///   other# sync-services --address 10.9.0.1 --interface eth0
///   here#  naio-exercise --device vfio:0000:00:02.0 --peer 10.9.0.1
///
/// The peer must have 10.77.0.1 as well, an `unreachable` route to 10.66.0.0/16, and forward.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The card.
    #[arg(long, default_value = "vfio:0000:00:02.0")]
    device: String,
    /// Address of this side and length of the network's prefix.
    #[arg(long, default_value = "10.9.0.2/24")]
    address: Cidr,
    /// The machine that runs sync-services; it is the name server and the router, too.
    #[arg(long, default_value = "10.9.0.1")]
    peer: Ipv4Addr,
    /// Our IPv6 address and the length of its prefix, to exercise that too.
    #[arg(long, requires = "peer6")]
    ipv6: Option<Ipv6Choice>,
    /// The peer's IPv6 address.
    #[arg(long, requires = "ipv6")]
    peer6: Option<Ipv6Addr>,
    /// Only these exercises.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

type Exercise = (&'static str, fn(&mut Drill) -> Verdict);

/// In the order in which they are done. `user-timeout` is done only when it is asked for: the peer must fall silent.
const EXERCISES: [Exercise; 28] = [
    ("order", streams::order),
    ("vectors", streams::vectors),
    ("sendfile", streams::sendfile),
    ("options", streams::options),
    ("info", streams::info),
    ("keep-alive", streams::keep_alive),
    ("half-close-here", ends::half_close_here),
    ("half-close-there", ends::half_close_there),
    ("refused", ends::refused),
    ("reset", ends::reset),
    ("abort", ends::abort),
    ("linger", ends::linger),
    ("time-wait", ends::time_wait),
    ("backlog", ends::backlog),
    ("cancel", ends::cancel),
    ("datagrams", datagrams::whole_and_in_fragments),
    ("truncated", datagrams::truncated),
    ("closed-port", datagrams::closed_port),
    ("names", network::names),
    ("groups", network::groups),
    ("routes", network::routes),
    ("unreachable", network::unreachable),
    ("timeouts", timers::timeouts),
    ("periods", timers::periods),
    ("link", timers::link),
    ("sockets-limit", limits::sockets),
    ("operations-limit", limits::operations),
    ("user-timeout", ends::user_timeout),
];
/// Not done unless it is named.
const UNUSUAL: &str = "user-timeout";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            if let Some(help) = failure.help() {
                eprintln!("help: {help}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let open = |source| Failure::Open { device: arguments.device.clone(), source };
    let mut queue = builder(arguments).open(&arguments.device).map_err(open)?;
    if let Some(choice) = &arguments.ipv6 {
        address::await_ipv6(&mut queue, choice)?;
    }
    let mut drill = Drill::new(queue, arguments.peer.into(), arguments.peer6.map(IpAddr::from));
    let mut good = true;
    for (name, exercise) in EXERCISES {
        let wanted = match arguments.only.is_empty() {
            true => name != UNUSUAL,
            false => arguments.only.iter().any(|only| only == name),
        };
        if wanted {
            let verdict = exercise(&mut drill);
            drill.forget_rest();
            good &= say(name, verdict);
        }
    }
    let verdict = nothing_left(&mut drill);
    good &= say("nothing-left", verdict);
    Ok(good)
}

fn builder(arguments: &Arguments) -> Builder {
    let mut builder = Builder::new(arguments.address)
        .gateway(arguments.peer)
        .sockets_max(SOCKETS_MAX)
        .completion_entries(OPERATIONS_MAX);
    if let Some(choice) = arguments.ipv6 {
        builder = builder.ipv6(Ipv6Config { gateway: arguments.peer6, ..choice.config() });
    }
    let peer = arguments.peer;
    builder.network(|config| {
        config.dns_servers = vec![peer.into()];
        config.dns_queries_max = QUERIES_MAX;
        config.udp_sockets_max = UDP_SOCKETS_MAX + QUERIES_MAX;
        config.listeners_max = LISTENERS_MAX;
        config.groups_max = GROUPS_MAX;
        config.linger = LINGER;
        config.mtu = Some(network::MTU);
        let prefix = network::ROUTED.into();
        config.routes = vec![StaticRoute { prefix, prefix_len: 16, gateway: peer.into() }];
        config.accepted = SocketOptions { tcp: TcpOptions::default(), ..SocketOptions::default() };
    })
}

/// No socket, key, timer, listener, group or page is left, nor an operation.
fn nothing_left(drill: &mut Drill) -> Verdict {
    drill.run_for(SETTLE)?;
    drill.forget_rest();
    let census = drill.queue.census();
    let left = [
        census.flows,
        census.bound_flows,
        census.keys,
        census.timers,
        census.listeners,
        census.udp_sockets,
        census.reassemblies,
        census.waiting_packets,
        census.groups,
        census.lent_pages,
        drill.queue.outstanding(),
    ];
    expect_eq(&format!("left behind, {census:?}"), left, [0; 11])?;
    let counters = drill.queue.counters();
    expect_eq("operations and completions", counters.queue.submitted, counters.queue.completed)?;
    expect_eq("frames and their accounts", counters.stack.frames, counters.stack.accounted())?;
    expect_eq("packets too long", counters.stack.tx_too_long, 0)
}

fn say(name: &str, verdict: Result<(), Failed>) -> bool {
    let good = verdict.is_ok();
    let line = match verdict {
        Ok(()) => format!("ok {name}"),
        Err(why) => format!("failed {name}: {why}"),
    };
    // Each as it comes: whoever watches wants to know where it hangs.
    let _ = writeln!(io::stdout(), "{line}");
    good
}
