//! Waiting for QEMU to let go of something.

use std::time::{Duration, Instant};

use fleece_qmp_client::Client;

use crate::advice::{Advice, CleanUp};
use crate::error::{Error, ErrorKind};

/// How long a job or export may take to go: it finishes the requests that it is working on, each of
/// which may wait for a slow disk.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks until nothing is left. (There are events too, but none tells of what went before we came.)
pub(crate) fn until_gone(
    client: &Client,
    what: &str,
    left: impl Fn() -> Result<Vec<String>, Error>,
) -> Result<(), Error> {
    let start = Instant::now();
    let waiting = client.interrupt().wait();
    let mut pause = Duration::from_millis(1);
    loop {
        let names = left()?;
        if names.is_empty() {
            return Ok(());
        }
        if start.elapsed() > TIMEOUT || waiting.is_interrupted() {
            // Unless the time is not what ended it: this fails then.
            left()?;
            let message = format!("{what} have not ended: {}", names.join(", "));
            return Err(Error::new(ErrorKind::Qemu, message)
                .advise(Advice::CleanUpAfterwards(CleanUp::default())));
        }
        std::thread::sleep(pause);
        pause = pause.saturating_mul(2).min(Duration::from_millis(100));
    }
}
