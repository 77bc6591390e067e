//! Control flow and drop order of a body are its own, and the lock is released at the end of it.

use std::cell::RefCell;

use memlock::{CallTree, lock};

use crate::stage::{LOCKS, held, key};

#[lock("k", locks = &LOCKS)]
fn early(n: u8) -> Result<u8, memlock::Error> {
    assert_eq!(held().len(), 1);
    if n == 0 {
        return Ok(100);
    }
    let found = 'search: {
        for i in 0..10 {
            if i == n {
                break 'search i;
            }
        }
        return Ok(99);
    };
    let mut sum = 0;
    let sum = loop {
        sum += 1;
        if sum > found {
            break sum;
        }
    };
    Err::<u8, _>(sum).or_else(Ok)
}

#[lock("k", locks = &LOCKS)]
fn question(text: &str) -> Option<u32> {
    assert_eq!(held().len(), 1);
    let first = text.chars().next()?;
    let digit = first.to_digit(10)?;
    Some(digit)
}

#[lock("k", locks = &LOCKS)]
fn diverges(really: bool) -> u8 {
    if really { panic!("as asked") } else { unreachable!() }
}

#[lock("k", locks = &LOCKS)]
fn empty() {}

#[lock("k", locks = &LOCKS)]
fn comment_only() {
    // Nothing.
}

#[lock("k", locks = &LOCKS)]
fn one_statement() {
    assert_eq!(held().len(), 1);
}

#[lock("k", locks = &LOCKS)]
fn inner_attributes(n: u8) -> u8 {
    #![allow(clippy::needless_return, reason = "an attribute inside is the case")]
    assert_eq!(held().len(), 1);
    return n;
}

#[lock("k", locks = &LOCKS)]
fn items_inside(n: u8) -> u8 {
    const ONE: u8 = 1;
    fn add(n: u8) -> u8 {
        n + ONE
    }
    assert_eq!(held().len(), 1);
    add(n)
}

#[test]
fn control_flow() {
    assert_eq!(early(0).expect("locked"), 100);
    assert_eq!(early(5).expect("locked"), 6);
    assert_eq!(early(50).expect("locked"), 99);
    assert_eq!(question("7"), Some(7));
    assert_eq!(question("x"), None);
    assert!(std::panic::catch_unwind(|| diverges(true)).is_err());
    empty();
    comment_only();
    one_statement();
    assert_eq!(inner_attributes(7), 7);
    assert_eq!(items_inside(7), 8);
    assert!(held().is_empty());
}

#[lock("kept", name = "bodies::kept", locks = &LOCKS, wait = 0)]
fn keeps_its_lease() -> Result<memlock::Lease, memlock::Error> {
    Ok(memlock::current().expect("it runs locked"))
}

#[lock("kept", name = "bodies::kept", locks = &LOCKS, wait = 0)]
fn keeps_its_call_tree() -> Result<CallTree, memlock::Error> {
    Ok(CallTree::current())
}

#[test]
fn a_lock_is_released_whatever_its_body_has_kept_of_it() {
    let lease = keeps_its_lease().expect("it is free");
    assert!(!lease.is_valid());
    let tree = keeps_its_call_tree().expect("the body is over");
    let again = tree.enter(keeps_its_call_tree).expect("the body is over");
    drop(again);
    keeps_its_lease().expect("the body is over");
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
fn temporaries_in_the_tail(log: &Log, _argument: Tells<'_>) -> usize {
    let _local = Tells("local", log);
    Tells("temporary", log).number()
}

#[lock("k", locks = &LOCKS)]
fn hidden_return<'a>(log: &'a Log, _argument: Tells<'a>) -> impl Copy + use<> {
    let _local = Tells("local", log);
    Tells("temporary", log).number()
}

#[lock("k", locks = &LOCKS, on_lost = error)]
fn as_a_closure(log: &Log, _argument: Tells<'_>) -> Result<usize, memlock::Error> {
    let _local = Tells("local", log);
    Ok(Tells("temporary", log).number())
}

#[lock(|_, _| 1, locks = &LOCKS)]
fn patterns(log: &Log, (_first, _second): (Tells<'_>, Tells<'_>)) -> usize {
    let _local = Tells("local", log);
    Tells("temporary", log).number()
}

#[test]
fn everything_in_the_body_is_dropped_before_the_release_and_arguments_after_it() {
    let log = Log::default();
    let tail = sorted_tail(&log);
    temporaries_in_the_tail(&log, Tells("argument", &log));
    assert_eq!(tail(), ["local locked", "temporary locked", "argument unlocked"]);
    hidden_return(&log, Tells("argument", &log));
    assert_eq!(tail(), ["local locked", "temporary locked", "argument unlocked"]);
    as_a_closure(&log, Tells("argument", &log)).expect("held");
    assert_eq!(tail(), ["local locked", "temporary locked", "argument unlocked"]);
    patterns(&log, (Tells("first", &log), Tells("second", &log)));
    assert_eq!(
        tail(),
        ["local locked", "temporary locked", "second unlocked", "first unlocked"]
    );
}

/// The entries of the log. The first two are sorted, since their order differs between editions.
fn sorted_tail(log: &Log) -> impl Fn() -> Vec<String> + '_ {
    move || {
        let mut told = log.take();
        told[..2].sort();
        told
    }
}

#[test]
fn a_panic_releases() {
    #[lock("k", name = "panics", locks = &LOCKS)]
    fn panics(really: bool) -> usize {
        assert!(!really, "as asked");
        held().len()
    }
    assert!(std::panic::catch_unwind(|| panics(true)).is_err());
    assert_eq!(panics(false), 1);
}

#[lock("innermost", name = "two", locks = &LOCKS)]
#[lock("outermost", name = "two", locks = &LOCKS)]
fn two_and_never_back() -> ! {
    const HELD: usize = 1;
    assert_eq!(held().len(), HELD);
    std::panic::panic_any("as asked")
}

#[lock("innermost", name = "two", locks = &LOCKS)]
#[lock("outermost", name = "two", locks = &LOCKS)]
fn two_and_hidden() -> impl Fn(&str) -> usize {
    assert_eq!(held(), ["two:innermost"]);
    |text| text.len()
}

#[test]
fn two_attributes_are_two_locks() {
    #[lock("innermost", name = "two", locks = &LOCKS)]
    #[lock("outermost", name = "two", locks = &LOCKS)]
    fn two() -> Vec<String> {
        held()
    }
    assert!(std::panic::catch_unwind(|| two_and_never_back()).is_err());
    assert_eq!(two_and_hidden()("abc"), 3);
    let before = LOCKS.counts().acquired;
    assert_eq!(two(), ["two:innermost"]);
    assert!(LOCKS.counts().acquired >= before + 2);
}

#[test]
#[lock("k", name = "a-test", locks = &LOCKS)]
fn a_test_may_be_locked() {
    assert_eq!(held(), ["a-test:k"]);
}

#[lock("k", name = "another-test", locks = &LOCKS)]
#[test]
fn a_test_may_be_locked_from_above() {
    assert_eq!(held(), ["another-test:k"]);
}

#[track_caller]
#[lock("k", locks = &LOCKS)]
fn tells_its_caller() -> u32 {
    std::panic::Location::caller().line()
}

#[test]
fn other_attributes_keep_their_meaning() {
    assert_eq!(tells_its_caller(), line!());
}

#[lock("k", name = "closure", locks = &LOCKS, on_lost = error)]
fn consumes_its_arguments<T: Clone>(items: Vec<T>, count: &mut usize) -> Result<Vec<T>, memlock::Error> {
    for _ in &items {
        *count += 1;
        if *count > 5 {
            return Ok(items);
        }
    }
    let more = early(0).map(|_| items.clone());
    let mut all = more?;
    all.extend(items);
    Ok(all)
}

#[test]
fn a_body_under_on_lost_still_consumes_its_arguments() {
    let mut count = 0;
    assert_eq!(consumes_its_arguments(vec![1, 2], &mut count).expect("held").len(), 4);
    assert_eq!(count, 2);
}

#[lock("end", locks = &LOCKS)]
fn at_the_end() -> String {
    key()
}

/// Calls a locked function when its thread ends.
struct AtTheEnd(std::sync::mpsc::Sender<String>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.0.send(at_the_end()).expect("the receiver is there");
    }
}

thread_local! {
    static AT_THE_END: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_may_lock_until_its_very_end() {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        // Made before any thread-local of memlock, so that it is dropped after them.
        AT_THE_END.with(|it| *it.borrow_mut() = Some(AtTheEnd(tell)));
        at_the_end();
    });
    thread.join().expect("no panic");
    assert_eq!(told.recv().expect("it was called"), "end");
}
