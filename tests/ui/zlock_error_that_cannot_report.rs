//! A `Result` whose error cannot be made from a conflict.

#[derive(Debug)]
struct CatalogError;

impl std::fmt::Display for CatalogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("catalogue")
    }
}

impl std::error::Error for CatalogError {}

#[memlock::zlock("k")]
fn write() -> Result<(), CatalogError> {
    Ok(())
}

#[memlock::zlock("k")]
async fn later() -> Result<(), CatalogError> {
    Ok(())
}

fn main() {}
