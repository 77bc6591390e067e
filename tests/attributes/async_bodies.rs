//! An async body runs lazily, under the lock, with the control flow and drop order of its own.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use memlock::lock;

use crate::stage::{LOCKS, block_on, held, key, pause};

#[lock("k", locks = &LOCKS)]
async fn early(n: u8) -> Result<u8, memlock::Error> {
    assert_eq!(held().len(), 1);
    if n == 0 {
        return Ok(100);
    }
    pause().await;
    assert_eq!(held().len(), 1);
    let found = 'search: {
        for i in 0..10 {
            if i == n {
                break 'search i;
            }
        }
        return Ok(99);
    };
    Err::<u8, _>(found).or_else(Ok)
}

#[lock("k", locks = &LOCKS)]
async fn question(text: &str) -> Option<u32> {
    pause().await;
    assert_eq!(held().len(), 1);
    let first = text.chars().next()?;
    let digit = first.to_digit(10)?;
    Some(digit)
}

#[lock("k", locks = &LOCKS)]
async fn question_of_another_error(text: &str) -> Result<u8, Box<dyn std::error::Error>> {
    pause().await;
    let number = text.parse::<u8>()?;
    let nested = async { Ok::<_, std::fmt::Error>(number) }.await?;
    Ok(nested)
}

#[lock("k", locks = &LOCKS)]
async fn coerced(early: bool) -> Box<dyn Display> {
    if early {
        return Box::new("early");
    }
    pause().await;
    Box::new(7)
}

#[lock("k", locks = &LOCKS)]
async fn diverges(really: bool) -> u8 {
    pause().await;
    if really { panic!("as asked") } else { unreachable!() }
}

#[lock("k", locks = &LOCKS)]
async fn empty() {}

#[lock("k", locks = &LOCKS)]
async fn one_statement() {
    assert_eq!(held().len(), 1);
}

#[lock("k", locks = &LOCKS)]
async fn only_an_early_return(leave: &Cell<bool>) {
    if leave.replace(true) {
        return;
    }
    pause().await;
}

#[lock("k", locks = &LOCKS)]
async fn inner_attributes(n: u8) -> u8 {
    #![allow(clippy::needless_return, reason = "an attribute inside is the case")]
    pause().await;
    return n;
}

#[lock("k", locks = &LOCKS)]
async fn items_inside(n: u8) -> u8 {
    const ONE: u8 = 1;
    async fn add(n: u8) -> u8 {
        pause().await;
        n + ONE
    }
    add(n).await
}

#[lock("k", locks = &LOCKS)]
async fn never(code: u8) -> ! {
    pause().await;
    std::panic::panic_any((held().len(), code))
}

#[lock("k", locks = &LOCKS, wait = 0, otherwise = |error| panic!("{}", error))]
async fn never_or(code: u8) -> ! {
    loop {
        pause().await;
        assert!(code != 7, "as asked");
    }
}

#[test]
fn control_flow() {
    assert_eq!(block_on(early(0)).expect("locked"), 100);
    assert_eq!(block_on(early(5)).expect("locked"), 5);
    assert_eq!(block_on(early(50)).expect("locked"), 99);
    assert_eq!(block_on(question("7")), Some(7));
    assert_eq!(block_on(question("x")), None);
    assert_eq!(block_on(question_of_another_error("7")).expect("a number"), 7);
    assert!(block_on(question_of_another_error("x")).is_err());
    assert_eq!(block_on(coerced(true)).to_string(), "early");
    assert_eq!(block_on(coerced(false)).to_string(), "7");
    assert!(std::panic::catch_unwind(|| block_on(diverges(true))).is_err());
    block_on(empty());
    block_on(one_statement());
    block_on(only_an_early_return(&Cell::new(true)));
    block_on(only_an_early_return(&Cell::new(false)));
    assert_eq!(block_on(inner_attributes(7)), 7);
    assert_eq!(block_on(items_inside(7)), 8);
    let panic = std::panic::catch_unwind(|| block_on(never(7))).expect_err("it panics");
    assert_eq!(panic.downcast_ref::<(usize, u8)>(), Some(&(1, 7)));
    assert!(std::panic::catch_unwind(|| block_on(never_or(7))).is_err());
    assert!(held().is_empty());
}

fn counted(calls: &Cell<u8>) -> u8 {
    calls.set(calls.get() + 1);
    calls.get()
}

#[lock(counted, locks = &LOCKS)]
async fn tells_its_key(calls: &Cell<u8>) -> (String, u8) {
    pause().await;
    (key(), calls.get())
}

#[test]
fn nothing_happens_before_the_first_poll_and_the_key_is_evaluated_once() {
    let calls = Cell::new(0);
    let future = tells_its_key(&calls);
    assert_eq!(calls.get(), 0);
    assert_eq!(block_on(future), ("1".to_owned(), 1));
    drop(tells_its_key(&calls));
    assert_eq!(calls.get(), 1);
}

/// Records when it is dropped, and whether a lock was held then.
struct Tells<'a>(&'static str, &'a RefCell<Vec<String>>);

impl Tells<'_> {
    fn number(&self) -> usize {
        self.1.borrow().len()
    }
}

impl Drop for Tells<'_> {
    fn drop(&mut self) {
        let held = if held().is_empty() { "unlocked" } else { "locked" };
        self.1.borrow_mut().push(format!("{} {held}", self.0));
    }
}

type Log = RefCell<Vec<String>>;

#[lock("k", locks = &LOCKS)]
async fn temporaries_in_the_tail(log: &Log) -> usize {
    let _local = Tells("local", log);
    pause().await;
    Tells("temporary", log).number()
}

#[lock("k", locks = &LOCKS, on_lost = error)]
async fn looked_at(log: &Log) -> Result<usize, memlock::Error> {
    let _local = Tells("local", log);
    pause().await;
    Ok(Tells("temporary", log).number())
}

#[test]
fn everything_in_the_body_is_dropped_before_the_release() {
    let log = Log::default();
    block_on(temporaries_in_the_tail(&log));
    log.borrow_mut().sort();
    assert_eq!(log.take(), ["local locked", "temporary locked"]);
    block_on(looked_at(&log)).expect("held");
    log.borrow_mut().sort();
    assert_eq!(log.take(), ["local locked", "temporary locked"]);
}

#[lock("k", locks = &LOCKS)]
async fn takes_three<'a>(first: Tells<'a>, second: Option<Tells<'a>>, third: Tells<'a>) -> usize {
    pause().await;
    third.number() + first.number() + second.map_or(0, |second| second.number())
}

#[lock(|_, _| 1, locks = &LOCKS)]
async fn patterns<'a>(third: Tells<'a>, (second, first): (Tells<'a>, Tells<'a>)) -> usize {
    pause().await;
    third.number() + second.number() + first.number()
}

async fn bare<'a>(third: Tells<'a>, (second, first): (Tells<'a>, Tells<'a>)) -> usize {
    pause().await;
    third.number() + second.number() + first.number()
}

impl<'a> Tells<'a> {
    #[lock("k", locks = &LOCKS)]
    async fn by_value(self, argument: Tells<'a>) -> usize {
        pause().await;
        self.number() + argument.number()
    }
}

#[lock("k", locks = &LOCKS)]
async fn does_not_use(_unused: Tells<'_>, _: Tells<'_>) {
    pause().await;
}

#[test]
fn arguments_are_dropped_in_their_order_those_that_the_body_takes_before_the_release() {
    let log = Log::default();
    let tells = |name| Tells(name, &log);
    block_on(takes_three(tells("first"), Some(tells("second")), tells("third")));
    assert_eq!(log.take(), ["second locked", "third locked", "first locked"]);
    block_on(takes_three(tells("first"), None, tells("third")));
    assert_eq!(log.take(), ["third locked", "first locked"]);
    block_on(bare(tells("third"), (tells("second"), tells("first"))));
    let order = log.take();
    block_on(patterns(tells("third"), (tells("second"), tells("first"))));
    let locked = log.take();
    assert_eq!(locked.len(), 3);
    for (locked, bare) in locked.iter().zip(&order) {
        assert_eq!(*locked, bare.replace("unlocked", "locked"));
    }
    block_on(tells("self").by_value(tells("argument")));
    assert_eq!(log.take(), ["argument locked", "self locked"]);
    block_on(does_not_use(tells("first"), tells("second")));
    assert_eq!(log.take(), ["second unlocked", "first unlocked"]);
}

#[lock("k", name = "cancelled", locks = &LOCKS)]
async fn waits_for_ever(log: &Log, argument: Tells<'_>) {
    let _local = Tells("local", log);
    std::future::pending::<()>().await;
    drop(argument);
}

#[test]
fn a_future_that_is_dropped_drops_its_body_and_releases() {
    let log = Log::default();
    {
        let mut future = pin!(waits_for_ever(&log, Tells("argument", &log)));
        assert!(
            future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert!(log.borrow().is_empty());
    }
    assert_eq!(log.take().len(), 2);
    // The release is in the background, and takes a moment, not the time of a lease.
    let again = LOCKS.lock("k").name("cancelled").wait(Duration::from_secs(5)).acquire();
    assert!(again.is_ok(), "it was released");
}

#[test]
fn a_panic_releases() {
    #[lock("k", name = "async-panics", locks = &LOCKS)]
    async fn panics(really: bool) -> usize {
        pause().await;
        assert!(!really, "as asked");
        held().len()
    }
    assert!(std::panic::catch_unwind(|| block_on(panics(true))).is_err());
    assert_eq!(block_on(panics(false)), 1);
}

#[lock("innermost", name = "async-two", locks = &LOCKS)]
#[lock("outermost", name = "async-two", locks = &LOCKS)]
async fn two(text: &str) -> Result<Vec<String>, memlock::Error> {
    pause().await;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(held())
}

#[test]
fn two_attributes_are_two_locks() {
    let before = LOCKS.counts().acquired;
    assert_eq!(block_on(two("a")).expect("locked"), ["async-two:innermost"]);
    assert!(LOCKS.counts().acquired >= before + 2);
    assert!(block_on(two("")).expect("locked").is_empty());
}
