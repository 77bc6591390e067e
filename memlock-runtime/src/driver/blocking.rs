//! The blocking driver: runs the machines on the caller's thread.

use std::hint;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::contender::{Contender, written_nonce};
use super::core::{Core, Heard};
use super::limits::{CallLimits, ExchangeLimit};
use super::waiting::{CompanionLost, KeepAlive, Stopped, Waiting};
use super::wake::WakeListener;
use crate::error::Source;
use crate::key::ItemName;
use crate::protocol::lease::Now;
use crate::protocol::{
    Grant, Handed, Input, Leave, Output, Release, Released, Renew, Renewed, Spec, Unanswered, WaitListView,
};
use crate::queue::{Cleanup as _, Joined, Place, PlaceProgress, Turn};
use crate::system::{clock, random};

/// How often a thread looks whether its turn has come, when it is next and holders are quick, before it goes to sleep: 5 to
/// 15 µs altogether, which is what going to sleep and being woken would cost.
const SPINS: u32 = 200;

/// The grant, and the turn in which it is held.
pub(crate) fn acquire_grant(
    core: &Arc<Core>,
    spec: &Spec,
    limits: CallLimits,
    mut now: Now,
    companions: &dyn KeepAlive,
) -> Result<(Grant, Option<Turn>), Stopped> {
    let mut waiting = Waiting::new(core, spec, limits, companions);
    let joined = core
        .queues
        .join(&spec.item, spec.timeout, has_processors(), thread_waker);
    let mut stood_in_line = false;
    let turn = match joined {
        Joined::Head(turn) => turn,
        Joined::Behind(place) => {
            let mut turn = for_turn(&mut waiting, place, now)?;
            match turn.take_handed() {
                None => {}
                Some(Handed::Over(grant)) => return Ok((grant, Some(turn))),
                Some(Handed::Spent(grant)) => {
                    release(core, spec, &grant, &mut None, core.now(), limits.asking);
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
            Output::Exchange { ref batch, only_on } => {
                contender.listens_before(batch, thread_waker);
                let limit = limits.asking.left(|| now);
                let mut heard = core.exchange(&spec.item, batch, only_on, limit, now);
                now = heard.received(core);
                contender.heed(&mut heard, written_nonce(batch), limit, now);
                input = Input::Answered(heard.answered);
            }
            Output::Pause(pause) => {
                contender.pauses();
                let length = random::draw(pause);
                match contender.listening(thread_waker) {
                    Some(listening) => rest(&mut waiting, length, now, |length| {
                        sleep_unless_called(listening, length);
                    })?,
                    None => rest(&mut waiting, length, now, sleep)?,
                }
                now = core.now();
                let too_soon = contender.until_wake_counts(now);
                if !too_soon.is_zero() {
                    sleep(too_soon);
                    now = core.now();
                }
                input = Input::Woke;
            }
            Output::Done(outcome) => return contender.end(outcome, &waiting, now),
        }
    }
}

/// Renews `grant` within `limit`, and says why when that failed.
pub(crate) fn renew(core: &Arc<Core>, spec: &Spec, grant: Grant, limit: ExchangeLimit) -> (Renewed, Option<Source>) {
    let mut machine = Renew::new(spec.clone(), grant);
    let mut trouble = None;
    let step = |now, input| machine.step(now, input);
    let renewed = run(core, &spec.item, limit, core.now(), step, |heard| {
        // A renewal that is executed late harms nobody, and writes nothing that its holder does not own.
        trouble = heard.source.take().or(trouble.take());
        heard.received(core)
    });
    (renewed.unwrap_or(Renewed::Lost), trouble)
}

/// Releases `grant`, now that it is `now`, within `limit`; what fails is settled in the background. With
/// `standing` it also looks who stands in line, calls the next there, and gives way to him.
pub(crate) fn release(
    core: &Arc<Core>,
    spec: &Spec,
    grant: &Grant,
    standing: &mut Option<Box<WaitListView>>,
    now: Now,
    limit: ExchangeLimit,
) -> Released {
    let mut machine = Release::of_grant(&spec.item, grant, now).looking(standing.take(), spec.interval);
    let was_woken = core.wake_early(&spec.item, machine.to_wake());
    let mut pending = None;
    let step = |now, input| machine.step(now, input);
    let released = run(core, &spec.item, limit, now, step, |heard| {
        pending = heard.pending.take();
        // Nothing counts from when an item was deleted, nor from any other moment of this.
        now
    });
    let released = released.unwrap_or(Released::Failed(Unanswered::NotSent));
    if let Released::Failed(_) = released {
        Arc::clone(core).settle(&spec.item, grant.nonce, grant.lease, pending);
    }
    *standing = machine.take_standing();
    let was_woken = core.wake_next(&spec.item, standing.as_deref(), was_woken);
    if let Some(leaving) = standing.take_if(|standing| standing.is_to_leave()) {
        let mut machine = Leave::new(spec.interval, leaving);
        let step = |now, input| machine.step(now, input);
        run(core, &spec.item, limit, now, step, |_| now);
        *standing = Some(machine.into_standing());
        core.wake_next(&spec.item, standing.as_deref(), was_woken);
    }
    released
}

/// Runs a machine that never pauses. `listen` hears what came of each exchange, and tells the time after it. `None` where the
/// machine asks for a pause all the same.
fn run<T>(
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
            Output::Exchange { ref batch, only_on } => {
                // Not by `now`, which stands still where nothing counts from it.
                let limit = limit.left(|| core.now());
                let mut heard = core.exchange(item, batch, only_on, limit, now);
                now = listen(&mut heard);
                input = Input::Answered(heard.answered);
            }
            Output::Pause(_) => return None,
            Output::Done(outcome) => return Some(outcome),
        }
    }
}

/// Waits in this process's queue, which it has joined at `now`.
fn for_turn(waiting: &mut Waiting<'_>, mut place: Place, mut now: Now) -> Result<Turn, Stopped> {
    loop {
        let left = waiting.until_next_look(&place, now)?;
        rest(waiting, left, now, |length| {
            place.stay_awake(SPINS, hint::spin_loop);
            if !place.has_news() {
                thread::park_timeout(length);
                place.stay_awake(SPINS, hint::spin_loop);
            }
        })?;
        now = waiting.now();
        place = match place.progress(now) {
            PlaceProgress::Turn(turn) => return Ok(turn),
            PlaceProgress::Dismissed(verdict) => return Err(Stopped::Failed(verdict)),
            PlaceProgress::Place(place) => place,
        };
    }
}

/// Rests from `now` on for `length`, or less where there is something to be done before that.
fn rest(waiting: &mut Waiting<'_>, length: Duration, now: Now, rest: impl FnOnce(Duration)) -> Result<(), Stopped> {
    let mut length = waiting.until_warning(length, now);
    if let Some(kept) = waiting.companions.keep_alive(waiting.limits.asking) {
        length = length.min(kept.map_err(|CompanionLost| Stopped::CompanionLost)?);
    }
    if !length.is_zero() {
        rest(length);
    }
    Ok(())
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

/// Sleeps for `length`, or until it is called.
fn sleep_unless_called(listening: &WakeListener, length: Duration) {
    let until = clock::instant() + length;
    loop {
        let left = until.saturating_duration_since(clock::instant());
        if left.is_zero() || listening.is_woken() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// Wakes this thread.
fn thread_waker() -> Waker {
    thread_local! {
        // Made once: who waits for a lock that goes round in a few microseconds would make one each time.
        static WAKER: Waker = new_thread_waker();
    }
    // A thread that is ending may wait, too, and has no locals any more.
    WAKER.try_with(Waker::clone).unwrap_or_else(|_| new_thread_waker())
}

fn new_thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}
