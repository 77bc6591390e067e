//! The blocking driver: runs the machines on the caller's thread.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use smallvec::SmallVec;

use super::hold::Hold;
use super::{Core, Counters, Heard, dice};
use crate::clock;
use crate::error::{Error, Source};
use crate::key::ItemName;
use crate::lease::Now;
use crate::protocol::{Acquire, Grant, Input, Outcome, Output, Release, Released, Renew, Renewed, Spec};
use crate::queue::{Joined, Place, Turn};
use crate::store::{Batch, Damage, Instance, Nonce, Request};

/// How much longer than its `wait` a caller may be kept, in every fault: the least time that is given to an exchange.
const WAIT_GRACE: Duration = Duration::from_millis(40);

/// How long a thread that is not the first in line leaves it to the first to step into the shoes of a holder whose lease
/// is over.
const FOR_THE_FIRST: Duration = Duration::from_millis(20);

/// Why an acquisition of one lock of several stopped.
pub(crate) enum Stopped {
    /// This lock cannot be had.
    Failed(Error),
    /// A lock that was acquired before it was lost meanwhile: all must be acquired again.
    CompanionLost,
}

/// Acquires one lock, waiting as long as `spec` allows, counted from `started`. `companions` are locks that the caller
/// acquired before this one; their leases are kept alive meanwhile.
pub(crate) fn acquire(
    core: &Arc<Core>,
    spec: Spec,
    started: Now,
    companions: &[Arc<Hold>],
) -> Result<Arc<Hold>, Stopped> {
    let mut waiting = Waiting {
        core,
        spec: &spec,
        started,
        companions,
        has_warned: false,
    };
    let mut turn = match core.queues.join(&spec.item, thread_waker) {
        Joined::Head(turn) => turn,
        Joined::Behind(place) => waiting.for_turn(place)?,
    };
    let look_first = core.is_short_of_memory(&spec.item, started);
    let mut machine = Acquire::new(spec.clone(), turn.watch, look_first).waiting_since(started);
    let mut input = Input::Start;
    let mut now = started;
    let mut trouble = None;
    let mut in_good_hands: SmallVec<[Nonce; 2]> = SmallVec::new();
    let ended = loop {
        match machine.step(now, dice::nonce(), input) {
            Output::Exchange { batch, only_on } => {
                let heard = core.exchange(&spec.item, &batch, only_on, waiting.limit());
                if let (Some(pending), Some(nonce)) = (heard.pending, written_nonce(&batch)) {
                    core.keeper.settle(core, &spec.item, nonce, Some(pending));
                    in_good_hands.push(nonce);
                }
                trouble = heard.source.or(trouble);
                now = heard.received;
                input = Input::Answered(heard.answered);
            }
            Output::Pause(pause) => {
                if let Err(stopped) = waiting.rest(dice::draw(pause), sleep) {
                    break Err(stopped);
                }
                now = clock::now();
                input = Input::Woke;
            }
            Output::Done(outcome) => break Ok(outcome),
        }
    };
    turn.watch = machine.watch();
    for nonce in machine
        .outstanding()
        .iter()
        .filter(|nonce| !in_good_hands.contains(nonce))
    {
        core.keeper.settle(core, &spec.item, *nonce, None);
    }
    match ended? {
        Outcome::Granted(grant) => {
            Counters::count(&core.counters.acquired);
            Ok(Arc::new(Hold::new(Arc::clone(core), spec, grant, turn, now)))
        }
        Outcome::Busy { holder } => Err(Stopped::Failed(busy(&spec.item, holder.as_deref(), waiting.waited()))),
        Outcome::Refused(refusal) => Err(Stopped::Failed(unavailable_because(
            core,
            &spec.item,
            Arc::new(refusal),
        ))),
        Outcome::Unreachable(damage) => Err(Stopped::Failed(unavailable(core, &spec.item, damage, trouble))),
        Outcome::TooSlow => Err(Stopped::Failed(unavailable_because(
            core,
            &spec.item,
            text("it answers so slowly that half of the lock's timeout is over before the lock is granted"),
        ))),
        Outcome::Untrustworthy => Err(Stopped::Failed(unavailable_because(
            core,
            &spec.item,
            text("its clock is wrong: it claims to have started before 2026 or after 2094"),
        ))),
    }
}

/// Renews `grant`, and says why when that failed.
pub(super) fn renew(core: &Arc<Core>, spec: &Spec, grant: Grant) -> (Renewed, Option<Source>) {
    let mut machine = Renew::new(spec.clone(), grant);
    let mut trouble = None;
    let renewed = run(
        core,
        &spec.item,
        core.exchange_limit,
        |now, input| machine.step(now, input),
        |heard| {
            // A renewal that is executed late harms nobody, and writes nothing that its holder does not own.
            trouble = heard.source.take().or(trouble.take());
        },
    );
    (renewed.unwrap_or(Renewed::Lost), trouble)
}

/// Releases `grant`, now that it is `now`; what fails is handed to the keeper.
pub(super) fn release(core: &Arc<Core>, item: &ItemName, grant: &Grant, now: Now) -> Released {
    let mut machine = Release::of_grant(item.clone(), grant, now);
    let mut pending = None;
    let released = run(
        core,
        item,
        core.exchange_limit,
        |now, input| machine.step(now, input),
        |heard| {
            pending = heard.pending.take();
        },
    );
    let released = released.unwrap_or(Released::Failed(Damage::NotSent));
    if let Released::Failed(_) = released {
        core.keeper.settle(core, item, grant.nonce, pending);
    }
    released
}

/// Deletes what a write under `nonce` left behind, within `limit` an exchange.
pub(super) fn clean(core: &Arc<Core>, item: &ItemName, nonce: Nonce, limit: Duration) -> Released {
    let mut machine = Release::of_nonce(item.clone(), nonce);
    run(core, item, limit, |now, input| machine.step(now, input), |_| ()).unwrap_or(Released::Failed(Damage::NotSent))
}

/// Runs a machine that never pauses. `None` where it asks for a pause all the same.
fn run<T>(
    core: &Arc<Core>,
    item: &ItemName,
    limit: Duration,
    mut step: impl FnMut(Now, Input) -> Output<T>,
    mut listen: impl FnMut(&mut Heard),
) -> Option<T> {
    let mut now = clock::now();
    let mut input = Input::Start;
    loop {
        match step(now, input) {
            Output::Exchange { batch, only_on } => {
                let mut heard = exchange(core, item, &batch, only_on, limit);
                listen(&mut heard);
                now = heard.received;
                input = Input::Answered(heard.answered);
            }
            Output::Pause(_) => return None,
            Output::Done(outcome) => return Some(outcome),
        }
    }
}

fn exchange(core: &Core, item: &ItemName, batch: &Batch, only_on: Option<Instance>, limit: Duration) -> Heard {
    core.exchange(item, batch, only_on, limit)
}

/// The nonce under which a batch creates an item, if it does.
fn written_nonce(batch: &Batch) -> Option<Nonce> {
    batch.iter().find_map(|request| match request {
        Request::Add { record, .. } | Request::Replace { record, .. } => Some(record.nonce),
        _ => None,
    })
}

/// A caller that waits.
struct Waiting<'a> {
    core: &'a Core,
    spec: &'a Spec,
    started: Now,
    companions: &'a [Arc<Hold>],
    has_warned: bool,
}

impl Waiting<'_> {
    /// Waits in this process's queue.
    fn for_turn(&mut self, mut place: Place) -> Result<Turn, Stopped> {
        loop {
            let now = clock::now().instant;
            place = match place.turn(now) {
                Ok(turn) => return Ok(turn),
                Err(place) => place,
            };
            let mut left = self
                .spec
                .wait
                .map_or(Duration::MAX, |wait| wait.saturating_sub(self.waited()));
            if left.is_zero() {
                let holder = Some("another thread of this process");
                return Err(Stopped::Failed(busy(&self.spec.item, holder, self.waited())));
            }
            if let Some(until) = place.leased_until() {
                // A place that is not the first finds nothing to do then, and looks again a little later.
                left = left.min(until.saturating_sub(now).max(FOR_THE_FIRST));
            }
            self.rest(left, thread::park_timeout)?;
        }
    }

    /// Rests for `length`, or less where there is something to be done before that.
    fn rest(&mut self, length: Duration, rest: impl FnOnce(Duration)) -> Result<(), Stopped> {
        let waited = self.waited();
        let patience = self.spec.timeout;
        if waited >= patience && !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, waiter = %self.spec.label, ?waited,
                "still waiting for the lock, for longer than its timeout; set `wait` to give up instead"
            );
        }
        let mut length = if self.has_warned {
            length
        } else {
            length.min(patience.saturating_sub(waited))
        };
        for companion in self.companions {
            companion.keep_at_least_half().map_err(|_| Stopped::CompanionLost)?;
            // A quarter is left for the renewal to succeed in.
            length = length.min(companion.spec().timeout / 4);
        }
        if !length.is_zero() {
            rest(length);
        }
        Ok(())
    }

    fn waited(&self) -> Duration {
        clock::now().instant.saturating_sub(self.started.instant)
    }

    /// How long the next exchange may take: no longer than the caller is willing to wait, give or take a little.
    fn limit(&self) -> Duration {
        let most = self.core.exchange_limit;
        match self.spec.wait {
            None => most,
            Some(wait) => most.min(wait.saturating_sub(self.waited()).max(WAIT_GRACE)),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is where time is let pass")]
fn sleep(length: Duration) {
    thread::sleep(length);
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

fn busy(item: &ItemName, holder: Option<&str>, waited: Duration) -> Error {
    Error::Busy {
        key: item.to_string(),
        holder: holder.map(str::to_owned),
        waited,
    }
}

/// The error for a server that could not be asked.
pub(super) fn unavailable(core: &Core, item: &ItemName, damage: Damage, source: Option<Source>) -> Error {
    let source = source.unwrap_or_else(|| {
        text(match damage {
            Damage::TooYoung => "it started less than two seconds ago, and grants nothing yet",
            Damage::NotSent => "the request could not be sent",
            Damage::OtherInstance => "it was restarted meanwhile",
            Damage::Cut | Damage::Late => "it did not answer",
        })
    });
    unavailable_because(core, item, source)
}

fn unavailable_because(core: &Core, item: &ItemName, source: Source) -> Error {
    Counters::count(&core.counters.unavailable);
    Error::Unavailable {
        key: item.to_string(),
        server: core.store.server_of(item).to_owned(),
        source,
    }
}

/// A cause that is only a sentence.
fn text(sentence: &'static str) -> Source {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(sentence))
}
