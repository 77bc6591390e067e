//! An error of which nobody says when it is a conflict.

#[derive(Debug)]
struct CatalogError;

impl From<memlock::Error> for CatalogError {
    fn from(_: memlock::Error) -> CatalogError {
        CatalogError
    }
}

#[memlock::zlock("k")]
fn write() -> Result<(), CatalogError> {
    Ok(())
}

#[memlock::zlock("k")]
async fn later() -> Result<(), CatalogError> {
    Ok(())
}

fn main() {}
