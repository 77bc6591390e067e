//! Only `zlock` knows conflicts.

#[memlock::lock("k", reserve = 1)]
fn plain() -> Result<(), memlock::Error> {
    Ok(())
}

#[memlock::rlock("k", conflict = |_| true)]
fn reentrant() -> Result<(), memlock::Error> {
    Ok(())
}

fn main() {}
