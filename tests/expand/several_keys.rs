#[memlock::lock(keys = [from, |_, to| to.id(), "bank/{bank.name}/{from:08}"], name = "bank", wait = "250ms")]
fn transfer(from: u64, to: &Account, bank: &Bank) -> Result<(), BankError> {
    bank.transfer(from, to)
}
