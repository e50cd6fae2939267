//! Running a program to its end.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, ErrorKind};

/// Runs `command`; gives its standard output, or an error that shows all of its output.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let name = name(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io(format!("run {name}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(
        Error::new(ErrorKind::Command, format!("{name}: {}", output.status))
            .with(&text)
            .with(&String::from_utf8_lossy(&output.stderr)),
    )
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default();
    let mut words = vec![name.to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
