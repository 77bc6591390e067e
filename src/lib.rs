//! Distributed locks on memcached: put an attribute on a function, and no two processes run it for the same key at once.
//!
//! ```
//! struct Account { id: u64 }
//!
//! impl Account {
//!     #[memlock::lock("account/{self.id}", timeout = 30)]
//!     fn close(&self) -> Result<(), memlock::Error> {
//!         // No other caller closes this account, on any host.
//!         Ok(())
//!     }
//! }
//! # fn main() -> Result<(), memlock::Error> {
//! # memlock::init(memlock::Locks::builder().servers("memory:").build()?)?;
//! # Account { id: 7 }.close()
//! # }
//! ```
//!
//! The lock is a *lease* on a memcached server: it ends with the body, or after its `timeout` if its holder dies. Callers
//! for the same key wait before they do their work, instead of doing it at once and losing it to a conflict later.
//!
//! # Choosing
//!
//! | you want | take |
//! |---|---|
//! | one caller at a time | [`lock`](macro@lock) |
//! | the same, for functions that call each other or themselves | [`rlock`](macro@rlock) |
//! | one writer at a time in front of a database that detects conflicts itself | [`zlock`](macro@zlock) in a [`transaction()`] |
//! | a lock for part of a function, or a lock that is passed on | [`Locks::lock`], a [`Guard`] (an [`AsyncGuard`] in tasks) |
//! | a task or thread that works for its starter, under the same lock | [`CallTree`] |
//! | no locks left behind when the process ends | [`Locks::flush`] |
//! | the state of the lease, from inside the body | [`current()`] |
//! | a resource that a stale holder cannot harm | [`Lease::token`] |
//!
//! # Async
//!
//! The attributes mean the same on an `async fn`, under any executor:
//!
//! ```
//! #[memlock::lock("invoice/{id}", timeout = 30, wait = 5)]
//! async fn send(id: u64) -> Result<(), memlock::Error> {
//!     // No other caller sends this invoice, across every `.await` in here.
//!     Ok(())
//! }
//! ```
//!
//! The future may be dropped at any `.await`: the body is dropped, and the lock is released in the background. The holder is
//! the call tree: what a body joins, selects or calls may enter an [`rlock`](macro@rlock) again; what it spawns may not.
//! A *synchronous* locked function blocks its thread; in a task that is a mistake, and memlock warns of it once.
//!
//! # In front of a database
//!
//! A database that detects conflicting writes at commit is right for distinct objects, and wasteful for one hot object:
//! the work is done, thrown away, and done again. With [`zlock`](macro@zlock) the writers of one object wait *before*
//! their work. The database still decides.
//!
//! ```
//! # use memlock::Locks;
//! #[derive(Debug, thiserror::Error)]
//! enum CatalogError {
//!     #[error("another writer has changed the catalogue")]
//!     Changed,
//!     #[error(transparent)]
//!     Lock(#[from] memlock::Error),
//! }
//!
//! impl memlock::Conflict for CatalogError {
//!     fn is_conflict(&self) -> bool {
//!         matches!(self, CatalogError::Changed) || memlock::is_conflict(self)
//!     }
//! }
//!
//! #[memlock::zlock("catalog/{path}", timeout = 30)]
//! fn index(path: &str, document: &str) -> Result<(), CatalogError> {
//!     // Read the catalogue, compute, write: no other caller does so meanwhile.
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), CatalogError> {
//! # memlock::init(Locks::builder().servers("memory:").build()?)?;
//! memlock::transaction().attempts(5).run(|_attempt| {
//!     // let tx = db.begin()?;
//!     index("/news", "…")?;
//!     // tx.commit()?;      the lock is held until here
//!     Ok(())
//! })
//! # }
//! ```
//!
//! In a transaction nothing waits for a lock. If another caller holds it, `zlock` returns a conflict at once, and the
//! closure rolls its database transaction back. Only then does the scope wait, for all the locks that it has met, in one
//! order for every caller. So no two transactions wait for each other, and none waits with an open database transaction.
//! [`is_conflict`] lists the databases and errors that it recognises.
//!
//! # Setting up
//!
//! `MEMLOCK_SERVERS=host1:11211,host2:11211` names the servers (`MEMCACHEDLOCK_SERVERS` is read too; without either,
//! `127.0.0.1:11211`). `unix:/run/memcached.sock` is a local socket. `memory:` is a store inside the process, for tests and
//! for trying it out. `MEMLOCK_WAKE=10.0.0.7:0`, this machine's address, lets other processes wake
//! this one when it is the first in a wait list. [`Locks::builder`] sets the same in code, and [`init`] installs the
//! result for the whole process.
//!
//! memcached must be 1.6.13 or later, and must not run with `-C`.
//!
//! # Testing locked functions
//!
//! [`Locks::in_memory`] gives locks in the test's own memory and a [`TestServer`], with a clock to move and faults to switch
//! on. A function takes them by `locks = …`; functions that use the process-wide locks get `memory:` by [`init`].
//!
//! ```
//! use std::time::Duration;
//! use memlock::Locks;
//!
//! struct Billing { locks: Locks }
//!
//! impl Billing {
//!     #[memlock::lock("invoice/{id}", locks = &self.locks, timeout = 30, wait = 5)]
//!     fn send(&self, id: u64, work: impl FnOnce()) -> Result<(), memlock::Error> {
//!         work();
//!         memlock::current().expect("it runs locked").check()
//!     }
//! }
//!
//! // #[test]
//! fn two_senders_do_not_send_at_once_and_a_stuck_sender_loses_its_lease() {
//!     let (locks, server) = Locks::in_memory();
//!     let billing = Billing { locks };
//!
//!     let mut second = None;
//!     let first = billing.send(7, || {
//!         server.advance(Duration::from_secs(31)); // The first sender takes a second longer than its lease:
//!         second = Some(std::thread::scope(|scope| {
//!             scope.spawn(|| billing.send(7, || ())).join().expect("no panic")
//!         }));
//!     });
//!     assert!(second.is_some_and(|second| second.is_ok()), "the second sender takes over");
//!     assert!(first.is_err_and(|error| error.is_lost()), "and the first sender learns of it");
//!
//!     server.set_down(true);
//!     assert!(billing.send(7, || ()).is_err_and(|error| error.is_unavailable()));
//! }
//! # two_senders_do_not_send_at_once_and_a_stuck_sender_loses_its_lease();
//! ```
//!
//! # What is promised, and what is not
//!
//! At most one holder believes in its lease at any instant, as long as
//!
//! * the *rates* of any two clocks differ by less than 0.1 % (the times that they show do not matter),
//! * the server keeps its items: it does not evict locks or run out of memory, and is not restarted or flushed while a
//!   lease is held (then a second holder can come in until the first one's lease ends),
//! * all processes use the same list of servers, and no proxy stands between.
//!
//! Even without all that, [tokens](Token) rise from grant to grant as long as the server's wall clock is not set back across
//! a restart. So a resource that refuses older tokens is never written by a stale holder, and a lock without such a resource
//! protects against waste and disorder, not against a process that is stopped for longer than its lease and then goes on.
//!
//! There is no failover: a server that is down makes *its* keys unavailable, since anything else would split the lock.

pub use memlock_macros::{lock, rlock, zlock};
#[doc(hidden)]
pub use memlock_runtime::__private;
pub use memlock_runtime::{
    AsyncGuard, Builder, CallTree, Conflict, Counts, DontLock, Error, Guard, IntoKey, Key, KeyText, Lease, LockRequest,
    Locks, OnUnavailable, Shutdown, Source, TestServer, Token, Transaction, current, init, is_conflict, transaction,
};
