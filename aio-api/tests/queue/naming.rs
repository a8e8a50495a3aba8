//! Names, groups and addresses: what the network knows, through the queue.

use crate::common::{complete, joined, joined_with, queue_and_peer};
use aio_api::{Kind, Lookup, OpError, SubmitReason};
use naio_testkit::WireOptions;
use std::net::{IpAddr, Ipv4Addr};

#[test]
fn a_name_that_no_server_answers_for_ends_in_time() {
    let servers = vec![IpAddr::from([10, 0, 0, 2])];
    let (mut queue, mut peer, _) = joined_with(64, &WireOptions::default(), |builder| {
        builder.network(|config| config.dns_servers = servers)
    });
    assert_eq!(queue.resolve("no name", Lookup::Ipv4, 1).expect_err("a space").reason, SubmitReason::Name);
    queue.resolve("host.example.org", Lookup::Ipv4, 2).expect("submitted");
    let cancelled = queue.resolve("host.example.org", Lookup::Ipv6, 3).expect("submitted");
    assert!(queue.cancel(cancelled));
    let done = complete(&mut queue, &mut peer, 2);
    let ends: Vec<_> = done.iter().map(|done| (done.kind, done.user_data, done.result)).collect();
    let (canceled, late) = (Err(OpError::Canceled), Err(OpError::TimedOut));
    assert_eq!(ends, [(Kind::Resolve, 3, canceled), (Kind::Resolve, 2, late)]);
}

#[test]
fn a_name_server_turns_a_name_into_addresses() {
    let servers = vec![IpAddr::from([10, 0, 0, 2])];
    let (mut queue, mut peer, _) = joined_with(64, &WireOptions::default(), |builder| {
        builder.network(|config| config.dns_servers = servers)
    });
    let port = peer.stack.udp_bind(53).expect("a free port");
    queue.resolve("host", Lookup::Ipv4, 1).expect("submitted");
    let done = crate::common::run(
        &mut queue,
        &mut peer,
        |peer| {
            let mut bytes = [0; 512];
            let Some(question) = peer.stack.udp_recv(port, &mut bytes) else { return };
            let mut answer = bytes[..question.len].to_vec();
            (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            peer.stack.udp_send(port, question.from, &answer).expect("room");
        },
        |done| done.len() == 1,
    );
    assert_eq!(done[0].result, Ok(()));
    assert_eq!(done[0].addresses, [IpAddr::from([192, 0, 2, 7])]);
}

#[test]
fn without_a_server_no_name_can_be_asked_for() {
    let (mut queue, _) = queue_and_peer();
    let refused = queue.resolve("host", Lookup::Ipv4, 1).expect_err("nobody to ask");
    assert_eq!(refused.reason, SubmitReason::NoServer);
}

#[test]
fn datagrams_to_a_joined_group_arrive_and_to_others_do_not() {
    let (mut queue, mut peer) = queue_and_peer();
    let (heard, unheard) = (IpAddr::from([239, 1, 2, 3]), IpAddr::from([239, 1, 2, 4]));
    queue.join(heard).expect("a group");
    assert!(queue.join([10, 0, 0, 9].into()).is_err(), "no group");
    let socket = queue.udp_bind(7000).expect("a free port");
    for buffer in queue.buffers(2, 100).expect("memory") {
        queue.recv_from(socket, buffer, 1).expect("submitted");
    }
    let other = peer.stack.udp_bind(0).expect("a free port");
    peer.stack.udp_send(other, (unheard, 7000).into(), b"not us").expect("room");
    peer.stack.udp_send(other, (heard, 7000).into(), b"all of us").expect("room");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!(&done[0].buffer.as_ref().expect("back")[..9], b"all of us");
    queue.leave(heard).expect("joined");
    assert!(queue.leave(heard).is_err(), "left");
}

#[test]
fn a_watch_tells_the_address_as_it_is() {
    let (mut queue, mut peer, _) = joined(8, &WireOptions::default());
    let key = queue.watch_address(1).expect("submitted");
    let done = complete(&mut queue, &mut peer, 1);
    let address = Ipv4Addr::new(10, 0, 0, 1);
    assert_eq!((done[0].kind, done[0].flags.has_more()), (Kind::Address { address }, true));
    assert!(queue.addresses().contains(&address.into()));
    assert!(queue.cancel(key));
    assert_eq!(complete(&mut queue, &mut peer, 1)[0].result, Err(OpError::Canceled));
}
