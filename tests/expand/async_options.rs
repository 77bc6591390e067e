#[memlock::lock(id, wait = 0, otherwise = |error| Outcome::Later(error.to_string()))]
async fn try_now(id: u64) -> Outcome {
    work(id).await
}

#[memlock::rlock(id, on_lost = error, renew = "1h")]
async fn long_work(id: u64) -> io::Result<u64> {
    work(id).await
}

#[memlock::rlock(id, on_lost = error, otherwise = None)]
async fn long_guess(id: u64) -> Option<u64> {
    work(id).await.ok()
}
