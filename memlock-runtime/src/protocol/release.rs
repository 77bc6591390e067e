//! Releases a lock by compare-and-delete. It deletes only an item with its own nonce.
//!
//! A holder that is done releases its grant this way. The background work deletes the items that writes without a reply
//! left behind.
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
use super::members::WakeTarget;
use super::messages::{Batch, Cas, Instance, Nonce, Reply, Request, Unanswered};
use super::wait_list::{LONGEST_TURN, WaitListView};
use crate::key::ItemName;

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Released {
    /// The item was this grant's, and is gone now.
    Released,
    /// The item was gone, or another grant's.
    Gone,
    /// Nothing was learned. The item may still be there, so the release must be tried again.
    Failed(Unanswered),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ReleaseState {
    Ready,
    /// `[compare-and-delete]` is out, or `[compare-and-delete, read list]`, or `[store list, compare-and-delete]`.
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
    /// What is known of the wait list. Along with the deletion the release gives way to the others in the list, or
    /// reads it. `None`: it does neither.
    wait_list: Option<Box<WaitListView>>,
    /// Whether the wait list is written along with the deletion, and not read.
    is_giving_way: bool,
}

impl<I: Borrow<ItemName>> Release<I> {
    /// Returns a machine that releases `grant`. After the grant's deadline the item may be another grant's, so the
    /// machine reads it first.
    pub fn of_grant(item: I, grant: &Grant, now: Now) -> Release<I> {
        let known = (!grant.deadline.has_passed(now)).then_some((grant.instance, grant.cas));
        Release {
            known,
            ..Release::of_nonce(item, grant.nonce)
        }
    }

    /// Returns a machine that deletes the item that a write under `nonce` left behind, if there is one.
    pub fn of_nonce(item: I, nonce: Nonce) -> Release<I> {
        Release {
            item,
            nonce,
            known: None,
            state: ReleaseState::Ready,
            reads: 0,
            wait_list: None,
            is_giving_way: false,
        }
    }

    /// Lets the release read the wait list, too, or leave it.
    #[must_use]
    pub fn with_wait_list(mut self, wait_list: Option<Box<WaitListView>>) -> Release<I> {
        self.wait_list = wait_list;
        self
    }

    /// Takes what is known of the wait list now.
    pub fn take_wait_list(&mut self) -> Option<Box<WaitListView>> {
        self.wait_list.take()
    }

    /// Where to wake the next process, before the first exchange: by the time that process asks for the lock, the item
    /// will have been deleted. `None` where the item is read first, or there is no process to wake.
    pub fn next_wake_target(&self) -> Option<WakeTarget> {
        let is_deleted_first = self.known.is_some();
        let wait_list = self.wait_list.as_ref().filter(|_| is_deleted_first)?;
        wait_list.is_in_line().then(|| wait_list.next_wake_target()).flatten()
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
                self.record_list(now, answered);
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
        if let Some(wait_list) = &mut self.wait_list {
            // The list that was read when the lock was granted says which process is next, and is mostly still current.
            let giving_way = wait_list.give_way(now);
            let giving_way = giving_way.filter(|(_, proved_on)| *proved_on == instance);
            self.is_giving_way = giving_way.is_some();
            match giving_way {
                // The list comes first, so that a process that adds the lock after the deletion reads a list without
                // this process.
                Some((store, _)) => batch.insert(0, store),
                None => batch.push(Request::ReadWaitList),
            }
        }
        Output::Exchange {
            batch,
            only_on: Some(instance),
        }
    }

    /// Records the reply about the wait list that came with the reply to the deletion.
    fn record_list(&mut self, now: Now, answered: &Exchanged) {
        let Some(wait_list) = &mut self.wait_list else { return };
        if self.is_giving_way {
            wait_list.record_write(answered.reply(0));
        } else {
            wait_list.record_list(answered.reply(1), answered.instance, now);
        }
        wait_list.record_release(now);
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

/// Returns whether the release of a lock that was granted at `granted` should read the wait list. `looked` is the last
/// time when a release in this process did.
///
/// A process that is in the list reads it to leave, and one that knows of others reads it once its turn is over. A
/// process that knows of no others mostly reads in vain, so the read must cost next to nothing: it reads after it has
/// held the lock for long, else once in a while.
pub fn should_read_wait_list(wait_list: Option<&WaitListView>, granted: Duration, looked: Duration, now: Now) -> bool {
    match wait_list {
        Some(wait_list) => wait_list.must_leave() || !wait_list.may_take_again(now),
        None => now.instant.saturating_sub(granted.min(looked)) >= LONGEST_TURN,
    }
}
