//! Calling what the user gave as the key: a path to a function, or a closure.
//!
//! A function may take fewer arguments than the locked one: it gets the leading ones. It is matched in two steps,
//! like return types: first as it is ([`Exact`], which lets a generic function infer its types), else with the
//! coercions that a direct call would have made ([`Coerced`]).

use std::marker::PhantomData;
use std::ops::Deref;

/// A key function and references to the arguments of the locked one. `M` is how they fit, found by inference.
#[derive(Debug)]
pub struct KeyFn<F, Args, M>(Coercing<F, Args, M>);

/// The second step of [`KeyFn`].
#[derive(Debug)]
pub struct Coercing<F, Args, M> {
    function: F,
    args: Args,
    fit: PhantomData<fn() -> M>,
}

impl<F, Args, M> KeyFn<F, Args, M> {
    /// `function` is to be called with the leading ones of `args`.
    pub const fn new(function: F, args: Args) -> Self {
        KeyFn(Coercing {
            function,
            args,
            fit: PhantomData,
        })
    }
}

impl<F: Exact<Args, M> + Copy, Args: Copy, M> KeyFn<F, Args, M> {
    /// The key.
    pub fn __memlock_key(&self) -> F::Key {
        self.0.function.key(self.0.args)
    }
}

impl<F, Args, M> Deref for KeyFn<F, Args, M> {
    type Target = Coercing<F, Args, M>;

    fn deref(&self) -> &Coercing<F, Args, M> {
        &self.0
    }
}

impl<F: Copy, Args: Copy, M> Coercing<F, Args, M> {
    /// The key. (Returning a projection would make a function that does not fit an unknown method, with a message of
    /// the compiler's own.)
    pub fn __memlock_key<K>(&self) -> K
    where
        F: Coerced<Args, M, Key = K>,
    {
        self.function.key(self.args)
    }
}

/// A function of the leading ones of `Args`, without coercions. `M` is the tuple of those.
pub trait Exact<Args, M> {
    /// What the function returns.
    type Key;

    /// Calls it.
    fn key(self, args: Args) -> Self::Key;
}

/// A function of the leading ones of `Args`. `M` tells the types of its parameters and how each is reached.
#[diagnostic::on_unimplemented(
    message = "the key function does not fit the arguments of the locked function",
    label = "called with `{Args}`",
    note = "a key function takes references to the leading arguments of the locked function, `&self` first: as many as it needs",
    note = "for the value of a constant write `{{ KEY }}`; for anything else a closure, `|id| …`, or an expression"
)]
pub trait Coerced<Args, M> {
    /// What the function returns.
    type Key;

    /// Calls it.
    fn key(self, args: Args) -> Self::Key;
}

/// `&T` as a parameter of type `P`, reached by way of `M`.
pub trait Coerce<P, M> {
    /// The same reference, as the other type.
    fn coerce(self) -> P;
}

/// The ways of [`Coerce`].
#[derive(Debug)]
pub enum Way<const N: usize> {}

impl<T> Coerce<T, Way<0>> for T {
    fn coerce(self) -> T {
        self
    }
}

impl<'a, T: Deref + ?Sized> Coerce<&'a T::Target, Way<1>> for &'a T {
    fn coerce(self) -> &'a T::Target {
        self
    }
}

impl<'a, T: Deref<Target: Deref> + ?Sized> Coerce<&'a <T::Target as Deref>::Target, Way<2>> for &'a T {
    fn coerce(self) -> &'a <T::Target as Deref>::Target {
        self
    }
}

impl<'a, T, const N: usize> Coerce<&'a [T], Way<3>> for &'a [T; N] {
    fn coerce(self) -> &'a [T] {
        self
    }
}

/// One locked function's arguments, split into those that the key function takes and the rest.
macro_rules! key_functions {
    ($(($($taken:ident $param:ident $way:ident)*; $($left:ident)*))*) => {$(
        impl<F, K, $($taken,)* $($left,)*> Exact<($($taken,)* $($left,)*), ($($taken,)*)> for F
        where
            F: FnOnce($($taken),*) -> K,
        {
            type Key = K;

            #[allow(non_snake_case, reason = "the type parameters' names serve as the variables'")]
            fn key(self, ($($taken,)* $($left,)*): ($($taken,)* $($left,)*)) -> K {
                $(let _ = $left;)*
                self($($taken),*)
            }
        }

        impl<F, K, $($taken, $param, $way,)* $($left,)*> Coerced<($($taken,)* $($left,)*), ($(($param, $way),)*)> for F
        where
            F: FnOnce($($param),*) -> K,
            $($taken: Coerce<$param, $way>,)*
        {
            type Key = K;

            #[allow(non_snake_case, reason = "the type parameters' names serve as the variables'")]
            fn key(self, ($($taken,)* $($left,)*): ($($taken,)* $($left,)*)) -> K {
                $(let _ = $left;)*
                self($($taken.coerce()),*)
            }
        }
    )*};
}

/// All splits of up to eight arguments, by moving one after the other across the `;`.
macro_rules! splits {
    ([$($taken:tt)*];) => {
        key_functions! { ($($taken)*;) }
    };
    ([$($taken:tt)*]; $next:ident $param:ident $way:ident $($rest:tt)*) => {
        splits! { @left [$($taken)*] []; $next $param $way $($rest)* }
        splits! { [$($taken)* $next $param $way]; $($rest)* }
    };
    (@left [$($taken:tt)*] [$($left:ident)*];) => {
        key_functions! { ($($taken)*; $($left)*) }
    };
    (@left [$($taken:tt)*] [$($left:ident)*]; $next:ident $param:ident $way:ident $($rest:tt)*) => {
        splits! { @left [$($taken)*] [$($left)* $next]; $($rest)* }
    };
}
splits! { []; }
splits! { []; A PA WA }
splits! { []; A PA WA B PB WB }
splits! { []; A PA WA B PB WB C PC WC }
splits! { []; A PA WA B PB WB C PC WC D PD WD }
splits! { []; A PA WA B PB WB C PC WC D PD WD E PE WE }
splits! { []; A PA WA B PB WB C PC WC D PD WD E PE WE G PG WG }
splits! { []; A PA WA B PB WB C PC WC D PD WD E PE WE G PG WG H PH WH }
splits! { []; A PA WA B PB WB C PC WC D PD WD E PE WE G PG WG H PH WH I PI WI }

/// A closure is called through the helper of its number of parameters, from which it takes their types.
macro_rules! key_closures {
    ($($name:ident($($lifetime:lifetime $arg:ident)*);)*) => {$(
        /// The key that a closure makes of the leading arguments.
        #[allow(non_snake_case, reason = "the type parameters' names serve as the variables'")]
        pub fn $name<$($lifetime,)* $($arg: ?Sized,)* K>(
            closure: impl FnOnce($(&$lifetime $arg),*) -> K,
            ($($arg,)*): ($(&$lifetime $arg,)*),
        ) -> K {
            closure($($arg),*)
        }
    )*};
}
key_closures! {
    key0();
    key1('a A);
    key2('a A 'b B);
    key3('a A 'b B 'c C);
    key4('a A 'b B 'c C 'd D);
    key5('a A 'b B 'c C 'd D 'e E);
    key6('a A 'b B 'c C 'd D 'e E 'f F);
    key7('a A 'b B 'c C 'd D 'e E 'f F 'g G);
    key8('a A 'b B 'c C 'd D 'e E 'f F 'g G 'h H);
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;

    use super::*;

    struct Shelf {
        path: String,
    }

    fn of_shelf(shelf: &Shelf) -> &str {
        &shelf.path
    }

    fn of_text(text: &str) -> String {
        text.to_owned()
    }

    fn of_slice(numbers: &[u8]) -> usize {
        numbers.len()
    }

    fn of_anything(shelf: &impl Display, more: &impl Display) -> String {
        format!("{shelf}{more}")
    }

    fn of_nothing() -> &'static str {
        "fixed"
    }

    #[test]
    fn a_key_function_may_take_fewer_arguments() {
        let shelf = Shelf { path: "a".into() };
        let (one, two) = (1, String::from("two"));
        assert_eq!(KeyFn::new(of_shelf, (&shelf, &one, &two)).__memlock_key(), "a");
        assert_eq!(KeyFn::new(of_nothing, (&shelf, &one)).__memlock_key(), "fixed");
        assert_eq!(KeyFn::new(of_nothing, ()).__memlock_key(), "fixed");
    }

    #[test]
    fn arguments_are_coerced_as_in_a_direct_call() {
        let (owned, boxed, array) = (String::from("a"), Box::new(String::from("b")), [1, 2]);
        assert_eq!(KeyFn::new(of_text, (&owned,)).__memlock_key(), "a");
        assert_eq!(KeyFn::new(of_text, (&boxed, &owned)).__memlock_key(), "b");
        assert_eq!(KeyFn::new(of_text, (&"c",)).__memlock_key(), "c");
        assert_eq!(KeyFn::new(of_slice, (&array,)).__memlock_key(), 2);
        assert_eq!(KeyFn::new(of_slice, (&vec![1],)).__memlock_key(), 1);
    }

    #[test]
    fn a_generic_key_function_infers_its_types() {
        assert_eq!(KeyFn::new(of_anything, (&1, &"b", &())).__memlock_key(), "1b");
        assert_eq!(KeyFn::new(ToString::to_string, (&7,)).__memlock_key(), "7");
    }

    #[test]
    fn a_closure_needs_no_types_and_may_borrow() {
        let shelf = Shelf { path: "a".into() };
        assert_eq!(key2(|shelf, id| format!("{}{id}", shelf.path), (&shelf, &1)), "a1");
        assert_eq!(key1(|shelf| shelf.path.as_str(), (&shelf,)), "a");
        assert_eq!(key0(|| 7, ()), 7);
    }
}
