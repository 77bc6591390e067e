//! Who holds the lock, and where its one grant is. Each step of a scenario is entered here, and breaks a promise or keeps
//! it.

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

/// When the server started, and what time it has.
const START: u64 = 1_800_000_000;
const SECOND: u64 = START + 1000;

/// One stay in the queue, from joining to leaving.
pub(crate) type Stay = usize;

/// Where the grant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// Nobody has it: the server will grant the lock.
    Server,
    /// Its holder has it.
    Holder(Stay),
    /// Between two holders, in the queue.
    WaitList,
}

/// Whose turn it is.
#[derive(Debug)]
struct Present {
    who: Stay,
    number: u64,
    leased_until: Option<Duration>,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Ledger {
    items: Items,
    /// Under which the last grant was given.
    nonce: Nonce,
    whereabouts: Whereabouts,
    /// The last grant.
    token: Option<Token>,
    /// When it is over for the server.
    ends: Duration,
    /// Who believes to hold the lock, and until when.
    belief: Option<(Stay, Deadline)>,
    turn: Option<Present>,
    /// The latest time at which a turn began.
    latest: Duration,
    /// Who is to be told when the server has the grant again.
    asking: Option<Waker>,
    stays: usize,
    /// Who stood behind others, in the order of joining.
    arrivals: Vec<Stay>,
    /// Who of them had the turn, in the order of having it.
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

    /// Joined behind others.
    pub(crate) fn arrives(&mut self, who: Stay) {
        self.arrivals.push(who);
    }

    /// `who` has turn `number`, and with it a lease until then, if any.
    pub(crate) fn turn_begins(&mut self, who: Stay, number: u64, leased_until: Option<Duration>, now: Now) {
        // It may have looked at the clock before others did.
        self.latest = self.latest.max(now.instant);
        let latest = self.latest;
        let is_over = |until: Option<Duration>| until.is_some_and(|until| until <= latest);
        match &self.turn {
            Some(other) if number < other.number => {
                assert!(is_over(leased_until), "{who} comes when its turn is {}'s", other.who);
                return;
            }
            Some(other) => assert!(is_over(other.leased_until), "{who} and {} have the turn", other.who),
            None => {}
        }
        self.turn = Some(Present {
            who,
            number,
            leased_until,
        });
        if self.arrivals.contains(&who) {
            self.turns.push(who);
        }
    }

    /// It is about to be passed on, or to end. It may be another's by now.
    pub(crate) fn turn_ends(&mut self, who: Stay) {
        self.turn.take_if(|turn| turn.who == who);
    }

    /// The head asks the server. `None`: it is to wait until the grant is over, or it is woken.
    pub(crate) fn asks(&mut self, who: Stay, spec: &Spec, now: Now, waker: Waker) -> Result<Grant, Duration> {
        if self.whereabouts != Whereabouts::Server && now.instant < self.ends {
            self.asking = Some(waker);
            return Err(self.ends);
        }
        // Whoever had it has it no more.
        self.items.flush();
        self.nonce.0 += 1;
        let grant = granted(&mut self.items, spec, self.nonce, now);
        self.begins(who, &grant, now);
        Ok(grant)
    }

    /// `who` has been handed `grant`.
    pub(crate) fn takes(&mut self, who: Stay, grant: &Grant, now: Now) {
        assert_eq!(
            self.whereabouts,
            Whereabouts::WaitList,
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

    /// `who` believes in it until then.
    pub(crate) fn believes(&mut self, who: Stay, deadline: Deadline) {
        self.belief = Some((who, deadline));
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.who == who) {
            turn.leased_until = Some(deadline.ends());
        }
    }

    /// `who` believes in it no more, and is about to hand it over.
    pub(crate) fn gives_up(&mut self, who: Stay) {
        self.belief.take_if(|(holder, _)| *holder == who);
        if self.whereabouts == Whereabouts::Holder(who) {
            self.whereabouts = Whereabouts::WaitList;
        }
    }

    /// The grant of `nonce` was not handed over, and is released.
    pub(crate) fn releases(&mut self, nonce: Nonce) {
        // Once a later one was granted, the item is another's, and stays.
        if self.nonce == nonce {
            assert_eq!(self.whereabouts, Whereabouts::WaitList, "somebody has what is released");
            self.whereabouts = Whereabouts::Server;
            self.asking.take().iter().for_each(Waker::wake_by_ref);
        }
    }

    /// The grant of `nonce` lay in the queue, and nobody was left to take it.
    pub(crate) fn is_orphaned(&mut self, nonce: Nonce) {
        assert_eq!(self.nonce, nonce, "the item is another's by now");
        self.releases(nonce);
        self.orphans += 1;
    }

    /// How often a grant was left in the queue by the last who stood there.
    pub(crate) fn orphans(&self) -> usize {
        self.orphans
    }

    /// Nothing is left of all that was begun.
    pub(crate) fn ends(&self) {
        assert_eq!(
            self.whereabouts,
            Whereabouts::Server,
            "nobody has the grant, and nobody releases it"
        );
        assert!(self.turn.is_none() && self.belief.is_none(), "{self:?}");
    }

    /// TurnState came in the order of joining.
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

/// What the protocol makes of a server that has no such item.
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

/// A lock for `timeout`.
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
