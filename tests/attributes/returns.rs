//! The compiler's types, not their spelling, decide what a function can report.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::io;

use memlock::lock;

use crate::stage::{LOCKS, UNREACHABLE, held};

#[derive(Debug)]
struct OwnError(String);

impl From<memlock::Error> for OwnError {
    fn from(error: memlock::Error) -> OwnError {
        OwnError(error.to_string())
    }
}

type Alias<T> = Result<T, OwnError>;
type AliasWithDefault<T, E = OwnError> = std::result::Result<T, E>;
type WholeAlias = Alias<u8>;

#[lock("k", locks = &UNREACHABLE)]
fn memlock_error() -> Result<u8, memlock::Error> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn own_error() -> Result<u8, OwnError> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn alias() -> Alias<u8> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn alias_with_default() -> AliasWithDefault<u8> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn whole_alias() -> WholeAlias {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn of_io() -> io::Result<u8> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn boxed() -> Result<u8, Box<dyn Error + Send + Sync>> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn boxed_without_bounds() -> Result<u8, Box<dyn Error>> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn text() -> Result<u8, String> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn generic<E: From<memlock::Error>>() -> Result<u8, E> {
    Ok(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn hidden_success() -> Result<impl Iterator<Item = u8> + Debug, OwnError> {
    Ok(vec![1].into_iter())
}

trait Work {
    type Error: From<memlock::Error>;

    #[lock("k", locks = &UNREACHABLE)]
    fn associated(&self) -> Result<u8, Self::Error> {
        Ok(1)
    }

    #[lock("k", locks = &UNREACHABLE)]
    fn itself(self) -> Result<Self, Self::Error>
    where
        Self: Sized,
    {
        Ok(self)
    }
}

impl Work for u8 {
    type Error = OwnError;
}

#[test]
fn results_whose_error_can_be_made_from_a_lock_error_report() {
    assert!(memlock_error().expect_err("no server").is_unavailable());
    assert!(own_error().expect_err("no server").0.contains("unavailable"));
    assert!(alias().is_err());
    assert!(alias_with_default().is_err());
    assert!(whole_alias().is_err());
    assert_eq!(of_io().expect_err("no server").kind(), io::ErrorKind::NotConnected);
    assert!(boxed().expect_err("no server").downcast::<memlock::Error>().is_ok());
    assert!(boxed_without_bounds().is_err());
    assert!(text().expect_err("no server").contains("unavailable"));
    assert!(generic::<OwnError>().is_err());
    assert!(hidden_success().is_err());
    assert!(1.associated().is_err());
    assert!(1.itself().is_err());
}

mod spelled_like_one {
    //! A user's own type of that name.
    use memlock::lock;

    use crate::stage::UNREACHABLE;

    #[derive(Debug, PartialEq)]
    pub(super) enum Result<T, E> {
        Fine(T),
        #[allow(dead_code, reason = "nothing makes one")]
        Bad(E),
    }

    #[lock("k", locks = &UNREACHABLE)]
    pub(super) fn own_result() -> Result<u8, memlock::Error> {
        Result::Fine(1)
    }
}

#[lock("k", locks = &UNREACHABLE)]
fn unit() {}

#[lock("k", locks = &UNREACHABLE)]
fn option() -> Option<u8> {
    Some(1)
}

#[lock("k", locks = &UNREACHABLE)]
fn any<T: Default>() -> T {
    T::default()
}

#[lock("k", locks = &UNREACHABLE, on_unavailable = unlocked)]
fn cannot_report() -> Result<u8, std::fmt::Error> {
    Ok(1)
}

#[test]
fn functions_that_cannot_report_run_unlocked() {
    assert!(matches!(
        spelled_like_one::own_result(),
        spelled_like_one::Result::Fine(1)
    ));
    unit();
    assert_eq!(option(), Some(1));
    assert_eq!(any::<u8>(), 0);
    assert_eq!(cannot_report(), Ok(1));
}

#[lock(name = "closure", locks = &LOCKS)]
fn closure_without_types() -> impl Fn(&str) -> usize {
    assert_eq!(held().len(), 1);
    |text| text.len()
}

#[lock(name = "closure", locks = &LOCKS, wait = 0, otherwise = |_| closure_without_types_2)]
fn closure_or_function() -> impl Fn(&str) -> usize {
    assert_eq!(held().len(), 1);
    closure_without_types_2
}

fn closure_without_types_2(text: &str) -> usize {
    text.len()
}

#[lock(name = "boxed", locks = &LOCKS)]
fn boxed_closure() -> Box<dyn Fn(&str) -> usize> {
    assert_eq!(held().len(), 1);
    Box::new(|text| text.len() + 1)
}

#[lock(name = "iterator", locks = &LOCKS)]
fn hidden<'a>(numbers: &'a [u8], text: &str) -> impl Iterator<Item = &'a u8> + use<'a> {
    assert_eq!((held().len(), text), (1, "a"));
    if numbers.len() > 5 {
        return numbers.iter();
    }
    numbers[1..].iter()
}

#[lock(name = "nested", locks = &LOCKS)]
fn hidden_inside(numbers: &[u8]) -> (Option<impl Iterator<Item = &u8>>, Box<dyn Iterator<Item = impl Debug>>) {
    assert_eq!(held().len(), 1);
    (Some(numbers.iter()), Box::new(std::iter::once(1)))
}

#[test]
fn hidden_types_stay_hidden() {
    assert_eq!(closure_without_types()("abc"), 3);
    assert_eq!(closure_or_function()("abc"), 3);
    assert_eq!(boxed_closure()("abc"), 4);
    assert_eq!(hidden(&[1, 2], "a").count(), 1);
    let (numbers, more) = hidden_inside(&[1, 2]);
    assert_eq!(numbers.map(Iterator::count), Some(2));
    assert_eq!(more.count(), 1);
}

#[lock(name = "never", locks = &LOCKS)]
fn never(code: u8) -> ! {
    let held = held();
    std::panic::panic_any((held.len(), code))
}

#[test]
fn a_function_that_never_returns() {
    let panic = std::panic::catch_unwind(|| never(7)).expect_err("it panics");
    assert_eq!(panic.downcast_ref::<(usize, u8)>(), Some(&(1, 7)));
    assert!(held().is_empty());
}

#[lock(name = "coerced", locks = &LOCKS)]
fn coerced(numbers: &[u8; 3]) -> &[u8] {
    assert_eq!(held().len(), 1);
    numbers
}

#[lock(name = "coerced", locks = &LOCKS)]
fn early_and_late(early: bool) -> Box<dyn Display> {
    assert_eq!(held().len(), 1);
    if early {
        return Box::new("early");
    }
    Box::new(7)
}

#[test]
fn returned_values_are_coerced_as_before() {
    assert_eq!(coerced(&[1, 2, 3]).len(), 3);
    assert_eq!(early_and_late(true).to_string(), "early");
    assert_eq!(early_and_late(false).to_string(), "7");
}

struct Cells(std::cell::RefCell<u8>);

impl Cells {
    #[lock(name = "cells", locks = &LOCKS)]
    fn elided_lifetime_in_a_path(&self) -> Result<std::cell::Ref<'_, u8>, memlock::Error> {
        Ok(self.0.borrow())
    }

    #[lock(name = "cells", locks = &LOCKS)]
    fn function_pointer(&self) -> Option<for<'a> fn(&'a str) -> &'a str> {
        assert_eq!((held().len(), *self.0.borrow()), (1, 7));
        Some(str::trim)
    }

    #[lock(name = "cells", locks = &LOCKS)]
    fn array<const N: usize>(&self) -> [u8; N] {
        [*self.0.borrow(); N]
    }
}

#[test]
fn return_types_with_elided_lifetimes_and_function_pointers() {
    let cells = Cells(std::cell::RefCell::new(7));
    assert_eq!(*cells.elided_lifetime_in_a_path().expect("held"), 7);
    assert_eq!(cells.function_pointer().map(|trim| trim(" a ")), Some("a"));
    assert_eq!(cells.array::<2>(), [7, 7]);
}
