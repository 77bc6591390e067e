//! The database of a `zlock` decides.

#[memlock::zlock("k", on_lost = error)]
fn write() -> Result<(), memlock::Error> {
    Ok(())
}

fn main() {}
