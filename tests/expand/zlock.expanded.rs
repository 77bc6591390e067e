impl Catalog {
    fn catalog_object(&self, object: &Object) -> Result<(), CatalogError> {
        use ::memlock::__private as __memlock;
        let __memlock_return = __memlock::Return::<Result<(), CatalogError>>::new()
            .__memlock_zlock();
        let __memlock_entered = __memlock_return
            .__memlock_try_enter(
                __memlock::Options::zlock(
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
        __memlock_return
            .__memlock_run_zlock(
                __memlock_entered,
                __memlock::Conflicts::<Result<(), CatalogError>>::new()
                    .__memlock_classify(),
                || { self.index(object) },
            )
    }
    fn reindex(&self) -> Result<usize, Full> {
        use ::memlock::__private as __memlock;
        let __memlock_return = __memlock::Return::<Result<usize, Full>>::new()
            .__memlock_try_zlock();
        let __memlock_entered = __memlock_return
            .__memlock_try_enter(
                __memlock::Options::zlock(
                        ::core::concat!(::core::module_path!(), "::reindex"),
                    )
                    .reserve(__memlock::Duration::from_secs(2)),
                [__memlock::key(&self.path())],
            );
        match __memlock_entered {
            ::core::result::Result::Ok(__memlock_held) => {
                __memlock::run_zlock(
                    __memlock_held,
                    &__memlock::Conflicts::<Result<usize, Full>>::new()
                        .__memlock_classify_with(is_stale),
                    || { self.all() },
                )
            }
            ::core::result::Result::Err(__memlock_error) => {
                __memlock::replaced(
                    ::core::concat!(::core::module_path!(), "::reindex"),
                    __memlock_error,
                );
                return Err(Full);
            }
        }
    }
    async fn uncatalog_object(&self, object: &Object) -> Result<(), CatalogError> {
        use ::memlock::__private as __memlock;
        let __memlock_return = __memlock::Return::<Result<(), CatalogError>>::new()
            .__memlock_zlock();
        let __memlock_entering = __memlock_return
            .__memlock_enter_async(
                __memlock::Options::zlock(
                    ::core::concat!(::core::module_path!(), "::uncatalog_object"),
                ),
                [__memlock::key(&::core::format_args!("{}", self.path))],
            );
        __memlock_entering
            .run_zlock(
                __memlock_return.__memlock_ending(),
                __memlock::Conflicts::<Result<(), CatalogError>>::new()
                    .__memlock_classify(),
                async move {
                    if false {
                        return __memlock_return.__memlock_value(());
                    }
                    { self.forget(object).await }
                },
            )
            .await
    }
}
