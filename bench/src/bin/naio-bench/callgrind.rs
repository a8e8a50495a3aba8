//! Running a part of this program under callgrind, and reading what it counted.
//!
//! Receives the arguments of the part; hands on instructions by room (the crate that a function belongs to), those of
//! copies by who copied, and what some functions cost with everything they called.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// Which functions belong to which room: the first of these names in a function's name decides, so that a driver over
/// the card in software is the driver's.
const ROOMS: [(&str, &str); 14] = [
    ("naio_e1000_model::", "card"),
    ("naio_bench::far::", "card"),
    ("naio_bench::origin::", "card"),
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
    ("memmove", "copies"),
];

/// The functions in which and below which is counted. Callgrind takes one of two patterns that begin alike.
const MEASURED: &str = "*naio_bench*::measured*";

/// Instructions of a copy of a packet's headers or of a completion, at the most; one of a segment takes more than twice
/// as many.
const HEADER_COPY_MAX: u64 = 64;

/// What callgrind counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Instructions by room; what belongs to none is `other`.
    pub(crate) rooms: BTreeMap<&'static str, u64>,
    /// Copies longer than headers.
    pub(crate) copies: Vec<Copy>,
    /// Instructions of functions with all that they call, by name, as their callers see it.
    pub(crate) inclusive: BTreeMap<String, u64>,
    /// Instructions of functions alone and with all that they call, by name.
    pub(crate) functions: BTreeMap<String, (u64, u64)>,
    /// Instructions by source file and line, of what counts in [`Counted::path`]: inlined code stands where it was written.
    pub(crate) lines: BTreeMap<(String, u32), u64>,
}

/// Copies that one place of the program asks for.
#[derive(Debug)]
pub(crate) struct Copy {
    /// The function.
    pub(crate) caller: String,
    pub(crate) room: &'static str,
    pub(crate) calls: u64,
    /// Instructions of all of them.
    pub(crate) cost: u64,
}

/// Whose copies are made to be counted.
const YARDSTICK: &str = "naio_bench::yardstick::";

/// Rooms that are no part of the path.
const APART: [&str; 4] = ["card", "program", "copies", "checksum"];

impl Counted {
    /// Of all functions whose names end like this.
    pub(crate) fn with_callees(&self, ending: &str) -> u64 {
        self.inclusive.iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, cost)| cost).sum()
    }

    /// Of a verb of the driver, without the wrapper that a part may put around it.
    pub(crate) fn driver_verb(&self, ending: &str) -> u64 {
        let is_driver =
            |name: &str| room(name) == "driver" && name.contains("Nic>::") && name.ends_with(ending);
        self.inclusive.iter().filter(|(name, _)| is_driver(name)).map(|(_, cost)| cost).sum()
    }

    /// Instructions of copies that this room asked for.
    pub(crate) fn copies_by(&self, room: &str) -> u64 {
        self.copies.iter().filter(|copy| copy.room == room).map(|copy| copy.cost).sum()
    }

    /// Everything but the card, the far end, the measuring program, copies and checksums.
    pub(crate) fn path(&self) -> u64 {
        self.rooms.iter().filter(|(room, _)| !APART.contains(room)).map(|(_, cost)| cost).sum()
    }
}

/// The room that a function belongs to.
pub(crate) fn room(function: &str) -> &'static str {
    let places = ROOMS.iter().filter_map(|(name, room)| Some((function.find(name)?, *room)));
    places.min_by_key(|(at, _)| *at).map_or("other", |(_, room)| room)
}

/// Runs this program with `arguments`, counting what happens in functions named `measured…` and below.
pub(crate) fn run(arguments: &[String]) -> io::Result<Counted> {
    let file = Scratch::new();
    let out = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--compress-strings=no",
            "--compress-pos=no",
            "--dump-instr=yes",
        ])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", file.0.display()))
        .arg(std::env::current_exe()?)
        .args(arguments)
        // One way of copying for every length, of instructions that grow with the bytes.
        .env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=1073741824")
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

/// A call as a profile has it: where it stands, whom it calls, what that cost.
struct Call<'a> {
    at: &'a str,
    caller: &'a str,
    callee: &'a str,
    cost: u64,
}

/// The format of callgrind's profiles (valgrind manual, "Callgrind Format Specification"), uncompressed, of which the
/// first position is the instruction's address and the second its line.
fn parse(profile: &str) -> Counted {
    let mut counted = Counted::default();
    let (mut function, mut callee, mut file) = ("", "", "");
    let mut calls = Vec::new();
    let mut executed: HashMap<&str, u64> = HashMap::new();
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        let parts = |line: &str| line.split_whitespace().last().and_then(|cost| cost.parse::<u64>().ok());
        let address = |line: &'_ str| line.find(' ').unwrap_or(line.len());
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if let Some(name) = ["fl=", "fi=", "fe="].iter().find_map(|kind| line.strip_prefix(kind)) {
            file = name;
        } else if line.starts_with("calls=") {
            let line = lines.next().unwrap_or_default();
            calls.push(Call {
                at: &line[..address(line)],
                caller: function,
                callee,
                cost: parts(line).unwrap_or(0),
            });
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = parts(line).unwrap_or(0);
            *executed.entry(&line[..address(line)]).or_default() += cost;
            let number = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
            counted.note(function, (file, number), cost);
        }
    }
    for call in calls {
        // Calls are counted even where nothing else is: the instruction that calls is not.
        counted.note_call(&call, executed.get(call.at).copied().unwrap_or(0));
    }
    counted
}

impl Counted {
    /// Instructions of a function's own.
    fn note(&mut self, function: &str, (file, line): (&str, u32), cost: u64) {
        *self.rooms.entry(room(function)).or_default() += cost;
        let of_function = self.functions.entry(function.to_owned()).or_default();
        *of_function = (of_function.0 + cost, of_function.1 + cost);
        if !APART.contains(&room(function)) {
            *self.lines.entry((file.to_owned(), line)).or_default() += cost;
        }
    }

    /// So many calls.
    fn note_call(&mut self, call: &Call<'_>, calls: u64) {
        let Call { caller, callee, cost, .. } = *call;
        // What takes no longer is a header, of which every packet has one, and no payload.
        if room(callee) == "copies" && cost > HEADER_COPY_MAX * calls {
            self.copies.push(Copy { caller: caller.to_owned(), room: room(caller), calls, cost });
        }
        if caller.contains(YARDSTICK) && room(callee) == "copies" {
            // It measures copies, and is none of the path's.
            let room = self.rooms.entry(room(callee)).or_default();
            *room = room.saturating_sub(cost);
            let (alone, with) = self.functions.entry(callee.to_owned()).or_default();
            (*alone, *with) = (alone.saturating_sub(cost), with.saturating_sub(cost));
        }
        *self.inclusive.entry(callee.to_owned()).or_default() += cost;
        self.functions.entry(caller.to_owned()).or_default().1 += cost;
    }
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
        let profile = "fl=turn.rs\nfn=aio_api::turn\n0x10 1 5\ncfn=naio_stack::egress\ncalls=2 0 0\n0x11 1 40\n\
                       0x12 1 1\nfl=egress.rs\nfn=naio_stack::egress\n0x20 1 28\n0x21 1 2\nfi=inlined.rs\n0x22 1 4\n\
                       cfn=memcpy\ncalls=9 0 0\n0x21 1 200\ncfn=memcpy\ncalls=9 0 0\n0x22 1 100\n\
                       fn=memcpy\n0x30 1 10\n";
        let counted = parse(profile);
        let room = |room| counted.rooms.get(room).copied();
        assert_eq!((room("queue"), room("stack"), room("copies")), (Some(6), Some(34), Some(10)));
        assert_eq!((counted.copies_by("stack"), counted.with_callees("stack::egress")), (200, 40));
        assert_eq!(
            counted.copies[0].calls, 2,
            "the calls that were executed; four of the others are headers"
        );
        assert_eq!(counted.functions["naio_stack::egress"], (34, 334));
        let line = |file: &str| counted.lines.get(&(file.to_owned(), 1)).copied();
        assert_eq!((line("egress.rs"), line("inlined.rs")), (Some(30), Some(4)));
        assert_eq!(counted.path(), 40);
    }
}
