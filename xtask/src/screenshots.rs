//! `cargo xtask screenshots`: the page of thirty nights as a browser shows it, for the documentation.

use std::fs;

use crate::run::{Outcome, Run, has, workspace};

/// Widths and heights of windows.
const WINDOWS: [(&str, &str); 2] = [("desktop", "1280,1500"), ("phone", "390,1500")];

/// Lets the test of thirty nights leave its page and what was said, and puts pictures of the page into `docs/pictures`.
pub(crate) fn take() -> Outcome {
    for program in ["chromium", "pngquant"] {
        if !has(program) {
            return Err(format!("{program} is missing"));
        }
    }
    let nights = workspace().join("target/thirty-nights");
    let pictures = workspace().join("docs/pictures");
    for folder in [&nights, &pictures] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let test = [
        "test",
        "--package=fleece-bins",
        "--all-features",
        "--test=thirty_nights",
    ];
    Run::cargo(&test)
        .env("FLEECE_KEEP", nights.as_os_str())
        .quietly()?;
    let page = nights.join("page.html").display().to_string();
    let profile = format!("--user-data-dir={}", nights.join("profile").display());
    for (name, size) in WINDOWS {
        let picture = pictures
            .join(format!("report-{name}.png"))
            .display()
            .to_string();
        Run::new(
            "chromium",
            &[
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                &profile,
                &format!("--window-size={size}"),
                &format!("--screenshot={picture}"),
                &page,
            ],
        )
        .quietly()?;
        let small = [
            "--force",
            "--ext=.png",
            "--strip",
            "--speed=1",
            "32",
            &picture,
        ];
        Run::new("pngquant", &small).quietly()?;
    }
    Ok(format!(
        "written to {}; what was said is in {}",
        pictures.display(),
        nights.display()
    ))
}
