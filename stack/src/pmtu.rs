//! Path MTU: how large a packet of one connection may be (RFC 1191, RFC 8201, RFC 8899 in spirit).
//!
//! Receives errors that say a packet was too big, already matched with what is under way, and watches for paths that
//! swallow large packets without saying so. Hands on the `Interface` that a connection's packets are made with:
//! smoltcp knows one MTU for each, so there is one for each size that is in use.

use crate::Stack;
use crate::flow::Flow;
use crate::port::Emitted;
use smoltcp::iface::Interface;
use std::net::IpAddr;
use std::time::Duration;

/// Sizes that paths have: tunnels of all kinds, then what hosts must take. Anything else counts as the next smaller
/// one, so that there are never more interfaces than this.
const SIZES: [u16; 12] = [1492, 1480, 1476, 1460, 1450, 1420, 1400, 1380, 1280, 1006, 576, MTU_MIN_IPV4];
/// Smaller ones are not believed: nobody needs them, and small packets are an attack (RFC 5927 7; Linux has the same).
const MTU_MIN_IPV4: u16 = 552;
/// RFC 8200 5.
const MTU_MIN_IPV6: u16 = 1280;
/// What a path that swallows large packets is tried with, one after the other.
const BLACK_HOLE_STEPS: [u16; 2] = [1280, 576];
/// How long large packets may be repeated in vain before smaller ones are tried: three of smoltcp's timeouts.
const BLACK_HOLE_AFTER: Duration = Duration::from_secs(3);

/// The interfaces for paths narrower than the card.
#[derive(Default)]
pub(crate) struct Paths {
    made: Vec<(u16, Interface)>,
}

impl Paths {
    /// Our addresses have changed, or something went wrong: each is made anew when it is needed.
    pub(crate) fn clear(&mut self) {
        self.made.clear();
    }
}

/// The largest known size of at most `mtu`, no smaller than the family must take.
fn known(mtu: u32, is_v6: bool) -> Option<u16> {
    let min = if is_v6 { MTU_MIN_IPV6 } else { MTU_MIN_IPV4 };
    if mtu < min.into() {
        // A router that says less than IPv6 allows wants fragments, which it does not get (RFC 8200 5).
        return is_v6.then_some(min);
    }
    SIZES.into_iter().find(|size| u32::from(*size) <= mtu)
}

impl Stack {
    /// A packet of the connection was too big for a path that takes `mtu` bytes, or does not say how many (zero,
    /// RFC 1191 3): whether that made a difference.
    pub(crate) fn too_big(&mut self, index: u32, mtu: u32) -> bool {
        let card = self.outbox.mtu() as u32;
        let Some(flow) = self.flows.at_mut(index) else { return false };
        let is_v6 = flow.is_v6();
        let now = flow.path_mtu.map_or(card, u32::from);
        let told = if mtu == 0 { now - 1 } else { mtu };
        let size = known(told, is_v6).filter(|size| told < now && u32::from(*size) < now);
        let Some(size) = size else {
            self.counters.path_mtu_ignored += 1;
            return false;
        };
        flow.path_mtu = Some(size);
        self.counters.path_mtu_lowered += 1;
        self.mark_dirty(index);
        true
    }

    /// Makes sure that there is an interface for packets of the connection, if it needs one of its own.
    pub(crate) fn prepare_path(&mut self, index: u32) {
        let Some(mtu) = self.flows.at(index).and_then(|flow| flow.path_mtu) else { return };
        if self.paths.made.iter().any(|(made, _)| *made == mtu) {
            return;
        }
        let mut caps = self.caps.clone();
        caps.max_transmission_unit = mtu.into();
        let mut iface = crate::interface(&caps, None, self.key.prf(&[self.now.as_micros(), mtu.into()]));
        crate::set_addresses(&mut iface, self.addresses());
        self.paths.made.push((mtu, iface));
    }

    /// A visit has repeated something: perhaps because the path swallows packets of that size.
    #[cold]
    pub(crate) fn suspect_black_hole(&mut self, index: u32) {
        let now = self.now;
        let card = self.outbox.mtu() as u32;
        let Some(flow) = self.flows.at_mut(index) else { return };
        let size = flow.path_mtu.map_or(card, u32::from);
        // Packets of the present size have been tried since the first time that one was repeated.
        let tried = *flow.tried.get_or_insert(now);
        if now < tried.max(flow.progress).after(BLACK_HOLE_AFTER) {
            return;
        }
        let is_v6 = flow.is_v6();
        let fits = |step: &u16| u32::from(*step) < size && !(is_v6 && *step < MTU_MIN_IPV6);
        let Some(step) = BLACK_HOLE_STEPS.into_iter().find(fits) else { return };
        flow.path_mtu = Some(step);
        flow.tried = None;
        self.counters.path_mtu_black_holes += 1;
    }
}

/// The interface that packets of a path of `mtu` are made with; `prepare_path` has made it.
pub(crate) fn interface<'a>(
    paths: &'a mut Paths,
    all: &'a mut Interface,
    mtu: Option<u16>,
) -> &'a mut Interface {
    let made = mtu.and_then(|mtu| paths.made.iter_mut().find(|(made, _)| *made == mtu));
    made.map_or(all, |(_, iface)| iface)
}

impl Flow {
    fn is_v6(&self) -> bool {
        self.key.is_some_and(|key| matches!(key.remote().0, IpAddr::V6(_)))
    }

    /// Whether a visit has repeated packets too long for the next smaller path.
    pub(crate) fn repeats_large(&self, emitted: Emitted) -> bool {
        emitted.repeated > 0 && emitted.longest > BLACK_HOLE_STEPS[1].into()
    }
}

#[cfg(test)]
#[path = "pmtu_tests.rs"]
mod tests;
