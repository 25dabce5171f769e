//! The `meridian` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    meridian_cli::main()
}
