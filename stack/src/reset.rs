//! Resets for segments that belong to nobody (RFC 9293 3.10.7.1).

use crate::ipv4::{self, ACK, PROTOCOL_TCP, Packet, RST, TCP_HEADER_LEN, Tcp};

/// Bytes of a reset.
pub(crate) const LEN: usize = ipv4::HEADER_LEN + TCP_HEADER_LEN;

/// Writes the reset that answers `tcp` into `reset`, which is [`LEN`] bytes long and zero. The TCP
/// checksum is left to whoever sends it.
pub(crate) fn write(packet: &Packet<'_>, tcp: &Tcp, reset: &mut [u8]) {
    ipv4::write_header(reset, packet.destination, packet.source, PROTOCOL_TCP);
    let header = &mut reset[ipv4::HEADER_LEN..];
    header.fill(0);
    // "If the ACK bit is off, sequence number zero is used, <ACK=SEG.SEQ+SEG.LEN>; if it is on,
    // <SEQ=SEG.ACK>" and no acknowledgment.
    let (seq, ack, flags) = match tcp.has(ACK) {
        true => (tcp.ack, 0, RST),
        false => (0, tcp.seq.wrapping_add(tcp.seq_len()), RST | ACK),
    };
    header[0..2].copy_from_slice(&tcp.destination_port.to_be_bytes());
    header[2..4].copy_from_slice(&tcp.source_port.to_be_bytes());
    header[4..8].copy_from_slice(&seq.to_be_bytes());
    header[8..12].copy_from_slice(&ack.to_be_bytes());
    header[12] = (TCP_HEADER_LEN as u8 / 4) << 4;
    header[13] = flags;
}
