//! Sends back what clients send, one buffer for each connection.
//!
//!     server vfio:0000:00:02.0 10.9.0.2/24 7
#![forbid(unsafe_code)]

use aio_api::{Builder, Kind, RecvOptions, SocketId, Wait};
use std::collections::HashMap;
use std::error::Error;

/// Cookie of the accept; connections are numbered from 1.
const ACCEPT: u64 = 0;
const BUFFER_LEN: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [card, address, port] = &arguments[..] else {
        return Err("usage: server CARD ADDRESS/PREFIX PORT".into());
    };
    let mut queue = Builder::new(address.parse()?).open(card)?;
    let listener = queue.listen(port.parse()?, 16)?;
    queue.accept(listener, ACCEPT)?;

    let mut connections: HashMap<u64, SocketId> = HashMap::new();
    let mut next = ACCEPT + 1;
    let mut completions = Vec::new();
    loop {
        queue.wait(&mut completions, Wait::for_one())?;
        for done in completions.drain(..) {
            if let (Kind::Accept, Some(socket)) = (done.kind, done.socket) {
                let buffer = queue.buffers(1, BUFFER_LEN)?.remove(0);
                queue.recv(socket, buffer, RecvOptions::default(), next)?;
                connections.insert(next, socket);
                next += 1;
                queue.accept(listener, ACCEPT)?;
                continue;
            }
            let number = done.user_data;
            let (Some(&socket), Some(buffer)) = (connections.get(&number), done.buffer) else { continue };
            let bytes = done.bytes as usize;
            if done.result.is_err() || (done.kind == Kind::Recv && bytes == 0) {
                // Ended in order, or reset: either way there is nothing more to answer.
                connections.remove(&number);
                queue.close(socket, number)?;
            } else if done.kind == Kind::Recv {
                queue.send(socket, buffer, 0..bytes, number)?;
            } else {
                queue.recv(socket, buffer, RecvOptions::default(), number)?;
            }
        }
    }
}
