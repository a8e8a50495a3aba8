//! The measured card's end of the wire: what loses frames and what records them.
//!
//! Receives any wire, hands on one that does more. Losses are drawn for both directions here, so that they are the
//! same whatever is at the other end.

use super::share::Share;
use crate::failure::Failure;
use naio_e1000_model::wire::Waker;
use naio_e1000_model::wire::pcap::Record;
use naio_e1000_model::{Frame, Wire};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// [`Share`] counts in these.
const SHARE_UNIT: u32 = 10_000;
/// Seed of the losses. Fixed, so that a failure can be repeated.
const SEED: u64 = 0x6e61_696f;

/// What the wire did to frames; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    passed: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    unwritten: Arc<AtomicBool>,
}

impl Tally {
    /// Frames that were on the wire, and those of them that it lost.
    pub(crate) fn frames(&self) -> (u64, u64) {
        let lost = self.lost.load(Ordering::Relaxed);
        (self.passed.load(Ordering::Relaxed) + lost, lost)
    }

    /// Whether the capture lacks frames because the file did not take them.
    pub(crate) fn capture_is_incomplete(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed)
    }
}

/// `wire` that loses `loss` of the frames, and records them in `pcap` as the card sees them: what it sends, lost
/// or not, and what arrives.
pub(crate) fn wrap(
    wire: impl Wire + 'static,
    loss: Option<Share>,
    pcap: Option<&Path>,
) -> Result<(Box<dyn Wire>, Tally), Failure> {
    let tally = Tally::default();
    let share = loss.unwrap_or_default();
    let random = fastrand::Rng::with_seed(SEED);
    let lossy = Lossy { inner: Box::new(wire), share, random, tally: tally.clone() };
    let Some(path) = pcap else { return Ok((Box::new(lossy), tally)) };
    let told = |source| Failure::Write { path: path.into(), source };
    let file = BufWriter::new(File::create(path).map_err(told)?);
    let mut noted = Noted { file, unwritten: tally.unwritten.clone() };
    noted.flush().map_err(told)?;
    Ok((Box::new(Record::new(lossy, noted).map_err(told)?), tally))
}

/// A wire that loses frames, both ways.
struct Lossy {
    inner: Box<dyn Wire>,
    share: Share,
    random: fastrand::Rng,
    tally: Tally,
}

impl Lossy {
    fn loses(&mut self) -> bool {
        let lost = self.share.0 > 0 && self.random.u32(..SHARE_UNIT) < self.share.0;
        let count = if lost { &self.tally.lost } else { &self.tally.passed };
        count.fetch_add(1, Ordering::Relaxed);
        lost
    }
}

impl Wire for Lossy {
    fn ready(&mut self, now_ns: u64) -> bool {
        self.inner.ready(now_ns)
    }

    fn send(&mut self, frame: &mut Frame, now_ns: u64) {
        if self.loses() {
            frame.bytes.clear();
        } else {
            self.inner.send(frame, now_ns);
        }
    }

    fn receive(&mut self, frame: &mut Frame, now_ns: u64) -> bool {
        while self.inner.receive(frame, now_ns) {
            if !self.loses() {
                return true;
            }
        }
        false
    }

    fn carrier(&mut self, now_ns: u64) -> bool {
        self.inner.carrier(now_ns)
    }

    fn next_arrival_ns(&self) -> Option<u64> {
        self.inner.next_arrival_ns()
    }

    fn set_waker(&mut self, waker: Waker) {
        self.inner.set_waker(waker);
    }

    fn sleep_max(&self) -> Option<Duration> {
        self.inner.sleep_max()
    }
}

/// A file that remembers whether something could not be written, for the wire that owns it tells nobody.
struct Noted {
    file: BufWriter<File>,
    unwritten: Arc<AtomicBool>,
}

impl Noted {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.unwritten.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Noted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.note(result)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // Noted; there is nobody left to return it to.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naio_e1000_model::wire::pcap::Capture;
    use naio_e1000_model::wire::scripted::Scripted;

    #[test]
    fn losses_are_counted_both_ways_and_a_capture_holds_what_the_card_sees() {
        let path = std::env::temp_dir().join(format!("naio-wire-{}.pcap", std::process::id()));
        let (inner, script) = Scripted::new();
        let (mut wire, tally) = wrap(inner, Some(Share(5_000)), Some(&path)).expect("a file");
        for n in 0..100u8 {
            script.put(Frame::good(&[n; 60]));
            wire.send(&mut Frame::good(&[n; 60]), 7);
        }
        let mut arrived = 0;
        while wire.receive(&mut Frame::default(), 7) {
            arrived += 1;
        }
        let mut sent = 0;
        while script.take().is_some() {
            sent += 1;
        }
        drop(wire);
        let (all, lost) = tally.frames();
        assert_eq!((all, lost), (200, 200 - sent - arrived));
        assert!((60..140).contains(&lost), "about half: {lost}");
        let capture = Capture::parse(&std::fs::read(&path).expect("the file")).expect("a capture");
        assert_eq!(capture.packets.len() as u64, 100 + arrived, "all it sent, and what arrived");
        assert!(!tally.capture_is_incomplete());
        std::fs::remove_file(&path).expect("it is there");
    }
}
