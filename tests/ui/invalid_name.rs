#[memlock::lock(name = "account/{id}")]
fn captures_an_argument(id: u64) {}

#[memlock::lock(name = "")]
fn empty() {}

fn main() {}
