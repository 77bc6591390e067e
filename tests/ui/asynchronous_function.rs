use std::future::Future;
use std::pin::Pin;

#[memlock::lock("k")]
async fn asynchronous() {}

#[memlock::lock("k")]
fn hidden_future() -> impl Future<Output = ()> {
    async {}
}

#[memlock::lock("k")]
fn boxed_future() -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async {})
}

#[memlock::lock("k", otherwise = Box::pin(async {}))]
fn boxed_future_with_otherwise() -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async {})
}

fn main() {}
