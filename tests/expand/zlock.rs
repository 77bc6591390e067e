impl Catalog {
    #[memlock::zlock(get_key, timeout = 30, interval = 0.05)]
    fn catalog_object(&self, object: &Object) -> Result<(), CatalogError> {
        self.index(object)
    }

    #[memlock::zlock(self.path(), reserve = 2, conflict = is_stale, otherwise = Err(Full))]
    fn reindex(&self) -> Result<usize, Full> {
        self.all()
    }

    #[memlock::zlock("{self.path}")]
    async fn uncatalog_object(&self, object: &Object) -> Result<(), CatalogError> {
        self.forget(object).await
    }
}
