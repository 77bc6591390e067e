//! The driver of tasks: runs the machines inside a future, under whichever executor polls it.
//!
//! The future may be dropped at any of its await points. What it has begun then goes on in the background, where the
//! work is finished and cleaned up after: every place that waits here keeps a value alive whose `Drop` hands it over.

use std::mem;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::contender::{Contender, written_nonce};
use super::core::{Core, Heard};
use super::inherited::{here, inherited};
use super::limits::{CallLimits, ExchangeLimit};
use super::waiting::{CompanionLost, KeepAlive, Stopped, Waiting};
use crate::error::{Error, Source};
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{
    Batch, Grant, Handed, Input, Instance, Leave, Nonce, Output, Pause, Release, Released, Renew, Renewed, Spec,
    Unanswered, WaitListView,
};
use crate::queue::{Cleanup as _, Joined, Place, PlaceProgress, Turn};
use crate::store::{Exchange, Pending};
use crate::system::background::{Timer, either};
use crate::system::random;

/// The grant, and the turn in which it is held.
pub(crate) async fn acquire_grant(
    core: &Arc<Core>,
    spec: &Spec,
    limits: CallLimits,
    mut now: Now,
    companions: &dyn KeepAlive,
) -> Result<(Grant, Option<Turn>), Stopped> {
    let mut waiting = Waiting::new(core, spec, limits, companions);
    let bell = Arc::new(TaskWaker::default());
    let joined = core
        .queues
        .join(&spec.item, spec.timeout, false, || Waker::from(Arc::clone(&bell)));
    let mut stood_in_line = false;
    let turn = match joined {
        Joined::Head(turn) => turn,
        Joined::Behind(place) => {
            let mut turn = for_turn(&mut waiting, place, now, &bell).await?;
            match turn.take_handed() {
                None => {}
                Some(Handed::Over(grant)) => return Ok((grant, Some(turn))),
                Some(Handed::Spent(grant)) => {
                    let released = release(core, spec, &grant, &mut None, core.now(), limits.asking).await;
                    if let Released::Failed(_) = released {
                        core.check_process().map_err(Stopped::Failed)?;
                    }
                }
            }
            stood_in_line = true;
            // A lease, and a reading of the server's clock, count from right before the request.
            now = core.now();
            turn
        }
    };
    let mut contender = Contender::new(core, spec, turn, limits, stood_in_line);
    let mut input = Input::Start;
    loop {
        match contender.step(now, input) {
            Output::Exchange { batch, only_on } => {
                contender.listens_before(&batch, || Waker::from(Arc::clone(&bell)));
                let (limit, written) = (limits.asking.left(|| now), written_nonce(&batch));
                let orphaned = |pending| {
                    if let Some(nonce) = written {
                        Arc::clone(core).settle(&spec.item, nonce, spec.lease(), Some(pending));
                    }
                };
                let heard = exchange(core, &spec.item, batch, only_on, limit, now, orphaned).await;
                let mut heard = heard.map_err(Stopped::Failed)?;
                now = heard.received(core);
                contender.heed(&mut heard, written, limit, now);
                input = Input::Answered(heard.answered);
            }
            Output::Pause(pause) => {
                contender.pauses();
                contender.listening(|| Waker::from(Arc::clone(&bell)));
                rest(&mut waiting, random::draw(pause), now, &bell).await?;
                now = core.now();
                let too_soon = contender.until_wake_counts(now);
                if !too_soon.is_zero() {
                    here(core, Timer::after(too_soon)).await.map_err(Stopped::Failed)?;
                    now = core.now();
                }
                input = Input::Woke;
            }
            Output::Done(outcome) => return contender.end(outcome, &waiting, now),
        }
    }
}

/// Wakes a future that waits in a queue.
#[derive(Debug, Default)]
struct TaskWaker(Notify);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Lets time pass, for a length that is drawn from the window.
pub(crate) async fn pause(window: Pause) {
    Timer::after(random::draw(window)).await;
}

/// Waits in this process's queue, which it has joined at `now`.
async fn for_turn(waiting: &mut Waiting<'_>, place: Place, mut now: Now, bell: &TaskWaker) -> Result<Turn, Stopped> {
    let mut standing = InQueue(waiting.core(), Some(place));
    loop {
        let Some(place) = &standing.1 else {
            return Err(Stopped::Failed(inherited()));
        };
        let length = waiting.until_next_look(place, now)?;
        rest(waiting, length, now, bell).await?;
        now = waiting.now();
        standing.1 = match standing.1.take().map(|place| place.progress(now)) {
            Some(PlaceProgress::Turn(turn)) => return Ok(turn),
            Some(PlaceProgress::Dismissed(verdict)) => return Err(Stopped::Failed(verdict)),
            Some(PlaceProgress::Place(place)) => Some(place),
            None => None,
        };
    }
}

/// A place in the queue of the process that took it: a child that was forked meanwhile does not leave it.
struct InQueue<'a>(&'a Core, Option<Place>);

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        if self.1.is_some() && self.0.is_inherited() {
            mem::forget(self.1.take());
        }
    }
}

/// Rests from `now` on for `length`, or less where the bell rings or there is something to be done before that.
async fn rest(waiting: &mut Waiting<'_>, length: Duration, now: Now, bell: &TaskWaker) -> Result<(), Stopped> {
    let mut length = waiting.until_warning(length, now);
    if let Some(keeping) = waiting.companions.keep_alive_async(waiting.limits.asking) {
        let kept = keeping.await;
        length = length.min(kept.map_err(|CompanionLost| Stopped::CompanionLost)?);
    }
    if !length.is_zero() {
        let resting = Box::pin(either(bell.0.notified(), Timer::after(length)));
        here(waiting.core(), resting).await.map_err(Stopped::Failed)?;
    }
    Ok(())
}

/// Makes one exchange. When the future is dropped meanwhile, and a write was sent, `orphaned` gets what tells its outcome. An error
/// in a child that was forked meanwhile.
async fn exchange(
    core: &Arc<Core>,
    item: &ItemName,
    batch: Batch,
    only_on: Option<Instance>,
    limit: Duration,
    sent: Now,
    orphaned: impl FnOnce(Box<dyn Pending>),
) -> Result<Heard, Error> {
    let mut orphan = Orphan {
        core,
        exchange: Some((core.store.begin(item, batch, only_on, limit), orphaned)),
    };
    let answer = std::future::poll_fn(|context| match &mut orphan.exchange {
        Some((exchange, _)) => exchange.poll(context),
        None => Poll::Pending,
    });
    let answer = here(core, answer).await?;
    orphan.exchange = None;
    Ok(core.hear(item, answer, sent))
}

/// An exchange that must not be forgotten when nobody waits for it any more.
struct Orphan<'a, F: FnOnce(Box<dyn Pending>)> {
    core: &'a Core,
    exchange: Option<(Box<dyn Exchange>, F)>,
}

impl<F: FnOnce(Box<dyn Pending>)> Drop for Orphan<'_, F> {
    fn drop(&mut self) {
        let Some((exchange, orphaned)) = self.exchange.take() else {
            return;
        };
        if self.core.is_inherited() {
            // It is on the parent's connection, and the parent's to finish.
            mem::forget(exchange);
        } else if let Some(pending) = exchange.abandon() {
            orphaned(pending);
        }
    }
}

/// Renews `grant` within `limit`, and says why when that failed. Not to be dropped before its end: the
/// number of attempts in the grant that it returns must be kept.
pub(crate) async fn renew(
    core: &Arc<Core>,
    item: &ItemName,
    mut machine: Renew,
    limit: ExchangeLimit,
) -> (Renewed, Option<Source>) {
    let mut trouble = None;
    let step = |now, input| machine.step(now, input);
    let renewed = run(core, item, limit, core.now(), step, |heard| {
        // A renewal that is executed late harms nobody, and writes nothing that its holder does not own.
        trouble = heard.source.take().or(trouble.take());
        heard.received(core)
    })
    .await;
    (renewed.unwrap_or(Renewed::Lost), trouble)
}

/// Releases `grant`, now that it is `now`, within `limit`; what fails is settled in the background, as is all when the future is dropped. With
/// `standing` it also reads the wait list, calls the next process there, and lets it go first.
pub(crate) async fn release(
    core: &Arc<Core>,
    spec: &Spec,
    grant: &Grant,
    standing: &mut Option<Box<WaitListView>>,
    now: Now,
    limit: ExchangeLimit,
) -> Released {
    let mut unreleased = Unreleased {
        core,
        item: &spec.item,
        grant: Some(grant),
    };
    let mut machine = Release::of_grant(&spec.item, grant, now).looking(standing.take(), spec.interval);
    let was_woken = core.wake_early(&spec.item, machine.to_wake());
    let mut pending = None;
    let step = |now, input| machine.step(now, input);
    let released = run(core, &spec.item, limit, now, step, |heard| {
        pending = heard.pending.take();
        // Nothing counts from when an item was deleted, nor from any other moment of this.
        now
    })
    .await;
    unreleased.grant = None;
    let Some(released) = released else {
        // The machine never pauses, so this is a child of the process that releases it.
        return Released::Failed(Unanswered::NotSent);
    };
    if let Released::Failed(_) = released {
        Arc::clone(core).settle(&spec.item, grant.nonce, grant.lease, pending);
    }
    *standing = machine.take_standing();
    let was_woken = core.wake_next(&spec.item, standing.as_deref(), was_woken);
    if let Some(leaving) = standing.take_if(|standing| standing.is_to_leave()) {
        *standing = Some(leave(core, &spec.item, spec.interval, leaving, limit).await);
        core.wake_next(&spec.item, standing.as_deref(), was_woken);
    }
    released
}

/// Takes this process out of the line for a lock.
pub(crate) async fn leave(
    core: &Arc<Core>,
    item: &ItemName,
    interval: Duration,
    standing: Box<WaitListView>,
    limit: ExchangeLimit,
) -> Box<WaitListView> {
    let mut machine = Leave::new(interval, standing);
    let step = |now, input| machine.step(now, input);
    let now = core.now();
    run(core, item, limit, now, step, |_| now).await;
    machine.into_standing()
}

/// A lock whose release is under way.
struct Unreleased<'a> {
    core: &'a Arc<Core>,
    item: &'a ItemName,
    grant: Option<&'a Grant>,
}

impl Drop for Unreleased<'_> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant {
            Arc::clone(self.core).settle(self.item, grant.nonce, grant.lease, None);
        }
    }
}

/// Deletes what a write under `nonce` left behind.
pub(crate) async fn clean(core: &Arc<Core>, item: &ItemName, nonce: Nonce) -> Released {
    let mut machine = Release::of_nonce(item, nonce);
    let step = |now, input| machine.step(now, input);
    let now = core.now();
    let released = run(core, item, core.each_exchange(), now, step, |_| now).await;
    released.unwrap_or(Released::Failed(Unanswered::NotSent))
}

/// Runs a machine that never pauses. `listen` hears what came of each exchange, and tells the time after it. `None` where the
/// machine asks for a pause all the same, and in a child that was forked meanwhile.
async fn run<T>(
    core: &Arc<Core>,
    item: &ItemName,
    limit: ExchangeLimit,
    mut now: Now,
    mut step: impl FnMut(Now, Input) -> Output<T>,
    mut listen: impl FnMut(&mut Heard) -> Now,
) -> Option<T> {
    let mut input = Input::Start;
    loop {
        match step(now, input) {
            Output::Exchange { batch, only_on } => {
                // Not by `now`, which stands still where nothing counts from it.
                let limit = limit.left(|| core.now());
                let mut heard = exchange(core, item, batch, only_on, limit, now, drop).await.ok()?;
                now = listen(&mut heard);
                input = Input::Answered(heard.answered);
            }
            Output::Pause(_) => return None,
            Output::Done(outcome) => return Some(outcome),
        }
    }
}
