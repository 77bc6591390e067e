//! A future that is `Send` stays `Send`, and a future need not be `Send`.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};

use memlock::{lock, rlock};

use crate::stage::{LOCKS, block_on, key, pause};

/// `Send`, and not `Sync`.
type Counter = Cell<u8>;

fn of_counter(counter: &Counter) -> u8 {
    counter.get()
}

#[lock(of_counter, locks = &LOCKS)]
async fn key_of_what_is_not_sync(counter: Counter) -> String {
    counter.set(7);
    pause().await;
    counter.set(8);
    key()
}

#[lock(|counter, _| counter.get(), locks = &LOCKS)]
async fn closure_of_what_is_not_sync(counter: Counter, call: Box<dyn Fn() -> u8 + Send>) -> u8 {
    pause().await;
    call() + counter.get()
}

#[lock({ let text = Rc::new("rc"); *text }, locks = &LOCKS)]
async fn key_by_way_of_what_is_not_send() -> String {
    pause().await;
    key()
}

#[lock("k", locks = &LOCKS, timeout = { let seconds = Rc::new(5_u8); *seconds }, wait = 0, otherwise = |_| 0)]
async fn options_by_way_of_what_is_not_send(counter: Counter) -> u8 {
    pause().await;
    counter.get()
}

#[lock("k", locks = &LOCKS)]
async fn not_send_between_awaits(text: &str) -> usize {
    pause().await;
    let length = {
        let text = Rc::new(text);
        text.len()
    };
    pause().await;
    length
}

struct Shelf(Mutex<u8>);

impl Shelf {
    #[lock("k", locks = &LOCKS, on_lost = error)]
    async fn method(&self, counter: Counter) -> Result<u8, memlock::Error> {
        *self.0.lock().expect("no panic") += counter.get();
        pause().await;
        Ok(counter.get() + *self.0.lock().expect("no panic"))
    }
}

fn is_send<F: Future + Send>(future: F) -> F {
    future
}

#[test]
fn a_future_that_is_send_stays_send() {
    assert_eq!(block_on(is_send(key_of_what_is_not_sync(Cell::new(1)))), "1");
    assert_eq!(
        block_on(is_send(closure_of_what_is_not_sync(Cell::new(1), Box::new(|| 2)))),
        3
    );
    assert_eq!(block_on(is_send(key_by_way_of_what_is_not_send())), "rc");
    assert_eq!(block_on(is_send(options_by_way_of_what_is_not_send(Cell::new(1)))), 1);
    assert_eq!(block_on(is_send(not_send_between_awaits("abc"))), 3);
    let shelf = Shelf(Mutex::new(1));
    assert_eq!(block_on(is_send(shelf.method(Cell::new(1)))).expect("locked"), 3);
}

#[rlock(name = "recursion", locks = &LOCKS)]
async fn recursive(n: u8) -> Result<u8, memlock::Error> {
    if n == 0 {
        return Ok(0);
    }
    Ok(1 + Box::pin(recursive(n - 1)).await?)
}

async fn generic<T: Send>(value: T) -> Result<T, memlock::Error> {
    #[lock("inner", locks = &LOCKS)]
    async fn inner<T>(value: T) -> Result<T, memlock::Error> {
        pause().await;
        Ok(value)
    }
    inner(value).await
}

#[test]
fn recursive_and_generic_futures_are_send() {
    assert_eq!(block_on(is_send(recursive(3))).expect("locked"), 3);
    assert_eq!(block_on(is_send(generic(Cell::new(7)))).expect("locked").get(), 7);
}

#[lock(**counter, locks = &LOCKS)]
async fn not_send(counter: &Rc<u8>) -> u8 {
    let counter = Rc::clone(counter);
    pause().await;
    *counter
}

#[test]
fn a_future_that_is_not_send_need_not_be() {
    assert_eq!(block_on(not_send(&Rc::new(7))), 7);
}

#[lock("k", locks = &LOCKS)]
async fn gives_what_is_not_send(value: u8) -> Result<Rc<u8>, Box<dyn std::error::Error>> {
    pause().await;
    Ok(Rc::new(value))
}

#[lock("k", locks = &LOCKS, on_lost = error)]
async fn checks_what_is_not_send(value: u8) -> Result<Rc<u8>, Box<dyn std::error::Error>> {
    pause().await;
    Ok(Rc::new(value))
}

#[lock("k", locks = &LOCKS, otherwise = Rc::new(0))]
async fn otherwise_what_is_not_send(value: u8) -> Rc<u8> {
    pause().await;
    Rc::new(value)
}

#[lock("k", locks = &LOCKS)]
async fn hides_what_is_not_send(value: u8) -> impl std::ops::Deref<Target = u8> {
    pause().await;
    Rc::new(value)
}

#[lock("k", locks = &LOCKS)]
fn boxes_what_is_not_send(value: u8) -> std::pin::Pin<Box<dyn Future<Output = Rc<u8>> + Send>> {
    Box::pin(async move { Rc::new(value) })
}

#[lock("k", locks = &LOCKS)]
async fn borrows_what_is_not_send(value: &Mutex<u8>) -> MutexGuard<'_, u8> {
    pause().await;
    value.lock().expect("not poisoned")
}

#[lock("k", locks = &LOCKS)]
fn boxes_a_borrow_that_is_not_send(value: &Mutex<u8>) -> BoxFuture<'_, Result<MutexGuard<'_, u8>, memlock::Error>> {
    Box::pin(async move { Ok(value.lock().expect("not poisoned")) })
}

#[lock("k", locks = &LOCKS)]
async fn borrows_what_is_send(value: &str) -> Cow<'_, str> {
    pause().await;
    Cow::Borrowed(value)
}

type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[test]
fn a_future_that_gives_a_borrow_of_an_unnamed_lifetime_stays_send() {
    let value = Mutex::new(7);
    assert_eq!(*block_on(is_send(borrows_what_is_not_send(&value))), 7);
    assert_eq!(
        *block_on(is_send(boxes_a_borrow_that_is_not_send(&value))).expect("locked"),
        7
    );
    assert_eq!(block_on(is_send(borrows_what_is_send("a"))), "a");
}

#[test]
fn a_future_whose_output_is_not_send_stays_send() {
    assert_eq!(*block_on(is_send(gives_what_is_not_send(1))).expect("locked"), 1);
    assert_eq!(*block_on(is_send(checks_what_is_not_send(2))).expect("locked"), 2);
    assert_eq!(*block_on(is_send(otherwise_what_is_not_send(3))), 3);
    assert_eq!(*block_on(is_send(hides_what_is_not_send(4))), 4);
    assert_eq!(*block_on(is_send(boxes_what_is_not_send(5))), 5);
}
