//! The lab's way into its guest.

use std::time::Duration;

use fleece_lab::Guest;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn commands_arrive_whole_while_jobs_end() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let guest = Guest::builder(&qemu).boot().unwrap();
    let long = "0123456789".repeat(100);
    for job in 0..20 {
        // Ends while the next line is on its way.
        let job = guest.spawn(&format!("usleep {}000", job % 10)).unwrap();
        let echo = guest.run(&format!("echo {long}"), SOON).unwrap();
        assert_eq!(echo.trim(), long);
        job.wait(SOON).unwrap();
    }
}
