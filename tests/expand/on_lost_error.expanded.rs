fn long_work(&self, id: u64) -> io::Result<u64> {
    use ::memlock::__private as __memlock;
    let __memlock_return = __memlock::Return::<io::Result<u64>>::new()
        .__memlock_on_lost();
    let __memlock_entered = __memlock_return
        .__memlock_try_enter(
            __memlock::Options::rlock(
                    ::core::concat!(::core::module_path!(), "::long_work"),
                )
                .renew_for(__memlock::Duration::from_secs(3600))
                .locks(&self.locks),
            [__memlock::key(&id)],
        );
    __memlock_return.__memlock_run(__memlock_entered, || { work(id) })
}
fn long_guess(id: u64) -> Option<u64> {
    use ::memlock::__private as __memlock;
    let __memlock_return = __memlock::Return::<Option<u64>>::new();
    let __memlock_entered = __memlock_return
        .__memlock_try_enter(
            __memlock::Options::rlock(
                ::core::concat!(::core::module_path!(), "::long_guess"),
            ),
            [__memlock::key(&id)],
        );
    match __memlock_return.__memlock_try_run(__memlock_entered, || { work(id).ok() }) {
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
