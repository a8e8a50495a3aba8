//! From the queue's counters to a report: what happened between the marks, and everything by name.

use crate::report::Report;
use aio_api::Counters;
use std::collections::BTreeMap;

/// Puts what happened between two snapshots into a report.
pub fn between(report: &mut Report, before: &Counters, after: &Counters) {
    let (was, is) = (&before.queue, &after.queue);
    report.segments = Some(after.stack.rx_tcp - before.stack.rx_tcp);
    report.turns = Some(is.turns - was.turns);
    report.empty_turns = Some(is.empty_turns - was.empty_turns);
    let turns = is.rx_turns - was.rx_turns;
    let frames = is.rx_frames - was.rx_frames;
    report.frames_per_turn = (turns > 0).then(|| frames as f64 / turns as f64);
}

/// Every counter of a whole run: what the peer sent must be found again in them.
#[must_use]
pub fn by_name(counters: &Counters) -> BTreeMap<String, u64> {
    let named = card(counters).into_iter().chain(stack(counters));
    named.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn card(counters: &Counters) -> Vec<(&'static str, u64)> {
    let (nic, queue) = (&counters.nic, &counters.queue);
    vec![
        ("rx_frames", nic.rx_frames),
        ("tx_frames", nic.tx_frames),
        ("rx_dropped_frame_errors", nic.rx_frame_errors),
        ("rx_dropped_length_errors", nic.rx_length_errors),
        ("rx_dropped_no_page", nic.rx_no_page),
        ("rx_dropped_hw_errors", nic.hw_rx_errors),
        ("rx_dropped_hw_length", nic.hw_rx_length_errors),
        ("tx_refused", nic.tx_refused),
        ("mpc", nic.hw_missed),
        ("rnbc", nic.hw_no_buffer),
        ("hw_rx_good", nic.hw_rx_good),
        ("hw_tx_good", nic.hw_tx_good),
        ("doorbells", nic.doorbells),
        ("operations", queue.submitted),
        ("completions", queue.completed),
        ("tx_deferred", queue.tx_deferred),
    ]
}

fn stack(counters: &Counters) -> Vec<(&'static str, u64)> {
    let stack = &counters.stack;
    vec![
        ("stack_frames", stack.frames),
        ("stack_accounted", stack.accounted()),
        ("stack_rx_arp", stack.rx_arp),
        ("stack_rx_icmp_echo", stack.rx_icmp_echo),
        ("stack_rx_tcp", stack.rx_tcp),
        ("stack_drop_ether_length", stack.drop_ether_length),
        ("stack_drop_ether_address", stack.drop_ether_address),
        ("stack_drop_ether_type", stack.drop_ether_type),
        ("stack_drop_arp_malformed", stack.drop_arp_malformed),
        ("stack_drop_arp_unasked", stack.drop_arp_unasked),
        ("stack_drop_arp_conflict", stack.drop_arp_conflict),
        ("stack_drop_ip_header", stack.drop_ip_header),
        ("stack_drop_ip_checksum", stack.drop_ip_checksum),
        ("stack_drop_ip_fragment", stack.drop_ip_fragment),
        ("stack_drop_ip_destination", stack.drop_ip_destination),
        ("stack_drop_ip_source", stack.drop_ip_source),
        ("stack_drop_ip_protocol", stack.drop_ip_protocol),
        ("stack_drop_icmp_malformed", stack.drop_icmp_malformed),
        ("stack_drop_icmp_type", stack.drop_icmp_type),
        ("stack_drop_icmp_limit", stack.drop_icmp_limit),
        ("stack_drop_tcp_header", stack.drop_tcp_header),
        ("stack_drop_tcp_checksum", stack.drop_tcp_checksum),
        ("stack_drop_tcp_unknown", stack.drop_tcp_unknown),
        ("stack_drop_tcp_backlog", stack.drop_tcp_backlog),
        ("stack_drop_tcp_sockets", stack.drop_tcp_sockets),
        ("stack_drop_tcp_beyond_ring", stack.drop_tcp_beyond_ring),
        ("stack_drop_tcp_simultaneous", stack.drop_tcp_simultaneous),
        ("stack_drop_tcp_early", stack.drop_tcp_early),
        ("stack_drop_tcp_repeated_ack", stack.drop_tcp_repeated_ack),
        ("stack_tx_packets", stack.tx_packets),
        ("stack_tx_reset", stack.tx_reset),
        ("stack_tx_reset_limited", stack.tx_reset_limited),
        ("stack_tx_arp_request", stack.tx_arp_request),
        ("stack_tx_replies_full", stack.tx_replies_full),
        ("stack_tx_no_page", stack.tx_no_page),
        ("stack_tx_unresolved", stack.tx_unresolved),
        ("stack_tx_too_long", stack.tx_too_long),
        ("stack_tx_strange_extent", stack.tx_strange_extent),
        ("stack_connects", stack.connects),
        ("stack_accepts", stack.accepts),
        ("stack_resets", stack.resets),
        ("stack_timeouts", stack.timeouts),
        ("stack_lingers_cut", stack.lingers_cut),
        ("stack_neighbors_evicted", stack.neighbors_evicted),
        ("stack_neighbors_contested", stack.neighbors_contested),
        ("stack_neighbors_failed", stack.neighbors_failed),
        ("stack_egress_bounded", stack.egress_bounded),
        ("stack_zero_window_repaired", stack.zero_window_repaired),
    ]
}
