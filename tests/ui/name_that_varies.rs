#[memlock::lock(name = "account/{id}")]
fn varies(id: u64) {}

#[memlock::lock(name = "")]
fn empty() {}

fn main() {}
