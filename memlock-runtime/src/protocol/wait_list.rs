//! The wait list of a lock: which process goes first when the lock becomes free, and how often a waiting process looks.
//!
//! An item beside the lock's lists the processes that wait for the lock, in order. A process that finds the lock held appends
//! itself by compare-and-set; the process that has released the lock removes itself. Only the first process looks often. A process
//! that knows of others in line does not take a free lock. It stands in line itself, and *stands back* until the first has had its
//! turn.
//!
//! A releasing process *wakes* the next one, if that can be woken; a hand-over then takes little longer than taking the lock again.
//! So among processes that can be woken none has the lock twice before the others have had it. A process that comes back at once
//! each time does not leave the line meanwhile: it has a *place kept* at the end. One write moves it there, beside the deletion that
//! releases the lock.
//!
//! All of this is a hint, and nobody holds anything because of it: a process takes the lock by the same `add` as ever. Where the
//! list is lost, or cannot be written, all poll as if there were none. A process that is in line and does not come (it died, or the
//! network fails in between) is waited for during a short *grace*, then passed. The process that passed it removes it after a while.

use std::mem;
use std::time::Duration;

use super::calls::Calls;
use super::lease::Now;
use super::machine::Pause;
use super::messages::{Cas, Instance, Member, Nonce, Reply, Request, WaitList, WakeTarget};

/// The first in line pauses for this fraction of the time since it saw the present holder, so that no hand-over takes more
/// than this fraction of what the holder took.
const PAUSE_FRACTION_OF_FIRST: u32 = 12;

/// The shortest pause of the first in line: what a system takes to let a thread sleep and wake up.
const SHORTEST_OF_FIRST: Duration = Duration::from_micros(100);

/// The others only have to notice that the holder is another, and that they may be the first now: as long as that one holds it,
/// too.
const PAUSE_FRACTION: u32 = 2;

/// The same for the first where it is called when its turn comes. It looks all the same: calls are lost, and who held the lock
/// for a moment only makes none.
const PAUSE_FRACTION_OF_CALLED: u32 = 2;

/// The shortest pause of the others.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);

/// The same for those that are called. They need not notice that they are the first now.
const SHORTEST_PAUSE_OF_CALLED: Duration = Duration::from_millis(4);

/// The longest pause of the others, in intervals: with it four processes together look 40 times a second at the most.
const LONGEST_PAUSE: u32 = 4;

/// The same for those that are called: with it four processes together look less than 40 times a second, what they look in the
/// first second included.
const LONGEST_PAUSE_OF_CALLED: u32 = 5;

/// The least time for which a free lock is left to the first in line: it may have to wait for a processor.
const SHORTEST_GRACE: Duration = Duration::from_millis(3);

/// The grace is this fraction of the holder's time. It is more than the first's pause.
const GRACE_FRACTION: u32 = 8;

/// After how many intervals one who has been passed is taken out of the line. Anyone alive has looked by then, and is not
/// passed.
const INTERVALS_UNTIL_DEAD: u32 = 6;

/// For how long a process may take the lock again and again, although others wait, before it stands back. A hand-over to
/// another process costs some ten times what it costs to take it again, where the other is not called.
pub(super) const TURN: Duration = Duration::from_micros(500);

/// Who comes back within this time after it has released the lock is expected to do so the next time, too.
const SOON: Duration = Duration::from_millis(1);

/// How long a forgotten line lives: of processes that have died, or all given up while the server could not be asked.
const TTL: u32 = 300;

/// What a process knows of the line for one lock, and of who holds it. It belongs to the process's queue for the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitListView {
    me: Member,
    /// As it was last read, or written.
    line: WaitList,
    /// The instance where it was read, and its CAS there; `None` where there was no line. What is not known cannot be changed.
    proof: Option<(Instance, Option<Cas>)>,
    /// An entry was written, and nothing is known of it.
    may_have_joined: bool,
    /// When this process last released the lock.
    released: Option<Duration>,
    /// Whether it came back soon after that.
    comes_back: bool,
    /// It stands in line although it does not wait, because it is expected back.
    is_place_kept: bool,
    /// Whether who has released the lock says that this process is the next.
    calls: Calls,
    /// Under which nonce the lock was last seen to be held, and since when its process is known to have it.
    holder: Option<(Nonce, Duration)>,
    /// For how long the last holder held it, as far as that was seen.
    last_hold: Duration,
    /// For whom the free lock is left alone, and since when.
    left_to: Option<(u64, Duration)>,
    /// Who was in line and did not come when it was first passed.
    passed: Option<(u64, Duration)>,
    /// Since when this process may take the lock, again and again.
    turn_began: Option<Duration>,
}

impl WaitListView {
    /// `me` knows nothing of the line.
    pub fn new(me: Member) -> WaitListView {
        WaitListView {
            me,
            line: WaitList::default(),
            proof: None,
            may_have_joined: false,
            released: None,
            comes_back: false,
            is_place_kept: false,
            calls: Calls::default(),
            holder: None,
            last_hold: Duration::ZERO,
            left_to: None,
            passed: None,
            turn_began: None,
        }
    }

    /// A place is kept for it, which has just released the lock. For tests.
    #[must_use]
    pub fn place_kept(self, now: Now) -> WaitListView {
        WaitListView {
            released: Some(now.instant),
            is_place_kept: true,
            ..self
        }
    }

    /// `me` has seen `line`. For tests.
    pub fn with_line(me: Member, line: WaitList) -> WaitListView {
        WaitListView {
            line,
            ..WaitListView::new(me)
        }
    }

    /// Takes note of a reply to [`Request::ReadLine`]. Returns whether it is one.
    pub(super) fn read(&mut self, reply: Option<&Reply>, instance: Option<Instance>) -> bool {
        let (line, cas) = match reply {
            Some(Reply::WaitList { line, cas }) => (line.clone(), Some(*cas)),
            Some(Reply::Missing) => (WaitList::default(), None),
            _ => return false,
        };
        self.proof = instance.map(|instance| (instance, cas));
        self.line = line;
        self.may_have_joined = false;
        // Who was passed once, and has had its turn since, is alive.
        self.passed = self.passed.filter(|(passed, _)| self.ahead().next() == Some(*passed));
        true
    }

    /// Whether this process stands in it.
    pub fn is_in_line(&self) -> bool {
        self.line.0.contains(&self.me)
    }

    /// Whether there is an entry to be taken out when nobody in this process waits any more.
    pub fn is_to_leave(&self) -> bool {
        self.may_have_joined || self.waits_in_line()
    }

    /// Whether it stands in line although nobody in this process waits. Who does not come back soon is to leave.
    pub fn is_place_kept(&self) -> bool {
        self.is_place_kept
    }

    /// Whether it was expected back by now.
    pub fn is_overdue(&self, now: Now) -> bool {
        !self.is_back_soon(now)
    }

    fn is_back_soon(&self, now: Now) -> bool {
        let since = self.released.map(|released| now.instant.saturating_sub(released));
        since.is_some_and(|since| since < SOON)
    }

    /// Somebody in this process asks for the lock.
    pub(super) fn came_back(&mut self, now: Now) {
        self.comes_back = self.is_back_soon(now);
    }

    /// Its turn is over, and it waits for the others'. Returns whether a place in line was kept for that.
    pub(super) fn turn_is_over(&mut self) -> bool {
        self.turn_began = None;
        mem::take(&mut self.is_place_kept) && self.is_in_line()
    }

    /// Whether it stands in line, and waits.
    pub(super) fn waits_in_line(&self) -> bool {
        self.is_in_line() && !self.is_place_kept
    }

    /// Whether others are in line.
    pub fn has_others(&self) -> bool {
        self.line.0.iter().any(|entry| *entry != self.me)
    }

    /// The process to be told that the lock is free, once this one has released it, if it wants to be told.
    pub fn to_wake(&self) -> Option<WakeTarget> {
        let next = self.line.0.iter().find(|entry| **entry != self.me)?;
        next.wake
    }

    /// Who is to go before this process. The holder has had its turn, although it may not have left the line yet.
    fn ahead(&self) -> impl Iterator<Item = u64> {
        let holder = self.holder.map(|(nonce, _)| nonce.process());
        let others = self.line.0.iter().take_while(|entry| **entry != self.me);
        others
            .map(|entry| entry.process)
            .filter(move |process| Some(*process) != holder)
    }

    /// Whether this process is the next.
    pub(super) fn is_first(&self) -> bool {
        self.is_in_line() && self.ahead().next().is_none()
    }

    /// Whoever has released the lock says that this process is the next. Returns how long it is to wait before it heeds that.
    pub(super) fn called(&mut self, now: Now) -> Duration {
        self.calls.heard(now)
    }

    /// Whether it may believe without a look that the lock is free.
    pub(super) fn is_surely_called(&self) -> bool {
        self.calls.is_surely_called()
    }

    /// Whether the lock, which is free, is this process's to take, as far as that is known without reading the line again.
    pub(super) fn is_its_turn(&self) -> bool {
        self.calls.is_woken() || self.is_first()
    }

    /// Whether it may take the lock although others wait: its turn has just begun. Where the next can be called, a hand-over
    /// costs little more than taking it again, and a turn is one grant.
    pub fn may_go_on(&self, now: Now) -> bool {
        let began = self.turn_began.filter(|_| !self.is_next_called());
        began.is_some_and(|began| now.instant.saturating_sub(began) < TURN)
    }

    /// Whether the next hears, as far as is known, that it is his turn.
    fn is_next_called(&self) -> bool {
        self.calls.do_arrive() && self.to_wake().is_some()
    }

    /// The lock was seen to be held under `nonce`. Returns whether that is another's turn.
    pub(super) fn saw_holder(&mut self, nonce: Nonce, now: Now) -> bool {
        self.left_to = None;
        let is_same_turn = |(before, since): (Nonce, Duration)| {
            // A process that takes it again and again has one turn. Who looks seldom may see it in two of them.
            let may_be_same = now.instant.saturating_sub(since) < 2 * TURN;
            before == nonce || before.process() == nonce.process() && may_be_same
        };
        let is_same = self.holder.is_some_and(is_same_turn);
        self.calls.saw_holder(is_same, now);
        if is_same {
            return false;
        }
        self.holder_left(now);
        self.holder = Some((nonce, now.instant));
        self.passed = self.passed.filter(|(passed, _)| *passed != nonce.process());
        true
    }

    fn holder_left(&mut self, now: Now) {
        if let Some((_, since)) = self.holder {
            self.last_hold = now.instant.saturating_sub(since);
        }
    }

    /// The lock was seen to be free, and the line was read. Returns whether it is still to be left to somebody else.
    pub(super) fn stands_back(&mut self, interval: Duration, now: Now) -> bool {
        let Some(first) = self.ahead().next() else { return false };
        let since = match self.left_to {
            Some((process, since)) if process == first => since,
            _ => {
                self.left_to = Some((first, now.instant));
                now.instant
            }
        };
        if now.instant.saturating_sub(since) < self.grace(interval) {
            return true;
        }
        if self.passed.is_none_or(|(process, _)| process != first) {
            self.passed = Some((first, now.instant));
        }
        false
    }

    /// For how long a free lock is left to those in line before this process: to each in its turn, so that the next takes it
    /// where the first does not come, and not who happens to look.
    fn grace(&self, interval: Duration) -> Duration {
        let longest = interval.saturating_add(SHORTEST_GRACE);
        let each = (self.last_hold / GRACE_FRACTION).clamp(SHORTEST_GRACE, longest);
        each.saturating_mul(u32::try_from(self.ahead().count()).unwrap_or(u32::MAX))
    }

    /// The lock was granted to this process.
    pub(super) fn granted(&mut self, nonce: Nonce, now: Now) {
        self.turn_began.get_or_insert(now.instant);
        self.calls.granted(self.is_in_line());
        self.left_to = None;
        self.holder = Some((nonce, now.instant));
    }

    /// This process has released the lock.
    pub(super) fn released(&mut self, now: Now) {
        self.holder_left(now);
        self.released = Some(now.instant);
    }

    /// The window of the next pause of one who stands in line.
    pub(super) fn pause(&self, interval: Duration, now: Now) -> Pause {
        let since = |since: Duration| now.instant.saturating_sub(since);
        let held = self.holder.map(|(_, seen)| since(seen)).unwrap_or_default();
        let is_woken = self.me.wake.is_some() && self.calls.do_arrive();
        if self.is_first() {
            let (fraction, shortest) = if is_woken {
                (PAUSE_FRACTION_OF_CALLED, SHORTEST_PAUSE)
            } else {
                (PAUSE_FRACTION_OF_FIRST, SHORTEST_OF_FIRST)
            };
            let longest = (held / fraction).clamp(shortest, interval.max(shortest));
            return Pause {
                from: longest * 7 / 8,
                to: longest,
            };
        }
        let (fraction, shortest, intervals) = if is_woken {
            (1, SHORTEST_PAUSE_OF_CALLED, LONGEST_PAUSE_OF_CALLED)
        } else {
            (PAUSE_FRACTION, SHORTEST_PAUSE, LONGEST_PAUSE)
        };
        let longest = interval.saturating_mul(intervals).max(shortest);
        let mut longest = (held / fraction).clamp(shortest, longest);
        if let Some((_, left)) = self.left_to {
            longest = longest.min(self.grace(interval).saturating_sub(since(left)));
        }
        Pause {
            from: longest * 7 / 8,
            to: longest,
        }
    }

    /// What puts this process at the end of the line. `None`: it cannot stand there. `only_on` the instance beside it.
    pub(super) fn join(&mut self, interval: Duration, now: Now) -> Option<(Request, Instance)> {
        let (instance, cas) = self.proof?;
        let mut line = self.without_me(interval, now);
        if line.0.len() >= WaitList::LONGEST {
            return None;
        }
        line.0.push(self.me);
        self.turn_began = None;
        self.may_have_joined = true;
        self.line = line.clone();
        let store = Request::StoreLine { line, ttl: TTL, cas };
        Some((store, instance))
    }

    /// What this process does about its place as it releases the lock: it goes to the end of the line where it is expected back
    /// before it is called, which saves it joining again, else it leaves. `None`: there is nothing to be done, or nothing known.
    pub(super) fn give_way(&mut self, interval: Duration, now: Now) -> Option<(Request, Instance)> {
        let mut line = self.without_me(interval, now);
        let is_expected_back = self.comes_back && self.is_next_called();
        if self.is_in_line() && is_expected_back && !line.0.is_empty() && self.cas().is_some() {
            line.0.push(self.me);
            self.is_place_kept = true;
        }
        self.change(line)
    }

    /// What takes it out of the line again. `None`: there is nothing to be done, or nothing known.
    pub(super) fn leave(&mut self, interval: Duration, now: Now) -> Option<(Request, Instance)> {
        let line = self.without_me(interval, now);
        self.change(line)
    }

    fn change(&mut self, line: WaitList) -> Option<(Request, Instance)> {
        let (instance, cas) = self.cas()?;
        if line == self.line {
            return None;
        }
        self.line = line.clone();
        let request = if line.0.is_empty() {
            Request::DeleteLine { cas }
        } else {
            let (ttl, cas) = (TTL, Some(cas));
            Request::StoreLine { line, ttl, cas }
        };
        Some((request, instance))
    }

    /// Where there is a line to be changed, and its CAS there.
    fn cas(&self) -> Option<(Instance, Cas)> {
        let (instance, cas) = self.proof?;
        Some((instance, cas?))
    }

    /// Takes note of a reply to what [gives way](Self::give_way). Where somebody else was quicker the entry is still there.
    pub(super) fn gave_way(&mut self, reply: Option<&Reply>) {
        if !self.wrote(reply) {
            self.is_place_kept = false;
            self.may_have_joined = true;
        }
    }

    /// Takes note of a reply to what changes the line. Returns whether it was changed.
    pub(super) fn wrote(&mut self, reply: Option<&Reply>) -> bool {
        let instance = self.proof.take().map(|(instance, _)| instance);
        let cas = match reply {
            Some(Reply::Stored(cas)) => Some(*cas),
            Some(Reply::Deleted) => None,
            _ => {
                // Somebody else was quicker, or nothing is known: it is to be read again.
                self.line.0.retain(|entry| *entry != self.me);
                self.may_have_joined &= reply.is_none();
                return false;
            }
        };
        self.may_have_joined = false;
        self.proof = instance.map(|instance| (instance, cas));
        true
    }

    /// Nothing more is done about an entry that may be left.
    pub(super) fn forget_place(&mut self) {
        self.line.0.retain(|entry| *entry != self.me);
        self.may_have_joined = false;
    }

    /// The line without this process, and without one who did not come.
    fn without_me(&self, interval: Duration, now: Now) -> WaitList {
        let is_dead = |entry: &Member| {
            self.passed.is_some_and(|(process, since)| {
                process == entry.process
                    && now.instant.saturating_sub(since) >= interval.saturating_mul(INTERVALS_UNTIL_DEAD)
            })
        };
        let stays = |entry: &&Member| **entry != self.me && !is_dead(entry);
        WaitList(self.line.0.iter().filter(stays).copied().collect())
    }
}
