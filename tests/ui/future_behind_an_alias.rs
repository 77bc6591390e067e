use std::future::Future;
use std::pin::Pin;

type Work = Pin<Box<dyn Future<Output = ()>>>;

#[memlock::lock("k")]
fn alias() -> Work {
    Box::pin(async {})
}

#[memlock::lock("k", otherwise = Box::pin(async {}))]
fn alias_with_otherwise() -> Work {
    Box::pin(async {})
}

#[memlock::lock("k")]
async fn future_in_a_future() -> Work {
    Box::pin(async {})
}

fn main() {}
