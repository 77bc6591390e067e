//! What can go wrong, one variant for each thing that a caller can do about it.

pub(crate) mod call_site;
pub(crate) mod conflict;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use self::call_site::CallSite;
use crate::text::shown::Shown;

/// The cause kept below an [`Error::Unavailable`], shared so that errors stay cheap to clone.
pub type Source = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// Why a lock could not be acquired, or did not last.
///
/// Its `Display` and its `Debug` are safe to log: text from users, other processes and servers is escaped in them, and
/// long text is cut off.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another holder kept the lock for as long as this caller was willing to wait. Retry later, or wait longer.
    #[error("lock `{}` is busy: {} still holds it after {}", Shown::new(key), Holder(holder.as_deref()), Seconds(*waited))]
    #[non_exhaustive]
    Busy {
        /// The lock's name on the server. It has no control characters and at most 200 bytes, but it may contain
        /// characters that reverse the direction of text.
        key: String,
        /// The holder (host, process and function), if it is known. The holder wrote this text, which is escaped and
        /// short.
        holder: Option<String>,
        /// How long this caller waited.
        waited: Duration,
    },

    /// The server that keeps this key could not be asked, or did not prove that it granted the lock. Nothing is held.
    /// Keys on other servers may be fine.
    #[error(
        "cannot lock `{}`: memcached server {} is unavailable: {}",
        Shown::new(key),
        Shown::new(server),
        Shown::message(source)
    )]
    #[non_exhaustive]
    Unavailable {
        /// The lock, as it is named on the server.
        key: String,
        /// The server, as it was configured.
        server: String,
        /// What failed.
        source: Source,
    },

    /// The lease has ended, and another holder may have the lock by now. Either the lease was lost before the body was
    /// done, or the caller uses a lease that has been released.
    #[error("the lease of lock `{}` has ended: {}", Shown::new(key), Shown::message(reason))]
    #[non_exhaustive]
    Lost {
        /// The lock, as it is named on the server.
        key: String,
        /// How the lease ended.
        reason: String,
        /// The error of its last renewal, if the lease ended because of that error.
        source: Option<Source>,
    },

    /// A holder asked for its own lock, and would have waited for itself.
    ///
    /// A thread pool may run one job inside another, while that waits for a third: then the two functions have nothing
    /// to do with each other. See [`CallTree::outside`](crate::CallTree::outside).
    #[error(
        "the caller already holds lock `{}`, and would wait for itself: {} holds it, and {} asks for it; use `rlock` on \
         both to allow that, or give one of them another `name`",
        Shown::new(key),
        Shown::message(holder),
        Shown::message(caller)
    )]
    #[non_exhaustive]
    Reentered {
        /// The lock, as it is named on the server.
        key: String,
        /// The function that holds it, and the place of its attribute in the source.
        holder: String,
        /// The function that asks for it, or the request, and its place in the source.
        caller: String,
    },

    /// A [`zlock`](https://docs.rs/memlock/latest/memlock/attr.zlock.html) found its lock held by another caller: what
    /// its own caller has read from the database will be out of date. Roll back, and start the transaction again.
    /// Outside of a [transaction](crate::transaction()) the lock is reserved for that retry.
    #[error(
        "lock `{}` was held by another caller{}, so what was read before is out of date: roll back and start the \
         transaction again",
        Shown::new(key),
        For(*waited)
    )]
    #[non_exhaustive]
    Conflict {
        /// The lock, as it is named on the server.
        key: String,
        /// How long this caller waited until the lock was free; zero in a transaction, where nothing waits.
        waited: Duration,
        /// The holder.
        source: Source,
    },

    /// A [transaction](crate::transaction()) met a conflict in each of its attempts.
    #[error(
        "each of {attempts} attempts met a conflict, within {}; the last conflict: {}",
        Seconds(*took),
        Shown::message(last)
    )]
    #[non_exhaustive]
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// How long they took altogether.
        took: Duration,
        /// The last conflict.
        last: Source,
        #[doc(hidden)]
        source: Source,
    },

    /// A setting or an option is wrong. The message names it, and says what to do.
    #[error("memlock: {}", Shown::message(message))]
    #[non_exhaustive]
    Config {
        /// What is wrong, where, and what to do.
        message: String,
    },
}

impl Error {
    /// Whether the caller's wait ended before the lock was free.
    pub fn is_busy(&self) -> bool {
        matches!(self, Error::Busy { .. })
    }

    /// Whether the server could not be asked.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }

    /// Whether the lease has ended: it was lost, or it has been released.
    pub fn is_lost(&self) -> bool {
        matches!(self, Error::Lost { .. })
    }

    /// Whether a holder asked for its own lock.
    pub fn is_reentered(&self) -> bool {
        matches!(self, Error::Reentered { .. })
    }

    /// Whether a transaction would have worked on data that is out of date, once or in each of its attempts. Roll it
    /// back; it may be started again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Conflict { .. } | Error::GaveUp { .. })
    }

    /// Whether a setting or an option is wrong.
    pub fn is_config(&self) -> bool {
        matches!(self, Error::Config { .. })
    }

    /// The lease of the lock on `key` has ended, for `reason`: because its renewal failed with `source`, if there is
    /// one.
    pub(crate) fn lost(key: impl Into<String>, reason: impl Into<String>, source: Option<Source>) -> Error {
        Error::Lost {
            key: key.into(),
            reason: reason.into(),
            source,
        }
    }

    /// `caller` asked for the lock on `key`, which `holder` around it holds.
    pub(crate) fn reentered(key: &str, holder: CallSite, caller: CallSite) -> Error {
        Error::Reentered {
            key: key.to_owned(),
            holder: holder.to_string(),
            caller: caller.to_string(),
        }
    }

    /// The lock on `key` was held by another caller: by `holder`, if that is known.
    pub(crate) fn conflict(key: String, holder: Option<String>, waited: Duration) -> Error {
        let source = Arc::new(HeldByAnother(holder));
        Error::Conflict { key, waited, source }
    }

    /// A transaction met a conflict in each of its attempts.
    pub(crate) fn gave_up(attempts: u32, took: Duration, last: Source) -> Error {
        let source = Arc::new(LastConflict(Arc::clone(&last)));
        Error::GaveUp {
            attempts,
            took,
            last,
            source,
        }
    }

    /// A mistake in the program or its environment.
    pub(crate) fn config(message: impl Into<String>) -> Error {
        Error::Config {
            message: message.into(),
        }
    }
}

/// Why a server must not be used until its setup is mended. As the cause of a failed exchange it makes the error
/// [`Error::Config`] and not [`Error::Unavailable`]: neither another attempt nor a run without the lock is right then.
#[derive(Debug, thiserror::Error)]
#[error("{}", Shown::message(.0))]
pub(crate) struct WrongSetup(pub(crate) String);

/// The source of [`Error::Conflict`]. [`is_conflict`](conflict::is_conflict) recognizes the conflict by it even if an
/// error passes on only its sources.
#[derive(thiserror::Error)]
#[error("{} held it", Holder(.0.as_deref()))]
pub(crate) struct HeldByAnother(Option<String>);

impl fmt::Debug for HeldByAnother {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldByAnother")
            .field(&self.0.as_ref().map(Shown::new))
            .finish()
    }
}

/// The source of [`Error::GaveUp`], for the same purpose.
#[derive(Debug, thiserror::Error)]
#[error("{}", Shown::message(.0))]
pub(crate) struct LastConflict(#[source] Source);

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Busy { key, holder, waited } => f
                .debug_struct("Busy")
                .field("key", &Shown::new(key))
                .field("holder", &holder.as_ref().map(Shown::new))
                .field("waited", waited)
                .finish(),
            Error::Unavailable { key, server, source } => f
                .debug_struct("Unavailable")
                .field("key", &Shown::new(key))
                .field("server", &Shown::new(server))
                .field("source", &Cause(source))
                .finish(),
            Error::Lost { key, reason, source } => f
                .debug_struct("Lost")
                .field("key", &Shown::new(key))
                .field("reason", &Shown::message(reason))
                .field("source", &source.as_ref().map(Cause))
                .finish(),
            Error::Reentered { key, holder, caller } => f
                .debug_struct("Reentered")
                .field("key", &Shown::new(key))
                .field("holder", &Shown::message(holder))
                .field("caller", &Shown::message(caller))
                .finish(),
            Error::Conflict { key, waited, source } => f
                .debug_struct("Conflict")
                .field("key", &Shown::new(key))
                .field("waited", waited)
                .field("source", &Cause(source))
                .finish(),
            Error::GaveUp {
                attempts, took, last, ..
            } => f
                .debug_struct("GaveUp")
                .field("attempts", attempts)
                .field("took", took)
                .field("last", &Cause(last))
                .finish(),
            Error::Config { message } => f
                .debug_struct("Config")
                .field("message", &Shown::message(message))
                .finish(),
        }
    }
}

/// The `Debug` text of a cause, which may be an error of any crate.
struct Cause<'a>(&'a Source);

impl fmt::Debug for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Shown::message(format_args!("{:?}", self.0)), f)
    }
}

impl From<Error> for io::Error {
    /// [`Busy`](Error::Busy) becomes `TimedOut`, [`Unavailable`](Error::Unavailable) `NotConnected`,
    /// [`Config`](Error::Config) `InvalidInput`, the rest `Other`. The memlock error becomes its inner error.
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::Busy { .. } => io::ErrorKind::TimedOut,
            Error::Unavailable { .. } => io::ErrorKind::NotConnected,
            Error::Config { .. } => io::ErrorKind::InvalidInput,
            Error::Lost { .. } | Error::Reentered { .. } | Error::Conflict { .. } | Error::GaveUp { .. } => {
                io::ErrorKind::Other
            }
        };
        io::Error::new(kind, error)
    }
}

impl From<Error> for String {
    fn from(error: Error) -> String {
        error.to_string()
    }
}

struct Holder<'a>(Option<&'a str>);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => fmt::Display::fmt(&Shown::new(holder), f),
            None => f.write_str("another holder"),
        }
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

struct For(Duration);

impl fmt::Display for For {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return Ok(());
        }
        write!(f, " for {}", Seconds(self.0))
    }
}

/// What to do when the server is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// Return the error.
    Error,
    /// Run the body without the lock, and log a warning.
    Unlocked,
    /// Panic with the error's text.
    Panic,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Error {
        Error::Busy {
            key: "memlock:f:1".into(),
            holder: Some("host 7 f".into()),
            waited: Duration::from_millis(1500),
        }
    }

    #[test]
    fn messages_name_the_lock_and_say_what_to_do() {
        assert_eq!(
            busy().to_string(),
            "lock `memlock:f:1` is busy: host 7 f still holds it after 1.500 s"
        );
        let (line, [holder, caller]) = (line!(), [CallSite::of("m::f"), CallSite::of("")]);
        let reentered = Error::reentered("k", holder, caller).to_string();
        let place = format!("{}:{line}:", file!());
        for part in [
            "`k`",
            "rlock",
            "name",
            &format!("`m::f` ({place}"),
            &format!("request at {place}"),
        ] {
            assert!(reentered.contains(part), "{part}: {reentered}");
        }
        let released = Error::lost("k", "it has been released", None).to_string();
        assert_eq!(released, "the lease of lock `k` has ended: it has been released");
    }

    #[test]
    fn every_error_escapes_and_shortens_foreign_text() {
        let evil = format!("\u{1b}[2J\u{7}\r\n\u{202e}\u{200b}{}", "x".repeat(60_000));
        let cause: Source = Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(evil.clone()));
        let (key, holder, waited) = (evil.clone(), Some(evil.clone()), Duration::ZERO);
        let conflict = Error::conflict(key.clone(), holder.clone(), waited);
        let io = io::Error::from(conflict.clone());
        let server = evil.clone();
        let errors = [
            Error::Busy {
                key: key.clone(),
                holder,
                waited,
            },
            Error::Unavailable {
                key: key.clone(),
                server,
                source: Arc::clone(&cause),
            },
            Error::Reentered {
                key,
                holder: evil.clone(),
                caller: evil.clone(),
            },
            conflict,
            Error::gave_up(3, waited, cause),
            Error::config(evil),
        ];
        let texts = errors
            .iter()
            .flat_map(|error| [error.to_string(), format!("{error:?}"), String::from(error.clone())]);
        for text in texts.chain([io.to_string(), format!("{io:?}")]) {
            let bad = text
                .chars()
                .find(|c| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}'));
            assert_eq!(bad, None, "{text}");
            assert!(
                text.contains("\\u{1b}[2J") && text.len() < 2500,
                "{} bytes: {text}",
                text.len()
            );
        }
    }

    #[test]
    fn an_io_error_keeps_the_lock_error_as_its_inner_error() {
        let error = io::Error::from(busy());
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error
                .get_ref()
                .is_some_and(|inner| inner.downcast_ref::<Error>().is_some_and(Error::is_busy))
        );
    }

    #[test]
    fn a_conflict_says_how_long_it_waited_and_how_often_it_was_tried() {
        let conflict = |waited| Error::conflict("k".into(), Some("host 7 f".into()), Duration::from_millis(waited));
        assert!(
            conflict(0)
                .to_string()
                .starts_with("lock `k` was held by another caller, so")
        );
        assert!(
            conflict(1500)
                .to_string()
                .starts_with("lock `k` was held by another caller for 1.500 s, so")
        );
        let source = std::error::Error::source(&conflict(0)).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("host 7 f held it"));
        let gave_up = Error::gave_up(3, Duration::from_secs(2), Arc::new(conflict(0)));
        let text = gave_up.to_string();
        assert!(
            text.starts_with("each of 3 attempts met a conflict, within 2.000 s; the last conflict: lock `k`"),
            "{text}"
        );
        assert!(gave_up.is_conflict() && !busy().is_conflict());
    }

    #[test]
    fn errors_can_be_sent_to_other_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<Error>();
    }
}
