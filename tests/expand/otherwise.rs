#[memlock::lock(id, wait = 0, otherwise = |error| Outcome::Later(error.to_string()))]
fn try_now(id: u64) -> Outcome {
    work(id)
}
