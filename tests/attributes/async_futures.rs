//! Functions that make a future: all of the body runs in it, under the lock.

use std::cell::{Cell, Ref, RefCell};
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use memlock::{lock, rlock};

use crate::stage::{LOCKS, UNREACHABLE, block_on, held, key, pause};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

#[lock(id, locks = &LOCKS)]
fn boxed<'a>(
    id: &'a str,
    more: &'a mut Vec<String>,
) -> Pin<Box<dyn Future<Output = Result<usize, memlock::Error>> + Send + 'a>> {
    more.push(key());
    if id.is_empty() {
        return Box::pin(ready(Ok(0)));
    }
    Box::pin(async move {
        pause().await;
        more.push(key());
        Ok(more.len())
    })
}

#[lock(id, locks = &LOCKS)]
fn named(id: &str) -> BoxFuture<'_, String> {
    Box::pin(async move {
        pause().await;
        format!("{id}{}", key())
    })
}

#[lock(*id, locks = &LOCKS)]
fn named_and_not_send(id: Rc<u8>) -> LocalBoxFuture<'static, String> {
    let held_at_once = key();
    Box::pin(async move {
        pause().await;
        drop(id);
        held_at_once + &key()
    })
}

#[lock(id, locks = &LOCKS)]
fn hidden(id: u64) -> impl Future<Output = Result<String, memlock::Error>> + Send {
    let held_at_once = key();
    async move {
        pause().await;
        let nested = ready(Ok::<_, memlock::Error>(id)).await?;
        Ok(format!("{nested}{held_at_once}{}", key()))
    }
}

#[lock(id, locks = &LOCKS)]
fn hidden_and_borrowed<'a>(id: &'a mut String) -> impl Future<Output = &'a str> + use<'a> {
    async move {
        pause().await;
        id.push_str(&key());
        id.as_str()
    }
}

#[lock(id, locks = &LOCKS)]
fn hidden_in_a_box(id: u64) -> Pin<Box<impl Future<Output = impl Into<String>>>> {
    Box::pin(async move {
        pause().await;
        let _ = id;
        key()
    })
}

#[lock("k", locks = &LOCKS)]
fn of_an_unnamed_lifetime(number: &RefCell<u8>) -> LocalBoxFuture<'_, Result<Ref<'_, u8>, memlock::Error>> {
    Box::pin(async move {
        pause().await;
        assert_eq!(key(), "k");
        Ok(number.borrow())
    })
}

#[lock(name = "no output", locks = &LOCKS)]
fn without_output() -> impl Future + Send {
    assert_eq!(held().len(), 1);
    ready(7)
}

#[test]
fn the_body_and_its_future_run_under_the_lock() {
    let mut more = Vec::new();
    assert_eq!(block_on(boxed("a", &mut more)).expect("locked"), 2);
    assert_eq!(more, ["a", "a"]);
    assert_eq!(block_on(boxed("", &mut more)).expect("locked"), 0);
    assert_eq!(block_on(named("a")), "aa");
    assert_eq!(block_on(named_and_not_send(Rc::new(7))), "77");
    assert_eq!(block_on(hidden(7)).expect("locked"), "777");
    assert_eq!(block_on(hidden_and_borrowed(&mut "a".to_owned())), "aa");
    assert_eq!(block_on(hidden_in_a_box(7)).into(), "7");
    assert_eq!(*block_on(of_an_unnamed_lifetime(&RefCell::new(7))).expect("locked"), 7);
    block_on(without_output());
}

fn counted(calls: &Rc<Cell<u8>>) -> u8 {
    calls.set(calls.get() + 1);
    calls.get()
}

#[lock(counted, locks = &LOCKS)]
fn tells_its_key(calls: Rc<Cell<u8>>) -> LocalBoxFuture<'static, (String, u8)> {
    let now = calls.replace(10);
    Box::pin(ready((key(), now)))
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let calls = Rc::new(Cell::new(0));
    let future = tells_its_key(Rc::clone(&calls));
    assert_eq!(calls.get(), 0);
    assert_eq!(block_on(future), ("1".to_owned(), 1));
    assert_eq!(calls.get(), 10);
}

#[lock("k", locks = &UNREACHABLE)]
fn reports() -> BoxFuture<'static, Result<u8, memlock::Error>> {
    Box::pin(ready(Ok(1)))
}

#[lock("k", locks = &UNREACHABLE)]
fn soft() -> impl Future<Output = usize> {
    ready(held().len())
}

#[lock("k", locks = &UNREACHABLE, otherwise = id.len())]
fn otherwise(id: &str) -> BoxFuture<'_, usize> {
    Box::pin(async move { id.len() + 10 })
}

#[lock("k", locks = &UNREACHABLE, on_lost = error)]
fn reports_loss(id: String) -> BoxFuture<'static, Result<usize, memlock::Error>> {
    Box::pin(async move { Ok(id.len()) })
}

#[test]
fn the_output_of_the_future_decides_what_can_be_reported() {
    assert!(block_on(reports()).expect_err("no server").is_unavailable());
    assert_eq!(block_on(soft()), 0);
    assert_eq!(block_on(otherwise("a")), 1);
    assert!(block_on(reports_loss(String::new())).is_err());
}

#[rlock("recursion", locks = &LOCKS)]
fn factorial(n: u64) -> BoxFuture<'static, Result<u64, memlock::Error>> {
    Box::pin(async move {
        if n == 0 {
            return Ok(1);
        }
        pause().await;
        Ok(n * factorial(n - 1).await?)
    })
}

#[test]
fn recursion() {
    assert_eq!(block_on(factorial(5)).expect("locked"), 120);
}

struct Shelf(String);

impl Shelf {
    #[lock("{self.0}", locks = &LOCKS)]
    fn method<'a>(
        &'a mut self,
        (first, mut second): (&'a str, String),
        _: u8,
    ) -> BoxFuture<'a, (String, &'a mut String)> {
        second.push_str(first);
        Box::pin(async move {
            pause().await;
            self.0.push_str(&second);
            (key(), &mut self.0)
        })
    }

    fn make(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async move { self.0.clone() })
    }

    #[lock("made", locks = &LOCKS)]
    fn made_by_another(&mut self) -> BoxFuture<'_, String> {
        self.make()
    }

    #[lock(|shelf| shelf.0.clone(), locks = &LOCKS)]
    fn counted(self: Arc<Self>) -> BoxFuture<'static, (String, String)> {
        Box::pin(async move { (key(), self.0.clone()) })
    }
}

#[test]
fn methods() {
    let mut shelf = Shelf("a".into());
    let (key, text) = block_on(shelf.method(("c", "b".into()), 7));
    assert_eq!((key.as_str(), text.as_str()), ("a", "abc"));
    assert_eq!(block_on(shelf.made_by_another()), "abc");
    assert_eq!(block_on(Arc::new(shelf).counted()), ("abc".into(), "abc".into()));
}
