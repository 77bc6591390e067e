/// Moves money.
#[memlock::lock("account/{id}")]
pub fn deposit(id: u64, amount: u64) -> Result<(), memlock::Error> {
    store(id, load(id)? + amount)
}
