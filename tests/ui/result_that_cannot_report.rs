#[derive(Debug)]
struct OwnError;

#[memlock::lock("k")]
fn own_error() -> Result<(), OwnError> {
    Ok(())
}

type Alias<T> = Result<T, std::num::ParseIntError>;

#[memlock::lock("k", timeout = 5)]
fn alias() -> Alias<u8> {
    "7".parse()
}

#[memlock::rlock("k")]
fn generic<E>() -> Result<(), E> {
    Ok(())
}

fn main() {}
