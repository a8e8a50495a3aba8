//! A private network with a TAP in it: the kernel at the other end answers from the address that we gave it.

use naio_sys::interface::{Interface, silence_ipv6};
use naio_sys::namespace::{Right, enter_own_network};
use naio_sys::tap::Tap;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

const NAME: &str = "naio-test0";
/// Looks for an answer before the test gives up, and the pause between two.
const LOOKS: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(5);

/// Who has 10.77.0.1? Tell 10.77.0.2 (RFC 826).
fn question() -> Vec<u8> {
    let us = [2, 0, 0, 0, 0, 9];
    let mut frame = vec![0xff; 6];
    frame.extend(us);
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(us);
    frame.extend([10, 77, 0, 2, 0, 0, 0, 0, 0, 0, 10, 77, 0, 1]);
    frame.resize(60, 0);
    frame
}

fn ask_the_kernel() -> io::Result<Vec<u8>> {
    enter_own_network(Right::Root)?;
    // A kernel without IPv6 has nothing to silence.
    let _ = silence_ipv6();
    let tap = Tap::open(NAME)?;
    let interface = Interface::named(NAME)?;
    interface.set_address(Ipv4Addr::new(10, 77, 0, 1), 24)?;
    interface.bring_up()?;
    assert!(tap.send(&question())?, "the kernel takes a frame");
    let mut frame = vec![0; 2048];
    for _ in 0..LOOKS {
        match tap.receive(&mut frame)? {
            Some(len) if frame[12..14] == [0x08, 0x06] => return Ok(frame[..len].to_vec()),
            Some(_) => {}
            None => std::thread::sleep(PAUSE),
        }
    }
    panic!("no answer from the kernel");
}

#[test]
fn the_kernel_answers_from_the_address_it_was_given() {
    // A thread of its own: it does not come back from its network.
    let answer = std::thread::spawn(ask_the_kernel).join().expect("no panic");
    match answer {
        Ok(frame) => {
            assert_eq!(frame[20..22], [0, 2], "a reply");
            assert_eq!(frame[28..32], [10, 77, 0, 1]);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: a private network with a TAP needs root here: {error}");
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: no TUN device: {error}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn impossible_settings_are_refused() {
    assert!(Interface::named("a-name-that-is-too-long").is_err());
    let interface = Interface::named("naio-none").expect("a socket");
    assert!(interface.set_address(Ipv4Addr::LOCALHOST, 33).is_err());
    assert!(interface.bring_up().is_err(), "there is no such interface");
}
