//! Exercises of what a network has beside hosts: name servers, groups, routers.

use crate::drill::{Drill, Verdict, expect, expect_eq};
use aio_api::{Lookup, OpError, SocketOptions};
use naio_bench::services::manners::Manner;
use naio_bench::services::{groups, names};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A smaller MTU than the card's, so that it is seen to be kept to; not below the least for IPv6.
pub(crate) const MTU: usize = 1400;
/// A network behind the peer, to which a static route goes.
pub(crate) const ROUTED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 0);
/// The peer has this address too.
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The default router says that this one cannot be reached.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 1);
const GROUP4: Ipv4Addr = Ipv4Addr::new(239, 9, 9, 9);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 9, 9);
/// Within this, what was sent to a neighbouring group would have come.
const LISTENED: Duration = Duration::from_millis(300);

/// Names become addresses, or a reason why not.
pub(crate) fn names(drill: &mut Drill) -> Verdict {
    let v4: Vec<IpAddr> = names::HOST4.map(IpAddr::from).to_vec();
    let v6 = vec![IpAddr::from(names::HOST6)];
    let questions = [
        ("host.test", Lookup::Ipv4, Ok(&v4)),
        ("HOST.test.", Lookup::Ipv6, Ok(&v6)),
        ("alias.test", Lookup::Ipv4, Ok(&v4)),
        ("alias.test", Lookup::Ipv6, Ok(&v6)),
        ("late.test", Lookup::Ipv4, Ok(&v4)),
        ("ipv4.test", Lookup::Ipv6, Err(OpError::NoAddress)),
        ("nobody.test", Lookup::Ipv4, Err(OpError::NoName)),
        // Cut off, and we ask over UDP alone: nothing is known of the name.
        ("long.test", Lookup::Ipv4, Err(OpError::ServerFailed)),
        ("broken.test", Lookup::Ipv4, Err(OpError::ServerFailed)),
        ("silent.test", Lookup::Ipv4, Err(OpError::TimedOut)),
    ];
    // All at the same time: most of what the last ones do is waiting.
    let mut keys = Vec::new();
    for (number, (name, lookup, _)) in questions.iter().enumerate() {
        keys.push(drill.queue.resolve(name, *lookup, number as u64)?);
    }
    for ((name, lookup, wanted), key) in questions.into_iter().zip(keys) {
        let done = drill.next(key)?;
        let outcome = done.result.map(|()| &done.addresses);
        expect_eq(&format!("{lookup:?} of {name}"), outcome, wanted)?;
    }
    Ok(())
}

/// The peer hears that we join a group, and then its datagrams come through the card's filter; those to a group
/// beside it do not. The peer hears as well that we leave.
pub(crate) fn groups(drill: &mut Drill) -> Verdict {
    let mut groups = vec![IpAddr::from(GROUP4)];
    if drill.peer6.is_some() {
        groups.push(GROUP6.into());
    }
    for group in groups {
        let socket = drill.queue.udp_bind(groups::PORT)?;
        let into = drill.queue.buffers(1, 200)?.remove(0);
        let receive = drill.queue.recv_from(socket, into, 0)?;
        let strangers = drill.queue.counters().stack.drop_ether_address;
        drill.queue.join(group)?;
        let done = drill.good(receive)?;
        let buffer = done.buffer.ok_or("the buffer did not come back")?;
        let text = String::from_utf8_lossy(&buffer[..done.bytes as usize]).into_owned();
        expect_eq("the datagram", text, groups::text(group))?;
        drill.run_for(LISTENED)?;
        let strangers = drill.queue.counters().stack.drop_ether_address - strangers;
        // All of them came before the one that we have.
        expect(
            &format!("{strangers} frames passed that the card had to keep out"),
            strangers < groups::DATAGRAMS,
        )?;
        drill.queue.leave(group)?;
        expect("a group was left twice", drill.queue.leave(group).is_err())?;
        expect("the socket is gone", drill.queue.udp_close(socket))?;
        drill.run_for(LISTENED)?;
    }
    Ok(())
}

/// A static route leads to a network behind the peer.
pub(crate) fn routes(drill: &mut Drill) -> Verdict {
    let socket = drill.connect_at(BEHIND.into(), Manner::Echo, SocketOptions::default())?;
    drill.send(socket, b"behind")?;
    expect_eq("the echo", drill.read(socket, 6)?.0, b"behind".to_vec())?;
    drill.close(socket)
}

/// The default router says that a host cannot be reached: the connect ends with that, long before its time is over.
pub(crate) fn unreachable(drill: &mut Drill) -> Verdict {
    let errors = drill.queue.counters().stack.rx_icmp_error;
    let (socket, connected) = drill.connect_to((NOWHERE, 7).into(), SocketOptions::default())?;
    expect_eq("the end of the connect", connected, Err(OpError::Unreachable))?;
    expect("no ICMP error came", drill.queue.counters().stack.rx_icmp_error > errors)?;
    expect("the socket is gone", drill.queue.abort(socket))
}
