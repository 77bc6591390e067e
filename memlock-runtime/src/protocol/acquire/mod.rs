//! Acquiring a lock: one blind attempt, then reading until it is free or its holder's lease has been watched out.
//!
//! Who moves it: the driver of the contender at the head of its process's queue for the key.
//! Invariant: every nonce that has been sent in a write whose outcome is not known stands in `outstanding`, and no
//! grant is reported without a `Stored` reply of its own.
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
//! Each arrow that leads back costs an exchange, and most of them no pause: another was quicker, an item is another by now, an
//! instance is another, a write had no reply. Each is right as long as it is chance, and a server that errs or lies could have it
//! followed for ever, as fast as it answers:
//!
//! | cycle | the server says |
//! |---|---|
//! | Looking, Adding | nothing there; there, or stored and then not there; or no answer to the add |
//! | Looking, Clearing | our own; another CAS, or another instance |
//! | Looking, Clearing, Adding | our own; deleted; no answer to the add or to the counter |
//! | Looking, `TakingOver` | unchanged; another CAS, or another instance |
//! | Looking, `TakingOver`, Adding | unchanged; not there; there |
//! | Looking, Looking at the line | held; no line |
//! | Looking, Joining | held; another line, or another instance |
//! | Adding, `GivingBack` | stored, with little left or without a clock: [`SHORT_GRANTS`] times, and once |
//!
//! So each exchange that may lead back takes one of [`CREDIT`], a pause gives one back, and another holder gives all, since waiting
//! for others is what a contender is for. Where none is left the machine *goes in circles*: it ends where its wait is over, else it
//! pauses for as long as a waiter would between [`ROUND`] looks, and may make as many exchanges after that. So it asks no more often
//! than a waiter. And [`LOST_WRITES`] writes without a reply are no chance, whatever was read in between.
//!
//! # Why tokens rise
//!
//! The token of a grant is the CAS of the server's counter, which the granting batch raises *after* its store. The CAS of the
//! item itself will not do: memcached draws it since 1.6.27 when it has parsed the line of the store, and stores when the data has
//! come. Meanwhile others may be granted the lock and release it, and the later grant would have the lower token. A command
//! without a data block draws when it is executed.
//!
//! Let one grant's item be stored, and then another's for the same key, on one instance. The item of the first is gone by then. Where
//! the first was raised before that, its token is the lower: the other raises after its own store. Otherwise the first lost its
//! item between its own two commands, which a server need not execute together: it was flushed, evicted or deleted, or taken over
//! after its lease, while the second command was late. Then the other's store, its raise and the first's raise have followed each
//! other, so that the number of the first's raise is *not* the neighbour of its item's. Such a grant is verified: it reads its item
//! after it has raised, and stands only if that is still there. A nonce is stored once, so its item was there all the time, and
//! nobody else's was. No clock, no eviction and no flush matters to this.

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
use crate::protocol::messages::{Batch, Instance, Member, Nonce, Refusal, Reply, Unanswered};
use crate::protocol::spec::Spec;
use crate::protocol::wait_list::WaitListView;
use crate::protocol::watch::Watch;

/// The shortest pause between two looks: a look costs about this much on the far side of a local network.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);

/// A waiter pauses for this fraction of the time it has already waited: short sections are handed over fast, long ones
/// cost few looks, and no pause ever adds more than this fraction to a wait.
const PAUSE_FRACTION: u32 = 8;

/// The pause before asking a server again that is too young to grant anything.
const YOUNG_SERVER_PAUSE: Duration = Duration::from_millis(50);

/// How many exchanges in a row may fail: the one that noticed, and one on a new connection.
const FAILURES: u8 = 2;

/// How long a waiter goes without a reading of the server's clock. Readings count for five minutes at least.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);

/// How often in a row a contender looks again at once after another was quicker. The first attempt is one of them.
const LOST_RACES: u8 = 2;

/// How many exchanges a contender may make without a pause, or another holder in between: more than it takes to be unlucky at once
/// with other contenders, its place in line, and a server that was restarted.
const CREDIT: i8 = 16;

/// How many it may make after a pause that it made because it went in circles: enough to look, to clear away what is its own or to
/// read the line, and to add.
const ROUND: i8 = 4;

/// How many writes without a reply it makes before it gives up, although the server answers what is read in between.
const LOST_WRITES: u8 = 4;

/// How often in a row a contender tries again at once to put itself in line, after others were quicker.
const LOST_PLACES: u8 = 3;

/// How many grants in a row may come back with too little of their lease left.
const SHORT_GRANTS: u8 = 3;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The lock is held.
    Granted(Grant),
    /// The wait is over, and another holds it.
    Busy {
        /// Who, where that is known.
        holder: Option<Label>,
    },
    /// The server said no.
    Refused(Refusal),
    /// The server could not be asked.
    Unreachable(Unanswered),
    /// The server answers so slowly that half of the lease is over before the grant arrives.
    TooSlow,
    /// The server's numbers make no fencing token: its clock is wrong.
    Untrustworthy,
    /// The server said no to what the fencing token is made from.
    NoToken(Refusal),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum AcquireState {
    /// Nothing has been sent.
    Ready,
    /// `[clock, add, raise]` is out, or `[clock, add, raise, read line]`.
    Adding { nonce: Nonce },
    /// `[read]` is out, or `[clock, read]`, or `[read, read line]`, or `[read, store line]`.
    Looking { along: Along },
    /// `[store line]` is out.
    Joining,
    /// `[clock, compare-and-set, raise]` is out, on an item whose lease has been watched out.
    TakingOver { nonce: Nonce },
    /// `[create clock]` is out; the grant is ours, and stands on the TTL alone. Boxed, since it happens once in a server's life.
    MakingClock { grant: Box<Grant> },
    /// `[read]` is out, which shows whether the grant still had its item when the counter was raised.
    Verifying { grant: Box<Grant> },
    /// `[compare-and-delete]` of a grant that came too late is out, or of one without a token.
    GivingBack { nonce: Nonce, no_token: Option<Refusal> },
    /// `[compare-and-delete]` of an item that an attempt without a reply left behind is out.
    Clearing { nonce: Nonce },
    /// Waiting for time to pass; then look, or, where nothing is known of the item, try.
    Pausing { then_look: bool },
    /// Over.
    Done,
}

/// What is read along with the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Along {
    Nothing,
    Clock,
    WaitList,
    /// Nothing: it is written.
    Joining,
}

/// The machine. See the module's head. `S` is the spec, or a reference to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Acquire<S = Spec> {
    spec: S,
    state: AcquireState,
    /// Begin by looking, because the server may refuse for lack of memory: see the rule on blind stores.
    look_first: bool,
    started: Option<Now>,
    watch: Option<Watch>,
    /// This process as it stands in line; `None`: it does not.
    me: Option<Member>,
    /// What is known of the line; `None`: it has not been asked for.
    standing: Option<Box<WaitListView>>,
    /// Whether it has paused before, beside others with whom it may stand in line.
    has_paused: bool,
    outstanding: SmallVec<[Nonce; 2]>,
    holder: Option<Label>,
    /// Whether the server's last word on the item was that it is there, and another's.
    is_held: bool,
    has_looked: bool,
    /// When the server's clock was last asked for.
    clock_asked: Option<Duration>,
    failures: u8,
    short_grants: u8,
    lost_races: u8,
    lost_places: u8,
    lost_writes: u8,
    /// How many exchanges it may make before it is to pause. Below zero after some that [had to be made](Self::must_ask).
    credit: i8,
    goes_in_circles: bool,
    has_made_clock: bool,
}

impl<S: Borrow<Spec>> Acquire<S> {
    /// A contender for `spec`. `watch` is what others of this process have seen; with `look_first` the first move is
    /// to read.
    pub fn new(spec: S, watch: Option<Watch>, look_first: bool) -> Acquire<S> {
        Acquire {
            spec,
            state: AcquireState::Ready,
            look_first,
            started: None,
            watch,
            me: None,
            standing: None,
            has_paused: false,
            outstanding: SmallVec::new(),
            holder: None,
            is_held: false,
            has_looked: false,
            clock_asked: None,
            failures: 0,
            short_grants: 0,
            lost_races: 0,
            lost_places: 0,
            lost_writes: 0,
            credit: CREDIT,
            goes_in_circles: false,
            has_made_clock: false,
        }
    }

    /// A contender that has been waiting since `started`.
    #[must_use]
    pub fn waiting_since(mut self, started: Now) -> Acquire<S> {
        self.started = Some(started);
        self
    }

    /// A contender of the process `me`, which stands in line with other processes. `standing` is what is known of them.
    #[must_use]
    pub fn in_line(mut self, me: Member, standing: Option<Box<WaitListView>>) -> Acquire<S> {
        self.me = Some(me);
        self.standing = standing;
        self
    }

    /// Who has released the lock says that this contender is the next, whatever it knows of the line. Returns how long it is
    /// to wait before it heeds that. With `look_first` it reads before it stores all the same.
    pub fn called(&mut self, now: Now, look_first: bool) -> Duration {
        self.look_first = look_first;
        self.standing
            .as_mut()
            .map_or(Duration::ZERO, |standing| standing.called(now))
    }

    /// What is known of the line, for the release or the next contender of this process.
    pub fn take_standing(&mut self) -> Option<Box<WaitListView>> {
        self.standing.take()
    }

    /// What has been seen of the present holder, for the next contender of this process.
    pub fn watch(&self) -> Option<Watch> {
        self.watch
    }

    /// Forgets how many exchanges were made. For the model, in which a pause may end at once, so that nothing depends on it, and
    /// which would have a state for each number.
    pub fn forget_circles(&mut self) {
        (self.credit, self.lost_writes, self.goes_in_circles) = (CREDIT, 0, false);
    }

    /// Whether nothing has come of asking again and again, so that it asks less often now.
    pub fn goes_in_circles(&self) -> bool {
        self.goes_in_circles
    }

    /// Whether the server's last word to this contender was that another holds the lock.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Who does, where that is known.
    pub fn holder(&self) -> Option<&Label> {
        self.holder.as_ref()
    }

    fn spec(&self) -> &Spec {
        self.spec.borrow()
    }

    /// The nonces of writes whose outcome is not known. They must be resolved, whatever the outcome.
    pub fn outstanding(&self) -> &[Nonce] {
        &self.outstanding
    }

    /// Makes the next move. `fresh` is a nonce that has never been used; it is drawn for each step and used in some.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an input moves a machine once, and is used up"
    )]
    pub fn step(&mut self, now: Now, fresh: Nonce, input: Input) -> Output<Outcome> {
        let state = std::mem::replace(&mut self.state, AcquireState::Done);
        match (state, &input) {
            (AcquireState::Ready, Input::Start) => self.start(now, fresh),

            (AcquireState::Adding { nonce }, Input::Exchanged(answered)) => {
                self.asked_clock(answered);
                self.read_line(answered, 3);
                match answered.reply(1) {
                    Some(Reply::Stored(cas)) => self.stored(now, nonce, *cas, answered),
                    Some(Reply::NotStored) => {
                        self.failures = 0;
                        self.is_held = true;
                        self.lost_race(now)
                    }
                    Some(Reply::Refused(refusal)) => self.end(Outcome::Refused(refusal.clone())),
                    // Any other reply to an add is no proof of anything.
                    _ => self.unanswered_write(now, fresh, nonce, answered),
                }
            }

            (AcquireState::TakingOver { nonce }, Input::Exchanged(answered)) => match answered.reply(1) {
                Some(Reply::Stored(cas)) => self.stored(now, nonce, *cas, answered),
                // Renewed, released and taken again, or renumbered by the server: only reading tells.
                Some(Reply::Exists) => self.lost_race(now),
                Some(Reply::Missing) => self.add(now, fresh),
                Some(Reply::Refused(refusal)) => self.end(Outcome::Refused(refusal.clone())),
                _ => self.unanswered_write(now, fresh, nonce, answered),
            },

            (AcquireState::Looking { along }, Input::Exchanged(answered)) => self.looked(now, fresh, along, answered),

            (AcquireState::Verifying { grant }, Input::Exchanged(answered)) => {
                self.verified(now, fresh, *grant, answered)
            }

            (AcquireState::Joining, Input::Exchanged(answered)) => self.joined(now, answered),

            // Whatever came of it, what is given back is asked for again, now with a clock to read.
            (AcquireState::MakingClock { grant }, Input::Exchanged(_)) => self.give_back(&grant),

            (AcquireState::GivingBack { nonce, no_token }, Input::Exchanged(answered)) => {
                if !matches!(answered.reply(0), Some(Reply::Deleted | Reply::Missing)) {
                    self.outstanding.push(nonce);
                }
                if let Some(refusal) = no_token {
                    self.end(Outcome::NoToken(refusal))
                } else if self.short_grants >= SHORT_GRANTS {
                    self.end(Outcome::TooSlow)
                } else {
                    self.add(now, fresh)
                }
            }

            (AcquireState::Clearing { nonce }, Input::Exchanged(answered)) => {
                // An add is executed once, and it was seen: once its item is gone it is settled.
                if let Some(Reply::Deleted | Reply::Missing) = answered.reply(0) {
                    self.outstanding.retain(|outstanding| *outstanding != nonce);
                    self.add(now, fresh)
                } else if answered.reply(0).is_some() {
                    self.look(now)
                } else {
                    self.unreachable(now, answered, |acquire| acquire.look(now))
                }
            }

            (AcquireState::Pausing { then_look }, Input::Woke) => {
                // Whoever calls has deleted the item, which is as good as having read that it is gone.
                let is_woken = self
                    .standing
                    .as_ref()
                    .is_some_and(|standing| standing.is_surely_called());
                if then_look && (self.look_first || !is_woken) {
                    self.look(now)
                } else {
                    self.add(now, fresh)
                }
            }

            // An input that the state did not ask for moves nothing: the driver that sends one is broken, and a lock is
            // not granted to it.
            (_, Input::Start | Input::Exchanged(_) | Input::Woke) => {
                self.end(Outcome::Unreachable(Unanswered::NotSent))
            }
        }
    }

    fn start(&mut self, now: Now, fresh: Nonce) -> Output<Outcome> {
        self.started.get_or_insert(now);
        if let Some(standing) = &mut self.standing {
            standing.came_back(now);
            // Who remembers that others waited when this process released the lock does not go before them.
            if !standing.may_go_on(now) {
                return self.stand_back(now);
            }
        }
        if self.look_first {
            self.look(now)
        } else {
            self.add(now, fresh)
        }
    }

    fn seen(&mut self) {
        self.failures = 0;
        self.has_looked = true;
    }

    fn busy(&mut self) -> Output<Outcome> {
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
