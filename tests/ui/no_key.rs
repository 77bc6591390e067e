#[memlock::lock]
fn nothing() {}

#[memlock::rlock(timeout = 5)]
fn options_only() {}

fn main() {}
