//! Numbers that a stranger must not foresee: initial sequence numbers and local ports.
//!
//! smoltcp draws an initial sequence number from a small generator whose later outputs follow from
//! earlier ones. The generator's first outputs follow from its seed alone, so an `Interface` made
//! for one handshake, with the right seed, draws the number *we* chose.

use crate::demux::FlowKey;
use crate::hash::Key;
use naio_sys::clock::Time;

/// First and last local port of connections that we open.
const PORTS: std::ops::RangeInclusive<u16> = 32_768..=65_535;
/// The clock of initial sequence numbers ticks every 4 µs (RFC 6528 3).
const ISN_TICK_US: u64 = 4;
/// Separates the uses of one key.
const DOMAIN_ISN: u64 = 1;
const DOMAIN_PORT: u64 = 2;

/// The initial sequence number of a connection: F(tuple, secret) plus a clock (RFC 6528 3).
pub(crate) fn initial_seq(key: Key, now: Time, flow: FlowKey) -> u32 {
    let [a, b, c, d, e] = flow.words();
    let clock = now.as_micros() / ISN_TICK_US;
    (key.prf(&[DOMAIN_ISN, a, b, c, d, e]) as u32).wrapping_add(clock as u32)
}

/// A local port towards `remote` that is not `taken`: a keyed offset for each destination, then one
/// after the other (RFC 6056 3.3.3). `count` grows with each connection.
pub(crate) fn local_port(
    key: Key,
    count: u64,
    remote: FlowKey,
    mut taken: impl FnMut(u16) -> bool,
) -> Option<u16> {
    let [a, b, c, d, e] = remote.words();
    let span = u64::from(*PORTS.end() - *PORTS.start()) + 1;
    let offset = key.prf(&[DOMAIN_PORT, a, b, c, d, e]).wrapping_add(count);
    // The remainder is below the span, so the sum is a port.
    let nth = |n: u64| *PORTS.start() + (offset.wrapping_add(n) % span) as u16;
    (0..span).map(nth).find(|&port| !taken(port))
}

/// smoltcp 0.14 `Rand` (sPCG32): state = state × MULTIPLIER + INCREMENT, then an output of the state.
const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;
const INVERSE: u64 = inverse(MULTIPLIER);

/// The inverse of an odd number modulo 2^64: Newton's iteration doubles the right bits each time.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

const fn previous(state: u64) -> u64 {
    state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE)
}

/// The seed with which a fresh `Interface` draws `isn` as its first initial sequence number. Making
/// the `Interface` draws once before (its IPv4 identification, drawn again while it is zero).
pub(crate) fn seed_for(isn: u32) -> u64 {
    let output = |state: u64| {
        let state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        (state >> (29 - (state >> 61))) as u32
    };
    let mut low = 0u64;
    loop {
        // With the top three bits zero the output is bits 29 to 60.
        let drawn = u64::from(isn) << 29 | low;
        let before = previous(previous(drawn));
        let identification = output(before);
        if (identification ^ identification >> 16) as u16 != 0 {
            return before;
        }
        low += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::capabilities;
    use smoltcp::iface::{Config, Interface};
    use smoltcp::phy::{Device, Loopback, Medium};
    use smoltcp::socket::tcp;
    use smoltcp::time::Instant;
    use smoltcp::wire::{HardwareAddress, IpAddress};

    #[test]
    fn a_seeded_interface_draws_the_number_we_chose() {
        let seed = naio_testkit::seeds(3, 1).next().expect("one");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut device = Loopback::new(Medium::Ip);
        assert_eq!(device.capabilities().medium, capabilities(1500).medium);
        for isn in std::iter::repeat_with(|| random.u32(..)).take(500).chain([0, 1, u32::MAX, 1 << 31]) {
            let mut config = Config::new(HardwareAddress::Ip);
            config.random_seed = seed_for(isn);
            let mut iface = Interface::new(config, &mut device, Instant::ZERO);
            let ring = || tcp::SocketBuffer::new(vec![0; 16]);
            let mut socket = tcp::Socket::new(ring(), ring());
            let (us, them) = (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2));
            socket.connect(iface.context(), (them, 9), (us, 7)).expect("a good address");
            // The number itself is private: read it where the socket's debug form shows it.
            let shown = format!("{socket:?}");
            let expected = format!("local_seq_no: SeqNumber({})", isn as i32);
            assert!(shown.contains(&expected), "{isn}: {shown}");
        }
    }

    #[test]
    fn ports_differ_between_destinations_and_avoid_the_taken() {
        let key = Key::new([9; 16]);
        let to = |port| FlowKey::new(([10, 0, 0, 1], 0), ([10, 0, 0, 2], port));
        let first = local_port(key, 0, to(80), |_| false).expect("free ports");
        assert!(PORTS.contains(&first));
        assert_ne!(Some(first), local_port(key, 0, to(81), |_| false));
        assert_ne!(Some(first), local_port(key, 0, to(80), |port| port == first));
        assert_eq!(None, local_port(key, 0, to(80), |_| true));
        assert_ne!(first, 32_768, "the offset depends on the secret");
    }
}
