//! The cost of the attribute for its function: time at run time, time to compile, and size. It is compared with the bare
//! function, and with `#[tracing::instrument]`, which wraps functions, too.
//!
//! Run as `cargo xtask cost`; `--quick` makes it short and rough.

mod calls;
mod futures;
mod measure;
mod scratch;

use std::env;
use std::process::ExitCode;

use crate::measure::medians;
use crate::scratch::{Attribute, Profile, Scratch, Subject};

/// How many functions the compiled crates have.
const FUNCTIONS: usize = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let rounds = match arguments.as_slice() {
        [] => 3,
        [quick] if quick == "--quick" => 1,
        [other, ..] => {
            eprintln!("cost: there is no option \"{other}\", only --quick");
            return ExitCode::FAILURE;
        }
    };
    calls(rounds);
    sizes_of_futures();
    match compiling(rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cost: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn calls(rounds: usize) {
    println!("\n| a call on `memory:`, uncontended | more than the bare function |\n|---|---|");
    for (name, added) in calls::added(rounds * 10) {
        println!("| {name} | {:.2} µs |", added / 1000.0);
    }
}

fn sizes_of_futures() {
    println!("\n| a future that keeps | bare | `instrument` | `lock` |\n|---|---|---|---|");
    for (keeps, [bare, instrumented, locked]) in futures::sizes() {
        println!("| {keeps} | {bare} bytes | {instrumented} bytes | {locked} bytes |");
    }
}

/// Each function's share of the compiler's time and of the program's size: the difference between many functions and half
/// as many, so that costs that occur once do not count.
fn compiling(rounds: usize) -> Result<(), String> {
    let subjects = |is_async| {
        Attribute::ALL.map(|attribute| {
            [FUNCTIONS, FUNCTIONS / 2].map(|functions| Subject {
                attribute,
                is_async,
                functions,
            })
        })
    };
    let all: Vec<Subject> = [false, true].into_iter().flat_map(subjects).flatten().collect();
    eprintln!("compiling what the crates depend on …");
    let scratch = Scratch::new(&all, &Profile::ALL)?;
    println!("\n| per function | | bare | `instrument` | `lock` |\n|---|---|---|---|---|");
    for is_async in [false, true] {
        let form = if is_async { "`async fn`" } else { "`fn`" };
        for profile in Profile::ALL {
            eprintln!("{form}, {} …", profile.name());
            let milliseconds = each(subjects(is_async), rounds, |subject| {
                Ok(scratch.compile(subject, profile)?.as_secs_f64() * 1000.0)
            })?;
            println!("| {} | {form} |{} |", profile.name(), cells(milliseconds, 2, "ms"));
        }
        let bytes = each(subjects(is_async), 1, |subject| {
            Ok(f64::from(u32::try_from(scratch.size(subject)?).unwrap_or(u32::MAX)))
        })?;
        println!("| size of the program | {form} |{} |", cells(bytes, 0, "bytes"));
    }
    Ok(())
}

/// What each function of the subjects adds to what is measured.
fn each(
    subjects: [[Subject; 2]; 3],
    rounds: usize,
    mut measure: impl FnMut(Subject) -> Result<f64, String>,
) -> Result<[f64; 3], String> {
    let mut problem = None;
    let flat: [Subject; 6] = std::array::from_fn(|index| subjects[index / 2][index % 2]);
    let measured: [f64; 6] = medians(rounds, |index| {
        measure(flat[index]).unwrap_or_else(|failed| {
            problem = Some(failed);
            f64::NAN
        })
    });
    let functions = f64::from(u32::try_from(FUNCTIONS - FUNCTIONS / 2).unwrap_or(u32::MAX));
    match problem {
        Some(problem) => Err(problem),
        None => Ok([0, 2, 4].map(|index| (measured[index] - measured[index + 1]) / functions)),
    }
}

fn cells(values: [f64; 3], decimals: usize, unit: &str) -> String {
    values.map(|value| format!(" {value:.decimals$} {unit}")).join(" |")
}
