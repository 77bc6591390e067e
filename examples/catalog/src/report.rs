//! The table.

use std::time::Duration;

use crate::run::Run;

/// Prints the table, a column for each run.
pub(crate) fn table(runs: &[Run]) {
    let line = |name: &str, cell: &dyn Fn(&Run) -> String| {
        print!("  {name:<28}");
        for run in runs {
            print!("{:>15}", cell(run));
        }
        println!();
    };
    println!();
    line("", &|run| run.way.name().to_owned());
    println!("  {}", "-".repeat(28 + 15 * runs.len()));
    line("documents indexed", &|run| run.counted.to_string());
    line("  lost", &|run| run.lost_updates().to_string());
    line("computations started", &|run| run.started().to_string());
    line("  thrown away", &|run| {
        format!("{}, {} %", run.thrown_away(), run.percent_thrown_away())
    });
    line("CPU per document", &|run| milliseconds(run.cpu_per_document()));
    line("a document took: median", &|run| milliseconds(run.latency(50)));
    line("                 99 %", &|run| milliseconds(run.latency(99)));
    line("clicks while all worked", &|run| run.clicks().to_string());
    line("a click took:    99 %", &|run| milliseconds(run.click_latency(99)));
    line("elapsed", &|run| format!("{:.1} s", run.elapsed.as_secs_f64()));
    println!();
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
