//! Running a part of this program under callgrind, and reading what it counted.
//!
//! Receives the arguments of the part; hands on instructions by room (the crate that a function belongs to), those of
//! copies by who copied, and what some functions cost with everything they called.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// Which functions belong to which room: the first of these names in a function's name decides, so that a driver over
/// the card in software is the driver's.
const ROOMS: [(&str, &str); 12] = [
    ("naio_e1000_model::", "card"),
    ("naio_bench::far::", "card"),
    ("naio_e1000::", "driver"),
    ("naio_nic::", "driver"),
    ("naio_dma::", "memory"),
    ("naio_stack::", "stack"),
    ("smoltcp::", "smoltcp"),
    ("aio_api::", "queue"),
    ("naio_sys::checksum", "checksum"),
    ("naio_sys::", "system"),
    ("naio_bench::", "program"),
    ("memcpy", "copies"),
];

/// Instructions of a copy of a packet's headers, at the most; a copy of a segment takes more than twice as many.
const HEADER_COPY_MAX: u64 = 32;

/// What callgrind counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Instructions by room; what belongs to none is `other`.
    pub(crate) rooms: BTreeMap<&'static str, u64>,
    /// Instructions of copies longer than headers, by the room that asked for them.
    pub(crate) copies: BTreeMap<&'static str, u64>,
    /// Instructions of functions with all that they call, by name.
    inclusive: BTreeMap<String, u64>,
}

impl Counted {
    /// Of all functions whose names end like this.
    pub(crate) fn with_callees(&self, ending: &str) -> u64 {
        self.inclusive.iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, cost)| cost).sum()
    }

    /// Of a verb of the driver, without the wrapper that a part may put around it.
    pub(crate) fn driver_verb(&self, ending: &str) -> u64 {
        let is_driver = |name: &str| room(name) == "driver" && name.ends_with(ending);
        self.inclusive.iter().filter(|(name, _)| is_driver(name)).map(|(_, cost)| cost).sum()
    }

    /// Everything but the card, the far end, the measuring program, copies and checksums.
    pub(crate) fn path(&self) -> u64 {
        let apart = ["card", "program", "copies", "checksum"];
        self.rooms.iter().filter(|(room, _)| !apart.contains(room)).map(|(_, cost)| cost).sum()
    }
}

fn room(function: &str) -> &'static str {
    let places = ROOMS.iter().filter_map(|(name, room)| Some((function.find(name)?, *room)));
    places.min_by_key(|(at, _)| *at).map_or("other", |(_, room)| room)
}

/// Runs this program with `arguments`, counting what happens in `function` and below.
pub(crate) fn run(function: &str, arguments: &[String]) -> io::Result<Counted> {
    let file = Scratch::new();
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--callgrind-out-file={}", file.0.display()))
        .arg(std::env::current_exe()?)
        .args(arguments)
        .output()?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        return Err(io::Error::other(format!("the part under callgrind failed: {last:?}")));
    }
    let counted = parse(&std::fs::read_to_string(&file.0)?);
    if counted.path() == 0 {
        return Err(io::Error::other("callgrind counted nothing: are the symbols of the program stripped?"));
    }
    Ok(counted)
}

/// A file that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        Scratch(std::env::temp_dir().join(format!("naio-bench-callgrind-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The format of callgrind's profiles (valgrind manual, "Callgrind Format Specification"), uncompressed.
fn parse(profile: &str) -> Counted {
    let mut counted = Counted::default();
    let (mut function, mut callee) = (String::new(), String::new());
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        let cost = |line: &str| line.split_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
        if let Some(name) = line.strip_prefix("fn=") {
            name.clone_into(&mut function);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            name.clone_into(&mut callee);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let calls = calls.split_whitespace().next().and_then(|calls| calls.parse().ok()).unwrap_or(1);
            let cost = lines.next().and_then(cost).unwrap_or(0);
            // What takes no longer is a header, of which every packet has one, and no payload.
            if room(&callee) == "copies" && cost > HEADER_COPY_MAX * calls {
                *counted.copies.entry(room(&function)).or_default() += cost;
            }
            *counted.inclusive.entry(callee.clone()).or_default() += cost;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || first == '+' || first == '-') {
            *counted.rooms.entry(room(&function)).or_default() += cost(line).unwrap_or(0);
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_belongs_to_the_room_that_its_name_begins_with() {
        assert_eq!(room("<naio_e1000::E1000<naio_e1000_model::Model> as naio_nic::Nic>::ring"), "driver");
        assert_eq!(room("<naio_e1000_model::Tail as naio_device::Doorbell>::ring"), "card");
        assert_eq!(room("smoltcp::socket::tcp::Socket::dispatch::<naio_stack::port::Emit>"), "smoltcp");
        assert_eq!(room("__memcpy_avx_unaligned_erms"), "copies");
        assert_eq!(room("malloc"), "other");
    }

    #[test]
    fn a_profile_is_read_function_by_function() {
        let profile = "fn=aio_api::turn\n10 5\ncfn=naio_stack::egress\ncalls=2 0\n11 40\n12 1\n\
                       fn=naio_stack::egress\n5 30\ncfn=memcpy\ncalls=1 0\n6 100\nfn=memcpy\n1 10\n";
        let counted = parse(profile);
        let room = |room| counted.rooms.get(room).copied();
        assert_eq!((room("queue"), room("stack"), room("copies")), (Some(6), Some(30), Some(10)));
        assert_eq!((counted.copies.get("stack"), counted.with_callees("stack::egress")), (Some(&100), 40));
        assert_eq!(counted.path(), 36);
    }
}
