//! Acquiring one lock: waiting for a turn in this process's queue, then running the machine against the server as its
//! head.

use std::sync::Arc;

use super::caller::Caller;
use super::contender::{Contender, written_nonce};
use super::core::Core;
use super::exchange::exchange;
use super::inherited::{OfThisProcess, inherited};
use super::limits::CallLimits;
use super::release::{leave, release};
use super::waiting::{KeepAlive, Stopped, Waiting};
use crate::protocol::lease::Now;
use crate::protocol::{Grant, Handed, Input, Output, Released, Spec};
use crate::queue::{Cleanup as _, Joined, Place, PlaceProgress, Turn};
use crate::system::random;

/// Acquires one lock within `limits`, from `now` on, and keeps `companions` alive meanwhile. Returns the grant, and the
/// turn in which it is held.
pub(crate) async fn acquire_grant(
    core: &Arc<Core>,
    caller: Caller,
    spec: &Spec,
    limits: CallLimits,
    mut now: Now,
    companions: &dyn KeepAlive,
) -> Result<(Grant, Option<Turn>), Stopped> {
    let mut waiting = Waiting::new(core, caller, spec, limits, companions);
    let mut waited_in_queue = false;
    // Again if it loses its turn.
    'turn: loop {
        core.check_not_shut_down().map_err(Stopped::Failed)?;
        let wakes_early = waiting.alarm.wakes_early();
        let joined = core
            .queues
            .join(&spec.item, spec.timeout, now, wakes_early, || waiting.alarm.waker());
        let turn = match joined {
            Joined::Head(turn) => turn,
            Joined::Behind(place) => {
                let mut turn = wait_for_turn(&mut waiting, place, now).await?;
                match turn.take_handed() {
                    None => {}
                    Some(Handed::Over(grant)) => return Ok((grant, Some(turn))),
                    Some(Handed::Spent(grant)) => {
                        // Boxed, since it is rare, and would double the future.
                        let mut wait_list = None;
                        let releasing = release(core, caller, spec, &grant, &mut wait_list, core.now(), limits.asking);
                        let released = Box::pin(releasing).await;
                        if let Released::Failed(_) = released {
                            core.check_process().map_err(Stopped::Failed)?;
                        }
                        turn.go_on(core.now());
                    }
                }
                waited_in_queue = true;
                // A lease, and a reading of the server's clock, count from right before the request.
                now = core.now();
                turn
            }
        };
        let mut contender = Contender::new(core, spec, turn, limits, waited_in_queue);
        let mut input = Input::Start;
        loop {
            let is_first = matches!(input, Input::Start);
            // Borrowed: a batch is large.
            let mut output = contender.step(now, input);
            if let Output::Done(outcome) = output {
                if let Some(leaving) = contender.leaving(&outcome, now) {
                    // Boxed, since it is rare, and would double the future.
                    let left = Box::pin(leave(core, caller, spec.into(), leaving, limits.asking)).await;
                    contender.record_leaving(left);
                }
                return contender.end(outcome, now);
            }
            input = match &mut output {
                Output::Exchange { batch, only_on } => {
                    core.check_not_shut_down().map_err(Stopped::Failed)?;
                    if !is_first {
                        // If another caller has stepped in, this exchange is still good for this one.
                        contender.keep_turn(now);
                    }
                    contender.listen_before(batch, || waiting.alarm.waker());
                    let (limit, written) = (limits.asking.left(|| now), written_nonce(batch));
                    let settle_orphan = |pending| {
                        if let Some(nonce) = written {
                            Arc::clone(core).settle(&spec.item, nonce, spec.lease(), Some(pending));
                        }
                    };
                    let exchanged =
                        exchange(core, caller, spec.into(), batch, *only_on, limit, now, settle_orphan).await;
                    let mut exchanged = exchanged.map_err(Stopped::Failed)?;
                    now = core.received(&exchanged);
                    contender.record_exchange(&mut exchanged, written, limit, now);
                    Input::Exchanged(exchanged)
                }
                Output::Pause(pause) => {
                    let length = random::draw(*pause);
                    contender.begin_pause(length, now);
                    // It listens before it waits for anything else: the wake-up may come meanwhile.
                    contender.listen(|| waiting.alarm.waker());
                    let length = waiting.until_due(length, now).await?;
                    if !length.is_zero() {
                        let rested = waiting.alarm.rest_in_line(core, contender.listening(), length).await;
                        rested.map_err(Stopped::Failed)?;
                    }
                    now = core.now();
                    let still_to_pause = contender.record_pause(now);
                    if !still_to_pause.is_zero() {
                        caller.sleep(core, still_to_pause).await.map_err(Stopped::Failed)?;
                        now = core.now();
                    }
                    if !contender.keep_turn(now) {
                        // Two callers of one process that ask side by side would ask twice as often.
                        waited_in_queue = true;
                        continue 'turn;
                    }
                    Input::Woke
                }
                Output::Done(_) => Input::Start,
            };
        }
    }
}

/// Waits at `place` in this process's queue, from `now` on, until the caller's turn comes.
async fn wait_for_turn(waiting: &mut Waiting<'_>, place: Place, mut now: Now) -> Result<Turn, Stopped> {
    let core = waiting.core();
    // A child that is forked meanwhile does not leave the queue, which is its parent's.
    let mut place = OfThisProcess::new(core, place);
    loop {
        let Some(current) = &place.value else {
            return Err(Stopped::Failed(inherited()));
        };
        core.check_not_shut_down().map_err(Stopped::Failed)?;
        let length = waiting.until_next_look(current, now)?;
        let length = waiting.until_due(length, now).await?;
        if !length.is_zero() {
            let rested = waiting.alarm.rest_in_queue(core, current, length).await;
            rested.map_err(Stopped::Failed)?;
        }
        now = core.now();
        place.value = match place.value.take().map(|place| place.progress(now)) {
            Some(PlaceProgress::Turn(turn)) => return Ok(turn),
            Some(PlaceProgress::Dismissed(error)) => return Err(Stopped::Failed(error)),
            Some(PlaceProgress::Place(place)) => Some(place),
            None => None,
        };
    }
}
