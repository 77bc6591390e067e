//! The options of one attribute, as its expansion writes them down.

use std::time::Duration;

use super::duration::IntoDuration;
use super::enter::FunctionCall;
use super::held::Held;
use crate::call_tree::Kind;
use crate::error::{Error, OnUnavailable};
use crate::hold::options::{LockOptions, RESERVE, RenewPolicy};
use crate::key::Key;
use crate::locks::Locks;
use crate::locks::policy::Reporting;
use crate::protocol::lease::LONGEST_TIMEOUT;

/// The options of a call in the making. Lives on the stack of the annotated function until the lock is held.
#[derive(Debug)]
#[must_use]
pub struct Options<'a> {
    kind: Kind,
    /// The namespace of the key.
    name: &'a str,
    lock: LockOptions,
    /// The locks to use. `None`: the process-wide ones.
    locks: Option<&'a Locks>,
    mistake: Option<Mistake>,
}

/// An option whose value, known only now, cannot be. The first one is kept.
#[derive(Debug, Clone, Copy)]
struct Mistake {
    option: &'static str,
    problem: &'static str,
}

impl<'a> Options<'a> {
    /// `function` under the plain lock, in a namespace of its own.
    pub const fn lock(function: &'static str) -> Options<'a> {
        Options::of(Kind::Lock, function)
    }

    /// `function` under the re-entrant lock, in a namespace of its own.
    pub const fn rlock(function: &'static str) -> Options<'a> {
        Options::of(Kind::Rlock, function)
    }

    /// `function` under the lock in front of a database, in a namespace of its own.
    pub const fn zlock(function: &'static str) -> Options<'a> {
        Options::of(Kind::Zlock, function)
    }

    const fn of(kind: Kind, function: &'static str) -> Options<'a> {
        Options {
            kind,
            name: function,
            lock: LockOptions::of(function),
            locks: None,
            mistake: None,
        }
    }

    /// Another namespace.
    pub const fn name(mut self, name: &'a str) -> Self {
        self.name = name;
        self
    }

    /// The lifetime of the lock.
    pub fn timeout(mut self, length: impl IntoDuration) -> Self {
        self.lock.timeout = self.above_zero("timeout", length);
        self
    }

    /// The longest pause between two looks at a held lock by the process that is next. Those that stand in line behind it look up
    /// to four times as seldom.
    pub fn interval(mut self, length: impl IntoDuration) -> Self {
        self.lock.interval = self.above_zero("interval", length);
        self
    }

    /// How long to wait for the lock.
    pub fn wait(mut self, length: impl IntoDuration) -> Self {
        self.lock.wait = self.length("wait", length);
        self
    }

    /// The lease is kept alive until the body is done.
    pub const fn renew(mut self) -> Self {
        self.lock.renew = Some(RenewPolicy::Always);
        self
    }

    /// The lease is kept alive until the body is done, for at most this long.
    pub fn renew_for(mut self, length: impl IntoDuration) -> Self {
        self.lock.renew = self.above_zero("renew", length).map(RenewPolicy::For);
        self
    }

    /// What to do when the server cannot be asked.
    pub const fn on_unavailable(mut self, choice: OnUnavailable) -> Self {
        self.lock.on_unavailable = Some(choice);
        self
    }

    /// How long a `zlock` stays reserved after a conflict.
    pub fn reserve(mut self, length: impl IntoDuration) -> Self {
        self.lock.reserve = self.above_zero("reserve", length).unwrap_or(RESERVE);
        self
    }

    /// Other locks than the process-wide ones.
    pub const fn locks(mut self, locks: &'a Locks) -> Self {
        self.locks = Some(locks);
        self
    }

    /// Acquires the locks on `keys`.
    #[track_caller]
    pub(crate) fn enter(self, keys: &[Key], reporting: Reporting) -> Result<Held, Error> {
        self.prepare(keys)?.enter(reporting)
    }

    /// Prepares to acquire the locks on `keys`.
    pub(crate) fn prepare(self, keys: &[Key]) -> Result<FunctionCall, Error> {
        if let Some(Mistake { option, problem }) = self.mistake {
            return Err(Error::config(format!(
                "the option `{option}` of `{}` {problem}",
                self.lock.function
            )));
        }
        FunctionCall::new(self.locks, self.kind, self.name, self.lock, keys)
    }

    fn above_zero(&mut self, option: &'static str, length: impl IntoDuration) -> Option<Duration> {
        let length = self.length(option, length);
        if length == Some(Duration::ZERO) {
            self.is_wrong(option, "is zero: give it a length of time");
        }
        length
    }

    fn length(&mut self, option: &'static str, length: impl IntoDuration) -> Option<Duration> {
        let length = length.into_duration();
        match length {
            None => self.is_wrong(option, "is no length of time: it is negative, infinite or not a number"),
            Some(length) if length > LONGEST_TIMEOUT => self.is_wrong(option, "is longer than 29 days"),
            Some(_) => {}
        }
        length
    }

    fn is_wrong(&mut self, option: &'static str, problem: &'static str) {
        self.mistake.get_or_insert(Mistake { option, problem });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(options: Options<'_>) -> String {
        options
            .enter(&[], Reporting::Yes)
            .expect_err("the option is wrong")
            .to_string()
    }

    #[test]
    fn a_wrong_length_is_an_error_that_names_the_option_and_the_function() {
        assert_eq!(
            mistake(Options::lock("m::f").timeout(0)),
            "memlock: the option `timeout` of `m::f` is zero: give it a length of time"
        );
        assert!(mistake(Options::lock("m::f").interval(-1)).contains("`interval` of `m::f` is no length"));
        assert!(mistake(Options::lock("m::f").wait(f64::NAN)).contains("`wait` of `m::f` is no length"));
        assert!(mistake(Options::lock("m::f").renew_for(30 * 86_400)).contains("`renew` of `m::f` is longer"));
    }

    #[test]
    fn the_first_mistake_is_the_one_that_is_told() {
        assert!(mistake(Options::rlock("m::f").timeout(-1).interval(0)).contains("`timeout`"));
    }

    #[test]
    fn waiting_for_no_time_at_all_is_fine() {
        let options = Options::lock("m::f").wait(0);
        assert!(options.mistake.is_none());
        assert_eq!(options.lock.wait, Some(Duration::ZERO));
    }
}
