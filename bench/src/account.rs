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
    let card = card(counters).into_iter().map(|(name, value)| (name.to_owned(), value));
    let stack = counters.stack.by_name().into_iter().map(|(name, value)| (format!("stack_{name}"), value));
    let accounted = ("stack_accounted".to_owned(), counters.stack.accounted());
    card.chain(stack).chain([accounted]).collect()
}

fn card(counters: &Counters) -> Vec<(&'static str, u64)> {
    let (nic, queue, files) = (&counters.nic, &counters.queue, &counters.files);
    vec![
        ("rx_frames", nic.rx_frames),
        ("tx_frames", nic.tx_frames),
        ("rx_dropped_frame_errors", nic.rx_frame_errors),
        ("rx_dropped_length_errors", nic.rx_length_errors),
        ("rx_dropped_no_page", nic.rx_no_page),
        ("rx_dropped_reset", nic.rx_reset),
        ("rx_dropped_hw_errors", nic.hw_rx_errors),
        ("rx_dropped_hw_length", nic.hw_rx_length_errors),
        ("tx_refused", nic.tx_refused),
        ("tx_cut_by_card", nic.tx_cut_by_card),
        ("tx_cut_by_driver", nic.tx_cut_by_driver),
        ("mpc", nic.hw_missed),
        ("rnbc", nic.hw_no_buffer),
        ("hw_rx_good", nic.hw_rx_good),
        ("hw_tx_good", nic.hw_tx_good),
        ("doorbells", nic.doorbells),
        ("operations", queue.submitted),
        ("completions", queue.completed),
        ("tx_deferred", queue.tx_deferred),
        ("file_windows_mapped", files.mapped),
        ("file_windows_shared", files.shared),
        ("file_windows_refused", files.refused),
        ("file_pinned_bytes", files.pinned_bytes),
        ("file_copied_bytes", files.copied_bytes),
        ("file_worker_cpu_us", files.worker_cpu_us),
    ]
}
