//! [`Options`]: the options of one attribute, as its expansion writes them down.

use std::time::Duration;

use super::call_guard::CallGuard;
use super::duration::IntoDuration;
use super::enter::FunctionCall;
use crate::call_tree::lock_kind::LockKind;
use crate::error::call_site::CallSite;
use crate::error::{Error, OnUnavailable};
use crate::hold::options::{LockOptions, RESERVE, RenewPolicy};
use crate::key::Key;
use crate::locks::Locks;
use crate::locks::policy::{Reporting, must_not_panic};
use crate::protocol::lease::LONGEST_TIMEOUT;

/// The options of one call. Lives on the stack of the annotated function until the lock is held.
#[derive(Debug)]
#[must_use]
pub struct Options<'a> {
    kind: LockKind,
    /// The namespace of the key.
    name: &'a str,
    lock: LockOptions,
    /// The locks to use. `None`: the process-wide ones.
    locks: Option<&'a Locks>,
    mistake: Option<Mistake>,
}

/// An option with a wrong value, which is known only at run time. The first one is reported.
#[derive(Debug, Clone, Copy)]
struct Mistake {
    option: &'static str,
    problem: &'static str,
}

impl<'a> Options<'a> {
    /// Options of `function`, whose attribute is where this is called, under the plain lock, with the function's path as the namespace.
    #[track_caller]
    pub const fn lock(function: &'static str) -> Options<'a> {
        Options::of(LockKind::Lock, function)
    }

    /// As [`lock`](Self::lock), under the re-entrant lock.
    #[track_caller]
    pub const fn rlock(function: &'static str) -> Options<'a> {
        Options::of(LockKind::Rlock, function)
    }

    /// As [`lock`](Self::lock), under the lock in front of a database.
    #[track_caller]
    pub const fn zlock(function: &'static str) -> Options<'a> {
        Options::of(LockKind::Zlock, function)
    }

    #[track_caller]
    const fn of(kind: LockKind, function: &'static str) -> Options<'a> {
        Options {
            kind,
            name: function,
            lock: LockOptions::of(function),
            locks: None,
            mistake: None,
        }
    }

    /// Sets another namespace.
    pub const fn name(mut self, name: &'a str) -> Self {
        self.name = name;
        self
    }

    /// Sets the lifetime of the lock.
    pub fn timeout(mut self, length: impl IntoDuration) -> Self {
        self.lock.timeout = self.positive_duration("timeout", length);
        self
    }

    /// Sets the longest pause between two looks at a held lock by the process that is next. Processes in line behind it
    /// look up to four times less often.
    pub fn interval(mut self, length: impl IntoDuration) -> Self {
        self.lock.interval = self.positive_duration("interval", length);
        self
    }

    /// Sets how long to wait for other holders.
    pub fn wait(mut self, length: impl IntoDuration) -> Self {
        self.lock.wait = self.duration("wait", length);
        self
    }

    /// Keeps the lease alive until the body is done.
    pub const fn renew(mut self) -> Self {
        self.lock.renew = Some(RenewPolicy::Always);
        self
    }

    /// Keeps the lease alive until the body is done, but at most for `length`.
    pub fn renew_for(mut self, length: impl IntoDuration) -> Self {
        self.lock.renew = self.positive_duration("renew", length).map(RenewPolicy::AtMost);
        self
    }

    /// Sets what to do if the server cannot be asked.
    pub const fn on_unavailable(mut self, choice: OnUnavailable) -> Self {
        self.lock.on_unavailable = Some(choice);
        self
    }

    /// Sets how long a `zlock` stays reserved after a conflict.
    pub fn reserve(mut self, length: impl IntoDuration) -> Self {
        self.lock.reserve = self.positive_duration("reserve", length).unwrap_or(RESERVE);
        self
    }

    /// Uses `locks` instead of the process-wide ones.
    pub const fn locks(mut self, locks: &'a Locks) -> Self {
        self.locks = Some(locks);
        self
    }

    /// Acquires the locks on `keys`.
    #[track_caller]
    pub(crate) fn enter(self, keys: &[Key], reporting: Reporting) -> Result<CallGuard, Error> {
        self.prepare(keys)?.enter(reporting)
    }

    /// As [`enter`](Self::enter), for a function that cannot report an error. While the thread unwinds from a panic, any
    /// error makes its body run without the locks.
    ///
    /// # Panics
    ///
    /// With the error of a program that is wrong.
    #[track_caller]
    pub(super) fn enter_soft(self, keys: &[Key]) -> CallGuard {
        let site = self.site();
        match self.enter(keys, Reporting::No) {
            Ok(guard) => guard,
            Err(error) if must_not_panic(site.function, &error) => CallGuard::unlocked(site),
            Err(error) => panic!("{error}"),
        }
    }

    /// The function.
    pub(super) fn site(&self) -> CallSite {
        self.lock.site
    }

    /// Prepares to acquire the locks on `keys`.
    pub(crate) fn prepare(self, keys: &[Key]) -> Result<FunctionCall, Error> {
        if let Some(Mistake { option, problem }) = self.mistake {
            return Err(Error::config(format!(
                "the option `{option}` of `{}` {problem}",
                self.lock.site.function
            )));
        }
        FunctionCall::new(self.locks, self.kind, self.name, self.lock, keys)
    }

    /// Converts a duration that must not be zero.
    fn positive_duration(&mut self, option: &'static str, length: impl IntoDuration) -> Option<Duration> {
        let length = self.duration(option, length);
        if length == Some(Duration::ZERO) {
            self.record_mistake(option, "is zero: use a positive duration");
        }
        length
    }

    /// Converts a duration. Records a mistake, and returns `None`, if it is not one.
    fn duration(&mut self, option: &'static str, length: impl IntoDuration) -> Option<Duration> {
        let length = length.into_duration();
        match length {
            None => self.record_mistake(option, "is not a duration: it is negative, infinite or not a number"),
            Some(length) if length > LONGEST_TIMEOUT => {
                self.record_mistake(option, "is longer than 29 days: use a shorter one");
            }
            Some(_) => {}
        }
        length
    }

    fn record_mistake(&mut self, option: &'static str, problem: &'static str) {
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
    fn an_invalid_duration_is_an_error_that_names_the_option_and_the_function() {
        assert_eq!(
            mistake(Options::lock("m::f").timeout(0)),
            "memlock: the option `timeout` of `m::f` is zero: use a positive duration"
        );
        assert!(mistake(Options::lock("m::f").interval(-1)).contains("`interval` of `m::f` is not a duration"));
        assert!(mistake(Options::lock("m::f").wait(f64::NAN)).contains("`wait` of `m::f` is not a duration"));
        assert!(mistake(Options::lock("m::f").renew_for(30 * 86_400)).contains("`renew` of `m::f` is longer"));
    }

    #[test]
    fn only_the_first_of_two_mistakes_is_reported() {
        assert!(mistake(Options::rlock("m::f").timeout(-1).interval(0)).contains("`timeout`"));
    }

    #[test]
    fn a_wait_of_zero_is_accepted() {
        let options = Options::lock("m::f").wait(0);
        assert!(options.mistake.is_none());
        assert_eq!(options.lock.wait, Some(Duration::ZERO));
    }
}
