//! What goes wrong in a user's life, one boot of each card model: the program is killed, the card is taken back, the cable is pulled, the
//! peer vanishes, a limit is too small. Each ends as the user should see it: it goes on, or says clearly why not.
#![forbid(unsafe_code)]

mod common;

use common::{
    BIG_STEP, Fleet, assert_clear_error, assert_exercised, assert_report, echo_server, naio_on_card,
    prepare_two_cards,
};
use naio_rig::arm::{CARD, HERE, SINK, THERE_HOST};
use naio_rig::qemu::{Iommu, Machine, Outcome};

/// A payload that no transfer comes to the end of here.
const ENDLESS_MIB: u64 = 16 << 10;
/// Payload of transfers that must end right.
const MIB: u64 = 16;
/// Payload of the transfer whose cable is pulled: long enough to be under way still.
const FLAP_MIB: u64 = 48;
/// How long the cable stays pulled.
const FLAP_SECONDS: u64 = 2;
/// An unbind must have returned within this.
const UNBIND_SECONDS_MAX: u64 = 5;
/// naio-remote's ports as `/proc/net/tcp` writes them.
const SOURCE_HEX: &str = "1389";
const SINK_HEX: &str = "138A";
/// The port of sync-services likewise.
const SERVICES_HEX: &str = "1392";

static GUESTS: Fleet = Fleet::new();

fn guests() -> impl Iterator<Item = &'static (&'static str, Outcome)> {
    let bind = format!("try bind bind {CARD} vfio-pci\n");
    let script = [
        prepare_two_cards(),
        bind,
        limits(),
        little_memory(),
        busy(),
        killed(),
        unbound(),
        flap(),
        vanishing(),
        "exit 0\n".into(),
    ];
    GUESTS.outcomes(&Machine::with_peer(Iommu::Translated), &script.concat())
}

fn sender(extra: &str) -> String {
    format!("naio-send --device vfio:{CARD} --address {HERE} --remote {SINK} --json {extra}")
}

/// Starts `command` in the background as `name` and waits until the peer has its connections.
fn begin(name: &str, command: &str, port: &str, connections: u32) -> String {
    format!(
        "begin {name} {BIG_STEP} {command}\n\
         until_true 20 connected {port} {connections} || echo no connection > /tmp/{name}.out\nsleep 0.5\n"
    )
}

fn limits() -> String {
    let steps = [
        ("rx-ring-small", naio_on_card(1, "--rx-ring 7")),
        ("rx-ring-large", naio_on_card(1, "--rx-ring 100000")),
        ("tx-ring-small", sender("--size 1MiB --tx-ring 3")),
        ("buffers-many", naio_on_card(1, "--buffers 5000")),
        ("buffer-empty", naio_on_card(1, "--buffer 0")),
        ("operations-none", naio_on_card(1, "--operations-max 0")),
        ("operations-few", sender("--size 1MiB --operations-max 24")),
        ("told-why", format!("env NAIO_LOG=debug {}", sender("--size 1MiB --operations-max 24"))),
        ("sockets-few", sender("--size 1MiB --sockets-max 4")),
    ];
    let mut script: String =
        steps.iter().map(|(name, command)| format!("step {name} 30 {command}\n")).collect();
    // Whatever was refused has left a card that works.
    script.push_str(&format!("step after-limits {BIG_STEP} {}\n", naio_on_card(1, "--sha256 --json")));
    script
}

/// An ordinary user has the card, and may lock less memory than naio needs.
fn little_memory() -> String {
    format!(
        "group=$(basename $(readlink /sys/bus/pci/devices/{CARD}/iommu_group))\n\
         chmod 600 /dev/vfio/$group\nchown user /dev/vfio/$group\n\
         step memlock 30 su user -c 'ulimit -l 64; {}'\n\
         chown root /dev/vfio/$group\n",
        naio_on_card(1, "")
    )
}

fn busy() -> String {
    let first = begin("first", &naio_on_card(ENDLESS_MIB, ""), SOURCE_HEX, 1);
    format!("{first}step second 30 {}\nkill -9 $BEGUN\nend first\n", naio_on_card(1, ""))
}

fn killed() -> String {
    let begun = begin("killed", &sender("--size 16GiB"), SINK_HEX, 10);
    let again = [naio_on_card(MIB, "--sha256 --json"), sender(&format!("--size {MIB}MiB --sha256"))];
    // The remote does not notice that nobody sends any more: a new one has no such connections.
    format!(
        "{begun}kill -9 $BEGUN\nend killed\nkill -9 $REMOTE_PID\ntry serve serve\n\
         step recv-again {BIG_STEP} {}\nstep send-again {BIG_STEP} {}\n",
        again[0], again[1]
    )
}

/// The card is taken away from a receiver, from a sender and from a server that nobody talks to.
fn unbound() -> String {
    let users = [
        ("unbound-recv", begin("unbound-recv", &naio_on_card(ENDLESS_MIB, ""), SOURCE_HEX, 1)),
        ("unbound-send", begin("unbound-send", &sender("--size 16GiB"), SINK_HEX, 10)),
        ("naio-echo", echo_server(1, 1)),
    ];
    let taken = users.map(|(name, begun)| {
        format!(
            "{begun}before=$(cut -d. -f1 /proc/uptime)\n\
             step unbind-{name} 30 sh -c 'echo {CARD} > /sys/bus/pci/drivers/vfio-pci/unbind'\n\
             value {name} $(($(cut -d. -f1 /proc/uptime) - before))\n\
             end {name}\n\
             try bind bind {CARD} vfio-pci\n"
        )
    });
    format!("{}step bound-again {BIG_STEP} {}\n", taken.concat(), naio_on_card(MIB, "--sha256 --json"))
}

fn flap() -> String {
    let transfers = [
        ("flap-recv", naio_on_card(FLAP_MIB, "--sha256 --json"), SOURCE_HEX, 1),
        ("flap-send", sender(&format!("--size {FLAP_MIB}MiB --sha256")), SINK_HEX, 10),
    ];
    transfers
        .map(|(name, command, port, connections)| {
            let begun = begin(name, &command, port, connections);
            format!(
                "{begun}monitor set_link n0 off\nsleep {FLAP_SECONDS}\n\
                 kill -0 $BEGUN && value {name} 1\n\
                 monitor set_link n0 on\nend {name}\n"
            )
        })
        .concat()
}

fn vanishing() -> String {
    let reset = begin("remote-killed", &sender("--size 16GiB"), SINK_HEX, 10);
    let ended = begin("source-killed", &naio_on_card(ENDLESS_MIB, ""), SOURCE_HEX, 1);
    let exercise = format!("naio-exercise --device vfio:{CARD} --peer {THERE_HOST} --only user-timeout");
    let timeout = begin("user-timeout", &exercise, SERVICES_HEX, 1);
    let silent = begin("peer-silent", &sender("--size 16GiB --silence 4"), SINK_HEX, 10);
    format!(
        "{reset}kill -9 $REMOTE_PID\nend remote-killed\ntry serve serve\n\
         {ended}kill -9 $REMOTE_PID\nend source-killed\ntry serve serve\n\
         try services services --address {THERE_HOST}\n\
         {timeout}in_peer ip link set $PEER_NIC down\nend user-timeout\n\
         in_peer ip link set $PEER_NIC up\n\
         until_true 20 in_peer sh -c \"ip link show $PEER_NIC | grep -q LOWER_UP\"\n\
         {silent}in_peer ip link set $PEER_NIC down\nend peer-silent\n"
    )
}

fn assert_error(step: &str, names: &[&str]) {
    for (_, outcome) in guests() {
        assert_clear_error(outcome, step, names);
    }
}

fn assert_right(step: &str) {
    for (_, outcome) in guests() {
        let report = assert_report(outcome, step);
        assert!(report.bytes > 0 && report.sha256_ok == Some(true), "{step}: {report:?}");
    }
}

#[test]
fn rings_and_pools_out_of_range_are_clear_errors() {
    assert_error("rx-ring-small", &["7", "80", "4096"]);
    assert_error("rx-ring-large", &["100000", "4096"]);
    assert_error("tx-ring-small", &["3", "4096"]);
    assert_error("buffers-many", &["--buffers", "4096"]);
    assert_error("buffer-empty", &["--buffer"]);
    assert_right("after-limits");
}

#[test]
fn too_few_sockets_or_operations_are_refused_by_the_name_of_the_limit() {
    assert_error("operations-none", &["completion_entries"]);
    assert_error("operations-few", &["24 operations"]);
    assert_error("sockets-few", &["all 4 sockets", "sockets_max"]);
    assert_right("after-limits");
}

#[test]
fn the_log_says_what_was_refused_and_only_if_it_is_asked() {
    for (_, outcome) in guests() {
        let logged = |step: &str| {
            let stderr = &outcome.results.step(step).unwrap_or_else(|e| panic!("{e}")).stderr;
            stderr.lines().any(|line| line.contains("DEBUG") && line.contains("refused: 24 operations"))
        };
        assert!(logged("told-why"), "{}", outcome.results.step("told-why").unwrap().stderr);
        assert!(!logged("operations-few"));
        let quiet = outcome.results.step("after-limits").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(quiet.stderr, "");
    }
}

#[test]
fn too_little_lockable_memory_is_a_clear_error() {
    assert_error("memlock", &["memlock"]);
}

#[test]
fn a_second_program_on_the_same_card_is_told_so() {
    assert_error("second", &["in use"]);
}

#[test]
fn a_killed_program_leaves_a_card_that_comes_back() {
    for (_, outcome) in guests() {
        assert_eq!(outcome.results.step("killed").unwrap().status, Some(137), "killed");
    }
    assert_right("recv-again");
    assert_right("send-again");
}

#[test]
fn an_unbind_in_use_ends_the_program_and_returns() {
    for name in ["unbound-recv", "unbound-send", "naio-echo"] {
        assert_error(name, &["card is gone"]);
        for (_, outcome) in guests() {
            assert_eq!(outcome.results.step(&format!("unbind-{name}")).unwrap().status, Some(0));
            let seconds = outcome.results.value(name).expect("measured");
            assert!(seconds <= UNBIND_SECONDS_MAX, "{name}: {seconds} s");
        }
    }
    assert_right("bound-again");
}

#[test]
fn a_pulled_cable_is_noted_and_the_transfer_goes_on() {
    for step in ["flap-recv", "flap-send"] {
        assert_right(step);
        for (_, outcome) in guests() {
            assert_eq!(outcome.results.value(step), Some(1), "{step} was over before the cable was pulled");
            let noted = &outcome.results.step(step).unwrap().stderr;
            assert!(noted.contains("link is down") && noted.contains("link is up"), "{step}: {noted}");
        }
    }
}

#[test]
fn a_peer_that_vanishes_ends_the_transfer_with_a_clear_error() {
    // A killed program's kernel resets the connection if bytes were left unread, and else ends it in order: which
    // of the two is a matter of the moment. Both are errors here that name the peer's end.
    for (step, in_order) in
        [("remote-killed", "the peer closed"), ("source-killed", "the remote ended after")]
    {
        assert_error(step, &[]);
        for (_, outcome) in guests() {
            let stderr = &outcome.results.step(step).unwrap_or_else(|e| panic!("{e}")).stderr;
            assert!(stderr.contains("the peer reset") || stderr.contains(in_order), "{step}: {stderr}");
        }
    }
    assert_error("peer-silent", &["nothing was heard from", "4 s"]);
}

#[test]
fn a_peer_that_falls_silent_is_given_up_in_the_time_of_the_socket() {
    for (_, outcome) in guests() {
        assert_exercised(outcome, "user-timeout", &["user-timeout", "nothing-left"]);
    }
}
