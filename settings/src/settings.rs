//! The settings of all files together.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::file::{self, MAX_SIZE};
use crate::known::Known;
use crate::lines::{self, Meaning};
use crate::pattern;
use crate::setting::{For, Origin, Section, Setting};

/// The settings of files, in the order in which they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    settings: Vec<Setting>,
    files: Vec<PathBuf>,
}

impl Settings {
    /// Those of a text, which comes from `file`.
    ///
    /// # Errors
    /// [`ErrorKind::Syntax`]; [`ErrorKind::Unknown`] for a value of a kind that no key takes.
    pub fn parse(text: &str, file: impl Into<PathBuf>) -> Result<Self, Error> {
        let file = file.into();
        Ok(Self {
            settings: file::parse(text, &file)?,
            files: vec![file],
        })
    }

    /// Those of `/etc/PROGRAM/PROGRAM.toml`, of the files in `/etc/PROGRAM/conf.d`, and of the user's own
    /// `PROGRAM/PROGRAM.toml` in the directory for configurations; or of `named` alone, which must be there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn load(program: &str, named: Option<&Path>) -> Result<Self, Error> {
        let mut settings = Self::default();
        if let Some(file) = named {
            settings.read(file, true)?;
            return Ok(settings);
        }
        let file = format!("{program}.toml");
        let system = Path::new("/etc").join(program);
        settings.read(&system.join(&file), false)?;
        settings.read_directory(&system.join("conf.d"))?;
        if let Some(own) = own_directory() {
            settings.read(&own.join(program).join(&file), false)?;
        }
        Ok(settings)
    }

    /// Adds those of `file`, which count more than what is there; nothing if there is no such file, unless it is
    /// needed.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`ErrorKind::Io`].
    pub fn read(&mut self, file: &Path, needed: bool) -> Result<(), Error> {
        let Some(text) = text_of(file, needed)? else {
            return Ok(());
        };
        let mut more = Self::parse(&text, file)?;
        self.settings.append(&mut more.settings);
        self.files.append(&mut more.files);
        Ok(())
    }

    /// Adds those of all files in a directory whose names end in `.toml`, in the order of their names; nothing if
    /// there is no such directory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_directory(&mut self, directory: &Path) -> Result<(), Error> {
        let failed = |error| Error::io(directory, error);
        let entries = match directory.read_dir() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        paths.sort();
        paths.iter().try_for_each(|path| self.read(path, true))
    }

    /// Adds those of another program's `file`, of which each line is `key: value`, before all that is there, so that it
    /// counts less; nothing if there is no such file, unless it is needed. `translate` says what a key and its value
    /// mean: settings, each of a section and a key.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], and [`ErrorKind::Syntax`] for a file that is too long.
    pub fn read_lines(
        &mut self,
        file: &Path,
        needed: bool,
        translate: &dyn Fn(&str, &str) -> Vec<Meaning>,
    ) -> Result<(), Error> {
        let Some(text) = text_of(file, needed)? else {
            return Ok(());
        };
        let settings = lines::parse(&text, file, translate);
        self.settings.splice(0..0, settings);
        self.files.insert(0, file.to_owned());
        Ok(())
    }

    /// The files that were read.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// All settings, in the order in which they were read.
    #[must_use]
    pub fn all(&self) -> &[Setting] {
        &self.settings
    }

    /// That all keys are known.
    ///
    /// # Errors
    /// [`ErrorKind::Unknown`] for the first that is not, with the one that may be meant.
    pub fn check(&self, known: &Known<'_>) -> Result<(), Error> {
        let fault = |setting: &Setting| {
            let fault = known.fault(&setting.section, &setting.key)?;
            Some(Error::at(ErrorKind::Unknown, &setting.origin, &fault))
        };
        self.settings.iter().find_map(fault).map_or(Ok(()), Err)
    }

    /// The guests that have a section of their own and not only a pattern, in the order of the files.
    #[must_use]
    pub fn guests(&self) -> Vec<&str> {
        self.names(|section| match section {
            Section::Guest(name) if !pattern::is_pattern(name) => Some(name),
            _ => None,
        })
    }

    /// The jobs that have a section, in the order of the files.
    #[must_use]
    pub fn jobs(&self) -> Vec<&str> {
        self.names(|section| match section {
            Section::Job(name) => Some(name),
            _ => None,
        })
    }

    /// The stores that have a section, in the order of the files.
    #[must_use]
    pub fn stores(&self) -> Vec<&str> {
        self.names(|section| match section {
            Section::Store(name) => Some(name),
            _ => None,
        })
    }

    /// What a key of a store is set to; what was read last counts.
    #[must_use]
    pub fn of_store(&self, store: &str, key: &str) -> Option<&Setting> {
        let mut settings = self.settings.iter().rev();
        settings.find(|setting| {
            matches!(&setting.section, Section::Store(name) if name == store) && setting.key == key
        })
    }

    fn names<'s>(&'s self, name: impl Fn(&'s Section) -> Option<&'s str>) -> Vec<&'s str> {
        let mut names = Vec::new();
        for name in self.settings.iter().filter_map(|one| name(&one.section)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What holds for a command, and for a guest or a job: one setting for each key, in the order of the keys.
    #[must_use]
    pub fn of<'f>(&self, command: &str, what: impl Into<For<'f>>) -> Vec<&Setting> {
        let what = what.into();
        let mut settings: Vec<_> = self
            .settings
            .iter()
            .filter_map(|setting| Some((setting.section.weight(command, what)?, setting)))
            .collect();
        // The sort is stable: of those that weigh the same, the last was read last.
        settings.sort_by(|(a, one), (b, other)| one.key.cmp(&other.key).then(a.cmp(b)));
        let mut chosen: Vec<&Setting> = Vec::new();
        for (_, setting) in settings {
            match chosen.last_mut().filter(|last| last.key == setting.key) {
                Some(last) => *last = setting,
                None => chosen.push(setting),
            }
        }
        chosen
    }

    /// What a key is set to for a command, and for a guest or a job.
    #[must_use]
    pub fn get<'f>(&self, command: &str, what: impl Into<For<'f>>, key: &str) -> Option<&Setting> {
        let mut settings = self.of(command, what).into_iter();
        settings.find(|setting| setting.key == key)
    }
}

/// Where the user's own configurations are, if that is known.
fn own_directory() -> Option<PathBuf> {
    let absolute = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
}

/// What is in a file; `None` if there is none, unless it is needed.
fn text_of(file: &Path, needed: bool) -> Result<Option<String>, Error> {
    let text = match read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => return Ok(None),
        text => text.map_err(|error| Error::io(file, error))?,
    };
    if text.len() as u64 > MAX_SIZE {
        let (file, line) = (file.to_owned(), 1);
        let message = "this file is longer than 1 MiB";
        return Err(Error::at(
            ErrorKind::Syntax,
            &Origin { file, line },
            message,
        ));
    }
    Ok(Some(text))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(MAX_SIZE.saturating_add(1))
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Settings {
        Settings::parse(text, "f").unwrap()
    }

    fn known() -> Known<'static> {
        let keys = &["compress", "to", "max-depth", "verify", "exclude"];
        Known::new(&["state-dir"])
            .with_command("backup", keys)
            .with_guests(keys)
    }

    fn refused(text: &str) -> String {
        let checked = Settings::parse(text, "f").and_then(|settings| settings.check(&known()));
        checked.unwrap_err().to_string()
    }

    #[test]
    fn what_is_said_of_a_guest_counts_most_and_later_more_than_before() {
        let settings = parse(
            "to = 'all'\n[guest.'w*']\nto = 'w'\n[guest.web]\nto = 'web'\n[backup]\nto = 'backup'\n\
             compress = 'none'\n",
        );
        let to = |command, guest| {
            let setting = settings.get(command, guest, "to").unwrap();
            format!("{} {}", setting.values().join(","), setting.origin())
        };
        assert_eq!(to("list", None), "all f:1");
        assert_eq!(to("backup", None), "backup f:7");
        assert_eq!(to("backup", Some("db")), "backup f:7");
        assert_eq!(to("backup", Some("wiki")), "w f:3");
        assert_eq!(to("backup", Some("web")), "web f:5");
        let keys = settings.of("backup", Some("web"));
        let keys: Vec<_> = keys.iter().map(|setting| setting.key()).collect();
        assert_eq!(keys, ["compress", "to"]);
    }

    #[test]
    fn a_job_has_its_section_and_guests_are_those_with_a_name() {
        let settings = parse(
            "[run]\njobs = 1\n[job.night]\njobs = 2\n[guest.'w*']\nto = 'w'\n[guest.web]\nto = 'web'\n[guest.7]\nto = 'x'\n",
        );
        let jobs = |what| settings.get("run", what, "jobs").unwrap().values();
        assert_eq!(jobs(For::Job("night")), ["2"]);
        assert_eq!(jobs(For::Job("noon")), ["1"]);
        assert_eq!(jobs(For::Command), ["1"]);
        assert_eq!(settings.guests(), ["web", "7"]);
        assert_eq!(settings.jobs(), ["night"]);
        let known = Known::new(&[]).with_guests(&["to"]).with_jobs(&["jobs"]);
        let fault = Settings::parse("[job.a]\nto = 'x'\n", "f").and_then(|one| one.check(&known));
        assert_eq!(
            fault.unwrap_err().to_string(),
            "f:2: there is no key \"to\""
        );
    }

    #[test]
    fn lines_of_another_programs_file_count_least() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vzdump.conf");
        std::fs::write(&file, "# to: x\nto: /a:b\n\nverify : 1\nodd\n").unwrap();
        let mut settings = parse("[backup]\nverify = false\n");
        let translate = |key: &str, value: &str| {
            let section = Section::Command("backup".to_owned());
            vec![(section, key.to_owned(), value.to_owned())]
        };
        settings.read_lines(&file, true, &translate).unwrap();
        let get = |key| settings.get("backup", None, key).unwrap();
        assert_eq!(get("to").values(), ["/a:b"]);
        assert_eq!(
            get("to").origin().to_string(),
            format!("{}:2", file.display())
        );
        assert_eq!(get("verify").values(), ["false"]);
        assert_eq!(settings.all().len(), 3);
        let none = dir.path().join("none");
        settings.read_lines(&none, false, &translate).unwrap();
        settings.read_lines(&none, true, &translate).unwrap_err();
    }

    #[test]
    fn values_are_texts_numbers_switches_and_lists() {
        let settings = parse("[backup]\nmax-depth = 0x10\nverify = true\nexclude = ['a', \"b\"]\n");
        let values = |key| settings.get("backup", None, key).unwrap().values();
        assert_eq!(values("max-depth"), ["16"]);
        assert_eq!(values("verify"), ["true"]);
        assert_eq!(values("exclude"), ["a", "b"]);
        assert!(settings.check(&known()).is_ok());
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_may_be_meant() {
        for (text, message) in [
            (
                "\n[backup]\ncompres = 'x'\n",
                "f:3: there is no key \"compres\"; is \"compress\" meant?",
            ),
            (
                "[bakcup]\nto = 'x'\n",
                "f:2: there is no section \"bakcup\"; is \"backup\" meant?",
            ),
            (
                "statedir = 'x'",
                "f:1: there is no key \"statedir\"; is \"state-dir\" meant?",
            ),
            ("[guest.a]\nqqq = 1", "f:2: there is no key \"qqq\""),
            (
                "[guest]\na = 1",
                "f:2: \"a\" is no guest: write [guest.\"a\"]",
            ),
            (
                "[backup]\nto = { a = 1 }",
                "f:2: \"to\" takes a text, a number, true or false, or a list of them",
            ),
        ] {
            assert_eq!(refused(text), message);
        }
        let broken = refused("[backup]\nto = \n");
        assert!(broken.starts_with("f:2: "), "{broken}");
        assert!(refused("'\u{1b}[2J' = 1").starts_with("f:1: "));
        assert!(!refused("\"\\u001b[2J\" = 1").contains('\u{1b}'));
    }

    #[test]
    fn files_count_in_their_order_and_one_that_is_missing_may_be_needed() {
        let dir = tempfile::tempdir().unwrap();
        let (main, more) = (dir.path().join("main.toml"), dir.path().join("conf.d"));
        std::fs::create_dir(&more).unwrap();
        std::fs::write(&main, "to = 'main'\n").unwrap();
        for (name, text) in [
            ("2.toml", "to = 'two'\n"),
            ("1.toml", "to = 'one'\n"),
            ("3.txt", "["),
        ] {
            std::fs::write(more.join(name), text).unwrap();
        }
        let mut settings = Settings::default();
        settings.read(&main, true).unwrap();
        settings.read_directory(&more).unwrap();
        settings.read_directory(&dir.path().join("none")).unwrap();
        settings.read(&dir.path().join("none"), false).unwrap();
        assert_eq!(settings.get("x", None, "to").unwrap().values(), ["two"]);
        assert_eq!(settings.files().len(), 3);
        let missing = settings.read(&dir.path().join("none"), true).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Io);
        std::fs::write(&main, "#".repeat((1 << 20) + 1)).unwrap();
        let long = Settings::default().read(&main, true).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::Syntax);
    }
}
