//! What a network offers beside TCP over IPv4, from a Linux peer on a second card in the same guest: IPv6, DHCP,
//! datagrams in fragments; and what naio does when it is short of pages.
#![forbid(unsafe_code)]

mod common;

use common::{BIG_STEP, Rig, Shared, assert_clear_error, assert_report, prepare_two_cards};
use naio_rig::arm::{CARD, HERE, HERE_HOST, REMOTE, SINK};
use naio_rig::qemu::{Iommu, Machine, Outcome};

/// Payload of each transfer.
const MIB: u64 = 8;
/// Our IPv6 address and the peer's, in one network.
const HERE6: &str = "fd00:9::2";
const THERE6: &str = "fd00:9::1";
/// What the peer's DHCP server has to give, and nobody else uses.
const LEASED: &str = "10.9.0.77";
/// How long naio keeps polling after the transfer, so that the peer's pings end first.
const LINGER_SECONDS: u64 = 8;
/// How many pings, the first of which looks for our station address.
const PINGS: u32 = 5;
/// Datagrams of these sizes: whole, one byte too long for an MTU of 1500, and in two to six pieces.
const SIZES: [u64; 6] = [1, 1472, 1473, 2960, 5000, 8000];
const DATAGRAMS: u64 = 12;
/// Receive pages beyond the ring, and transmit pages: as few as there may be.
const RX_SPARE: u32 = 8;
const TX_PAGES: u32 = 4;

static GUEST: Shared<Outcome> = Shared::new();

fn guest() -> Option<&'static Outcome> {
    GUEST.outcome(|| {
        let script = [prepare(), ipv6(), datagrams(), short_of_pages(), dhcp()].concat();
        let machine = Machine { ipv6: true, ..Machine::with_peer(Iommu::Translated) };
        Rig::ready().boot(&machine, &script)
    })
}

/// As for the other tests, but the peer has an IPv6 address and serves at it as well.
fn prepare() -> String {
    let prepare = prepare_two_cards();
    let both = prepare.replace("try serve serve\n", "try serve serve --listen ::\n");
    format!(
        "{both}try ipv6 in_peer ip -6 addr add {THERE6}/64 dev $PEER_NIC\ntry bind bind {CARD} vfio-pci\n"
    )
}

fn ipv6() -> String {
    let naio = format!(
        "naio-recv --device vfio:{CARD} --address {HERE} --ipv6 {HERE6}/64 --remote [{THERE6}]:5001 --size {MIB}MiB \
         --sha256 --json --linger {LINGER_SECONDS}"
    );
    format!(
        "begin ipv6-recv {BIG_STEP} {naio}\n\
         until_true 20 grep -q address /tmp/ipv6-recv.err\n\
         step ping6 {BIG_STEP} nsenter -t $PEER_PID -n ping6 -c {PINGS} -i 1 -W 20 {HERE6}\n\
         end ipv6-recv\n"
    )
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

#[test]
fn naio_receives_over_ipv6_right_and_answers_pings_meanwhile() {
    let Some(outcome) = guest() else { return };
    assert_right(outcome, "ipv6-recv");
    let ping = outcome.results.step("ping6").unwrap_or_else(|e| panic!("{e}"));
    // Status 0: at least one answer came back. The hub drops what comes while the receive ring is full.
    assert_eq!(ping.status, Some(0), "{}{}", ping.stdout, ping.stderr);
}

#[test]
fn datagrams_in_fragments_come_back_whole() {
    let Some(outcome) = guest() else { return };
    let each: u64 = SIZES.iter().sum();
    assert_eq!(assert_report(outcome, "fragments").bytes, each * DATAGRAMS / SIZES.len() as u64);
}

#[test]
fn few_transmit_pages_slow_a_sender_but_lose_nothing() {
    let Some(outcome) = guest() else { return };
    assert_right(outcome, "few-tx-pages");
}

#[test]
fn few_receive_pages_lose_frames_that_are_counted_and_sent_again() {
    let Some(outcome) = guest() else { return };
    assert_right(outcome, "few-rx-pages");
    let counters = assert_report(outcome, "few-rx-pages").counters;
    let count = |name: &str| *counters.get(name).unwrap_or_else(|| panic!("no counter {name}: {counters:?}"));
    let dropped = ["rx_dropped_no_page", "rx_dropped_frame_errors", "rx_dropped_length_errors"].map(count);
    // What the card wrote into memory went up, or is in a counter that says why not.
    assert_eq!(count("hw_rx_good"), count("rx_frames") + dropped.iter().sum::<u64>(), "{counters:?}");
    assert_eq!(count("stack_accounted"), count("rx_frames"), "{counters:?}");
    assert!(count("rx_dropped_no_page") > 0, "no page was ever short: {counters:?}");
}

#[test]
fn the_address_comes_by_dhcp() {
    let Some(outcome) = guest() else { return };
    assert_right(outcome, "dhcp-recv");
    let step = outcome.results.step("dhcp-recv").unwrap_or_else(|e| panic!("{e}"));
    assert!(step.stderr.contains(LEASED), "{}", step.stderr);
}

#[test]
fn a_network_without_a_dhcp_server_is_a_clear_error() {
    let Some(outcome) = guest() else { return };
    assert_clear_error(outcome, "no-dhcp-server", &["DHCP"]);
}
