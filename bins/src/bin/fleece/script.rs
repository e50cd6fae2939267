//! A hook program that is called as Proxmox's `vzdump` calls its script.

use std::ffi::OsString;
use std::path::Path;

use fleece_backup_core::dump::storage_id;
use fleece_backup_core::{CancelToken, Error, ErrorKind, Storages};
use fleece_fleet::Hook;
use serde_json::{Value, json};

use crate::cli::hooks::Hooks;
use crate::log::Log;
use fleece_bins::events;

/// Phases whose failure is told and no more: what they are for has ended already.
const ONLY_TOLD: [&str; 3] = ["job-abort", "backup-abort", "log-end"];

/// The program, if there is one, and what it is told of in all phases.
pub(crate) struct Script<'a> {
    hook: Option<Hook>,
    about: Value,
    log: &'a Log,
    cancel: &'a CancelToken,
}

impl<'a> Script<'a> {
    /// The one that is asked for, for backups to `to`, of `job` if that has a name.
    pub(crate) fn new(
        arguments: &Hooks,
        to: Option<&Path>,
        storages: &Storages,
        job: Option<&str>,
        (log, cancel): (&'a Log, &'a CancelToken),
    ) -> Self {
        let hook = arguments.script.as_ref().map(|program| {
            // As written, not as found in $PATH.
            let mut hook =
                Hook::new(std::path::absolute(program).unwrap_or_else(|_| program.clone()));
            hook.is_bare = true;
            hook.limit = arguments.hook_timeout;
            if let Some(to) = to {
                hook.environment.push(match storage_id(to, storages) {
                    Some(id) => ("STOREID".into(), id.into()),
                    None => ("DUMPDIR".into(), to.into()),
                });
            }
            hook
        });
        let about = json!({ "job": job, "target": to });
        Self {
            hook,
            about,
            log,
            cancel,
        }
    }

    /// The same about a guest: its name, where its archive goes, and how it comes to the point in time.
    pub(crate) fn about(
        mut self,
        guest: &str,
        (name, archive, mode): (Option<&str>, Option<&Path>, &str),
    ) -> Self {
        self.about = events::with(
            self.about,
            json!({ "guest": guest, "name": name, "archive": archive, "mode": mode }),
        );
        if let Some(hook) = &mut self.hook {
            let log = archive.map(|archive| {
                let name = archive.file_name().unwrap_or_default().to_string_lossy();
                let stem = name.split_once(".vma").map_or(&*name, |(stem, _)| stem);
                archive.with_file_name(format!("{stem}.log"))
            });
            let target = archive.map_or_else(|| OsString::from("-"), Into::into);
            for (key, value) in [
                ("VMTYPE", Some("qemu".into())),
                ("HOSTNAME", Some(name.unwrap_or(guest).into())),
                ("TARGET", Some(target)),
                ("LOGFILE", log.map(Into::into)),
            ] {
                hook.environment
                    .extend(value.map(|value| (key.to_owned(), value)));
            }
        }
        self
    }

    /// Calls it in a phase of the job.
    pub(crate) fn job(&self, phase: &str) -> Result<(), Error> {
        self.call(phase, &[], json!({}))
    }

    /// Calls it in a phase of the guest's backup, with how that went as far as it is known.
    pub(crate) fn guest(&self, phase: &str, result: Value) -> Result<(), Error> {
        let word = |key| self.about.get(key).and_then(Value::as_str);
        let arguments = [word("mode"), word("guest")].map(Option::unwrap_or_default);
        self.call(phase, &arguments, result)
    }

    fn call(&self, phase: &str, arguments: &[&str], more: Value) -> Result<(), Error> {
        let Some(hook) = &self.hook else {
            return Ok(());
        };
        let mut hook = hook.clone();
        hook.arguments = [&[phase], arguments]
            .concat()
            .iter()
            .map(Into::into)
            .collect();
        let input = events::with(self.about.clone(), more);
        let input = events::with(input, json!({ "phase": phase }));
        hook.input = format!("{input}\n").into_bytes();
        let only_told = ONLY_TOLD.contains(&phase);
        let mut tell = |line: &str| self.log.info(line);
        // What is only told has its time even if the job is to end.
        let stop = || !only_told && self.cancel.reason().is_some();
        match hook.call(&mut tell, &stop) {
            Ok(()) => Ok(()),
            Err(error) if only_told => {
                let error = Error::caused(ErrorKind::Hook, "a hook has failed", error);
                self.log.warning(&error.chain());
                Ok(())
            }
            Err(_) if self.cancel.reason().is_some() => {
                let reason = self.cancel.reason();
                Err(reason.map_or_else(
                    || Error::new(ErrorKind::Internal, "cancelled without a reason"),
                    Error::cancelled,
                ))
            }
            Err(error) => Err(Error::caused(ErrorKind::Hook, "a hook has failed", error)),
        }
    }
}
