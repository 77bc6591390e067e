impl Catalog {
    fn catalog_object(&self, object: &Object) -> Result<(), CatalogError> {
        use ::memlock::__private as __memlock;
        let __memlock_entered = __memlock::Return::<Result<(), CatalogError>>::new()
            .__memlock_enter(
                __memlock::Options::lock(
                        ::core::concat!(::core::module_path!(), "::catalog_object"),
                    )
                    .timeout(__memlock::Duration::from_secs(30))
                    .interval(__memlock::Duration::from_millis(50)),
                [
                    __memlock::key(
                        &__memlock::KeyFn::new(get_key, (&*self, &object))
                            .__memlock_key(),
                    ),
                ],
            );
        match __memlock_entered {
            ::core::result::Result::Ok(__memlock_held) => self.index(object),
            ::core::result::Result::Err(__memlock_failed) => return __memlock_failed,
        }
    }
}
