//! The patch, heir of the original's patch for Zope's catalogue: functions with the same names that wait for their turn
//! *before* they do the work.

use crate::catalog::Catalog;

/// Callers that index into the same catalogue wait for each other. Callers with different catalogues do not.
fn get_key(catalog: &Catalog<'_>) -> String {
    catalog.path().to_owned()
}

/// One at a time.
pub(crate) mod locked {
    use super::get_key;
    use crate::catalog::{self, Catalog, CatalogError};
    use crate::text::Document;

    #[memlock::lock(get_key, timeout = 30)]
    pub(crate) fn catalog_object(catalog: &Catalog<'_>, object: &Document) -> Result<(), CatalogError> {
        catalog::catalog_object(catalog, object)
    }
}

/// One at a time, until the end of `memlock::transaction()`.
pub(crate) mod zlocked {
    use super::get_key;
    use crate::catalog::{self, Catalog, CatalogError};
    use crate::text::Document;

    #[memlock::zlock(get_key, timeout = 30, reserve = 1)]
    pub(crate) fn catalog_object(catalog: &Catalog<'_>, object: &Document) -> Result<(), CatalogError> {
        catalog::catalog_object(catalog, object)
    }

    /// The lock comes before the transaction of the body, and so before its snapshot.
    #[memlock::zlock(get_key, timeout = 30, reserve = 1)]
    pub(crate) fn catalog_object_in_snapshot(catalog: &Catalog<'_>, object: &Document) -> Result<(), CatalogError> {
        catalog::catalog_object_in_snapshot(catalog, object)
    }
}
