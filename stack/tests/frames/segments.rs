//! TCP of the peer: the connections it has heard of, and segments near their numbers.

use super::craft::{FRAME_MAX, OUR_MAC, Peer, THEIR_MAC, THEM, THEM6, US, US6, repair};
use super::script::Script;
use naio_testkit::packets::ip;
use std::net::{IpAddr, SocketAddr};

/// Connections that the peer remembers.
const CONNECTIONS_MAX: usize = 12;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A connection, as the peer sees it.
#[derive(Clone, Copy)]
pub(super) struct Connection {
    ours: SocketAddr,
    theirs: SocketAddr,
    /// What the peer may acknowledge.
    heard: u32,
    /// What the stack expects next, and what the peer would send next.
    expected: u32,
    cursor: u32,
}

/// Data is named by its sequence numbers, so that whoever receives it sees a gap or a repetition.
fn payload(seq: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| seq.wrapping_add(n) as u8).collect()
}

/// A TCP segment in a frame, every checksum right.
fn tcp(
    (from, to): (SocketAddr, SocketAddr),
    (seq, ack): (u32, u32),
    flags: u8,
    window: u16,
    options: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let mut options = options[..options.len().min(40)].to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let mut bytes = Vec::with_capacity(20 + options.len() + data.len());
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([((5 + options.len() / 4) << 4) as u8, flags]);
    bytes.extend(window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(&options);
    bytes.extend(data);
    let mut frame = ip((THEIR_MAC, OUR_MAC), (from.ip(), to.ip()), (6, 64), &bytes);
    repair(&mut frame);
    frame
}

impl Peer {
    pub(super) fn hear_tcp(&mut self, (from, to): (IpAddr, IpAddr), tcp: &[u8]) {
        let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        let (ours, theirs) = (SocketAddr::new(from, half(0)), SocketAddr::new(to, half(2)));
        let flags = tcp[13];
        let len = tcp.len() as u32 - u32::from(tcp[12] >> 4) * 4;
        let heard = word(4).wrapping_add(len + u32::from(flags & FIN != 0) + u32::from(flags & SYN != 0));
        let known = self.connections.iter().position(|known| known.ours == ours && known.theirs == theirs);
        if flags & RST != 0 {
            // Nothing more is to be had of it; but a reset can be for something older.
            known.filter(|_| self.next.is_multiple_of(2)).map(|at| self.connections.swap_remove(at));
            self.next += 1;
            return;
        }
        let connection = match known {
            Some(at) => &mut self.connections[at],
            None if self.connections.len() < CONNECTIONS_MAX => {
                self.connections.push(Connection {
                    ours,
                    theirs,
                    heard,
                    expected: 0xffff_fe00,
                    cursor: 0xffff_fe00,
                });
                return;
            }
            None => {
                self.next += 1;
                self.connections[self.next % CONNECTIONS_MAX] =
                    Connection { ours, theirs, heard, expected: 5, cursor: 5 };
                return;
            }
        };
        connection.heard = heard;
        if flags & ACK != 0 {
            connection.expected = word(8);
        }
    }

    /// A segment of a known connection, near its numbers, or a SYN for a listener.
    pub(crate) fn segment(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        if self.connections.is_empty() {
            return self.opening(script);
        }
        let at = script.below(self.connections.len());
        let shape = script.byte();
        let connection = self.connections[at];
        let base = if shape & 0x10 == 0 { connection.cursor } else { connection.expected };
        let (seq, ack) = (script.near(base), script.near(connection.heard));
        let window = script.choice(&[0xffff, 0xffff, 0x2000, 500, 1, 0]);
        let len = script.choice(&[0, 0, 1, 100, 536, 1_400, 1_400, 1_440]);
        let mut options = Vec::new();
        let mut flags = ACK;
        match shape & 15 {
            6 => flags |= FIN,
            7 => flags |= RST,
            8 => (flags, options) = (SYN, syn_options(script)),
            9 | 10 => (flags, options) = (SYN | ACK, syn_options(script)),
            11 => flags = script.byte(),
            12 => {
                options = {
                    let len = script.below(41);
                    script.some(len).to_vec()
                }
            }
            13 => options = sack(script, connection.heard),
            14 => flags |= FIN | 8,
            _ => {}
        }
        let syn = u32::from(flags & SYN != 0);
        let len = len.min(FRAME_MAX - 74 - options.len().next_multiple_of(4).min(40));
        let data = payload(seq.wrapping_add(syn), if syn == 1 { 0 } else { len });
        let frame = tcp((connection.theirs, connection.ours), (seq, ack), flags, window, &options, &data);
        let taken = data.len() as u32 + syn + u32::from(flags & FIN != 0);
        self.connections[at].cursor = seq.wrapping_add(taken);
        frame
    }

    /// Somebody opens a connection.
    pub(crate) fn opening(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let ports = script.byte();
        let to_port = [80, 80, 81, 443][usize::from(ports & 3)];
        let from_port = 1_000 + u16::from(ports >> 3);
        let (from, to): (IpAddr, IpAddr) =
            if ports & 4 == 0 { (THEM.into(), US.into()) } else { (THEM6.into(), US6.into()) };
        let seq = 0xffff_f000u32.wrapping_add(script.half().into());
        let options = syn_options(script);
        let ends = (SocketAddr::new(from, from_port), SocketAddr::new(to, to_port));
        tcp(ends, (seq, 0), SYN, script.choice(&[0xffff, 0x2000, 0, 1]), &options, &[])
    }
}

fn syn_options(script: &mut Script<'_>) -> Vec<u8> {
    let shape = script.byte();
    let mss: u16 = [1_460, 1_460, 536, 88, 1, 0, 65_535, 9_000][usize::from(shape & 7)];
    let mut options = vec![2, 4, (mss >> 8) as u8, mss as u8];
    if shape & 8 != 0 {
        options.extend([1, 3, 3, shape >> 4]);
    }
    if shape & 0x10 != 0 {
        options.extend([4, 2, 1, 1]);
    }
    options
}

/// Selective acknowledgments around what the peer has heard.
fn sack(script: &mut Script<'_>, heard: u32) -> Vec<u8> {
    let blocks = 1 + script.below(4);
    let mut options = vec![1, 1, 5, (2 + 8 * blocks) as u8];
    for _ in 0..blocks {
        let start = script.near(heard).wrapping_sub(script.half().into());
        options.extend(start.to_be_bytes());
        options.extend(start.wrapping_add(script.half().into()).to_be_bytes());
    }
    options
}
