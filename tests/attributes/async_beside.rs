//! Other attributes beside memlock's, and executors with threads.

use std::rc::Rc;

use async_trait::async_trait;
use memlock::{Error, lock, rlock};

use crate::stage::{LOCKS, UNREACHABLE, block_on, held, key, pause};

#[async_trait]
trait Catalog: Sync {
    fn path(&self) -> String;

    #[lock(Self::path, locks = &LOCKS)]
    async fn default_method(&self, more: &str) -> String {
        pause().await;
        format!("{more}{}", key())
    }

    async fn implemented(&self, id: u64, mut more: Vec<u64>, _: u8) -> Result<String, Error>;

    async fn changes(&mut self, (first, second): (u8, u8)) -> &mut String;

    async fn generic<T: ToString + Send>(self, value: T) -> Option<String>
    where
        Self: Sized;

    async fn of_nothing() -> usize
    where
        Self: Sized;
}

struct Shelf(String);

#[async_trait]
impl Catalog for Shelf {
    fn path(&self) -> String {
        self.0.clone()
    }

    #[lock("{self.0}/{id}", locks = &LOCKS)]
    async fn implemented(&self, id: u64, mut more: Vec<u64>, _: u8) -> Result<String, Error> {
        if id == 0 {
            return Ok(String::new());
        }
        pause().await;
        more.push(id);
        hard().await.or_else(|_| Ok(format!("{}{}", more.len(), key())))
    }

    #[rlock(|_, pair: &(u8, u8)| pair.1, locks = &LOCKS, on_lost = error, otherwise = panic!("lost"))]
    async fn changes(&mut self, (first, second): (u8, u8)) -> &mut String {
        pause().await;
        self.0 += &[first.to_string(), second.to_string(), key()].concat();
        &mut self.0
    }

    #[lock(self.0, locks = &LOCKS, wait = 0, otherwise = None)]
    async fn generic<T: ToString + Send>(self, value: T) -> Option<String> {
        pause().await;
        Some(format!("{}{}", value.to_string(), key()))
    }

    #[lock(name = "nothing", locks = &LOCKS)]
    async fn of_nothing() -> usize {
        held().len()
    }
}

#[lock("k", locks = &UNREACHABLE)]
async fn hard() -> Result<String, Error> {
    Ok(String::new())
}

#[async_trait(?Send)]
trait Local {
    async fn local(&self, id: Rc<u8>) -> String;
}

#[async_trait(?Send)]
impl Local for Shelf {
    #[lock("{id}", locks = &LOCKS)]
    async fn local(&self, id: Rc<u8>) -> String {
        pause().await;
        format!("{}{id}{}", self.0, key())
    }
}

#[test]
fn async_trait_above() {
    block_on(async {
        let mut shelf = Shelf("a".into());
        assert_eq!(shelf.default_method("b").await, "ba");
        assert_eq!(shelf.implemented(0, vec![], 0).await.expect("locked"), "");
        assert_eq!(shelf.implemented(7, vec![1], 0).await.expect("locked"), "2a/7");
        assert_eq!(shelf.changes((1, 2)).await, "a122");
        assert_eq!(shelf.local(Rc::new(7)).await, "a12277");
        assert_eq!(shelf.generic(7).await.as_deref(), Some("7a122"));
        assert_eq!(Shelf::of_nothing().await, 1);
        let catalog: &dyn Catalog2 = &Shelf("a".into());
        assert_eq!(catalog.object_safe().await, "a");
    });
}

#[async_trait]
trait Catalog2 {
    async fn object_safe(&self) -> String;
}

#[async_trait]
impl Catalog2 for Shelf {
    #[lock(self.0, locks = &LOCKS)]
    async fn object_safe(&self) -> String {
        pause().await;
        key()
    }
}

#[tracing::instrument]
#[lock("{id}", locks = &LOCKS)]
async fn instrumented_above(id: u8, text: &str) -> Result<String, Error> {
    pause().await;
    if text.is_empty() {
        return Ok(String::new());
    }
    Ok(key())
}

#[lock("{id}", locks = &LOCKS)]
#[tracing::instrument(skip(text), err)]
async fn instrumented_below(id: u8, text: &str) -> Result<String, Error> {
    pause().await;
    if text.is_empty() {
        return Ok(String::new());
    }
    Ok(key())
}

#[test]
fn instrument_above_and_below() {
    assert_eq!(block_on(instrumented_above(7, "a")).expect("locked"), "7");
    assert_eq!(block_on(instrumented_below(7, "a")).expect("locked"), "7");
    assert_eq!(block_on(instrumented_below(7, "")).expect("locked"), "");
}

#[tokio::test]
#[lock("k", name = "tokio-above", locks = &LOCKS)]
async fn a_test_above() {
    assert_eq!(held(), ["tokio-above:k"]);
    pause().await;
}

#[lock("k", name = "tokio-below", locks = &LOCKS)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_test_below() -> Result<(), Error> {
    pause().await;
    hard().await.expect_err("no server");
    Ok(())
}

#[test]
fn main_functions() {
    #[tokio::main(flavor = "current_thread")]
    #[lock("k", name = "tokio-main-above", locks = &LOCKS)]
    async fn above() -> Vec<String> {
        held()
    }

    #[lock("k", name = "tokio-main-below", locks = &LOCKS)]
    #[tokio::main(flavor = "current_thread")]
    async fn below() -> Result<Vec<String>, Error> {
        pause().await;
        Ok(held())
    }

    assert_eq!(above(), ["tokio-main-above:k"]);
    assert!(below().is_ok());
}

#[lock("{id}", name = "spawned", locks = &LOCKS)]
async fn spawned(id: u8, text: String) -> Result<usize, Error> {
    pause().await;
    Ok(text.len() + usize::from(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_future_can_be_spawned() {
    let tasks: Vec<_> = (0..4).map(|id| tokio::spawn(spawned(id, "abc".to_owned()))).collect();
    for (id, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.expect("no panic").expect("locked"), id + 3);
    }
}

#[async_trait]
trait Finds {
    async fn found(&self) -> Result<impl AsRef<str> + Send, Error>
    where
        Self: Sized;
}

#[async_trait]
impl Finds for Shelf {
    #[lock("k", locks = &LOCKS)]
    async fn found(&self) -> Result<impl AsRef<str> + Send, Error> {
        pause().await;
        Ok(key())
    }
}

#[test]
fn a_boxed_future_may_give_an_impl_trait() {
    assert_eq!(block_on(Shelf("s".into()).found()).expect("locked").as_ref(), "k");
}
