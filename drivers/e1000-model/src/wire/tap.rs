//! The host's Linux at the other end: frames go through a TAP device.
//!
//! Receives an open [`Tap`] and moves whole frames. The namespace, the address and "up" are made by
//! whoever opened it. The kernel neither shows nor wants an FCS, so a frame with a wrong one is
//! dropped here, as the kernel's own card would.

use super::{Fcs, Frame, Wire};
use naio_sys::tap::Tap;
use std::time::Duration;

/// Longest frame that the kernel may hand us.
const FRAME_LEN_MAX: usize = 65_550;
/// A TAP cannot wake the card's thread: it looks this often.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// A wire to the kernel.
#[derive(Debug)]
pub struct TapWire {
    tap: Tap,
    /// Where the kernel writes: a frame's own buffer would have to be this long, and cleared, for each look.
    scratch: Vec<u8>,
    /// Frames that the kernel did not take or that were broken.
    dropped: u64,
}

impl TapWire {
    /// The wire behind an open TAP device.
    #[must_use]
    pub fn new(tap: Tap) -> TapWire {
        TapWire { tap, scratch: vec![0; FRAME_LEN_MAX], dropped: 0 }
    }

    /// Frames that went nowhere: the kernel refused them, or their FCS was wrong.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Wire for TapWire {
    fn send(&mut self, frame: &mut Frame, _: u64) {
        let taken = frame.fcs == Fcs::Good && matches!(self.tap.send(&frame.bytes), Ok(true));
        self.dropped += u64::from(!taken);
        frame.bytes.clear();
    }

    fn receive(&mut self, frame: &mut Frame, _: u64) -> bool {
        let Some(len) = self.tap.receive(&mut self.scratch).ok().flatten() else { return false };
        let mut bytes = std::mem::take(&mut frame.bytes);
        bytes.clear();
        bytes.extend_from_slice(&self.scratch[..len]);
        // The kernel does not pad, a transmitter on a wire does.
        bytes.resize(len.max(60), 0);
        *frame = Frame { bytes, ..Frame::default() };
        true
    }

    fn sleep_max(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }
}
