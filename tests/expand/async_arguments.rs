#[memlock::lock(key_of)]
async fn send<T: Into<Message>>(id: u64, (from, to): (Address, Address), #[cfg(unix)] what: T, _permit: Permit) -> u64 {
    deliver(from, to, what.into(), id).await
}
