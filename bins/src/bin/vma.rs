//! `vma`: everything about VMA archives.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleece_bins::vma::main()
}
