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
    refusal(answer).unwrap_or_else(|| Error::new(ErrorKind::Lost, "virsh says nothing"))
}

/// The reply to one of libvirt's own commands, which says nothing when it is done.
pub(crate) fn own(answer: &str) -> Result<Box<RawValue>, Error> {
    refusal(answer).map_or_else(|| Ok(done()), Err)
}

fn refusal(answer: &str) -> Option<Error> {
    let lines = answer.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("virsh #").unwrap_or(line).trim_start();
        line.starts_with("error:").then_some(line)
    });
    let lines: Vec<&str> = lines.collect();
    (!lines.is_empty()).then(|| Error::said(&lines.join("\n")))
}

/// What QEMU returns for such a command.
fn done() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

/// Commands for one `virsh`, which goes on after one that fails; behind each of them stands its number.
pub(crate) fn script(commands: &[String]) -> String {
    let numbered = commands.iter().enumerate();
    let numbered = numbered.map(|(n, command)| format!("{command}; echo '{{\"mark\":{n}}}'"));
    numbered.collect::<Vec<_>>().join("; ")
}

/// The results of the commands of a script, from what `virsh` has printed and said. What libvirt's own say nothing of is
/// done, unless something is said of them.
pub(crate) fn of(
    output: &str,
    commands: &[String],
    said: &str,
) -> Vec<Result<Box<RawValue>, QmpError>> {
    let count = commands.len();
    let is_done = |n: usize| {
        let own = commands
            .get(n)
            .and_then(|command| command.split(' ').next());
        let own = own.filter(|own| ["suspend", "resume"].contains(own));
        let failed = ["failed to get domain", "failed to connect"];
        own.is_some_and(|own| {
            let refused = format!("Failed to {own} domain");
            !said.contains(&refused) && !failed.iter().any(|failed| said.contains(failed))
        })
    };
    let mut results = Vec::new();
    let mut reply: Option<Box<RawValue>> = None;
    for value in serde_json::Deserializer::from_str(output).into_iter::<Box<RawValue>>() {
        let Ok(value) = value else {
            break;
        };
        if value.get().starts_with("{\"mark\"") {
            results.push(match reply.take() {
                Some(reply) => parse_reply(reply.get().as_bytes()),
                None if is_done(results.len()) => Ok(done()),
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
        let commands = ["a", "b", "c", "d"].map(str::to_owned);
        let results = of(output, &commands, said);
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
    fn a_command_of_libvirts_own_is_done_unless_it_says_otherwise() {
        let commands = ["suspend u", "qemu-monitor-command u '{}'", "resume u"];
        let commands = commands.map(str::to_owned);
        let output = "{\"mark\":0}{\"return\":1,\"id\":\"libvirt-1\"}\n{\"mark\":1}{\"mark\":2}";
        let results = of(output, &commands, "");
        let texts: Vec<_> = results.iter().map(|r| r.as_ref().unwrap().get()).collect();
        assert_eq!(texts, ["{}", "1", "{}"]);
        let said = "error: Failed to resume domain 'web'\nerror: it is locked elsewhere\n";
        let results = of(output, &commands, said);
        assert!(results[0].is_ok() && results[2].is_err());
        let results = of("{\"mark\":0}", &commands, "");
        assert!(results[0].is_ok() && results[2].is_err());

        assert_eq!(own("virsh # suspend u\n").unwrap().get(), "{}");
        let refused = own("virsh # resume u\nerror: Failed to resume domain 'u'\nerror: no\n");
        assert!(refused.unwrap_err().to_string().contains("no"));
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
