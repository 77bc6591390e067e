#[memlock::lock(Key::of)]
#[inline]
unsafe extern "C" fn store<'a, T: Into<u64> + 'a, const N: usize>(
    #[cfg(unix)] (from, to): (u64, T),
    _: &'a [u8; N],
    mut rest: Vec<T>,
) -> u64
where
    T: Copy,
{
    #![allow(unused_variables)]
    rest.clear();
    from
}
