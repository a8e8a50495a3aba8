//! What a network offers beside payload, on kernel sockets: a name server, a router that advertises itself, senders to
//! multicast groups, and a TCP server with odd manners. The peer of `naio-exercise`.
//!
//! Receives what a stack under test sends, hands back what a real host would. Trusts nobody, but serves everybody:
//! it belongs into a network of a test.

pub mod groups;
pub mod manners;
pub mod names;
pub mod router;

use std::io::{self, Write as _};
use std::time::Duration;

/// How often those who wait look up.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A line that says what was seen. Whoever reads our log may leave; the service goes on.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Whether a receive only found nothing in its time.
fn was_silent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
