//! The queue of one process for one key: first come, first served. Only its head talks to the server.
//!
//! Most contention is between threads of one process. Sixty-four of them that polled one server would be sixty-four times
//! the load for the same lock. So a thread first takes its *turn* here, and keeps it until it has released the lock. What the
//! head learns of the holder (its [`Watch`](crate::protocol::Watch)) stays with the queue, not with the caller: a dead holder
//! is found dead within one lease, however often the head gives up and another takes its place.
//!
//! A holder that is done hands the lock over to the next in line without the server, as long as the grant allows
//! ([`Turn::hand_over`]). On its way the grant lies in the queue, in nobody's hands, until its taker comes for it
//! ([`Place::progress`]). A taker that leaves instead, or does not come, is passed over. Where no taker is left, the
//! [`Cleanup`] of the queue releases the grant. So the grant is always in exactly one place, and is lost in none.
//!
//! A turn lasts no longer than the lease that was granted under it: a thread that hangs in its body holds up the threads
//! of its own process for as long as it holds up those of others.
//!
//! The head asks on behalf of all. A waiter whose time is over learns from the queue how that stands ([`Place::outlook`]):
//! while it is open whether anybody holds the lock, the waiter waits for the server's answer, which wakes it.
//!
//! A head that finds the server unreachable tells all who stand behind it. They would ask the same server the same
//! question, each after the other's limits.
//!
//! Waiters are woken through a [`Waker`](std::task::Waker), so that tasks and threads wait in the same queue.
//!
//! | file | what it is |
//! |---|---|
//! | `queues` | all queues of one set of locks, in shards |
//! | `shard` | a part of the keys: their queues, and what is remembered of those that are gone |
//! | `of_key` | the queue of one key, and which waiters each of its steps wakes |
//! | `join` | joining a queue: at its head, or behind others |
//! | `waiter` | one waiter: what it is told, and tells, without a lock |
//! | `place` `turn` | what callers hold: a place in a queue, and the right of its head |
//! | `ending` `cleanup` | what becomes of a queue when a turn is over, and what it leaves to the background |
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
pub(crate) use self::place::{Place, PlaceProgress, Seen};
pub(crate) use self::queues::Queues;
pub(crate) use self::turn::Turn;
