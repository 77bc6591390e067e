//! Releasing a lock: compare-and-delete. It deletes nothing but the item of its own nonce.
//!
//! Who moves it: the holder when it is done, and whoever cleans up after a write without a reply.
//!
//! ```text
//!  Start ── CAS known, deadline ahead ► Deleting ── deleted, missing ► Released
//!    └────── otherwise ► Reading ── own nonce ──┘▲ └── another CAS, another instance ─┐
//!                           └── gone, another's ► Gone    ▲───────────────────────────┘
//! ```

use smallvec::smallvec;

use super::{Answered, Grant, Input, Output, RETRIES, Standing, lock_of};
use crate::key::ItemName;
use crate::lease::Now;
use crate::store::{Batch, Cas, Damage, Instance, Nonce, Reply, Request};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Released {
    /// The item was ours and is no more.
    Released,
    /// The item was not ours (any more).
    Gone,
    /// Nothing was learned. The item may still be there, and is to be released again.
    Failed(Damage),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Ready,
    /// `[compare-and-delete]` is out.
    Deleting,
    /// `[read]` is out.
    Reading,
    Done,
}

/// The machine. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Release {
    item: ItemName,
    nonce: Nonce,
    known: Option<(Instance, Cas)>,
    state: State,
    reads: u8,
    /// Look who stands in line, along with the deletion.
    standing: Option<Box<Standing>>,
}

impl Release {
    /// Releases `grant`. After its deadline the item may be another's, so it is read first.
    pub fn of_grant(item: ItemName, grant: &Grant, now: Now) -> Release {
        let known = (!grant.deadline.has_passed(now)).then_some((grant.instance, grant.cas));
        Release {
            known,
            ..Release::of_nonce(item, grant.nonce)
        }
    }

    /// Deletes whatever a write under `nonce` left behind.
    pub fn of_nonce(item: ItemName, nonce: Nonce) -> Release {
        Release {
            item,
            nonce,
            known: None,
            state: State::Ready,
            reads: 0,
            standing: None,
        }
    }

    /// A release that looks who stands in line.
    #[must_use]
    pub fn looking(mut self, standing: Option<Box<Standing>>) -> Release {
        self.standing = standing;
        self
    }

    /// What is known of the line now.
    pub fn take_standing(&mut self) -> Option<Box<Standing>> {
        self.standing.take()
    }

    /// Makes the next move.
    pub fn step(&mut self, now: Now, input: Input) -> Output<Released> {
        match (self.state, input) {
            (State::Ready, Input::Start) => match self.known {
                Some((instance, cas)) => self.delete(instance, cas),
                None => self.read(),
            },

            (State::Deleting, Input::Answered(answered)) => match answered.reply(0) {
                Some(Reply::Deleted) => {
                    if let Some(standing) = &mut self.standing {
                        standing.read(answered.reply(1), answered.instance);
                        standing.released(now);
                    }
                    self.end(Released::Released)
                }
                Some(Reply::Missing) => self.end(Released::Gone),
                Some(Reply::Exists) => self.read(),
                None if answered.damage() == Damage::OtherInstance => self.read(),
                _ => self.fail(&answered),
            },

            (State::Reading, Input::Answered(answered)) => match (answered.reply(0), answered.instance) {
                (Some(Reply::Missing), _) => self.end(Released::Gone),
                (Some(Reply::Item { content, cas }), Some(instance)) => match lock_of(&self.item, content) {
                    Some(record) if record.nonce == self.nonce => self.delete(instance, *cas),
                    _ => self.end(Released::Gone),
                },
                _ => self.fail(&answered),
            },

            _ => self.end(Released::Failed(Damage::NotSent)),
        }
    }

    fn delete(&mut self, instance: Instance, cas: Cas) -> Output<Released> {
        self.state = State::Deleting;
        let item = self.item.clone();
        let mut batch: Batch = smallvec![Request::Delete { item, cas }];
        if self.standing.is_some() {
            let item = self.item.clone();
            batch.push(Request::ReadLine { item });
        }
        Output::Exchange {
            batch,
            only_on: Some(instance),
        }
    }

    fn read(&mut self) -> Output<Released> {
        self.reads += 1;
        if self.reads > RETRIES {
            return self.end(Released::Failed(Damage::NotSent));
        }
        self.state = State::Reading;
        Output::Exchange {
            batch: smallvec![Request::Read {
                item: self.item.clone()
            }],
            only_on: None,
        }
    }

    fn fail(&mut self, answered: &Answered) -> Output<Released> {
        self.end(Released::Failed(answered.damage()))
    }

    fn end(&mut self, outcome: Released) -> Output<Released> {
        self.state = State::Done;
        Output::Done(outcome)
    }
}
