//! Calls the key function or the key closure of an attribute.
//!
//! A key function may take fewer arguments than the locked function: it gets the leading ones. It is matched in two
//! steps, like return types: first without coercions ([`Exact`], by which a generic function can infer its types), then
//! with the coercions that a direct call would make ([`Coerced`]).

use std::marker::PhantomData;
use std::ops::Deref;

/// A key function, and references to the arguments of the locked function. The compiler infers `M`: how they fit.
#[derive(Debug)]
pub struct KeyFn<F, Args, M>(CoercedKeyFn<F, Args, M>);

/// The second step of [`KeyFn`], which coerces the arguments.
#[derive(Debug)]
pub struct CoercedKeyFn<F, Args, M> {
    function: F,
    args: Args,
    fit: PhantomData<fn() -> M>,
}

impl<F, Args, M> KeyFn<F, Args, M> {
    /// Keeps `function` for a call with the leading ones of `args`.
    pub const fn new(function: F, args: Args) -> Self {
        KeyFn(CoercedKeyFn {
            function,
            args,
            fit: PhantomData,
        })
    }
}

impl<F: Exact<Args, M> + Copy, Args: Copy, M> KeyFn<F, Args, M> {
    /// Calls the function and returns the key.
    pub fn __memlock_key(&self) -> F::Key {
        self.0.function.key(self.0.args)
    }
}

impl<F, Args, M> Deref for KeyFn<F, Args, M> {
    type Target = CoercedKeyFn<F, Args, M>;

    fn deref(&self) -> &CoercedKeyFn<F, Args, M> {
        &self.0
    }
}

impl<F: Copy, Args: Copy, M> CoercedKeyFn<F, Args, M> {
    /// Calls the function with coerced arguments and returns the key.
    // With `F::Key` as the return type, rustc would report an unknown method for a function that does not fit, and not
    // the message of `Coerced`.
    pub fn __memlock_key<K>(&self) -> K
    where
        F: Coerced<Args, M, Key = K>,
    {
        self.function.key(self.args)
    }
}

/// A function that takes the leading ones of `Args` without coercions. `M` is the tuple of the ones that it takes.
pub trait Exact<Args, M> {
    /// What the function returns.
    type Key;

    /// Calls the function.
    fn key(self, args: Args) -> Self::Key;
}

/// A function that takes the leading ones of `Args`, coerced. `M` lists its parameters' types, each with its coercion.
#[diagnostic::on_unimplemented(
    message = "the key function does not fit the arguments of the locked function",
    label = "called with `{Args}`",
    note = "a key function takes references to the leading arguments of the locked function, `&self` first: as many as it needs",
    note = "for the value of a constant, write `{{ KEY }}`; for anything else, write a closure, `|id| …`, or an expression"
)]
pub trait Coerced<Args, M> {
    /// What the function returns.
    type Key;

    /// Calls the function.
    fn key(self, args: Args) -> Self::Key;
}

/// An argument that a call can pass to a parameter of type `P`, by the coercion `C`.
pub trait Coerce<P, C> {
    /// Returns the argument as a `P`.
    fn coerce(self) -> P;
}

/// The coercions of [`Coerce`]: none, one dereference, two dereferences, and an array as a slice.
#[derive(Debug)]
pub enum Coercion<const N: usize> {}

impl<T> Coerce<T, Coercion<0>> for T {
    fn coerce(self) -> T {
        self
    }
}

impl<'a, T: Deref + ?Sized> Coerce<&'a T::Target, Coercion<1>> for &'a T {
    fn coerce(self) -> &'a T::Target {
        self
    }
}

impl<'a, T: Deref<Target: Deref> + ?Sized> Coerce<&'a <T::Target as Deref>::Target, Coercion<2>> for &'a T {
    fn coerce(self) -> &'a <T::Target as Deref>::Target {
        self
    }
}

impl<'a, T, const N: usize> Coerce<&'a [T], Coercion<3>> for &'a [T; N] {
    fn coerce(self) -> &'a [T] {
        self
    }
}

/// Implements the traits for one split of the arguments: before the `;` those that the key function takes, behind it
/// the rest.
macro_rules! key_functions {
    ($(($($taken:ident $param:ident $coercion:ident)*; $($left:ident)*))*) => {$(
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

        impl<F, K, $($taken, $param, $coercion,)* $($left,)*>
            Coerced<($($taken,)* $($left,)*), ($(($param, $coercion),)*)> for F
        where
            F: FnOnce($($param),*) -> K,
            $($taken: Coerce<$param, $coercion>,)*
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

/// Generates every split of some arguments, by moving one after the other across the `;`.
macro_rules! splits {
    ([$($taken:tt)*];) => {
        key_functions! { ($($taken)*;) }
    };
    ([$($taken:tt)*]; $next:ident $param:ident $coercion:ident $($rest:tt)*) => {
        splits! { @left [$($taken)*] []; $next $param $coercion $($rest)* }
        splits! { [$($taken)* $next $param $coercion]; $($rest)* }
    };
    (@left [$($taken:tt)*] [$($left:ident)*];) => {
        key_functions! { ($($taken)*; $($left)*) }
    };
    (@left [$($taken:tt)*] [$($left:ident)*]; $next:ident $param:ident $coercion:ident $($rest:tt)*) => {
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

/// Generates a function for each number of parameters, from which the compiler infers the types of a closure's
/// parameters.
macro_rules! key_closures {
    ($($name:ident($($lifetime:lifetime $arg:ident)*);)*) => {$(
        /// Calls a closure with the leading arguments and returns the key.
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

    fn shelf_path(shelf: &Shelf) -> &str {
        &shelf.path
    }

    fn copy_text(text: &str) -> String {
        text.to_owned()
    }

    fn count_bytes(numbers: &[u8]) -> usize {
        numbers.len()
    }

    fn join_displayed(shelf: &impl Display, more: &impl Display) -> String {
        format!("{shelf}{more}")
    }

    fn fixed_key() -> &'static str {
        "fixed"
    }

    #[test]
    fn a_key_function_with_fewer_parameters_gets_the_leading_arguments() {
        let shelf = Shelf { path: "a".into() };
        let (one, two) = (1, String::from("two"));
        assert_eq!(KeyFn::new(shelf_path, (&shelf, &one, &two)).__memlock_key(), "a");
        assert_eq!(KeyFn::new(fixed_key, (&shelf, &one)).__memlock_key(), "fixed");
        assert_eq!(KeyFn::new(fixed_key, ()).__memlock_key(), "fixed");
    }

    #[test]
    fn arguments_are_coerced_as_in_a_direct_call() {
        let (owned, boxed, array) = (String::from("a"), Box::new(String::from("b")), [1, 2]);
        assert_eq!(KeyFn::new(copy_text, (&owned,)).__memlock_key(), "a");
        assert_eq!(KeyFn::new(copy_text, (&boxed, &owned)).__memlock_key(), "b");
        assert_eq!(KeyFn::new(copy_text, (&"c",)).__memlock_key(), "c");
        assert_eq!(KeyFn::new(count_bytes, (&array,)).__memlock_key(), 2);
        assert_eq!(KeyFn::new(count_bytes, (&vec![1],)).__memlock_key(), 1);
    }

    #[test]
    fn a_generic_key_function_infers_its_types() {
        assert_eq!(KeyFn::new(join_displayed, (&1, &"b", &())).__memlock_key(), "1b");
        assert_eq!(KeyFn::new(ToString::to_string, (&7,)).__memlock_key(), "7");
    }

    #[test]
    fn a_closure_infers_its_types_and_may_return_a_borrow() {
        let shelf = Shelf { path: "a".into() };
        assert_eq!(key2(|shelf, id| format!("{}{id}", shelf.path), (&shelf, &1)), "a1");
        assert_eq!(key1(|shelf| shelf.path.as_str(), (&shelf,)), "a");
        assert_eq!(key0(|| 7, ()), 7);
    }
}
