//! What a model may do: how many contenders there are, how far time goes, and how much may go wrong.

use std::time::Duration;

use memlock_runtime::__internals::Now;

/// The bounds of one model. Every number is a budget: the checker tries all ways of spending it, or less.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, and a test names those that it turns"
)]
pub struct Bounds {
    /// The model's name, for its report.
    pub name: &'static str,
    /// How often each contender may ask for the lock. There are as many contenders as numbers.
    pub attempts: Vec<u8>,
    /// How many steps of time must be over before each contender asks for the first time. Those without an entry may
    /// ask at once.
    pub begins_after: Vec<usize>,
    /// How often each may renew the lock, over all its grants. Those without an entry: never.
    pub renewals: Vec<u8>,
    /// The process that each contender is a thread of. Those without an entry have one of their own.
    pub processes: Vec<usize>,
    /// How often each may enter again while it holds the lock, over all its grants. Those without an entry: never.
    pub reentries: Vec<u8>,
    /// How often each may reserve the lock for a retry instead of giving it up, over all its grants. Those without an
    /// entry: never.
    pub reserves: Vec<u8>,
    /// For how long the lock is reserved.
    pub reserve: Duration,
    /// For how long the retry asks for it. `None`: as long as its contender did.
    pub claims_for: Option<Duration>,
    /// How often a process may end if its only contender has reserved the lock.
    pub deaths: u8,
    /// How often each grant has been handed over, and come back, by the time that its contender has it.
    pub handed_over_before: u32,
    /// How often a contender that waits for its turn may leave instead.
    pub leaves: u8,
    /// How long a holder may believe in a grant.
    pub lease: Duration,
    /// The same for some of the contenders. Those without an entry have `lease`.
    pub timeouts: Vec<Duration>,
    /// The steps by which time jumps, one after another. After the last, time ends.
    pub steps: Vec<Duration>,
    /// By how many parts in a million each contender's clocks are fast. Those without an entry are right.
    pub skew: Vec<i32>,
    /// The same for the clock that is not slewed. Without an entry it runs as the others do.
    pub raw_skew: Vec<i32>,
    /// Whether the commands of a batch are executed at once. Other models have other commands in between.
    pub whole_batches: bool,
    /// Whether a store's data may arrive later than its line. Its CAS is drawn when the line is parsed.
    pub late_data: bool,
    /// How many replies may get lost, whether the request is executed before, later or never.
    pub lost: u8,
    /// Whether only renewals are lost.
    pub loses_only_renewals: bool,
    /// How many exchanges may not be sent.
    pub unsent: u8,
    /// How many exchanges may be executed twice.
    pub repeated: u8,
    /// Whether the keeper cleans up after writes without a reply, beside whatever its process does.
    pub keeper: bool,
    /// How often the server may be stopped. Its clock stands still, and goes on some commands later than the server.
    pub stops: u8,
    /// Whether the server's clock may be a tick late.
    pub late_ticks: bool,
    /// How old the second is that the server's clock shows in the beginning. On a healthy server, less than two
    /// seconds.
    pub first_second_is_old: Duration,
    /// Whether each process has read the server's clock when the model begins.
    pub has_baseline: bool,
    /// Whether the clock item is there in the beginning.
    pub has_clock_item: bool,
    /// How often everything may be flushed.
    pub flushes: u8,
    /// How often the server may be replaced by a new instance.
    pub restarts: u8,
    /// How often the clock item may be lost.
    pub clock_losses: u8,
    /// How often the CAS of a live item may change by itself.
    pub renumberings: u8,
    /// Whether a contender that has its turn, but no lease, may lose it to any that waits, at any time. Other models give
    /// it time without end, and only the first may step in after a lease.
    pub stalls: bool,
    /// Breaks the rule that a server that has just started grants nothing, to show that the model notices.
    pub serves_when_young: bool,
}

impl Bounds {
    /// Two contenders that ask once each. Nothing goes wrong, and no time passes.
    pub fn calm(name: &'static str) -> Bounds {
        Bounds {
            name,
            attempts: vec![1, 1],
            begins_after: Vec::new(),
            renewals: Vec::new(),
            processes: Vec::new(),
            reentries: Vec::new(),
            reserves: Vec::new(),
            reserve: Duration::ZERO,
            claims_for: None,
            deaths: 0,
            handed_over_before: 0,
            leaves: 0,
            lease: Duration::from_secs(1),
            timeouts: Vec::new(),
            steps: Vec::new(),
            skew: Vec::new(),
            raw_skew: Vec::new(),
            whole_batches: false,
            late_data: false,
            lost: 0,
            loses_only_renewals: false,
            unsent: 0,
            repeated: 0,
            keeper: false,
            stops: 0,
            late_ticks: false,
            first_second_is_old: Duration::ZERO,
            has_baseline: true,
            has_clock_item: true,
            flushes: 0,
            restarts: 0,
            clock_losses: 0,
            renumberings: 0,
            stalls: false,
            serves_when_young: false,
        }
    }

    /// The process that `contender` is a thread of. Contenders with a process of their own come after all the others.
    pub(crate) fn process(&self, contender: usize) -> usize {
        let named = self.processes.iter().max().map_or(0, |last| last + 1);
        let alone = || named + contender - self.processes.len();
        self.processes.get(contender).copied().unwrap_or_else(alone)
    }

    /// How many processes there are.
    pub(crate) fn process_count(&self) -> usize {
        (0..self.attempts.len())
            .map(|index| self.process(index) + 1)
            .max()
            .unwrap_or(0)
    }

    /// Whether `contender` is alone in its process.
    pub(crate) fn is_alone(&self, contender: usize) -> bool {
        let mut others = (0..self.attempts.len()).filter(|other| *other != contender);
        others.all(|other| self.process(other) != self.process(contender))
    }

    /// When a turn ends by itself that begins `now`, without a lease.
    pub(crate) fn turn_end(&self, now: Now) -> Duration {
        if self.stalls { now.instant } else { Duration::MAX }
    }

    /// How long after the end of a turn a contender leaves it to those ahead to step in.
    pub(crate) fn step_in_grace(&self, is_first: bool) -> Duration {
        if is_first || self.stalls {
            Duration::ZERO
        } else {
            Duration::MAX
        }
    }

    /// For how long the retry of `contender` asks for the lock.
    pub(crate) fn claims_for(&self, contender: usize) -> Duration {
        self.claims_for.unwrap_or_else(|| self.timeout(contender))
    }

    /// For how long `contender` asks for the lock.
    pub(crate) fn timeout(&self, contender: usize) -> Duration {
        self.timeouts.get(contender).copied().unwrap_or(self.lease)
    }
}
