//! TCP segments that we write ourselves, beside smoltcp: resets for strangers, and acknowledgments
//! that make smoltcp do what it forgot.

use crate::demux::FlowKey;
use crate::ipv4::{ACK, FIN, RST, SYN, TCP_FLAGS_AT, TCP_HEADER_LEN, Tcp};
use crate::ipv6;
use crate::packet::{Ends, PROTOCOL_TCP, Packet};

/// Bytes of a reset.
pub(crate) fn reset_len(packet: &Packet<'_>) -> usize {
    packet.ends.header_len() + TCP_HEADER_LEN
}

/// Writes the reset that answers `tcp` (RFC 9293 3.10.7.1) into `reset`, which is [`reset_len`] bytes
/// long. The TCP checksum is left to whoever sends it.
pub(crate) fn write_reset(packet: &Packet<'_>, tcp: &Tcp, reset: &mut [u8]) {
    // "If the ACK bit is off, sequence number zero is used, <ACK=SEG.SEQ+SEG.LEN>; if it is on,
    // <SEQ=SEG.ACK>" and no acknowledgment.
    let (seq, ack, flags) = match tcp.has(ACK) {
        true => (tcp.ack, 0, RST),
        false => (0, tcp.seq.wrapping_add(tcp.seq_len()), RST | ACK),
    };
    let ports = (tcp.destination_port, tcp.source_port);
    write(reset, packet.ends.reversed(), ports, (seq, ack), (flags, 0));
}

/// A pure acknowledgment. Its TCP checksum is zero until somebody sends it.
pub(crate) struct PureAck {
    bytes: [u8; ipv6::HEADER_LEN + TCP_HEADER_LEN],
    len: usize,
}

impl PureAck {
    /// From the peer of the connection `key`, as smoltcp would receive it: sequence and
    /// acknowledgment number, and window.
    pub(crate) fn from_peer(key: FlowKey, numbers: (u32, u32), window: u16) -> PureAck {
        let ports = (key.remote().1, key.local().1);
        PureAck::new(key.ends_of_sent().reversed(), ports, numbers, window)
    }

    /// The end of the peer's stream, as smoltcp would receive it.
    pub(crate) fn fin_from_peer(key: FlowKey, numbers: (u32, u32), window: u16) -> PureAck {
        let mut segment = PureAck::from_peer(key, numbers, window);
        segment.bytes[segment.len - TCP_HEADER_LEN + TCP_FLAGS_AT] |= FIN;
        segment
    }

    /// The end of our stream, for the peer of the connection `key`.
    pub(crate) fn fin_to_peer(key: FlowKey, numbers: (u32, u32), window: u16) -> PureAck {
        let mut segment = PureAck::to_peer(key, numbers, window);
        segment.bytes[segment.len - TCP_HEADER_LEN + TCP_FLAGS_AT] |= FIN;
        segment
    }

    /// The end of a connection, for its peer: `seq` is what it expects next.
    pub(crate) fn reset_to_peer(key: FlowKey, seq: u32) -> PureAck {
        let mut segment = PureAck::to_peer(key, (seq, 0), 0);
        segment.bytes[segment.len - TCP_HEADER_LEN + TCP_FLAGS_AT] = RST;
        segment
    }

    /// For the peer of the connection `key`.
    pub(crate) fn to_peer(key: FlowKey, numbers: (u32, u32), window: u16) -> PureAck {
        PureAck::new(key.ends_of_sent(), (key.local().1, key.remote().1), numbers, window)
    }

    fn new(ends: Ends, ports: (u16, u16), numbers: (u32, u32), window: u16) -> PureAck {
        let len = ends.header_len() + TCP_HEADER_LEN;
        let mut ack = PureAck { bytes: [0; _], len };
        write(&mut ack.bytes[..len], ends, ports, numbers, (ACK, window));
        ack
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A SYN with a segment size and nothing else.
pub(crate) struct Handshake {
    bytes: [u8; ipv6::HEADER_LEN + TCP_HEADER_LEN + MSS_OPTION_LEN],
    len: usize,
}

/// Bytes of the maximum segment size option (RFC 9293 3.7.1).
const MSS_OPTION_LEN: usize = 4;

impl Handshake {
    /// The SYN of the peer of connection `key`, as smoltcp would receive it.
    pub(crate) fn from_peer(key: FlowKey, seq: u32, window: u16, mss: u16) -> Handshake {
        let ports = (key.remote().1, key.local().1);
        Handshake::new(key.ends_of_sent().reversed(), ports, (seq, 0), (SYN, window), mss)
    }

    /// The answer to it.
    pub(crate) fn to_peer(key: FlowKey, numbers: (u32, u32), window: u16, mss: u16) -> Handshake {
        Handshake::new(key.ends_of_sent(), (key.local().1, key.remote().1), numbers, (SYN | ACK, window), mss)
    }

    fn new(ends: Ends, ports: (u16, u16), numbers: (u32, u32), flags: (u8, u16), mss: u16) -> Handshake {
        let header_end = ends.header_len() + TCP_HEADER_LEN;
        let len = header_end + MSS_OPTION_LEN;
        let mut syn = Handshake { bytes: [0; _], len };
        write(&mut syn.bytes[..len], ends, ports, numbers, flags);
        syn.bytes[ends.header_len() + 12] = ((TCP_HEADER_LEN + MSS_OPTION_LEN) as u8 / 4) << 4;
        let [high, low] = mss.to_be_bytes();
        syn.bytes[header_end..len].copy_from_slice(&[2, MSS_OPTION_LEN as u8, high, low]);
        syn
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn write(
    packet: &mut [u8],
    ends: Ends,
    (source_port, destination_port): (u16, u16),
    (seq, ack): (u32, u32),
    (flags, window): (u8, u16),
) {
    ends.write_header(packet, PROTOCOL_TCP);
    let tcp = &mut packet[ends.header_len()..];
    tcp.fill(0);
    tcp[0..2].copy_from_slice(&source_port.to_be_bytes());
    tcp[2..4].copy_from_slice(&destination_port.to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = (TCP_HEADER_LEN as u8 / 4) << 4;
    tcp[TCP_FLAGS_AT] = flags;
    tcp[14..16].copy_from_slice(&window.to_be_bytes());
}
