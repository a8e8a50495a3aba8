//! TCP segments written and read by `etherparse`: a second opinion beside the code under test, and
//! the vocabulary of scripted peers.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};

/// The flags of a TCP header that scripts use (RFC 9293 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the header's bits")]
pub struct TcpFlags {
    /// No more data from the sender.
    pub fin: bool,
    /// Synchronise sequence numbers.
    pub syn: bool,
    /// Reset.
    pub rst: bool,
    /// Push.
    pub psh: bool,
    /// The acknowledgment field is significant.
    pub ack: bool,
}

/// One TCP segment over IPv4, in the terms of the RFC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Source address.
    pub source: [u8; 4],
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: [u8; 4],
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; meaningful with [`TcpFlags::ack`].
    pub ack: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field, unscaled.
    pub window: u16,
    /// Raw options; padded with zeroes to a multiple of four when written.
    pub options: Vec<u8>,
    /// Data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// A pure ACK-less segment with a full window, between two endpoints.
    #[must_use]
    pub fn new(source: [u8; 4], source_port: u16, destination: [u8; 4], destination_port: u16) -> Segment {
        Segment { source, source_port, destination, destination_port, window: 0xffff, ..Segment::default() }
    }

    /// With this sequence number.
    #[must_use]
    pub fn seq(mut self, seq: u32) -> Segment {
        self.seq = seq;
        self
    }

    /// With this acknowledgment number, and the ACK bit.
    #[must_use]
    pub fn ack(mut self, ack: u32) -> Segment {
        self.ack = ack;
        self.flags.ack = true;
        self
    }

    /// With the SYN bit, an MSS option, and window scaling if asked for.
    #[must_use]
    pub fn syn(mut self, mss: u16, window_scale: Option<u8>) -> Segment {
        self.flags.syn = true;
        self.options = vec![2, 4, (mss >> 8) as u8, mss as u8];
        if let Some(shift) = window_scale {
            self.options.extend_from_slice(&[3, 3, shift, 1]);
        }
        self
    }

    /// With the FIN bit.
    #[must_use]
    pub fn fin(mut self) -> Segment {
        self.flags.fin = true;
        self
    }

    /// With the RST bit.
    #[must_use]
    pub fn rst(mut self) -> Segment {
        self.flags.rst = true;
        self
    }

    /// With this window field.
    #[must_use]
    pub fn window(mut self, window: u16) -> Segment {
        self.window = window;
        self
    }

    /// With this data.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Segment {
        self.payload = payload.to_vec();
        self
    }

    /// Sequence numbers that it takes: data, SYN and FIN.
    #[must_use]
    pub fn seq_len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.flags.syn) + u32::from(self.flags.fin)
    }

    /// The whole Ethernet frame, every checksum right, not padded.
    ///
    /// # Panics
    /// If the payload or the options do not fit.
    #[must_use]
    pub fn ethernet(&self, from: [u8; 6], to: [u8; 6]) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let f = self.flags;
        let mut builder = PacketBuilder::ethernet2(from, to).ipv4(self.source, self.destination, 64).tcp(
            self.source_port,
            self.destination_port,
            self.seq,
            self.window,
        );
        if f.fin {
            builder = builder.fin();
        }
        if f.syn {
            builder = builder.syn();
        }
        if f.rst {
            builder = builder.rst();
        }
        if f.psh {
            builder = builder.psh();
        }
        if f.ack {
            builder = builder.ack(self.ack);
        }
        let builder = builder.options_raw(&options).expect("at most 40 bytes of options");
        let mut frame = Vec::with_capacity(builder.size(self.payload.len()));
        builder.write(&mut frame, &self.payload).expect("a Vec takes everything");
        frame
    }

    /// Reads a TCP over IPv4 over Ethernet frame, `None` if it is anything else. Padding behind the
    /// IP packet is not payload.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Segment> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net else { return None };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return None };
        Some(Segment {
            source: ip.header().source(),
            destination: ip.header().destination(),
            source_port: tcp.source_port(),
            destination_port: tcp.destination_port(),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            flags: TcpFlags {
                fin: tcp.fin(),
                syn: tcp.syn(),
                rst: tcp.rst(),
                psh: tcp.psh(),
                ack: tcp.ack(),
            },
            window: tcp.window_size(),
            options: tcp.options().to_vec(),
            payload: tcp.payload().to_vec(),
        })
    }
}

/// An ARP packet over Ethernet for IPv4 (RFC 826), as a frame. `operation` is 1 for a request, 2 for
/// a reply.
#[must_use]
pub fn arp(to: [u8; 6], operation: u16, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])) -> Vec<u8> {
    let mut frame = Vec::with_capacity(60);
    frame.extend_from_slice(&to);
    frame.extend_from_slice(&sender.0);
    frame.extend_from_slice(&[0x08, 0x06, 0, 1, 8, 0, 6, 4]);
    frame.extend_from_slice(&operation.to_be_bytes());
    frame.extend_from_slice(&sender.0);
    frame.extend_from_slice(&sender.1);
    frame.extend_from_slice(&target.0);
    frame.extend_from_slice(&target.1);
    frame.resize(60, 0);
    frame
}
