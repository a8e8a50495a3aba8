//! Each guard in front of smoltcp 0.14, with what happens without it. Where the defect can be shown
//! on smoltcp alone, a test does so: the day it fails, the guard has become unnecessary.

use crate::flow::{Flow, Owner, instant};
use crate::port::{Emitted, Plan, Port, capabilities};
use crate::tests::{Bench, PEER_ISN, PORT, THEM, US};
use crate::{Counters, Phase, RingLen, SocketOptions, extent, outbox};
use naio_dma::{Domain, Pool};
use naio_nic::{Caps, Mac};
use naio_sys::clock::Time;
use naio_testkit::Segment;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

fn options(rx_ring: RingLen) -> SocketOptions {
    SocketOptions { rx_ring, tx_ring: RingLen::at_least(65_535), ..SocketOptions::default() }
}

/// smoltcp with one flow and a port, and nothing else of this crate in between.
struct Bare {
    iface: Interface,
    caps: DeviceCapabilities,
    outbox: outbox::Outbox,
    counters: Counters,
    flow: Flow,
    now_us: u64,
    lseq: u32,
}

impl Bare {
    fn connected(rx_ring: RingLen, tx_pages: u32) -> Bare {
        let caps = capabilities(1500);
        let mut iface =
            Interface::new(Config::new(HardwareAddress::Ip), &mut Plan(&caps), instant(Time::ZERO));
        iface.update_ip_addrs(|list| list.push(IpCidr::new(US.into(), 24)).expect("room for one"));
        let pool = Pool::new(&Domain::new(), tx_pages, 2048).expect("memory");
        let card = Caps {
            mac: Mac([2; 6]),
            model: "bare",
            mtu: 1500,
            tx_checksum_ipv4: true,
            tx_checksum_ipv6: false,
            tx_fragments: 1,
            tx_segmentation_ipv4: naio_nic::Segmentation::None,
            tx_segmentation_ipv6: naio_nic::Segmentation::None,
            rx_ring: 8,
            tx_ring: 8,
        };
        let outbox = outbox::Outbox::new(extent::Extents::new(pool), &card, card.mtu);
        let mut flow = Flow::new(options(rx_ring), Owner::User, Time::ZERO);
        let (them, us) = (IpAddress::from(THEM), IpAddress::from(US));
        flow.socket_mut().connect(iface.context(), (them, PORT), (us, 1)).expect("good");
        let counters = Counters::default();
        let mut bare = Bare { iface, caps, outbox, counters, flow, now_us: 1_000, lseq: 0 };
        bare.egress();
        bare.lseq = bare.flow.sent_end.expect("a SYN");
        bare.flow.peer.mss = 1460;
        bare.feed(&bare.segment().seq(PEER_ISN).syn(1460, Some(7)));
        bare
    }

    fn segment(&self) -> Segment {
        let base = Segment::new(THEM.octets(), PORT, US.octets(), 1);
        base.seq(PEER_ISN.wrapping_add(1)).ack(self.lseq)
    }

    fn poll<R>(
        &mut self,
        received: Option<&[u8]>,
        act: impl FnOnce(&mut Interface, &mut Port<'_>, &mut SocketSet<'static>) -> R,
    ) -> (R, Emitted, usize) {
        let mut packets = Vec::new();
        let emitted = self.flow.emitted();
        let (set, source) = self.flow.parts(1500);
        let mut port = Port {
            received,
            packets: &mut packets,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
            caps: &self.caps,
            to: Some(Mac([4; 6])),
            source,
            emitted,
        };
        let result = act(&mut self.iface, &mut port, set);
        let emitted = port.emitted;
        self.flow.note(Time::ZERO, emitted);
        (result, emitted, packets.len())
    }

    fn feed(&mut self, segment: &Segment) {
        let frame = segment.ethernet([2; 6], [4; 6]);
        let at = instant(Time::from_micros(self.now_us));
        self.poll(Some(&frame[14..]), |iface, port, set| iface.poll_ingress_single(at, port, set));
    }

    /// Packets that left.
    fn egress(&mut self) -> usize {
        let at = instant(Time::from_micros(self.now_us));
        self.poll(
            None,
            |iface, port, set| {
                while iface.poll_egress(at, port, set) != smoltcp::iface::PollResult::None {}
            },
        )
        .2
    }

    fn poll_at_us(&mut self) -> Option<u64> {
        let at = instant(Time::from_micros(self.now_us));
        let due = self.iface.poll_at(at, &self.flow.set)?;
        Some(due.total_micros() as u64)
    }

    /// A segment wholly behind the ring right after the handshake, then everything in order. How many bytes come out
    /// that do not belong where they are.
    fn attack(&mut self) -> usize {
        let ring = self.flow.rx_len;
        self.feed(&self.segment_at(ring, 1_000));
        let (mut wrong, mut received) = (0, 0);
        for offset in (0..ring).step_by(1_000) {
            self.feed(&self.segment_at(offset, 1_000.min(ring - offset)));
            let mut buffer = vec![0; 4_000];
            while let Ok(len @ 1..) = self.flow.socket_mut().recv_slice(&mut buffer) {
                wrong +=
                    buffer[..len].iter().zip(received..).filter(|&(&byte, at)| byte != byte_at(at)).count();
                received += len;
            }
        }
        wrong
    }

    fn segment_at(&self, offset: usize, len: usize) -> Segment {
        let segment = self.segment();
        let seq = segment.seq.wrapping_add(offset as u32);
        segment.seq(seq).payload(&(offset..offset + len).map(byte_at).collect::<Vec<_>>())
    }
}

/// Byte `n` of the attacker's stream: another one than a ring further on.
fn byte_at(n: usize) -> u8 {
    1 + (n % 251) as u8
}

/// (a) The defect: with a ring of 64 KiB, one segment behind the ring makes smoltcp deliver bytes
/// that nobody sent (or panic, if nobody reads meanwhile).
#[test]
fn a_the_defect_is_still_there() {
    let outcome = std::panic::catch_unwind(|| Bare::connected(RingLen::illegal(65_536), 4).attack());
    assert!(outcome.is_err() || outcome.is_ok_and(|wrong| wrong > 0), "smoltcp has learned it");
}

/// (a) The capacity rule alone: the same attack on smoltcp alone, with lengths `RingLen` can hold.
/// Without the rule this is the test above.
#[test]
fn a_legal_ring_lengths_stand_the_attack() {
    for bytes in [1_000, 4_096, 65_535, 65_536, 1 << 18, 1 << 20] {
        let wrong = Bare::connected(RingLen::at_least(bytes), 4).attack();
        assert_eq!(wrong, 0, "{bytes}");
    }
}

/// (a) The window check alone: an illegal ring behind the whole stack. Without `is_beyond_ring` smoltcp
/// takes the first segment, and the bytes that come out are wrong or the process is gone.
#[test]
fn a_the_window_check_stands_the_attack_whatever_the_ring() {
    let ring = 65_536;
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(options(RingLen::illegal(ring)));
    let peer_at = |bench: &mut Bench, offset: usize, len: usize| {
        let seq = peer.seq.wrapping_add(offset as u32);
        bench.feed(&peer.segment().seq(seq).payload(&vec![0x11; len]));
    };
    peer_at(&mut bench, ring, 1_000);
    assert_eq!(bench.stack.counters().drop_tcp_beyond_ring, 1);
    let mut buffer = vec![0; 4_000];
    let mut received = 0;
    for offset in (0..ring).step_by(1_024) {
        peer_at(&mut bench, offset, 1_024);
        while let Ok(len @ 1..) = bench.stack.recv(peer.socket, &mut buffer) {
            assert!(buffer[..len].iter().all(|&byte| byte == 0x11));
            received += len;
        }
    }
    assert_eq!(received, ring);
    assert_eq!(bench.stack.counters().drop_tcp_beyond_ring, 1, "honest segments pass");
}

/// A device that has no room, as smoltcp would meet it without guard (b).
struct Refusing<'a>(Plan<'a>);

impl Device for Refusing<'_> {
    type RxToken<'t>
        = <Plan<'t> as Device>::RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = <Plan<'t> as Device>::TxToken<'t>
    where
        Self: 't;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        None
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Self::TxToken<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.capabilities()
    }
}

/// Data in flight, and three duplicate acknowledgments for it.
fn fast_retransmit() -> Bare {
    let mut bare = Bare::connected(RingLen::at_least(65_535), 2);
    bare.feed(&bare.segment().window(1_000));
    bare.flow.stream.push_copy(&[1; 1_000]);
    bare.flow.enqueue(1_000);
    assert_eq!(bare.egress(), 1);
    for _ in 0..4 {
        bare.feed(&bare.segment().window(1_000));
    }
    bare
}

/// (b) The defect: a refused fast retransmission is forgotten, and no timer is left.
#[test]
fn b_the_defect_is_still_there() {
    let mut bare = fast_retransmit();
    let at = instant(Time::from_micros(bare.now_us));
    let mut refusing = Refusing(Plan(&bare.caps));
    bare.iface.poll_egress(at, &mut refusing, &mut bare.flow.set);
    assert_eq!(bare.poll_at_us(), None, "smoltcp has learned it");
    assert_eq!(bare.flow.socket().send_queue(), 1_000, "data is in flight for ever");
}

/// (b) Our port takes the packet even without a page. The timer runs, and the data is repeated once
/// there is a page again. With `transmit` returning `None` instead, `poll_at` is `None` here.
#[test]
fn b_a_packet_without_a_page_is_a_loss_and_no_refusal() {
    let mut bare = fast_retransmit();
    // The first transmission holds one page; this takes the other.
    let (fragment, ()) = bare.outbox.extents.lend(100, |_| ()).expect("one is left");
    assert_eq!(bare.egress(), 0);
    assert_eq!(bare.counters.tx_no_page, 1);
    let due = bare.poll_at_us().expect("the retransmission timer runs");
    assert!(bare.outbox.extents.release(fragment.extent));
    bare.now_us = due;
    assert_eq!(bare.egress(), 1);
}

/// (c) Four acknowledgments while only our FIN is outstanding. Without the rule smoltcp stops its
/// timer and the FIN is never repeated.
#[test]
fn c_repeated_acknowledgments_do_not_stop_the_fin() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment());
    bench.stack.shutdown(peer.socket).expect("connected");
    assert!(bench.segments()[0].flags.fin);
    for _ in 0..4 {
        bench.feed(&peer.segment());
    }
    assert!(bench.stack.counters().drop_tcp_repeated_ack >= 3);
    let repeated = bench.wait_ms(10_000);
    assert!(repeated.iter().filter(|s| s.flags.fin).count() >= 2, "{repeated:?}");
}

/// (d) A window that closes with data outstanding and stays closed when data and FIN are
/// acknowledged. Without the repair every visit emits an acknowledgment, as many as there is room.
#[test]
fn d_a_window_closed_over_the_end_is_no_storm() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment().window(0));
    bench.stack.send(peer.socket, b"data").expect("connected");
    bench.stack.shutdown(peer.socket).expect("connected");
    // Probes carry a byte each; the peer takes it, and its window stays closed.
    let end = peer.ack.wrapping_add(5);
    for _ in 0..20 {
        let probes = bench.wait_ms(5_000);
        let taken =
            probes.iter().map(|probe| probe.seq.wrapping_add(probe.seq_len())).max().unwrap_or(peer.ack);
        peer.ack = taken.min(end);
        bench.feed(&peer.segment().window(0));
    }
    assert_eq!(bench.status(peer.socket).phase, Phase::FinWait2);
    let sent = bench.wait_ms(100_000);
    assert!(sent.len() < 5, "{} packets to a peer that said nothing", sent.len());
}

/// (d) However a connection behaves, a visit is bounded, and the others have their turn.
#[test]
fn d_a_visit_is_bounded() {
    let mut bench = Bench::new(|config| config.egress_per_visit = 1);
    let [first, second] = [(); 2].map(|()| bench.connected(SocketOptions::default()));
    for peer in [first, second] {
        // All of it fits the initial congestion window.
        bench.stack.send(peer.socket, &[1; 10_000]).expect("connected");
    }
    let ports: Vec<u16> = bench.segments().iter().map(|segment| segment.source_port).collect();
    assert!(ports.len() >= 4, "{ports:?}");
    assert!(ports.chunks(2).all(|turn| turn == [first.port, second.port]), "one packet of each: {ports:?}");
    assert!(bench.stack.counters().egress_bounded >= 4);
}

/// (e) A SYN without ACK while ours has not even left. Without the rules smoltcp goes on to
/// SYN-RECEIVED and its next `poll_at` panics ("sequence numbers with underflow").
#[test]
fn e_a_crossing_syn_is_dropped_before_and_after_ours() {
    let mut bench = Bench::new(|_| {});
    let socket = bench.stack.socket(SocketOptions::default()).expect("room");
    let remote = std::net::SocketAddr::new(THEM.into(), PORT);
    bench.stack.connect(bench.now(), socket, remote).expect("good");
    let local = bench.status(socket).local.expect("bound").port();
    let syn = Segment::new(THEM.octets(), PORT, US.octets(), local).seq(PEER_ISN).syn(1460, Some(7));
    bench.feed(&syn);
    assert!(bench.segments().is_empty());
    assert_eq!(bench.stack.counters().drop_tcp_early, 1);
    bench.answer_arp();
    let ours = bench.segments().pop().expect("our SYN");
    assert!(ours.flags.syn && !ours.flags.ack);
    bench.feed(&syn);
    assert_eq!(bench.stack.counters().drop_tcp_simultaneous, 1);
    assert!(bench.segments().is_empty());
    bench.feed(&syn.ack(ours.seq.wrapping_add(1)));
    assert_eq!(bench.status(socket).phase, Phase::Established);
}

/// (e) The defect, on smoltcp alone.
#[test]
fn e_the_defect_is_still_there() {
    let outcome = std::panic::catch_unwind(|| {
        let mut bare = Bare::connected(RingLen::at_least(65_535), 2);
        let us = IpAddress::from(US);
        bare.flow = Flow::new(options(RingLen::at_least(65_535)), Owner::User, Time::ZERO);
        let remote = (IpAddress::from(THEM), PORT);
        bare.flow.socket_mut().connect(bare.iface.context(), remote, (us, 1)).expect("good");
        let syn = Segment::new(THEM.octets(), PORT, US.octets(), 1).seq(PEER_ISN).syn(1460, Some(7));
        bare.feed(&syn);
        bare.poll_at_us()
    });
    assert!(outcome.is_err(), "smoltcp has learned it: {outcome:?}");
}

/// (l) After a retransmission timeout, pure acknowledgments still carry the next new sequence number.
/// Without the repair they carry the rewound one, which a peer that has received more must not look
/// at: two stacks that both lost an acknowledgment then wait for each other for ever.
#[test]
fn l_pure_acknowledgments_carry_the_next_sequence_number() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 4_000]).expect("connected");
    let mut sent = bench.segments();
    sent.extend(bench.wait_ms(1_100));
    let end = sent.iter().map(|s| s.seq.wrapping_add(s.seq_len())).max_by_key(|s| s.wrapping_sub(peer.ack));
    let end = end.expect("data was sent");
    assert!(end.wrapping_sub(peer.ack) > 1_460, "the test needs more than one segment in flight");
    let last = sent.last().expect("data was sent");
    assert!(last.seq == peer.ack && sent.len() > 4, "the last is by the timeout: {sent:?}");
    bench.feed(&peer.segment().payload(b"hello"));
    let acks: Vec<Segment> = bench.segments().into_iter().filter(|s| s.payload.is_empty()).collect();
    assert!(!acks.is_empty() && acks.iter().all(|s| s.seq == end), "{acks:?}");
}

/// (m) The window closes while the retransmission timer runs, and the segment that opens it again is
/// lost. Without the restart no timer is left after the timeout, and nothing is ever sent again.
#[test]
fn m_a_timeout_into_a_closed_window_keeps_probing() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 4_000]).expect("connected");
    assert!(!bench.segments().is_empty());
    bench.feed(&peer.segment().window(0));
    let probes = bench.wait_ms(20_000);
    assert!(probes.iter().filter(|s| s.seq == peer.ack && s.payload.len() == 1).count() >= 2, "{probes:?}");
    // The probe is taken and the window open: everything else follows.
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment());
    assert!(bench.wait_ms(10).iter().any(|s| s.payload.len() > 1));
}

/// One connection with long packets and one with short ones share the card by bytes, not by packets.
#[test]
fn turns_are_worth_bytes_and_what_was_too_much_is_taken_off_the_next() {
    let quantum = 4_000;
    let mut bench = Bench::new(|config| {
        config.egress_bytes_per_visit = quantum;
        config.egress_bytes_per_turn = 3 * quantum;
    });
    let [first, second] = [(); 2].map(|()| bench.connected(SocketOptions::default()));
    for peer in [first, second] {
        bench.stack.send(peer.socket, &[1; 14_600]).expect("connected");
    }
    let sent = bench.segments();
    let bytes = |port| sent.iter().filter(|s| s.source_port == port).map(|s| s.payload.len()).sum::<usize>();
    let (a, b) = (bytes(first.port), bytes(second.port));
    assert!(a > 0 && b > 0 && a.abs_diff(b) <= quantum + 1_460, "{a} and {b} bytes");
    assert!(a + b <= 4 * quantum, "a turn has an end: {a} and {b}");
}
