fn measure() -> impl Fn(&str) -> usize {
    use ::memlock::__private as __memlock;
    let __memlock_entered = __memlock::Return::<__memlock::Opaque>::new()
        .__memlock_enter(
            __memlock::Options::lock(
                    ::core::concat!(::core::module_path!(), "::measure"),
                )
                .name("shape")
                .renew(),
            [__memlock::key("")],
        );
    let ::core::result::Result::Ok(__memlock_held) = __memlock_entered;
    '__memlock: { break '__memlock { |text| text.len() } }
}
fn books<'a>(shelf: &'a Shelf) -> io::Result<impl Iterator<Item = &'a Book>> {
    use ::memlock::__private as __memlock;
    let __memlock_entered = __memlock::Return::<io::Result<_>>::new()
        .__memlock_soft()
        .__memlock_enter(
            __memlock::Options::lock(::core::concat!(::core::module_path!(), "::books"))
                .on_unavailable(__memlock::OnUnavailable::Panic),
            [__memlock::key(&shelf)],
        );
    match __memlock_entered {
        ::core::result::Result::Ok(__memlock_held) => Ok(shelf.books.iter()),
        ::core::result::Result::Err(__memlock_failed) => return __memlock_failed,
    }
}
