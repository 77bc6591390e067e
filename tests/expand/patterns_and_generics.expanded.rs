#[inline]
unsafe extern "C" fn store<'a, T: Into<u64> + 'a, const N: usize>(
    #[cfg(unix)]
    __memlock_arg0: (u64, T),
    __memlock_arg1: &'a [u8; N],
    mut rest: Vec<T>,
) -> u64
where
    T: Copy,
{
    #![allow(unused_variables)]
    use ::memlock::__private as __memlock;
    let __memlock_entered = __memlock::Return::<u64>::new()
        .__memlock_enter(
            __memlock::Options::lock(::core::concat!(::core::module_path!(), "::store")),
            [
                __memlock::key(
                    &__memlock::KeyFn::new(
                            Key::of,
                            (#[cfg(unix)] &__memlock_arg0, &__memlock_arg1, &rest),
                        )
                        .__memlock_key(),
                ),
            ],
        );
    #[cfg(unix)]
    let (from, to) = __memlock_arg0;
    match __memlock_entered {
        ::core::result::Result::Ok(__memlock_held) => {
            rest.clear();
            from
        }
        ::core::result::Result::Err(__memlock_failed) => return __memlock_failed,
    }
}
