//! Looking at a lock that another holds, standing in line for it, and pausing.

use std::borrow::Borrow;
use std::time::Duration;

use smallvec::smallvec;

use super::{
    Acquire, AcquireState, Along, CLOCK_INTERVAL, CREDIT, LOST_PLACES, LOST_RACES, Outcome, PAUSE_FRACTION,
    SHORTEST_PAUSE, exchange,
};
use crate::protocol::lease::Now;
use crate::protocol::machine::{Exchanged, Output, Pause, lock_of};
use crate::protocol::messages::{Nonce, Reply, Request};
use crate::protocol::spec::Spec;
use crate::protocol::wait_list::WaitListView;
use crate::protocol::watch::Watch;

impl<S: Borrow<Spec>> Acquire<S> {
    pub(super) fn stand_back(&mut self, now: Now) -> Output<Outcome> {
        let has_place = self.standing.as_mut().is_some_and(|standing| standing.turn_is_over());
        if has_place && !self.wait_is_over(now) {
            // Nothing is to be learned before the others have had their turns.
            return self.pause(now);
        }
        self.look_and_join(now)
    }

    pub(super) fn look(&mut self, now: Now) -> Output<Outcome> {
        if !self.may_ask() {
            return self.rest(now);
        }
        // The clock is read along now and then, so that a waiter knows how it ran when its turn comes.
        let since = self.clock_asked.map(|asked| now.instant.saturating_sub(asked));
        let with_clock = since.is_none_or(|since| since >= CLOCK_INTERVAL);
        let along = if with_clock { Along::Clock } else { Along::Nothing };
        self.state = AcquireState::Looking { along };
        if !with_clock {
            return exchange(smallvec![Request::Read], None);
        }
        self.clock_asked = Some(now.instant);
        exchange(smallvec![Request::ReadClock, Request::Read], None)
    }

    /// The clock was asked for. Where there was none to be read it is asked for again: whoever waits while the server stands still
    /// would not notice that without a reading from before.
    pub(super) fn asked_clock(&mut self, answered: &Exchanged) {
        if answered.server_second().is_none() {
            self.clock_asked = None;
        }
    }

    pub(super) fn look_at_line(&mut self, now: Now) -> Output<Outcome> {
        if self.me.is_none() {
            return self.look(now);
        }
        if !self.may_ask() {
            return self.rest(now);
        }
        self.state = AcquireState::Looking { along: Along::WaitList };
        exchange(smallvec![Request::Read, Request::ReadLine], None)
    }

    /// Stands back behind those who are known to wait: goes to the end of the line without reading it again, if nobody has
    /// changed it since.
    pub(super) fn look_and_join(&mut self, now: Now) -> Output<Outcome> {
        let is_to_join = |standing: &&mut Box<WaitListView>| standing.has_others() && !standing.is_in_line();
        let interval = self.spec().interval;
        let standing = self.standing.as_mut().filter(is_to_join);
        let joining = standing.and_then(|standing| standing.join(interval, now));
        let Some((store, instance)) = joining else {
            return self.look_at_line(now);
        };
        self.must_ask();
        self.state = AcquireState::Looking { along: Along::Joining };
        exchange(smallvec![Request::Read, store], Some(instance))
    }

    /// Takes note of who stands in line, if the reply at `index` tells that. Whether it does.
    pub(super) fn read_line(&mut self, answered: &Exchanged, index: usize) -> bool {
        let (Some(me), Some(reply)) = (self.me, answered.reply(index)) else {
            return false;
        };
        let standing = self.standing.get_or_insert_with(|| Box::new(WaitListView::new(me)));
        standing.read(Some(reply), answered.instance)
    }

    /// Takes note of the reply at `index` to what joins the line. Whether it has joined.
    pub(super) fn wrote_line(&mut self, answered: &Exchanged, index: usize) -> bool {
        let reply = answered.reply(index);
        self.standing.as_mut().is_some_and(|standing| standing.wrote(reply))
    }

    /// Nobody holds it. Whoever knows of others that were there before leaves it to them for a moment.
    pub(super) fn free(&mut self, now: Now, fresh: Nonce, has_line: bool) -> Output<Outcome> {
        // Nobody goes without a lock that is free.
        if self.wait_is_over(now) {
            return self.add(now, fresh);
        }
        let interval = self.spec().interval;
        let Some(standing) = &mut self.standing else {
            return self.add(now, fresh);
        };
        if standing.is_its_turn() {
            return self.add(now, fresh);
        }
        if !has_line && self.lost_places <= LOST_PLACES {
            self.lost_places += 1;
            return self.look_at_line(now);
        }
        if !standing.stands_back(interval, now) {
            return self.add(now, fresh);
        }
        self.join_or_pause(now)
    }

    /// Another process holds it, or another caller of this one from whom its lease took the turn.
    pub(super) fn held(&mut self, now: Now, holder: Nonce, has_line: bool) -> Output<Outcome> {
        if self.wait_is_over(now) {
            return self.busy();
        }
        // A section that is over at the second look is not worth a place in line.
        let is_to_join = self.has_paused || self.me.is_some() && self.standing.is_some();
        let is_known = match &mut self.standing {
            // When the holder changes, so does the line.
            Some(standing) => !standing.saw_holder(holder, now) && standing.is_in_line(),
            None => false,
        };
        if !is_to_join || is_known && !has_line {
            return self.pause(now);
        }
        if has_line {
            return self.join_or_pause(now);
        }
        // A server may refuse to tell the line.
        if self.lost_places > LOST_PLACES {
            return self.pause(now);
        }
        self.lost_places += 1;
        self.look_at_line(now)
    }

    /// Whatever came of it: without a place in line it waits as well, only not as fast.
    pub(super) fn joined(&mut self, now: Now, answered: &Exchanged) -> Output<Outcome> {
        let reply = answered.reply(0);
        let has_joined = self.wrote_line(answered, 0);
        self.lost_places += 1;
        if reply.is_none() {
            self.unreachable(now, answered, |acquire| acquire.look(now))
        } else if has_joined || self.lost_places > LOST_PLACES {
            self.lost_places = 0;
            self.pause(now)
        } else {
            self.look_at_line(now)
        }
    }

    /// The line has just been read.
    pub(super) fn join_or_pause(&mut self, now: Now) -> Output<Outcome> {
        if self.credit <= 0 {
            return self.rest(now);
        }
        let interval = self.spec().interval;
        let standing = self.standing.as_mut().filter(|standing| !standing.is_in_line());
        let joining = standing.and_then(|standing| standing.join(interval, now));
        let Some((store, instance)) = joining else {
            self.lost_places = 0;
            return self.pause(now);
        };
        self.must_ask();
        self.state = AcquireState::Joining;
        exchange(smallvec![store], Some(instance))
    }

    /// What a look has shown.
    pub(super) fn looked(&mut self, now: Now, fresh: Nonce, along: Along, answered: &Exchanged) -> Output<Outcome> {
        let has_line = match along {
            Along::Nothing => false,
            Along::Clock => {
                self.asked_clock(answered);
                false
            }
            Along::WaitList => self.read_line(answered, 1),
            Along::Joining => self.wrote_line(answered, 1),
        };
        match (answered.reply(usize::from(along == Along::Clock)), answered.instance) {
            (Some(Reply::Missing), _) => {
                self.seen();
                self.is_held = false;
                self.watch = None;
                self.free(now, fresh, has_line)
            }
            (Some(Reply::Item { content, cas }), Some(instance)) => {
                self.seen();
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
                    self.held(now, record.nonce, has_line)
                }
            }
            (Some(Reply::Refused(refusal)), _) => self.end(Outcome::Refused(refusal.clone())),
            _ => self.unreachable(now, answered, |acquire| acquire.look(now)),
        }
    }

    /// Another was quicker. Once or twice that is chance, and worth a look at once; then others are many, and it waits.
    pub(super) fn lost_race(&mut self, now: Now) -> Output<Outcome> {
        if self.has_looked && self.wait_is_over(now) {
            return self.busy();
        }
        self.lost_races += 1;
        if self.lost_races <= LOST_RACES {
            return self.look(now);
        }
        self.pause(now)
    }

    /// Another holds it: give up, or look again later.
    pub(super) fn pause(&mut self, now: Now) -> Output<Outcome> {
        if self.wait_is_over(now) {
            return self.busy();
        }
        self.lost_races = 0;
        // Only who may stand in line has a use for it, and the model has fewer states without.
        self.has_paused = self.me.is_some();
        self.state = AcquireState::Pausing { then_look: true };
        let window = match &self.standing {
            Some(standing) if standing.is_in_line() => standing.pause(self.spec().interval, now),
            _ => {
                let longest = self.longest_pause(now);
                let from = longest / 2;
                Pause { from, to: longest }
            }
        };
        // Not past the moments that matter: the end of the wait, and the end of a dead holder's lease.
        let mut longest = window.to.min(self.wait_left(now));
        if let Some(watch) = self.watch {
            longest = longest.min(watch.left(now));
        }
        self.credit = CREDIT.min(self.credit + 1);
        Output::Pause(Pause {
            from: window.from.min(longest),
            to: longest,
        })
    }

    /// The longest pause of one that waits outside of the line.
    pub(super) fn longest_pause(&self, now: Now) -> Duration {
        (self.waited(now) / PAUSE_FRACTION).clamp(SHORTEST_PAUSE, self.spec().interval.max(SHORTEST_PAUSE))
    }

    /// How much of the wait is left.
    pub(super) fn wait_left(&self, now: Now) -> Duration {
        let left = self.spec().wait.map(|wait| wait.saturating_sub(self.waited(now)));
        left.unwrap_or(Duration::MAX)
    }

    pub(super) fn waited(&self, now: Now) -> Duration {
        self.started
            .map_or(Duration::ZERO, |started| now.instant.saturating_sub(started.instant))
    }

    pub(super) fn wait_is_over(&self, now: Now) -> bool {
        self.spec().wait.is_some_and(|wait| self.waited(now) >= wait)
    }
}
