//! Runs cargo, and shows what is run.

use std::env;
use std::process::Command;

/// Runs `cargo` with these arguments at the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    cargo_with(&[], arguments)
}

/// Runs `cargo` with these variables in its environment.
pub(crate) fn cargo_with(variables: &[(&str, &str)], arguments: &[&str]) -> Result<(), String> {
    // Set by the cargo that runs this program: the same toolchain then does the rest.
    let program = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut shown: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    shown.push("cargo".to_owned());
    shown.extend(arguments.iter().map(ToString::to_string));
    let shown = shown.join(" ");
    eprintln!("$ {shown}");

    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .map_err(|error| format!("could not run cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("failed ({status}): {shown}"))
    }
}
