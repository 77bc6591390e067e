async fn send<T: Into<Message>>(
    id: u64,
    __memlock_arg1: (Address, Address),
    #[cfg(unix)]
    what: T,
    _permit: Permit,
) -> u64 {
    use ::memlock::__private as __memlock;
    let __memlock_return = __memlock::Return::<u64>::new();
    #[allow(clippy::used_underscore_binding)]
    let __memlock_entering = __memlock_return
        .__memlock_enter_async(
            __memlock::Options::lock(::core::concat!(::core::module_path!(), "::send")),
            [
                __memlock::key(
                    &__memlock::KeyFn::new(
                            key_of,
                            (&id, &__memlock_arg1, #[cfg(unix)] &what, &_permit),
                        )
                        .__memlock_key(),
                ),
            ],
        );
    let (from, to) = __memlock_arg1;
    __memlock_entering
        .run(
            __memlock_return.__memlock_ending(),
            async move {
                if false {
                    return __memlock_return
                        .__memlock_value((#[cfg(unix)] what, to, from));
                }
                { deliver(from, to, what.into(), id).await }
            },
        )
        .await
}
