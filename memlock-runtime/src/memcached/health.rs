//! Whether a server answers, and what follows from that for new connections.
//!
//! ```text
//!             ┌───── all replies to a batch have come ──────┐
//!             ▼                                             │
//!         answering ── a batch or an opening got no reply ──► silent   (as every server begins)
//! ```
//!
//! While the server answers, callers open as many connections as they need. While it is silent, one caller at a time has the
//! [`Trial`]: it opens a connection (threads) and sends the first batch. The others wait for what comes of that, each within
//! its own limit.
//!
//! Without this, N callers of a server that accepts connections and says nothing would leave N connections, and N writes
//! that are to be settled, for each exchange limit that passes. A reply to the greeting is not enough to end the silence,
//! since a server may reply to `stats` and to nothing else.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::exchange::Unopened;

/// What is known of one server.
#[derive(Debug, Default)]
pub(super) struct Health {
    answers: AtomicBool,
    state: Mutex<State>,
    /// Connections whose replies are late.
    pub(super) listened: Listened,
}

#[derive(Debug, Default)]
struct State {
    /// The trial that is under way: its number, and when it counts no more, whatever its caller does.
    trial: Option<(u64, Instant)>,
    /// How many there have been.
    trials: u64,
    /// Callers that wait for the end of the trial, or of the silence.
    waiting: Vec<oneshot::Sender<News>>,
}

/// What a waiting caller is told: to [enter](Health::enter) again, or why no connection could be opened.
pub(super) type News = Result<(), Unopened>;

/// What a caller may do.
#[derive(Debug)]
pub(super) enum Entry {
    /// The server answers: go ahead.
    Free,
    /// Go ahead alone.
    Trial(Trial),
    /// Enter again when this is told, or at that time: then the trial of another counts no more.
    Wait(oneshot::Receiver<News>, Instant),
}

impl Health {
    pub(super) fn answers(&self) -> bool {
        self.answers.load(Ordering::Acquire)
    }

    /// Asks, `now`, to open a connection or to use a new one, for a caller whose limit is over at `until`.
    pub(super) fn enter(self: &Arc<Health>, now: Instant, until: Instant) -> Entry {
        if self.answers() {
            return Entry::Free;
        }
        let mut state = self.state();
        // Under the lock, so that no caller waits for news that were told just before.
        if self.answers() {
            return Entry::Free;
        }
        match state.trial {
            Some((_, over)) if over > now => {
                let (told, listener) = oneshot::channel();
                make_room(&mut state.waiting);
                state.waiting.push(told);
                Entry::Wait(listener, over)
            }
            // A trial ends by itself when its caller's limit is over: that caller may be a future that nobody polls.
            _ => {
                state.trials += 1;
                let number = state.trials;
                state.trial = Some((number, until));
                Entry::Trial(Trial {
                    health: Arc::clone(self),
                    number,
                    news: Ok(()),
                })
            }
        }
    }

    /// The server has sent all replies to a batch.
    pub(super) fn answered(&self) {
        // A load and no more, on the way that all goes well.
        if !self.answers() {
            let mut state = self.state();
            self.answers.store(true, Ordering::Release);
            state.trial = None;
            let waiting = mem::take(&mut state.waiting);
            drop(state);
            tell(waiting, &Ok(()));
        }
    }

    /// The server had time enough, and was silent.
    pub(super) fn was_silent(&self) {
        self.answers.store(false, Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }
}

/// The right of one caller to go ahead alone. Dropped, it is the next one's.
#[derive(Debug)]
pub(super) struct Trial {
    health: Arc<Health>,
    number: u64,
    news: News,
}

impl Trial {
    /// No connection could be opened, for a reason that holds for all who wait: they need not find it out one by one.
    pub(super) fn failed(mut self, why: Unopened) {
        self.news = Err(why);
    }

    /// The caller has sent something and waits no longer. The trial stays under way until the server answers or the caller's
    /// limit is over; callers that give up early would send one write after the other otherwise.
    pub(super) fn leave(mut self) {
        self.number = 0;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let mut state = self.health.state();
        if state.trial.is_none_or(|(number, _)| number != self.number) {
            return;
        }
        state.trial = None;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        tell(waiting, &self.news);
    }
}

fn tell(waiting: Vec<oneshot::Sender<News>>, news: &News) {
    for told in waiting {
        // It may have given up.
        let _ = told.send(news.clone());
    }
}

/// Before something is added to `waiting`: those that have given up are taken out, each time that their number has doubled.
/// While a server is silent callers come and give up, and nothing else would ever take them out.
pub(super) fn make_room<T>(waiting: &mut Vec<oneshot::Sender<T>>) {
    if waiting.len() == waiting.capacity() {
        waiting.retain(|told| !told.is_closed());
        waiting.reserve(waiting.len().max(4));
    }
}

/// Connections to one server on which a late reply may still come. Each holds a descriptor.
#[derive(Debug, Clone, Default)]
pub(super) struct Listened(Arc<Mutex<usize>>);

/// How many of them are kept. Beyond these a late connection is closed, and what its write did is looked for by reading,
/// which finds it as well, only later and with more requests.
pub(super) const MOST_LISTENED: usize = 8;

impl Listened {
    /// A place for one more, until it is dropped; `None` where there is none.
    pub(super) fn place(&self) -> Option<Place> {
        let mut count = self.count();
        (*count < MOST_LISTENED).then(|| {
            *count += 1;
            Place(self.clone())
        })
    }

    fn count(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Place(Listened);

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.count() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    const LONG: Duration = Duration::from_mins(1);

    fn entered(health: &Arc<Health>) -> Entry {
        let now = clock::instant();
        health.enter(now, now + LONG)
    }

    fn trial(health: &Arc<Health>) -> Trial {
        match entered(health) {
            Entry::Trial(trial) => trial,
            other => panic!("{other:?}"),
        }
    }

    fn wait(health: &Arc<Health>) -> oneshot::Receiver<News> {
        match entered(health) {
            Entry::Wait(told, _) => told,
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
        assert!(matches!(waits.try_recv(), Ok(Ok(()))));
        let second = trial(&health);
        let mut waits = wait(&health);
        health.answered();
        assert!(matches!(waits.try_recv(), Ok(Ok(()))));
        assert!(matches!(entered(&health), Entry::Free));
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
        first.failed(Unopened::Late);
        for waits in &mut waits {
            assert!(matches!(waits.try_recv(), Ok(Err(Unopened::Late))));
        }
        drop(trial(&health));
    }

    #[test]
    fn a_trial_whose_caller_stands_still_or_has_left_ends_with_its_limit() {
        let health = Arc::new(Health::default());
        let now = clock::instant();
        for leaves in [false, true] {
            let Entry::Trial(stands) = health.enter(now, now + LONG) else {
                panic!("it is free");
            };
            let stands = if leaves {
                stands.leave();
                None
            } else {
                Some(stands)
            };
            assert!(matches!(health.enter(now, now + LONG), Entry::Wait(_, over) if over == now + LONG));
            let Entry::Trial(next) = health.enter(now + LONG, now + 2 * LONG) else {
                panic!("it counts no more");
            };
            drop(stands);
            assert!(matches!(health.enter(now + LONG, now + 2 * LONG), Entry::Wait(..)));
            drop(next);
        }
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
        let mut places: Vec<Place> = (0..MOST_LISTENED).filter_map(|_| listened.clone().place()).collect();
        assert_eq!(places.len(), MOST_LISTENED);
        assert!(listened.place().is_none());
        places.pop();
        assert!(listened.place().is_some());
    }
}
