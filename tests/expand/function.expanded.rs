/// Moves money.
pub fn deposit(id: u64, amount: u64) -> Result<(), memlock::Error> {
    use ::memlock::__private as __memlock;
    let __memlock_entered = __memlock::Return::<Result<(), memlock::Error>>::new()
        .__memlock_enter(
            __memlock::Options::lock(
                ::core::concat!(::core::module_path!(), "::deposit"),
            ),
            [__memlock::key(&::core::format_args!("account/{id}", id = id))],
        );
    match __memlock_entered {
        ::core::result::Result::Ok(__memlock_held) => store(id, load(id)? + amount),
        ::core::result::Result::Err(__memlock_failed) => return __memlock_failed,
    }
}
