fn lead() -> ! {
    use ::memlock::__private as __memlock;
    let __memlock_entered = __memlock::Return::<__memlock::Opaque>::new()
        .__memlock_enter(
            __memlock::Options::lock(::core::concat!(::core::module_path!(), "::lead"))
                .name("leader")
                .timeout(__memlock::Duration::from_secs(5))
                .renew(),
            [__memlock::key("")],
        );
    let ::core::result::Result::Ok(__memlock_held) = __memlock_entered;
    {
        loop {
            work();
        }
    }
}
