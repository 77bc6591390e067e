//! In which orders a scenario runs.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// The same in each run, so that a fault that is found once is found again.
const SEED: u64 = 7;

/// How many orders are tried of each kind.
const ORDERS: usize = 2000;

/// How many threads must be interrupted at just the right step for a fault that is sure to be found in the long run.
const DEPTH: usize = 3;

/// Longer than any scenario: one that goes on for ever ends here.
const MOST_STEPS: usize = 20_000;

/// Runs a scenario in many orders of its threads' steps: at random, where each thread is as likely to go on as any other,
/// and with some threads preferred until they are interrupted, which finds what needs a thread to be stopped for long.
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
