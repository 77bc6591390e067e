//! Why a connection could not be opened, and why a batch was not sent.

use super::codec::handshake::Unfit;
use super::socket::transport::Broken;
use super::trouble::Trouble;
use crate::error::Source;
use crate::protocol::Instance;

/// Why a batch was not taken. Nothing was sent of it.
#[derive(Debug)]
pub(crate) enum NotTaken {
    Retired,
    /// The requests themselves are at fault.
    Invalid(String),
}

/// Why a connection could not be opened. None of it sent a request.
#[derive(Debug)]
pub(crate) enum NotOpened {
    Failed(Trouble),
    TooYoung(Instance),
}

/// Why a batch was not sent in full.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// The requests themselves are at fault; the connection is as good as before.
    Invalid(String),
    /// The kernel took so many bytes and no more.
    Broken { taken: usize, broken: Broken },
}

impl From<Unfit> for NotOpened {
    fn from(unfit: Unfit) -> NotOpened {
        match unfit {
            Unfit::Unsuitable(text) => NotOpened::Failed(Trouble::new(text)),
            Unfit::TooYoung(instance) => NotOpened::TooYoung(instance),
        }
    }
}

impl From<Broken> for NotOpened {
    fn from(broken: Broken) -> NotOpened {
        NotOpened::Failed(match broken {
            Broken::Late => Trouble::new("it does not answer (no reply to `stats` within the limit)"),
            Broken::Closed(error) => Trouble::caused("it closed the connection before the reply to `stats`", error),
            Broken::Lost(error) => Trouble::caused("the connection failed before the reply to `stats`", error),
        })
    }
}

/// Why a pipe could not be opened, for all who wanted it. None of it sent a request.
#[derive(Debug, Clone)]
pub(crate) enum Unopened {
    Failed(Source),
    TooYoung(Instance),
    /// The limit of each of them is over.
    Late,
}

impl From<NotOpened> for Unopened {
    fn from(why: NotOpened) -> Unopened {
        match why {
            NotOpened::Failed(trouble) => Unopened::Failed(trouble.into()),
            NotOpened::TooYoung(instance) => Unopened::TooYoung(instance),
        }
    }
}
