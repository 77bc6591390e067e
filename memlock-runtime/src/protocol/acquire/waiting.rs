//! Looks at a lock that another process holds, joins the wait list for it, and pauses.

use std::borrow::Borrow;
use std::time::Duration;

use smallvec::smallvec;

use super::{
    Acquire, AcquireState, CLOCK_INTERVAL, CREDIT, LIST_ATTEMPTS, LOST_RACES, LookKind, Outcome, PAUSE_FRACTION,
    SHORTEST_PAUSE, exchange,
};
use crate::protocol::lease::Now;
use crate::protocol::machine::{Exchanged, Output, Pause, lock_of};
use crate::protocol::messages::{Nonce, Reply, Request};
use crate::protocol::spec::Spec;
use crate::protocol::wait_list::WaitListView;
use crate::protocol::watch::Watch;

impl<S: Borrow<Spec>> Acquire<S> {
    /// Records a wake-up. It says that the sender has released the lock and that this contender is next, whatever the
    /// contender knows of the wait list. Returns how long the wake-up must not count yet. With `look_first` the
    /// contender still reads before it stores.
    pub fn record_wake(&mut self, now: Now, look_first: bool) -> Duration {
        self.look_first = look_first;
        self.wait_list
            .as_mut()
            .map_or(Duration::ZERO, |wait_list| wait_list.record_wake(now))
    }

    /// What is known of the wait list.
    pub fn wait_list(&self) -> Option<&WaitListView> {
        self.wait_list.as_deref()
    }

    /// Replaces what is known of the wait list.
    pub fn replace_wait_list(&mut self, wait_list: Box<WaitListView>) {
        self.wait_list = Some(wait_list);
    }

    /// Takes what is known of the wait list, for the release or the next contender of this process.
    pub fn take_wait_list(&mut self) -> Option<Box<WaitListView>> {
        self.wait_list.take()
    }

    /// Lets the processes go first that are known to wait.
    pub(super) fn stand_back(&mut self, now: Now) -> Output<Outcome> {
        let has_place = self.wait_list.as_mut().is_some_and(|wait_list| wait_list.end_turn());
        if has_place && !self.wait_is_over(now) {
            // A look would show nothing new before the others have had their turns.
            return self.pause(now);
        }
        self.look_and_join(now)
    }

    /// Reads the lock's item.
    pub(super) fn look(&mut self, now: Now) -> Output<Outcome> {
        if !self.take_credit() {
            return self.pause_without_credit(now);
        }
        // The clock is read as well now and then, so that a waiter knows how it ran when its turn comes.
        let since = self.clock_asked.map(|asked| now.instant.saturating_sub(asked));
        let with_clock = since.is_none_or(|since| since >= CLOCK_INTERVAL);
        let kind = if with_clock {
            LookKind::WithClock
        } else {
            LookKind::LockOnly
        };
        self.state = AcquireState::Looking { kind };
        if !with_clock {
            return exchange(smallvec![Request::Read], None);
        }
        self.clock_asked = Some(now.instant);
        exchange(smallvec![Request::ReadClock, Request::Read], None)
    }

    /// Records whether the clock was read. If there was no clock item, the next look asks for it again: without an
    /// earlier reading a waiter would not notice that the server stood still while it waited.
    pub(super) fn record_clock_reply(&mut self, answered: &Exchanged) {
        if answered.server_second().is_none() {
            self.clock_asked = None;
        }
    }

    /// Reads the lock's item and the wait list.
    pub(super) fn look_with_list(&mut self, now: Now) -> Output<Outcome> {
        if self.me.is_none() {
            return self.look(now);
        }
        if !self.take_credit() {
            return self.pause_without_credit(now);
        }
        self.state = AcquireState::Looking {
            kind: LookKind::WithList,
        };
        exchange(smallvec![Request::Read, Request::ReadWaitList], None)
    }

    /// Reads the lock's item, and joins the list behind the processes that are known to wait. The list is not read
    /// again before that, so joining works only if no other process has changed it since. Where the process need not or
    /// cannot join, the list is read along with the item. A process that does not wait does not join.
    pub(super) fn look_and_join(&mut self, now: Now) -> Output<Outcome> {
        let is_over = self.wait_is_over(now);
        let must_join =
            |wait_list: &&mut Box<WaitListView>| !is_over && wait_list.next_other().is_some() && wait_list.must_join();
        let interval = self.spec().interval;
        let wait_list = self.wait_list.as_mut().filter(must_join);
        let joining = wait_list.and_then(|wait_list| wait_list.join(interval, now));
        let Some((store, instance)) = joining else {
            return self.look_with_list(now);
        };
        self.spend_credit();
        self.state = AcquireState::Looking {
            kind: LookKind::WithJoin,
        };
        exchange(smallvec![Request::Read, store], Some(instance))
    }

    /// Records the wait list, if it is in the reply at `index`. Returns whether it is.
    pub(super) fn record_list(&mut self, now: Now, answered: &Exchanged, index: usize) -> bool {
        let (Some(me), Some(reply)) = (self.me, answered.reply(index)) else {
            return false;
        };
        let wait_list = self.wait_list.get_or_insert_with(|| Box::new(WaitListView::new(me)));
        wait_list.record_list(Some(reply), answered.instance, now)
    }

    /// Records the reply at `index` to a write that joins the wait list. Returns whether this process has joined.
    pub(super) fn record_list_write(&mut self, answered: &Exchanged, index: usize) -> bool {
        let reply = answered.reply(index);
        self.wait_list
            .as_mut()
            .is_some_and(|wait_list| wait_list.record_write(reply))
    }

    /// Handles a free lock. A contender that knows of others before it leaves the lock to them for a moment.
    pub(super) fn handle_free(&mut self, now: Now, fresh: Nonce, has_list: bool) -> Output<Outcome> {
        // At the end of its wait a contender takes a free lock, although others may be before it.
        if self.wait_is_over(now) {
            return self.add(now, fresh);
        }
        let interval = self.spec().interval;
        let Some(wait_list) = &mut self.wait_list else {
            return self.add(now, fresh);
        };
        if wait_list.is_its_turn() {
            return self.add(now, fresh);
        }
        if !has_list && self.list_attempts <= LIST_ATTEMPTS {
            self.list_attempts += 1;
            return self.look_with_list(now);
        }
        if !wait_list.must_stand_back(interval, now) {
            return self.add(now, fresh);
        }
        self.join_or_pause(now)
    }

    /// Handles a lock that another process holds, or a caller of this process that lost its lease and with it its turn.
    pub(super) fn handle_held(&mut self, now: Now, holder: Nonce, has_list: bool) -> Output<Outcome> {
        if self.wait_is_over(now) {
            return self.end_busy();
        }
        // Joining is not worth the write for a lock that is free again at the second look.
        let may_join = self.has_paused || self.me.is_some() && self.wait_list.is_some();
        let is_list_current = match &mut self.wait_list {
            // When the holder changes, the list changes, too.
            Some(wait_list) => !wait_list.record_holder(holder, now) && !wait_list.must_join(),
            None => false,
        };
        if !may_join || is_list_current && !has_list {
            return self.pause(now);
        }
        if has_list {
            return self.join_or_pause(now);
        }
        // The server may refuse to read the list each time.
        if self.list_attempts > LIST_ATTEMPTS {
            return self.pause(now);
        }
        self.list_attempts += 1;
        self.look_with_list(now)
    }

    /// Handles the reply to a write that joins the list. A contender without a place in the list waits as well; it only
    /// gets the lock less fast.
    pub(super) fn handle_join(&mut self, now: Now, answered: &Exchanged) -> Output<Outcome> {
        let reply = answered.reply(0);
        let has_joined = self.record_list_write(answered, 0);
        self.list_attempts += 1;
        if reply.is_none() {
            self.handle_failed_exchange(now, answered, |acquire| acquire.look(now))
        } else if has_joined || self.list_attempts > LIST_ATTEMPTS {
            self.list_attempts = 0;
            self.pause(now)
        } else {
            self.look_with_list(now)
        }
    }

    /// Joins the list, which has just been read, or clears the mark of this process there. Pauses if it need not, or
    /// cannot.
    pub(super) fn join_or_pause(&mut self, now: Now) -> Output<Outcome> {
        if self.credit <= 0 {
            return self.pause_without_credit(now);
        }
        let interval = self.spec().interval;
        let wait_list = self.wait_list.as_mut().filter(|wait_list| wait_list.must_join());
        let joining = wait_list.and_then(|wait_list| wait_list.join(interval, now));
        let Some((store, instance)) = joining else {
            self.list_attempts = 0;
            return self.pause(now);
        };
        self.spend_credit();
        self.state = AcquireState::Joining;
        exchange(smallvec![store], Some(instance))
    }

    /// Handles the replies to a look.
    pub(super) fn handle_look(
        &mut self,
        now: Now,
        fresh: Nonce,
        kind: LookKind,
        answered: &Exchanged,
    ) -> Output<Outcome> {
        let has_list = match kind {
            LookKind::LockOnly => false,
            LookKind::WithClock => {
                self.record_clock_reply(answered);
                false
            }
            LookKind::WithList => self.record_list(now, answered, 1),
            LookKind::WithJoin => self.record_list_write(answered, 1),
        };
        match (
            answered.reply(usize::from(kind == LookKind::WithClock)),
            answered.instance,
        ) {
            (Some(Reply::Missing), _) => {
                self.record_look();
                self.is_held = false;
                self.watch = None;
                self.handle_free(now, fresh, has_list)
            }
            (Some(Reply::Item { content, cas }), Some(instance)) => {
                self.record_look();
                self.is_held = true;
                let Some(record) = lock_of(&self.spec().item, content) else {
                    self.watch = None;
                    return self.pause(now);
                };
                if self.outstanding.contains(&record.nonce) {
                    self.is_held = false;
                    return self.clear(now, record.nonce, *cas, instance);
                }
                if !self.watch.is_some_and(|watch| watch.is_of(record.nonce)) {
                    (self.credit, self.lost_writes) = (CREDIT, 0);
                }
                self.holder = (!record.label.is_empty()).then(|| record.label.clone());
                let watch = Watch::observe(self.watch, record, now);
                self.watch = Some(watch);
                if watch.left(now).is_zero() {
                    self.take_over(now, fresh, *cas, instance)
                } else {
                    self.handle_held(now, record.nonce, has_list)
                }
            }
            (Some(Reply::Refused(refusal)), _) => self.end(Outcome::Refused(refusal.clone())),
            _ => self.handle_failed_exchange(now, answered, |acquire| acquire.look(now)),
        }
    }

    /// Handles an add or a take-over that lost to a faster contender. Once or twice this is chance, and the contender
    /// looks again at once. After that it pauses, since there are many contenders.
    pub(super) fn handle_lost_race(&mut self, now: Now) -> Output<Outcome> {
        if self.has_looked && self.wait_is_over(now) {
            return self.end_busy();
        }
        self.lost_races += 1;
        if self.lost_races <= LOST_RACES {
            return self.look(now);
        }
        self.pause(now)
    }

    /// Pauses before the next look at a lock that another one holds, or ends if the wait is over.
    pub(super) fn pause(&mut self, now: Now) -> Output<Outcome> {
        if self.wait_is_over(now) {
            return self.end_busy();
        }
        self.lost_races = 0;
        // Only a contender that may join the list uses the flag. Elsewhere it stays unset, so the model has fewer
        // states.
        self.has_paused = self.me.is_some();
        self.state = AcquireState::Pausing { then_look: true };
        let interval = self.spec().interval;
        let window = match &mut self.wait_list {
            Some(wait_list) if wait_list.is_in_line() => wait_list.next_pause(interval, now),
            wait_list => {
                let outside = wait_list
                    .as_mut()
                    .and_then(|wait_list| wait_list.pause_outside(interval));
                outside.unwrap_or_else(|| {
                    let to = self.longest_pause(now);
                    Pause { from: to / 2, to }
                })
            }
        };
        // The pause ends no later than the wait, and no later than the watch over the holder's lease.
        let mut longest = window.to.min(self.wait_left(now));
        if let Some(watch) = self.watch {
            // Timers may run faster than the clock that the watch still waits for. A pause for what is left then ends
            // too early each time, and the last ones would be hardly any pauses.
            longest = longest.min(watch.left(now).max(SHORTEST_PAUSE));
        }
        self.credit = CREDIT.min(self.credit + 1);
        Output::Pause(Pause {
            from: window.from.min(longest),
            to: longest,
        })
    }

    /// The longest pause of a contender that is not in the list.
    pub(super) fn longest_pause(&self, now: Now) -> Duration {
        (self.waited(now) / PAUSE_FRACTION).clamp(SHORTEST_PAUSE, self.spec().interval.max(SHORTEST_PAUSE))
    }

    /// How much of the wait is left.
    pub(super) fn wait_left(&self, now: Now) -> Duration {
        let left = self.spec().wait.map(|wait| wait.saturating_sub(self.waited(now)));
        left.unwrap_or(Duration::MAX)
    }

    /// How long the contender has waited.
    pub(super) fn waited(&self, now: Now) -> Duration {
        self.started
            .map_or(Duration::ZERO, |started| now.instant.saturating_sub(started.instant))
    }

    /// Whether the contender has waited as long as it may.
    pub(super) fn wait_is_over(&self, now: Now) -> bool {
        self.spec().wait.is_some_and(|wait| self.waited(now) >= wait)
    }
}
