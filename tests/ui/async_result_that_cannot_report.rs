use std::future::Future;
use std::pin::Pin;

struct OwnError;

#[memlock::lock("k")]
async fn own_error() -> Result<(), OwnError> {
    Ok(())
}

#[memlock::lock("k")]
fn boxed() -> Pin<Box<dyn Future<Output = Result<(), OwnError>>>> {
    Box::pin(async { Ok(()) })
}

#[memlock::lock("k", wait = 5)]
async fn waits() -> u64 {
    7
}

#[memlock::lock("k", on_unavailable = error)]
async fn cannot_return_an_error() -> Option<u64> {
    Some(7)
}

#[memlock::lock("k", on_lost = error)]
async fn cannot_report_loss() -> u64 {
    7
}

#[memlock::lock("k", on_lost = error)]
async fn hides_its_type() -> impl Copy {
    7
}

fn main() {}
