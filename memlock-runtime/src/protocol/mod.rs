//! The protocol: four state machines. They do not block, read no clock, draw no random numbers and use no socket.
//!
//! # Theory of operation
//!
//! A lock is an item on a memcached server. The process that *adds* the item holds the lock. The item identifies its
//! grant (a fresh random nonce), and says for how long its holder believes in it (the lease). The holder's own deadline
//! is never later than the lease counted from before its request left. Every other process counts the same length from
//! when it first *saw* the item, and so ends later. Three machines follow from that. A fourth is a courtesy:
//!
//! | machine | moves by | ends in |
//! |---|---|---|
//! | [`Acquire`] | `[clock, add, raise counter]`, and once refused: `read`, pause, `read`, …, then the same again or a take-over; a waiting process also reads and stores the wait list | a [`Grant`], or the reason why there is none |
//! | [`Renew`] | `[clock, compare-and-set]` | a later deadline (of a *reservation*: a shorter lease in the item), `Lost`, or `Failed` (nothing learned; the old deadline stands) |
//! | [`Release`] | `compare-and-delete`, and sometimes `read list` or `store list` with it | `Released`, `Gone` (the item was gone, or another grant's), or `Failed` (to be tried again) |
//! | [`Leave`] | `read list`, `compare-and-set list` | nothing that anyone depends on |
//!
//! All take `step(now, input) -> Output`, which says what to do next: make an exchange, pause, or stop. They are
//! `Clone + Eq + Hash`, so the same machines run in production, in a simulator and under a model checker.
//!
//! Rules that hold in all of them:
//!
//! * A request without a reply has not succeeded. A write without a reply is remembered by its nonce until reading the
//!   item has shown its outcome. It never counts as done, and is never forgotten.
//! * Every cycle ends or pauses, whatever the server replies. [`Release`], [`Renew`] and [`Leave`] read a few times and
//!   end; `acquire/mod.rs` shows it for [`Acquire`].
//! * The fencing token is the CAS of the server's counter, which the granting batch raises behind the store.
//!   `acquire/mod.rs` says why it rises.
//! * A CAS is used only on the instance that gave it (`only_on`), since CAS restarts at 1 with the server. On another
//!   instance a machine reads the item first, compares the nonce, and uses the CAS that it has just read.
//! * Another CAS does not prove a loss: servers before 1.6.24 renumber live items. The machine reads the item and
//!   compares the nonce.
//! * The lease in the item is longer than its holder's `timeout`, by a slice. During the slice the lock may be handed
//!   over inside the process without an exchange with the server. Each holder has a higher token and a deadline of its own.
//!   No deadline is beyond the end of the lease in the item, and other processes go by that lease alone.
//! * A lease in the item gets shorter only in a reservation, and only after its holder has stopped believing in more.
//!   The TTL that goes with it never gets shorter.
//! * Another item, the [wait list](WaitListView), says which waiting process goes first. It is a hint: nobody believes
//!   in a lock because of it, and a lost or wrong list costs only time.
//! * A contender that was refused never stores blindly. memcached deletes the item under a store that it refuses for
//!   lack of memory, even under an `add`. A waiter therefore reads until the item is gone, and only then adds. A
//!   wake-up from the process that deletes the item is as good as that read, for one `add`: a process that can send one
//!   can read the server, and so could delete the item itself.

mod acquire;
mod grant;
pub(crate) mod label;
pub(crate) mod lease;
mod lease_state;
mod leave;
mod machine;
mod members;
mod messages;
mod release;
mod renew;
pub(crate) mod server_clock;
mod spec;
#[cfg(test)]
mod tests;
pub(crate) mod token;
mod turn_state;
mod wait_list;
mod wake_history;
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
pub use self::members::{Member, WaitList, WakeTarget};
pub use self::messages::{
    Batch, Cas, Content, Instance, Nonce, Record, Refusal, Replies, Reply, Request, Unanswered, YOUNGEST_SERVER,
};
pub use self::spec::Spec;
