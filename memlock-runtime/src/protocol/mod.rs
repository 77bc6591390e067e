//! The protocol: four state machines that wait for nothing, read no clock, draw nothing at random and know no socket.
//!
//! # Theory of operation
//!
//! A lock is an item on a memcached server. Whoever *adds* it holds the lock; the item says whose it is (a fresh random
//! nonce), and for how long its holder believes in it (the lease). The holder's own deadline is never later than the
//! lease counted from before its request left, so everyone else, counting the same length from when they first *saw*
//! the item, ends later. Three machines follow from that, and a fourth for courtesy:
//!
//! | machine | moves by | ends in |
//! |---|---|---|
//! | [`Acquire`] | `[clock, add, raise counter]`, and once refused: `read`, pause, `read`, …, then the same again or a take-over; in line, `read line` or `store line` along with them | a [`Grant`], or why not |
//! | [`Renew`] | `[clock, compare-and-set]` | a later deadline (of a *reservation*: a shorter lease in the item), `Lost`, or `Failed` (nothing learned; the old deadline stands) |
//! | [`Release`] | `compare-and-delete`, and sometimes `read line` or `store line` with it | `Released`, `Gone` (not ours any more), or `Failed` (to be tried again) |
//! | [`Leave`] | `read line`, `compare-and-set line` | nothing that anyone depends on |
//!
//! All take `step(now, input) -> Output` and say what to do next: make an exchange, pause, or stop. They are
//! `Clone + Eq + Hash`, so the same machines run in production, in a simulator and under a model checker.
//!
//! Rules that hold in all of them:
//!
//! * No reply is no success. A write without a reply is remembered by its nonce until reading the item has shown what
//!   became of it; it is never counted as done and never forgotten.
//! * Every cycle ends or pauses, whatever the server says: [`Release`], [`Renew`] and [`Leave`] read a few times and end; for
//!   [`Acquire`] see its file.
//! * The fencing token is the CAS of the server's counter, raised in the granting batch behind the store. Why it rises stands in
//!   `acquire.rs`.
//! * A CAS is used only on the instance that gave it (`only_on`): it restarts at 1 with the server. On another
//!   instance the item is read first, its nonce compared, and the CAS just read is used there.
//! * Another CAS is no proof of loss: servers before 1.6.24 renumber live items. Read, and compare the nonce.
//! * The lease in the item is longer than its holder's `timeout`, by a slice. While that lasts the lock may be handed over
//!   inside the process, without the server's knowing: each holder has a higher token and a deadline of its own, and no
//!   deadline is beyond the end of the lease in the item, which is all that anyone else goes by.
//! * A lease in the item gets shorter only in a reservation, and only after its holder has stopped believing in more; the TTL
//!   that goes with it does not.
//! * Who goes first among those who wait is told by another item, the [line](WaitListView). It is a hint: nothing is believed
//!   because of it, and where it is lost or wrong it costs time and nothing else.
//! * A contender that was refused never stores blindly. memcached deletes the item under a store that it refuses for
//!   lack of memory, even under an `add`; a waiter therefore reads until the item is gone, and only then adds. To be told by
//!   who deletes it is as good, for one `add`: whoever can tell it so can read the server, and delete the item himself.

mod acquire;
mod calls;
mod grant;
pub(crate) mod label;
pub(crate) mod lease;
mod lease_state;
mod leave;
mod machine;
mod messages;
mod release;
mod renew;
mod spec;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod turn_state;
mod wait_list;
mod watch;

pub use self::acquire::{Acquire, Outcome};
pub use self::lease_state::{End, Extended, LeaseState, Loss, Status};
pub use self::leave::Leave;
pub use self::release::should_read_wait_list;
pub use self::release::{Release, Released};
pub use self::renew::{Renew, Renewed};
pub use self::turn_state::{Taken, TurnState, TurnStatus};
pub use self::wait_list::WaitListView;
pub use self::watch::Watch;

pub use self::grant::{Grant, Handed};
pub use self::machine::{Exchanged, Input, Output, Pause, Pending};
pub use self::messages::{
    Batch, Cas, Content, Instance, Member, Nonce, Record, Refusal, Replies, Reply, Request, Unanswered, WaitList,
    WakeTarget, YOUNGEST_SERVER,
};
pub use self::spec::Spec;
