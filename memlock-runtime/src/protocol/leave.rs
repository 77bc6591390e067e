//! Leaving the line for a lock: compare-and-set without this process's entry.
//!
//! Who moves it: who has released the lock, and whoever cleans up after the last in a process that gave up waiting. It is
//! only a courtesy: an entry that is left behind costs the others a little time, until one of them takes it out.

use std::time::Duration;

use smallvec::smallvec;

use super::lease::Now;
use super::machine::{Input, Output};
use super::messages::Request;
use super::wait_list::WaitListView;

/// How often the line is read again before it gives up. Where processes wake each other the line changes thousands of times a
/// second, and every other write comes too late; an entry that is left costs the others a pause of its own.
const READS: u8 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LeaveState {
    Ready,
    /// `[read line]` is out.
    Reading,
    /// `[store line]` or `[delete line]` is out.
    Writing,
    Done,
}

/// The machine. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leave {
    interval: Duration,
    standing: Box<WaitListView>,
    state: LeaveState,
    reads: u8,
}

impl Leave {
    /// Takes the process that stands there out of the line.
    pub fn new(interval: Duration, standing: Box<WaitListView>) -> Leave {
        Leave {
            interval,
            standing,
            state: LeaveState::Ready,
            reads: 0,
        }
    }

    /// What is known of the line now.
    pub fn into_standing(self) -> Box<WaitListView> {
        self.standing
    }

    /// Makes the next move.
    pub fn step(&mut self, now: Now, input: Input) -> Output<()> {
        match (self.state, input) {
            (LeaveState::Ready, Input::Start) => self.write(now),
            (LeaveState::Reading, Input::Exchanged(answered))
                if self.standing.read(answered.reply(0), answered.instance) && self.standing.is_in_line() =>
            {
                self.write(now)
            }
            (LeaveState::Writing, Input::Exchanged(answered))
                if !self.standing.wrote(answered.reply(0)) && answered.reply(0).is_some() =>
            {
                self.read()
            }
            _ => self.end(),
        }
    }

    fn write(&mut self, now: Now) -> Output<()> {
        let Some((request, instance)) = self.standing.leave(self.interval, now) else {
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
            batch: smallvec![Request::ReadLine],
            only_on: None,
        }
    }

    fn end(&mut self) -> Output<()> {
        self.state = LeaveState::Done;
        self.standing.forget_place();
        Output::Done(())
    }
}
