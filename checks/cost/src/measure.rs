//! Medians from measurements.
//!
//! Machines are noisy, so nothing is compared between one minute and the next: the contestants take turns in short rounds,
//! and the medians of the same rounds are compared.

/// The median of `turn(contestant)` for each contestant, over so many rounds. Each round begins with another contestant, so
/// that none always runs right after the same one. One more round before them warms up.
pub(crate) fn medians<const N: usize>(rounds: usize, mut turn: impl FnMut(usize) -> f64) -> [f64; N] {
    let mut gave = [const { Vec::new() }; N];
    for round in 0..=rounds {
        for place in 0..N {
            let contestant = (place + round) % N;
            let took = turn(contestant);
            if round > 0 {
                gave[contestant].push(took);
            }
        }
    }
    gave.map(median)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::medians;

    #[test]
    fn each_contestant_has_a_turn_in_each_round_and_the_first_is_not_counted() {
        let mut order = Vec::new();
        let medians: [f64; 2] = medians(3, |contestant| {
            order.push(contestant);
            if order.len() <= 2 {
                1000.0
            } else {
                f64::from(u8::try_from(order.len()).unwrap_or(0))
            }
        });
        assert_eq!(order, [0, 1, 1, 0, 0, 1, 1, 0]);
        assert_eq!(medians.map(|median| median.to_string()), ["5", "6"]);
    }
}
