impl Catalog {
    #[memlock::lock(get_key, timeout = 30, interval = 0.05)]
    fn catalog_object(&self, object: &Object) -> Result<(), CatalogError> {
        self.index(object)
    }
}
