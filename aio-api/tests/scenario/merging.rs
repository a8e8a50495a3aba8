//! An end that merges what it receives before its TCP sees it, also what comes out of order: of the acknowledgments
//! of one burst only the last one leaves, duplicates or not.

use naio_e1000_model::wire::{Frame, Waker, Wire};
use std::time::Duration;

const ETHERNET: usize = 14;
const ACK: u8 = 0x10;

/// Gathers the acknowledgments that a card sends.
pub(crate) struct Merging<W> {
    inner: W,
    gathers_ns: u64,
    /// The last of them, and when it leaves.
    last: Option<(Frame, u64)>,
}

impl<W: Wire> Merging<W> {
    pub(crate) fn new(inner: W, gathers_us: u64) -> Merging<W> {
        Merging { inner, gathers_ns: gathers_us * 1_000, last: None }
    }

    fn flush(&mut self, now_ns: u64) {
        if let Some((mut frame, _)) = self.last.take() {
            self.inner.send(&mut frame, now_ns);
        }
    }

    fn pump(&mut self, now_ns: u64) {
        if self.last.as_ref().is_some_and(|(_, at)| *at <= now_ns) {
            self.flush(now_ns);
        }
    }
}

/// An acknowledgment over IPv4 without data.
fn is_pure_ack(frame: &Frame) -> bool {
    let Some([first, _, total_high, total_low, ..]) = frame.bytes.get(ETHERNET..) else { return false };
    let ip = usize::from(first & 0xf) * 4;
    let Some(tcp) = frame.bytes.get(ETHERNET + ip..).filter(|tcp| tcp.len() >= 20) else { return false };
    let is_tcp = first >> 4 == 4 && frame.bytes[12..14] == [8, 0] && frame.bytes[ETHERNET + 9] == 6;
    let len = usize::from(u16::from_be_bytes([*total_high, *total_low]));
    is_tcp && tcp[13] == ACK && len == ip + usize::from(tcp[12] >> 4) * 4
}

impl<W: Wire> Wire for Merging<W> {
    fn ready(&mut self, now_ns: u64) -> bool {
        self.pump(now_ns);
        self.inner.ready(now_ns)
    }

    fn send(&mut self, frame: &mut Frame, now_ns: u64) {
        if self.gathers_ns > 0 && is_pure_ack(frame) {
            let at = self.last.as_ref().map_or(now_ns + self.gathers_ns, |(_, at)| *at);
            self.last = Some((std::mem::take(frame), at));
        } else {
            self.flush(now_ns);
            self.inner.send(frame, now_ns);
        }
    }

    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool {
        self.pump(now_ns);
        self.inner.receive(frame, now_ns)
    }

    fn carrier(&mut self, now_ns: u64) -> bool {
        self.pump(now_ns);
        self.inner.carrier(now_ns)
    }

    fn next_arrival_ns(&self) -> Option<u64> {
        let leaves = self.last.as_ref().map(|(_, at)| *at);
        [leaves, self.inner.next_arrival_ns()].into_iter().flatten().min()
    }

    fn set_waker(&mut self, waker: Waker) {
        self.inner.set_waker(waker);
    }

    fn sleep_max(&self) -> Option<Duration> {
        self.inner.sleep_max()
    }
}
