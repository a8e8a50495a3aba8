//! Two stacks over bad wires, beyond TCP over IPv4: TCP over IPv6, and UDP with fragments over both.

mod harness;

use harness::{PORT, Stream, World, pattern};
use naio_stack::{Config, Ipv6Config, Phase, RingLen, SocketOptions, UdpSendError};
use naio_testkit::{Faults, WireOptions};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

fn six(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into())
}

fn world(options: &WireOptions) -> World {
    let mut world = World::with(options, 96, |config: &mut Config| {
        let address = six(config.address.octets()[3]);
        config.ipv6 = Some(Ipv6Config { addresses: vec![(address, 64)], ..Ipv6Config::default() });
    });
    let ready = world.run_until(10, |hosts| hosts.iter().all(|host| host.stack.addresses().len() == 3));
    assert!(ready, "the addresses are nobody else's");
    world
}

fn faults(seed: u64) -> WireOptions {
    let faults = Faults { loss: 150, duplicate: 100, reorder: 200, reorder_us: 900, corrupt: 60 };
    WireOptions { seed, faults: [faults; 2], latency_us: 300, frame_us: 12, ..WireOptions::default() }
}

#[test]
fn tcp_over_ipv6_through_loss_and_reordering() {
    for seed in naio_testkit::seeds(500, 12) {
        let mut world = world(&if seed % 4 == 0 { WireOptions::default() } else { faults(seed) });
        let (rx_ring, tx_ring) = (RingLen::at_least(100_000), RingLen::at_least(60_000));
        let rings = SocketOptions { rx_ring, tx_ring, ..SocketOptions::default() };
        let (client, server) = world.connect_to(six(2).into(), rings);
        let (mut up, mut down) = (Stream::new(300_000, 1), Stream::new(150_000, 2));
        let done = world.run_until(3_000, |[a, b]| {
            up.pump(&mut a.stack, client);
            down.pump(&mut b.stack, server);
            up.drain(&mut b.stack, server, usize::MAX);
            down.drain(&mut a.stack, client, usize::MAX);
            let phases = [a.stack.status(client), b.stack.status(server)].map(|s| s.expect("ours").phase);
            let over = phases.iter().all(|phase| matches!(phase, Phase::Closed | Phase::TimeWait));
            up.finished && down.finished && over
        });
        assert!(done, "stuck at {} and {}", up.received, down.received);
        let remote = world.hosts[0].stack.status(client).and_then(|status| status.remote);
        assert_eq!(remote, Some(SocketAddr::new(six(2).into(), PORT)));
        for end in 0..2 {
            let wire = world.wire.counters(end);
            assert_eq!((wire.bad_checksum, wire.bad_offload), (0, 0));
            assert_eq!(world.hosts[end].stack.counters().tx_too_long, 0);
        }
        if seed % 4 == 0 {
            assert!(world.hosts[1].stack.counters().rx_tcp_merged > 0, "IPv6 is coalesced as well");
        }
    }
}

#[test]
fn what_nobody_listens_to_is_refused_over_ipv6_too() {
    let mut world = world(&WireOptions::default());
    let socket = world.hosts[0].stack.socket(SocketOptions::default()).expect("room");
    let now = world.now();
    world.hosts[0].stack.connect(now, socket, SocketAddr::new(six(2).into(), 9)).expect("an address");
    let refused = world
        .run_until(5, |hosts| hosts[0].stack.status(socket).is_some_and(|status| status.failure.is_some()));
    assert!(refused);
    assert_eq!(
        world.hosts[0].stack.status(socket).and_then(|status| status.failure),
        Some(naio_stack::Failure::Refused)
    );
}

/// What arrives of a datagram is all of it, as it was sent; on a good wire everything arrives.
#[test]
fn datagrams_arrive_whole_or_not_at_all() {
    let addresses: [IpAddr; 2] = [harness::B.into(), six(2).into()];
    for (seed, address) in naio_testkit::seeds(900, 8).flat_map(|seed| addresses.map(|a| (seed, a))) {
        let good = seed % 4 == 0;
        let options = if good { WireOptions::default() } else { faults(seed) };
        let mut world = world(&options);
        let sender = world.hosts[0].stack.udp_bind(0).expect("a port");
        let receiver = world.hosts[1].stack.udp_bind(PORT).expect("a port");
        let to = SocketAddr::new(address, PORT);
        let (mut sent, mut received, mut intact) = (0u64, 0u64, true);
        let mut buffer = vec![0; 65_536];
        world.run_until(30, |[a, b]| {
            if sent < 60 {
                let len = ((sent * 997) % 9_000).max(8) as usize;
                let mut bytes: Vec<u8> = (0..len).map(|n| pattern(n as u64, sent as u8)).collect();
                bytes[0] = sent as u8;
                match a.stack.udp_send(sender, to, &bytes) {
                    Ok(()) => sent += 1,
                    Err(UdpSendError::Busy) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            while let Some(datagram) = b.stack.udp_recv(receiver, &mut buffer) {
                let number = u64::from(buffer[0]);
                let len = ((number * 997) % 9_000).max(8) as usize;
                let rest = buffer[1..datagram.len].iter().enumerate();
                intact &= datagram.len == len
                    && rest.into_iter().all(|(n, &byte)| byte == pattern(n as u64 + 1, number as u8));
                received += 1;
            }
            false
        });
        assert!(intact && sent == 60, "{sent} sent");
        if good {
            assert_eq!(received, 60);
        } else {
            // Duplicates count twice; a seventh of the frames is lost, so more is missing of the long ones.
            assert!((5..100).contains(&received), "{received} of 60");
        }
        let counters = world.hosts[1].stack.counters();
        assert!(counters.reassembled > 0 && counters.rx_ip_fragment > 0);
        assert_eq!(world.wire.counters(0).bad_checksum, 0);
    }
}
