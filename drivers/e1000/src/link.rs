//! The link, as STATUS shows it. Hands on a [`Link`]; never blocks but in [`wait_up`].

use crate::regs::{ALL_ONES, STATUS, status};
use crate::wait::{self, Timeout};
use naio_device::Device;
use naio_nic::Link;
use std::time::Duration;

/// STATUS is cheap to read; a link comes within seconds.
const PAUSE: Duration = Duration::from_millis(10);

/// What STATUS says now. A card that is gone has no link.
pub(crate) fn read<D: Device>(device: &D) -> Link {
    let now = device.read(STATUS);
    if now == ALL_ONES || now & status::LU == 0 {
        return Link::Down;
    }
    let mbit_per_s = match now >> status::SPEED_SHIFT & 3 {
        0 => 10,
        1 => 100,
        _ => 1000,
    };
    Link::Up { mbit_per_s, full_duplex: now & status::FD != 0 }
}

/// Waits for the link. VirtualBox takes 5 s by default, autonegotiation on copper up to 4.5 s.
pub(crate) fn wait_up<D: Device>(device: &D, within: Duration) -> Result<Link, Timeout> {
    wait::until(device, "get a link", PAUSE, within, |d| Some(read(d)).filter(|link| link.is_up()))
}
