//! Acquiring a lock: one blind attempt, then reads until the lock is free or its holder's lease has been watched out.
//!
//! The caller at the head of its process's queue for the key runs this machine.
//!
//! Invariants: every nonce that was sent in a write with an unknown outcome is in `outstanding`. No grant is reported
//! without a `Stored` reply of its own.
//!
//! ```text
//!            ┌── no item ──┐            (re-read after an unknown outcome, a lost race, another instance)
//!            ▼             │                              ┌──────────┐
//!  Start ► Adding ─ there ►Looking ─ held ─► Pausing ─►───┘          │
//!            │             │   └── watched out ► TakingOver ─ changed┘
//!          stored          └── our own, from a write without reply ► Clearing ► Adding
//!            ▼                                       │ stored
//!   counter raised? ── refused ► GivingBack ► NoToken; without a reply: as an add without a reply
//!            ▼ yes
//!   clock known? ── no, for the first time ► MakingClock ► GivingBack ► Adding
//!            ▼ yes
//!   enough left? ── no ► GivingBack ► Adding
//!            ▼ yes
//!   undisturbed? ── no ► Verifying ── not there any more ► as after Looking
//!            └─ yes ► Granted ◄──────── there
//! ```
//!
//! # Why it ends, or asks seldom
//!
//! Each arrow that leads back costs an exchange, and most of them no pause: another contender was faster, an item or an
//! instance has changed, a write had no reply. Each is right as long as it is chance. A server that errs or lies could
//! make a contender follow them for ever, as fast as it answers:
//!
//! | cycle | the server says |
//! |---|---|
//! | Looking, Adding | nothing there; there, or stored and then not there; or no answer to the add |
//! | Looking, Clearing | our own; another CAS, or another instance |
//! | Looking, Clearing, Adding | our own; deleted; no answer to the add or to the counter |
//! | Looking, `TakingOver` | unchanged; another CAS, or another instance |
//! | Looking, `TakingOver`, Adding | unchanged; not there; there |
//! | Looking, Looking at the wait list | held; no wait list |
//! | Looking, Joining | held; another wait list, or another instance |
//! | Adding, `GivingBack` | stored, with little left or without a clock: [`SHORT_GRANTS`](storing::SHORT_GRANTS) times, and once |
//!
//! So each exchange that may lead back takes one of [`CREDIT`]. A pause gives one back. Another holder gives all of
//! them back, since waiting for others is what a contender is for.
//!
//! A contender without credit ends if its wait is over. Otherwise it *slows down*: it pauses for as long as a waiter
//! would between [`ROUND`] looks, and may make as many exchanges after that. So it asks no more often than a waiter.
//! And [`LOST_WRITES`] writes without a reply are not chance, whatever was read in between.
//!
//! # Why tokens rise
//!
//! The token of a grant is the CAS of the server's counter, which the granting batch raises *after* its store. The CAS
//! of the item itself will not do. Since 1.6.27 memcached draws it when it has parsed the line of the store, and stores
//! when the data has come. Meanwhile others may be granted the lock and release it, and the later grant would have the
//! lower token. A command without a data block draws its number when it is executed.
//!
//! Let one grant's item be stored, and then another's for the same key, on one instance. The item of the first is gone
//! by then. There are two cases.
//!
//! * The first grant's counter was raised before that. Its token is the lower, since the other raises after its own
//!   store.
//! * The first grant lost its item between its own two commands, which a server need not execute together: it was
//!   flushed, evicted or deleted, or taken over after its lease, while the second command was late. Then the other's
//!   store, the other's raise and the first's raise have followed each other, so that the number of the first's raise
//!   is *not* the neighbour of its item's. Such a grant is verified: its contender reads the item after the raise, and
//!   the grant stands only if the item is still there. A nonce is stored once, so the item was there all the time, and
//!   no other grant's was.
//!
//! The proof needs nothing of clocks, evictions and flushes.

mod credit;
mod storing;
mod waiting;

use std::borrow::Borrow;
use std::time::Duration;

use smallvec::SmallVec;

use crate::protocol::grant::Grant;
use crate::protocol::label::Label;
use crate::protocol::lease::Now;
use crate::protocol::machine::{Input, Output};
use crate::protocol::members::Member;
use crate::protocol::messages::{Batch, Instance, Nonce, Refusal, Reply, Unanswered};
use crate::protocol::spec::Spec;
use crate::protocol::wait_list::WaitListView;
use crate::protocol::watch::Watch;

/// The shortest pause between two looks. On the far side of a local network a look costs about as much.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);

/// A waiter pauses for this fraction of the time that it has already waited. So short sections are handed over fast,
/// long ones cost few looks, and no pause adds more than this fraction to a wait.
const PAUSE_FRACTION: u32 = 8;

/// The pause before asking a server again that is too young to grant anything.
const YOUNG_SERVER_PAUSE: Duration = Duration::from_millis(50);

/// How many exchanges in a row may fail: one that finds the connection dead, and one on a new connection.
const FAILURES: u8 = 2;

/// How long a waiter goes without a reading of the server's clock. Readings count for at least five minutes.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);

/// How often in a row a contender that was beaten by another looks again at once. The first attempt counts.
const LOST_RACES: u8 = 2;

/// How many exchanges a contender may make without a pause or another holder in between. That is more than it takes to
/// be unlucky at once with other contenders, the wait list, and a server that was restarted.
const CREDIT: i8 = 16;

/// How many exchanges it may make after a pause that it made for want of credit: enough to look, to clear away an item
/// of its own or to read the wait list, and to add.
const ROUND: i8 = 4;

/// How many writes without a reply a contender makes before it gives up, although the server answers the reads in
/// between.
const LOST_WRITES: u8 = 4;

/// How often in a row a contender tries again at once to read the wait list or to join it, after others have changed it
/// first.
const LIST_ATTEMPTS: u8 = 3;

/// How an attempt to acquire a lock ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The lock is held.
    Granted(Grant),
    /// The wait is over, and another holds the lock.
    Busy {
        /// The holder, where that is known.
        holder: Option<Label>,
    },
    /// The server refused the store or the read.
    Refused(Refusal),
    /// The server could not be asked.
    Unreachable(Unanswered),
    /// The server answers so slowly that half of the lease is over before the grant arrives.
    TooSlow,
    /// The server's clock is behind by so much, and an item might expire before half of the lease is over.
    ClockBehind(Duration),
    /// The server's numbers make no fencing token: its clock is wrong.
    Untrustworthy,
    /// The server refused to raise the counter that the fencing token is made from.
    NoToken(Refusal),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum AcquireState {
    /// Nothing has been sent.
    Ready,
    /// `[clock, add, raise]` is out, or `[clock, add, raise, read list]`, or, `passing` others, `[clock, add, raise,
    /// store list]`.
    Adding { nonce: Nonce, passing: bool },
    /// `[read]` is out, or `[clock, read]`, or `[read, read list]`, or `[read, store list]`.
    Looking { kind: LookKind },
    /// `[store list]` is out.
    Joining,
    /// `[clock, compare-and-set, raise]` is out, on an item whose lease has been watched out.
    TakingOver { nonce: Nonce },
    /// `[create clock]` is out. The contender has a grant that stands on the TTL alone. Boxed, since it happens once in
    /// a server's life.
    MakingClock { grant: Box<Grant> },
    /// `[read]` is out, which shows whether the grant still had its item when the counter was raised.
    Verifying { grant: Box<Grant> },
    /// `[compare-and-delete]` is out, of a grant that came too late or has no token.
    GivingBack { nonce: Nonce, no_token: Option<Refusal> },
    /// `[compare-and-delete]` is out, of an item that an attempt without a reply left behind.
    Clearing { nonce: Nonce },
    /// Waiting for a pause to end. Then the contender looks, or adds where it knows nothing of the item.
    Pausing { then_look: bool },
    /// The machine has ended.
    Done,
}

/// What goes along with a look at the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LookKind {
    LockOnly,
    /// The clock is read, before the lock.
    WithClock,
    /// The wait list is read, after the lock.
    WithList,
    /// The wait list is stored with this process in it, after the read of the lock.
    WithJoin,
}

/// The machine. See the module's head. `S` is the spec, or a reference to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Acquire<S = Spec> {
    spec: S,
    state: AcquireState,
    /// Whether it begins with a look, because the server may refuse a store for lack of memory: see the rule on blind
    /// stores in the head of [`protocol`](crate::protocol).
    look_first: bool,
    started: Option<Now>,
    watch: Option<Watch>,
    /// This process as a member of the wait list. `None`: it does not join the list.
    me: Option<Member>,
    /// What is known of the wait list. `None`: nothing.
    wait_list: Option<Box<WaitListView>>,
    /// Whether it has paused before. This is recorded only where it may join the wait list.
    has_paused: bool,
    outstanding: SmallVec<[Nonce; 2]>,
    holder: Option<Label>,
    /// Whether the server's last reply said that the item is there and another's.
    is_held: bool,
    has_looked: bool,
    /// When the server's clock was last asked for.
    clock_asked: Option<Duration>,
    failures: u8,
    short_grants: u8,
    /// How far the server's clock is behind, if the last grant was short for that.
    clock_behind: Option<Duration>,
    lost_races: u8,
    list_attempts: u8,
    lost_writes: u8,
    /// How many exchanges it may make before it must pause. It falls below zero by exchanges that [follow from
    /// others](Self::spend_credit).
    credit: i8,
    /// Whether its credit has run out before.
    is_slowed_down: bool,
    has_made_clock: bool,
}

impl<S: Borrow<Spec>> Acquire<S> {
    /// Returns a contender for `spec`. `watch` is what other callers of this process have seen of the holder. With
    /// `look_first` the first move is a read.
    pub fn new(spec: S, watch: Option<Watch>, look_first: bool) -> Acquire<S> {
        Acquire {
            spec,
            state: AcquireState::Ready,
            look_first,
            started: None,
            watch,
            me: None,
            wait_list: None,
            has_paused: false,
            outstanding: SmallVec::new(),
            holder: None,
            is_held: false,
            has_looked: false,
            clock_asked: None,
            failures: 0,
            short_grants: 0,
            clock_behind: None,
            lost_races: 0,
            list_attempts: 0,
            lost_writes: 0,
            credit: CREDIT,
            is_slowed_down: false,
            has_made_clock: false,
        }
    }

    /// Makes the wait count from `started`, when the caller began to wait.
    #[must_use]
    pub fn waiting_since(mut self, started: Now) -> Acquire<S> {
        self.started = Some(started);
        self
    }

    /// Lets the contender join the wait list as `me`. `wait_list` is what its process knows of the list.
    #[must_use]
    pub fn with_wait_list(mut self, me: Member, wait_list: Option<Box<WaitListView>>) -> Acquire<S> {
        self.me = Some(me);
        self.wait_list = wait_list;
        self
    }

    /// What has been seen of the present holder, for the next contender of this process.
    pub fn watch(&self) -> Option<Watch> {
        self.watch
    }

    /// Forgets how many exchanges were made. For the model: there a pause may end at once, so nothing depends on the
    /// number, and each number would be another state.
    pub fn reset_credit(&mut self) {
        (self.credit, self.lost_writes, self.is_slowed_down) = (CREDIT, 0, false);
    }

    /// Whether the contender has slowed down, because asking again and again led nowhere.
    pub fn is_slowed_down(&self) -> bool {
        self.is_slowed_down
    }

    /// Whether the server's last reply to this contender said that another one holds the lock.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// The holder, where that is known.
    pub fn holder(&self) -> Option<&Label> {
        self.holder.as_ref()
    }

    fn spec(&self) -> &Spec {
        self.spec.borrow()
    }

    /// The nonces of writes with an unknown outcome. They must be settled, however the attempt ends.
    pub fn outstanding(&self) -> &[Nonce] {
        &self.outstanding
    }

    /// Makes the next move. `fresh` is a nonce that has never been used. The driver draws one for each step; some steps
    /// use it.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an input moves a machine once, and is used up"
    )]
    pub fn step(&mut self, now: Now, fresh: Nonce, input: Input) -> Output<Outcome> {
        let state = std::mem::replace(&mut self.state, AcquireState::Done);
        match (state, &input) {
            (AcquireState::Ready, Input::Start) => self.start(now, fresh),

            (AcquireState::Adding { nonce, passing }, Input::Exchanged(answered)) => {
                self.record_clock_reply(answered);
                if passing {
                    self.record_list_write(answered, 3);
                } else {
                    self.record_list(now, answered, 3);
                }
                match answered.reply(1) {
                    Some(Reply::Stored(cas)) => self.handle_stored(now, nonce, *cas, answered),
                    Some(Reply::NotStored) => {
                        self.failures = 0;
                        self.is_held = true;
                        self.handle_lost_race(now)
                    }
                    Some(Reply::Refused(refusal)) => self.end(Outcome::Refused(refusal.clone())),
                    // Any other reply to an add is no proof of anything.
                    _ => self.handle_unanswered_write(now, fresh, nonce, answered),
                }
            }

            (AcquireState::TakingOver { nonce }, Input::Exchanged(answered)) => match answered.reply(1) {
                Some(Reply::Stored(cas)) => self.handle_stored(now, nonce, *cas, answered),
                // The item was renewed, released and taken again, or renumbered by the server. Only a read tells which.
                Some(Reply::Exists) => self.handle_lost_race(now),
                Some(Reply::Missing) => self.add(now, fresh),
                Some(Reply::Refused(refusal)) => self.end(Outcome::Refused(refusal.clone())),
                _ => self.handle_unanswered_write(now, fresh, nonce, answered),
            },

            (AcquireState::Looking { kind }, Input::Exchanged(answered)) => {
                self.handle_look(now, fresh, kind, answered)
            }

            (AcquireState::Verifying { grant }, Input::Exchanged(answered)) => {
                self.handle_verification(now, fresh, *grant, answered)
            }

            (AcquireState::Joining, Input::Exchanged(answered)) => self.handle_join(now, answered),

            // The grant is given back whether or not the clock item was created, and asked for again with a clock to
            // read.
            (AcquireState::MakingClock { grant }, Input::Exchanged(_)) => self.give_back(&grant),

            (AcquireState::GivingBack { nonce, no_token }, Input::Exchanged(answered)) => {
                if !matches!(answered.reply(0), Some(Reply::Deleted | Reply::Missing)) {
                    self.outstanding.push(nonce);
                }
                if let Some(refusal) = no_token {
                    self.end(Outcome::NoToken(refusal))
                } else {
                    self.ask_again_after_short_grant(now, fresh)
                }
            }

            (AcquireState::Clearing { nonce }, Input::Exchanged(answered)) => {
                // An add is executed once, and its item was seen. Once the item is gone the add is settled.
                if let Some(Reply::Deleted | Reply::Missing) = answered.reply(0) {
                    self.outstanding.retain(|outstanding| *outstanding != nonce);
                    self.add(now, fresh)
                } else if answered.reply(0).is_some() {
                    self.look(now)
                } else {
                    self.handle_failed_exchange(now, answered, |acquire| acquire.look(now))
                }
            }

            (AcquireState::Pausing { then_look }, Input::Woke) => {
                // The process that wakes this one has deleted the item, which is as good as a read that finds it gone.
                let is_woken = self
                    .wait_list
                    .as_ref()
                    .is_some_and(|wait_list| wait_list.may_trust_wake());
                if then_look && (self.look_first || !is_woken) {
                    self.look(now)
                } else {
                    self.add(now, fresh)
                }
            }

            // An input that the state did not ask for moves nothing: the driver that sends one is broken, and gets no
            // lock.
            (_, Input::Start | Input::Exchanged(_) | Input::Woke) => {
                self.end(Outcome::Unreachable(Unanswered::NotSent))
            }
        }
    }

    fn start(&mut self, now: Now, fresh: Nonce) -> Output<Outcome> {
        self.started.get_or_insert(now);
        if let Some(wait_list) = &mut self.wait_list {
            wait_list.record_return(now);
            // Others waited when this process released the lock, so it does not take the lock before them.
            if !wait_list.may_take_again(now) {
                return self.stand_back(now);
            }
        }
        if self.look_first {
            self.look(now)
        } else {
            self.add(now, fresh)
        }
    }

    /// Records that the server has answered a look.
    fn record_look(&mut self) {
        self.failures = 0;
        self.has_looked = true;
    }

    fn end_busy(&mut self) -> Output<Outcome> {
        let holder = self.holder.clone();
        self.end(Outcome::Busy { holder })
    }

    fn end(&mut self, outcome: Outcome) -> Output<Outcome> {
        self.state = AcquireState::Done;
        Output::Done(outcome)
    }
}

fn exchange(batch: Batch, only_on: Option<Instance>) -> Output<Outcome> {
    Output::Exchange { batch, only_on }
}
