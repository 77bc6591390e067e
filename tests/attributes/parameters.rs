//! Parameters of every form: patterns, generics, conditions.

use std::fmt::Display;

use memlock::lock;

use crate::stage::{LOCKS, key};

struct Point {
    x: u8,
    y: u8,
}

fn sum(pair: &(u8, u8), point: &Point) -> u8 {
    pair.0 + point.y
}

#[lock(sum, locks = &LOCKS)]
fn patterns((a, mut b): (u8, u8), Point { x, y: _ }: Point, [first, ..]: [u8; 3], _: u8) -> (String, u8) {
    b += a + x + first;
    (key(), b)
}

#[lock(|_, second| *second, locks = &LOCKS)]
fn ignored(_: u8, _: u8) -> String {
    key()
}

#[lock(|text, _| text.len(), locks = &LOCKS)]
fn bound_by_reference(ref text: String, mut number: u8) -> (String, usize) {
    number += 1;
    (key(), text.len() + usize::from(number))
}

#[lock(|pair| pair.0, locks = &LOCKS)]
fn bound_as_a_whole(pair @ (a, _): (u8, u8)) -> (String, u8) {
    (key(), a + pair.1)
}

#[test]
fn patterns_stay_patterns() {
    assert_eq!(patterns((1, 2), Point { x: 3, y: 4 }, [5, 6, 7], 8), ("5".into(), 11));
    assert_eq!(ignored(1, 2), "2");
    assert_eq!(bound_as_a_whole((1, 2)), ("1".into(), 3));
    assert_eq!(bound_by_reference("abc".into(), 1), ("3".into(), 5));
}

fn key_of<T: Display + ?Sized>(value: &T) -> String {
    value.to_string()
}

#[lock(key_of, locks = &LOCKS)]
fn generic<T, const N: usize>(value: T, rest: [T; N]) -> (String, usize)
where
    T: Display,
{
    let mut all = Vec::from(rest);
    all.push(value);
    (key(), all.len())
}

#[lock(key_of, locks = &LOCKS)]
fn borrowed<'a>(text: &'a str, other: &'a mut Vec<&'a str>) -> &'a str {
    other.push(text);
    assert_eq!(key(), text);
    other[0]
}

#[lock("{value}", locks = &LOCKS)]
fn hidden_type(value: impl Display, apply: impl FnOnce(u8) -> u8) -> (String, u8) {
    let _ = value;
    (key(), apply(1))
}

#[lock(key_of, locks = &LOCKS)]
fn dynamic(value: &dyn Display, call: &mut dyn FnMut()) -> String {
    call();
    let _ = value;
    key()
}

#[test]
fn generics_and_lifetimes() {
    assert_eq!(generic(7, [1, 2]), ("7".into(), 3));
    assert_eq!(borrowed("a", &mut vec!["b"]), "b");
    assert_eq!(hidden_type(7, |n| n + 1), ("7".into(), 2));
    assert_eq!(dynamic(&7, &mut || ()), "7");
}

fn second(_: &u8, second: &u8) -> u8 {
    *second
}

#[lock(second, locks = &LOCKS)]
fn conditional(
    #[cfg(not(any()))] a: u8,
    #[cfg(any())] b: NoSuchType,
    #[cfg(any())] (c, d): NoSuchType,
    #[allow(unused_variables)] e: u8,
) -> (String, u8) {
    (key(), a)
}

#[test]
fn parameters_that_are_not_compiled_are_not_arguments() {
    assert_eq!(conditional(1, 2), ("2".into(), 1));
}

#[lock(eight, locks = &LOCKS)]
#[allow(
    clippy::too_many_arguments,
    clippy::many_single_char_names,
    reason = "their number is the case"
)]
fn nine(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8) -> (String, u8) {
    (key(), a + b + c + d + e + f + g + h + i)
}

#[allow(
    clippy::too_many_arguments,
    clippy::many_single_char_names,
    reason = "their number is the case"
)]
fn eight(a: &u8, b: &u8, c: &u8, d: &u8, e: &u8, f: &u8, g: &u8, h: &u8) -> u8 {
    a + b + c + d + e + f + g + h
}

#[test]
fn a_key_function_gets_up_to_eight_arguments() {
    assert_eq!(nine(1, 1, 1, 1, 1, 1, 1, 1, 1), ("8".into(), 9));
}

#[lock(extern_key, locks = &LOCKS)]
extern "C" fn foreign(number: u32) -> u32 {
    assert_eq!(key(), "7");
    number
}

fn extern_key(number: &u32) -> u32 {
    *number
}

#[test]
fn another_calling_convention() {
    let function: extern "C" fn(u32) -> u32 = foreign;
    assert_eq!(function(7), 7);
}
