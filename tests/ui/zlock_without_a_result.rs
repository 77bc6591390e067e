//! A `zlock` reports conflicts.

#[memlock::zlock("k")]
fn nothing() {}

#[memlock::zlock("k")]
fn number() -> u8 {
    1
}

#[memlock::zlock("k")]
fn hidden() -> impl Sized {
    1
}

#[memlock::zlock("k", otherwise = 2)]
fn with_otherwise() -> u8 {
    1
}

#[memlock::zlock("k")]
async fn later() -> u8 {
    1
}

fn main() {}
