//! Arguments in, exit code out.

use std::process::ExitCode;
use swarmlet::app::run::run;

fn main() -> ExitCode {
    run(std::env::args_os().skip(1)).into()
}
