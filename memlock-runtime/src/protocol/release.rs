//! Releasing a lock: compare-and-delete. It deletes nothing but the item of its own nonce.
//!
//! Who moves it: the holder when it is done, and whoever cleans up after a write without a reply.
//!
//! ```text
//!  Start ── CAS known, deadline ahead ► Deleting ── deleted, missing ► Released
//!    └────── otherwise ► Reading ── own nonce ──┘▲ └── another CAS, another instance ─┐
//!                           └── gone, another's ► Gone    ▲───────────────────────────┘
//! ```

use std::borrow::Borrow;
use std::time::Duration;

use smallvec::smallvec;

use super::grant::Grant;
use super::lease::Now;
use super::machine::{Exchanged, Input, Output, RETRIES, lock_of};
use super::messages::{Batch, Cas, Instance, Nonce, Reply, Request, Unanswered, WakeTarget};
use super::wait_list::{TURN, WaitListView};
use crate::key::ItemName;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Released {
    /// The item was ours and is no more.
    Released,
    /// The item was not ours (any more).
    Gone,
    /// Nothing was learned. The item may still be there, and is to be released again.
    Failed(Unanswered),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ReleaseState {
    Ready,
    /// `[compare-and-delete]` is out, or `[compare-and-delete, read line]`, or `[store line, compare-and-delete]`.
    Deleting,
    /// `[read]` is out.
    Reading,
    Done,
}

/// The machine. See the module's head. `I` is the lock's item, or a reference to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release<I = ItemName> {
    item: I,
    nonce: Nonce,
    known: Option<(Instance, Cas)>,
    state: ReleaseState,
    reads: u8,
    /// Give way to the others in line, or look who stands there, along with the deletion.
    standing: Option<Box<WaitListView>>,
    /// The longest pause of those who stand there: see [`Spec`](super::spec::Spec).
    interval: Duration,
    /// Whether the line is written, and not read.
    is_giving_way: bool,
}

impl<I: Borrow<ItemName>> Release<I> {
    /// Releases `grant`. After its deadline the item may be another's, so it is read first.
    pub fn of_grant(item: I, grant: &Grant, now: Now) -> Release<I> {
        let known = (!grant.deadline.has_passed(now)).then_some((grant.instance, grant.cas));
        Release {
            known,
            ..Release::of_nonce(item, grant.nonce)
        }
    }

    /// Deletes whatever a write under `nonce` left behind.
    pub fn of_nonce(item: I, nonce: Nonce) -> Release<I> {
        Release {
            item,
            nonce,
            known: None,
            state: ReleaseState::Ready,
            reads: 0,
            standing: None,
            interval: Duration::ZERO,
            is_giving_way: false,
        }
    }

    /// A release that looks who stands in line, or leaves it.
    #[must_use]
    pub fn looking(mut self, standing: Option<Box<WaitListView>>, interval: Duration) -> Release<I> {
        self.standing = standing;
        self.interval = interval;
        self
    }

    /// What is known of the line now.
    pub fn take_standing(&mut self) -> Option<Box<WaitListView>> {
        self.standing.take()
    }

    /// Whom to call before the first exchange: by the time that he asks for the lock, it will have been deleted. Nobody, where
    /// it is read first.
    pub fn to_wake(&self) -> Option<WakeTarget> {
        let is_deleted_first = self.known.is_some();
        let standing = self.standing.as_ref().filter(|_| is_deleted_first)?;
        standing.is_in_line().then(|| standing.to_wake()).flatten()
    }

    fn item(&self) -> &ItemName {
        self.item.borrow()
    }

    /// Makes the next move.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an input moves a machine once, and is used up"
    )]
    pub fn step(&mut self, now: Now, input: Input) -> Output<Released> {
        match (self.state, &input) {
            (ReleaseState::Ready, Input::Start) => match self.known {
                Some((instance, cas)) => self.delete(now, instance, cas),
                None => self.read(),
            },

            (ReleaseState::Deleting, Input::Exchanged(answered)) => {
                self.heard_of_line(now, answered);
                match answered.reply(usize::from(self.is_giving_way)) {
                    Some(Reply::Deleted) => self.end(Released::Released),
                    Some(Reply::Missing) => self.end(Released::Gone),
                    Some(Reply::Exists) => self.read(),
                    None if answered.why_unanswered() == Unanswered::OtherInstance => self.read(),
                    _ => self.fail(answered),
                }
            }

            (ReleaseState::Reading, Input::Exchanged(answered)) => match (answered.reply(0), answered.instance) {
                (Some(Reply::Missing), _) => self.end(Released::Gone),
                (Some(Reply::Item { content, cas }), Some(instance)) => match lock_of(self.item(), content) {
                    Some(record) if record.nonce == self.nonce => self.delete(now, instance, *cas),
                    _ => self.end(Released::Gone),
                },
                _ => self.fail(answered),
            },

            _ => self.end(Released::Failed(Unanswered::NotSent)),
        }
    }

    fn delete(&mut self, now: Now, instance: Instance, cas: Cas) -> Output<Released> {
        self.state = ReleaseState::Deleting;
        let mut batch: Batch = smallvec![Request::Delete { cas }];
        if let Some(standing) = &mut self.standing {
            // What was read when the lock was granted tells whom to call, and mostly holds still.
            let giving_way = standing.give_way(self.interval, now);
            let giving_way = giving_way.filter(|(_, proved_on)| *proved_on == instance);
            self.is_giving_way = giving_way.is_some();
            match giving_way {
                // First, so that whoever adds the lock after its deletion reads the line without this process.
                Some((store, _)) => batch.insert(0, store),
                None => batch.push(Request::ReadLine),
            }
        }
        Output::Exchange {
            batch,
            only_on: Some(instance),
        }
    }

    /// Takes note of the reply that came with that to the deletion.
    fn heard_of_line(&mut self, now: Now, answered: &Exchanged) {
        let Some(standing) = &mut self.standing else { return };
        if self.is_giving_way {
            standing.gave_way(answered.reply(0));
        } else {
            standing.read(answered.reply(1), answered.instance);
        }
        standing.released(now);
    }

    fn read(&mut self) -> Output<Released> {
        self.reads += 1;
        if self.reads > RETRIES {
            return self.end(Released::Failed(Unanswered::Contradicted));
        }
        self.state = ReleaseState::Reading;
        Output::Exchange {
            batch: smallvec![Request::Read],
            only_on: None,
        }
    }

    fn fail(&mut self, answered: &Exchanged) -> Output<Released> {
        self.end(Released::Failed(answered.why_unanswered()))
    }

    fn end(&mut self, outcome: Released) -> Output<Released> {
        self.state = ReleaseState::Done;
        Output::Done(outcome)
    }
}

/// Whether who releases a lock that it was granted at `granted` looks who stands in line: who stands there itself, to leave
/// it, and who knows of others when its turn is over. Who knows of nobody mostly looks in vain, so that it must not cost
/// anything: it does when it held the lock for long, else once in a while (`looked`: when somebody last did).
pub fn should_read_wait_list(standing: Option<&WaitListView>, granted: Duration, looked: Duration, now: Now) -> bool {
    match standing {
        Some(standing) => standing.is_to_leave() || !standing.may_go_on(now),
        None => now.instant.saturating_sub(granted.min(looked)) >= TURN,
    }
}
