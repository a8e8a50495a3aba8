//! Waiting for the card, never for ever.
//!
//! Every wait is a number of polls with a pause between them, made of [`Device::delay`], so that a
//! simulated card decides how long it takes, and none depends on a clock.

use naio_device::Device;
use std::time::Duration;

/// The card did not do in time what it had to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the card did not {what} within {} ms", .within.as_millis())]
pub struct Timeout {
    /// What it was waited for, as a verb.
    pub what: &'static str,
    /// How long.
    pub within: Duration,
}

/// Polls `ready` until it gives a value, pausing `pause` after each refusal, for about `within`.
pub(crate) fn until<D: Device, T>(
    device: &D,
    what: &'static str,
    pause: Duration,
    within: Duration,
    mut ready: impl FnMut(&D) -> Option<T>,
) -> Result<T, Timeout> {
    // At least one pause's worth of polls, whatever the rounding.
    let polls = within.as_nanos().div_ceil(pause.as_nanos().max(1)).max(1);
    for _ in 0..polls {
        if let Some(value) = ready(device) {
            return Ok(value);
        }
        device.delay(pause);
    }
    ready(device).ok_or(Timeout { what, within })
}
