fn boxed<'a>(id: &'a str) -> Pin<Box<dyn Future<Output = io::Result<u64>> + Send + 'a>> {
    use ::memlock::__private as __memlock;
    __memlock::Box::pin(async move {
        let __memlock_entering = __memlock::Return::<io::Result<u64>>::new()
            .__memlock_enter_async(
                __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::boxed"),
                ),
                [__memlock::key(&id)],
            );
        __memlock_entering
            .run(
                __memlock::Return::<io::Result<u64>>::new().__memlock_ending(),
                __memlock::returned(move || -> Pin<
                    Box<dyn Future<Output = io::Result<u64>> + Send + 'a>,
                > {
                    if id.is_empty() {
                        return Box::pin(ready(Ok(0)));
                    }
                    Box::pin(work(id))
                }),
            )
            .await
    })
}
fn named(id: &str) -> BoxFuture<'_, u64> {
    use ::memlock::__private as __memlock;
    __memlock::Box::pin(async move {
        let __memlock_entering = __memlock::Return::<u64>::new()
            .__memlock_try_enter_async(
                __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::named"),
                ),
                [__memlock::key(&id)],
            );
        match __memlock_entering.enter().await {
            ::core::result::Result::Ok(__memlock_held) => {
                __memlock_held
                    .run(
                        __memlock::Return::<u64>::new().__memlock_ending(),
                        __memlock::returned(move || -> BoxFuture<'_, u64> {
                            work(id).boxed()
                        }),
                    )
                    .await
            }
            ::core::result::Result::Err(__memlock_error) => {
                __memlock::replaced(
                    ::core::concat!(::core::module_path!(), "::named"),
                    __memlock_error,
                );
                return 0;
            }
        }
    })
}
fn hidden(id: u64) -> impl Future<Output = io::Result<u64>> + Send {
    use ::memlock::__private as __memlock;
    async move {
        let __memlock_entering = __memlock::Return::<io::Result<u64>>::new()
            .__memlock_enter_async(
                __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::hidden"),
                ),
                [__memlock::key(&id)],
            );
        __memlock_entering
            .run(
                __memlock::Return::<io::Result<u64>>::new().__memlock_ending(),
                __memlock::returned(move || { async move { work(id).await } }),
            )
            .await
    }
}
