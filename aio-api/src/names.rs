//! Names and addresses: what the network knows about hosts, and about us.

use crate::error::{GroupError, OpError, SubmitError, SubmitReason};
use crate::op::{OpKey, Request};
use crate::queue::EventQueue;
use naio_stack::{Lookup, LookupError, QueryId, Resolution, ResolveError};
use std::collections::HashMap;
use std::net::IpAddr;

/// Queries under way.
#[derive(Debug, Default)]
pub(crate) struct Names {
    waiting: HashMap<QueryId, OpKey>,
    /// Kept for its memory.
    outcomes: Vec<Resolution>,
}

impl Names {
    /// Forgets an operation; the query it waited for, if it waits still.
    pub(crate) fn forget(&mut self, key: OpKey) -> Option<QueryId> {
        let query = self.waiting.iter().find(|(_, waiting)| **waiting == key).map(|(query, _)| *query)?;
        self.waiting.remove(&query);
        Some(query)
    }
}

impl EventQueue {
    /// Asks the name servers for the addresses of a host. Completes with them in
    /// [`Completion::addresses`](crate::Completion::addresses), in the servers' order.
    ///
    /// Name servers come with a DHCP lease, or from [`Builder::network`](crate::Builder::network).
    /// Nothing is cached.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, Lookup};
    /// # fn example(queue: &mut EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// queue.resolve("www.example.org", Lookup::Ipv4, 7)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolve(&mut self, name: &str, lookup: Lookup, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit(1)?;
        let query = self.stack.resolve(name, lookup).map_err(|error| match error {
            ResolveError::Name => SubmitReason::Name,
            ResolveError::NoServer => SubmitReason::NoServer,
            ResolveError::TooMany => SubmitReason::TooManyQueries,
        })?;
        let key = self.insert(user_data, Request::Resolve)?;
        self.names.waiting.insert(query, key);
        Ok(key)
    }

    /// Our addresses now, of both kinds. Those of IPv6 come by and by.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.stack.addresses()
    }

    /// Joins a multicast group, for datagrams: reports it to the routers and lets it in at the card.
    ///
    /// # Errors
    /// No multicast address, or too many groups.
    pub fn join(&mut self, group: IpAddr) -> Result<(), GroupError> {
        Ok(self.stack.join(group)?)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// It had not been joined.
    pub fn leave(&mut self, group: IpAddr) -> Result<(), GroupError> {
        Ok(self.stack.leave(group)?)
    }

    /// Ends queries that have an outcome; returns how many.
    pub(crate) fn progress_names(&mut self) -> usize {
        if self.names.waiting.is_empty() {
            return 0;
        }
        let mut outcomes = std::mem::take(&mut self.names.outcomes);
        self.stack.resolved(&mut outcomes);
        let count = outcomes.len();
        for (query, outcome) in outcomes.drain(..) {
            let Some(key) = self.names.waiting.remove(&query) else { continue };
            match outcome {
                Ok(addresses) => self.finish_resolved(key, addresses),
                Err(error) => self.finish(key, Err(lookup_error(error))),
            }
        }
        self.names.outcomes = outcomes;
        count
    }

    /// Tells the card which groups to let in, if that has changed.
    pub(crate) fn follow_groups(&mut self) {
        if !self.stack.take_multicast_change() {
            return;
        }
        if let Some(nic) = &mut self.nic {
            nic.set_multicast(&self.stack.multicast_groups());
        }
    }
}

fn lookup_error(error: LookupError) -> OpError {
    match error {
        LookupError::NoName => OpError::NoName,
        LookupError::NoAddress => OpError::NoAddress,
        LookupError::Refused => OpError::ServerFailed,
        LookupError::TimedOut => OpError::TimedOut,
    }
}
