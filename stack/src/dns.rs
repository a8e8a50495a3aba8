//! Names to addresses (RFC 1035, RFC 3596): a stub resolver over our own UDP sockets.
//!
//! Receives names and hands on addresses, or why there are none. Every query has a port and an
//! identification of its own that nobody can foresee (RFC 5452 4.5), and believes an answer only from
//! the server it asked, for the question it asked. It keeps no cache: that is its user's to decide.

use crate::Stack;
use crate::datagram::UdpId;
use crate::hash::Key;
use crate::slab::{Name, Slab};
use naio_sys::clock::Time;
use smoltcp::wire::{
    DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData, DnsRepr,
};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// UDP port of name servers.
const PORT: u16 = 53;
/// Time until the first repetition; doubled for each round of all servers.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Rounds of all servers.
const ROUNDS: u32 = 3;
/// Addresses of an answer that are kept.
const ADDRESSES_MAX: usize = 16;
/// Aliases that are followed within an answer.
const ALIASES_MAX: usize = 8;
/// Records of an answer that are looked at.
const RECORDS_MAX: u16 = 64;
/// Longest name and label in octets (RFC 1035 2.3.4), and a datagram without EDNS (4.2.1).
const NAME_LEN_MAX: usize = 255;
const LABEL_LEN_MAX: usize = 63;
const DATAGRAM_LEN: usize = 512;
/// Separates this use of the stack's key from the others.
const DOMAIN_DNS: u64 = 5;

/// Names a query until its outcome has been fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryId(Name);

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

/// A query cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not a host name: an empty or too long label, or more than 255 octets.
    #[error("not a host name")]
    Name,
    /// No name server is known.
    #[error("no name server is known")]
    NoServer,
    /// As many as `Config::dns_queries_max` are under way or have outcomes that nobody has fetched, or
    /// no port is free.
    #[error("too many queries are under way")]
    TooMany,
}

/// A query had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no such name.
    #[error("there is no such name")]
    NoName,
    /// The name has no address of that kind.
    #[error("the name has no address of that kind")]
    NoAddress,
    /// The servers refuse, or cannot find out.
    #[error("the name servers cannot answer")]
    Refused,
    /// No server answers.
    #[error("no name server answers")]
    TimedOut,
}

/// What became of a query.
pub type Resolution = (QueryId, Result<Vec<IpAddr>, LookupError>);

struct Query {
    /// The name as the wire has it.
    name: Vec<u8>,
    lookup: Lookup,
    id: u16,
    socket: UdpId,
    /// Questions asked; says which server is next, and when.
    asked: u32,
    due: Time,
    /// A server said that it cannot help: if none does, that is the outcome, and not silence.
    refused: bool,
}

/// All queries under way, and the outcomes nobody has fetched.
pub(crate) struct Resolver {
    servers: Vec<IpAddr>,
    queries: Slab<Query>,
    outcomes: Vec<Resolution>,
    count: u64,
}

impl Resolver {
    pub(crate) fn new(servers: &[IpAddr], queries_max: usize) -> Resolver {
        Resolver {
            servers: servers.to_vec(),
            queries: Slab::new(queries_max),
            outcomes: Vec::new(),
            count: 0,
        }
    }

    /// When something is due by itself.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.queries.iter().map(|(_, query)| query.due).min()
    }

    fn identification(&mut self, key: Key) -> u16 {
        self.count += 1;
        key.prf(&[DOMAIN_DNS, self.count]) as u16
    }
}

/// A host name as the wire has it; a final dot is allowed.
fn encode(name: &str) -> Result<Vec<u8>, ResolveError> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if label.is_empty() || label.len() > LABEL_LEN_MAX || !label.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ResolveError::Name);
        }
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    if wire.len() > NAME_LEN_MAX { Err(ResolveError::Name) } else { Ok(wire) }
}

impl Stack {
    /// Replaces the name servers, best first: those of a DHCP lease, say.
    pub fn set_dns_servers(&mut self, servers: &[IpAddr]) {
        self.dns.servers = servers.to_vec();
    }

    /// Asks for the addresses of a host. The outcome comes with [`resolved`](Stack::resolved).
    ///
    /// # Errors
    /// Nothing was asked then.
    pub fn resolve(&mut self, name: &str, lookup: Lookup) -> Result<QueryId, ResolveError> {
        let name = encode(name)?;
        if self.dns.servers.is_empty() {
            return Err(ResolveError::NoServer);
        }
        // Outcomes that nobody fetches count as well, or they would pile up.
        if self.dns.queries.is_full() || self.dns.outcomes.len() >= self.config.dns_queries_max {
            return Err(ResolveError::TooMany);
        }
        let socket = self.udp_bind(0).map_err(|_| ResolveError::TooMany)?;
        let id = self.dns.identification(self.key);
        let query = Query { name, lookup, id, socket, asked: 0, due: self.now, refused: false };
        // There is room: that was seen to above.
        self.dns.queries.insert(query).map(QueryId).ok_or(ResolveError::TooMany)
    }

    /// Forgets a query; no outcome will come. False if there is none any more.
    pub fn cancel_resolve(&mut self, query: QueryId) -> bool {
        self.dns.queries.index(query.0).is_some_and(|index| self.end_query(index))
    }

    /// Appends the outcomes of queries that have ended, each once.
    pub fn resolved(&mut self, out: &mut Vec<Resolution>) {
        out.append(&mut self.dns.outcomes);
    }

    /// Looks for answers and asks again where none came; part of `expire`.
    pub(crate) fn progress_dns(&mut self) {
        let indices: Vec<u32> = self.dns.queries.iter().map(|(index, _)| index).collect();
        for index in indices {
            let outcome = self.read_answers(index).or_else(|| self.ask_server(index));
            if let Some(outcome) = outcome {
                let id = QueryId(self.dns.queries.name(index));
                self.dns.outcomes.push((id, outcome));
                self.end_query(index);
            }
        }
    }

    fn end_query(&mut self, index: u32) -> bool {
        let Some(query) = self.dns.queries.remove(index) else { return false };
        // It was bound for this query and belongs to nobody else.
        let _ = self.udp_close(query.socket);
        true
    }

    fn read_answers(&mut self, index: u32) -> Option<Result<Vec<IpAddr>, LookupError>> {
        let socket = self.dns.queries.at(index)?.socket;
        let mut bytes = [0; DATAGRAM_LEN];
        while let Some(datagram) = self.udp_recv(socket, &mut bytes) {
            let query = self.dns.queries.at(index)?;
            let asked = datagram.from.port() == PORT && self.dns.servers.contains(&datagram.from.ip());
            match parse(&bytes[..datagram.len], query).filter(|_| asked) {
                // A server that cannot help: the next one may.
                Some(Err(LookupError::Refused)) => {
                    let query = self.dns.queries.at_mut(index)?;
                    (query.due, query.refused) = (self.now, true);
                }
                Some(outcome) => return Some(outcome),
                None => self.counters.dns_strange_answers += 1,
            }
        }
        None
    }

    /// Asks the next server if it is time; an outcome if all have been asked often enough.
    fn ask_server(&mut self, index: u32) -> Option<Result<Vec<IpAddr>, LookupError>> {
        let servers = self.dns.servers.len() as u32;
        let query = self.dns.queries.at_mut(index)?;
        if query.due > self.now {
            return None;
        }
        if servers == 0 || query.asked >= servers * ROUNDS {
            return Some(Err(if query.refused { LookupError::Refused } else { LookupError::TimedOut }));
        }
        let round = query.asked / servers;
        let server = self.dns.servers[(query.asked % servers) as usize];
        query.asked += 1;
        query.due = self.now.after(FIRST_WAIT * 2u32.pow(round));
        let question = question(query);
        let socket = query.socket;
        // A server without a route, or a full outbox: asked again, or the next one is.
        let _ = self.udp_send(socket, SocketAddr::new(server, PORT), &question);
        None
    }
}

fn record_type(lookup: Lookup) -> DnsQueryType {
    match lookup {
        Lookup::Ipv4 => DnsQueryType::A,
        Lookup::Ipv6 => DnsQueryType::Aaaa,
    }
}

fn question(query: &Query) -> Vec<u8> {
    let repr = DnsRepr {
        transaction_id: query.id,
        opcode: DnsOpcode::Query,
        flags: smoltcp::wire::DnsFlags::RECURSION_DESIRED,
        question: DnsQuestion { name: &query.name, type_: record_type(query.lookup) },
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut DnsPacket::new_unchecked(&mut bytes[..]));
    bytes
}

/// What an answer says; `None` if it is no answer to `query`.
fn parse(bytes: &[u8], query: &Query) -> Option<Result<Vec<IpAddr>, LookupError>> {
    let packet = DnsPacket::new_checked(bytes).ok()?;
    let is_response = packet.flags().contains(smoltcp::wire::DnsFlags::RESPONSE);
    if !is_response || packet.transaction_id() != query.id || packet.question_count() != 1 {
        return None;
    }
    let (mut rest, asked) = DnsQuestion::parse(packet.payload()).ok()?;
    if asked.type_ != record_type(query.lookup) || !same_name(&packet, asked.name, &query.name) {
        return None;
    }
    match packet.rcode() {
        DnsRcode::NoError => {}
        DnsRcode::NXDomain => return Some(Err(LookupError::NoName)),
        _ => return Some(Err(LookupError::Refused)),
    }
    let mut name = query.name.clone();
    let (mut aliases, mut addresses) = (0, Vec::new());
    for _ in 0..packet.answer_record_count().min(RECORDS_MAX) {
        let Ok((next, record)) = DnsRecord::parse(rest) else { break };
        rest = next;
        if !same_name(&packet, record.name, &name) {
            continue;
        }
        match record.data {
            DnsRecordData::A(address) => addresses.push(IpAddr::V4(address)),
            DnsRecordData::Aaaa(address) => addresses.push(IpAddr::V6(address)),
            DnsRecordData::Cname(target) if aliases < ALIASES_MAX => {
                aliases += 1;
                name = unpacked(&packet, target)?;
            }
            _ => {}
        }
    }
    addresses.retain(|address| address.is_ipv4() == (query.lookup == Lookup::Ipv4));
    addresses.truncate(ADDRESSES_MAX);
    Some(match addresses.is_empty() {
        false => Ok(addresses),
        // What was cut off may have been addresses, and we do not ask over TCP (RFC 1035 4.2.2).
        true if packet.flags().contains(smoltcp::wire::DnsFlags::TRUNCATED) => Err(LookupError::Refused),
        true => Err(LookupError::NoAddress),
    })
}

/// Whether a name in a packet, compressed perhaps, is `plain` (RFC 1035 2.3.3: whatever the case).
fn same_name(packet: &DnsPacket<&[u8]>, name: &[u8], plain: &[u8]) -> bool {
    unpacked(packet, name).is_some_and(|name| name.eq_ignore_ascii_case(plain))
}

/// A name without compression, `None` if it is broken or too long.
fn unpacked(packet: &DnsPacket<&[u8]>, name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    for label in packet.parse_name(name) {
        let label = label.ok()?;
        if plain.len() + label.len() + 2 > NAME_LEN_MAX {
            return None;
        }
        // A label has at most 63 octets: its first two bits are zero.
        plain.push(label.len() as u8);
        plain.extend_from_slice(label);
    }
    plain.push(0);
    Some(plain)
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
