//! The other end of every experiment: a `sendfile()` source and an epoll sink on kernel sockets.
//!
//! Runs on any Linux box; it needs neither root nor anything of naio. The protocol is in `naio_bench::protocol`.
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::payload::Payload;
use naio_bench::protocol::{SINK_PORT, SOURCE_PORT};
use naio_bench::size::Size;
use naio_bench::source::{Limits, Served};
use naio_bench::{sink, source};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;

/// Serves payload to naio-recv and sync-recv, and swallows what senders send.
///
/// Start it on the machine at the other end of the cable, then point a receiver at it:
///
///   other$ naio-remote --listen 10.9.0.1
///   here#  naio-recv --device vfio:0000:00:02.0 --address 10.9.0.2/24 --remote 10.9.0.1:5001 --size 1GiB --sha256
///
/// It trusts its network: whoever reaches the ports may ask for --max-bytes on --limit connections.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// Address to listen on; `::` takes IPv6 and IPv4.
    #[arg(long, default_value = "0.0.0.0")]
    listen: IpAddr,
    /// TCP port that answers a request with payload; 0 takes a free one and prints it.
    #[arg(long, default_value_t = SOURCE_PORT)]
    source_port: u16,
    /// TCP port that reads payload and answers with its length; 0 takes a free one and prints it.
    #[arg(long, default_value_t = SINK_PORT)]
    sink_port: u16,
    /// Send this file, repeated, instead of pseudo-random bytes.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Length of the pseudo-random payload before it repeats; made odd by leaving off one byte.
    #[arg(long, default_value_t = Size(16 << 20), conflicts_with = "file")]
    payload_size: Size,
    /// End after the first connection that was served to its end or failed.
    #[arg(long)]
    once: bool,
    /// Connections served at the same time on each port; more are closed at once.
    #[arg(long, default_value_t = 1024, value_name = "CONNECTIONS")]
    limit: usize,
    /// Payload bytes one connection may ask for or send.
    #[arg(long, default_value_t = Size(64 << 30))]
    max_bytes: Size,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((what, error)) => {
            eprintln!("error: {what}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), (String, io::Error)> {
    let payload = match &arguments.file {
        Some(path) => Payload::open(path).map_err(|e| (format!("cannot serve {}", path.display()), e))?,
        None => Payload::random(arguments.payload_size.0).map_err(|e| ("cannot make a payload".into(), e))?,
    };
    let listen = |port| {
        let address = SocketAddr::new(arguments.listen, port);
        TcpListener::bind(address).map_err(|e| (format!("cannot listen on {address}"), e))
    };
    let (source_listener, sink_listener) = (listen(arguments.source_port)?, listen(arguments.sink_port)?);
    let local = |l: &TcpListener| l.local_addr().map_err(|e| ("cannot read my address".to_owned(), e));
    say(&format!("listening: source {}, sink {}", local(&source_listener)?, local(&sink_listener)?));

    let limits = Limits { connections: arguments.limit, bytes: arguments.max_bytes.0 };
    let (tell, served) = mpsc::channel();
    let payload = Arc::new(payload);
    let source_tell = tell.clone();
    std::thread::spawn(move || source::serve(&source_listener, &payload, limits, &source_tell));
    std::thread::spawn(move || {
        if let Err(error) = sink::serve(&sink_listener, limits, &tell) {
            let outcome = Err(error.into());
            let _ = tell.send(Served { port: "sink", peer: String::new(), outcome });
        }
    });
    for Served { port, peer, outcome } in served {
        match outcome {
            Ok(bytes) => say(&format!("{port} {peer}: {} served", Size(bytes))),
            Err(error) => say(&format!("{port} {peer}: {error}")),
        }
        if arguments.once {
            break;
        }
    }
    Ok(())
}

/// Prints a line. Whoever reads our log may leave; the connections go on.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
