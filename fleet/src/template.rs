//! Notes with variables, as Proxmox's `notes-template` has them.

/// What variables stand for.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Variables<'a> {
    /// `{{guestname}}`: what the guest is called.
    pub guestname: &'a str,
    /// `{{node}}`: the name of this host.
    pub node: &'a str,
    /// `{{vmid}}`: the guest's number or name.
    pub vmid: &'a str,
    /// `{{cluster}}`: the name of the cluster, or `standalone node`.
    pub cluster: &'a str,
}

/// The longest template, in characters.
const MAX: usize = 1024;

const NAMES: [&str; 4] = ["cluster", "guestname", "node", "vmid"];

/// The text of a template: `\n` and `\\` are a line's end and a backslash, and what is in double braces is a variable.
/// The values are taken as they are.
///
/// # Errors
/// What is wrong: an unknown variable or escape, or a text that is too long.
pub fn expand(template: &str, variables: &Variables<'_>) -> Result<String, String> {
    if template.chars().count() > MAX {
        return Err(format!("notes have at most {MAX} characters"));
    }
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['\\', '{']) {
        let (plain, special) = rest.split_at(at);
        text.push_str(plain);
        if let Some(after) = special.strip_prefix("{{") {
            let (name, after) = after.split_once("}}").ok_or("a variable ends with }}")?;
            text.push_str(match name.trim() {
                "guestname" => variables.guestname,
                "node" => variables.node,
                "vmid" => variables.vmid,
                "cluster" => variables.cluster,
                name => {
                    let known = NAMES.join(", ");
                    return Err(format!("there is no variable {name:?}, only {known}"));
                }
            });
            rest = after;
        } else if let Some(after) = special.strip_prefix("\\n") {
            text.push('\n');
            rest = after;
        } else if let Some(after) = special.strip_prefix("\\\\") {
            text.push('\\');
            rest = after;
        } else if special.starts_with('\\') {
            return Err("a backslash is written \\\\, and a line's end \\n".to_owned());
        } else {
            text.push('{');
            rest = special.get(1..).unwrap_or_default();
        }
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(template: &str) -> Result<String, String> {
        let mut variables = Variables::default();
        (variables.guestname, variables.node) = ("we{{b}}\\n", "pve1");
        (variables.vmid, variables.cluster) = ("100", "standalone node");
        expand(template, &variables)
    }

    #[test]
    fn variables_and_escapes_are_replaced_and_values_are_taken_as_they_are() {
        let text = expanded("{{guestname}} {x} on {{ node }}\\n{{vmid}}, {{cluster}} \\\\n");
        let expected = "we{{b}}\\n {x} on pve1\n100, standalone node \\n";
        assert_eq!(text.as_deref(), Ok(expected));
        assert_eq!(expanded("plain").as_deref(), Ok("plain"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(expanded("{{nam}}").unwrap_err().contains("guestname"));
        assert!(expanded("{{node").is_err());
        assert!(expanded("a\\t").is_err());
        assert!(expanded(&"x".repeat(1025)).is_err());
    }
}
