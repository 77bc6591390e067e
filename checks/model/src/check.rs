//! Runs a model to its end.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::actions::Protocol;
use crate::outcomes::{Reached, Tally};
use crate::{Action, Bounds};

/// A way to break a promise.
#[derive(Debug)]
pub struct Counterexample {
    /// The promise.
    pub promise: &'static str,
    /// The steps that break it. With several threads, not always the fewest.
    pub actions: Vec<Action>,
}

/// Visits every state within `bounds`, and prints how many there are.
///
/// # Panics
///
/// If a promise is broken, with a way there; or if one of `reached` was never reached.
pub fn exhaust(bounds: Bounds, reached: &[Reached]) {
    let name = bounds.name;
    println!("{bounds:?}");
    let (found, tally) = run(bounds, HasDiscoveries::AnyFailures);
    if let Some(Counterexample { promise, actions }) = found {
        let steps: Vec<String> = actions.iter().map(|action| format!("  {action:?}")).collect();
        panic!("{name}: {promise}: not so after\n{}", steps.join("\n"));
    }
    for (outcome, count) in tally.counted() {
        println!("  {outcome:?}: {count}");
    }
    for outcome in reached {
        assert!(
            tally.of(*outcome) > 0,
            "{name}: {outcome:?} never comes about, so the model proves little"
        );
    }
}

/// Looks for a state that breaks a promise, to show that the model can find one.
pub fn find_counterexample(bounds: Bounds) -> Option<Counterexample> {
    println!("{bounds:?}");
    run(bounds, HasDiscoveries::AnyFailures).0
}

fn run(bounds: Bounds, until: HasDiscoveries) -> (Option<Counterexample>, Arc<Tally>) {
    let began = Instant::now();
    let name = bounds.name;
    let tally = Arc::new(Tally::default());
    let protocol = Protocol {
        bounds,
        tally: Arc::clone(&tally),
    };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // No limit on states, depth or time: it ends when there is nothing left to visit.
    let checker = protocol
        .checker()
        .threads(threads)
        .finish_when(until)
        .spawn_bfs()
        .join();
    // Several may have been found by the time that the threads stop. The one with the shortest way is the cause of the
    // others.
    let found = checker
        .discoveries()
        .into_iter()
        .map(|(promise, path)| Counterexample {
            promise,
            actions: path.into_actions(),
        })
        .min_by_key(|found| found.actions.len());
    println!(
        "{name}: {} unique states, {} transitions, depth {}, {:.1} s, {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
        if found.is_some() {
            "a promise broken"
        } else {
            "exhausted"
        },
    );
    assert!(found.is_some() || checker.is_done(), "{name}: cut off");
    (found, tally)
}
