//! The blocking driver: runs the machines on the caller's thread. What decides something, and lets no time pass, is shared
//! with the driver of [`tasks`](super::tasks).

use std::future::Future;
use std::hint;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use smallvec::SmallVec;

use super::hold::Hold;
use super::{Core, Heard, agent, dice};
use crate::error::{Error, Source};
use crate::key::ItemName;
use crate::lease::Now;
use crate::protocol::{
    Acquire, Answered, Grant, Handed, Input, Outcome, Output, Release, Released, Renew, Renewed, Spec, Watch,
};
use crate::queue::{Joined, Orphanage, Place, Progress, Turn};
use crate::store::{Batch, Damage, Nonce, Pending, Request};

/// How much longer than its `wait` a caller may be kept, in every fault. It is also the least time that there is for the
/// one attempt of a caller who does not want to wait at all.
const WAIT_GRACE: Duration = Duration::from_millis(30);

/// How long a thread that is not the first in line leaves it to the first to step into the shoes of a holder whose lease
/// is over.
const FOR_THE_FIRST: Duration = Duration::from_millis(20);

/// How often a thread looks whether its turn has come, when it is next and holders are quick, before it goes to sleep: 5 to
/// 15 µs altogether, which is what going to sleep and being woken would cost.
const SPINS: u32 = 200;

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
    spec: &Spec,
    started: Now,
    companions: &[Arc<Hold>],
) -> Result<Arc<Hold>, Stopped> {
    let mut waiting = Waiting::new(core, spec, started, companions);
    let mut turn = match core
        .queues
        .join(&spec.item, spec.timeout, has_processors(), thread_waker)
    {
        Joined::Head(turn) => turn,
        Joined::Behind(place) => waiting.for_turn(place)?,
    };
    match turn.take_handed() {
        None => {}
        Some(Handed::Over(grant)) => return Ok(Arc::new(Hold::new(core, spec, grant, Some(turn)))),
        Some(Handed::Spent(grant)) => {
            let limit = waiting.limit();
            release(core, spec, &grant, core.now(), limit);
        }
    }
    let mut contender = Contender::new(core, spec, turn, started);
    let mut input = Input::Start;
    // It may have begun long ago, and waited in line or for other locks since: a lease, and a reading of the server's clock,
    // count from right before the request.
    let mut now = core.now();
    loop {
        match contender.step(now, input) {
            Output::Exchange { batch, only_on } => {
                let limit = waiting.limit();
                let heard = core.exchange(&spec.item, &batch, only_on, limit, now);
                now = heard.received;
                input = Input::Answered(contender.heed(heard, &batch, limit));
            }
            Output::Pause(pause) => {
                waiting.rest(dice::draw(pause), sleep)?;
                now = core.now();
                input = Input::Woke;
            }
            Output::Done(outcome) => return contender.end(outcome, &waiting, now).map_err(Stopped::Failed),
        }
    }
}

/// How long an exchange may take for a caller who has been at it since `started`: no longer than it is willing to wait,
/// give or take a little.
pub(crate) fn limit(core: &Core, wait: Option<Duration>, started: Now) -> Duration {
    let most = core.exchange_limit;
    wait.map_or(most, |wait| {
        let waited = core.now().instant.saturating_sub(started.instant);
        most.min(wait.saturating_add(WAIT_GRACE).saturating_sub(waited))
    })
}

/// The head of the queue, at work.
pub(super) struct Contender<'a> {
    core: &'a Arc<Core>,
    spec: &'a Spec,
    machine: Acquire,
    /// Nonces without a reply that the agent has been told of.
    settled: SmallVec<[Nonce; 2]>,
    turn: Option<Turn>,
    /// What the last failed exchange came to grief on.
    trouble: Option<Source>,
    /// Whether an exchange failed that had less time than exchanges have: that is no verdict on the server.
    was_cut_short: bool,
}

impl<'a> Contender<'a> {
    pub(super) fn new(core: &'a Arc<Core>, spec: &'a Spec, turn: Turn, started: Now) -> Contender<'a> {
        let look_first = core.must_look_first(&spec.item, started);
        Contender {
            core,
            spec,
            machine: Acquire::new(spec.clone(), turn.watch, look_first).waiting_since(started),
            settled: SmallVec::new(),
            turn: Some(turn),
            trouble: None,
            was_cut_short: false,
        }
    }

    pub(super) fn step(&mut self, now: Now, input: Input) -> Output<Outcome> {
        self.machine.step(now, dice::nonce(), input)
    }

    /// Takes note of what an exchange met with, and returns the rest of it.
    pub(super) fn heed(&mut self, heard: Heard, batch: &Batch, limit: Duration) -> Answered {
        if let (Some(pending), Some(nonce)) = (heard.pending, written_nonce(batch)) {
            self.settle(nonce, Some(pending));
            self.settled.push(nonce);
        }
        let had_trouble = self.trouble.is_some();
        match heard.answered.damage {
            Some(damage @ (Damage::NotSent | Damage::Cut | Damage::Late)) => {
                self.was_cut_short |= limit < self.core.exchange_limit;
                self.trouble = heard.source.or(self.trouble.take());
                if let Some(turn) = &self.turn {
                    turn.met(Some(unavailable(
                        self.core,
                        &self.spec.item,
                        damage,
                        self.trouble.clone(),
                    )));
                }
            }
            Some(Damage::TooYoung | Damage::OtherInstance) | None => {
                self.trouble = None;
                if let (true, Some(turn)) = (had_trouble, &self.turn) {
                    turn.met(None);
                }
            }
        }
        heard.answered
    }

    pub(super) fn end(mut self, outcome: Outcome, waiting: &Waiting<'_>, now: Now) -> Result<Arc<Hold>, Error> {
        let item = &self.spec.item;
        let (error, is_everyones) = match outcome {
            Outcome::Granted(grant) => {
                let mut turn = self.turn.take();
                if let Some(turn) = &mut turn {
                    // There is nobody to watch any more.
                    turn.watch = None;
                }
                if let Some(turn) = &turn {
                    turn.leased(grant.deadline.ends(), Watch::of_own(&grant, now));
                }
                return Ok(Arc::new(Hold::new(self.core, self.spec, grant, turn)));
            }
            Outcome::Busy { holder } => (busy(item, holder.as_deref(), waiting.waited()), false),
            Outcome::Refused(refusal) => (unavailable_because(self.core, item, Arc::new(refusal)), true),
            Outcome::Unreachable(damage) => {
                let error = unavailable(self.core, item, damage, self.trouble.take());
                (error, damage != Damage::TooYoung && !self.was_cut_short)
            }
            Outcome::TooSlow => (unavailable_because(self.core, item, text(TOO_SLOW)), false),
            Outcome::Untrustworthy => (unavailable_because(self.core, item, text(WRONG_CLOCK)), true),
        };
        if is_everyones && let Some(turn) = self.turn.take() {
            turn.fail_for_all(&error);
        }
        Err(error)
    }
}

impl Contender<'_> {
    fn settle(&self, nonce: Nonce, pending: Option<Box<dyn Pending>>) {
        agent::settle(self.core, &self.spec.item, nonce, self.spec.lease(), pending);
    }
}

impl Drop for Contender<'_> {
    /// However it ended, a panic included: no write without a reply is forgotten, and what was learned stays.
    fn drop(&mut self) {
        for nonce in self.machine.outstanding() {
            if !self.settled.contains(nonce) {
                self.settle(*nonce, None);
            }
        }
        if let Some(turn) = &mut self.turn {
            turn.watch = self.machine.watch();
        }
    }
}

/// Renews `grant` with exchanges of at most `limit`, and says why when that failed.
pub(super) fn renew(core: &Arc<Core>, spec: &Spec, grant: Grant, limit: Duration) -> (Renewed, Option<Source>) {
    let mut machine = Renew::new(spec.clone(), grant);
    let mut trouble = None;
    let step = |now, input| machine.step(now, input);
    let renewed = run(core, &spec.item, limit, core.now(), step, |heard| {
        // A renewal that is executed late harms nobody, and writes nothing that its holder does not own.
        trouble = heard.source.take().or(trouble.take());
    });
    (renewed.unwrap_or(Renewed::Lost), trouble)
}

/// Releases `grant`, now that it is `now`, with exchanges of at most `limit`; what fails is handed to the agent.
pub(super) fn release(core: &Arc<Core>, spec: &Spec, grant: &Grant, now: Now, limit: Duration) -> Released {
    let mut machine = Release::of_grant(spec.item.clone(), grant, now);
    let mut pending = None;
    let step = |now, input| machine.step(now, input);
    let released = run(core, &spec.item, limit, now, step, |heard| {
        pending = heard.pending.take();
    });
    let released = released.unwrap_or(Released::Failed(Damage::NotSent));
    if let Released::Failed(_) = released {
        agent::settle(core, &spec.item, grant.nonce, grant.lease, pending);
    }
    released
}

impl Orphanage for Core {
    fn release_orphan(self: Arc<Self>, item: &ItemName, grant: &Grant) {
        agent::settle(&self, item, grant.nonce, grant.lease, None);
    }
}

/// Runs a machine that never pauses. `None` where it asks for a pause all the same.
fn run<T>(
    core: &Arc<Core>,
    item: &ItemName,
    limit: Duration,
    mut now: Now,
    mut step: impl FnMut(Now, Input) -> Output<T>,
    mut listen: impl FnMut(&mut Heard),
) -> Option<T> {
    let mut input = Input::Start;
    loop {
        match step(now, input) {
            Output::Exchange { batch, only_on } => {
                let mut heard = core.exchange(item, &batch, only_on, limit, now);
                listen(&mut heard);
                now = heard.received;
                input = Input::Answered(heard.answered);
            }
            Output::Pause(_) => return None,
            Output::Done(outcome) => return Some(outcome),
        }
    }
}

/// The nonce under which a batch creates an item, if it does.
pub(super) fn written_nonce(batch: &Batch) -> Option<Nonce> {
    batch.iter().find_map(|request| match request {
        Request::Add { record, .. } | Request::Replace { record, .. } => Some(record.nonce),
        _ => None,
    })
}

/// A caller that waits.
pub(super) struct Waiting<'a> {
    core: &'a Core,
    spec: &'a Spec,
    started: Now,
    pub(super) companions: &'a [Arc<Hold>],
    has_warned: bool,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(core: &'a Core, spec: &'a Spec, started: Now, companions: &'a [Arc<Hold>]) -> Waiting<'a> {
        Waiting {
            core,
            spec,
            started,
            companions,
            has_warned: false,
        }
    }

    /// Waits in this process's queue.
    fn for_turn(&mut self, mut place: Place) -> Result<Turn, Stopped> {
        loop {
            place = match place.progress(self.core.now()) {
                Progress::Turn(turn) => return Ok(turn),
                Progress::Dismissed(verdict) => return Err(Stopped::Failed(verdict)),
                Progress::Place(place) => place,
            };
            let left = self.until_next_look(&place)?;
            self.rest(left, |length| {
                place.stay_awake(SPINS, hint::spin_loop);
                if !place.has_news() {
                    thread::park_timeout(length);
                }
            })?;
        }
    }

    /// How long `place` has to wait until there may be something to find out there, if nobody wakes it before that.
    pub(super) fn until_next_look(&self, place: &Place) -> Result<Duration, Stopped> {
        let now = self.core.now().instant;
        let wait = self.spec.wait;
        let mut left = wait.map_or(Duration::MAX, |wait| wait.saturating_sub(self.waited()));
        // In this order: when the turn comes in between, it is news.
        if left.is_zero() && (place.is_next_soon() || place.has_news()) {
            // Who asks for a lock right after it was let go, maybe in the background, need not find it busy.
            left = self.limit();
        }
        if left.is_zero() {
            // Nobody may hold it, if the head is having trouble with the server.
            let holder = Some("another caller in this process");
            let busy = || busy(&self.spec.item, holder, self.waited());
            return Err(Stopped::Failed(place.trouble().unwrap_or_else(busy)));
        }
        place.sleeps_until(now.saturating_add(left));
        if let Some(until) = place.leased_until() {
            // A place that is not the first finds nothing to do then, and looks again a little later.
            left = left.min(until.saturating_sub(now).max(FOR_THE_FIRST));
            place.sleeps_until(now.saturating_add(left));
        }
        Ok(left)
    }

    /// Rests for `length`, or less where there is something to be done before that.
    fn rest(&mut self, length: Duration, rest: impl FnOnce(Duration)) -> Result<(), Stopped> {
        let mut length = self.until_warning(length);
        for companion in self.companions {
            let kept = companion.keep_at_least_half(self.limit());
            kept.map_err(|_| Stopped::CompanionLost)?;
            length = length.min(companion.until_half());
        }
        if !length.is_zero() {
            rest(length);
        }
        Ok(())
    }

    /// Warns when the wait is getting long; `length`, or less where it is to warn before that.
    pub(super) fn until_warning(&mut self, length: Duration) -> Duration {
        let waited = self.waited();
        let patience = self.spec.timeout;
        if waited >= patience && !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                target: "memlock", lock = %self.spec.item, waiter = %self.spec.label, ?waited,
                "still waiting for the lock, for longer than its timeout; set `wait` to give up instead"
            );
        }
        if self.has_warned {
            length
        } else {
            length.min(patience.saturating_sub(waited))
        }
    }

    pub(super) fn now(&self) -> Now {
        self.core.now()
    }

    fn waited(&self) -> Duration {
        self.core.now().instant.saturating_sub(self.started.instant)
    }

    pub(super) fn limit(&self) -> Duration {
        limit(self.core, self.spec.wait, self.started)
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

/// Whether one thread can wait awake while another works.
fn has_processors() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| thread::available_parallelism().is_ok_and(|number| number.get() > 1))
}

fn thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Runs `future` to its end on this thread. In a task of tokio's that has used up what it may do at a time, nothing of
/// tokio's would ever be ready, since the task does not give way before the end: so that does not count here.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(tokio::task::unconstrained(future));
    let waker = thread_waker();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

pub(crate) fn busy(item: &ItemName, holder: Option<&str>, waited: Duration) -> Error {
    Error::Busy {
        key: item.to_string(),
        holder: holder.map(str::to_owned),
        waited,
    }
}

const TOO_SLOW: &str = "it answers so slowly that half of the lock's timeout is over before the lock is granted";
const WRONG_CLOCK: &str = "its clock is wrong: it claims to have started before 2026 or after 2094";

/// The error for a server that could not be asked.
pub(super) fn unavailable(core: &Core, item: &ItemName, damage: Damage, source: Option<Source>) -> Error {
    let source = source.unwrap_or_else(|| {
        text(match damage {
            Damage::TooYoung => "it started less than two seconds ago, and grants nothing yet",
            Damage::NotSent => "there was no time left to ask it",
            Damage::OtherInstance => "it was restarted meanwhile",
            Damage::Cut | Damage::Late => "it did not answer",
        })
    });
    unavailable_because(core, item, source)
}

fn unavailable_because(core: &Core, item: &ItemName, source: Source) -> Error {
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
