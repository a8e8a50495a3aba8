//! Over a TAP from the host's native Linux (root), with each card model: the payload arrives right, and every frame the
//! peer sent is accounted for. By naio and, as a control of the rig itself, by the kernel's driver on one model.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

mod common;

use common::{Rig, Shared, TRANSFER_SECONDS, assert_report, echo_server, naio_on_card, wanted};
use naio_rig::arm::{Arm, CARD, Report};
use naio_rig::process;
use naio_rig::qemu::{E1000, Iommu, MODELS, Machine, Outcome};
use naio_rig::results::Event;
use naio_rig::topology::{TapWire, is_root};
use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

/// Payload of each transfer.
const MIB: u64 = 24;
/// Connections of what sends.
const SOCKETS: u32 = 10;
/// Connections of the echo's client: held from the beginning to the end, opened and closed meanwhile, and the payload
/// of one more.
const HELD: u64 = 50;
const CHURN: u64 = 200;
const BULK_MIB: u64 = 8;
/// The step that tells us that the server listens: what the peer sends before, no card is there to receive.
const CLIENT_STARTS: &str = "client-starts";
/// What the client may take.
const CLIENT_LIMIT: Duration = Duration::from_secs(TRANSFER_SECONDS);

/// What came out of the guest, and what the peer had sent before and after each transfer.
struct Seen {
    outcome: Outcome,
    sent: BTreeMap<String, (u64, u64)>,
    /// The echo's client, as it ended.
    client: Report,
}

/// What was seen with each model, in the order of [`MODELS`]. One after the other: there is one wire.
static GUESTS: Shared<Vec<Seen>> = Shared::new();

fn guests() -> impl Iterator<Item = (&'static str, &'static Seen)> {
    let possible = !wanted() || is_root();
    if !possible {
        println!("skipped: a TAP needs root; tests/two_cards.rs carries the same bytes without");
    }
    let all = possible.then(|| GUESTS.outcome(|| MODELS.map(see).into())).flatten();
    let named = MODELS.into_iter().zip(all.into_iter().flatten());
    named.inspect(|(model, _)| println!("model {model}"))
}

/// What happens with this model.
fn see(model: &'static str) -> Seen {
    let rig = Rig::ready();
    let wire = TapWire::create(rig.parts.tools.ip.as_deref()).unwrap_or_else(|e| panic!("{e}"));
    let remote = rig.parts.programs.find("naio-remote").expect("setup has built it");
    std::fs::create_dir_all(rig.paths.runs()).unwrap();
    let log = rig.paths.runs().join(format!("{}-remote.log", std::process::id()));
    let _peer = wire.peer(&remote, &log).unwrap_or_else(|e| panic!("{e}"));
    let mut sent: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut client = None;
    let mut sample = |event: &Event| {
        let now = wire.frames_sent().unwrap_or_else(|e| panic!("{e}"));
        match event {
            Event::Begin(step) => {
                sent.insert(step.clone(), (now, now));
                if step == CLIENT_STARTS {
                    client = Some(start_client(&rig, &wire));
                }
            }
            Event::End(step, _) => sent.entry(step.clone()).or_default().1 = now,
            Event::Broken(_) | Event::Monitor(_) => {}
        }
    };
    let machine = Machine::on_tap(Iommu::Translated).model(model);
    let outcome = rig.boot_on(&machine, &script(model == E1000), Some(&wire), &mut sample);
    let client = client.unwrap_or_else(|| panic!("the guest did not come to naio-echo"));
    let client = client.join().expect("the client's thread lives");
    Seen { outcome, sent, client }
}

/// Starts the echo's client at the peer.
fn start_client(rig: &Rig, wire: &TapWire) -> JoinHandle<Report> {
    let program = rig.parts.programs.find("sync-echo").expect("setup has built it");
    let mut command = wire.command(&program);
    command.args(["--json", "--held", &HELD.to_string(), "--churn", &CHURN.to_string()]);
    command.args(["--bulk", &format!("{BULK_MIB}MiB")]);
    std::thread::spawn(move || {
        let text = process::output(&mut command, CLIENT_LIMIT).unwrap_or_else(|e| panic!("{e}"));
        serde_json::from_slice(&text).expect("a report")
    })
}

/// naio, and the kernel if it is wanted. Each lets the wire fall silent before the peer's frames are counted: naio lingers, and a second passes
/// between one count and the next frame.
fn script(with_kernel: bool) -> String {
    let naio = naio_on_card(MIB, "--sha256 --json --linger 2");
    let echo = echo_server(HELD + CHURN + 1, HELD + 2);
    let prepare = Arm::NaioRecv.prepare();
    let ours = format!(
        "{prepare}step naio-recv {TRANSFER_SECONDS} {naio}\nsleep 1\n\
         {echo}step {CLIENT_STARTS} 5 true\nend naio-echo\nsleep 1\n"
    );
    if !with_kernel {
        return ours + "exit 0\n";
    }
    let (prepare, kernel) = (Arm::KernelRecv.prepare(), Arm::KernelRecv.command(MIB, SOCKETS, true));
    format!(
        "{ours}{prepare}sleep 1\nvalue received_before $(received env)\n\
         step kernel-recv {TRANSFER_SECONDS} sh -c '{kernel} && sleep 3'\n\
         value received_after $(received env)\n\
         value missed $(cat /sys/bus/pci/devices/{CARD}/net/*/statistics/rx_missed_errors)\nexit 0\n"
    )
}

fn assert_received(seen: &Seen, step: &str) {
    let report = assert_report(&seen.outcome, step);
    assert_eq!((report.bytes, report.sha256_ok), (MIB << 20, Some(true)));
}

/// How many frames the peer sent from the beginning of one step to the end of another.
fn frames_sent(seen: &Seen, from: &str, to: &str) -> u64 {
    seen.sent[to].1 - seen.sent[from].0
}

/// Asserts that every frame which the peer sent until the end of a step is in one of naio's counters.
fn assert_accounted(seen: &Seen, from: &str, step: &str) -> BTreeMap<String, u64> {
    let report = assert_report(&seen.outcome, step);
    let counter = |name: &str| report.counters.get(name).copied().unwrap_or(0);
    // Received, or missed by the card for want of a buffer (MPC), or dropped by the driver for a stated reason.
    let dropped: u64 =
        report.counters.iter().filter(|(name, _)| name.starts_with("rx_dropped_")).map(|(_, n)| n).sum();
    let accounted = counter("rx_frames") + counter("mpc") + dropped;
    assert_eq!(frames_sent(seen, from, step), accounted, "{:?}", report.counters);
    // And what the driver handed up is in exactly one counter of the stack.
    assert_eq!(counter("stack_frames"), counter("rx_frames"), "{:?}", report.counters);
    assert_eq!(counter("stack_accounted"), counter("rx_frames"), "{:?}", report.counters);
    report.counters
}

#[test]
fn every_frame_the_peer_sent_is_accounted_for() {
    for (_, seen) in guests() {
        assert_received(seen, "naio-recv");
        let counters = assert_accounted(seen, "naio-recv", "naio-recv");
        assert!(counters["rx_frames"] > (MIB << 20) / 2048, "the payload is more frames: {counters:?}");
    }
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    for (_, seen) in guests() {
        let counters = assert_accounted(seen, CLIENT_STARTS, "naio-echo");
        let server = assert_report(&seen.outcome, "naio-echo");
        assert_eq!(seen.client.bytes, server.bytes, "what was echoed");
        assert!(server.bytes > BULK_MIB << 20);
        let counter = |name: &str| counters[name];
        assert_eq!(counter("stack_accepts"), HELD + CHURN + 1, "{counters:?}");
        assert_eq!(counter("operations"), counter("completions"), "{counters:?}");
        for name in ["connections_failed", "stack_resets", "stack_tx_no_page"] {
            assert_eq!(counter(name), 0, "{name}: {counters:?}");
        }
        let left: Vec<_> = counters.iter().filter(|(name, _)| name.starts_with("left_")).collect();
        assert!(left.len() == 6 && left.iter().all(|(_, count)| **count == 0), "{left:?}");
    }
}

#[test]
fn the_kernels_account_closes_too() {
    for (_, seen) in guests().filter(|(model, _)| *model == E1000) {
        assert_received(seen, "kernel-recv");
        let value = |name| seen.outcome.results.value(name).unwrap_or_else(|| panic!("no figure {name}"));
        let received = value("received_after") - value("received_before");
        let sent = frames_sent(seen, "kernel-recv", "kernel-recv");
        // The two ends are not read in the same instant: a frame or two may lie between. QEMU does not clear MPC
        // when it is read, so what the kernel's driver adds up is only an upper bound.
        let slack = 4;
        assert!(received <= sent + slack, "sent {sent}, received {received}");
        assert!(sent <= received + value("missed") + slack, "sent {sent}, received {received}");
    }
}
