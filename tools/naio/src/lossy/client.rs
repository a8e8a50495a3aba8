//! One hashed transfer between kernel sockets, from the client's side: what naio does as the measured side, done by
//! Linux.
//!
//! Receives a way and an amount, hands on the time that it took; an error if the bytes were not the right ones.

use crate::demo::record::Experiment;
use crate::demo::remote::Remote;
use crate::demo::transfer::{CHUNK, digest, pieces};
use naio_bench::protocol::{DIGEST_LEN, Request};
use naio_bench::sending::check_answer;
use naio_bench::sha::Hasher;
use naio_sys::clock;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);
/// The answer of a sink: a count, and the digest.
const ANSWER_LEN: usize = 8 + DIGEST_LEN;

/// Moves `bytes` bytes.
pub(crate) fn transfer(experiment: Experiment, bytes: u64) -> io::Result<Duration> {
    // Made before the clock starts, as the measured side of naio does.
    let pieces = pieces();
    let start = clock::now();
    let mut stream = TcpStream::connect(Remote::address(experiment))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&Request { bytes, sha256: true }.encode())?;
    match experiment {
        Experiment::Receive => receive(&mut stream, bytes)?,
        Experiment::Send => send(&mut stream, bytes, &pieces)?,
    }
    Ok(clock::now().since(start))
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the bytes that arrived are not those that were sent")
}

fn receive(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        // At most a chunk.
        let most = left.min(CHUNK as u64) as usize;
        let got = stream.read(&mut buffer[..most])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..got]);
        left -= got as u64;
    }
    let mut sent = [0; DIGEST_LEN];
    stream.read_exact(&mut sent)?;
    if hasher.finish() == sent { Ok(()) } else { Err(wrong()) }
}

fn send(stream: &mut TcpStream, bytes: u64, pieces: &[Vec<u8>]) -> io::Result<()> {
    let mut left = bytes;
    for piece in pieces.iter().cycle() {
        let len = left.min(piece.len() as u64);
        stream.write_all(&piece[..len as usize])?;
        left -= len;
        if left == 0 {
            break;
        }
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = [0; ANSWER_LEN];
    stream.read_exact(&mut answer)?;
    check_answer(&answer, bytes, Some(&digest(pieces, bytes))).map_err(|_| wrong())?;
    Ok(())
}
