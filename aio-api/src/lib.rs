//! Asynchronous network operations, completed through one event queue.
//!
//! A program submits operations (connect, receive, send, close, timeout) to an [`EventQueue`] and
//! waits for [`Completion`]s. Buffers are registered once, *move* into an operation and come back in
//! its completion; a segment is delivered into the buffer posted for it when it arrives. Behind the
//! queue stands a network card driven from user space; there is no system call on the data path.
//!
//! ```no_run
//! use aio_api::{Builder, RecvOptions, SocketOptions, Wait};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut queue = Builder::new("10.9.0.2/24".parse()?).open("vfio:0000:00:02.0")?;
//! let socket = queue.socket(SocketOptions::default())?;
//! queue.connect(socket, "10.9.0.1:5001".parse()?, 1)?;
//! for buffer in queue.buffers(4, 64 * 1024)? {
//!     queue.recv(socket, buffer, RecvOptions::default(), 2)?;
//! }
//! let mut completions = Vec::new();
//! loop {
//!     queue.wait(&mut completions, Wait::for_one())?;
//!     for done in completions.drain(..) {
//!         done.result?;
//!         if done.flags.is_eof() {
//!             return Ok(());
//!         }
//!         if let Some(buffer) = done.buffer {
//!             println!("{:?}", &buffer[..done.bytes as usize]);
//!             queue.recv(socket, buffer, RecvOptions::default(), 2)?;
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! # Ways to receive
//!
//! - [`recv`](EventQueue::recv) into a buffer that is posted before bytes arrive; several may be posted.
//! - The same, [incremental](RecvOptions::incremental): one large buffer comes back part by part.
//! - [`recv_multishot`](EventQueue::recv_multishot) and [`recv_from_multishot`](EventQueue::recv_from_multishot): one
//!   submission receives until the end, into buffers of a [group](EventQueue::buffer_group) that many sockets share and
//!   that are taken only when bytes are there.
//!
//! # Rules
//!
//! 1. Every submitted operation ends in **exactly one** terminal completion, also when it is
//!    cancelled, its socket is closed, or the card is unplugged. A call that returns an error has
//!    submitted nothing and gives the buffer back.
//! 2. Receives on a socket complete in the order they were submitted, and bytes fill their buffers in
//!    that order. Sends likewise, but one that is cancelled or whose file fails ends at once. Receives and sends are not ordered against each other.
//! 3. A submission is refused ([`SubmitError`]) when its completion could not be guaranteed a place:
//!    nothing overflows, nothing is dropped.
//! 4. Bytes that were transferred before an error or a cancellation are in [`Completion::bytes`].
//! 5. The end of the stream is no error: it is [`Flags::is_eof`].
//!
//! What is **not** guaranteed: the order of completions of different sockets; that a cancelled
//! operation had no effect.
//!
//! # Rooms
//!
//! `open` turns a name into a card, `builder` a card into a queue; `queue` is the queue, `submit`, `receiving`,
//! `group`, `multishot`, `listen`, `udp`, `names` and `watch` its calls; `turn` carries frames and
//! packets from room to room; `pace` waits for bursts; `op` and `socket` remember what was asked;
//! `complete` fills buffers and ends operations; `cancel`, `timer` and `wait` do what they say.
#![forbid(unsafe_code)]

mod builder;
mod cancel;
mod complete;
mod completion;
mod counters;
mod error;
mod group;
mod lent;
mod listen;
mod multishot;
mod names;
mod op;
mod open;
mod outgoing;
mod pace;
mod queue;
mod readiness;
mod receiving;
mod sending;
mod socket;
mod submit;
mod timer;
mod turn;
mod udp;
mod wait;
mod watch;
mod windows;

pub use builder::{Builder, Cidr, CidrError};
pub use completion::{Completion, Flags, Kind};
pub use counters::{Counters, QueueCounters};
pub use error::{
    BindError, BufferError, BuildError, GroupError, ListenError, OpError, RecvNowError, SocketError,
    SubmitError, SubmitReason, WaitError,
};
pub use group::BufferGroupId;
pub use lent::Lent;
pub use naio_dma::Buffer;
pub use naio_nic::{Caps, Link, Mac};
pub use naio_stack::{
    Census, Config, Congestion, ConnectionInfo, Ipv6Config, ListenerId, Lookup, Phase, RingLen, SocketId,
    SocketOptions, SocketStatus, StaticRoute, TcpOptions, UdpId,
};
pub use naio_sys::clock::{Clock, Time};
pub use op::OpKey;
pub use open::{CardOptions, OpenError};
pub use outgoing::REFERENCE_LEN_MIN;
pub use pace::Pace;
pub use queue::EventQueue;
pub use readiness::Taken;
pub use receiving::RecvOptions;
pub use wait::Wait;
pub use watch::{TIMEOUT_PERIOD_MIN, When};
pub use windows::WindowCounters;
