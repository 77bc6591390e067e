//! Records who holds the lock, and where its one grant is. Each step of a scenario is entered here, and fails if it
//! breaks a promise.

use std::collections::HashSet;
use std::task::Waker;
use std::time::Duration;

use memlock_runtime::__internals::{
    Acquire, Deadline, Exchanged, Input, Instance, Items, Nonce, Outcome, Output, Spec,
};
use memlock_runtime::Token;

use crate::key::ItemName;
use crate::protocol::Grant;
use crate::protocol::lease::Now;

/// When the server started, and its present second.
const START: u64 = 1_800_000_000;
const SECOND: u64 = START + 1000;

/// One stay in the queue, from joining to leaving.
pub(crate) type Stay = usize;

/// Where the grant is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// On the server, which will grant the lock.
    Server,
    /// In the hands of its holder.
    Holder(Stay),
    /// In the queue, between two holders.
    Queue,
}

/// The present turn.
#[derive(Debug)]
struct Present {
    who: Stay,
    number: u64,
    /// When it ends by itself.
    ends: Duration,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Ledger {
    items: Items,
    /// The nonce of the last grant.
    nonce: Nonce,
    whereabouts: Whereabouts,
    /// The token of the last grant.
    token: Option<Token>,
    /// When the last grant ends for the server.
    ends: Duration,
    /// The caller that believes that it holds the lock, and until when.
    belief: Option<(Stay, Deadline)>,
    turn: Option<Present>,
    /// The latest time at which a turn began.
    latest: Duration,
    /// Wakes the head that asks, once the server has the grant again.
    asking: Option<Waker>,
    stays: usize,
    /// The stays that began behind others, in the order of joining.
    arrivals: Vec<Stay>,
    /// Those of them that have had the turn, in its order.
    turns: Vec<Stay>,
    orphans: usize,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger {
            items: Items::new(Instance { start: START, pid: 1 }),
            nonce: Nonce(0),
            whereabouts: Whereabouts::Server,
            token: None,
            ends: Duration::ZERO,
            belief: None,
            latest: Duration::ZERO,
            turn: None,
            asking: None,
            stays: 0,
            arrivals: Vec::new(),
            turns: Vec::new(),
            orphans: 0,
        }
    }

    pub(crate) fn stay(&mut self) -> Stay {
        self.stays += 1;
        self.stays
    }

    /// Records that `who` joined behind others.
    pub(crate) fn arrives(&mut self, who: Stay) {
        self.arrivals.push(who);
    }

    /// Records that `who` has turn `number`, which ends by itself at `ends`.
    pub(crate) fn turn_begins(&mut self, who: Stay, number: u64, ends: Duration, now: Now) {
        // `who` may have read the clock before others did.
        self.latest = self.latest.max(now.instant);
        let latest = self.latest;
        match &self.turn {
            Some(other) if number < other.number => {
                assert!(ends <= latest, "{who} comes when its turn is {}'s", other.who);
                return;
            }
            Some(other) => assert!(other.ends <= latest, "{who} and {} have the turn", other.who),
            None => {}
        }
        self.turn = Some(Present { who, number, ends });
        if self.arrivals.contains(&who) {
            self.turns.push(who);
        }
    }

    /// Records that the turn of `who` is about to be passed on, or to end. The turn may have been taken away already.
    pub(crate) fn turn_ends(&mut self, who: Stay) {
        self.turn.take_if(|turn| turn.who == who);
    }

    /// Asks the server for the lock, on behalf of the head. `Err`: the head waits until then, when the last grant is
    /// over, or until it is woken.
    pub(crate) fn asks(&mut self, who: Stay, spec: &Spec, now: Now, waker: Waker) -> Result<Grant, Duration> {
        if self.whereabouts != Whereabouts::Server && now.instant < self.ends {
            self.asking = Some(waker);
            return Err(self.ends);
        }
        // The holder before has lost the lock.
        self.items.flush();
        self.nonce.0 += 1;
        let grant = granted(&mut self.items, spec, self.nonce, now);
        self.begins(who, &grant, now);
        Ok(grant)
    }

    /// Records that `who` has taken `grant`, which was handed over.
    pub(crate) fn takes(&mut self, who: Stay, grant: &Grant, now: Now) {
        assert_eq!(
            self.whereabouts,
            Whereabouts::Queue,
            "{who} was handed what was not handed over"
        );
        self.begins(who, grant, now);
    }

    fn begins(&mut self, who: Stay, grant: &Grant, now: Now) {
        if let Some((other, deadline)) = self.belief {
            assert!(deadline.has_passed(now), "{who} and {other} hold the lock");
        }
        assert!(
            self.token.is_none_or(|before| before < grant.token),
            "a token does not rise"
        );
        self.token = Some(grant.token);
        self.believes(who, grant.deadline);
        self.whereabouts = Whereabouts::Holder(who);
        self.ends = grant.end.ends();
    }

    /// Records that `who` believes that it holds the lock until `deadline`.
    pub(crate) fn believes(&mut self, who: Stay, deadline: Deadline) {
        self.belief = Some((who, deadline));
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.who == who) {
            turn.ends = deadline.ends();
        }
    }

    /// Records that `who` no longer believes that it holds the lock, and is about to hand it over.
    pub(crate) fn gives_up(&mut self, who: Stay) {
        self.belief.take_if(|(holder, _)| *holder == who);
        if self.whereabouts == Whereabouts::Holder(who) {
            self.whereabouts = Whereabouts::Queue;
        }
    }

    /// Records that the grant of `nonce` was not handed over, and is released.
    pub(crate) fn releases(&mut self, nonce: Nonce) {
        // After a later grant the item belongs to another holder, and stays.
        if self.nonce == nonce {
            assert_eq!(self.whereabouts, Whereabouts::Queue, "somebody has what is released");
            self.whereabouts = Whereabouts::Server;
            self.asking.take().iter().for_each(Waker::wake_by_ref);
        }
    }

    /// Records that the grant of `nonce` lay in the queue, and that no caller was left to take it.
    pub(crate) fn is_orphaned(&mut self, nonce: Nonce) {
        assert_eq!(self.nonce, nonce, "the item is another's by now");
        self.releases(nonce);
        self.orphans += 1;
    }

    /// How often a grant was left in the queue without a taker.
    pub(crate) fn orphans(&self) -> usize {
        self.orphans
    }

    /// Asserts that every grant, turn and belief has ended.
    pub(crate) fn ends(&self) {
        assert_eq!(
            self.whereabouts,
            Whereabouts::Server,
            "nobody has the grant, and nobody releases it"
        );
        assert!(self.turn.is_none() && self.belief.is_none(), "{self:?}");
    }

    /// Asserts that turns came in the order of joining.
    pub(crate) fn is_in_order(&self) {
        let turns: HashSet<_> = self.turns.iter().collect();
        let served = self.arrivals.iter().filter(|who| turns.contains(who));
        assert!(
            served.eq(&self.turns),
            "{:?} was not the order of {:?}",
            self.turns,
            self.arrivals
        );
    }
}

/// The grant that the protocol makes of a server without the lock's item.
fn granted(items: &mut Items, spec: &Spec, nonce: Nonce, now: Now) -> Grant {
    let mut machine = Acquire::new(spec, None, false);
    let mut input = Input::Start;
    loop {
        match machine.step(now, nonce, input) {
            Output::Exchange { batch, .. } => {
                input = Input::Exchanged(Exchanged {
                    instance: Some(items.instance()),
                    replies: batch
                        .iter()
                        .map(|request| items.apply(SECOND, &spec.item, request))
                        .collect(),
                    unanswered: None,
                    sent: now,
                    best: None,
                    ..Exchanged::default()
                });
            }
            Output::Done(Outcome::Granted(grant)) => return grant,
            other => panic!("{other:?}"),
        }
    }
}

/// What a caller asks for that wants the lock for `timeout`.
pub(crate) fn spec(item: &ItemName, timeout: Duration) -> Spec {
    Spec {
        server: 0,
        item: item.clone(),
        label: "interleavings".into(),
        timeout,
        interval: Duration::from_millis(50),
        wait: None,
    }
}
