//! What the tables of all comparisons share: a row for each run, then one of medians for each kind of run.
//!
//! Receives records that know their [`Row`]; hands on text and medians. What a column means it never knows.

use core::fmt::Write as _;

/// A record that has a row in a table.
pub(crate) trait Row: Clone {
    /// Runs of one kind are repetitions of each other.
    type Kind: Copy + PartialEq;

    fn kind(&self) -> Self::Kind;

    /// Round, from 1.
    fn run(&self) -> u32;

    /// What medians are taken of: as many, in the same order, for all runs of a kind.
    fn figures(&mut self) -> Vec<&mut f64>;

    /// The columns behind the first one, which names the run.
    fn cells(&self) -> String;
}

/// A row for each record in its order, then the medians of each kind.
pub(crate) fn rows<R: Row>(out: &mut String, records: &[R]) {
    let runs = records.iter().map(|record| (record.run().to_string(), record.cells()));
    let medians = kinds(records).into_iter().filter_map(|kind| median_of(records, kind));
    for (name, cells) in runs.chain(medians.map(|record| ("median".to_owned(), record.cells()))) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<6} {cells}");
    }
}

/// Each kind once, in order of first appearance.
pub(crate) fn kinds<R: Row>(records: &[R]) -> Vec<R::Kind> {
    let mut kinds = Vec::new();
    for record in records {
        if !kinds.contains(&record.kind()) {
            kinds.push(record.kind());
        }
    }
    kinds
}

/// A record with each figure's median over the runs of one kind, if there are any. The rest is the first one's.
pub(crate) fn median_of<R: Row>(records: &[R], kind: R::Kind) -> Option<R> {
    let mut runs: Vec<R> = records.iter().filter(|record| record.kind() == kind).cloned().collect();
    let mut result = runs.first()?.clone();
    let runs: Vec<Vec<&mut f64>> = runs.iter_mut().map(Row::figures).collect();
    for (column, figure) in result.figures().into_iter().enumerate() {
        let values = runs.iter().filter_map(|run| run.get(column)).map(|value| **value);
        *figure = median(values.collect()).unwrap_or(*figure);
    }
    Some(result)
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(values[low], values[high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_in_between() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![7.0]), Some(7.0));
        assert_eq!(median(vec![]), None);
    }
}
