//! Whose segment is this: a keyed table from the 4-tuple to the connection.
//!
//! The hash is keyed with the stack's secret, so a stranger cannot choose tuples that collide. The
//! last answer is remembered: segments come in runs.

use crate::hash::Key;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

/// The 4-tuple, as two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKey {
    addresses: u64,
    ports: u32,
}

impl FlowKey {
    #[inline]
    pub(crate) fn new(local: (Ipv4Addr, u16), remote: (Ipv4Addr, u16)) -> FlowKey {
        FlowKey {
            addresses: u64::from(u32::from(remote.0)) << 32 | u64::from(u32::from(local.0)),
            ports: u32::from(remote.1) << 16 | u32::from(local.1),
        }
    }

    pub(crate) fn local(self) -> (Ipv4Addr, u16) {
        ((self.addresses as u32).into(), self.ports as u16)
    }

    pub(crate) fn remote(self) -> (Ipv4Addr, u16) {
        (((self.addresses >> 32) as u32).into(), (self.ports >> 16) as u16)
    }

    /// As the words of a keyed function's message.
    pub(crate) fn words(self) -> [u64; 2] {
        [self.addresses, self.ports.into()]
    }
}

impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.addresses);
        state.write_u32(self.ports);
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

    #[inline]
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
