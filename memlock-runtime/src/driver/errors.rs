//! The errors of calls that acquire a lock, and their texts.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::error::{Error, Source, WrongSetup};
use crate::key::ItemName;
use crate::protocol::{Refusal, Spec, Unanswered};
use crate::text::shown::Shown;

pub(super) const CONTRADICTS: &str =
    "the server's answers contradict one another: check that it is memcached itself, with no proxy in between";
pub(super) const TOO_SLOW: &str =
    "it answers so slowly that half of the lock's timeout is over before it grants the lock: use a longer `timeout`";
pub(super) const TIME_IS_OVER: &str =
    "it did not answer before the time for asking it was over (`exchange_timeout`, which begins when `wait` ends)";
pub(super) const WRONG_NUMBERS: &str = "its numbers make no fencing token: it claims to have started before 2026 or after 2094, \
                             or to store without a higher CAS";
const STALLED: &str = "another caller of this process has its turn to ask for the lock, and does not go on: its future is \
                       not polled, or its thread is stopped";

/// The server's clock is behind.
#[derive(Debug, thiserror::Error)]
#[error(
    "its clock is {0:.1?} behind, as if the server had been stopped or its machine paused. A lock might end before half \
     of its `timeout`. The clock is trusted again once it has run for a second: try again, or use a longer `wait`"
)]
pub(super) struct ClockBehind(pub(super) Duration);

/// The server granted a lock, but no fencing token.
#[derive(Debug, thiserror::Error)]
#[error(
    "it gives no fencing token: it refused to raise its counter. It may be out of memory, or an item with the name of \
     the counter (the prefix, `memlock` by default, and `:tokens`) is not a counter: delete that item, and it is \
     created again"
)]
pub(super) struct NoToken(#[source] pub(super) Refusal);

/// Returns the error for a server that could not be asked.
pub(crate) fn unavailable(core: &Core, spec: &Spec, unanswered: Unanswered, source: Option<Source>) -> Error {
    unavailable_because(core, spec, source.unwrap_or_else(|| cause_of(unanswered)))
}

/// Returns the cause of an exchange that failed without naming one.
pub(crate) fn cause_of(unanswered: Unanswered) -> Source {
    text_cause(match unanswered {
        Unanswered::TooYoung => "it started less than two seconds ago, and grants nothing yet",
        Unanswered::NotSent => "there was no time left to ask it",
        Unanswered::OtherInstance => "it was restarted meanwhile",
        Unanswered::Cut | Unanswered::Late => "it did not answer",
        Unanswered::Contradicted => CONTRADICTS,
    })
}

/// Returns the error for a server that could not be asked because of `source`, or whose setup is wrong.
pub(crate) fn unavailable_because(core: &Core, spec: &Spec, source: Source) -> Error {
    let server = core.store.server_name(spec.server);
    if let Some(wrong) = source.downcast_ref::<WrongSetup>() {
        return Error::config(format!("server `{}`: {wrong}", Shown::new(server)));
    }
    Error::Unavailable {
        key: spec.item.as_str().to_owned(),
        server: server.to_owned(),
        source,
    }
}

/// Returns a cause that is only a text.
pub(super) fn text_cause(sentence: &'static str) -> Source {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(sentence))
}

/// Returns the error of a caller whose time was over before its turn came, or as it came. `trouble` is the reason why
/// the server could not be asked. Without it the lock is busy, unless `is_stalled`: the server has answered, and another
/// caller of this process holds the lock, or is ahead.
pub(super) fn too_late(core: &Core, spec: &Spec, trouble: Option<Error>, is_stalled: bool, waited: Duration) -> Error {
    match trouble {
        Some(trouble) => trouble,
        // Nobody is known to hold the lock.
        None if is_stalled => unavailable_because(core, spec, text_cause(STALLED)),
        None => busy(&spec.item, Some("another caller in this process".to_owned()), waited),
    }
}

/// Returns the error for a lock that another caller holds.
pub(super) fn busy(item: &ItemName, holder: Option<String>, waited: Duration) -> Error {
    Error::Busy {
        key: item.as_str().to_owned(),
        holder,
        waited,
    }
}
