//! Any function that returns a `Result` can be locked by `zlock`, which puts the body into a closure, and keeps its meaning.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use memlock::{Error, zlock};

use crate::stage::{LOCKS, block_on, held, key, pause};

#[derive(Clone)]
struct Shelf {
    name: String,
    books: Vec<String>,
}

fn shelf(name: &str) -> Shelf {
    Shelf {
        name: name.to_owned(),
        books: vec!["first".to_owned()],
    }
}

#[allow(clippy::boxed_local, reason = "receivers are the case")]
impl Shelf {
    fn path(&self) -> &str {
        &self.name
    }

    #[zlock(Self::path, locks = &LOCKS)]
    fn found(&self, index: usize) -> Result<&String, Error> {
        assert_eq!(key(), "a");
        if index == 0 {
            return Ok(&self.books[0]);
        }
        Ok(self.books.get(index).unwrap_or(&self.name))
    }

    #[zlock(Self::path, locks = &LOCKS)]
    fn added(&mut self, book: &str) -> Result<&mut String, Error> {
        self.books.push(format!("{book} {}", key()));
        let last = self.books.len() - 1;
        Ok(&mut self.books[last])
    }

    #[zlock(Self::path, locks = &LOCKS)]
    fn by_value(mut self) -> Result<(String, Vec<String>), Error> {
        self.books.clear();
        Ok((key(), self.books))
    }

    #[zlock(Self::path, locks = &LOCKS)]
    fn boxed(self: Box<Self>) -> Result<(String, Vec<String>), Error> {
        Ok((key(), self.books))
    }

    #[zlock("{self.name}", locks = &LOCKS)]
    fn counted(self: Arc<Self>) -> Result<(String, Arc<Self>), Error> {
        Ok((key(), self))
    }

    #[zlock(Self::path, locks = &LOCKS)]
    fn pinned(self: Pin<&mut Self>) -> Result<&mut String, Error> {
        assert_eq!(key(), "a");
        Ok(&mut self.get_mut().name)
    }

    #[zlock("{self.name}", locks = &LOCKS)]
    async fn added_later(&mut self, book: &str) -> Result<&mut String, Error> {
        pause().await;
        self.books.push(format!("{book} {}", key()));
        let last = self.books.len() - 1;
        Ok(&mut self.books[last])
    }
}

#[test]
fn receivers_and_what_is_borrowed_from_them() {
    let mut mine = shelf("a");
    assert_eq!(mine.found(0).expect("locked"), "first");
    assert_eq!(mine.found(7).expect("locked"), "a");
    mine.added("b").expect("locked").push('!');
    block_on(mine.added_later("c")).expect("locked").push('?');
    assert_eq!(mine.books, ["first", "b a!", "c a?"]);
    assert_eq!(shelf("a").by_value().expect("locked"), ("a".into(), vec![]));
    assert_eq!(Box::new(shelf("a")).boxed().expect("locked").0, "a");
    assert_eq!(Arc::new(shelf("a")).counted().expect("locked").0, "a");
    Pin::new(&mut mine).pinned().expect("locked").push('!');
    assert_eq!(mine.name, "a!");
}

struct Point {
    x: u8,
    y: u8,
}

fn sum(pair: &(u8, u8), point: &Point) -> u8 {
    pair.0 + point.y
}

#[zlock(sum, locks = &LOCKS)]
fn patterns((a, mut b): (u8, u8), Point { x, y: _ }: Point, _: u8) -> Result<(String, u8), Error> {
    b += a + x;
    Ok((key(), b))
}

fn key_of<T: Display + ?Sized>(value: &T) -> String {
    value.to_string()
}

#[zlock(key_of, locks = &LOCKS)]
fn generic<T, const N: usize>(value: T, rest: [T; N]) -> Result<Vec<T>, Error>
where
    T: Display,
{
    assert_eq!(key(), value.to_string());
    let mut all = Vec::from(rest);
    all.push(value);
    Ok(all)
}

#[zlock(key_of, locks = &LOCKS)]
fn borrowed<'a>(text: &'a str, other: &'a mut Vec<&'a str>) -> Result<&'a mut &'a str, Error> {
    assert_eq!(key(), text);
    other.push(text);
    Ok(&mut other[0])
}

#[zlock("{value}", locks = &LOCKS)]
fn hidden_arguments(value: impl Display, apply: impl FnOnce(u8) -> u8) -> Result<(String, u8), Error> {
    let _ = value;
    Ok((key(), apply(1)))
}

#[zlock(name = "hidden", locks = &LOCKS)]
fn hidden_inside(numbers: &[u8]) -> Result<impl Iterator<Item = &u8>, Error> {
    assert_eq!(held().len(), 1);
    if numbers.len() > 5 {
        return Ok(numbers.iter());
    }
    Ok(numbers[1..].iter())
}

#[zlock(name = "hidden", locks = &LOCKS)]
async fn hidden_inside_later(numbers: &[u8]) -> Result<impl Iterator<Item = &u8>, Error> {
    pause().await;
    assert_eq!(held().len(), 1);
    if numbers.len() > 5 {
        return Ok(numbers.iter());
    }
    Ok(numbers[1..].iter())
}

#[test]
fn patterns_generics_lifetimes_and_hidden_types() {
    let point = Point { x: 3, y: 4 };
    assert_eq!(patterns((1, 2), point, 0).expect("locked"), ("5".into(), 6));
    assert_eq!(generic(7, [1, 2]).expect("locked"), [1, 2, 7]);
    assert_eq!(*borrowed("a", &mut vec!["b"]).expect("locked"), "b");
    assert_eq!(hidden_arguments(7, |n| n + 1).expect("locked"), ("7".into(), 2));
    assert_eq!(hidden_inside(&[1, 2]).expect("locked").count(), 1);
    assert_eq!(block_on(hidden_inside_later(&[1, 2])).expect("locked").count(), 1);
}

#[derive(Debug, PartialEq)]
enum Failure {
    NoNumber,
    Lock(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Lock(error.to_string())
    }
}

impl From<std::num::ParseIntError> for Failure {
    fn from(_: std::num::ParseIntError) -> Self {
        Failure::NoNumber
    }
}

impl memlock::Conflict for Failure {
    fn is_conflict(&self) -> bool {
        false
    }
}

#[zlock(text, locks = &LOCKS)]
fn question(text: &str, calls: &mut u8) -> Result<u8, Failure> {
    *calls += 1;
    if text.is_empty() {
        return Ok(0);
    }
    let number: u8 = text.parse()?;
    // Converted by another `From`: the closure's error must be the function's, not an inferred one.
    let nested = question_of_the_lock(number)?;
    Ok(nested)
}

#[zlock(number, locks = &LOCKS)]
fn question_of_the_lock(number: u8) -> Result<u8, Error> {
    Ok(number)
}

#[zlock(text, locks = &LOCKS)]
async fn question_later(text: &str) -> Result<u8, Failure> {
    if text.is_empty() {
        return Ok(0);
    }
    pause().await;
    let number = text.parse()?;
    Ok(question_of_the_lock(number)?)
}

#[zlock(name = "fallback", locks = &LOCKS, wait = 0, otherwise = |_| Err(fallback))]
fn with_a_fallback<E: memlock::Conflict>(fallback: E, count: &mut u8) -> Result<u8, E> {
    *count += 1;
    if *count > 1 {
        return Err(fallback);
    }
    Ok(*count)
}

#[test]
fn question_marks_and_early_returns() {
    let mut calls = 0;
    assert_eq!(question("", &mut calls), Ok(0));
    assert_eq!(question("x", &mut calls), Err(Failure::NoNumber));
    assert_eq!(question("7", &mut calls), Ok(7));
    assert_eq!(calls, 3);
    assert_eq!(block_on(question_later("")), Ok(0));
    assert_eq!(block_on(question_later("x")), Err(Failure::NoNumber));
    assert_eq!(block_on(question_later("7")), Ok(7));
    let mut count = 0;
    assert_eq!(with_a_fallback(Failure::NoNumber, &mut count), Ok(1));
    assert_eq!(with_a_fallback(Failure::NoNumber, &mut count), Err(Failure::NoNumber));
}

trait Place {
    type Error: From<Error> + memlock::Conflict;

    fn path(&self) -> &str;

    #[zlock(Self::path, locks = &LOCKS)]
    fn default_method(&self) -> Result<(String, &str), Self::Error> {
        Ok((key(), self.path()))
    }

    #[zlock(Self::path, locks = &LOCKS)]
    async fn default_method_later(&mut self) -> Result<(String, &mut Self), Self::Error> {
        pause().await;
        Ok((key(), self))
    }

    async fn implemented(&self, id: u64) -> Result<String, Self::Error>;
}

impl Place for Shelf {
    type Error = Error;

    fn path(&self) -> &str {
        &self.name
    }

    #[zlock("{self.name}/{id}", locks = &LOCKS)]
    async fn implemented(&self, id: u64) -> Result<String, Error> {
        pause().await;
        Ok(key())
    }
}

#[test]
fn trait_methods() {
    let mut mine = shelf("a");
    assert_eq!(mine.default_method().expect("locked"), ("a".into(), "a"));
    assert_eq!(block_on(mine.default_method_later()).expect("locked").0, "a");
    assert_eq!(block_on(mine.implemented(7)).expect("locked"), "a/7");
}

#[async_trait]
trait Catalog {
    async fn changes(&mut self, pair: (u8, u8), more: String) -> Result<&mut String, Error>;

    async fn finds(&self, id: u64) -> Result<impl AsRef<str> + Send, Failure>
    where
        Self: Sized;
}

#[async_trait]
impl Catalog for Shelf {
    #[zlock(|_, pair: &(u8, u8)| pair.1, locks = &LOCKS)]
    async fn changes(&mut self, (first, second): (u8, u8), more: String) -> Result<&mut String, Error> {
        pause().await;
        if more.is_empty() {
            return Ok(&mut self.name);
        }
        self.name += &[first.to_string(), second.to_string(), more, key()].concat();
        Ok(&mut self.name)
    }

    #[zlock(id, locks = &LOCKS)]
    async fn finds(&self, id: u64) -> Result<impl AsRef<str> + Send, Failure> {
        pause().await;
        let _: u8 = self.books[0].parse().or_else(|_| "7".parse())?;
        Ok(format!("{id}{}", key()))
    }
}

#[test]
fn async_trait_above() {
    let mut mine = shelf("a");
    assert_eq!(block_on(mine.changes((1, 2), String::new())).expect("locked"), "a");
    assert_eq!(block_on(mine.changes((1, 2), "b".into())).expect("locked"), "a12b2");
    assert_eq!(block_on(mine.finds(7)).expect("locked").as_ref(), "77");
}

macro_rules! method {
    ($name:ident, $this:ident, $id:ident, $returns:ty, $body:block) => {
        impl Shelf {
            #[zlock("{self.name}/{id}", locks = &LOCKS)]
            fn $name(&mut $this, $id: u8) -> $returns $body
        }
    };
}
method!(made, self, id, Result<&mut String, Error>, {
    self.name = format!("{} {id}", key());
    Ok(&mut self.name)
});

#[test]
fn made_by_macro_rules() {
    assert_eq!(shelf("a").made(7).expect("locked"), "a/7 7");
}

#[zlock("k", name = "recursion", locks = &LOCKS)]
fn factorial(n: u64) -> Result<u64, Error> {
    Ok(if n == 0 { 1 } else { n * factorial(n - 1)? })
}

#[test]
fn recursion() {
    assert_eq!(factorial(5).expect("locked"), 120);
}

#[test]
#[zlock("k", name = "zlocked-test", locks = &LOCKS)]
fn a_test_may_be_locked() -> Result<(), Error> {
    assert_eq!(held(), ["zlocked-test:k"]);
    Ok(())
}

#[tokio::test]
#[zlock("k", name = "zlocked-tokio", locks = &LOCKS)]
async fn a_task_s_test_may_be_locked() -> Result<(), Error> {
    pause().await;
    assert_eq!(held(), ["zlocked-tokio:k"]);
    Ok(())
}
