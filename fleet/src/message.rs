//! Word of how something went, to people: a mail for `sendmail`, and a request for `curl`.

use fleece_plain_text::{lines, words};
use serde_json::Value;

/// The longest line of a mail, in bytes (RFC 5322, 2.1.1, less what a line may grow by).
const MAX_LINE: usize = 900;

/// The longest text of a mail, in bytes. Proxmox's end here, too.
const MAX_TEXT: usize = 1 << 20;

/// A mail as `sendmail -t` reads it. The subject has only ASCII, and neither it nor the address can begin another
/// header.
#[must_use]
pub fn mail(to: &str, subject: &str, text: &str) -> Vec<u8> {
    let plain = |text: &str| -> String {
        let text = words(text);
        text.chars()
            .map(|c| if c.is_ascii() { c } else { '?' })
            .collect()
    };
    let mut mail = format!(
        "To: {}\nSubject: {}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\
         Content-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n\n",
        plain(to),
        plain(subject)
    );
    let end = mail.len().saturating_add(MAX_TEXT);
    for line in lines(text).lines() {
        let mut rest = line;
        loop {
            let end = (0..=MAX_LINE.min(rest.len())).rev();
            let end = end.into_iter().find(|&at| rest.is_char_boundary(at));
            let (part, more) = rest.split_at(end.unwrap_or(rest.len()));
            mail.push_str(part);
            mail.push('\n');
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        if mail.len() > end {
            mail.push_str("[what follows is left out]\n");
            break;
        }
    }
    mail.into_bytes()
}

/// A configuration of `curl` that asks for this address, and for nothing of what it answers.
#[must_use]
pub fn ping(url: &str, seconds: u64) -> Vec<u8> {
    let rest = format!("retry = 2\n{}", how(seconds));
    format!("url = \"{}\"\n{rest}", quoted(&address(url))).into_bytes()
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn address(url: &str) -> String {
    url.chars().filter(|c| !c.is_control()).collect()
}

fn how(seconds: u64) -> String {
    format!("fail\nsilent\nshow-error\ngloboff\nmax-time = {seconds}\noutput = \"/dev/null\"\n")
}

/// A configuration of `curl`, for its standard input, that posts this object: so neither is in the list of processes.
#[must_use]
pub fn request(url: &str, object: &Value, seconds: u64) -> Vec<u8> {
    format!(
        "url = \"{}\"\nheader = \"Content-Type: application/json\"\ndata-raw = \"{}\"\n{}",
        quoted(&address(url)),
        quoted(&object.to_string()),
        how(seconds)
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mail_has_the_headers_that_it_should_have_and_no_others() {
        let long = "ä".repeat(2000);
        let mail = mail(
            "root\nBcc: a@b",
            "gu\u{e4}st\nBcc: c@d",
            &format!("a\n.\n{long}\n\u{1b}[2J"),
        );
        let mail = String::from_utf8(mail).unwrap();
        let (headers, text) = mail.split_once("\n\n").unwrap();
        assert_eq!(headers.lines().count(), 6, "{headers}");
        assert!(
            headers.is_ascii() && !headers.contains("\nBcc"),
            "{headers}"
        );
        assert!(text.starts_with("a\n.\nä"));
        assert!(mail.lines().all(|line| line.len() <= MAX_LINE));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_request_is_quoted_as_curl_reads_it() {
        let config = request("http://h/\n\"x", &json!({"a": "\"\\"}), 30);
        let config = String::from_utf8(config).unwrap();
        assert!(config.starts_with("url = \"http://h/\\\"x\"\n"), "{config}");
        assert!(
            config.contains(r#"data-raw = "{\"a\":\"\\\"\\\\\"}""#),
            "{config}"
        );
        assert_eq!(config.lines().count(), 9, "{config}");
    }
}
