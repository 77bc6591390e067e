//! Leaves the wait list for a lock by a compare-and-set that stores the list without this process.
//!
//! A process leaves after it has released the lock, and when the last of its callers has given up waiting. Leaving is
//! only a courtesy: a member that is left behind costs the others a little time, until one of them removes it.

use std::time::Duration;

use smallvec::smallvec;

use super::lease::Now;
use super::machine::{Input, Output};
use super::messages::Request;
use super::wait_list::WaitListView;

/// How often the machine reads the list again before it gives up. Where processes wake each other the list changes
/// thousands of times a second, and half of the writes come too late. A member that is left behind costs the others one
/// of its pauses.
const READS: u8 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LeaveState {
    Ready,
    /// `[read list]` is out.
    Reading,
    /// `[store list]` or `[delete list]` is out.
    Writing,
    Done,
}

/// The machine. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leave {
    interval: Duration,
    wait_list: Box<WaitListView>,
    state: LeaveState,
    reads: u8,
}

impl Leave {
    /// Returns a machine that removes the process with this view of the list.
    pub fn new(interval: Duration, wait_list: Box<WaitListView>) -> Leave {
        Leave {
            interval,
            wait_list,
            state: LeaveState::Ready,
            reads: 0,
        }
    }

    /// Returns what is known of the wait list now.
    pub fn into_wait_list(self) -> Box<WaitListView> {
        self.wait_list
    }

    /// Makes the next move.
    pub fn step(&mut self, now: Now, input: Input) -> Output<()> {
        match (self.state, input) {
            (LeaveState::Ready, Input::Start) => self.write(now),
            (LeaveState::Reading, Input::Exchanged(answered))
                if self.wait_list.record_list(answered.reply(0), answered.instance) && self.wait_list.is_in_line() =>
            {
                self.write(now)
            }
            (LeaveState::Writing, Input::Exchanged(answered))
                if !self.wait_list.record_write(answered.reply(0)) && answered.reply(0).is_some() =>
            {
                self.read()
            }
            _ => self.end(),
        }
    }

    fn write(&mut self, now: Now) -> Output<()> {
        let Some((request, instance)) = self.wait_list.leave(self.interval, now) else {
            return self.read();
        };
        self.state = LeaveState::Writing;
        Output::Exchange {
            batch: smallvec![request],
            only_on: Some(instance),
        }
    }

    fn read(&mut self) -> Output<()> {
        self.reads += 1;
        if self.reads > READS {
            return self.end();
        }
        self.state = LeaveState::Reading;
        Output::Exchange {
            batch: smallvec![Request::ReadWaitList],
            only_on: None,
        }
    }

    fn end(&mut self) -> Output<()> {
        self.state = LeaveState::Done;
        self.wait_list.forget_membership();
        Output::Done(())
    }
}
