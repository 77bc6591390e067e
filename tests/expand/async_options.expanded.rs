async fn try_now(id: u64) -> Outcome {
    use ::memlock::__private as __memlock;
    let __memlock_return = __memlock::Return::<Outcome>::new();
    let __memlock_entering = __memlock_return
        .__memlock_try_enter_async(
            __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::try_now"),
                )
                .wait(__memlock::Duration::from_secs(0)),
            [__memlock::key(&id)],
        );
    match __memlock_entering.enter().await {
        ::core::result::Result::Ok(__memlock_held) => {
            __memlock_held
                .run(
                    __memlock_return.__memlock_ending(),
                    async move {
                        if false {
                            return __memlock_return.__memlock_value(());
                        }
                        { work(id).await }
                    },
                )
                .await
        }
        ::core::result::Result::Err(__memlock_error) => {
            return __memlock::otherwise(
                ::core::concat!(::core::module_path!(), "::try_now"),
                __memlock_error,
                |error| Outcome::Later(error.to_string()),
            );
        }
    }
}
async fn long_work(id: u64) -> io::Result<u64> {
    use ::memlock::__private as __memlock;
    let __memlock_return = __memlock::Return::<io::Result<u64>>::new()
        .__memlock_on_lost();
    let __memlock_entering = __memlock_return
        .__memlock_enter_async(
            __memlock::Options::rlock(
                    ::core::concat!(::core::module_path!(), "::long_work"),
                )
                .renew_for(__memlock::Duration::from_secs(3600)),
            [__memlock::key(&id)],
        );
    __memlock_entering
        .run_and_check(
            __memlock_return.__memlock_ending(),
            async move {
                if false {
                    return __memlock_return.__memlock_value(());
                }
                { work(id).await }
            },
        )
        .await
}
async fn long_guess(id: u64) -> Option<u64> {
    use ::memlock::__private as __memlock;
    let __memlock_return = __memlock::Return::<Option<u64>>::new();
    let __memlock_entering = __memlock_return
        .__memlock_try_enter_async(
            __memlock::Options::rlock(
                ::core::concat!(::core::module_path!(), "::long_guess"),
            ),
            [__memlock::key(&id)],
        );
    match __memlock_entering
        .run_and_check(
            __memlock_return.__memlock_ending(),
            async move {
                if false {
                    return __memlock_return.__memlock_value(());
                }
                { work(id).await.ok() }
            },
        )
        .await
    {
        ::core::result::Result::Ok(__memlock_returned) => __memlock_returned,
        ::core::result::Result::Err(__memlock_error) => {
            __memlock::replaced(
                ::core::concat!(::core::module_path!(), "::long_guess"),
                __memlock_error,
            );
            return None;
        }
    }
}
