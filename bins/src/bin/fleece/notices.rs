//! Word of how it went: to commands of the administrator's, by mail, and to a web server.

use std::path::PathBuf;
use std::time::Duration;

use fleece_fleet::{Hook, message};
use rustix::fs::{Access, access};
use serde_json::Value;

use crate::cli::hooks::{Hooks, When};
use crate::log::Log;
use fleece_bins::advice::chain;

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

/// Tells all who want to know; what fails is told as a warning. Returns how many did.
pub(crate) fn send(arguments: &Hooks, notice: &Notice<'_>, log: &Log) -> usize {
    let is_trouble = notice.exit_code != 0;
    let mut calls = Vec::new();
    for command in [
        arguments.on_end.as_ref(),
        arguments.on_failure.as_ref().filter(|_| is_trouble),
    ]
    .into_iter()
    .flatten()
    {
        let mut hook = Hook::new("sh");
        hook.arguments = vec!["-c".into(), command.into()];
        hook.input = format!("{}\n", notice.object).into_bytes();
        let code = notice.exit_code.to_string().into();
        hook.environment.push(("FLEECE_EXIT_CODE".into(), code));
        hook.limit = arguments.hook_timeout;
        calls.push((format!("the command {command:?}"), hook));
    }
    if is_trouble || arguments.notify == When::Always {
        for address in &arguments.mail_to {
            let mut hook = Hook::new(program("sendmail"));
            hook.arguments = ["-t", "-oi"].map(Into::into).into();
            hook.input = message::mail(address, notice.subject, notice.text);
            hook.limit = LIMIT;
            calls.push((format!("the mail to {address}"), hook));
        }
        if let Some(url) = &arguments.webhook {
            let mut hook = Hook::new(program("curl"));
            hook.arguments = ["--config", "-"].map(Into::into).into();
            hook.input = message::request(url, notice.object, 30);
            hook.limit = LIMIT;
            calls.push(("the webhook".to_owned(), hook));
        }
    }
    let mut failed = 0_usize;
    for (what, hook) in calls {
        let mut tell = |line: &str| log.info(line);
        if let Err(error) = hook.call(&mut tell, &|| false) {
            log.warning(&format!("{what}: {}", chain(&error)));
            failed = failed.saturating_add(1);
        }
    }
    failed
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
