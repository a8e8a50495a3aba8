//! Takes whatever any number of clients send, with a few buffers for all of them, and says how much it was.
//!
//!     sink vfio:0000:00:02.0 10.9.0.2/24 9
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use aio_api::{Builder, Kind, RecvOptions, SocketId, Wait};
use std::collections::HashMap;
use std::error::Error;

/// Cookie of the accept; connections are numbered from 1.
const ACCEPT: u64 = 0;
/// Buffers for everybody: a connection has one only while it has bytes.
const BUFFERS: usize = 64;
const BUFFER_LEN: usize = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [card, address, port] = &arguments[..] else {
        return Err("usage: sink CARD ADDRESS/PREFIX PORT".into());
    };
    let mut queue = Builder::new(address.parse()?).open(card)?;
    let listener = queue.listen(port.parse()?, 128)?;
    queue.accept(listener, ACCEPT)?;
    let group = queue.buffer_group();
    for buffer in queue.buffers(BUFFERS, BUFFER_LEN)? {
        queue.provide(group, buffer)?;
    }

    let mut connections: HashMap<u64, (SocketId, u64)> = HashMap::new();
    let mut next = ACCEPT + 1;
    let mut completions = Vec::new();
    loop {
        queue.wait(&mut completions, Wait::for_one())?;
        for done in completions.drain(..) {
            if let (Kind::Accept, Some(socket)) = (done.kind, done.socket) {
                // One submission for the whole life of the connection.
                queue.recv_multishot(socket, group, RecvOptions::default(), next)?;
                connections.insert(next, (socket, 0));
                next += 1;
                queue.accept(listener, ACCEPT)?;
                continue;
            }
            let number = done.user_data;
            if let Some((_, bytes)) = connections.get_mut(&number) {
                *bytes += done.bytes;
            }
            if let Some(buffer) = done.buffer {
                queue.provide(group, buffer)?;
            }
            if let (Kind::Recv, false) = (done.kind, done.flags.has_more())
                && let Some((socket, bytes)) = connections.remove(&number)
            {
                println!("connection {number}: {bytes} bytes, {:?}", done.result);
                queue.close(socket, number)?;
            }
        }
    }
}
