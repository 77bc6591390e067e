#[memlock::lock(id)]
fn boxed<'a>(id: &'a str) -> Pin<Box<dyn Future<Output = io::Result<u64>> + Send + 'a>> {
    if id.is_empty() {
        return Box::pin(ready(Ok(0)));
    }
    Box::pin(work(id))
}

#[memlock::lock(id, otherwise = 0)]
fn named(id: &str) -> BoxFuture<'_, u64> {
    work(id).boxed()
}

#[memlock::lock(id)]
fn hidden(id: u64) -> impl Future<Output = io::Result<u64>> + Send {
    async move { work(id).await }
}
