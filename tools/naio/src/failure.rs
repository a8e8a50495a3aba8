//! Why a command stopped, and what the user can do about it.

use crate::demo::remote::Refused;
use aio_api::{
    BindError, BufferError, BuildError, ListenError, OpError, RecvNowError, SocketError, SubmitError,
    WaitError,
};
use naio_bench::protocol::DecodeError;
use naio_e1000_model::ModelError;
use naio_e1000_model::wire::pcap::CaptureError;
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no card in software")]
    Model(#[from] ModelError),
    #[error("the driver cannot open the card")]
    Driver(#[from] naio_e1000::OpenError),
    #[error("no event queue")]
    Queue(#[source] BuildError),
    #[error("an operation was refused")]
    Submit(#[from] SubmitError),
    #[error("no buffers")]
    Buffers(#[from] BufferError),
    #[error("no socket")]
    Socket(#[from] SocketError),
    #[error("cannot listen")]
    Listen(#[from] ListenError),
    #[error("waiting failed")]
    Wait(#[from] WaitError),
    #[error("a receive failed")]
    RecvNow(#[from] RecvNowError),
    #[error("{0} failed")]
    Operation(&'static str, #[source] OpError),
    #[error("nothing moved for {0} s")]
    Stalled(u64),
    #[error("the transfer ended after {moved} of {expected} bytes")]
    EndedEarly { moved: u64, expected: u64 },
    #[error("the measured side did not speak the experiments' protocol")]
    Request(#[from] DecodeError),
    #[error(transparent)]
    Answer(#[from] naio_bench::failure::Failure),
    #[error("no TAP")]
    Refused(#[from] Refused),
    #[error("the partner's process does not answer")]
    Remote(#[source] io::Error),
    #[error("the remote's thread has ended")]
    RemoteGone,
    #[error("no thread")]
    Thread(#[source] io::Error),
    #[error("{arm} moved wrong bytes: SHA-256 {got} instead of {expected}")]
    Hash { arm: &'static str, got: String, expected: String },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no capture that can be replayed", path.display())]
    Capture { path: PathBuf, source: CaptureError },
    #[error("no room accounts for {0} of the frames")]
    Unaccounted(u64),
    #[error("no 8254x is called {0}")]
    NoPart(String),
    #[error("the {part} has no register {name}")]
    NoRegister { name: String, part: &'static str },
    #[error("the driver broke the datasheet's rules {0} times")]
    Violations(u64),
    #[error("no memory that the card can see")]
    Memory(#[from] naio_dma::RegionError),
    #[error("cannot receive datagrams")]
    Bind(#[from] BindError),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} did not take every frame: the capture is incomplete", .0.display())]
    Incomplete(PathBuf),
    #[error("cannot draw {}: {why}", path.display())]
    Draw { path: PathBuf, why: String },
    #[error("the figures cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// Everything to tell the user: what, why, and what to do.
    pub(crate) fn told(&self) -> String {
        let mut told = format!("naio: {self}");
        let mut source = self.source();
        while let Some(error) = source {
            told += &format!(": {error}");
            source = error.source();
        }
        if let Some(help) = self.help() {
            told += &format!("\n  {help}");
        }
        told
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Failure::Queue(error) => return error.help(),
            Failure::Refused(_) => "--wire pair needs no rights; for a TAP, run as root, or let users have \
                 /dev/net/tun (mode 0666) and user namespaces (sysctl user.max_user_namespaces)"
                .into(),
            Failure::Capture { source: CaptureError::UnknownFormat, .. } => {
                "pcap and pcapng can be replayed; `tcpdump -i INTERFACE -w FILE` makes one".into()
            }
            Failure::Capture { source: CaptureError::NotEthernet(_), .. } => {
                "capture on one Ethernet interface (tcpdump -i eth0), not on `any` or a tunnel".into()
            }
            Failure::Unaccounted(_) => "this is a bug; -v shows which frames, please report them".into(),
            Failure::NoRegister { .. } => "`naio model regs` lists every register that it has".into(),
            Failure::Violations(_) => "this is a bug in the driver or in the model; please report it".into(),
            Failure::NoPart(_) => "`naio model info` lists every part with its id".into(),
            Failure::Driver(naio_e1000::OpenError::Part(_)) => {
                "`naio model info` says which parts the driver drives; 82540EM is one".into()
            }
            Failure::Incomplete(_) => "is the disk full? a smaller --size needs less".into(),
            Failure::Stalled(_) => {
                "a wire that loses so much may need longer than this: try a smaller --loss".into()
            }
            Failure::Hash { .. } => {
                "this is a bug; run it again with --pcap FILE and keep the capture".into()
            }
            Failure::Remote(_) | Failure::RemoteGone => {
                "--wire pair or --wire tap chooses another partner".into()
            }
            _ => return None,
        })
    }
}
