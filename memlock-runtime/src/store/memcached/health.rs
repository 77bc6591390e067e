//! Whether a server answers, and what follows from that for new connections.
//!
//! ```text
//!             ┌───── all replies to a batch have come ──────┐
//!             ▼                                             │
//!         answering ── a batch or an opening got no reply ──► silent   (as every server begins)
//!             │                                             ▲
//!             └───── its connections were idle for long ────┘
//! ```
//!
//! While the server answers, callers open as many connections as they need. While it is silent, one caller at a time has the
//! [`Trial`]: it opens a connection (threads) and sends the first batch. The others wait for what comes of that, each within
//! its own limit. Tasks share one connection, so theirs is opened without a trial, once for all of them.
//!
//! Without this, N callers of a server that accepts connections and says nothing would leave N connections, and N writes
//! that are to be settled, for each exchange limit that passes. A reply to the greeting is not enough to end the silence,
//! since a server may reply to `stats` and to nothing else.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::failure::ConnectError;

/// What is known of one server.
#[derive(Debug, Default)]
pub(crate) struct Health {
    answers: AtomicBool,
    state: Mutex<HealthState>,
    /// Connections whose replies are late.
    pub(crate) listened: Listened,
}

#[derive(Debug, Default)]
struct HealthState {
    /// The trial that is under way: its number, and when it counts no more, whatever its caller does.
    trial: Option<(u64, Instant)>,
    /// How many there have been.
    trials: u64,
    /// Callers that wait for the end of the trial, or of the silence.
    waiting: Vec<TrialWaiter>,
}

#[derive(Debug)]
struct TrialWaiter {
    /// When its limit is over.
    until: Instant,
    told: oneshot::Sender<News>,
}

/// What a waiting caller is told.
#[derive(Debug)]
pub(crate) enum News {
    /// The server answers.
    Answers,
    /// The next trial is this caller's.
    Trial(Trial),
    /// The trial has found that no connection can be opened.
    Failed(ConnectError),
}

/// How much longer than its caller's limit a trial counts: time enough for that caller to notice, and to hand it on to the
/// caller that has the most time, instead of losing it to the first that comes.
const GRACE: Duration = Duration::from_millis(50);

/// What a caller may do.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The server answers: go ahead.
    Free,
    /// Go ahead alone.
    Trial(Trial),
    /// Wait for news, and [enter](Health::enter) again at that time: then the trial of another counts no more.
    Wait(oneshot::Receiver<News>, Instant),
}

impl Health {
    pub(crate) fn answers(&self) -> bool {
        self.answers.load(Ordering::Acquire)
    }

    /// Asks, `now`, to open a connection or to use a new one, for a caller whose limit is over at `until`.
    pub(crate) fn enter(self: &Arc<Health>, now: Instant, until: Instant) -> Admission {
        if self.answers() {
            return Admission::Free;
        }
        let mut state = self.state();
        // Under the lock, so that no caller waits for news that were told just before.
        if self.answers() {
            return Admission::Free;
        }
        match state.trial {
            Some((_, over)) if over > now => {
                let (told, listener) = oneshot::channel();
                make_room(&mut state.waiting, |waiting| &waiting.told);
                state.waiting.push(TrialWaiter { until, told });
                Admission::Wait(listener, over)
            }
            // A trial ends by itself when its caller's limit is over: that caller may be a future that nobody polls.
            _ => Admission::Trial(self.begin(&mut state, until)),
        }
    }

    /// Begins a trial for a caller whose limit is over at `until`.
    fn begin(self: &Arc<Health>, state: &mut HealthState, until: Instant) -> Trial {
        state.trials += 1;
        state.trial = Some((state.trials, until + GRACE));
        Trial {
            health: Arc::clone(self),
            number: state.trials,
        }
    }

    /// Ends the trial of this number, if it still counts.
    fn end(self: &Arc<Health>, number: u64, failed: Option<&ConnectError>) {
        let mut state = self.state();
        if state.trial.is_none_or(|(current, _)| current != number) {
            return;
        }
        state.trial = None;
        if let Some(why) = failed {
            let all = mem::take(&mut state.waiting);
            drop(state);
            tell(all, || News::Failed(why.clone()));
            return;
        }
        // The next trial is for the caller with the most time. If callers with hardly any took turns, there would be one
        // connection after the other, and none would live long enough to be answered.
        state.waiting.retain(|waiting| !waiting.told.is_closed());
        let best = (0..state.waiting.len()).max_by_key(|index| state.waiting.get(*index).map(|waiting| waiting.until));
        if let Some(index) = best {
            let TrialWaiter { until, told } = state.waiting.swap_remove(index);
            let next = self.begin(&mut state, until);
            drop(state);
            // Where it has just given up, the trial is dropped here, and so goes on to another.
            let _ = told.send(News::Trial(next));
        }
    }

    /// The server has sent all replies to a batch.
    pub(crate) fn answered(&self) {
        // A load and no more, on the way that all goes well.
        if !self.answers() {
            let mut state = self.state();
            self.answers.store(true, Ordering::Release);
            state.trial = None;
            let waiting = mem::take(&mut state.waiting);
            drop(state);
            tell(waiting, || News::Answers);
        }
    }

    /// The server had time enough, and was silent.
    pub(crate) fn was_silent(&self) {
        self.answers.store(false, Ordering::Release);
    }

    /// Connections were closed because nobody has needed them for long. What the server answered on them was not lately.
    pub(crate) fn has_rested(&self) {
        self.answers.store(false, Ordering::Release);
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

/// The right of one caller to go ahead alone. Dropped, it is the next one's.
#[derive(Debug)]
pub(crate) struct Trial {
    health: Arc<Health>,
    number: u64,
}

impl Trial {
    /// No connection could be opened, for a reason that holds for all who wait: they need not find it out one by one.
    pub(crate) fn failed(mut self, why: &ConnectError) {
        self.health.end(mem::take(&mut self.number), Some(why));
    }

    /// The caller has sent something and waits no longer. The trial stays under way until the server answers or the caller's
    /// limit is over; callers that give up early would send one write after the other otherwise.
    pub(crate) fn leave(mut self) {
        self.number = 0;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // None has the number 0: it was left, or has ended.
        self.health.end(self.number, None);
    }
}

fn tell(waiting: Vec<TrialWaiter>, news: impl Fn() -> News) {
    for waiting in waiting {
        // It may have given up.
        let _ = waiting.told.send(news());
    }
}

/// Before something is added to `waiting`: those that have given up are taken out, each time that their number has doubled.
/// While a server is silent callers come and give up, and nothing else would ever take them out.
pub(crate) fn make_room<W, T>(waiting: &mut Vec<W>, told: impl Fn(&W) -> &oneshot::Sender<T>) {
    if waiting.len() == waiting.capacity() {
        waiting.retain(|waiting| !told(waiting).is_closed());
        waiting.reserve(waiting.len().max(4));
    }
}

/// Connections to one server on which a late reply may still come. Each holds a descriptor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listened(Arc<Mutex<usize>>);

/// How many of them are kept. Beyond these a late connection is closed, and what its write did is looked for by reading,
/// which finds it as well, only later and with more requests.
pub(crate) const MOST_LISTENED: usize = 8;

impl Listened {
    /// A place for one more, until it is dropped; `None` where there is none.
    pub(crate) fn place(&self) -> Option<ListeningPermit> {
        let mut count = self.count();
        (*count < MOST_LISTENED).then(|| {
            *count += 1;
            ListeningPermit(self.clone())
        })
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct ListeningPermit(Listened);

impl Drop for ListeningPermit {
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

    fn wait(health: &Arc<Health>) -> oneshot::Receiver<News> {
        match entered(health) {
            Admission::Wait(told, _) => told,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_silent_server_is_tried_by_one_caller_at_a_time_and_one_that_answers_by_all() {
        let health = Arc::new(Health::default());
        let first = trial(&health);
        let mut waits = wait(&health);
        assert!(waits.try_recv().is_err());
        drop(first);
        let Ok(News::Trial(second)) = waits.try_recv() else {
            panic!("it is the next");
        };
        let mut waits = wait(&health);
        health.answered();
        assert!(matches!(waits.try_recv(), Ok(News::Answers)));
        assert!(matches!(entered(&health), Admission::Free));
        health.was_silent();
        let third = trial(&health);
        // Over long ago.
        drop(second);
        drop(wait(&health));
        drop(third);
    }

    #[test]
    fn what_keeps_a_connection_from_being_opened_is_told_to_all_who_wait() {
        let health = Arc::new(Health::default());
        let first = trial(&health);
        let mut waits = [wait(&health), wait(&health)];
        first.failed(&ConnectError::TimedOut);
        for waits in &mut waits {
            assert!(matches!(waits.try_recv(), Ok(News::Failed(ConnectError::TimedOut))));
        }
        drop(trial(&health));
    }

    #[test]
    fn a_trial_whose_caller_stands_still_or_has_left_ends_with_its_limit() {
        let health = Arc::new(Health::default());
        let now = clock::instant();
        for leaves in [false, true] {
            let Admission::Trial(stands) = health.enter(now, now + LONG) else {
                panic!("it is free");
            };
            let stands = if leaves {
                stands.leave();
                None
            } else {
                Some(stands)
            };
            let Admission::Wait(_, over) = health.enter(now, now + LONG) else {
                panic!("it is not");
            };
            assert!(over >= now + LONG);
            let Admission::Trial(next) = health.enter(over, over + LONG) else {
                panic!("it counts no more");
            };
            drop(stands);
            assert!(matches!(health.enter(over, over + LONG), Admission::Wait(..)));
            drop(next);
        }
    }

    #[test]
    fn the_next_trial_is_for_the_caller_with_the_most_time_that_still_waits() {
        let health = Arc::new(Health::default());
        let now = clock::instant();
        let first = trial(&health);
        let mut waits: Vec<_> = [3, 1, 5, 4]
            .into_iter()
            .map(|lengths| match health.enter(now, now + lengths * LONG) {
                Admission::Wait(told, _) => told,
                other => panic!("{other:?}"),
            })
            .collect();
        drop(waits.remove(2));
        drop(first);
        let Ok(News::Trial(next)) = waits[2].try_recv() else {
            panic!("it has four minutes");
        };
        // One that was told, and does not look any more.
        drop(next);
        drop(waits.remove(0));
        assert!(matches!(waits[0].try_recv(), Ok(News::Trial(_))));
    }

    #[test]
    fn callers_that_have_given_up_take_no_room() {
        let health = Arc::new(Health::default());
        let _first = trial(&health);
        for _ in 0..10_000 {
            drop(wait(&health));
        }
        assert!(health.waiting() < 16, "{}", health.waiting());
    }

    #[test]
    fn no_more_late_connections_have_a_place_than_there_are_places() {
        let listened = Listened::default();
        let mut places: Vec<ListeningPermit> = (0..MOST_LISTENED).filter_map(|_| listened.clone().place()).collect();
        assert_eq!(places.len(), MOST_LISTENED);
        assert!(listened.place().is_none());
        places.pop();
        assert!(listened.place().is_some());
    }
}
