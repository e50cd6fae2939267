//! What `virsh` prints, taken apart.

use fleece_qmp_client::{Error as QmpError, parse_reply};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};

/// The reply of QEMU's in what a shell of `virsh` says to one command: a line that begins with a brace. What we
/// have typed is echoed behind a prompt.
pub(crate) fn line(answer: &str) -> Option<&str> {
    answer
        .lines()
        .find(|line| line.starts_with("{\"") && !line.starts_with("{\"mark\""))
}

/// What a shell of `virsh` says instead of a reply.
pub(crate) fn error(answer: &str) -> Error {
    let lines = answer.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("virsh #").unwrap_or(line).trim_start();
        line.starts_with("error:").then_some(line)
    });
    let lines: Vec<&str> = lines.collect();
    match lines.is_empty() {
        true => Error::new(ErrorKind::Lost, "virsh says nothing"),
        false => Error::said(&lines.join("\n")),
    }
}

/// Commands for one `virsh`, which goes on after one that fails; behind each of them stands its number.
pub(crate) fn script(commands: &[String]) -> String {
    let numbered = commands.iter().enumerate();
    let numbered = numbered.map(|(n, command)| format!("{command}; echo '{{\"mark\":{n}}}'"));
    numbered.collect::<Vec<_>>().join("; ")
}

/// The results of so many commands of a script, from what `virsh` has printed and said.
pub(crate) fn of(output: &str, count: usize, said: &str) -> Vec<Result<Box<RawValue>, QmpError>> {
    let mut results = Vec::new();
    let mut reply: Option<Box<RawValue>> = None;
    for value in serde_json::Deserializer::from_str(output).into_iter::<Box<RawValue>>() {
        let Ok(value) = value else {
            break;
        };
        if value.get().starts_with("{\"mark\"") {
            results.push(match reply.take() {
                Some(reply) => parse_reply(reply.get().as_bytes()),
                None => Err(Error::said(said).into_qmp()),
            });
        } else {
            reply = Some(value);
        }
    }
    results.truncate(count);
    while results.len() < count {
        results.push(Err(Error::said(said).into_qmp()));
    }
    results
}

#[cfg(test)]
mod tests {
    use fleece_qmp_client::ErrorKind as QmpErrorKind;

    use super::*;

    #[test]
    fn each_command_gets_its_own_result_even_behind_one_that_failed() {
        let output = "{\"return\":{},\"id\":\"libvirt-1\"}\n\n{\"mark\":0}{\"mark\":1}{\"id\":\"libvirt-2\",\
                      \"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}\n{\"mark\":2}";
        let said = "error: Requested operation is not valid: domain is not running\n";
        let results = of(output, 4, said);
        assert_eq!(results[0].as_ref().unwrap().get(), "{}");
        let kinds: Vec<_> = results[1..]
            .iter()
            .map(|result| result.as_ref().unwrap_err().kind())
            .collect();
        assert_eq!(kinds[0], QmpErrorKind::NotRunning);
        assert!(matches!(kinds[1], QmpErrorKind::Command(_)));
        assert_eq!(kinds[2], QmpErrorKind::NotRunning);
    }

    #[test]
    fn a_reply_is_told_from_the_echo_of_what_was_typed() {
        let answer = "virsh # qemu-monitor-command u '{\"execute\":\"x\"}'\n{\"return\":3,\"id\":\"libvirt-1\"}\n\
                      virsh # echo '{\"mark\":1}'\n{\"mark\":1}";
        assert_eq!(line(answer), Some("{\"return\":3,\"id\":\"libvirt-1\"}"));
        let answer = "virsh # qemu-monitor-command u '{\"execute\":\"x\"}'\nerror: failed to get domain 'u'\n\n\
                      virsh # echo '{\"mark\":1}'\n{\"mark\":1}";
        assert_eq!(line(answer), None);
        assert_eq!(error(answer).kind(), ErrorKind::NoDomain);
    }
}
