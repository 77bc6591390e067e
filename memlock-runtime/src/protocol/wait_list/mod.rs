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
//! Where the list is lost or cannot be written, all poll as if there were none. A member that does not come (it died, or
//! the network fails in between) is waited for during a short *grace*, then [passed](passing).
//!
//! # More than fit
//!
//! A process that finds the list full waits *outside*, and looks seldom. A member that has had its turn leaves the list,
//! and may not take the last place again until it, too, has paused outside. So the place goes to one of those outside.

mod pace;
mod passing;
mod pausing;

use std::mem;
use std::time::Duration;

use self::pace::Pace;
use super::lease::Now;
use super::members::{Member, WaitList, WakeTarget};
use super::messages::{Cas, Instance, Nonce, Reply, Request};
use super::wake_history::WakeHistory;

/// For how long a process may take the lock again and again, although others wait, before it stands back. Where the
/// other process is not woken, a hand-over to it costs some ten times what taking the lock again costs.
pub(super) const LONGEST_TURN: Duration = Duration::from_micros(500);

/// A process that asks again within this time after its release is expected to do so the next time, too.
const SOON: Duration = Duration::from_millis(1);

/// The TTL of a list, in seconds. It removes a list if all members died, or gave up while the server was unreachable.
const TTL: u32 = 300;

/// What a process knows of one lock's wait list and holder. It belongs to the process's queue for the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct WaitListView {
    me: Member,
    /// The list as this process last read or wrote it.
    list: WaitList,
    /// The instance where it was read, and its CAS there (`None`: no list). Without this it cannot be changed.
    proof: Option<(Instance, Option<Cas>)>,
    /// Whether this process may be in the list on the server although it is not in the list here.
    may_have_joined: bool,
    /// Whether it may have been in the list on the server before the last write.
    may_have_been_listed: bool,
    /// Whether it has found the list full, and has not had the lock since.
    has_found_full: bool,
    /// Whether it has paused outside of the full list, and has not had the lock since.
    waits_outside: bool,
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
    /// Whether the time is over for which this process leaves the lock to those before it: it takes the lock now.
    is_passing: bool,
    /// The members that are marked as passed, and since when this process knows that.
    passed: Vec<(u64, Duration)>,
    /// How fast this process moves forward.
    pace: Pace,
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
            may_have_been_listed: false,
            has_found_full: false,
            waits_outside: false,
            released: None,
            came_back_soon: false,
            has_kept_place: false,
            wakes: WakeHistory::default(),
            holder: None,
            last_hold: Duration::ZERO,
            left_to: None,
            is_passing: false,
            passed: Vec::new(),
            pace: Pace::default(),
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
    pub(super) fn record_list(&mut self, reply: Option<&Reply>, instance: Option<Instance>, now: Now) -> bool {
        let (list, cas) = match reply {
            Some(Reply::WaitList { line, cas }) => (line.clone(), Some(*cas)),
            Some(Reply::Missing) => (WaitList::default(), None),
            _ => return false,
        };
        self.proof = instance.map(|instance| (instance, cas));
        self.list = list;
        self.may_have_joined = false;
        self.record_passed(now);
        true
    }

    /// This process as it is in the list.
    fn place(&self) -> Option<&Member> {
        self.list.0.iter().find(|member| member.process == self.me.process)
    }

    /// Whether this process is in the list.
    pub fn is_in_line(&self) -> bool {
        self.place().is_some()
    }

    /// Whether this process must write itself into the list: it is not there, or others have passed it.
    pub(super) fn must_join(&self) -> bool {
        self.place().is_none_or(|place| place.is_passed)
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

    /// The other members.
    fn others(&self) -> impl Iterator<Item = &Member> {
        self.list.0.iter().filter(|member| member.process != self.me.process)
    }

    /// Whether other processes are in the list.
    pub fn has_others(&self) -> bool {
        self.others().next().is_some()
    }

    /// The next of the other members: the first one that was not passed.
    pub(super) fn next_other(&self) -> Option<&Member> {
        self.others().find(|member| !member.is_passed)
    }

    /// Where to wake the next process after this one's release. `None`: there is none, or it cannot be woken.
    pub fn next_wake_target(&self) -> Option<WakeTarget> {
        self.next_other()?.wake
    }

    /// The processes that go before this one. The holder has had its turn, although it may still be in the list, and
    /// nobody waits for those that were passed.
    fn ahead(&self) -> impl Iterator<Item = &Member> {
        let holder = self.holder.map(|(nonce, _)| nonce.process());
        let others = self
            .list
            .0
            .iter()
            .take_while(|member| member.process != self.me.process);
        others.filter(move |member| !member.is_passed && Some(member.process) != holder)
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
        (self.left_to, self.is_passing) = (None, false);
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
        true
    }

    /// Records how long the last holder held the lock, now that the lock is seen free, or held by another one.
    fn record_hold_end(&mut self, now: Now) {
        if let Some((_, since)) = self.holder {
            self.last_hold = now.instant.saturating_sub(since);
        }
    }

    /// Records that the lock was granted to this process.
    pub(super) fn record_grant(&mut self, nonce: Nonce, now: Now) {
        self.turn_began.get_or_insert(now.instant);
        self.wakes.record_grant(self.is_in_line());
        self.left_to = None;
        (self.has_found_full, self.waits_outside) = (false, false);
        self.holder = Some((nonce, now.instant));
    }

    /// Records that this process has released the lock.
    pub(super) fn record_release(&mut self, now: Now) {
        self.record_hold_end(now);
        // What others have done since is not known when this process comes back.
        self.holder = None;
        self.released = Some(now.instant);
    }

    /// Appends this process to the list, or clears its mark: a request for this instance only. `None`: the list is
    /// unknown, or full.
    pub(super) fn join(&mut self, interval: Duration, now: Now) -> Option<(Request, Instance)> {
        let (instance, cas) = self.proof?;
        let mut list = self.remaining(now);
        let is_mine = |member: &&mut Member| member.process == self.me.process;
        if let Some(place) = list.0.iter_mut().find(is_mine) {
            place.is_passed = false;
        } else {
            if list.0.len() >= WaitList::LONGEST {
                list.0.retain(|member| !member.is_passed);
            }
            let places = WaitList::LONGEST - usize::from(!self.waits_outside);
            if list.0.len() >= places {
                self.has_found_full = true;
                return None;
            }
            list.0.push(self.me.with_interval(interval));
        }
        self.turn_began = None;
        self.record_writing(&list, now);
        let (line, ttl) = (list, TTL);
        Some((Request::StoreWaitList { line, ttl, cas }, instance))
    }

    /// Gives way to the others while this process releases the lock: a request for this instance only. `None`: there is
    /// nothing to do, or nothing is known. A process that is expected back before its next turn moves to the end of the
    /// list, which saves joining again. Any other process leaves.
    pub(super) fn give_way(&mut self, now: Now) -> Option<(Request, Instance)> {
        let mut list = self.without_me(now);
        let is_expected_back = self.came_back_soon && self.can_wake_next() && self.list_cas().is_some();
        // Where others wait outside of a full list, its last place is theirs.
        if let Some(place) = self.place()
            && is_expected_back
            && list.0.len() < WaitList::LONGEST - 1
        {
            list.0.push(Member {
                is_passed: false,
                ..*place
            });
            self.has_kept_place = true;
        }
        self.write(list, now)
    }

    /// Removes this process: a request for this instance only. `None`: there is nothing to do, or nothing is known.
    pub(super) fn leave(&mut self, now: Now) -> Option<(Request, Instance)> {
        let list = self.without_me(now);
        self.write(list, now)
    }

    /// Stores `list`, or deletes the item if `list` is empty. `None`: nothing would change, or nothing is known.
    fn write(&mut self, list: WaitList, now: Now) -> Option<(Request, Instance)> {
        let (instance, cas) = self.list_cas()?;
        if list == self.list {
            return None;
        }
        self.record_writing(&list, now);
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

    /// Records that a write of `list` is about to be sent.
    fn record_writing(&mut self, list: &WaitList, now: Now) {
        self.may_have_been_listed = self.may_have_joined || self.is_in_line();
        self.may_have_joined = true;
        self.list = list.clone();
        self.record_passed(now);
    }

    /// Records the reply to a request that changes the list. Returns whether it was changed.
    pub(super) fn record_write(&mut self, reply: Option<&Reply>) -> bool {
        let instance = self.proof.take().map(|(instance, _)| instance);
        let cas = match reply {
            Some(Reply::Stored(cas)) => Some(*cas),
            Some(Reply::Deleted) => None,
            _ => {
                // Another process changed the list first, or nothing is known. The list must be read again.
                self.list.0.retain(|member| member.process != self.me.process);
                self.has_kept_place = false;
                self.may_have_joined = reply.is_none() || self.may_have_been_listed;
                return false;
            }
        };
        self.may_have_joined = false;
        self.proof = instance.map(|instance| (instance, cas));
        true
    }

    /// Records that this process has left the list, or with `is_certain` false that it may still be there.
    pub(super) fn record_leaving(&mut self, is_certain: bool) {
        self.list.0.retain(|member| member.process != self.me.process);
        self.may_have_joined = !is_certain;
    }

    fn without_me(&self, now: Now) -> WaitList {
        let mut list = self.remaining(now);
        list.0.retain(|member| member.process != self.me.process);
        list
    }
}
