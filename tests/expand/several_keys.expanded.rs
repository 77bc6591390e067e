fn transfer(from: u64, to: &Account, bank: &Bank) -> Result<(), BankError> {
    use ::memlock::__private as __memlock;
    let __memlock_entered = __memlock::Return::<Result<(), BankError>>::new()
        .__memlock_wait()
        .__memlock_enter(
            __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::transfer"),
                )
                .name("bank")
                .wait(__memlock::Duration::from_millis(250)),
            [
                __memlock::key(&from),
                __memlock::key(&__memlock::key2(|_, to| to.id(), (&from, &to))),
                __memlock::key(
                    &::core::format_args!("bank/{}/{from:08}", bank.name, from = from),
                ),
            ],
        );
    match __memlock_entered {
        ::core::result::Result::Ok(__memlock_held) => bank.transfer(from, to),
        ::core::result::Result::Err(__memlock_failed) => return __memlock_failed,
    }
}
