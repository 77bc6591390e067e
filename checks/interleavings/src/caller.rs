//! What the driver does around the queue (`driver/waiting.rs`, `driver/caller.rs` and `driver/acquire.rs`), with two
//! differences: time stands still, and the server is the [`ledger`](crate::ledger).

use std::sync::Arc;
use std::time::Duration;

use memlock_runtime::__internals::Deadline;

use crate::error::Error;
use crate::ledger::{self, Stay};
use crate::protocol::{Grant, Handed, Watch};
use crate::queue::{Joined, Place, PlaceProgress, Turn};
use crate::time::Alarm;
use crate::world::{TIMEOUT, World};

/// How often a waiter that is awake looks for its turn.
const LOOKS: u32 = 2;

/// The end of the wait of a caller that does not give up.
pub(crate) const FOR_EVER: Duration = Duration::MAX;

/// A caller that wants the lock.
pub(crate) struct Caller {
    pub(crate) world: Arc<World>,
    alarm: Alarm,
    stay: Stay,
}

/// A caller that has the turn.
pub(crate) struct Head {
    pub(crate) caller: Caller,
    pub(crate) turn: Turn,
}

/// A caller that holds the lock.
pub(crate) struct Holder {
    pub(crate) head: Head,
    pub(crate) grant: Grant,
}

/// A caller that waits behind others.
pub(crate) struct Waiting {
    pub(crate) caller: Caller,
    pub(crate) place: Place,
}

/// Why a caller stopped waiting without a turn.
#[derive(Debug)]
pub(crate) enum Gone {
    Dismissed,
    /// Its time was over.
    GaveUp,
}

/// What joining the queue gives.
pub(crate) enum Came {
    Head(Head),
    Behind(Waiting),
}

impl Came {
    /// Waits for the turn, as long as it takes.
    pub(crate) fn wait(self) -> Result<Head, Gone> {
        match self {
            Came::Head(head) => Ok(head),
            Came::Behind(waiting) => waiting.wait(FOR_EVER),
        }
    }

    /// Waits for the turn in a scenario that dismisses no caller.
    pub(crate) fn turn(self) -> Head {
        self.wait().expect("its turn comes")
    }
}

/// Joins the queue, to wait as a thread does.
pub(crate) fn join(world: &Arc<World>) -> Came {
    join_as(world, true)
}

/// Joins the queue, as a thread or, without `wakes_early`, as a task, which cannot use an early wake-up.
pub(crate) fn join_as(world: &Arc<World>, wakes_early: bool) -> Came {
    let alarm = Alarm::new(&world.time);
    let stay = world.ledger().stay();
    let waker = || {
        world.ledger().arrives(stay);
        alarm.waker()
    };
    let joined = world
        .queues
        .join(&World::item(), TIMEOUT, world.time.now(), wakes_early, waker);
    let world = Arc::clone(world);
    let caller = Caller { world, alarm, stay };
    match joined {
        Joined::Head(turn) => Came::Head(caller.begin(turn)),
        Joined::Behind(place) => Came::Behind(Waiting { caller, place }),
    }
}

/// Joins an empty queue, as its head.
pub(crate) fn head(world: &Arc<World>) -> Head {
    match join(world) {
        Came::Head(head) => head,
        Came::Behind(_) => panic!("somebody is there"),
    }
}

/// Joins behind the others.
pub(crate) fn behind(world: &Arc<World>) -> Waiting {
    match join(world) {
        Came::Head(_) => panic!("nobody is there"),
        Came::Behind(waiting) => waiting,
    }
}

impl Caller {
    /// Records that its turn is over, or about to be.
    pub(crate) fn turn_ends(&self) {
        self.world.ledger().turn_ends(self.stay);
    }

    fn begin(self, turn: Turn) -> Head {
        let now = self.world.time.now();
        let handed = turn.handed.as_deref();
        let ends = handed.map_or_else(
            || now.instant.saturating_add(self.world.patience),
            |(Handed::Over(grant) | Handed::Spent(grant))| grant.deadline.ends(),
        );
        self.world.ledger().turn_begins(self.stay, turn.number, ends, now);
        Head { caller: self, turn }
    }
}

impl Waiting {
    /// Waits for the turn, as long as it takes, in a scenario that dismisses no caller.
    pub(crate) fn turn(self) -> Head {
        self.wait(FOR_EVER).expect("its turn comes")
    }

    /// Waits for the turn until `give_up`.
    pub(crate) fn wait(mut self, give_up: Duration) -> Result<Head, Gone> {
        loop {
            let wakes_at = self.until_next_look(give_up).ok_or(Gone::GaveUp)?;
            self.rest(wakes_at);
            self = match self.look()? {
                Ok(head) => return Ok(head),
                Err(waiting) => waiting,
            };
        }
    }

    /// When it looks again, or `None` if its time is over.
    fn until_next_look(&self, give_up: Duration) -> Option<Duration> {
        let now = self.caller.world.time.now();
        let until_look = self.place.until_next_look(now);
        if until_look.is_zero() {
            return Some(now.instant);
        }
        let mut wakes_at = give_up;
        if now.instant >= give_up {
            if !self.place.outlook().is_open && !self.place.is_notified() {
                return None;
            }
            wakes_at = FOR_EVER;
        }
        wakes_at = wakes_at.min(now.instant.saturating_add(until_look));
        self.place.announce_sleep(wakes_at);
        Some(wakes_at)
    }

    /// Announces its next look, which it may then miss.
    pub(crate) fn announces(&self) {
        self.until_next_look(FOR_EVER);
    }

    fn rest(&self, wakes_at: Duration) {
        self.place.stay_awake(LOOKS, || ());
        if !self.place.is_notified() {
            self.caller.alarm.sleep_until(wakes_at);
            self.place.stay_awake(LOOKS, || ());
        }
    }

    /// Looks, and waits on.
    pub(crate) fn waits_on(self) -> Waiting {
        match self.look() {
            Ok(Err(waiting)) => waiting,
            Ok(Ok(_)) | Err(_) => panic!("it is another's turn"),
        }
    }

    /// Looks whether its turn has come.
    pub(crate) fn look(self) -> Result<Result<Head, Waiting>, Gone> {
        let Waiting { caller, place } = self;
        match place.progress(caller.world.time.now()) {
            PlaceProgress::Turn(turn) => Ok(Ok(caller.begin(turn))),
            PlaceProgress::Place(place) => Ok(Err(Waiting { caller, place })),
            PlaceProgress::Dismissed(_) => Err(Gone::Dismissed),
        }
    }
}

impl Head {
    /// Holds the lock, by the grant that came with the turn or by a grant of the server.
    pub(crate) fn hold(self) -> Holder {
        self.hold_for(TIMEOUT)
    }

    /// The same; a grant of the server is for `timeout`.
    pub(crate) fn hold_for(mut self, timeout: Duration) -> Holder {
        let Caller { world, alarm, stay } = &self.caller;
        let now = world.time.now();
        match self.turn.take_handed() {
            Some(Handed::Over(grant)) => {
                world.ledger().takes(*stay, &grant, now);
                return Holder { head: self, grant };
            }
            Some(Handed::Spent(grant)) => world.ledger().releases(grant.nonce),
            None => {}
        }
        let spec = ledger::spec(&World::item(), timeout);
        let grant = loop {
            let now = world.time.now();
            let asked = world.ledger().asks(*stay, &spec, now, alarm.waker());
            match asked {
                Ok(grant) => break grant,
                Err(over) => alarm.sleep_until(over),
            }
        };
        self.turn.watch = None;
        self.turn
            .leased(grant.deadline.ends(), Watch::of_own(&grant, world.time.now()));
        Holder { head: self, grant }
    }

    /// Leaves without having held the lock.
    pub(crate) fn leave(self) {
        self.caller.turn_ends();
    }

    /// Fails on behalf of all waiters.
    pub(crate) fn fails(self, verdict: &Error) {
        self.caller.turn_ends();
        self.turn.fail_for_all(verdict);
    }
}

impl Holder {
    /// Believes that it holds the lock until `deadline`, and no longer.
    pub(crate) fn believes(&self, deadline: Deadline) {
        let Caller { world, stay, .. } = &self.head.caller;
        world.ledger().believes(*stay, deadline);
    }

    /// Does nothing until `until`.
    pub(crate) fn hang(&self, until: Duration) {
        self.head.caller.world.time.pass(until);
    }

    /// Releases the lock, and has seen another holder, with `watch`, take it.
    pub(crate) fn sees(self, watch: Watch) {
        let Holder { mut head, grant } = self;
        let Caller { world, stay, .. } = &head.caller;
        world.ledger().gives_up(*stay);
        world.ledger().releases(grant.nonce);
        head.turn.watch = Some(watch);
        head.leave();
    }

    /// Ends its use of the lock: hands it over, or releases it.
    pub(crate) fn done(self) {
        let Holder { head, grant } = self;
        let Head { caller, turn } = head;
        let Caller { world, stay, .. } = &caller;
        let now = world.time.now();
        let mut ledger = world.ledger();
        ledger.gives_up(*stay);
        ledger.turn_ends(*stay);
        drop(ledger);
        // A lease that has ended is not handed over.
        let turn = if grant.deadline.has_passed(now) {
            Some(turn)
        } else {
            turn.hand_over(&grant, now)
        };
        if let Some(turn) = turn {
            world.ledger().releases(grant.nonce);
            drop(turn);
        }
    }
}
