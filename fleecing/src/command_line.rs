//! What QEMU was told when it was started.

use std::fs::File;
use std::io::Read as _;

use fleece_qmp_client::Client;

/// No command line is longer: Linux gives it a quarter of a stack of 8 MiB (`execve(2)`).
const MAX_COMMAND_LINE: u64 = 2 << 20;

/// Where the program's name is at the latest.
const LOADER: usize = 8;

/// The arguments of the QEMU behind `client`, the program first; none where they cannot be read, or the monitor's
/// socket was opened by another process, as libvirt does.
pub(crate) fn of(client: &Client) -> Vec<String> {
    let arguments = client.peer_process().map(of_process).unwrap_or_default();
    let is_qemu = |program: &str| {
        let name = program.rsplit('/').next().unwrap_or_default();
        name.starts_with("qemu") || name == "kvm"
    };
    // A loader may stand before it.
    let mut first = arguments.iter().take(LOADER);
    match first.any(|program| is_qemu(program)) {
        true => arguments,
        false => Vec::new(),
    }
}

/// The arguments of any process.
pub(crate) fn of_process(process: u32) -> Vec<String> {
    let mut line = Vec::new();
    let read = File::open(format!("/proc/{process}/cmdline"))
        .and_then(|file| file.take(MAX_COMMAND_LINE).read_to_end(&mut line));
    if read.is_err() {
        return Vec::new();
    }
    let line = String::from_utf8_lossy(&line);
    line.split_terminator('\0').map(str::to_owned).collect()
}

/// The values of an option, with one dash or two.
pub(crate) fn values<'a>(
    arguments: &'a [String],
    option: &'a str,
) -> impl Iterator<Item = &'a str> {
    let values = arguments.iter().skip(1);
    let pairs = arguments.iter().zip(values);
    pairs
        .filter(move |(name, _)| name.starts_with('-') && name.trim_start_matches('-') == option)
        .map(|(_, value)| value.as_str())
}

/// The value of a key in `a,key=value`.
pub(crate) fn key<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    value
        .split(',')
        .filter_map(|part| part.split_once('='))
        .find_map(|(name, value)| (name == key).then_some(value))
}

/// The same without what is secret: of objects of that kind only the name is kept, and no passwords.
pub(crate) fn without_secrets(arguments: &[String]) -> Vec<String> {
    let secret = |argument: &String| {
        let lower = argument.to_ascii_lowercase();
        ["secret", "password", "passwd", "passphrase", "token"]
            .iter()
            .any(|word| lower.contains(word))
    };
    arguments
        .iter()
        .map(|argument| match secret(argument) {
            true => "(left out)".to_owned(),
            false => argument.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_values_and_secrets_are_left_out() {
        let line: Vec<String> = [
            "qemu",
            "-cpu",
            "max,+aes",
            "--object",
            "secret,id=s,data=1234",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(values(&line, "cpu").collect::<Vec<_>>(), ["max,+aes"]);
        assert_eq!(key("socket,id=tpm,path=/a", "path"), Some("/a"));
        assert!(!without_secrets(&line).concat().contains("1234"));
        let own = of_process(std::process::id());
        assert!(own.first().is_some_and(|program| !program.is_empty()));
    }
}
