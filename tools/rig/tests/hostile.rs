//! A hostile peer while bytes move: scans, floods and frames made by hand, by the tools that attackers use, from inside
//! the private network of the TAP, on each card model. The bytes are right, the process lives, the scanners see what is
//! open, and each limit that was reached shows.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

mod common;

use common::{Rig, Shared, TRANSFER_SECONDS, assert_report, echo_server, naio_on_card, wanted};
use naio_rig::arm::{Arm, HERE_HOST, Report, THERE_HOST};
use naio_rig::process::{self, find};
use naio_rig::qemu::{Iommu, MODELS, Machine, Outcome};
use naio_rig::results::Event;
use naio_rig::topology::{TAP, TapWire, is_root};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

/// Payload of the hashed transfer: it must still be under way when the last attack is.
const MIB: u64 = 256;
/// The echo's client, and what may connect beside it.
const HELD: u64 = 10;
const CHURN: u64 = 20;
const BULK_MIB: u64 = 8;
const STRANGERS: u64 = 60;
/// What one attack may take, though each is bounded by its own count; a scan for versions asks its questions one after
/// the other.
const ATTACK_LIMIT: Duration = Duration::from_secs(60);
/// What nmap gives a host, a little less.
const SCAN_LIMIT: &str = "55s";
/// Packets of a flood, and the pause between them.
const FLOOD: &str = "3000";
const PAUSE: &str = "u400";
/// A neighbour that does not exist.
const NOBODY: &str = "10.9.0.99";
const ECHO_PORT: &str = "5003";
const REMOTE_PORT: &str = "5001";
const CLIENT_STARTS: &str = "client-starts";
/// Debian's own, which is the one that its packages are for.
const PYTHON: &str = "/usr/bin/python3";
const BY_HAND: &str = include_str!("common/hostile.py");

struct Seen {
    model: &'static str,
    outcome: Outcome,
    client: Report,
    said: Said,
}

static GUESTS: Shared<Option<Vec<Seen>>> = Shared::new();

/// What was seen with each model; one after the other, since there is one wire.
fn guests() -> &'static [Seen] {
    if wanted() && !is_root() {
        println!("skipped: a TAP needs root");
        return &[];
    }
    let Some(seen) = GUESTS.outcome(|| MODELS.into_iter().map(see).collect()) else { return &[] };
    if seen.is_none() {
        println!("skipped: there is no nmap, hping3 or scapy; `cargo rig setup` could not install them");
    }
    seen.as_deref().unwrap_or_default()
}

/// The tools of the attackers.
#[derive(Clone)]
struct Tools {
    nmap: PathBuf,
    hping: PathBuf,
}

fn tools() -> Option<Tools> {
    let nowhere = Path::new("/nonexistent");
    find("scapy3", nowhere)?;
    Some(Tools { nmap: find("nmap", nowhere)?, hping: find("hping3", nowhere)? })
}

type Attack = (&'static str, Command);

/// While payload arrives: nobody listens, so this is about the transfer's own connection and about everything below.
fn during_transfer(wire: &TapWire, tools: &Tools) -> Vec<Attack> {
    let hping = |arguments: &[&str]| {
        let mut command = wire.command(&tools.hping);
        command.args(["-q", "-n", "-c", FLOOD, "-i", PAUSE]).args(arguments).arg(HERE_HOST);
        command
    };
    let mut by_hand = wire.command(Path::new(PYTHON));
    by_hand.args(["-c", BY_HAND, TAP, THERE_HOST, HERE_HOST, REMOTE_PORT]);
    let mut scan = wire.command(&tools.nmap);
    // Without its ARP ping, which it gives up when the floods lose it, and then scans nothing.
    scan.args(["-n", "-Pn", "--disable-arp-ping", "-sS", "--top-ports", "50", "-T4", "--max-retries", "1"]);
    scan.args(["--host-timeout", SCAN_LIMIT, "-oG", "-", HERE_HOST]);
    vec![
        ("by-hand", by_hand),
        ("reset-flood", hping(&["-R", "-s", REMOTE_PORT, "-k", "-p", "++32768"])),
        ("fragment-flood", hping(&["-2", "-x", "-d", "600", "-p", "9"])),
        ("echo-flood", hping(&["-1"])),
        // To ports that nobody listens on.
        ("closed-flood", hping(&["-S", "-p", "++1000"])),
        ("scan", scan),
    ]
}

/// While somebody listens.
fn during_echo(wire: &TapWire, tools: &Tools) -> Vec<Attack> {
    let mut flood = wire.command(&tools.hping);
    flood.args(["-q", "-n", "-c", FLOOD, "-i", PAUSE, "-S", "-a", NOBODY, "-p", ECHO_PORT, HERE_HOST]);
    let mut scan = wire.command(&tools.nmap);
    scan.args(["-n", "-Pn", "--disable-arp-ping", "-sS", "-sV", "-O", "--version-intensity", "0"]);
    scan.args(["-T4", "--max-retries", "2", "--max-os-tries", "1", "--host-timeout", SCAN_LIMIT]);
    scan.args(["-p", "5003,9", "-oG", "-", HERE_HOST]);
    vec![("syn-flood", flood), ("scan-open", scan)]
}

/// What the attackers said, each with its name.
type Said = Vec<(&'static str, String)>;

/// All at once, each in a thread of its own.
fn start(attacks: Vec<Attack>) -> Vec<JoinHandle<(&'static str, String)>> {
    let run = |(name, mut command): Attack| {
        command.stdin(std::process::Stdio::null());
        let said = match process::capture(&mut command, ATTACK_LIMIT) {
            Ok((_, out, err)) => process::tail(&[out, err].concat()),
            Err(error) => error.to_string(),
        };
        (name, said)
    };
    attacks.into_iter().map(|attack| std::thread::spawn(move || run(attack))).collect()
}

fn end(attackers: Vec<JoinHandle<(&'static str, String)>>) -> Said {
    attackers.into_iter().map(|attacker| attacker.join().expect("it lives")).collect()
}

/// The echo's client; then the connections that the server still waits for, however many the scanner has left.
fn start_client(rig: &Rig, wire: &TapWire, tools: &Tools) -> JoinHandle<(Report, Said)> {
    let attackers = start(during_echo(wire, tools));
    let program = rig.parts.programs.find("sync-echo").expect("setup has built it");
    let mut client = wire.command(&program);
    client.args(["--json", "--held", &HELD.to_string(), "--churn", &CHURN.to_string()]);
    client.args(["--bulk", &format!("{BULK_MIB}MiB")]);
    let mut rest = wire.command(&program);
    rest.args(["--held", "0", "--bulk", "0", "--churn", &STRANGERS.to_string()]);
    std::thread::spawn(move || {
        let limit = Duration::from_secs(TRANSFER_SECONDS);
        let text = process::output(&mut client, limit).unwrap_or_else(|e| panic!("{e}"));
        let said = end(attackers);
        // It ends with an error when the server does.
        let _ = process::output(&mut rest, ATTACK_LIMIT);
        (serde_json::from_slice(&text).expect("a report"), said)
    })
}

fn see(model: &'static str) -> Option<Seen> {
    let rig = Rig::ready();
    let tools = tools()?;
    let wire = TapWire::create(rig.parts.tools.ip.as_deref()).unwrap_or_else(|e| panic!("{e}"));
    let remote = rig.parts.programs.find("naio-remote").expect("setup has built it");
    std::fs::create_dir_all(rig.paths.runs()).unwrap();
    let log = rig.paths.runs().join(format!("{}-hostile.log", std::process::id()));
    let _peer = wire.peer(&remote, &log).unwrap_or_else(|e| panic!("{e}"));
    let (mut attackers, mut client) = (Vec::new(), None);
    let mut on_event = |event: &Event| match event {
        Event::Begin(step) if step == "naio-recv" => attackers = start(during_transfer(&wire, &tools)),
        Event::Begin(step) if step == CLIENT_STARTS => {
            client = Some(start_client(&rig, &wire, &tools));
        }
        _ => {}
    };
    let outcome =
        rig.boot_on(&Machine::on_tap(Iommu::Translated).model(model), &script(), Some(&wire), &mut on_event);
    let client = client.unwrap_or_else(|| panic!("the guest did not come to naio-echo"));
    let (client, during_echo) = client.join().expect("the client's thread lives");
    let said = [end(attackers), during_echo].concat();
    Some(Seen { model, outcome, client, said })
}

fn script() -> String {
    let naio = naio_on_card(MIB, "--sha256 --json");
    let echo = echo_server(HELD + CHURN + 1 + STRANGERS, HELD + 4);
    let prepare = Arm::NaioRecv.prepare();
    format!(
        "{prepare}step naio-recv {TRANSFER_SECONDS} {naio}\nsleep 1\n\
         {echo}step {CLIENT_STARTS} 5 true\nend naio-echo\nexit 0\n"
    )
}

/// Of each name, at least one event was counted.
fn assert_counted(report: &Report, names: &[&str]) {
    let counted = |name: &str| report.counters.get(name).copied().unwrap_or(0);
    let silent: Vec<_> = names.iter().filter(|name| counted(name) == 0).collect();
    assert!(silent.is_empty(), "{silent:?} did not count: {:?}", report.counters);
}

#[test]
fn a_transfer_is_right_while_a_peer_scans_floods_and_forges() {
    for seen in guests() {
        println!("{}: {:#?}", seen.model, seen.said);
        let report = assert_report(&seen.outcome, "naio-recv");
        println!("{report:#?}");
        assert_eq!((report.bytes, report.sha256_ok), (MIB << 20, Some(true)));
        assert_eq!(report.counters["stack_flows_broken"], 0);
        assert_eq!(report.counters["stack_accounted"], report.counters["stack_frames"]);
        assert_counted(
            &report,
            &[
                "stack_drop_tcp_challenged",
                "stack_drop_tcp_unknown",
                "stack_drop_ip_source",
                "stack_drop_ip_header",
                "stack_drop_tcp_header",
                "stack_drop_arp_conflict",
                "stack_drop_icmp_ignored",
                "stack_drop_icmp_limit",
                "stack_reassembly_full",
                "stack_tx_reset",
                "stack_tx_reset_limited",
            ],
        );
    }
}

#[test]
fn clients_are_served_while_syns_flood_the_listener() {
    for seen in guests() {
        let server = assert_report(&seen.outcome, "naio-echo");
        println!("{}: {server:#?}", seen.model);
        assert!(seen.client.bytes > BULK_MIB << 20, "every byte of it was compared: {:?}", seen.client);
        assert_eq!(server.counters["stack_flows_broken"], 0);
        assert_counted(&server, &["stack_cookies_sent"]);
    }
}

/// Through the flood, too: the open port, the closed one, and how random the initial sequence numbers are. What the scan
/// beside the transfer sees is up to the limit on resets, but it came through its ports.
#[test]
fn a_scanner_comes_to_its_end_and_sees_what_is_open() {
    for seen in guests() {
        for (scan, sees) in
            [("scan", &[][..]), ("scan-open", &["5003/open/tcp", "9/closed/tcp", "Seq Index: "])]
        {
            let (_, said) = seen.said.iter().find(|(name, _)| *name == scan).expect("it ran");
            println!("{}: {said}", seen.model);
            for expected in sees.iter().chain(&["1 IP address (1 host up)"]) {
                assert!(said.contains(expected), "{}: no {expected:?} in {said}", seen.model);
            }
            assert!(!said.contains("Timeout"), "{}: {said}", seen.model);
        }
    }
}
