//! Leaves the wait list for a lock by a compare-and-set that stores the list without this process.
//!
//! A process leaves after it has released the lock, and before the last of its callers gives up waiting. Leaving is only
//! a courtesy: a member that is left behind costs the others a little time, until one of them removes it.

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
    wait_list: Box<WaitListView>,
    state: LeaveState,
    reads: u8,
}

impl Leave {
    /// Returns a machine that removes the process with this view of the list.
    pub fn new(wait_list: Box<WaitListView>) -> Leave {
        Leave {
            wait_list,
            state: LeaveState::Ready,
            reads: 0,
        }
    }

    /// Returns what is known of the wait list now, and whether the process [must still
    /// leave](WaitListView::must_leave).
    pub fn into_wait_list(self) -> Box<WaitListView> {
        self.wait_list
    }

    /// Makes the next move.
    pub fn step(&mut self, now: Now, input: Input) -> Output<()> {
        match (self.state, input) {
            (LeaveState::Ready, Input::Start) => self.write(now),
            (LeaveState::Reading, Input::Exchanged(answered)) => {
                if !self.wait_list.record_list(answered.reply(0), answered.instance, now) {
                    self.end(false)
                } else if self.wait_list.is_in_line() {
                    self.write(now)
                } else {
                    self.end(true)
                }
            }
            (LeaveState::Writing, Input::Exchanged(answered)) => {
                if self.wait_list.record_write(answered.reply(0)) {
                    self.end(true)
                } else if answered.reply(0).is_some() {
                    self.read()
                } else {
                    self.end(false)
                }
            }
            _ => self.end(false),
        }
    }

    fn write(&mut self, now: Now) -> Output<()> {
        let Some((request, instance)) = self.wait_list.leave(now) else {
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
            return self.end(false);
        }
        self.state = LeaveState::Reading;
        Output::Exchange {
            batch: smallvec![Request::ReadWaitList],
            only_on: None,
        }
    }

    fn end(&mut self, has_left: bool) -> Output<()> {
        self.state = LeaveState::Done;
        self.wait_list.record_leaving(has_left);
        Output::Done(())
    }
}
