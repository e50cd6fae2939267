//! The style of the page, and the pictures of the states.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::figures::State;

/// The text of the page's only style element.
pub(crate) const STYLE: &str = concat!(
    include_str!("page/colours.css"),
    include_str!("page/page.css"),
    include_str!("page/chart.css")
);

/// What the page may load and run: nothing but this style. A browser refuses whatever else somebody managed to get into
/// it.
pub(crate) fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

/// The pictures, which [`icon`] refers to. They differ in shape, not only in colour.
pub(crate) fn symbols() -> Markup {
    let shapes = [
        (
            State::Sound,
            r#"<circle cx="8" cy="8" r="5.5" fill="currentColor"/>"#,
        ),
        (
            State::Unverified,
            r#"<circle cx="8" cy="8" r="4.6" fill="none" stroke="currentColor" stroke-width="1.8"/>"#,
        ),
        (
            State::Warning,
            r#"<path d="M8 2.2 14.2 13H1.8Z" fill="currentColor" stroke="currentColor" stroke-linejoin="round"/>"#,
        ),
        (
            State::Failed,
            r#"<path d="M3.4 3.4l9.2 9.2M12.6 3.4l-9.2 9.2" stroke="currentColor" stroke-width="2.8" stroke-linecap="round"/>"#,
        ),
        (
            State::Missing,
            r#"<rect x="2.8" y="2.8" width="10.4" height="10.4" rx="2" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2.6 2.6"/>"#,
        ),
        (
            State::Removed,
            r#"<circle cx="8" cy="8" r="2" fill="currentColor"/>"#,
        ),
    ];
    html! {
        svg class="symbols" aria-hidden="true" {
            @for (state, shape) in shapes {
                // Ours, from above.
                symbol id={ "i-" (state.word()) } viewBox="0 0 16 16" { (PreEscaped(shape)) }
            }
        }
    }
}

/// The picture of a state; what it means is said beside it.
pub(crate) fn icon(state: State) -> Markup {
    html! {
        svg class={ "i " (state.word()) } aria-hidden="true" { use href={ "#i-" (state.word()) } {} }
    }
}
