#![deny(unused)]

use std::future::Future;
use std::pin::Pin;

#[memlock::lock(id)]
pub async fn wrong_type(id: u64) -> Option<u64> {
    "seven"
}

#[memlock::lock(id)]
pub async fn wrong_early_return(id: u64) -> Option<u64> {
    if id > 7 {
        return 7;
    }
    None
}

#[memlock::lock(id)]
pub async fn no_value(id: u64) -> u64 {
    let _ = id;
}

#[memlock::lock(id)]
pub async fn question_mark(id: u64) -> Option<u64> {
    Err::<(), _>(id)?;
    None
}

#[memlock::lock(id)]
pub fn wrong_type_in_a_box(id: u64) -> Pin<Box<dyn Future<Output = u64>>> {
    Box::pin(async { "seven" })
}

#[memlock::lock(id)]
pub fn no_future(id: u64) -> impl Future<Output = u64> {
    id
}

fn main() {}
