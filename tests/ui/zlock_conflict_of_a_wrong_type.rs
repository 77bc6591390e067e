//! `conflict` names a function of the error.

fn of_something_else(_: &str) -> bool {
    true
}

#[memlock::zlock("k", conflict = of_something_else)]
fn by_function() -> Result<(), memlock::Error> {
    Ok(())
}

#[memlock::zlock("k", conflict = |error| error.is_missing())]
fn by_closure() -> Result<(), memlock::Error> {
    Ok(())
}

fn main() {}
