//! A name server that knows a few names, each answered in a manner of its own (RFC 1035, RFC 3596).
//!
//! Receives questions, hands on answers. Looks at one question a datagram and at nothing behind it.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

/// UDP port of name servers.
pub const PORT: u16 = 53;
/// What `host.test` has, and by other ways every name that has addresses.
pub const HOST4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 8)];
/// The same over IPv6.
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

/// Header, record types and flags of RFC 1035 4.1.1 and 3.2.2; AAAA of RFC 3596 2.1.
const HEADER_LEN: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const RESPONSE: u16 = 0x8180;
const TRUNCATED: u16 = 0x0200;
const SERVER_FAILURE: u16 = 2;
const NO_SUCH_NAME: u16 = 3;
const TTL_S: u32 = 60;
/// The name of the question, as a pointer (RFC 1035 4.1.4).
const ASKED: [u8; 2] = [0xc0, HEADER_LEN as u8];
/// Questions remembered: those whose repetition is answered.
const REMEMBERED_MAX: usize = 1024;

/// What a name is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Addresses of both kinds.
    Both,
    /// An alias and the addresses of what it stands for.
    Alias,
    /// IPv4 addresses only.
    Ipv4,
    /// An answer cut off before its first record.
    Truncated,
    /// The server has trouble of its own.
    Failure,
    /// Addresses, but not before the question is repeated.
    Late,
    /// Nothing.
    Silent,
    /// There is no such name.
    Unknown,
}

impl Manner {
    fn of(name: &str) -> Manner {
        match name {
            "host.test" => Manner::Both,
            "alias.test" => Manner::Alias,
            "ipv4.test" => Manner::Ipv4,
            "long.test" => Manner::Truncated,
            "broken.test" => Manner::Failure,
            "late.test" => Manner::Late,
            "silent.test" => Manner::Silent,
            _ => Manner::Unknown,
        }
    }
}

/// Answers until the socket fails.
///
/// # Errors
/// The socket's.
pub fn serve(socket: &UdpSocket) -> io::Result<()> {
    let mut heard = HashSet::new();
    let mut question = [0; 512];
    loop {
        let (len, from) = match socket.recv_from(&mut question) {
            Ok(received) => received,
            // An ICMP error about an earlier answer is no failure of ours.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        if let Some(answer) = answer(&question[..len], &mut heard) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer to a datagram, if it is a question that has one.
fn answer(datagram: &[u8], heard: &mut HashSet<Vec<u8>>) -> Option<Vec<u8>> {
    let id = datagram.first_chunk::<2>()?;
    if datagram.get(4..6)? != [0, 1] {
        return None;
    }
    let (name, end) = name(datagram)?;
    let fixed = datagram.get(end..end + 4)?;
    let (kind, class) = (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[2], fixed[3]]));
    if class != CLASS_IN {
        return None;
    }
    let question = &datagram[HEADER_LEN..end + 4];
    let manner = match Manner::of(&name) {
        Manner::Silent => return None,
        Manner::Late if heard.len() < REMEMBERED_MAX && heard.insert(question.to_vec()) => return None,
        manner => manner,
    };
    let mut records = Vec::new();
    let flags = match manner {
        Manner::Truncated => RESPONSE | TRUNCATED,
        Manner::Failure => RESPONSE | SERVER_FAILURE,
        Manner::Unknown => RESPONSE | NO_SUCH_NAME,
        Manner::Alias => {
            let host = b"\x04host\x04test\0";
            records.push(record(&ASKED, TYPE_CNAME, host));
            records.extend(addresses(host, kind));
            RESPONSE
        }
        Manner::Ipv4 if kind == TYPE_AAAA => RESPONSE,
        _ => {
            records.extend(addresses(&ASKED, kind));
            RESPONSE
        }
    };
    let mut answer = id.to_vec();
    for word in [flags, 1, records.len() as u16, 0, 0] {
        answer.extend(word.to_be_bytes());
    }
    answer.extend(question);
    records.iter().for_each(|record| answer.extend(record));
    Some(answer)
}

fn addresses(name: &[u8], kind: u16) -> Vec<Vec<u8>> {
    match kind {
        TYPE_A => HOST4.iter().map(|address| record(name, TYPE_A, &address.octets())).collect(),
        TYPE_AAAA => vec![record(name, TYPE_AAAA, &HOST6.octets())],
        _ => Vec::new(),
    }
}

fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = name.to_vec();
    record.extend(kind.to_be_bytes());
    record.extend(CLASS_IN.to_be_bytes());
    record.extend(TTL_S.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

/// The name of the question in lower case with dots, and where it ends; questions are not compressed.
fn name(datagram: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER_LEN;
    loop {
        let len = usize::from(*datagram.get(at)?);
        at += 1;
        match len {
            0 => return Some((labels.join("."), at)),
            1..=63 => labels.push(String::from_utf8_lossy(datagram.get(at..at + len)?).to_ascii_lowercase()),
            _ => return None,
        }
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut question = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        question.push(0);
        question.extend(kind.to_be_bytes());
        question.extend(CLASS_IN.to_be_bytes());
        question
    }

    fn flags_and_records(name: &str, kind: u16, heard: &mut HashSet<Vec<u8>>) -> Option<(u16, u16)> {
        let answer = answer(&question(name, kind), heard)?;
        assert_eq!(answer[..2], [7, 9], "the identification comes back");
        Some((u16::from_be_bytes([answer[2], answer[3]]), u16::from_be_bytes([answer[6], answer[7]])))
    }

    #[test]
    fn each_name_is_answered_in_its_manner() {
        let mut heard = HashSet::new();
        let mut ask = |name, kind| flags_and_records(name, kind, &mut heard);
        assert_eq!(ask("Host.TEST", TYPE_A), Some((RESPONSE, 2)));
        assert_eq!(ask("host.test", TYPE_AAAA), Some((RESPONSE, 1)));
        assert_eq!(ask("alias.test", TYPE_AAAA), Some((RESPONSE, 2)));
        assert_eq!(ask("ipv4.test", TYPE_AAAA), Some((RESPONSE, 0)));
        assert_eq!(ask("long.test", TYPE_A), Some((RESPONSE | TRUNCATED, 0)));
        assert_eq!(ask("broken.test", TYPE_A), Some((RESPONSE | SERVER_FAILURE, 0)));
        assert_eq!(ask("nobody.test", TYPE_A), Some((RESPONSE | NO_SUCH_NAME, 0)));
        assert_eq!(ask("silent.test", TYPE_A), None);
        assert_eq!(ask("late.test", TYPE_A), None);
        assert_eq!(ask("late.test", TYPE_A), Some((RESPONSE, 2)));
    }

    #[test]
    fn a_datagram_cut_anywhere_has_no_answer() {
        let whole = question("host.test", TYPE_A);
        for len in 0..whole.len() {
            assert_eq!(answer(&whole[..len], &mut HashSet::new()), None, "{len} bytes");
        }
    }
}
