#[memlock::lock("k", locks = 7)]
fn locks() {}

#[memlock::lock("k", name = 7)]
fn name() {}

#[memlock::lock("k", timeout = String::new())]
fn timeout() {}

#[memlock::lock("k", wait = 1, otherwise = "seven")]
fn otherwise() -> u64 {
    7
}

#[memlock::lock("k", wait = 1, otherwise = |error| error)]
fn otherwise_by_closure() -> u64 {
    7
}

fn main() {}
