fn try_now(id: u64) -> Outcome {
    use ::memlock::__private as __memlock;
    let __memlock_entered = __memlock::Return::<Outcome>::new()
        .__memlock_try_enter(
            __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::try_now"),
                )
                .wait(__memlock::Duration::from_secs(0)),
            [__memlock::key(&id)],
        );
    match __memlock_entered {
        ::core::result::Result::Ok(__memlock_held) => work(id),
        ::core::result::Result::Err(__memlock_error) => {
            return __memlock::otherwise(
                ::core::concat!(::core::module_path!(), "::try_now"),
                __memlock_error,
                |error| Outcome::Later(error.to_string()),
            );
        }
    }
}
