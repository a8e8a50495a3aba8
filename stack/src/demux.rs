//! Whose segment is this: a keyed table from the 4-tuple to the connection.
//!
//! The hash is keyed with the stack's secret, so a stranger cannot choose tuples that collide. The
//! last answer is remembered: segments come in runs.

use crate::hash::Key;
use crate::packet::Ends;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// The 4-tuple, as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlowKey {
    V4 {
        addresses: u64,
        ports: u32,
    },
    /// The remote address, then the local one.
    V6 {
        addresses: [u64; 4],
        ports: u32,
    },
}

impl FlowKey {
    /// Both addresses are of one family.
    #[inline]
    pub(crate) fn new(local: (impl Into<IpAddr>, u16), remote: (impl Into<IpAddr>, u16)) -> FlowKey {
        let ends = Ends::new(remote.0.into(), local.0.into());
        FlowKey::of_received(ends, remote.1, local.1)
    }

    /// The connection of a packet that was sent to us.
    #[inline(always)]
    pub(crate) fn of_received(ends: Ends, source_port: u16, destination_port: u16) -> FlowKey {
        let ports = u32::from(source_port) << 16 | u32::from(destination_port);
        match ends {
            Ends::V4 { source, destination } => FlowKey::V4 {
                addresses: u64::from(u32::from(source)) << 32 | u64::from(u32::from(destination)),
                ports,
            },
            Ends::V6 { source, destination } => {
                let (remote, local) = (u128::from(source), u128::from(destination));
                FlowKey::V6 {
                    addresses: [(remote >> 64) as u64, remote as u64, (local >> 64) as u64, local as u64],
                    ports,
                }
            }
        }
    }

    /// Our end.
    pub(crate) fn local(self) -> (IpAddr, u16) {
        (self.ends_of_sent().source(), self.ports() as u16)
    }

    /// The other end.
    pub(crate) fn remote(self) -> (IpAddr, u16) {
        (self.ends_of_sent().destination(), (self.ports() >> 16) as u16)
    }

    /// The addresses of what we send.
    pub(crate) fn ends_of_sent(self) -> Ends {
        let join = |high: u64, low: u64| (u128::from(high) << 64 | u128::from(low)).into();
        match self {
            FlowKey::V4 { addresses, .. } => {
                Ends::V4 { source: (addresses as u32).into(), destination: ((addresses >> 32) as u32).into() }
            }
            FlowKey::V6 { addresses: [a, b, c, d], .. } => {
                Ends::V6 { source: join(c, d), destination: join(a, b) }
            }
        }
    }

    fn ports(self) -> u32 {
        match self {
            FlowKey::V4 { ports, .. } | FlowKey::V6 { ports, .. } => ports,
        }
    }

    /// As the words of a keyed function's message.
    pub(crate) fn words(self) -> [u64; 5] {
        match self {
            FlowKey::V4 { addresses, ports } => [ports.into(), addresses, 0, 0, 0],
            FlowKey::V6 { addresses: [a, b, c, d], ports } => [ports.into(), a, b, c, d],
        }
    }
}

impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match *self {
            FlowKey::V4 { addresses, ports } => {
                state.write_u64(addresses);
                state.write_u32(ports);
            }
            FlowKey::V6 { addresses, ports } => {
                addresses.into_iter().for_each(|word| state.write_u64(word));
                state.write_u32(ports);
            }
        }
    }
}

pub(crate) struct Demux {
    flows: HashMap<FlowKey, u32, Key>,
    last: Option<(FlowKey, u32)>,
}

impl Demux {
    pub(crate) fn new(key: Key) -> Demux {
        Demux { flows: HashMap::with_hasher(key), last: None }
    }

    #[inline(always)]
    pub(crate) fn find(&mut self, key: FlowKey) -> Option<u32> {
        if let Some((last, index)) = self.last
            && last == key
        {
            return Some(index);
        }
        let index = *self.flows.get(&key)?;
        self.last = Some((key, index));
        Some(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(crate) fn contains(&self, key: FlowKey) -> bool {
        self.flows.contains_key(&key)
    }

    pub(crate) fn insert(&mut self, key: FlowKey, index: u32) {
        self.flows.insert(key, index);
    }

    pub(crate) fn remove(&mut self, key: FlowKey) {
        self.flows.remove(&key);
        self.last = None;
    }
}
