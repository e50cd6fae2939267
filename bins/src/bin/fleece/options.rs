//! Options that the command line does not give: from the environment, and from the configuration.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind::{InvalidValue, TooManyValues, ValueValidation};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use fleece_backup_core::{Error, ErrorKind};
use fleece_bins::stores;
use fleece_settings::{For, Known, Section, Settings};

use crate::cli::Cli;
use crate::vzdump;

/// The commands for which a guest's section of the configuration holds.
const OF_GUESTS: [&str; 2] = ["backup", "cleanup"];

/// Proxmox's own configuration of backups.
const VZDUMP_CONF: &str = "/etc/vzdump.conf";

/// The command for which a job's section holds.
const RUN: &str = "run";

/// An option that was set, and where.
pub(crate) struct Set {
    pub(crate) option: String,
    pub(crate) values: Vec<String>,
    pub(crate) origin: String,
    /// Whether the option takes no value.
    is_switch: bool,
}

/// The command line of this process, with what it leaves to the environment and the configuration.
///
/// Ends the process if the command line makes no sense, or asks for help.
pub(crate) fn parse() -> Result<Cli, Error> {
    let (set, parsed) = parse_line(std::env::args_os().collect())?;
    parsed.or_else(|error| {
        let _ = error.print();
        for note in origins(&set, &error) {
            eprintln!("note: {note}");
        }
        std::process::exit(error.exit_code())
    })
}

/// The same with one argument more at its end, and with what is left out for the guest that is named then.
pub(crate) fn parse_with(argument: &str) -> Result<Cli, Error> {
    let more = std::iter::once(argument.into());
    let (set, parsed) = parse_line(std::env::args_os().chain(more).collect())?;
    parsed.map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first).to_owned();
        let parts = std::iter::once(first).chain(origins(&set, &error));
        Error::new(ErrorKind::Request, parts.collect::<Vec<_>>().join("; "))
    })
}

/// Where the options come from that an error names.
fn origins(set: &[Set], error: &clap::Error) -> impl Iterator<Item = String> {
    let text = error.to_string();
    let set = set.iter().filter(move |set| text.contains(&set.flag()));
    set.map(|set| format!("{} comes from {}", set.flag(), set.origin))
}

type Parsed = (Vec<Set>, Result<Cli, clap::Error>);

fn parse_line(mut arguments: Vec<OsString>) -> Result<Parsed, Error> {
    let mut set = Vec::new();
    if let Some((at, name, given)) = subcommand(&arguments)
        // The configuration must be right for everything but the look at it.
        && name != "config"
    {
        let guest = guest_or_job(&name, &given);
        let settings = load()?;
        stores::configure(&settings)?;
        set = options(&settings, &name, guest.as_deref(), &given)?;
        let at = at.saturating_add(1);
        arguments.splice(at..at, set.iter().flat_map(Set::arguments));
    }
    let matches = Cli::command().try_get_matches_from(arguments);
    let parsed = matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    Ok((set, parsed))
}

/// The settings of all files, whose keys are all known.
pub(crate) fn load() -> Result<Settings, Error> {
    let named = std::env::var_os("FLEECE_CONFIG").map(PathBuf::from);
    let failed = |error| Error::caused(ErrorKind::Request, "cannot use the configuration", error);
    let mut settings = Settings::load("fleece", named.as_deref()).map_err(failed)?;
    let proxmox = std::env::var_os("FLEECE_VZDUMP_CONF").map(PathBuf::from);
    let is_needed = proxmox.is_some();
    // With a file that is named, that alone counts.
    let proxmox = proxmox.or_else(|| named.is_none().then(|| VZDUMP_CONF.into()));
    if let Some(file) = proxmox {
        let read = settings.read_lines(&file, is_needed, &vzdump::translate);
        read.map_err(failed)?;
    }
    let command = Cli::command();
    let all: Vec<&str> = names(&command, true).collect();
    let mut known = Known::new(&all);
    for command in command.get_subcommands() {
        let keys: Vec<&str> = names(command, false).collect();
        known = known.with_command(command.get_name(), &keys);
        match command.get_name() {
            "backup" => known = known.with_guests(&keys),
            RUN => known = known.with_jobs(&keys),
            _ => {}
        }
    }
    known = known.with_stores(stores::KEYS);
    settings.check(&known).map_err(failed)?;
    Ok(settings)
}

/// What the environment and the configuration set of a command's options, for a guest or a job, but for those that are
/// given, and those that what is given excludes.
pub(crate) fn options(
    settings: &Settings,
    command: &str,
    guest_or_job: Option<&str>,
    given: &ArgMatches,
) -> Result<Vec<Set>, Error> {
    let mut all = Cli::command();
    all.build();
    let Some(command) = all.find_subcommand(command) else {
        return Ok(Vec::new());
    };
    let what = match (command.get_name(), guest_or_job) {
        (RUN, Some(job)) => For::Job(job),
        (name, Some(guest)) if OF_GUESTS.contains(&name) => For::Guest(guest),
        _ => For::Command,
    };
    let is_given = |arg: &&Arg| {
        let source = given.try_contains_id(arg.get_id().as_str());
        matches!(source, Ok(true))
            && given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let given: Vec<&Arg> = command.get_arguments().filter(is_given).collect();
    let excludes = |one: &Arg, other: &Arg| {
        let conflicts = command.get_arg_conflicts_with(one);
        conflicts.iter().any(|arg| arg.get_id() == other.get_id())
    };
    let is_open = |arg: &Arg| {
        !given.iter().any(|given| {
            given.get_id() == arg.get_id() || excludes(given, arg) || excludes(arg, given)
        })
    };
    let found = settings.of(command.get_name(), what);
    let mut set = Vec::new();
    for arg in command.get_arguments().filter(|arg| is_open(arg)) {
        let Some(option) = arg.get_long().filter(|name| !is_everywhere(name)) else {
            continue;
        };
        let variable = variable(command, arg, option);
        let (values, origin) = match environment(&variable)? {
            Some(value) => (vec![value], variable),
            None => match found.iter().find(|setting| setting.key() == option) {
                Some(setting) => (setting.values().to_vec(), setting.origin().to_string()),
                None => continue,
            },
        };
        let option = option.to_owned();
        set.extend(Set::new(arg, option, values, origin)?);
    }
    Ok(set)
}

/// What an option of `fleece backup` is set to for all guests.
pub(crate) fn value(settings: &Settings, option: &str) -> Result<Option<String>, Error> {
    let set = options(settings, "backup", None, &ArgMatches::default())?;
    let set = set.into_iter().find(|set| set.option == option);
    Ok(set.and_then(|set| set.values.into_iter().next()))
}

/// What is wrong with the values of the configuration, each with its line.
pub(crate) fn faults(settings: &Settings) -> Vec<String> {
    let command = Cli::command();
    let mut faults = Vec::new();
    for setting in settings.all() {
        let name = match setting.section() {
            Section::Command(name) => name,
            Section::Guest(_) => "backup",
            Section::Job(_) => RUN,
            _ => "list",
        };
        let in_section = command.find_subcommand(name).unwrap_or(&command);
        let all = in_section.get_arguments().chain(command.get_arguments());
        let Some(arg) = all
            .into_iter()
            .find(|arg| arg.get_long() == Some(setting.key()))
        else {
            continue;
        };
        let origin = setting.origin().to_string();
        let set = Set::new(arg, setting.key().into(), setting.values().to_vec(), origin);
        let arguments = match &set {
            Ok(set) => set.iter().flat_map(Set::arguments).collect(),
            Err(error) => {
                faults.push(error.to_string());
                Vec::new()
            }
        };
        let line = ["fleece".into(), name.into()].into_iter().chain(arguments);
        // What is missing elsewhere on that line is nobody's fault.
        if let Err(error) = command.clone().try_get_matches_from(line)
            && matches!(error.kind(), InvalidValue | TooManyValues | ValueValidation)
        {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            let first = first.strip_prefix("error: ").unwrap_or(first);
            faults.push(format!("{}: {first}", setting.origin()));
        }
    }
    faults
}

impl Set {
    /// A switch that is off is as one that is not there.
    fn new(
        arg: &Arg,
        option: String,
        values: Vec<String>,
        origin: String,
    ) -> Result<Option<Self>, Error> {
        let set = Self {
            option,
            values,
            origin,
            is_switch: matches!(arg.get_action(), ArgAction::SetTrue),
        };
        if !set.is_switch {
            // Nobody to encrypt for is no wish for an archive in clear.
            if set.values.is_empty() && matches!(set.option.as_str(), "encrypt-to" | "recipients") {
                let message = format!("{}: {} names nobody", set.origin, set.option);
                return Err(Error::new(ErrorKind::Request, message));
            }
            return Ok(Some(set));
        }
        match set.values.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["true" | "yes" | "1"] => Ok(Some(set)),
            ["false" | "no" | "0" | ""] => Ok(None),
            _ => {
                let message = format!("{}: {} takes true or false", set.origin, set.option);
                Err(Error::new(ErrorKind::Request, message))
            }
        }
    }

    fn flag(&self) -> String {
        format!("--{}", self.option)
    }

    fn arguments(&self) -> Vec<OsString> {
        if self.is_switch {
            return vec![self.flag().into()];
        }
        let values = self.values.iter();
        values
            .map(|value| format!("--{}={value}", self.option).into())
            .collect()
    }
}

/// Where the name of a subcommand is, the name, and what it is given.
fn subcommand(arguments: &[OsString]) -> Option<(usize, String, ArgMatches)> {
    let lenient = Cli::command().ignore_errors(true);
    let parse = |arguments: &[OsString]| lenient.clone().try_get_matches_from(arguments).ok();
    let (name, given) = parse(arguments)?.remove_subcommand()?;
    let at = (1..arguments.len()).find(|&at| {
        let before = arguments.get(..=at).and_then(parse);
        before.is_some_and(|before| before.subcommand_name().is_some())
    })?;
    Some((at, name, given))
}

/// The guest or the job that is named.
fn guest_or_job(command: &str, given: &ArgMatches) -> Option<String> {
    let ids: &[&str] = match command {
        RUN => &["job"],
        _ => &["guest", "vmid", "name", "libvirt"],
    };
    ids.iter().find_map(|id| {
        let mut values = given.try_get_raw(id).ok()??;
        Some(values.next()?.to_string_lossy().into_owned())
    })
}

/// What a variable is set to, if it is not empty.
fn environment(variable: &str) -> Result<Option<String>, Error> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    value.map(OsString::into_string).transpose().map_err(|_| {
        let message = format!("{variable} is not UTF-8");
        Error::new(ErrorKind::Request, message)
    })
}

/// The names of a command's options, those of all commands or its own.
fn names(command: &Command, global: bool) -> impl Iterator<Item = &str> {
    let own = command.get_arguments();
    let own = own.filter(move |arg| arg.is_global_set() == global && !arg.is_hide_set());
    own.filter_map(Arg::get_long)
        .filter(|name| !is_everywhere(name))
}

/// Options that say what to print, and no more.
fn is_everywhere(name: &str) -> bool {
    matches!(name, "help" | "version" | "json" | "quiet")
}

/// `FLEECE_BACKUP_TO` for `--to` of `fleece backup`, `FLEECE_STATE_DIR` for what all commands have.
fn variable(command: &Command, arg: &Arg, option: &str) -> String {
    let name = match arg.is_global_set() {
        true => format!("fleece-{option}"),
        false => format!("fleece-{}-{option}", command.get_name()),
    };
    name.replace('-', "_").to_uppercase()
}
