//! The kernel arm: pulls N bytes with plain blocking `recv()`, the way most programs do.
//!
//! The clock and the marks stand where `naio-recv` has them: begin before the request is sent, end after the
//! last payload byte (and behind the hash, if one was asked for).
#![forbid(unsafe_code)]

use clap::Parser;
use naio_bench::cpu::Snapshot;
use naio_bench::failure::{Failure, conclude};
use naio_bench::kernel_sender::connect;
use naio_bench::progress::Progress;
use naio_bench::protocol::{DIGEST_LEN, Request};
use naio_bench::report::Report;
use naio_bench::session::OutputArguments;
use naio_bench::sha::{self, Verifier};
use naio_bench::size::Size;
use naio_sys::mark::{RUN_BEGINS, RUN_ENDS, mark};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long the remote may be silent. Long, because it hashes the payload before it sends a trailer.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// Largest receive buffer that is believed to be meant.
const BUFFER_MAX: u64 = 1 << 30;

/// Receives --size bytes from naio-remote over the kernel's TCP and says what that cost.
///
///   other$ naio-remote
///   here$  sync-recv --remote 10.9.0.1:5001 --size 256MiB
///
/// Compare the figures with naio-recv's over the same cable. Without --sha256 nothing looks at the bytes.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// Source port of a naio-remote.
    #[arg(long, default_value = "10.9.0.1:5001")]
    remote: SocketAddr,
    /// Payload to receive.
    #[arg(long, default_value_t = Size(256 << 20))]
    size: Size,
    /// Bytes one recv() may return.
    #[arg(long, default_value_t = Size(64 << 10))]
    buffer: Size,
    /// Hash the payload and compare with the remote's hash; costs more than receiving does.
    #[arg(long)]
    sha256: bool,
    #[command(flatten)]
    output: OutputArguments,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    conclude(run(&arguments), arguments.output.json)
}

fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let remote = arguments.remote;
    let mut stream = connect(remote).map_err(Failure::io(format!("cannot connect to {remote}")))?;
    receive(&mut stream, arguments).map_err(Failure::io(format!("transfer from {remote} broke off")))
}

fn receive(stream: &mut TcpStream, arguments: &Arguments) -> io::Result<Report> {
    let Some(buffer) =
        usize::try_from(arguments.buffer.0).ok().filter(|n| (1..=BUFFER_MAX as usize).contains(n))
    else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "--buffer must be 1 byte to 1 GiB"));
    };
    stream.set_read_timeout(Some(SILENCE_LIMIT))?;
    stream.set_write_timeout(Some(SILENCE_LIMIT))?;
    // Written once, so that its pages exist before the clock starts.
    let mut buffer = vec![0xff; buffer];
    let payload = arguments.size.0;
    let expected = payload + if arguments.sha256 { DIGEST_LEN as u64 } else { 0 };
    let mut verifier = arguments.sha256.then(|| Verifier::new(payload));
    let mut progress = Progress::new(arguments.output.progress, payload);
    let request = Request { bytes: payload, sha256: arguments.sha256 }.encode();

    let (mut received, mut calls) = (0u64, 0u64);
    let before = Snapshot::take();
    mark::<RUN_BEGINS>();
    stream.write_all(&request)?;
    while received < expected {
        let n = match stream.read(&mut buffer) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, ended_early(received, expected)));
            }
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if let Some(verifier) = &mut verifier {
            verifier.update(&buffer[..n]);
        }
        received += n as u64;
        calls += 1;
        progress.step(received);
    }
    mark::<RUN_ENDS>();
    let usage = Snapshot::take().since(&before);

    let mut report = Report::new("sync-recv", payload, &usage);
    report.calls = calls;
    if let Some((digest, right)) = verifier.map(Verifier::finish) {
        report.sha256 = Some(sha::hex(&digest));
        report.sha256_ok = Some(right);
    }
    Ok(report)
}

fn ended_early(received: u64, expected: u64) -> String {
    format!("the remote ended after {received} of {expected} bytes")
}
