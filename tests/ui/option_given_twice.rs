#[memlock::lock(id, timeout = 30, wait = 1, timeout = 5)]
fn option(id: u64) -> Result<(), memlock::Error> {
    Ok(())
}

#[memlock::lock(id, key = other)]
fn key(id: u64, other: u64) {}

#[memlock::lock(id, keys = [other])]
fn key_and_keys(id: u64, other: u64) {}

fn main() {}
