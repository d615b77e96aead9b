//! Reads an example's options.

use std::process::ExitCode;

use clap::Parser;

/// The options; what is wrong with them is said in one line on stderr, with the exit code 2.
pub(crate) fn read<T: Parser>(example: &str) -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        // Without what clap says beside it.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        eprintln!("{example}: {line}");
        ExitCode::from(2)
    })
}
