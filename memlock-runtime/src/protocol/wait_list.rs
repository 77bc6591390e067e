//! The wait list of a lock: which process goes first when the lock becomes free, and how often a waiting process looks.
//!
//! An item beside the lock's lists the processes that wait for the lock, in order. A process that finds the lock held
//! appends itself by compare-and-set; the process that has released the lock removes itself. Only the first process
//! looks often. A process that knows of others in the list does not take a free lock. It joins the list itself, and
//! *stands back* until the first has had its turn.
//!
//! A releasing process *wakes* the next one, if that can be woken; a hand-over then takes little longer than taking the
//! lock again. So among processes that can be woken none has the lock twice before the others have had it. A process
//! that comes back at once each time stays in the list meanwhile: it has a *place kept* at the end. One write moves it
//! there, beside the deletion that releases the lock.
//!
//! The list is a hint, and nobody holds anything because of it: a process takes the lock by the same `add` as ever.
//! Where the list is lost or cannot be written, all poll as if there were none. A process that is in the list and does
//! not come (it died, or the network fails in between) is waited for during a short *grace*, then passed. The process
//! that passed it removes it after a while.

use std::mem;
use std::time::Duration;

use super::lease::Now;
use super::machine::Pause;
use super::messages::{Cas, Instance, Member, Nonce, Reply, Request, WaitList, WakeTarget};
use super::wake_history::WakeHistory;

/// The first member pauses for this fraction of the holder's time so far, which is the most that a hand-over adds.
const PAUSE_FRACTION_OF_FIRST: u32 = 12;

/// The shortest pause of the first member: the time that a system takes to let a thread sleep and to wake it.
const SHORTEST_PAUSE_OF_FIRST: Duration = Duration::from_micros(100);

/// The other members pause for this fraction. While a holder has the lock they only need to notice that it is another
/// one than before, and that they may be the first now.
const PAUSE_FRACTION: u32 = 2;

/// The first member pauses for this fraction where it is woken when its turn comes. It still looks, since wake-ups get
/// lost, and a process that held the lock for only a moment wakes nobody.
const PAUSE_FRACTION_OF_WOKEN: u32 = 2;

/// The shortest pause of the other members.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);

/// The shortest pause of the other members where they are woken: they need not notice that they are the first now.
const SHORTEST_PAUSE_OF_WOKEN: Duration = Duration::from_millis(4);

/// The longest pause of the other members, in intervals. Four of them together look at most 40 times a second.
const LONGEST_PAUSE: u32 = 4;

/// The longest pause where they are woken. Four of them look less than 40 times a second, even in the first second.
const LONGEST_PAUSE_OF_WOKEN: u32 = 5;

/// The shortest time for which a free lock is left to the first member, which may have to wait for a processor.
const SHORTEST_GRACE: Duration = Duration::from_millis(3);

/// The grace is this fraction of the last holder's time. It is longer than the pause of the first in line.
const GRACE_FRACTION: u32 = 8;

/// After this many intervals a passed process is removed. A living one has looked by then, and is not passed any more.
const INTERVALS_UNTIL_DEAD: u32 = 6;

/// For how long a process may take the lock again and again, although others wait, before it stands back. Where the
/// other process is not woken, a hand-over to it costs some ten times what taking the lock again costs.
pub(super) const LONGEST_TURN: Duration = Duration::from_micros(500);

/// A process that asks again within this time after its release is expected to do so the next time, too.
const SOON: Duration = Duration::from_millis(1);

/// The TTL of a list, in seconds. It removes a list if all members died, or gave up while the server was unreachable.
const TTL: u32 = 300;

/// What a process knows of one lock's wait list and holder. It belongs to the process's queue for the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WaitListView {
    me: Member,
    /// The list as this process last read or wrote it.
    list: WaitList,
    /// The instance where it was read, and its CAS there (`None`: no list). Without this it cannot be changed.
    proof: Option<(Instance, Option<Cas>)>,
    /// Whether a write that added this process has an unknown outcome.
    may_have_joined: bool,
    /// When this process last released the lock.
    released: Option<Duration>,
    /// Whether it asked again soon after that.
    came_back_soon: bool,
    /// Whether this process is in the list although it does not wait, because it is expected back.
    has_kept_place: bool,
    /// The wake-ups that this process has received.
    wakes: WakeHistory,
    /// The nonce under which the lock was last seen held, and since when its process is known to hold it.
    holder: Option<(Nonce, Duration)>,
    /// How long the last holder held the lock, as far as this process saw.
    last_hold: Duration,
    /// The process to which this one leaves the free lock, and since when.
    left_to: Option<(u64, Duration)>,
    /// A process in the list that did not take the free lock, and when it was first passed.
    passed: Option<(u64, Duration)>,
    /// When this process's turn began. For a while it may take the lock again and again.
    turn_began: Option<Duration>,
}

impl WaitListView {
    /// Returns the view of the process `me`, which knows nothing of the list yet.
    pub fn new(me: Member) -> WaitListView {
        WaitListView {
            me,
            list: WaitList::default(),
            proof: None,
            may_have_joined: false,
            released: None,
            came_back_soon: false,
            has_kept_place: false,
            wakes: WakeHistory::default(),
            holder: None,
            last_hold: Duration::ZERO,
            left_to: None,
            passed: None,
            turn_began: None,
        }
    }

    /// Keeps a place for its process, which has just released the lock. For tests.
    #[must_use]
    pub fn with_kept_place(self, now: Now) -> WaitListView {
        WaitListView {
            released: Some(now.instant),
            has_kept_place: true,
            ..self
        }
    }

    /// Returns the view of the process `me`, which has seen `list`. For tests.
    pub fn with_list(me: Member, list: WaitList) -> WaitListView {
        WaitListView {
            list,
            ..WaitListView::new(me)
        }
    }

    /// Records a reply to [`Request::ReadWaitList`]. Returns whether it is one.
    pub(super) fn record_list(&mut self, reply: Option<&Reply>, instance: Option<Instance>) -> bool {
        let (list, cas) = match reply {
            Some(Reply::WaitList { line, cas }) => (line.clone(), Some(*cas)),
            Some(Reply::Missing) => (WaitList::default(), None),
            _ => return false,
        };
        self.proof = instance.map(|instance| (instance, cas));
        self.list = list;
        self.may_have_joined = false;
        // A process that was passed once, and has had its turn since, is alive.
        self.passed = self.passed.filter(|(passed, _)| self.ahead().next() == Some(*passed));
        true
    }

    /// Whether this process is in the list.
    pub fn is_in_line(&self) -> bool {
        self.list.0.contains(&self.me)
    }

    /// Whether this process must leave the list once none of its callers waits any more.
    pub fn must_leave(&self) -> bool {
        self.may_have_joined || self.is_waiting()
    }

    /// Whether this process is in the list although none of its callers waits. It must leave if it does not come back
    /// soon.
    pub fn has_kept_place(&self) -> bool {
        self.has_kept_place
    }

    /// Whether this process should have come back by now.
    pub fn is_overdue(&self, now: Now) -> bool {
        !self.is_back_soon(now)
    }

    fn is_back_soon(&self, now: Now) -> bool {
        self.released
            .is_some_and(|released| now.instant.saturating_sub(released) < SOON)
    }

    /// Records that a caller in this process asks for the lock.
    pub(super) fn record_return(&mut self, now: Now) {
        self.came_back_soon = self.is_back_soon(now);
    }

    /// Ends this process's turn: it waits until the others have had theirs. Returns whether a place was kept for that.
    pub(super) fn end_turn(&mut self) -> bool {
        self.turn_began = None;
        mem::take(&mut self.has_kept_place) && self.is_in_line()
    }

    /// Whether this process is in the list, and waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_in_line() && !self.has_kept_place
    }

    /// Whether other processes are in the list.
    pub fn has_others(&self) -> bool {
        self.list.0.iter().any(|member| *member != self.me)
    }

    /// Where to wake the next process after this one's release. `None`: there is none, or it cannot be woken.
    pub fn next_wake_target(&self) -> Option<WakeTarget> {
        let next = self.list.0.iter().find(|member| **member != self.me)?;
        next.wake
    }

    /// The processes that go before this one. The holder has had its turn, although it may still be in the list.
    fn ahead(&self) -> impl Iterator<Item = u64> {
        let holder = self.holder.map(|(nonce, _)| nonce.process());
        let others = self.list.0.iter().take_while(|member| **member != self.me);
        others
            .map(|member| member.process)
            .filter(move |process| Some(*process) != holder)
    }

    /// Whether this process is in the list, and next.
    pub(super) fn is_first(&self) -> bool {
        self.is_in_line() && self.ahead().next().is_none()
    }

    /// Records a wake-up, which says that this process is next. Returns how long it must not count yet.
    pub(super) fn record_wake(&mut self, now: Now) -> Duration {
        self.wakes.record_wake(now)
    }

    /// Whether a wake-up has arrived that makes a look at the lock needless before an add.
    pub(super) fn may_trust_wake(&self) -> bool {
        self.wakes.is_reliable()
    }

    /// Whether this process may take the free lock, as far as that is known without reading the list again.
    pub(super) fn is_its_turn(&self) -> bool {
        self.wakes.is_woken() || self.is_first()
    }

    /// Whether this process may take the lock although others wait, because its turn has just begun. Where the next
    /// process can be woken a turn is one grant: a hand-over then costs little more than taking the lock again.
    pub fn may_take_again(&self, now: Now) -> bool {
        let began = self.turn_began.filter(|_| !self.can_wake_next());
        began.is_some_and(|began| now.instant.saturating_sub(began) < LONGEST_TURN)
    }

    /// Whether the next process can be woken, as far as is known.
    fn can_wake_next(&self) -> bool {
        self.wakes.are_arriving() && self.next_wake_target().is_some()
    }

    /// Records that the lock was seen held under `nonce`. Returns whether this is another turn than was seen before.
    pub(super) fn record_holder(&mut self, nonce: Nonce, now: Now) -> bool {
        self.left_to = None;
        let is_same_turn = |(before, since): (Nonce, Duration)| {
            // A process that takes the lock again and again has one turn. A process that looks seldom may see another
            // one in two of its turns, so only a short time counts as one.
            let may_be_same = now.instant.saturating_sub(since) < 2 * LONGEST_TURN;
            before == nonce || before.process() == nonce.process() && may_be_same
        };
        let is_same = self.holder.is_some_and(is_same_turn);
        self.wakes.record_holder(is_same, now);
        if is_same {
            return false;
        }
        self.record_hold_end(now);
        self.holder = Some((nonce, now.instant));
        self.passed = self.passed.filter(|(passed, _)| *passed != nonce.process());
        true
    }

    /// Records how long the last holder held the lock, now that it has released or lost it.
    fn record_hold_end(&mut self, now: Now) {
        if let Some((_, since)) = self.holder {
            self.last_hold = now.instant.saturating_sub(since);
        }
    }

    /// Records that the lock was seen free and the list was read. Returns whether to leave the lock to another process.
    pub(super) fn must_stand_back(&mut self, interval: Duration, now: Now) -> bool {
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

    /// How long this process leaves a free lock to those before it: one grace for each of them, in order. So if the
    /// first does not take the lock the next one does, and not the process that happens to look.
    fn grace(&self, interval: Duration) -> Duration {
        let longest = interval.saturating_add(SHORTEST_GRACE);
        let each = (self.last_hold / GRACE_FRACTION).clamp(SHORTEST_GRACE, longest);
        each.saturating_mul(u32::try_from(self.ahead().count()).unwrap_or(u32::MAX))
    }

    /// Records that the lock was granted to this process.
    pub(super) fn record_grant(&mut self, nonce: Nonce, now: Now) {
        self.turn_began.get_or_insert(now.instant);
        self.wakes.record_grant(self.is_in_line());
        self.left_to = None;
        self.holder = Some((nonce, now.instant));
    }

    /// Records that this process has released the lock.
    pub(super) fn record_release(&mut self, now: Now) {
        self.record_hold_end(now);
        self.released = Some(now.instant);
    }

    /// Returns the next pause of this process, which is in the list.
    pub(super) fn next_pause(&self, interval: Duration, now: Now) -> Pause {
        let since = |since: Duration| now.instant.saturating_sub(since);
        let held = self.holder.map(|(_, seen)| since(seen)).unwrap_or_default();
        let is_woken = self.me.wake.is_some() && self.wakes.are_arriving();
        if self.is_first() {
            let (fraction, shortest) = if is_woken {
                (PAUSE_FRACTION_OF_WOKEN, SHORTEST_PAUSE)
            } else {
                (PAUSE_FRACTION_OF_FIRST, SHORTEST_PAUSE_OF_FIRST)
            };
            let longest = (held / fraction).clamp(shortest, interval.max(shortest));
            return pause_up_to(longest);
        }
        let (fraction, shortest, intervals) = if is_woken {
            (1, SHORTEST_PAUSE_OF_WOKEN, LONGEST_PAUSE_OF_WOKEN)
        } else {
            (PAUSE_FRACTION, SHORTEST_PAUSE, LONGEST_PAUSE)
        };
        let longest = interval.saturating_mul(intervals).max(shortest);
        let mut longest = (held / fraction).clamp(shortest, longest);
        if let Some((_, left)) = self.left_to {
            longest = longest.min(self.grace(interval).saturating_sub(since(left)));
        }
        pause_up_to(longest)
    }

    /// Appends this process to the list: a request for this instance only. `None`: the list is unknown, or full.
    pub(super) fn join(&mut self, interval: Duration, now: Now) -> Option<(Request, Instance)> {
        let (instance, cas) = self.proof?;
        let mut list = self.other_members(interval, now);
        if list.0.len() >= WaitList::LONGEST {
            return None;
        }
        list.0.push(self.me);
        self.turn_began = None;
        self.may_have_joined = true;
        self.list = list.clone();
        let (line, ttl) = (list, TTL);
        let store = Request::StoreWaitList { line, ttl, cas };
        Some((store, instance))
    }

    /// Gives way to the others while this process releases the lock: a request for this instance only. `None`: there is
    /// nothing to do, or nothing is known. A process that is expected back before its next turn moves to the end of the
    /// list, which saves joining again. Any other process leaves.
    pub(super) fn give_way(&mut self, interval: Duration, now: Now) -> Option<(Request, Instance)> {
        let mut list = self.other_members(interval, now);
        let is_expected_back = self.came_back_soon && self.can_wake_next();
        if self.is_in_line() && is_expected_back && !list.0.is_empty() && self.list_cas().is_some() {
            list.0.push(self.me);
            self.has_kept_place = true;
        }
        self.write(list)
    }

    /// Removes this process: a request for this instance only. `None`: there is nothing to do, or nothing is known.
    pub(super) fn leave(&mut self, interval: Duration, now: Now) -> Option<(Request, Instance)> {
        let list = self.other_members(interval, now);
        self.write(list)
    }

    /// Stores `list`, or deletes the item if `list` is empty. `None`: nothing would change, or nothing is known.
    fn write(&mut self, list: WaitList) -> Option<(Request, Instance)> {
        let (instance, cas) = self.list_cas()?;
        if list == self.list {
            return None;
        }
        self.list = list.clone();
        let request = if list.0.is_empty() {
            Request::DeleteWaitList { cas }
        } else {
            let (ttl, cas) = (TTL, Some(cas));
            Request::StoreWaitList { line: list, ttl, cas }
        };
        Some((request, instance))
    }

    /// The instance that has the list, and the list's CAS there.
    fn list_cas(&self) -> Option<(Instance, Cas)> {
        let (instance, cas) = self.proof?;
        Some((instance, cas?))
    }

    /// Records the reply to the request of [`give_way`](Self::give_way). If another write came first, this process is
    /// still in the list.
    pub(super) fn record_give_way(&mut self, reply: Option<&Reply>) {
        if !self.record_write(reply) {
            self.has_kept_place = false;
            self.may_have_joined = true;
        }
    }

    /// Records the reply to a request that changes the list. Returns whether it was changed.
    pub(super) fn record_write(&mut self, reply: Option<&Reply>) -> bool {
        let instance = self.proof.take().map(|(instance, _)| instance);
        let cas = match reply {
            Some(Reply::Stored(cas)) => Some(*cas),
            Some(Reply::Deleted) => None,
            _ => {
                // Another process changed the list first, or nothing is known. The list must be read again.
                self.list.0.retain(|member| *member != self.me);
                self.may_have_joined &= reply.is_none();
                return false;
            }
        };
        self.may_have_joined = false;
        self.proof = instance.map(|instance| (instance, cas));
        true
    }

    /// Forgets that this process may still be in the list.
    pub(super) fn forget_membership(&mut self) {
        self.list.0.retain(|member| *member != self.me);
        self.may_have_joined = false;
    }

    /// The list without this process, and without a process that was passed and has not taken the lock since.
    fn other_members(&self, interval: Duration, now: Now) -> WaitList {
        let is_dead = |member: &Member| {
            self.passed.is_some_and(|(process, since)| {
                process == member.process
                    && now.instant.saturating_sub(since) >= interval.saturating_mul(INTERVALS_UNTIL_DEAD)
            })
        };
        let stays = |member: &&Member| **member != self.me && !is_dead(member);
        WaitList(self.list.0.iter().filter(stays).copied().collect())
    }
}

fn pause_up_to(longest: Duration) -> Pause {
    let from = longest * 7 / 8;
    Pause { from, to: longest }
}
