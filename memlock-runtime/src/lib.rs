//! The runtime behind memlock's attributes: use it through the crate `memlock`.
//!
//! The floors, from the top down. Each imports only from those below it, which `cargo xtask lint` checks:
//!
//! | floor | what it is |
//! |---|---|
//! | `attribute` | a call of an annotated function: its options, its key, what its return type allows, its body |
//! | `transaction` | `zlock`, and transactions, which are run again after a conflict |
//! | `locks` | [`Locks`]: built, asked for one key or several, and replaced by locks in memory in tests |
//! | `call_tree` | which locks the annotated bodies hold that are running on this thread or in this task |
//! | `hold` | one held lock until its release: renewed, released, reserved for a retry |
//! | `driver` | what runs the machines of `protocol`, for threads and tasks alike, and in the background |
//! | `queue` | one FIFO queue per key in the process; only its head talks to the server |
//! | `store` | where items are: memcached servers, or memory |
//! | `system` | the only place that names the operating system: clocks, timers, randomness, forks, the background thread |
//! | `protocol` | state machines that acquire, renew and release. They wait for nothing and read no clock |
//! | `error` | what can go wrong, and which errors are conflicts |
//! | `key` | keys, and the names that they get on a server |
//! | `text` | texts of others escaped and short, secrets that are not shown, digits |

#![cfg_attr(test, allow(clippy::unchecked_time_subtraction, reason = "a test may panic"))]

mod attribute;
mod call_tree;
mod driver;
mod error;
mod hold;
mod key;
mod locks;
mod protocol;
mod queue;
mod store;
mod system;
mod text;
mod transaction;

pub use crate::call_tree::{CallTree, current};
pub use crate::error::OnUnavailable;
pub use crate::error::conflict::{Conflict, is_conflict};
pub use crate::error::{Error, Source};
pub use crate::hold::guard::{AsyncGuard, Guard};
pub use crate::hold::lease::Lease;
pub use crate::key::{DontLock, IntoKey, Key, KeyText};
pub use crate::locks::builder::Builder;
pub use crate::locks::builder::init;
pub use crate::locks::request::LockRequest;
pub use crate::locks::testing::TestServer;
pub use crate::locks::{Counts, Locks, Shutdown};
pub use crate::protocol::token::Token;
pub use crate::transaction::{Transaction, transaction};

/// For this project's own tests: no part of the public interface.
#[doc(hidden)]
pub mod __internals {
    pub use crate::key::{ByItem, Carried, ItemName};
    pub use crate::protocol::label::Label;
    pub use crate::protocol::lease::{CLOCK_ITEM_EXPIRY, CLOCK_ITEM_LIFE, Deadline, LONGEST_TIMEOUT, Now};
    pub use crate::protocol::server_clock::{Reading, ServerClock};
    pub use crate::protocol::{
        Acquire, End, Extended, Grant, Handed, LeaseState, Leave, Loss, Outcome, Release, Released, Renew, Renewed,
        Spec, Status, Taken, TurnState, TurnStatus, WaitListView, Watch, should_read_wait_list,
    };
    pub use crate::protocol::{
        Batch, Cas, Content, Instance, Member, Nonce, Record, Refusal, Replies, Reply, Request, Unanswered, WaitList,
        WakeTarget, YOUNGEST_SERVER,
    };
    pub use crate::protocol::{Exchanged, Input, Output, Pause, Pending};
    pub use crate::store::memcached::{Memcached, ServerAddress};
    pub use crate::store::memory::Memory;
    pub use crate::store::memory::items::Items;
    pub use crate::store::*;
    pub use crate::system::background::tasks as background_tasks;
    pub use crate::text::secret::Secret;
}

/// All that an expansion may name. Not for people: it changes with the attributes, in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::attribute::*;
}
