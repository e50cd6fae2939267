//! The record of fleecing images: `[special:fleecing]` with one key, `fleecing-images`.

use crate::config::GuestConfig;
use crate::error::{Error, ErrorKind};

const SECTION: &str = "special:fleecing";
const KEY: &str = "fleecing-images";

impl GuestConfig {
    /// The volume ids of the fleecing images on record for this guest.
    pub fn fleecing_images(&self) -> Vec<String> {
        let list = self
            .section(SECTION)
            .and_then(|section| section.get(KEY))
            .unwrap_or("");
        list.split(is_separator)
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Puts `images` on record in place of what was there. An empty list removes the section.
    ///
    /// # Errors
    ///
    /// `InvalidValue` for an id that is empty or contains what separates ids in a list: blanks,
    /// commas, semicolons.
    pub fn set_fleecing_images<S: AsRef<str>>(&mut self, images: &[S]) -> Result<(), Error> {
        if images.is_empty() {
            self.remove_section(SECTION);
            return Ok(());
        }
        let images: Vec<&str> = images.iter().map(AsRef::as_ref).collect();
        if let Some(id) = images
            .iter()
            .find(|id| id.is_empty() || id.contains(is_separator))
        {
            let message =
                format!("the volume id {id:?} cannot be recorded: it contains a blank, ',' or ';'");
            return Err(Error::new(ErrorKind::InvalidValue, message));
        }
        self.section_mut_or_insert(SECTION)?
            .set(KEY, &images.join(","))
    }
}

/// What separates the items of a list for Proxmox.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | '\0')
}

#[cfg(test)]
mod tests {
    use crate::config::GuestConfig;
    use crate::error::ErrorKind;

    const TEXT: &str =
        "name: a\n\n[PENDING]\nmemory: 1\n\n[special:cloudinit]\nname: b\n\n[snap]\nname: c\n";

    #[test]
    fn the_record_stands_between_special_sections_and_snapshots_and_leaves_no_trace() {
        let mut config = GuestConfig::parse(TEXT).unwrap();
        config
            .set_fleecing_images(&["a:vm-1-fleece-0", "/d/vm-1-fleece-1.raw"])
            .unwrap();
        assert_eq!(
            config.fleecing_images(),
            ["a:vm-1-fleece-0", "/d/vm-1-fleece-1.raw"]
        );
        let with = TEXT.replace(
            "\n[snap]",
            "\n[special:fleecing]\nfleecing-images: a:vm-1-fleece-0,/d/vm-1-fleece-1.raw\n\n[snap]",
        );
        assert_eq!(config.to_string(), with);
        assert_eq!(
            GuestConfig::parse(&with).unwrap().fleecing_images().len(),
            2
        );

        config.set_fleecing_images::<&str>(&[]).unwrap();
        assert_eq!(config.to_string(), TEXT);
    }

    #[test]
    fn ids_that_a_list_cannot_hold_are_refused() {
        for id in ["", "a b", "a,b", "a;b", "a\nb"] {
            let mut config = GuestConfig::parse(TEXT).unwrap();
            let error = config.set_fleecing_images(&[id]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValue, "{id:?}");
            assert_eq!(config.to_string(), TEXT);
        }
    }

    #[test]
    fn lists_with_other_separators_are_read() {
        let text = "[special:fleecing]\nfleecing-images: a:b; c:d  e:f,\n";
        assert_eq!(
            GuestConfig::parse(text).unwrap().fleecing_images(),
            ["a:b", "c:d", "e:f"]
        );
    }
}
