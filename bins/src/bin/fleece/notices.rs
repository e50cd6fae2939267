//! Word of how it went: to commands of the administrator's, by mail, and to a web server.

use std::path::PathBuf;
use std::time::Duration;

use fleece_backup_core::clock;
use fleece_fleet::{Heartbeat, Hook, Moment, host, message, note_mailed};
use rustix::fs::{Access, access};
use serde_json::{Value, json};

use crate::cli::hooks::{Hooks, When};
use crate::log::Log;
use fleece_bins::advice::chain;
use fleece_bins::{events, exit};

/// How long a mail or a request may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What there is to tell.
pub(crate) struct Notice<'a> {
    pub(crate) subject: &'a str,
    /// For people.
    pub(crate) text: &'a str,
    /// For programs.
    pub(crate) object: &'a Value,
    pub(crate) exit_code: u8,
}

/// Tells all who want to know that it begins; what fails is told as a warning. Returns how many did.
pub(crate) fn begin(arguments: &Hooks, object: &Value, log: &Log) -> usize {
    let object = events::with(object.clone(), json!({ "host": host::node() }));
    let mut calls: Vec<Call> = arguments
        .on_start
        .iter()
        .map(|command| shell(arguments, command, &object, None))
        .collect();
    calls.extend(
        arguments
            .heartbeat
            .iter()
            .filter_map(|beat| ping(beat, Moment::Start)),
    );
    call_all(calls, log).0
}

/// Tells all who want to know how it went; what fails is told as a warning. Returns how many did.
pub(crate) fn send(arguments: &Hooks, notice: &Notice<'_>, log: &Log) -> usize {
    let is_trouble = notice.exit_code != 0;
    let commands = [
        arguments.on_end.as_ref(),
        arguments.on_success.as_ref().filter(|_| !is_trouble),
        arguments.on_failure.as_ref().filter(|_| is_trouble),
    ];
    let commands = commands.into_iter().flatten();
    let mut calls: Vec<Call> = commands
        .map(|command| shell(arguments, command, notice.object, Some(notice.exit_code)))
        .collect();
    // With warnings there are archives.
    let moment = match notice.exit_code {
        0 | exit::WARNINGS => Moment::Success,
        _ => Moment::Failure,
    };
    let mut failed = 0_usize;
    for beat in &arguments.heartbeat {
        calls.extend(ping(beat, moment));
        let now = clock::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        if let Err(error) = beat.beat(moment, &now) {
            log.warning(&format!("the heartbeat: {}", chain(&error)));
            failed = failed.saturating_add(1);
        }
    }
    if is_trouble || arguments.notify == When::Always {
        for address in &arguments.mail_to {
            let mut hook = Hook::new(program("sendmail"));
            hook.arguments = ["-t", "-oi"].map(Into::into).into();
            hook.input = message::mail(address, notice.subject, notice.text);
            hook.limit = LIMIT;
            calls.push(Call {
                what: format!("the mail to {address}"),
                hook,
                is_mail: true,
            });
        }
        if let Some(url) = &arguments.webhook {
            let mut hook = Hook::new(program("curl"));
            hook.arguments = ["--config", "-"].map(Into::into).into();
            hook.input = message::request(url, notice.object, 30);
            hook.limit = LIMIT;
            calls.push(Call::new("the webhook", hook));
        }
    }
    let (unsent, mailed) = call_all(calls, log);
    // Else whoever watches the unit writes a mail, too. What cannot be noted means two.
    if moment == Moment::Failure && mailed {
        let _ = note_mailed();
    }
    failed.saturating_add(unsent)
}

/// Somebody who is to be told.
struct Call {
    what: String,
    hook: Hook,
    is_mail: bool,
}

impl Call {
    fn new(what: impl Into<String>, hook: Hook) -> Self {
        let (what, is_mail) = (what.into(), false);
        Self {
            what,
            hook,
            is_mail,
        }
    }
}

/// How many could not be told, and whether there were mails and all were sent.
fn call_all(calls: Vec<Call>, log: &Log) -> (usize, bool) {
    let (mut failed, mut unsent) = (0_usize, false);
    let mailed = calls.iter().any(|call| call.is_mail);
    for Call {
        what,
        hook,
        is_mail,
    } in calls
    {
        let mut tell = |line: &str| log.info(line);
        if let Err(error) = hook.call(&mut tell, &|| false) {
            log.warning(&format!("{what}: {}", chain(&error)));
            failed = failed.saturating_add(1);
            unsent |= is_mail;
        }
    }
    (failed, mailed && !unsent)
}

fn shell(arguments: &Hooks, command: &str, object: &Value, exit_code: Option<u8>) -> Call {
    let mut hook = Hook::new("sh");
    hook.arguments = vec!["-c".into(), command.into()];
    hook.input = format!("{object}\n").into_bytes();
    let code = exit_code.map(|code| ("FLEECE_EXIT_CODE".to_owned(), code.to_string().into()));
    hook.environment.extend(code);
    hook.limit = arguments.hook_timeout;
    Call::new(format!("the command {command:?}"), hook)
}

fn ping(beat: &Heartbeat, moment: Moment) -> Option<Call> {
    let mut hook = Hook::new(program("curl"));
    hook.arguments = ["--config", "-"].map(Into::into).into();
    hook.input = message::ping(&beat.address(moment)?, 10);
    hook.limit = LIMIT;
    Some(Call::new("the heartbeat", hook))
}

/// Where a program is: in `$PATH`, or where `sendmail` is, which users have not in theirs.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |path: &PathBuf| path.is_file() && access(path.as_path(), Access::EXEC_OK).is_ok();
    let mut places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/lib".into()]);
    let found = places.find_map(|place| Some(place.join(name)).filter(is_there));
    found.unwrap_or_else(|| name.into())
}
