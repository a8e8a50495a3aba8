//! Every verb and every protocol over each card model, from a Linux peer on a second card in the same guest: transfers,
//! several hundred connections, the examples, each exercise of `naio-exercise`, IPv6 by hand and by router, DHCP,
//! datagrams in fragments; and what naio does when it is short of pages.
#![forbid(unsafe_code)]

mod common;

use common::{
    BIG_STEP, Fleet, assert_clear_error, assert_exercised, assert_report, echo_steps, prepare_two_cards,
};
use naio_rig::arm::{Arm, CARD, HERE, HERE_HOST, REMOTE, SINK, THERE_HOST};
use naio_rig::qemu::{Iommu, Machine, Outcome};

/// Payload of each transfer.
const MIB: u64 = 4;
/// Connections of what sends.
const SOCKETS: u32 = 10;
/// Connections that are there at the same time, and those that come and go meanwhile.
const HELD: u64 = 300;
const CHURN: u64 = 20;
/// Our IPv6 address and the peer's, in one network, which the peer advertises as well.
const HERE6: &str = "fd00:9::2";
const THERE6: &str = "fd00:9::1";
const NETWORK6: &str = "fd00:9::";
/// The peer has these, too, in networks that lie behind it.
const BEHIND: &str = "10.77.0.1";
const BEHIND6: &str = "fd00:77::1";
/// The peer forwards, and knows that these cannot be reached.
const NOWHERE: &str = "10.66.0.0/16";
/// What the peer's DHCP server has to give, and nobody else uses.
const LEASED: &str = "10.9.0.77";
/// How long naio keeps polling after the transfer, so that the peer's pings end first.
const LINGER_SECONDS: u64 = 5;
/// How many pings, the first of which looks for our station address.
const PINGS: u32 = 3;
/// Datagrams of these sizes: whole, one byte too long for an MTU of 1500, and in two to six pieces.
const SIZES: [u64; 6] = [1, 1472, 1473, 2960, 5000, 8000];
const DATAGRAMS: u64 = 12;
/// Receive pages beyond the ring, and transmit pages: as few as there may be.
const RX_SPARE: u32 = 8;
const TX_PAGES: u32 = 4;

static GUESTS: Fleet = Fleet::new();

fn guests() -> impl Iterator<Item = &'static (&'static str, Outcome)> {
    let script = [
        prepare(),
        transfers(),
        echo_steps(HELD, CHURN, 1),
        examples(),
        exercise(),
        ipv6(),
        datagrams(),
        short_of_pages(),
        dhcp(),
    ];
    let machine = Machine { ipv6: true, ..Machine::with_peer(Iommu::Translated) };
    GUESTS.outcomes(&machine, &script.concat())
}

/// As for the other tests, but the peer has IPv6 addresses, networks behind it, and every service.
fn prepare() -> String {
    let prepare = prepare_two_cards();
    let both = prepare.replace("try serve serve\n", "try serve serve --listen ::\n");
    format!(
        "{both}try ipv6 in_peer ip -6 addr add {THERE6}/64 dev $PEER_NIC\n\
         try behind in_peer ip addr add {BEHIND}/32 dev lo\n\
         try behind6 in_peer ip -6 addr add {BEHIND6}/128 dev lo\n\
         try forwarding in_peer sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'\n\
         try nowhere in_peer ip route add unreachable {NOWHERE}\n\
         try services services --address {THERE_HOST} --interface $PEER_NIC --advertise {NETWORK6}\n\
         try bind bind {CARD} vfio-pci\n"
    )
}

fn transfers() -> String {
    let arms = [Arm::NaioRecv, Arm::NaioSend, Arm::NaioSendfile];
    arms.map(|arm| format!("step {} {BIG_STEP} {}\n", arm.name(), arm.command(MIB, SOCKETS, true))).concat()
}

/// The examples of `aio-api`, each against a program of busybox or ours.
fn examples() -> String {
    let card = format!("vfio:{CARD} {HERE}");
    format!(
        "begin example-server 60 example-server {card} 7\n\
         step to-server 30 sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do \
         echo hello | nsenter -t '$PEER_PID' -n nc -w 5 {HERE_HOST} 7 && exit; sleep 1; done; exit 1'\n\
         kill -9 $BEGUN\nend example-server\n\
         nsenter -t $PEER_PID -n nc -ll -p 7 -e cat &\n\
         step example-client 30 example-client {card} {THERE_HOST}:7 'hello there'\n\
         kill -9 $!\n"
    )
}

fn exercise() -> String {
    format!(
        "step exercise {BIG_STEP} naio-exercise --device vfio:{CARD} --address {HERE} --peer {THERE_HOST} \
         --ipv6 {HERE6}/64 --peer6 {THERE6}\n\
         step services 10 cat /tmp/services.log\n"
    )
}

/// With an address given by hand from a neighbour, with one that a router has us form from a host behind that router.
fn ipv6() -> String {
    let recv = |choice: &str, remote: &str| {
        format!(
            "naio-recv --device vfio:{CARD} --address {HERE} --ipv6 {choice} --remote [{remote}]:5001 --size {MIB}MiB \
             --sha256 --json --linger {LINGER_SECONDS}"
        )
    };
    let steps = [("ipv6", recv(&format!("{HERE6}/64"), THERE6)), ("slaac", recv("auto", BEHIND6))];
    steps
        .map(|(name, naio)| {
            format!(
                "begin {name}-recv {BIG_STEP} {naio}\n\
                 until_true 20 grep -q address /tmp/{name}-recv.err\n\
                 step {name}-ping {BIG_STEP} nsenter -t $PEER_PID -n ping6 -c {PINGS} -i 1 -W 20 \
                 $(sed -n 's/^note: the address is //p' /tmp/{name}-recv.err)\n\
                 end {name}-recv\n"
            )
        })
        .concat()
}

fn datagrams() -> String {
    let sizes = SIZES.map(|size| size.to_string()).join(",");
    format!(
        "begin example-udp 60 example-udp vfio:{CARD} {HERE} 7\n\
         until_true 20 grep -q listening /tmp/example-udp.out\n\
         step fragments {BIG_STEP} nsenter -t $PEER_PID -n sync-echo --remote {HERE_HOST}:7 --held 0 --churn 0 \
         --bulk 0 --datagrams {DATAGRAMS} --datagram-sizes {sizes} --json\n\
         kill -9 $BEGUN\nend example-udp\n"
    )
}

fn short_of_pages() -> String {
    let card = format!("--device vfio:{CARD} --address {HERE} --size {MIB}MiB --sha256 --json");
    format!(
        "step few-tx-pages {BIG_STEP} naio-send {card} --remote {SINK} --tx-pages {TX_PAGES}\n\
         step few-rx-pages {BIG_STEP} naio-recv {card} --remote {REMOTE} --rx-spare {RX_SPARE} --ring 4MiB --linger 1\n"
    )
}

/// First without a server, which must end with advice; then busybox's gives the only address it has.
fn dhcp() -> String {
    let naio =
        format!("naio-recv --device vfio:{CARD} --dhcp --remote {REMOTE} --size {MIB}MiB --sha256 --json");
    format!(
        "step no-dhcp-server {BIG_STEP} {naio}\n\
         printf 'start {LEASED}\\nend {LEASED}\\ninterface %s\\nmax_leases 1\\nlease_file /tmp/leases\\n\
         pidfile /tmp/udhcpd.pid\\noption subnet 255.255.255.0\\noption lease 600\\n' $PEER_NIC > /tmp/udhcpd.conf\n\
         touch /tmp/leases\n\
         nsenter -t $PEER_PID -n udhcpd -f /tmp/udhcpd.conf > /tmp/udhcpd.log 2>&1 &\n\
         server=$!\n\
         step dhcp-recv {BIG_STEP} {naio} --linger 1\n\
         kill $server\n\
         step udhcpd 10 cat /tmp/udhcpd.log\n\
         exit 0\n"
    )
}

fn assert_right(outcome: &Outcome, step: &str) {
    let report = assert_report(outcome, step);
    assert_eq!((report.bytes, report.sha256_ok), (MIB << 20, Some(true)), "{step}");
}

/// Asserts that these exercises went well with every card.
fn assert_done(names: &[&str]) {
    for (_, outcome) in guests() {
        assert_exercised(outcome, "exercise", names);
    }
}

#[test]
fn every_card_receives_sends_and_sends_files() {
    for (_, outcome) in guests() {
        for arm in [Arm::NaioRecv, Arm::NaioSend, Arm::NaioSendfile] {
            assert_right(outcome, arm.name());
        }
    }
}

#[test]
fn hundreds_of_connections_are_held_and_served() {
    for (_, outcome) in guests() {
        let (client, server) = (assert_report(outcome, "sync-echo"), assert_report(outcome, "naio-echo"));
        assert!(client.bytes > 1 << 20 && client.bytes == server.bytes, "{client:?} {server:?}");
        assert_eq!(server.counters["stack_accepts"], HELD + CHURN + 1);
    }
}

#[test]
fn the_examples_work() {
    for (_, outcome) in guests() {
        let client = outcome.results.step("example-client").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((client.stdout.as_str(), client.status), ("hello there\n", Some(0)), "{}", client.stderr);
        let answered = outcome.results.step("to-server").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(answered.stdout, "hello\n", "{}", answered.stderr);
    }
}

#[test]
fn streams_keep_their_order_whatever_the_verb_and_the_options() {
    assert_done(&["order", "vectors", "sendfile", "options", "info", "keep-alive", "cancel"]);
}

#[test]
fn connections_end_as_either_side_wants() {
    assert_done(&["half-close-here", "half-close-there", "refused", "reset", "abort", "linger"]);
}

#[test]
fn a_peer_that_comes_back_from_the_same_port_is_let_in() {
    assert_done(&["time-wait"]);
}

#[test]
fn peers_beyond_the_backlog_come_again_and_are_served() {
    assert_done(&["backlog"]);
}

#[test]
fn datagrams_and_the_errors_about_them_come_to_their_socket() {
    assert_done(&["datagrams", "truncated", "closed-port"]);
}

#[test]
fn names_become_addresses_or_a_reason_why_not() {
    assert_done(&["names"]);
}

#[test]
fn groups_are_joined_for_all_to_see_and_pass_the_cards_filter() {
    assert_done(&["groups"]);
    for (_, outcome) in guests() {
        let seen = &outcome.results.step("services").unwrap_or_else(|e| panic!("{e}")).stdout;
        for line in ["joined 239.9.9.9", "left 239.9.9.9", "joined ff05::9:9", "left ff05::9:9"] {
            assert!(seen.lines().any(|seen| seen == line), "the peer did not see `{line}`: {seen}");
        }
    }
}

#[test]
fn packets_go_by_way_of_routers_and_their_errors_come_back() {
    assert_done(&["routes", "unreachable"]);
}

#[test]
fn time_and_the_link_are_told() {
    assert_done(&["timeouts", "periods", "link"]);
}

#[test]
fn limits_are_refused_by_name_and_nothing_is_left_behind() {
    assert_done(&["sockets-limit", "operations-limit", "nothing-left"]);
}

#[test]
fn naio_receives_over_ipv6_right_and_answers_pings_meanwhile() {
    for (_, outcome) in guests() {
        for name in ["ipv6", "slaac"] {
            assert_right(outcome, &format!("{name}-recv"));
            let ping = outcome.results.step(&format!("{name}-ping")).unwrap_or_else(|e| panic!("{e}"));
            // Status 0: at least one answer came back. The hub drops what comes while the receive ring is full.
            assert_eq!(ping.status, Some(0), "{name}: {}{}", ping.stdout, ping.stderr);
        }
    }
}

#[test]
fn an_address_is_formed_from_what_a_router_advertises() {
    for (_, outcome) in guests() {
        let step = outcome.results.step("slaac-recv").unwrap_or_else(|e| panic!("{e}"));
        let formed = step.stderr.lines().find_map(|line| line.strip_prefix("note: the address is "));
        let formed = formed.unwrap_or_else(|| panic!("no address: {}", step.stderr));
        assert!(formed.starts_with(NETWORK6) || formed.starts_with("fd00:9:0:0:"), "{formed}");
        assert_ne!(formed, HERE6);
    }
}

#[test]
fn datagrams_in_fragments_come_back_whole() {
    for (_, outcome) in guests() {
        let each: u64 = SIZES.iter().sum();
        assert_eq!(assert_report(outcome, "fragments").bytes, each * DATAGRAMS / SIZES.len() as u64);
    }
}

#[test]
fn few_transmit_pages_slow_a_sender_but_lose_nothing() {
    for (_, outcome) in guests() {
        assert_right(outcome, "few-tx-pages");
    }
}

#[test]
fn few_receive_pages_lose_frames_that_are_counted_and_sent_again() {
    for (_, outcome) in guests() {
        assert_right(outcome, "few-rx-pages");
        let counters = assert_report(outcome, "few-rx-pages").counters;
        let count =
            |name: &str| *counters.get(name).unwrap_or_else(|| panic!("no counter {name}: {counters:?}"));
        let dropped =
            ["rx_dropped_no_page", "rx_dropped_frame_errors", "rx_dropped_length_errors"].map(count);
        // What the card wrote into memory went up, or is in a counter that says why not.
        assert_eq!(count("hw_rx_good"), count("rx_frames") + dropped.iter().sum::<u64>(), "{counters:?}");
        assert_eq!(count("stack_accounted"), count("rx_frames"), "{counters:?}");
        assert!(count("rx_dropped_no_page") > 0, "no page was ever short: {counters:?}");
    }
}

#[test]
fn the_address_comes_by_dhcp() {
    for (_, outcome) in guests() {
        assert_right(outcome, "dhcp-recv");
        let step = outcome.results.step("dhcp-recv").unwrap_or_else(|e| panic!("{e}"));
        assert!(step.stderr.contains(LEASED), "{}", step.stderr);
    }
}

#[test]
fn a_network_without_a_dhcp_server_is_a_clear_error() {
    for (_, outcome) in guests() {
        assert_clear_error(outcome, "no-dhcp-server", &["DHCP"]);
    }
}
