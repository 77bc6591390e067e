//! Rates, quartiles and intervals from measurements.
//!
//! Machines are noisy, so nothing is compared between runs, nor between one minute and the next: contestants take turns in
//! short rounds, each round gives one ratio to the yardstick's turn beside it, and the median of the ratios counts.

use std::time::Duration;

/// The results of `turn(contestant)`, by round and contestant. Each round begins with another contestant, so that none
/// always runs right after the same one. A first round warms up, and is not counted.
pub(crate) fn rounds<T>(rounds: usize, contestants: usize, mut turn: impl FnMut(usize) -> T) -> Vec<Vec<T>> {
    let mut round = |number: usize| {
        let mut turns: Vec<(usize, T)> = (0..contestants)
            .map(|place| (place + number) % contestants)
            .map(|contestant| (contestant, turn(contestant)))
            .collect();
        turns.sort_by_key(|(contestant, _)| *contestant);
        turns.into_iter().map(|(_, gave)| gave).collect()
    };
    drop::<Vec<T>>(round(0));
    (0..rounds).map(round).collect()
}

/// The quartiles of the measured values.
pub(crate) fn quartiles(values: impl IntoIterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values.get(values.len() * quarter / 4).copied().unwrap_or(f64::NAN))
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quartiles(values)[1]
}

/// An interval that holds the true median with a certainty of 95 %, as long as the values are independent of each other,
/// whatever their distribution.
pub(crate) fn median_interval(values: impl IntoIterator<Item = f64>) -> [f64; 2] {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    // How many of n values lie below the true median is binomial: n/2, give or take 1.96 standard deviations of √n/2.
    let below = (values.len() / 2).saturating_sub(values.len().isqrt() + 1);
    let at = |index: Option<usize>| index.and_then(|index| values.get(index)).copied().unwrap_or(f64::NAN);
    [at(Some(below)), at(values.len().checked_sub(below + 1))]
}

/// The value below which `share` of the values lie, which are in order.
pub(crate) fn quantile(ordered: &[u64], share: f64) -> f64 {
    let below = ordered
        .iter()
        .zip(1..)
        .find(|(_, place)| number::<u64>(*place) > number(ordered.len()) * share);
    let found = below.map(|(value, _)| value).or(ordered.last());
    found.map_or(f64::NAN, |value| number(*value))
}

/// Jain's index of fairness: 1 where all have the same, 1/n where one of n has all.
pub(crate) fn jain(shares: impl IntoIterator<Item = f64>) -> f64 {
    let (count, sum, squares) = shares
        .into_iter()
        .fold((0.0, 0.0, 0.0), |(count, sum, squares), share| {
            (count + 1.0, sum + share, squares + share * share)
        });
    sum * sum / (count * squares)
}

/// How many in a second.
pub(crate) fn rate<N: TryInto<u64>>(count: N, took: Duration) -> f64 {
    number(count) / took.as_secs_f64()
}

/// A count to calculate with.
#[allow(
    clippy::cast_precision_loss,
    reason = "nothing that is counted here comes near 2^53, where it would begin to round"
)]
pub(crate) fn number<N: TryInto<u64>>(count: N) -> f64 {
    count.try_into().map_or(f64::NAN, |count: u64| count as f64)
}

#[cfg(test)]
mod tests {
    use super::{jain, median_interval, quantile, quartiles, rounds};

    #[test]
    fn each_contestant_has_one_turn_in_each_round_and_another_begins_each() {
        let mut order = Vec::new();
        let gave = rounds(2, 3, |contestant| {
            order.push(contestant);
            contestant
        });
        assert_eq!(gave, [[0, 1, 2], [0, 1, 2]]);
        assert_eq!(order, [0, 1, 2, 0, 1, 2, 1, 2, 0]);
    }

    #[test]
    fn fairness_is_one_for_equals_and_one_over_n_for_one_that_has_all() {
        assert_eq!(format!("{:.3}", jain([5.0, 5.0, 5.0, 5.0])), "1.000");
        assert_eq!(format!("{:.3}", jain([20.0, 0.0, 0.0, 0.0])), "0.250");
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(
            quartiles([4.0, 1.0, 3.0, 2.0]).map(|value| value.to_string()),
            ["2", "3", "4"]
        );
        assert_eq!(quantile(&[1, 2, 3, 4], 0.5).to_string(), "3");
        assert_eq!(quantile(&[1, 2, 3, 4], 1.0).to_string(), "4");
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn the_interval_of_the_median_has_the_ranks_of_the_binomial_distribution() {
        let of = |count: u32| median_interval((1..=count).rev().map(f64::from)).map(|value| value.to_string());
        assert_eq!(of(20), ["6", "15"]);
        assert_eq!(of(100), ["40", "61"]);
        assert_eq!(of(3), ["1", "3"]);
        assert_eq!(of(1), ["1", "1"]);
        assert!(median_interval([]).iter().all(|end| end.is_nan()));
    }
}
