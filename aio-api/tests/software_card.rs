//! Two event queues over two cards in software, opened by name: driver, rings, wire and both stacks are real.
#![cfg(feature = "model")]

use aio_api::{BuildError, Builder, EventQueue, Kind, OpenError, RecvOptions, SocketOptions, Wait};
use std::thread;
use std::time::Duration;

const PORT: u16 = 5001;
const CHUNK: usize = 64 << 10;
/// Far more than a transfer of this size takes: a hang must end.
const PATIENCE: Duration = Duration::from_secs(60);

fn open(address: &str, name: &str) -> Result<EventQueue, BuildError> {
    Builder::new(address.parse().expect("an address")).open(name)
}

fn byte(offset: usize) -> u8 {
    ((offset as u32).wrapping_mul(2_654_435_761) >> 11) as u8
}

/// Accepts one connection and reads it to its end; drives the queue until the peer has closed.
fn serve(mut queue: EventQueue) -> Vec<u8> {
    let listener = queue.listen(PORT, 4).expect("a free port");
    queue.accept(listener, 0).expect("submitted");
    let (mut got, mut done) = (Vec::new(), Vec::new());
    let mut socket = None;
    loop {
        assert!(queue.wait(&mut done, Wait::for_one().within(PATIENCE)).expect("the card is there") > 0);
        for done in done.drain(..) {
            if done.kind == Kind::Close {
                return got;
            }
            if socket.is_some_and(|(_, closing)| closing) {
                // What was posted behind the end of the stream.
                continue;
            }
            done.result.expect("no operation fails");
            if let (Kind::Accept, Some(accepted)) = (done.kind, done.socket) {
                socket = Some((accepted, false));
                for buffer in queue.buffers(4, CHUNK).expect("memory") {
                    queue.recv(accepted, buffer, RecvOptions::default(), 0).expect("submitted");
                }
                continue;
            }
            let (Some(buffer), Some((accepted, closing))) = (done.buffer, &mut socket) else { continue };
            got.extend_from_slice(&buffer[..done.bytes as usize]);
            if done.flags.is_eof() {
                *closing = true;
                queue.close(*accepted, 0).expect("submitted");
                continue;
            }
            queue.recv(*accepted, buffer, RecvOptions::default(), 0).expect("submitted");
        }
    }
}

fn send(queue: &mut EventQueue, total: usize) {
    let socket = queue.socket(SocketOptions::default()).expect("room");
    queue.connect(socket, ([10, 9, 0, 1], PORT).into(), 0).expect("submitted");
    let mut done = Vec::new();
    queue.wait(&mut done, Wait::for_one().within(PATIENCE)).expect("the card is there");
    assert!(matches!(&done[..], [done] if done.result.is_ok()), "connected: {done:?}");
    done.clear();
    let mut offset = 0;
    for mut buffer in queue.buffers(total / CHUNK, CHUNK).expect("memory") {
        for place in buffer.iter_mut() {
            *place = byte(offset);
            offset += 1;
        }
        queue.send(socket, buffer, 0..CHUNK, 1).expect("submitted");
    }
    queue.close(socket, 2).expect("submitted");
    let expected = total / CHUNK + 1;
    assert_eq!(
        queue.wait(&mut done, Wait::for_at_least(expected).within(PATIENCE)).expect("the card is there"),
        expected
    );
    assert!(done.iter().all(|done| done.result.is_ok()), "{done:?}");
}

fn transfer(name: &str, total: usize) {
    let server = open("10.9.0.1/24", name).expect("the first end");
    let mut client = open("10.9.0.2/24", name).expect("the second end");
    let server = thread::spawn(move || serve(server));
    send(&mut client, total);
    // Answers what the other end says until it has said goodbye, too.
    while !server.is_finished() {
        client.poll(&mut Vec::new());
    }
    let got = server.join().expect("the server ends");
    assert_eq!(got.len(), total);
    assert!(got.iter().enumerate().all(|(offset, got)| *got == byte(offset)), "every byte in its place");
}

#[test]
fn two_queues_that_open_one_name_are_joined() {
    transfer("model:pair:joined", 4 << 20);
}

#[test]
fn what_a_lossy_wire_loses_is_sent_again() {
    transfer("model:pair:lossy?loss=1%&seed=3", 1 << 20);
}

#[test]
fn an_end_whose_partner_has_gone_is_not_handed_out() {
    drop(open("10.9.0.1/24", "model:pair:left").expect("the first end"));
    transfer("model:pair:left", 1 << 16);
}

#[test]
fn names_that_name_nothing_are_refused_with_a_hint() {
    for name in ["model", "model:", "model:pair", "model:pair:", "model:tap:", "model:wire:a", ""] {
        let error = open("10.9.0.1/24", name).expect_err(name);
        assert!(matches!(error, BuildError::Open(OpenError::Name { .. })), "{name}: {error}");
        assert!(error.help().is_some_and(|help| help.contains("model:pair:NAME")), "{name}");
    }
    for setting in ["loss", "loss=1", "loss=101%", "loss=-1%", "seed=x", "rate=3"] {
        let error = open("10.9.0.1/24", &format!("model:pair:a?{setting}")).expect_err(setting);
        assert!(matches!(error, BuildError::Open(OpenError::Setting { .. })), "{setting}: {error}");
    }
    let error = open("10.9.0.1/24", "model:tap:a-name-too-long-for-an-interface").expect_err("16 bytes");
    assert!(matches!(error, BuildError::Open(OpenError::Tap { .. })), "{error}");
}
