//! From a Linux peer on a second card in the same guest (no root): the payload, ping while naio runs, sending, and
//! the errors of a machine that has an IOMMU.
//!
//! Frames are not counted here but over the TAP: QEMU's e1000 sends one frame of headers alone behind each large
//! segment whose payload is a multiple of the MSS, and the peer's driver does not know of it.
#![forbid(unsafe_code)]

mod common;

use common::{
    MIB, Rig, Shared, TRANSFER_SECONDS, assert_clear_error, assert_report, naio, naio_on_card,
    prepare_two_cards,
};
use naio_rig::arm::{Arm, CARD, HERE_HOST};
use naio_rig::qemu::{Iommu, Machine, Outcome};

/// How long naio keeps polling after the transfer, so that the peer's pings end first.
const LINGER_SECONDS: u64 = 5;
/// Payload of each sender.
const SEND_MIB: u64 = 24;
/// Connections of what sends.
const SOCKETS: u32 = 10;
/// How many pings.
const PINGS: u32 = 10;
/// A device address where QEMU's q35 has nothing.
const NO_DEVICE: &str = "0000:00:1d.7";

static GUEST: Shared<Outcome> = Shared::new();

fn guest() -> Option<&'static Outcome> {
    GUEST.outcome(|| {
        let script = [prepare_two_cards(), errors(), naio_run(), senders(), kernel_run()].concat();
        Rig::ready().boot(&Machine::with_peer(Iommu::Translated), &script)
    })
}

fn errors() -> String {
    let (absent, plain) = (naio(NO_DEVICE, 1, ""), naio_on_card(1, ""));
    format!(
        "step no-such-device 30 {absent}\n\
         step not-bound 30 {plain}\n\
         try bind bind {CARD} vfio-pci\n\
         group=$(basename $(readlink /sys/bus/pci/devices/{CARD}/iommu_group))\n\
         chmod 600 /dev/vfio/$group\n\
         step whoami 10 su user -c id\n\
         step no-permission 30 su user -c '{plain}'\n"
    )
}

/// naio in the background, pings from the peer as soon as the connection stands.
fn naio_run() -> String {
    let command = naio_on_card(MIB, &format!("--sha256 --json --linger {LINGER_SECONDS}"));
    format!(
        "timeout -s KILL {TRANSFER_SECONDS} {command} > /tmp/naio.out 2> /tmp/naio.err &\n\
         pid=$!\n\
         until in_peer grep -q '^ *[0-9]*: [0-9A-F]*:1389 [0-9A-F]*:[0-9A-F]* 01 ' /proc/net/tcp; do\n\
             kill -0 $pid 2>/dev/null || break\n\
             sleep 0.05\n\
         done\n\
         if kill -0 $pid 2>/dev/null; then\n\
             step ping {TRANSFER_SECONDS} nsenter -t $PEER_PID -n ping -c {PINGS} -i 0.2 -W 20 {HERE_HOST}\n\
         fi\n\
         wait $pid\n\
         status=$?\n\
         step naio-recv 10 sh -c \"cat /tmp/naio.out; cat /tmp/naio.err >&2; exit $status\"\n"
    )
}

/// naio sends, from buffers and from a file; the remote says what it read.
fn senders() -> String {
    let arms = [Arm::NaioSend, Arm::NaioSendfile];
    arms.map(|arm| {
        format!("step {} {TRANSFER_SECONDS} {}\n", arm.name(), arm.command(SEND_MIB, SOCKETS, true))
    })
    .concat()
}

/// The kernel's driver on the same card, as a control of the rig itself.
fn kernel_run() -> String {
    let (prepare, command) = (Arm::KernelRecv.prepare(), Arm::KernelRecv.command(MIB, SOCKETS, true));
    let senders = [Arm::KernelSend, Arm::KernelSendfile].map(|arm| {
        format!("step {} {TRANSFER_SECONDS} {}\n", arm.name(), arm.command(SEND_MIB, SOCKETS, true))
    });
    format!("{prepare}step kernel-recv {TRANSFER_SECONDS} {command}\n{}exit 0\n", senders.concat())
}

fn assert_received(step: &str) {
    let Some(outcome) = guest() else { return };
    let report = outcome.results.report(step).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((report.bytes, report.sha256_ok), (MIB << 20, Some(true)));
}

#[test]
fn naio_receives_64_mib_right() {
    assert_received("naio-recv");
}

#[test]
fn the_kernel_receives_64_mib_right() {
    assert_received("kernel-recv");
}

#[test]
fn naio_and_the_kernel_send_right_from_buffers_and_from_a_file() {
    let Some(outcome) = guest() else { return };
    for arm in [Arm::NaioSend, Arm::NaioSendfile, Arm::KernelSend, Arm::KernelSendfile] {
        let report = assert_report(outcome, arm.name());
        assert_eq!((report.bytes, report.sha256_ok), (SEND_MIB << 20, Some(true)), "{}", arm.name());
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the cost, for whoever asks with --nocapture")]
fn the_card_reads_a_file_from_the_page_cache() {
    let Some(outcome) = guest() else { return };
    let counters = assert_report(outcome, Arm::NaioSendfile.name()).counters;
    let counter = |name: &str| counters[name];
    let mapped = counter("file_windows_mapped");
    println!(
        "{mapped} windows mapped and {} shared, {} bytes pinned, {} µs of other threads",
        counter("file_windows_shared"),
        counter("file_pinned_bytes"),
        counter("file_worker_cpu_us"),
    );
    assert!(mapped > 0, "the stock kernel maps pages of a file that the card only reads");
    assert_eq!((counter("file_windows_refused"), counter("file_copied_bytes")), (0, 0));
}

#[test]
fn naio_answers_pings_while_it_receives() {
    let Some(outcome) = guest() else { return };
    let ping = outcome.results.step("ping").unwrap_or_else(|e| panic!("{e}"));
    let words: Vec<&str> = ping.stdout.split_ascii_whitespace().collect();
    let received =
        words.windows(3).find(|w| w[1..] == ["packets", "received,"]).and_then(|w| w[0].parse().ok());
    // The hub drops what comes while the receive ring is full, and the transfer fills it: some pings may be lost.
    assert!(received >= Some(PINGS / 2), "{}{}", ping.stdout, ping.stderr);
}

#[test]
fn no_such_device_is_a_clear_error() {
    let Some(outcome) = guest() else { return };
    assert_clear_error(outcome, "no-such-device", &[NO_DEVICE]);
}

#[test]
fn a_card_without_vfio_pci_is_a_clear_error() {
    let Some(outcome) = guest() else { return };
    assert_clear_error(outcome, "not-bound", &[CARD, "vfio-pci"]);
}

#[test]
fn a_user_without_permission_gets_a_clear_error() {
    let Some(outcome) = guest() else { return };
    let whoami = outcome.results.step("whoami").unwrap_or_else(|e| panic!("{e}"));
    assert!(whoami.stdout.starts_with("uid=1000"), "{}{}", whoami.stdout, whoami.stderr);
    assert_clear_error(outcome, "no-permission", &["permission", "/dev/vfio/"]);
}
