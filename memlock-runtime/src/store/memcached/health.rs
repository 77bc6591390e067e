//! Whether a server answers, and which callers may open connections to it while it does not.
//!
//! ```text
//!             ┌───── all replies to a batch have arrived ───┐
//!             ▼                                             │
//!         answering ── a batch or an opening got no reply ──► silent   (the state at the start)
//!             │                                             ▲
//!             └───── its connections were idle for long ────┘
//! ```
//!
//! While the server answers, callers open as many connections as they need. While it is silent, one caller at a time
//! has the [`Trial`]: it opens a connection (if it is a thread) and sends the first batch. The others wait for the
//! outcome of the trial, each within its own limit. Tasks share one connection, so theirs is opened without a trial,
//! once for all of them.
//!
//! Without trials, N callers of a server that accepts connections and sends nothing would leave N connections and N
//! unsettled writes in each exchange limit that passes. A reply to the greeting does not end the silence, since a
//! server may reply to `stats` and to nothing else.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::failure::ConnectError;

/// What is known about one server.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_answering: AtomicBool,
    state: Mutex<HealthState>,
    /// For the connections on which a late reply may still arrive.
    pub(crate) listening_slots: ListeningSlots,
}

#[derive(Debug, Default)]
struct HealthState {
    /// The number of the current trial, and when it expires, whatever its caller does.
    trial: Option<(u64, Instant)>,
    /// How many trials were begun.
    trials: u64,
    /// Callers that wait for the end of the trial, or of the silence.
    waiting: Vec<TrialWaiter>,
}

#[derive(Debug)]
struct TrialWaiter {
    /// The end of the caller's limit.
    until: Instant,
    outcome: oneshot::Sender<WaitOutcome>,
}

/// What a wait for another caller's trial came to.
#[derive(Debug)]
pub(crate) enum WaitOutcome {
    /// The server answers.
    ServerAnswers,
    /// The next trial is this caller's.
    Trial(Trial),
    /// The trial has shown that no connection can be opened.
    Failed(ConnectError),
}

/// How long after the end of its caller's limit a trial expires: enough for the caller to hand the trial on to the
/// waiting caller with the most time. Otherwise the next caller that comes would get it.
const HANDOVER_TIME: Duration = Duration::from_millis(50);

/// What a caller may do.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The server answers: go ahead.
    Free,
    /// Go ahead alone.
    Trial(Trial),
    /// Wait for the outcome of another caller's trial. At this time that trial expires: [enter](Health::enter) again.
    Wait(oneshot::Receiver<WaitOutcome>, Instant),
}

impl Health {
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering.load(Ordering::Acquire)
    }

    /// Asks for permission to open a connection, or to use a new one, for a caller with a limit that ends at `until`.
    pub(crate) fn enter(self: &Arc<Health>, now: Instant, until: Instant) -> Admission {
        if self.is_answering() {
            return Admission::Free;
        }
        let mut state = self.state();
        // Again under the lock: the server may have answered meanwhile, and then nothing would end the wait.
        if self.is_answering() {
            return Admission::Free;
        }
        match state.trial {
            Some((_, expiry)) if expiry > now => {
                let (outcome, listener) = oneshot::channel();
                remove_closed(&mut state.waiting, |waiting| &waiting.outcome);
                state.waiting.push(TrialWaiter { until, outcome });
                Admission::Wait(listener, expiry)
            }
            // Trials expire because a caller may be a future that nothing polls.
            _ => Admission::Trial(self.begin(&mut state, until)),
        }
    }

    /// Begins a trial for a caller with a limit that ends at `until`.
    fn begin(self: &Arc<Health>, state: &mut HealthState, until: Instant) -> Trial {
        state.trials += 1;
        state.trial = Some((state.trials, until + HANDOVER_TIME));
        Trial {
            health: Arc::clone(self),
            number: state.trials,
        }
    }

    /// Ends the trial of this number, if it is the current one. `error` says why no connection can be opened.
    fn end(self: &Arc<Health>, number: u64, error: Option<&ConnectError>) {
        let mut state = self.state();
        if state.trial.is_none_or(|(current, _)| current != number) {
            return;
        }
        state.trial = None;
        if let Some(error) = error {
            let all = mem::take(&mut state.waiting);
            drop(state);
            notify(all, || WaitOutcome::Failed(error.clone()));
            return;
        }
        // The caller with the most time gets the next trial. If callers with hardly any time took turns, each would
        // open a connection, and none would live long enough to be answered.
        state.waiting.retain(|waiting| !waiting.outcome.is_closed());
        let best = (0..state.waiting.len()).max_by_key(|index| state.waiting.get(*index).map(|waiting| waiting.until));
        if let Some(index) = best {
            let TrialWaiter { until, outcome } = state.waiting.swap_remove(index);
            let next = self.begin(&mut state, until);
            drop(state);
            // If the caller has just given up, the trial is dropped here, and so handed on to another.
            let _ = outcome.send(WaitOutcome::Trial(next));
        }
    }

    /// Records that the server has sent all replies to a batch.
    pub(crate) fn record_answer(&self) {
        // The usual path is one load.
        if !self.is_answering() {
            let mut state = self.state();
            self.is_answering.store(true, Ordering::Release);
            state.trial = None;
            let waiting = mem::take(&mut state.waiting);
            drop(state);
            notify(waiting, || WaitOutcome::ServerAnswers);
        }
    }

    /// Records that the server was silent although it had enough time, or that nothing has asked it for long.
    pub(crate) fn record_silence(&self) {
        self.is_answering.store(false, Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }
}

/// The permission of one caller to go ahead alone. Dropping it hands it on to the next caller.
#[derive(Debug)]
pub(crate) struct Trial {
    health: Arc<Health>,
    number: u64,
}

impl Trial {
    /// Ends the trial because no connection can be opened. All waiting callers get the same error, since each of them
    /// would meet it.
    pub(crate) fn fail(mut self, error: &ConnectError) {
        self.health.end(mem::take(&mut self.number), Some(error));
    }

    /// For a caller that has sent something and gives up before its limit is over. The trial goes on until the server
    /// answers or the trial expires. Otherwise callers that give up early would send one write after the other.
    pub(crate) fn leave_running(mut self) {
        self.number = 0;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Number 0 is no trial: this one has ended, or was left running.
        self.health.end(self.number, None);
    }
}

fn notify(waiting: Vec<TrialWaiter>, outcome: impl Fn() -> WaitOutcome) {
    for waiting in waiting {
        // The caller may have given up.
        let _ = waiting.outcome.send(outcome());
    }
}

/// Removes the callers that have given up, each time that their number has doubled. For use before another one is
/// added: while a server is silent, callers come and give up, and nothing else would remove them.
pub(crate) fn remove_closed<W, T>(waiting: &mut Vec<W>, sender: impl Fn(&W) -> &oneshot::Sender<T>) {
    if waiting.len() == waiting.capacity() {
        waiting.retain(|waiting| !sender(waiting).is_closed());
        waiting.reserve(waiting.len().max(4));
    }
}

/// Slots for the connections to one server on which a late reply may still arrive. Each such connection holds a file
/// descriptor.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListeningSlots(Arc<Mutex<usize>>);

/// How many such connections are kept. Any other late connection is closed. What its write did is then found by
/// reading, which takes longer and more requests.
pub(crate) const MAX_LISTENING: usize = 8;

impl ListeningSlots {
    /// Takes a slot, until the returned value is dropped. `None` if all are taken.
    pub(crate) fn take(&self) -> Option<ListeningSlot> {
        let mut count = self.count();
        (*count < MAX_LISTENING).then(|| {
            *count += 1;
            ListeningSlot(self.clone())
        })
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of one connection.
#[derive(Debug)]
pub(crate) struct ListeningSlot(ListeningSlots);

impl Drop for ListeningSlot {
    fn drop(&mut self) {
        *self.0.count() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::clock;

    const LONG: Duration = Duration::from_secs(60);

    fn entered(health: &Arc<Health>) -> Admission {
        let now = clock::instant();
        health.enter(now, now + LONG)
    }

    fn trial(health: &Arc<Health>) -> Trial {
        match entered(health) {
            Admission::Trial(trial) => trial,
            other => panic!("{other:?}"),
        }
    }

    fn wait(health: &Arc<Health>) -> oneshot::Receiver<WaitOutcome> {
        match entered(health) {
            Admission::Wait(outcome, _) => outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_caller_at_a_time_tries_a_silent_server() {
        let health = Arc::new(Health::default());
        let first = trial(&health);
        let mut waits = wait(&health);
        assert!(waits.try_recv().is_err());
        drop(first);
        let Ok(WaitOutcome::Trial(second)) = waits.try_recv() else {
            panic!("it gets the next trial");
        };
        let mut waits = wait(&health);
        health.record_answer();
        assert!(matches!(waits.try_recv(), Ok(WaitOutcome::ServerAnswers)));
        assert!(matches!(entered(&health), Admission::Free));
        health.record_silence();
        let third = trial(&health);
        // It ended long ago.
        drop(second);
        drop(wait(&health));
        drop(third);
    }

    #[test]
    fn all_waiting_callers_get_the_error_of_a_failed_trial() {
        let health = Arc::new(Health::default());
        let first = trial(&health);
        let mut waits = [wait(&health), wait(&health)];
        first.fail(&ConnectError::TimedOut);
        for waits in &mut waits {
            assert!(matches!(
                waits.try_recv(),
                Ok(WaitOutcome::Failed(ConnectError::TimedOut))
            ));
        }
        drop(trial(&health));
    }

    #[test]
    fn a_trial_expires_if_its_caller_stalls_or_leaves() {
        let health = Arc::new(Health::default());
        let now = clock::instant();
        for leaves in [false, true] {
            let Admission::Trial(stands) = health.enter(now, now + LONG) else {
                panic!("no trial");
            };
            let stands = if leaves {
                stands.leave_running();
                None
            } else {
                Some(stands)
            };
            let Admission::Wait(_, expiry) = health.enter(now, now + LONG) else {
                panic!("another trial");
            };
            assert!(expiry >= now + LONG);
            let Admission::Trial(next) = health.enter(expiry, expiry + LONG) else {
                panic!("it has expired");
            };
            drop(stands);
            assert!(matches!(health.enter(expiry, expiry + LONG), Admission::Wait(..)));
            drop(next);
        }
    }

    #[test]
    fn the_waiting_caller_with_the_most_time_gets_the_next_trial() {
        let health = Arc::new(Health::default());
        let now = clock::instant();
        let first = trial(&health);
        let mut waits: Vec<_> = [3, 1, 5, 4]
            .into_iter()
            .map(|lengths| match health.enter(now, now + lengths * LONG) {
                Admission::Wait(outcome, _) => outcome,
                other => panic!("{other:?}"),
            })
            .collect();
        drop(waits.remove(2));
        drop(first);
        let Ok(WaitOutcome::Trial(next)) = waits[2].try_recv() else {
            panic!("it has four minutes");
        };
        // This caller has the trial, and never looks at it.
        drop(next);
        drop(waits.remove(0));
        assert!(matches!(waits[0].try_recv(), Ok(WaitOutcome::Trial(_))));
    }

    #[test]
    fn callers_that_have_given_up_are_removed() {
        let health = Arc::new(Health::default());
        let _first = trial(&health);
        for _ in 0..10_000 {
            drop(wait(&health));
        }
        assert!(health.waiting() < 16, "{}", health.waiting());
    }

    #[test]
    fn no_more_slots_are_taken_than_there_are() {
        let slots = ListeningSlots::default();
        let mut taken: Vec<ListeningSlot> = (0..MAX_LISTENING).filter_map(|_| slots.clone().take()).collect();
        assert_eq!(taken.len(), MAX_LISTENING);
        assert!(slots.take().is_none());
        taken.pop();
        assert!(slots.take().is_some());
    }
}
