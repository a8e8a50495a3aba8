//! Answers datagrams: whatever arrives at a UDP port goes back to whoever sent it.
//!
//!     udp vfio:0000:00:02.0 10.9.0.2/24 7 [COUNT]
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use aio_api::{Builder, Kind, Wait};
use std::error::Error;

/// Datagrams that may be under way at a time.
const RECEIVES: usize = 16;
/// The longest that is answered; beyond the MTU they come and go in fragments.
const DATAGRAM_MAX: usize = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("missing argument: {what}"));
    let (device, address, port) = (next("DEVICE")?, next("ADDRESS/LENGTH")?, next("PORT")?);
    let mut left: u64 = next("COUNT").map_or(Ok(u64::MAX), |count| count.parse())?;

    let mut queue = Builder::new(address.parse()?).open(&device)?;
    let socket = queue.udp_bind(port.parse()?)?;
    for buffer in queue.buffers(RECEIVES, DATAGRAM_MAX)? {
        queue.recv_from(socket, buffer, 0)?;
    }
    println!("listening on port {port}");
    let mut completions = Vec::new();
    while left > 0 {
        queue.wait(&mut completions, Wait::for_one())?;
        for done in completions.drain(..) {
            let Some(buffer) = done.buffer else { continue };
            match (done.kind, done.result, done.peer) {
                // The buffer goes out as it came in, and is posted again when it has left.
                (Kind::RecvFrom, Ok(()), Some(peer)) => {
                    queue.send_to(socket, buffer, 0..done.bytes as usize, peer, 0)?;
                }
                (Kind::SendTo, Ok(()), _) => {
                    left = left.saturating_sub(1);
                    queue.recv_from(socket, buffer, 0)?;
                }
                // An error that came back for a datagram: nobody waits for it any more.
                _ => drop(queue.recv_from(socket, buffer, 0)?),
            }
        }
    }
    Ok(())
}
