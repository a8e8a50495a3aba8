//! Connects, sends a line, prints the answer.
//!
//!     client vfio:0000:00:02.0 10.9.0.2/24 10.9.0.1:7 "hello there"
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program prints its results")]

use aio_api::{Builder, Kind, RecvOptions, SocketOptions, Wait};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [card, address, remote, text] = &arguments[..] else {
        return Err("usage: client CARD ADDRESS/PREFIX REMOTE:PORT TEXT".into());
    };
    let mut queue = Builder::new(address.parse()?).open(card)?;
    let socket = queue.socket(SocketOptions::default())?;

    // Everything is submitted at once: what needs the connection waits for it.
    queue.connect(socket, remote.parse()?, 0)?;
    let line = format!("{text}\n");
    let mut buffers = queue.buffers(2, 4096)?;
    let (mut request, answer) = (buffers.remove(0), buffers.remove(0));
    let request_part = request.get_mut(..line.len()).ok_or("the text is too long")?;
    request_part.copy_from_slice(line.as_bytes());
    queue.send(socket, request, 0..line.len(), 0)?;
    queue.shutdown(socket, 0)?;
    // The answer ends with the stream, or fills the buffer.
    queue.recv(socket, answer, RecvOptions::wait_all(), 0)?;

    let mut completions = Vec::new();
    loop {
        if queue.wait(&mut completions, Wait::for_one().within(Duration::from_secs(10)))? == 0 {
            return Err("no answer for 10 s".into());
        }
        for done in completions.drain(..) {
            done.result?;
            match (done.kind, done.buffer) {
                (Kind::Recv, Some(buffer)) => {
                    print!("{}", String::from_utf8_lossy(&buffer[..done.bytes as usize]));
                    queue.close(socket, 0)?;
                }
                (Kind::Close, _) => return Ok(()),
                _ => {}
            }
        }
    }
}
