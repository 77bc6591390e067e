//! A transaction's error of which nobody says when it is a conflict.

#[derive(Debug, thiserror::Error)]
#[error("catalogue")]
struct CatalogError(#[from] memlock::Error);

fn main() -> Result<(), CatalogError> {
    memlock::transaction().run(|_| Ok::<(), CatalogError>(()))
}
