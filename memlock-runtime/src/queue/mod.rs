//! The queue of one process for one key: first come, first served. Only its head talks to the server.
//!
//! Most contention is between threads of one process. If 64 of them polled the server for one lock, they would cause 64
//! times the load. So a thread first takes its *turn* here, and keeps it until it has released the lock. What the head
//! learns about the holder (its [`Watch`](crate::protocol::Watch)) stays with the queue, not with the caller: a dead
//! holder is detected within one lease, however often the head gives up and another caller takes its place.
//!
//! A holder that is done hands the lock over to the next waiter without the server, as long as the grant allows it
//! ([`Turn::hand_over`]). During a hand-over the grant lies in the queue and belongs to no caller, until its taker
//! collects it ([`Place::progress`]). A taker that leaves instead, or does not come, is passed over. If no taker is
//! left, the [`Cleanup`] of the queue releases the grant. So the grant is always in exactly one place, and is never
//! lost.
//!
//! A turn lasts no longer than the lease that was granted in it: a thread that hangs in its body blocks the threads of
//! its own process no longer than it blocks those of other processes.
//!
//! The head asks the server on behalf of all. A waiter whose time is over asks the queue for its
//! [outlook](Place::outlook): while it is open whether anybody holds the lock, the waiter waits for the server's
//! answer, which wakes it.
//!
//! A head that finds the server unreachable fails all waiters behind it. Otherwise they would ask the same server the
//! same question, one after the other, and each would wait for its own limits.
//!
//! Waiters are woken through a [`Waker`](std::task::Waker), so that tasks and threads wait in the same queue.
//!
//! | file | what it is |
//! |---|---|
//! | `queues` | all queues of one set of locks, in shards |
//! | `shard` | some of the keys: their queues, and what is remembered of queues that are gone |
//! | `of_key` | the queue of one key, and which waiters each of its steps wakes |
//! | `join` | joining a queue: at its head, or behind others |
//! | `waiter` | one waiter: what it is told, and what it announces, without a lock |
//! | `place` `turn` | what callers hold: a place in a queue, and the right of its head |
//! | `ending` `cleanup` | what happens to a queue when a turn ends, and what it leaves to the background |
//! | `numbers` | the numbers of turns |
//!
//! `checks/interleavings/` runs all this in many orders of its threads' steps.

mod cleanup;
mod ending;
mod join;
mod numbers;
mod of_key;
mod place;
mod queues;
mod shard;
#[cfg(test)]
mod tests;
mod turn;
mod waiter;

pub(crate) use self::cleanup::Cleanup;
pub(crate) use self::join::Joined;
pub(crate) use self::place::{Place, PlaceProgress};
pub(crate) use self::queues::Queues;
pub(crate) use self::turn::Turn;
