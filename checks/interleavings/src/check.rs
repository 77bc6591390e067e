//! The orders in which a scenario runs.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// The same seed for each run, so that a fault that is found once is found again.
const SEED: u64 = 7;

/// How many orders are tried of each kind.
const ORDERS: usize = 2000;

/// How many interruptions, each at one exact step, a fault may need that is sure to be found in the long run.
const DEPTH: usize = 3;

/// More steps than any scenario takes. A scenario that does not end fails here.
const MOST_STEPS: usize = 20_000;

/// Runs a scenario in many orders of its threads' steps: first at random, where each thread is as likely to go on as
/// any other, then with some threads preferred until they are interrupted, which finds faults that need a thread to be
/// stopped for long.
pub fn check(scenario: fn()) {
    run(RandomScheduler::new_from_seed(SEED, ORDERS), scenario);
    run(PctScheduler::new_from_seed(SEED, DEPTH, ORDERS), scenario);
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scenario);
}
